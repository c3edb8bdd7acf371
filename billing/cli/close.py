"""``tokenworks close``: the invoices of a month, from the usage of a store.

Invariant: exit code 0 means that every account of the month is invoiced or owes nothing; 1 that
some are blocked, each named with what blocks it.
"""

from __future__ import annotations

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_rows, say
from billing.cli.stored import by_option, opened, progress, store_option
from billing.operations.close import DEFAULT_SERIES, CloseReport, close

COLUMNS = ("account", "period", "state", "number", "total_minor", "currency")


@click.command("close")
@store_option
@click.option("--period", "month", required=True, metavar="YYYY-MM", help="Such as 2026-10.")
@click.option("--account", "accounts", multiple=True, help="Only these accounts; repeatable.")
@click.option("--series", default=DEFAULT_SERIES, show_default=True, help="The number series.")
@click.option("--dry-run", is_flag=True, help="Show what would be invoiced, and write nothing.")
@by_option
@now_option
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    store: str,
    month: str,
    accounts: tuple[str, ...],
    series: str,
    dry_run: bool,
    by: str,
    now_at: int,
    shape: str,
) -> None:
    """Close a month: seal, rate, and finalize the invoice of each account.

    It bills the periods that start in the month. It may be run again, or twice at once: what is
    invoiced is skipped, and usage that came late for an invoiced period is shown as corrections.

    Example: tokenworks close --period 2026-10 --store billing.db --by dana
    """
    with opened(store) as found, progress(f"close {month}") as show:
        report = close(
            found,
            month=month,
            series=series,
            by=by,
            now_at=now_at,
            dry_run=dry_run,
            accounts=accounts or None,
            progress=show,
        )
    print_report(report, shape=shape)
    ctx.exit(1 if report.blocked else 0)


def print_report(report: CloseReport, *, shape: str) -> None:
    """What a close did: a row for each account and period, and what a person must know."""
    document = report.as_json()
    title = f"Close of {report.month}" + (" (dry run)" if report.dry_run else "")
    rows = document["periods"]
    print_rows(rows, columns=COLUMNS, shape=shape, document=document, title=title)
    for one in report.periods:
        for sentence in one.findings:
            say(f"finding: {one.account}: {sentence}")
    for sentence in report.open_usage:
        say(f"not invoiced: {sentence}")
    for one in report.blocked:
        for sentence in one.blocked_by:
            say(f"tokenworks: {one.account}: {sentence}")
    if shape == "table":
        say(report.summary())

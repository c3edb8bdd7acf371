"""``tokenworks rate``: what the usage of a file is charged under price books.

Invariant: JSON is the document ``tokenworks.rating/1``; the table and the CSV show its charges.
"""

from __future__ import annotations

from pathlib import Path

import click

from billing.cli.offline import price_books_option, usage_option
from billing.cli.output import format_option, print_refused, print_rows, say
from billing.domain.charging.report import RatingReport
from billing.operations.rating import rate
from pricing_rules.document import dump
from pricing_rules.money import exact_text
from pricing_rules.period import parse_period

COLUMNS = ("account", "model", "service_tier", "unit", "quantity", "amount")


@click.command("rate")
@price_books_option
@usage_option
@click.option(
    "--period", help="START/END, half-open; dates are midnights in UTC. Without it: the whole file."
)
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    price_books: tuple[Path, ...],
    usage: Path,
    period: str | None,
    shape: str,
) -> None:
    """Rate a usage file: charges per account, model, service tier and unit, exactly.

    Example: tokenworks rate --price-book book.json --usage october.parquet --format json
    """
    billed = parse_period(period, zone="UTC") if period is not None else None
    report = rate(usage, price_books=price_books, period=billed)
    rows = [
        {
            "account": account.account,
            "model": charge.model,
            "service_tier": charge.service_tier,
            "unit": charge.unit,
            "quantity": charge.quantity,
            "amount": exact_text(charge.amount),
        }
        for account in report.accounts
        for charge in account.charges
    ]
    print_rows(rows, columns=COLUMNS, shape=shape, document=dump(report), title="Charges")
    if shape == "table":
        _summary(report)
    if shape != "json":
        _unpriced(report)
    print_refused(usage.name, refused=[(row.row, row.reason) for row in report.refused])
    ctx.exit(1 if report.refused else 0)


def _summary(report: RatingReport) -> None:
    events = report.events
    say(
        f"{events.received:,} rows: {events.accepted:,} accepted, {events.duplicate:,} duplicate, "
        f"{events.conflict:,} conflict, {events.rejected:,} rejected; of the accepted "
        f"{events.outside_period:,} outside the period, {events.not_billable:,} not billable"
    )
    for account in report.accounts:
        say(
            f"{account.account}: {exact_text(account.total_exact)} {report.currency}, "
            f"{account.total_minor} minor units"
        )
    total = exact_text(report.total_exact)
    say(f"total: {total} {report.currency}, {report.total_minor} minor units")


def _unpriced(report: RatingReport) -> None:
    """What is in no total; in JSON it stands in the document."""
    for account in report.accounts:
        for usage in account.unpriced:
            say(
                f"{account.account}: unpriced {usage.quantity:,} {usage.unit} of {usage.model} in "
                f"{usage.service_tier}: {usage.reason}"
            )

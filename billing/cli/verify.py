"""``tokenworks verify``: whether a store adds up, with the numbers.

Invariant: exit code 0 only where every equation holds; each damage is a line of its own.
"""

from __future__ import annotations

import click

from billing.cli.output import format_option, print_rows, say
from billing.cli.stored import opened, progress, store_option
from billing.operations.verify import verify

COLUMNS = ("equation", "holds", "numbers")


@click.command("verify")
@store_option
@format_option
@click.pass_context
def command(ctx: click.Context, *, store: str, shape: str) -> None:
    """Check a whole store: deliveries, events, totals, invoices, numbers and ledger.

    It changes nothing. It exits with 1 where anything is damaged, and names each damage.

    Example: tokenworks verify --store billing.db
    """
    with opened(store) as found, progress("verify") as show:
        report = verify(found, progress=show)
    document = report.as_json()
    rows = [
        {"equation": one.name, "holds": one.holds, "numbers": one.text()}
        for one in report.verified.equations
    ]
    print_rows(rows, columns=COLUMNS, shape=shape, document=document, title="Equations")
    for damage in report.verified.damage:
        say(f"tokenworks: {damage.kind}: {damage.where}: {damage.sentence}")
    if shape == "table":
        count = len(report.verified.damage)
        say("everything adds up" if report.holds else f"{count:,} damages")
    ctx.exit(0 if report.holds else 1)

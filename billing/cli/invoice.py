"""``tokenworks invoice``: invoices without a database.

Invariant: JSON is the document ``tokenworks.invoice/1``; the PDF shows the same figures.
"""

from __future__ import annotations

from pathlib import Path

import click

from billing.cli.output import format_option, print_refused, print_rows, say
from billing.cli.walk import print_walk
from billing.operations.files import write_file
from billing.operations.invoice import preview_invoice
from pricing_rules.document import dump

COLUMNS = ("line", "description", "quantity", "rate", "amount_minor")


@click.group("invoice")
def command() -> None:
    """Preview and explain invoices."""


@command.command("preview")
@click.option("--agreement", type=click.Path(path_type=Path), required=True, help="agreement.yaml")
@click.option(
    "--price-book",
    "price_books",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="A price book; repeat it for a price change inside the period.",
)
@click.option(
    "--usage",
    type=click.Path(path_type=Path),
    required=True,
    help="CloudEvents JSON lines (.jsonl), CSV or Parquet.",
)
@click.option(
    "--period",
    required=True,
    help="START/END, half-open; dates are midnights in the zone of the agreement.",
)
@click.option("--pdf", type=click.Path(path_type=Path), help="Also write the invoice as a PDF.")
@click.option("--explain", "line", type=int, help="Walk one line down to the measured rows.")
@format_option
@click.pass_context
def preview(
    ctx: click.Context,
    *,
    agreement: Path,
    price_books: tuple[Path, ...],
    usage: Path,
    period: str,
    pdf: Path | None,
    line: int | None,
    shape: str,
) -> None:
    """The invoice of one account as it would be.

    Example: tokenworks invoice preview --agreement acme.yaml --price-book book.json
    --usage october.parquet --period 2026-10-01/2026-11-01 --pdf acme.pdf
    """
    found = preview_invoice(agreement, price_books=price_books, usage=usage, period=period)
    invoice = found.invoice
    walk = None if line is None else found.explain(line)
    if pdf is not None:
        from billing.documents import render_invoice

        write_file(pdf, data=render_invoice(invoice))
        say(f"wrote {pdf}")
    if walk is not None:
        print_walk(walk, shape=shape)
    else:
        document = dump(invoice)
        rows = [
            {
                "line": one["line"],
                "description": one["description"],
                "quantity": one.get("quantity", ""),
                "rate": _rate(one),
                "amount_minor": one["amount_minor"],
            }
            for one in document["lines"]
        ]
        print_rows(rows, columns=COLUMNS, shape=shape, document=document, title="Invoice preview")
        if shape == "table":
            say(
                f"net {invoice.net_minor}, tax {invoice.tax_minor}, total {invoice.total_minor} "
                f"minor units of {invoice.currency} ({invoice.minor_digits} decimals)"
            )
    for usage_left in invoice.unpriced:
        say(
            f"unpriced: {usage_left.quantity:,} {usage_left.unit} of {usage_left.model} in "
            f"{usage_left.service_tier}: {usage_left.reason}"
        )
    for finding in invoice.findings:
        say(f"finding: {finding}")
    verdicts = found.totals.verdicts
    print_refused(usage.name, refused=[(v.row, v.reason) for v in verdicts])
    ctx.exit(1 if verdicts else 0)


def _rate(line: dict[str, object]) -> str:
    bands = line.get("bands")
    if isinstance(bands, list) and len(bands) == 1:
        return f"{bands[0]['rate']} per {bands[0]['per']:,}"
    if isinstance(bands, list):
        return f"{len(bands)} bands"
    return f"{line['percent']} %"

"""``tokenworks invoice``: invoices from files alone, and those of a store.

Invariant: JSON is the document ``tokenworks.invoice/1``; the PDF shows the same figures.
"""

from __future__ import annotations

from pathlib import Path

import click

from billing.cli.offline import price_books_option, usage_option
from billing.cli.output import format_option, print_refused, print_rows, say
from billing.cli.stored import opened, store_option
from billing.cli.walk import print_walk
from billing.domain.invoice.invoice import Invoice
from billing.operations.files import write_file
from billing.operations.invoice import preview_invoice
from pricing_rules.document import dump
from pricing_rules.period import moment_text

COLUMNS = ("line", "description", "quantity", "rate", "amount_minor")
LIST_COLUMNS = ("number", "account", "period", "total_minor", "currency", "finalized_at")

issuer_option = click.option("--issuer", help="Whose number it is, where issuers share it.")


@click.group("invoice")
def command() -> None:
    """Preview, list, show, explain and print invoices."""


@command.command("preview")
@click.option("--agreement", type=click.Path(path_type=Path), required=True, help="agreement.yaml")
@price_books_option
@usage_option
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
        _print_invoice(invoice, shape=shape, title="Invoice preview")
    if not invoice.lines and not invoice.unpriced:
        say(f"{usage.name} holds no usage of {invoice.account} in the period, so nothing is due")
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


@command.command("list")
@store_option
@click.option("--account", help="Only those of this account.")
@click.option("--after", metavar="NUMBER", help="Those that follow this one: the next page.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="How many of them at most.",
)
@issuer_option
@format_option
def list_invoices(
    *,
    store: str,
    account: str | None,
    after: str | None,
    limit: int,
    issuer: str | None,
    shape: str,
) -> None:
    """List finalized invoices by issuer, series and number.

    Example: tokenworks invoice list --store billing.db --account acme
    """
    from billing.operations.invoice_number import text_of
    from billing.operations.stored_invoice import list_stored

    with opened(store) as found:
        page = list_stored(found, limit=limit, after=after, account=account, issuer=issuer)
    rows: list[dict[str, object]] = [
        {
            "number": text_of(one),
            "issuer": one.issuer,
            "account": one.account,
            "period": f"{moment_text(one.period_start_at)}/{moment_text(one.period_end_at)}",
            "total_minor": one.total_minor,
            "currency": one.currency,
            "finalized_at": moment_text(one.finalized_at),
            "digest": one.digest,
        }
        for one in page.invoices
    ]
    more = {} if page.next_after is None else {"next_after": page.next_after}
    document = {"invoices": rows, **more}
    print_rows(rows, columns=LIST_COLUMNS, shape=shape, document=document, title="Invoices")
    if shape == "table" and page.next_after is not None:
        say(f"there are more: --after {page.next_after}")


@command.command("show")
@click.argument("number")
@store_option
@issuer_option
@format_option
def show(*, number: str, store: str, issuer: str | None, shape: str) -> None:
    """Show a finalized invoice; one that was changed since is refused.

    Example: tokenworks invoice show INV-2026-000001 --store billing.db
    """
    from billing.operations.stored_invoice import show_stored

    with opened(store) as found:
        invoice = show_stored(found, number=number, issuer=issuer)
    _print_invoice(invoice, shape=shape, title=f"Invoice {invoice.number}")
    for finding in invoice.findings:
        say(f"finding: {finding}")


@command.command("explain")
@click.argument("number")
@click.option("--line", type=int, required=True, help="Which line.")
@store_option
@issuer_option
@format_option
def explain(*, number: str, line: int, store: str, issuer: str | None, shape: str) -> None:
    """Walk a line of a finalized invoice down to the measured rows.

    Example: tokenworks invoice explain INV-2026-000001 --line 1 --store billing.db
    """
    from billing.operations.stored_invoice import explain_stored

    with opened(store) as found:
        walk = explain_stored(found, number=number, line=line, issuer=issuer)
    print_walk(walk, shape=shape)


@command.command("pdf")
@click.argument("number")
@store_option
@issuer_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The PDF to write.")
@format_option
def pdf(*, number: str, store: str, issuer: str | None, out: Path, shape: str) -> None:
    """Write a finalized invoice as a PDF.

    Example: tokenworks invoice pdf INV-2026-000001 --store billing.db --out invoice.pdf
    """
    from billing.documents import render_invoice
    from billing.operations.stored_invoice import show_stored

    with opened(store) as found:
        invoice = show_stored(found, number=number, issuer=issuer)
    write_file(out, data=render_invoice(invoice))
    row = {"number": invoice.number, "file": str(out)}
    print_rows([row], columns=("number", "file"), shape=shape, document=row)


def _print_invoice(invoice: Invoice, *, shape: str, title: str) -> None:
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
    print_rows(rows, columns=COLUMNS, shape=shape, document=document, title=title)
    if shape == "table":
        say(
            f"net {invoice.net_minor}, tax {invoice.tax_minor}, total {invoice.total_minor} "
            f"minor units of {invoice.currency} ({invoice.minor_digits} decimals)"
        )


def _rate(line: dict[str, object]) -> str:
    bands = line.get("bands")
    if isinstance(bands, list) and len(bands) == 1:
        return f"{bands[0]['rate']} per {bands[0]['per']:,}"
    if isinstance(bands, list):
        return f"{len(bands)} bands"
    return f"{line['percent']} %"

"""Invoices of a store: listed, shown, explained, printed, and written as files.

Apart from ``invoice.py``, whose commands need no store and start without one.

Invariant: whoever reads an invoice reads the bytes that were finalized, or is told by its number
that they were changed (I24).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from billing.domain.agreement.billing_periods import month_of
from billing.domain.invoice.explanation import explain_line
from billing.domain.invoice.invoice import Invoice
from billing.operations.agreement import versions_known
from billing.operations.files import write_once
from billing.operations.invoice_number import find_invoice, key_of, text_of
from billing.operations.stored_book import books_known
from billing.store.epochs import epoch_sealed_at
from billing.store.invoices import StoredInvoice, list_invoices
from billing.store.store import Connection, Store
from billing.store.whole import read_all_invoices
from pricing_rules.document import DocumentError, bytes_digest, load_json
from pricing_rules.period import Period, parse_month
from pricing_rules.prices.explain import Step
from pricing_rules.prices.price_book import BooksInForce


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicePage:
    """Some invoices in order; ``next_after`` is where the next page begins, None at the end."""

    invoices: tuple[StoredInvoice, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenInvoice:
    """An invoice and the files that hold it (or would, in a dry run)."""

    number: str
    account: str
    files: tuple[Path, ...]


def list_stored(
    store: Store, *, limit: int, after: str | None, account: str | None, issuer: str | None
) -> InvoicePage:
    """At most ``limit`` invoices by issuer, series and number, those that follow ``after``.

    ``after``: the number of the last one of the page before.
    """
    with store.read() as connection:
        start = None
        if after is not None:
            start = key_of(find_invoice(connection, number=after, issuer=issuer))
        found = list_invoices(connection, limit=limit + 1, after=start, account=account)
    shown = found[:limit]
    return InvoicePage(
        invoices=shown, next_after=text_of(shown[-1]) if len(found) > limit else None
    )


def show_stored(store: Store, *, number: str, issuer: str | None) -> Invoice:
    """A finalized invoice. DocumentError where it is not there, or was changed since."""
    with store.read() as connection:
        return read_checked(find_invoice(connection, number=number, issuer=issuer))


def explain_stored(store: Store, *, number: str, line: int, issuer: str | None) -> Step:
    """The walk of one line of a finalized invoice, under the books that were known at its close."""
    with store.read() as connection:
        stored = find_invoice(connection, number=number, issuer=issuer)
        invoice = read_checked(stored)
        books = books_of(connection, stored=stored, invoice=invoice, line=line)
    return explain_line(invoice, line=line, books=books)


def read_checked(stored: StoredInvoice) -> Invoice:
    """The document of an invoice, its digest checked. DocumentError that names a changed one."""
    where = f"invoice {text_of(stored)}"
    data = stored.document.encode()
    if bytes_digest(data) != stored.digest:
        raise DocumentError(
            where, "was changed after it was finalized: its digest is another; restore it"
        )
    return load_json(Invoice, data, name=where)


def books_of(
    connection: Connection, *, stored: StoredInvoice, invoice: Invoice, line: int
) -> BooksInForce:
    """The books that priced a line, as they were known when the epoch of its invoice was sealed.

    DocumentError where one of them is gone or is another one than that which priced it.
    """
    where = f"invoice {text_of(stored)}"
    found = next((one for one in invoice.lines if one.line == line), None)
    if found is not None and found.kind == "correction":
        series = found.series
    else:
        versions = versions_known(connection, account=invoice.account)
        series = next(v.series for v in versions if v.version == invoice.agreement_version)
    sealed_at = epoch_sealed_at(connection, epoch=stored.through_epoch)
    books = books_known(connection, series=series, as_of=sealed_at)
    if books is None:
        raise DocumentError(where, f"was priced by the series {series}, which is not there")
    digests = {book.number: book.digest for book in books.books}
    for used in invoice.price_books:
        if used.series == series and digests.get(used.number) != used.digest:
            raise DocumentError(
                where, f"was priced by number {used.number} ({used.digest}), which is not there"
            )
    return books


def invoices_of_month(store: Store, *, month: str) -> tuple[StoredInvoice, ...]:
    """The invoices whose billed period starts in a month of its zone, by number."""
    wanted = parse_month(month)
    with store.read() as connection:
        found = read_all_invoices(connection)
    return tuple(
        one
        for one in found
        if month_of(
            Period(start_at=one.period_start_at, end_at=one.period_end_at),
            zone=read_checked(one).period.zone,
        )
        == wanted
    )


def write_invoices(
    store: Store, *, month: str, folder: Path, dry_run: bool, issuer: str | None = None
) -> tuple[WrittenInvoice, ...]:
    """Write the PDF and the JSON of each invoice of a month into a folder, under its number.

    What is there already stays: the same bytes are fine, others are refused. A dry run writes
    nothing. ``issuer``: only the invoices of this one. DocumentError where there are several and
    none is named, because they share numbers.
    """
    from billing.documents import render_invoice

    found = invoices_of_month(store, month=month)
    issuers = sorted({one.issuer for one in found})
    if issuer is None and len(issuers) > 1:
        raise DocumentError(
            "--issuer",
            f"several issuers have invoices of {month} ({', '.join(issuers)}), and they share "
            "numbers; name one, and give each a folder of its own",
        )
    written: list[WrittenInvoice] = []
    for stored in found:
        if issuer not in (None, stored.issuer):
            continue
        number = text_of(stored)
        pdf, text = folder / f"{number}.pdf", folder / f"{number}.json"
        if not dry_run:
            write_once(text, data=stored.document.encode())
            write_once(pdf, data=render_invoice(read_checked(stored)))
        written.append(WrittenInvoice(number=number, account=stored.account, files=(text, pdf)))
    return tuple(written)

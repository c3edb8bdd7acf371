"""Finalized invoices: their numbers, their documents and their lines.

Invariant: the numbers of a series have no gap, because the number is taken from its counter in the
transaction that stores the invoice (I25); an invoice is stored with all its lines or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

from sqlalchemy import Connection, select, tuple_

from billing.store.points import reach
from billing.store.rows import (
    append_record,
    append_rows,
    columns_of,
    read_records,
    select_records,
    upsert,
)
from billing.store.tables import INVOICE_LINES, INVOICES, NUMBER_SERIES


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInvoice:
    """A finalized invoice; ``document`` is its canonical JSON. The period is its own."""

    issuer: str
    series: str
    number: int
    account: str
    period_start_at: int
    period_end_at: int
    through_epoch: int
    currency: str
    total_minor: int
    digest: str
    document: str
    finalized_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLine:
    """A line of an invoice. ``period_start_at`` is that of the usage: an earlier one than the
    invoice's for a correction.

    ``model``, ``service_tier`` and ``unit`` are "" where a line has none. ``amount_exact`` is an
    exact text in major units; ``quantity`` may be negative in a correction.
    """

    line: int
    kind: str
    period_start_at: int
    model: str
    service_tier: str
    unit: str
    quantity: int
    amount_exact: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class InvoiceNumber:
    """Which invoice: the issuer, its series and the number in it."""

    issuer: str
    series: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledLine:
    """A line as it was billed, with the invoice that it stands on."""

    issuer: str
    series: str
    number: int
    line: int
    kind: str
    period_start_at: int
    model: str
    service_tier: str
    unit: str
    quantity: int
    amount_exact: str
    amount_minor: int


_NUMBER = ("issuer", "series", "number")
_LINE = tuple(field.name for field in fields(StoredLine))


def take_number(connection: Connection, *, issuer: str, series: str) -> int:
    """The next number of a series, from 1 on; taken only if this transaction commits."""
    statement = upsert(NUMBER_SERIES, dialect=connection.dialect).values(
        issuer=issuer, series=series, next_number=2
    )
    taken = statement.on_conflict_do_update(
        index_elements=["issuer", "series"],
        set_={"next_number": NUMBER_SERIES.c.next_number + 1},
    ).returning(NUMBER_SERIES.c.next_number)
    number: int = connection.execute(taken).scalar_one() - 1
    reach("invoice.numbered")
    return number


def append_invoice(
    connection: Connection, *, invoice: StoredInvoice, lines: Sequence[StoredLine]
) -> None:
    """Store a finalized invoice with its lines."""
    append_record(connection, table=INVOICES, record=invoice)
    reach("invoice.appended")
    key = (invoice.issuer, invoice.series, invoice.number)
    append_rows(
        connection,
        table=INVOICE_LINES,
        names=(*_NUMBER, *_LINE),
        rows=[(*key, *astuple(line)) for line in lines],
    )
    reach("invoice.lines_appended")


def read_invoice(
    connection: Connection, *, issuer: str, series: str, number: int
) -> StoredInvoice | None:
    """One invoice; None where there is none of that number."""
    query = select_records(StoredInvoice, table=INVOICES).where(
        INVOICES.c.issuer == issuer, INVOICES.c.series == series, INVOICES.c.number == number
    )
    return next(iter(read_records(connection, query=query, record=StoredInvoice)), None)


def find_invoices(connection: Connection, *, series: str, number: int) -> tuple[StoredInvoice, ...]:
    """The invoices of a number in the series of this name, one for each issuer that has it."""
    query = select_records(StoredInvoice, table=INVOICES).where(
        INVOICES.c.series == series, INVOICES.c.number == number
    )
    return read_records(connection, query=query.order_by(INVOICES.c.issuer), record=StoredInvoice)


def read_invoice_lines(
    connection: Connection, *, issuer: str, series: str, number: int
) -> tuple[StoredLine, ...]:
    """The lines of one invoice, in their order."""
    columns = INVOICE_LINES.c
    query = select_records(StoredLine, table=INVOICE_LINES).where(
        columns.issuer == issuer, columns.series == series, columns.number == number
    )
    return read_records(connection, query=query.order_by(columns.line), record=StoredLine)


def read_account_invoices(connection: Connection, *, account: str) -> tuple[StoredInvoice, ...]:
    """All invoices of an account, by (through_epoch, period_start_at): as they were closed."""
    query = (
        select_records(StoredInvoice, table=INVOICES)
        .where(INVOICES.c.account == account)
        .order_by(INVOICES.c.through_epoch, INVOICES.c.period_start_at)
    )
    return read_records(connection, query=query, record=StoredInvoice)


def read_billed_lines(
    connection: Connection, *, account: str, period_start_at: int
) -> tuple[BilledLine, ...]:
    """Every line of an account's invoices that bills or corrects usage of one period."""
    query = (
        select(*columns_of(BilledLine, table=INVOICE_LINES))
        .join(INVOICES)
        .where(INVOICES.c.account == account, INVOICE_LINES.c.period_start_at == period_start_at)
        .order_by(INVOICES.c.through_epoch, INVOICES.c.period_start_at, INVOICE_LINES.c.line)
    )
    return read_records(connection, query=query, record=BilledLine)


def list_invoices(
    connection: Connection,
    *,
    limit: int,
    after: InvoiceNumber | None = None,
    account: str | None = None,
) -> tuple[StoredInvoice, ...]:
    """At most ``limit`` invoices by issuer, series and number, those that follow ``after``.

    The number of the last one is where the next page begins: pages never overlap and leave nothing
    out, whatever is finalized meanwhile in the series that they show (I47).
    """
    query = select_records(StoredInvoice, table=INVOICES)
    key = tuple(INVOICES.c[name] for name in _NUMBER)
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(after.issuer, after.series, after.number))
    if account is not None:
        query = query.where(INVOICES.c.account == account)
    return read_records(connection, query=query.order_by(*key).limit(limit), record=StoredInvoice)

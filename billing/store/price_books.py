"""Published price books, as their canonical JSON.

Invariant: a book is appended once and never edited; what was known at a moment is the books
published up to then.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from billing.store.points import reach
from billing.store.rows import append_record, read_records, select_records
from billing.store.tables import PRICE_BOOKS


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBook:
    """A published price book; ``document`` is its canonical JSON, which ``digest`` is of."""

    series: str
    number: int
    effective_from: int
    published_at: int
    digest: str
    document: str


def append_price_book(connection: Connection, *, book: StoredBook) -> None:
    """Store a published book; its series and number must be free."""
    append_record(connection, table=PRICE_BOOKS, record=book)
    reach("price_book.appended")


def read_price_book(connection: Connection, *, series: str, number: int) -> StoredBook | None:
    """One book of a series; None where there is none of that number."""
    query = select_records(StoredBook, table=PRICE_BOOKS).where(
        PRICE_BOOKS.c.series == series, PRICE_BOOKS.c.number == number
    )
    return next(iter(read_records(connection, query=query, record=StoredBook)), None)


def read_price_books(
    connection: Connection, *, series: str | None = None, as_of: int | None = None
) -> tuple[StoredBook, ...]:
    """Books by series, then in the order in which they come into force, ties by number.

    ``series``: of one series only. ``as_of``: only those published at this moment or before it.
    """
    query = select_records(StoredBook, table=PRICE_BOOKS)
    if series is not None:
        query = query.where(PRICE_BOOKS.c.series == series)
    if as_of is not None:
        query = query.where(PRICE_BOOKS.c.published_at <= as_of)
    query = query.order_by(PRICE_BOOKS.c.series, PRICE_BOOKS.c.effective_from, PRICE_BOOKS.c.number)
    return read_records(connection, query=query, record=StoredBook)

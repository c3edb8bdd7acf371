"""Price books of a store: a published book goes in, and the books that were known come out.

Apart from ``price_book.py``, whose commands need no store and start without one.

Invariant: the books of a series are stored in the order in which they were published, each once,
and none that an epoch sealed before would have had to know.
"""

from __future__ import annotations

from dataclasses import dataclass

from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.discounts import (
    PressedRate,
    agreed_rates_under_floor,
    in_force_until_at,
)
from billing.operations.announcement import announce
from billing.operations.floor_override import FloorOverride, check_override
from billing.operations.grid import register_cuts
from billing.store.agreements import read_agreements, read_newest_agreements
from billing.store.audit import append_audit
from billing.store.epochs import last_sealed_at
from billing.store.price_books import StoredBook, append_price_book, read_price_books
from billing.store.store import Connection, Store
from pricing_rules.document import DocumentError, canonical_json, content_digest, dump, load_json
from pricing_rules.period import moment_text
from pricing_rules.prices.price_book import BooksInForce, PriceBook, load_price_book
from pricing_rules.rules.publication import check_succession


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedUnderFloor:
    """A rate of a new book that the discounts of an account press under its floor."""

    account: str
    under: PressedRate

    @property
    def from_at(self) -> int:
        """From when on it lies under its floor."""
        return self.under.from_at

    @property
    def until_at(self) -> int | None:
        """Until when; None where nothing says so."""
        return self.under.until_at

    def sentence(self) -> str:
        """The finding as one sentence."""
        return f"{self.account}: {self.under.sentence()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookStored:
    """What storing a book did: ``new`` is False where it was there already.

    ``under_floor``: what the discounts of agreements press under its floor, accepted by override.
    """

    book: PriceBook
    new: bool
    under_floor: tuple[AgreedUnderFloor, ...] = ()


def store_book(
    book: PriceBook, *, store: Store, by: str, now_at: int, override: FloorOverride | None = None
) -> BookStored:
    """Put a published book into the store, and register its cuts.

    The same book again changes nothing. DocumentError where the book is a candidate or is from the
    future, where its number holds another book, where it does not follow the newest of its series,
    where it was published before an epoch was sealed that had to know it, and where the discounts
    of an agreement press a rate under its floor without an override.
    """
    with store.write() as connection:
        known = read_price_books(connection, series=book.series)
        same = next((one for one in known if one.number == book.number), None)
        if same is not None:
            if _digest(_read(same)) != _digest(book):
                raise DocumentError(
                    _where(book), "is in the store with another content; give a new number"
                )
            return BookStored(book=book, new=False)
        books = tuple(_read(one) for one in known)
        previous = max(books, key=lambda one: one.number, default=None)
        check_succession(book, previous=previous)
        stored = _stored(book)
        _check_moment(connection, stored=stored, now_at=now_at)
        in_force = BooksInForce(books=(*books, book))  # refuses what has no order in time
        until_at = in_force_until_at(book, books=in_force)
        under_floor = _under_floor(connection, book=book, until_at=until_at)
        check_override(
            override,
            where=_where(book),
            found=under_floor,
        )
        append_price_book(connection, book=stored)
        register_cuts(
            connection,
            books=(book,),
            reason=f"price book {book.series} number {book.number}",
            now_at=now_at,
        )
        append_audit(
            connection,
            command="price publish",
            subject=f"{book.series}/{book.number}",
            by=by,
            detail={
                "digest": stored.digest,
                "under_floor": [one.sentence() for one in under_floor],
                **({"override": override.as_json()} if override and under_floor else {}),
            },
            recorded_at=now_at,
        )
        announce(
            connection,
            kind="price_book.published",
            account="",
            subject=f"price_books/{book.series}",
            data={
                "series": book.series,
                "number": book.number,
                "currency": book.currency,
                "effective_from": moment_text(book.effective_from),
                "published_at": moment_text(stored.published_at),
                "digest": stored.digest,
            },
            now_at=now_at,
        )
    return BookStored(book=book, new=True, under_floor=under_floor)


def book_before(store: Store, *, series: str, number: int) -> PriceBook | None:
    """The newest book of a series that was numbered before ``number``; None where there is none."""
    with store.read() as connection:
        known = read_price_books(connection, series=series)
        earlier = [one for one in known if one.number < number]
        newest = max(earlier, key=lambda one: one.number, default=None)
        return None if newest is None else _read(newest)


def books_known(
    connection: Connection, *, series: str, as_of: int | None = None
) -> BooksInForce | None:
    """The books of a series as they were known at ``as_of``; None where there were none.

    Without ``as_of``, all that are stored.
    """
    found = read_price_books(connection, series=series, as_of=as_of)
    return BooksInForce(books=tuple(_read(one) for one in found)) if found else None


def _under_floor(
    connection: Connection, *, book: PriceBook, until_at: int
) -> tuple[AgreedUnderFloor, ...]:
    """What each account's discounts press under its floor while the book is in force."""
    found: list[AgreedUnderFloor] = []
    for newest in read_newest_agreements(connection):
        versions = [newest]
        if newest.effective_from > book.effective_from:
            versions = list(read_agreements(connection, account=newest.account))
        for i, stored in enumerate(versions):
            if '"discounts":[]' in stored.document:
                continue
            name = f"agreement of {stored.account}"
            agreement = load_json(Agreement, stored.document.encode(), name=name)
            if agreement.series == book.series:
                later_at = [one.effective_from for one in versions[i + 1 : i + 2]]
                found += (
                    AgreedUnderFloor(account=agreement.account, under=under)
                    for under in agreed_rates_under_floor(
                        book, agreement=agreement, until_at=min([until_at, *later_at])
                    )
                )
    return tuple(found)


def _check_moment(connection: Connection, *, stored: StoredBook, now_at: int) -> None:
    where = f"price book {stored.number}"
    if stored.published_at > now_at:
        raise DocumentError(
            where,
            f"is published at {moment_text(stored.published_at)}, which is to come "
            f"(it is {moment_text(now_at)}); store it then",
        )
    sealed_at = last_sealed_at(connection)
    if sealed_at is not None and stored.published_at <= sealed_at:
        raise DocumentError(
            where,
            f"was published at {moment_text(stored.published_at)}, but usage was sealed at "
            f"{moment_text(sealed_at)} without it; publish its candidate again, with a moment "
            "after that",
        )


def _stored(book: PriceBook) -> StoredBook:
    if book.published_at is None:
        raise AssertionError("check_succession lets no candidate pass")
    document = dump(book.model_copy(update={"digest": None}))
    return StoredBook(
        series=book.series,
        number=book.number,
        effective_from=book.effective_from,
        published_at=book.published_at,
        digest=content_digest(document),
        document=canonical_json(document).decode(),
    )


def _digest(book: PriceBook) -> str:
    return content_digest(dump(book.model_copy(update={"digest": None})))


def _read(stored: StoredBook) -> PriceBook:
    name = f"price book {stored.series} number {stored.number}"
    book = load_price_book(stored.document.encode(), name=name)
    if book.digest != stored.digest:
        raise DocumentError(name, "was changed in the store; restore it from a backup")
    return book


def _where(book: PriceBook) -> str:
    return f"price book {book.number}"

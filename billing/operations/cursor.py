"""Pages, and their cursors: where a page ended, as a text that its reader hands back.

Invariant: a text that we did not give, or gave for another question, is refused; it never reaches
the store.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import msgspec

from billing.store.numbering import Numbers, last_numbers, numbers_settled, settled_numbers
from billing.store.store import Connection, Store
from pricing_rules.document import DocumentError

P = TypeVar("P", bound=msgspec.Struct)
T = TypeVar("T")

Moment = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A moment, or another whole number that a row is numbered by."""

Word = Annotated[str, msgspec.Meta(pattern="^[^\x00]*$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some rows in their order, and the cursor of the next page; None on the last."""

    rows: tuple[T, ...]
    cursor: str | None


def cut_page(
    found: Sequence[T], *, limit: int, question: str, place: Callable[[T], msgspec.Struct]
) -> Page[T]:
    """The page of at most ``limit`` rows; another follows where one more was found.

    ``found``: the rows from where the page begins, ``limit`` + 1 of them or all. ``place``: that of
    a row, for the cursor.
    """
    rows = tuple(found[:limit])
    if len(found) <= limit:
        return Page(rows=rows, cursor=None)
    return Page(rows=rows, cursor=write_cursor(place(rows[-1]), question=question))


def read_page(
    store: Store, *, through: Numbers | None, read: Callable[[Connection, Numbers], Page[T]]
) -> Page[T]:
    """A page of what is stored up to some numbers; None: it is the first, of all that is there.

    Where more pages follow the first, it waits until what is being stored beside it is there too or
    is not, and is read again: else the later pages would have more (I47).
    """
    if through is None:
        with store.read() as connection:
            page = read(connection, last_numbers(connection))
            settled = numbers_settled(connection)
        if page.cursor is None or settled:
            return page
        through = settled_numbers(store)
    with store.read() as connection:
        return read(connection, through)


def write_cursor(place: msgspec.Struct, *, question: str) -> str:
    """The cursor of a place: numbers and words that no two rows have in common."""
    return base64.urlsafe_b64encode(msgspec.json.encode((question, place))).decode()


def read_cursor(kind: type[P], *, text: str | None, question: str) -> P | None:
    """The place that a cursor is of; None without one, for the first page.

    ``kind``: the type of the place. DocumentError where it is none, or is one of another question.
    """
    if text is None:
        return None
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        asked, place = msgspec.json.decode(raw, type=tuple[str, msgspec.Raw])
        if asked != question:
            raise DocumentError(
                "cursor", "belongs to another question; ask that one, or start anew"
            )
        return msgspec.json.decode(place, type=kind)
    except DocumentError:
        raise
    except (ValueError, binascii.Error, RecursionError):
        raise DocumentError("cursor", "is not one that we gave; start without one") from None

"""The books of one series: each moment has at most one.

Invariant: what leaves a moment with two prices is refused with its whole sentence.
"""

from __future__ import annotations

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.period import parse_moment
from pricing_rules.prices.price_book import BooksInForce, PriceBook
from tests.pricing_rules.prices.made_books import (
    OCTOBER,
    Json,
    book_json,
    card_json,
    in_force,
    read_book,
)

RATE: Json = {"unit": "input_tokens", "rate": "2"}
NOVEMBER = "2026-11-01T00:00:00Z"


def numbered(number: int, *, effective_from: str, supersedes: int | None = None) -> PriceBook:
    value = {
        **book_json([card_json([RATE])], number=number, effective_from=effective_from),
        "supersedes": supersedes and {"number": supersedes, "reason": "a wrong rate"},
    }
    return read_book(value)


def test_the_book_in_force_changes_at_the_instant() -> None:
    books = in_force(numbered(2, effective_from=NOVEMBER), numbered(1, effective_from=OCTOBER))
    at = parse_moment(NOVEMBER)
    found = [books.at(moment_at) for moment_at in (at - 1, at, at + 1)]
    assert [book and book.number for book in found] == [1, 2, 2]
    assert books.at(parse_moment(OCTOBER) - 1) is None
    assert books.currency == "USD"


def test_a_later_number_supersedes_from_the_same_instant() -> None:
    books = in_force(
        numbered(1, effective_from=OCTOBER), numbered(2, effective_from=OCTOBER, supersedes=1)
    )
    found = books.at(parse_moment(OCTOBER))
    assert found is not None
    assert found.number == 2


@pytest.mark.parametrize(
    "books, sentence",
    [
        ((), "there are none; give at least one"),
        (
            (numbered(1, effective_from=OCTOBER), numbered(2, effective_from=OCTOBER)),
            "number 1 and number 2 have one effective_from, and neither supersedes the other",
        ),
        (
            (
                numbered(1, effective_from=OCTOBER),
                numbered(3, effective_from=OCTOBER, supersedes=2),
            ),
            "number 1 and number 3 have one effective_from, and neither supersedes the other",
        ),
        (
            (numbered(1, effective_from=OCTOBER), numbered(1, effective_from=NOVEMBER)),
            "number 1 stands twice; keep one",
        ),
        (
            (
                numbered(1, effective_from=OCTOBER),
                read_book({**book_json([card_json([RATE])], number=2), "currency": "EUR"}),
            ),
            "public in USD and public in EUR do not mix; give the books of one series",
        ),
        (
            (
                numbered(1, effective_from=OCTOBER),
                read_book({**book_json([card_json([RATE])], number=2), "series": "partner"}),
            ),
            "public in USD and partner in USD do not mix; give the books of one series",
        ),
    ],
)
def test_books_that_leave_a_moment_with_two_prices_are_refused(
    books: tuple[PriceBook, ...], sentence: str
) -> None:
    with pytest.raises(DocumentError) as error:
        BooksInForce(books=books)
    assert str(error.value) == f"price books: {sentence}"

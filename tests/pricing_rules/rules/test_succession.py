"""Whether a published book may follow the one before it, where books are kept."""

from __future__ import annotations

import json

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.prices.price_book import PriceBook, load_price_book
from pricing_rules.rules.publication import check_succession
from tests.journeys.made_files import Json, book, card, rate_of

SEPTEMBER = "2026-09-01T00:00:00Z"


def _book(**fields: Json) -> PriceBook:
    value = book(card(rate_of("input_tokens", "1")), **{"published_at": SEPTEMBER, **fields})
    return load_price_book(json.dumps(value).encode(), name="book.json")


def test_the_first_book_follows_nothing() -> None:
    check_succession(_book(), previous=None)


def test_a_later_book_follows() -> None:
    check_succession(_book(number=2, effective_from="2026-11-01T00:00:00Z"), previous=_book())


def test_a_candidate_follows_nothing() -> None:
    candidate = _book().model_copy(update={"published_at": None})
    with pytest.raises(DocumentError, match="is a candidate; publish it first"):
        check_succession(candidate, previous=None)


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"number": 1}, "1 does not follow 1"),
        ({"number": 2}, "reaches back over what is published"),
        ({"number": 2, "series": "t"}, "t in USD does not follow s in USD"),
        ({"number": 2, "published_at": "2026-08-31T00:00:00Z"}, "lies before that of number 1"),
    ],
)
def test_what_does_not_follow_is_refused(fields: Json, sentence: str) -> None:
    with pytest.raises(DocumentError, match=sentence):
        check_succession(_book(**fields), previous=_book())

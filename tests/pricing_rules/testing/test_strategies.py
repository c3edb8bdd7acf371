"""What the strategies draw is valid and priced, and reaches everything that a book tells apart.

Invariant: the laws of the book are asked again over what is drawn, by the exact path.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.prices.price_book import BooksInForce, PriceBook
from pricing_rules.prices.quote import compile_book
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.testing.strategies import quote_requests, usage_mixes, usage_totals
from pricing_rules.usage.mix import UsageMix
from pricing_rules.usage.totals import UsageTotal
from tests.pricing_rules.prices.made_books import book_json, card_json, conditional_book, read_book

Json = dict[str, Any]


def rich_book() -> PriceBook:
    """Every kind of thing that requests can meet, on two cards."""
    bounded = {"id": "out", "kind": "graduated", "bands": [{"up_to": 1000, "rate": "2"}]}
    open_ladder = {
        "id": "audio",
        "kind": "volume",
        "bands": [{"up_to": "2.5", "rate": "2"}, {"rate": "3"}],
    }
    rates: list[Json] = [
        {"unit": "input_tokens", "rate": "1"},
        {"unit": "input_tokens", "rate": "2", "when": {"request_tokens_over": 200}},
        {"unit": "input_tokens", "rate": "3", "when": {"region": "eu"}},
        {"unit": "input_tokens", "rate": "1", "when": {"window": "night"}},
        {"unit": "cache_read_tokens", "rate": "0.1"},
        {"unit": "cache_audio_read_tokens", "rate": "0.2"},
        {"unit": "output_tokens", "ladder": bounded},
        {"unit": "output_reasoning_tokens", "ladder": bounded},
        {"unit": "audio_seconds", "ladder": open_ladder, "per": 60},
        {"unit": "requests", "rate": "0.01", "per": 1},
    ]
    alone: Json = {"unit": "audio_seconds", "rate": "1", "when": {"dimensions": {"q": "hd"}}}
    plain: Json = {"unit": "audio_seconds", "rate": "2"}
    value = book_json([card_json(rates), card_json([plain, alone], model="speech")])
    value["dimensions"] = {"q": ["hd", "sd"]}
    value["windows"] = {"night": {"times": [{"start_time": "22:00", "end_time": "06:00"}]}}
    return read_book(value)


BOOK = rich_book()


@given(request=quote_requests(BOOK))
def test_every_request_has_an_amount(request: Any) -> None:
    assert compile_book(BOOK).amount(request) >= 0


@pytest.mark.parametrize(
    "met", [lambda r: r.region == "eu" and r.size_tokens == 201, lambda r: r.size_tokens == 200,
            lambda r: r.dimensions == {"q": "hd"}, lambda r: r.units.get("audio_seconds") == 2501,
            lambda r: r.at is not None and r.at % 86_400_000_000 != 0],
)  # fmt: skip
def test_both_sides_of_what_changes_a_price_are_drawn(met: Any) -> None:
    found = find(quote_requests(BOOK), met, settings=settings(max_examples=2000, database=None))
    assert met(found)


@given(request=quote_requests(BOOK, models=("speech",)))
def test_a_card_that_is_named_is_drawn_alone(request: Any) -> None:
    assert request.model == "speech"
    # Without a rate of input the size is a field of its own, at which no rate changes here.
    assert request.request_tokens is not None


def test_a_card_that_is_not_there_is_refused() -> None:
    with pytest.raises(DocumentError, match="has no gpt among its models: m, speech"):
        quote_requests(BOOK, models=("gpt",))


@given(totals=usage_totals(BOOK))
def test_totals_are_rated_without_a_rest(totals: tuple[UsageTotal, ...]) -> None:
    books = BooksInForce(books=(BOOK,))
    rating = rate_totals(totals, books=books, grid=grid_for(books, period=None))
    # Alone each request stays within the ladder of output; together they may pass its end.
    assert all("past the last band" in one.reason for one in rating.unpriced)
    assert {total.cell.account for total in totals} <= {"acme", "globex"}


@given(totals=usage_totals(conditional_book(), accounts=("a",), requests_at_most=1))
def test_one_request_costs_as_often_as_it_was_sent(totals: tuple[UsageTotal, ...]) -> None:
    books = BooksInForce(books=(conditional_book(),))
    rating = rate_totals(totals, books=books, grid=grid_for(books, period=None))
    (total,) = totals
    billable = total.cell.outcome != "failed"
    assert rating.unpriced == ()
    assert bool(rating.total_exact) == (billable and bool(total.leaves))
    assert rating.total_exact <= Fraction(5 * sum(total.leaves.values()), 10**6)


@given(mix=usage_mixes(BOOK, accounts=("a", "b")))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_mixes_are_of_the_cards_of_the_book(mix: UsageMix) -> None:
    cards = [(card.model, card.service_tier) for card in BOOK.rate_cards]
    places = {(account, *card) for account, card in product(("a", "b"), cards)}
    assert {entry.key for entry in mix.entries} <= places
    assert mix.end_at == BOOK.effective_from
    assert mix.events == sum(sum(entry.events_by_hour_of_week) for entry in mix.entries)


@given(data=st.data())
def test_all_that_is_inside_of_input_is_no_more_than_it(data: st.DataObject) -> None:
    request = data.draw(quote_requests(BOOK, models=("m",)))
    units = request.units
    assert units["cache_audio_read_tokens"] <= units["cache_read_tokens"] <= units["input_tokens"]
    assert units["output_reasoning_tokens"] <= units["output_tokens"] <= 1000

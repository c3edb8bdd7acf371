"""Quotes: equal to the exact path on every input, or an error with the same reason.

Invariant: the exact path in these tests is the public one, from the split of leaves to the rating.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.period import parse_moment
from pricing_rules.prices import compiled_card
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.quote import CompiledCard, QuoteError, QuoteRequest, compile_book
from tests.pricing_rules.prices.made_books import (
    Json,
    book_json,
    card_json,
    in_force,
    one_card_book,
    read_book,
)

RATES: list[Json] = [
    {"unit": "input_tokens", "rate": "3"},
    {"unit": "cache_read_tokens", "rate": "0.30"},
    {"unit": "output_tokens", "rate": "15"},
]


def card_of(book: PriceBook, *, size_tokens: int = 0, region: str = "") -> CompiledCard:
    return compile_book(book).card(
        model="m", service_tier="standard", size_tokens=size_tokens, region=region
    )


def test_a_request_is_priced_by_its_leaves() -> None:
    card = card_of(one_card_book(RATES))
    units = {"input_tokens": 1000, "cache_read_tokens": 900, "output_tokens": 200}
    # 100 * 3 + 900 * 0.3 + 200 * 15 = 3,570 in a million
    assert card.amount(units) == Fraction(3570, 10**6)
    assert (card.amount_scaled(units), card.digits) == (35_700, 7)  # 0.3 per million: 7 digits
    assert card.denominator == 10**7
    assert card.amount_text(units) == "0.00357"


def test_a_rate_that_does_not_terminate_gives_a_ratio() -> None:
    card = card_of(one_card_book([{"unit": "input_tokens", "per": 3, "rate": "1"}]))
    assert (card.digits, card.denominator) == (None, 3)
    assert card.amount_text({"input_tokens": 4}) == "4/3"
    assert card.amount_text({"input_tokens": 6}) == "2"


def test_requests_count_one_event() -> None:
    card = card_of(one_card_book([*RATES, {"unit": "requests", "per": 1000, "rate": "5"}]))
    assert card.amount({}) == Fraction(5, 1000)
    assert card.amount({"output_tokens": 1}) == Fraction(5015, 10**6)  # 0.005 + 0.000015


def test_a_ladder_of_requests_counts_one_event() -> None:
    bands = [{"up_to": 1, "rate": "2", "flat": "1"}, {"rate": "5"}]
    rate = {
        "unit": "requests",
        "per": 1,
        "ladder": {"id": "r", "kind": "graduated", "bands": bands},
    }
    assert card_of(one_card_book([rate])).amount({}) == 3  # 1 * 2 + 1


def test_units_that_share_a_ladder_pass_through_it_in_order() -> None:
    card = card_of(shared_ladder_book("graduated", last_band={"rate": "1"}))
    # nothing cached; 8 * 2 of input; then 2 * 20 + 3 * 1 of output
    counts = {"output_tokens": 5, "cache_read_tokens": 0, "input_tokens": 8}
    assert card.amount(counts) == 59


def test_the_units_of_a_volume_ladder_end_together() -> None:
    card = card_of(shared_ladder_book("volume", last_band=None))
    assert card.amount({"input_tokens": 8, "output_tokens": 2}) == 56  # 8 * 2 + 2 * 20
    with pytest.raises(QuoteError, match="past the last band of the ladder all"):
        card.amount({"input_tokens": 8, "output_tokens": 3})


def shared_ladder_book(kind: str, *, last_band: Json | None) -> PriceBook:
    """Three units in one ladder with its bound at 10; output costs ten times what input does."""
    rates = {"cache_read_tokens": "1", "input_tokens": "2", "output_tokens": "20"}
    last = [] if last_band is None else [last_band]
    return one_card_book(
        [
            {
                "unit": unit,
                "per": 1,
                "ladder": {
                    "id": "all",
                    "kind": kind,
                    "bands": [{"up_to": 10, "rate": rate}, *last],
                },
            }
            for unit, rate in rates.items()
        ]
    )


def test_zero_counts_need_no_rate() -> None:
    card = card_of(one_card_book(RATES))
    assert card.amount({"web_searches": 0, "input_tokens": 0}) == 0


@pytest.mark.parametrize(
    "units, sentence",
    [
        ({"web_searches": 1}, "book 1 has no rate for web_searches under these conditions"),
        (
            {"input_tokens": 5, "cache_read_tokens": 6},
            "input_tokens (5) is less than what it contains (cache_read_tokens: 6 together)",
        ),
        (
            {"input_tokens": 5, "cache_read_tokens": 3, "input_audio_tokens": 3},
            "input_tokens (5) is less than what it contains (cache_read_tokens, "
            "input_audio_tokens: 6 together)",
        ),
        ({"input_tokens": -1}, "input_tokens must not be negative, and is -1"),
        ({"input": 1}, '"input" is not a unit; tokenworks schema usage-event lists them'),
        ({"requests": 1}, '"requests" is the number of events; leave it out'),
    ],
)
def test_what_has_no_amount_says_why(units: Mapping[str, int], sentence: str) -> None:
    with pytest.raises(QuoteError) as refused:
        card_of(one_card_book(RATES)).amount(units)
    assert str(refused.value) == sentence


def test_two_rates_that_claim_a_leaf_are_ambiguous() -> None:
    book = one_card_book(
        [{"unit": "input_audio_tokens", "rate": "1"}, {"unit": "cache_read_tokens", "rate": "2"}]
    )
    with pytest.raises(QuoteError, match="and neither contains the other"):
        card_of(book).amount({"cache_audio_read_tokens": 1})


@pytest.mark.parametrize("kind", ["graduated", "volume"])
def test_a_ladder_is_quoted_up_to_its_end(kind: str) -> None:
    bands = [{"up_to": 10, "rate": "2"}]
    rate = {"unit": "input_tokens", "per": 1, "ladder": {"id": "in", "kind": kind, "bands": bands}}
    card = card_of(one_card_book([rate]))
    assert [card.amount({"input_tokens": n}) for n in (9, 10)] == [18, 20]
    with pytest.raises(QuoteError, match="past the last band of the ladder in, which ends at 10"):
        card.amount({"input_tokens": 11})


def test_a_model_or_service_tier_without_a_card_is_refused() -> None:
    compiled = compile_book(one_card_book(RATES))
    with pytest.raises(QuoteError, match="book 1 has no rate card of n in standard"):
        compiled.card(model="n", service_tier="standard", size_tokens=0)
    with pytest.raises(QuoteError, match="book 1 has no rate card of m in batch"):
        compiled.card(model="m", service_tier="batch", size_tokens=0)


def test_requests_of_one_size_class_share_a_card() -> None:
    step = {"unit": "input_tokens", "rate": "6", "when": {"request_tokens_over": 200}}
    eu = {"unit": "input_tokens", "rate": "4", "when": {"region": "eu"}}
    book = one_card_book([*RATES, step, eu])
    compiled = compile_book(book)
    cards = [
        compiled.card(model="m", service_tier="standard", size_tokens=size, region=region)
        for size, region in [(0, ""), (200, "us"), (201, ""), (900, "us"), (0, "eu")]
    ]
    assert cards[0] is cards[1]
    assert cards[2] is cards[3]
    rates = [card.amount({"input_tokens": 10**6}) for card in cards]
    assert rates == [3, 3, 6, 6, 4]


def test_plans_of_unit_names_are_kept_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_card, "_MAX_PLANS", 2)
    card = card_of(one_card_book(RATES))
    for name in ("input_tokens", "output_tokens", "cache_read_tokens", "input_tokens"):
        assert card.amount({name: 0}) == 0
    assert len(card._plans) <= 2


def test_a_denominator_that_does_not_cover_a_rate_is_a_bug_and_raises() -> None:
    card = replace(card_of(one_card_book(RATES)), denominator=1)
    with pytest.raises(AssertionError, match="covers every rate"):
        card.amount({"input_tokens": 1})


def request(units: Json, **fields: Any) -> QuoteRequest:
    return QuoteRequest(model="m", service_tier="standard", units=units, **fields)


def test_a_request_before_the_book_is_in_force_is_refused() -> None:
    compiled = compile_book(one_card_book(RATES))
    early = request({"input_tokens": 1}, at="2026-09-30T23:59:59.999999Z")
    with pytest.raises(QuoteError) as refused:
        compiled.amount(early)
    assert str(refused.value) == (
        "book 1 is in force from 2026-10-01T00:00:00Z, and 2026-09-30T23:59:59.999999Z is before"
    )
    with pytest.raises(QuoteError, match="is before"):
        compiled.amount_text(early)
    for at in ("2026-10-01T00:00:00Z", "2027-01-01T00:00:00+14:00", None):
        assert compiled.amount(request({"input_tokens": 1}, at=at)) == Fraction(3, 10**6)


def test_the_size_of_a_request_is_its_input_unless_it_says_so() -> None:
    assert request({"input_tokens": 7}).size_tokens == 7
    assert request({"input_tokens": 7}, request_tokens=0).size_tokens == 0
    assert request({"output_tokens": 7}).size_tokens == 0


def test_a_quote_at_the_switch_is_that_of_the_book_then_in_force() -> None:
    later = read_book(
        book_json([card_json([{"unit": "input_tokens", "rate": "1"}])], number=2)
        | {"effective_from": "2026-11-01T00:00:00Z"}
    )
    found = in_force(one_card_book(RATES), later).at(parse_moment("2026-11-01T00:00:00Z"))
    assert found is later
    assert card_of(later).amount({"input_tokens": 10**6}) == 1

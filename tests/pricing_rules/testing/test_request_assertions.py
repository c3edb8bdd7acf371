"""Assertions on requests at their thresholds: amounts, context steps, ladders, yield.

Invariant: amounts are written down, so that each can be recomputed.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from pricing_rules.prices.quote import QuoteError
from pricing_rules.testing import assertions as pricing
from pricing_rules.testing.request_assertions import Quotes
from tests.pricing_rules.prices.made_books import (
    MTOK,
    book_json,
    card_json,
    one_card_book,
    read_book,
)
from tests.pricing_rules.rules.made_documents import (
    made_book,
    made_factory,
    made_policy,
    made_rule,
    measured,
)
from tests.pricing_rules.testing.claims import (
    BEFORE,
    Json,
    laddered,
    message,
    plain,
    refusal,
)


def test_a_quote_that_has_no_amount_says_why() -> None:
    def claim() -> None:
        pricing.assert_quote(
            BEFORE, amount="1", units={"songs": 1}, model="m", service_tier="standard"
        )

    assert "book 1 has no rate for songs under these conditions" in message(claim)


def test_a_quote_takes_all_that_a_rate_depends_on() -> None:
    rates = [
        plain("1"),
        plain("2", request_tokens_over=100),
        plain("3", region="eu", dimensions={"effort": "high"}, request_tokens_over=100),
        {"unit": "requests", "rate": "0.5", "per": 1},
    ]
    book = read_book({**book_json([card_json(rates)]), "dimensions": {"effort": ["high"]}})
    asked: Json = {
        "units": {"input_tokens": 1_000_000},
        "model": "m",
        "service_tier": "standard",
        "region": "eu",
        "dimensions": {"effort": "high"},
        "at": "2026-10-02T00:00:00Z",
        "request_tokens": 101,
    }
    pricing.assert_quote(book, amount="3.5", **asked)
    pricing.assert_quote(book, amount="1.5", **{**asked, "request_tokens": 100})
    assert Quotes.of(book)(**asked) == Fraction("3.5")
    found = message(lambda: pricing.assert_quote(book, amount="4", **asked))
    assert "they cost 3.5, 0.5 less" in found
    assert (
        "m/standard/input_tokens/effort=high and region=eu and request_tokens>100: 3 per" in found
    )
    assert "m/standard/requests: 0.5 per 1 USD" in found


def test_a_quote_before_its_book_is_in_force_has_no_amount() -> None:
    quotes = Quotes.of(BEFORE)
    with pytest.raises(QuoteError, match="in force from 2026-10-01"):
        quotes({"input_tokens": 1}, model="m", service_tier="standard", at="2026-09-30T23:59:59Z")


STEP = [plain("10"), plain("13", request_tokens_over=100)]


@pytest.mark.parametrize("share, passes", [("0.3", True), ("0.29", False)])
def test_a_jump_at_the_share_passes(share: str, passes: bool) -> None:
    def claim() -> None:
        pricing.assert_no_jump_at_context_step(one_card_book(STEP), share=share)

    if passes:
        claim()
    else:
        assert "rises by 30 %, from 10 to 13 per Mtok at requests of 101 tokens" in message(claim)


def test_what_is_free_in_small_requests_jumps() -> None:
    book = one_card_book([plain("0"), plain("1", request_tokens_at_least=100)])
    found = message(lambda: pricing.assert_no_jump_at_context_step(book, share="1"))
    assert "rises from free, from 0 to 1 per Mtok at requests of 100 tokens" in found


def test_a_unit_that_only_large_requests_have_a_rate_for_does_not_jump() -> None:
    rate = plain("1", unit="web_searches", request_tokens_over=100)
    pricing.assert_no_jump_at_context_step(one_card_book([plain(), rate]), share="0")


@pytest.mark.parametrize("rate, passes", [("100", True), ("99.01", True), ("99", False)])
def test_input_may_fall_by_as_much_as_one_more_token_costs(rate: str, passes: bool) -> None:
    # 100 tokens at 100 are 10,000; 101 at 99.01 are 10,000.01, and at 99 are 9,999.
    book = one_card_book([plain("100"), plain(rate, request_tokens_over=100)])
    if passes:
        pricing.assert_cost_never_falls(book)
    else:
        assert "falls from 100 to 99 per Mtok at requests of 101 tokens" in message(
            lambda: pricing.assert_cost_never_falls(book)
        )


@pytest.mark.parametrize(
    "kind, settings, passes",
    [
        ("graduated", {}, True),
        ("package", {}, True),
        ("volume", {}, False),
        ("volume", {"bounds": "exclusive"}, False),
    ],
)
def test_a_volume_ladder_falls_at_its_bound(kind: str, settings: Json, passes: bool) -> None:
    book = laddered(kind, {"up_to": MTOK, "rate": "2"}, {"rate": "1"}, **settings)
    if passes:
        pricing.assert_cost_never_falls(book)
    else:
        found = message(lambda: pricing.assert_cost_never_falls(book))
        assert found.startswith("cost never falls with quantity: 1 breach\n")
        assert "cost 1." in found


def test_a_bounded_ladder_falls_nowhere_past_its_end() -> None:
    pricing.assert_cost_never_falls(laddered("volume", {"up_to": 1, "rate": "2"}))


def test_usage_that_nothing_was_measured_for_is_not_proven_to_earn_its_cost() -> None:
    book = read_book(
        book_json(
            [
                card_json([plain()], model="x"),
                card_json([plain("9"), plain("9", unit="output_tokens", region="eu")]),
            ]
        )
    )
    found = message(
        lambda: pricing.assert_yield_covers_cost(
            book, factory=made_factory(), policy=made_policy(), measurements=measured()
        )
    )
    assert "x/standard: no measurement says what requests take" in found
    assert "cost: none (no measured cost stands behind this card)" in found
    assert "m/standard: has no rate of output_tokens without a condition" in found


def test_cached_input_without_a_rate_earns_that_of_fresh_input() -> None:
    book = one_card_book([plain("9"), plain("9", unit="output_tokens")])
    pricing.assert_yield_covers_cost(
        book, factory=made_factory(), policy=made_policy(), measurements=measured()
    )


def test_a_condition_that_does_not_earn_its_cost_shows_its_rates() -> None:
    cheap = made_rule("eu", then={"action": "region", "region": "eu", "multiply": "0.5"})
    found = message(
        lambda: pricing.assert_yield_covers_cost(
            made_book(rules=[cheap]),
            factory=made_factory(),
            policy=made_policy(),
            measurements=measured(),
        )
    )
    assert "when region=eu earns 5" in found
    assert "m/standard/output_tokens/region=eu: " in found
    assert "rule: eu: x 0.5 where region=eu" in found


def test_multipliers_are_refused_by_what_looks_at_derived_rates() -> None:
    value = {**book_json([card_json([plain(), plain(unit="output_tokens")])])}
    value["multipliers"] = [{"id": "eu", "factor": "0.5", "when": {"region": "eu"}}]
    claim = refusal(
        lambda: pricing.assert_yield_covers_cost(
            read_book(value),
            factory=made_factory(),
            policy=made_policy(),
            measurements=measured(),
        )
    )
    assert claim == (
        "public number 1: has multipliers, which no derivation makes; write them out as rates"
    )

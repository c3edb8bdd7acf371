"""Assertions on rates at their thresholds, on books that no policy made too.

Invariant: equality passes, and what has no cost or no rate never passes for that reason.
"""

from __future__ import annotations

import pytest

from pricing_rules.prices.price_book import PriceBook
from pricing_rules.testing import assertions as pricing
from tests.pricing_rules.prices.made_books import (
    book_json,
    card_json,
    one_card_book,
    read_book,
)
from tests.pricing_rules.rules.made_documents import (
    made_book,
    made_points,
    made_service_tier,
    measured,
    set_to,
)
from tests.pricing_rules.testing.claims import (
    BEFORE,
    OUTPUT,
    Json,
    book_of,
    message,
    nano_step,
    plain,
)


@pytest.mark.parametrize(
    "rate, passes", [("0.515873014", False), ("0.515873015", True), ("0.515873016", True)]
)
def test_a_rate_at_its_floor_is_not_under_it(rate: str, passes: bool) -> None:
    # 412.698412 us an output token at 1.80 an hour are 0.206349206 per Mtok;
    # 0.206349206 / 0.5 / (1 - 0.20) = 0.515873015
    book = made_book(rules=[set_to(rate, when=OUTPUT), nano_step()])
    if passes:
        pricing.assert_no_rate_under_floor(book)
    else:
        assert "0.515873014 per Mtok is under the floor 0.515873015" in message(
            lambda: pricing.assert_no_rate_under_floor(book)
        )


def test_a_rate_without_a_measured_cost_has_no_floor_to_be_over() -> None:
    value = book_json([{**card_json([plain()]), "cost_none": "no benchmark of it yet"}])
    found = message(lambda: pricing.assert_no_rate_under_floor(read_book(value)))
    assert "m/standard/input_tokens: no floor, because no measured cost stands behind it" in found
    assert "cost: none (no benchmark of it yet)" in found
    assert "no floor" in message(
        lambda: pricing.assert_margin_at_least(read_book(value), share="0")
    )


def test_what_a_subsidy_pays_for_is_not_under_its_floor() -> None:
    subsidy = {
        "id": "launch",
        "owner": "sales",
        "reason": "a launch",
        "ends_at": "2027-01-01T00:00:00Z",
        "budget": {"amount": "1000", "per": "month"},
        "covers": {"units": ["output_tokens"]},
    }
    cheap = set_to("0.01", when={})
    book = made_book(rules=[cheap], changed={"subsidies": [subsidy]})
    found = message(lambda: pricing.assert_no_rate_under_floor(book))
    # input and cached input are under their floors too, and nobody pays for them
    assert found.startswith("no rate lies under its floor: 2 breaches")
    assert "output_tokens: 0.01" not in found
    pricing.assert_no_rate_under_floor(book, units=("output_tokens",))


def test_a_raised_floor_says_which_service_tier_raised_it() -> None:
    # Both take as much; the faster one asks for the smaller margin, so its own floor is lower.
    book = made_book(
        service_tiers=[
            made_service_tier("standard", promise=60),
            made_service_tier("priority", promise=61, margin="0.05"),
        ],
        measurements=measured(made_points(fast_share=1.0)),
        rules=[set_to("0.01", when={**OUTPUT, "service_tiers": ["priority"]})],
    )
    found = message(lambda: pricing.assert_no_rate_under_floor(book))
    assert "running maximum: raised from " in found
    assert "the floor of standard, which is slower" in found
    assert "measured: made.csv rows " in found


@pytest.mark.parametrize("share, passes", [("0.5", True), ("0.5001", False)])
def test_a_margin_at_the_stated_one_passes(share: str, passes: bool) -> None:
    # 0.206349206 / 0.5 is a cost of 0.412698412; 1 - 0 - 0.412698412 / 0.825396824 = 0.5
    book = made_book(rules=[set_to("0.825396824", when=OUTPUT), nano_step()])
    if passes:
        pricing.assert_margin_at_least(book, share=share, units=("output_tokens",))
    else:
        assert "0.825396824 per Mtok leaves 50 % over its full cost" in message(
            lambda: pricing.assert_margin_at_least(book, share=share, units=("output_tokens",))
        )


def test_a_measurement_without_a_date_is_shown_without_one() -> None:
    book = made_book(
        measurements=measured(made_points(measured_date=None)), rules=[set_to("0.1", when=OUTPUT)]
    )
    found = message(lambda: pricing.assert_no_rate_under_floor(book))
    assert "measured: made.csv rows 2, 4, sha256:0" in found


def test_what_is_free_leaves_no_margin() -> None:
    book = made_book(rules=[set_to("0", when=OUTPUT)])
    claim = message(
        lambda: pricing.assert_margin_at_least(book, share="0", units=("output_tokens",))
    )
    assert "m/standard/output_tokens: is free" in claim


def two_service_tiers(batch: Json, standard: Json) -> PriceBook:
    return read_book(book_json([card_json([batch], service_tier="batch"), card_json([standard])]))


ORDER = ("batch", "standard")


def test_equal_rates_are_in_order() -> None:
    pricing.assert_service_tiers_in_order(
        two_service_tiers(plain("1"), plain("1")), slowest_first=ORDER
    )


def test_a_region_that_one_service_tier_has_is_compared_with_the_plain_rate_of_the_other() -> None:
    batch = card_json([plain("1"), plain("3", region="eu")], service_tier="batch")
    book = read_book(book_json([batch, card_json([plain("2")])]))
    found = message(lambda: pricing.assert_service_tiers_in_order(book, slowest_first=ORDER))
    assert (
        "m/batch/input_tokens/region=eu: 3 per Mtok is over the 2 of m/standard/input_tokens"
    ) in found
    assert found.startswith("rates rise in the order batch, standard: 1 breach\n")


def test_a_unit_that_one_service_tier_lacks_is_not_compared() -> None:
    batch = card_json([plain("1"), plain("9", unit="web_searches")], service_tier="batch")
    book = read_book(book_json([batch, card_json([plain("1")])]))
    pricing.assert_service_tiers_in_order(book, slowest_first=ORDER)


def test_ladders_of_other_bounds_are_compared_at_their_worst() -> None:
    def ladder(id_: str, bound: int, *rates: str) -> Json:
        bands = [{"up_to": bound, "rate": rates[0]}, {"rate": rates[1]}]
        return {"unit": "input_tokens", "ladder": {"id": id_, "kind": "graduated", "bands": bands}}

    same = two_service_tiers(ladder("a", 10, "3", "1"), ladder("b", 10, "4", "2"))
    pricing.assert_service_tiers_in_order(same, slowest_first=ORDER)
    other = two_service_tiers(ladder("a", 20, "3", "1"), ladder("b", 10, "4", "2"))
    found = message(lambda: pricing.assert_service_tiers_in_order(other, slowest_first=ORDER))
    assert "3 per Mtok is over the 2 of" in found


def test_a_free_rate_below_a_paid_one_is_out_of_order() -> None:
    book = two_service_tiers(plain("1"), plain("0"))
    found = message(lambda: pricing.assert_service_tiers_in_order(book, slowest_first=ORDER))
    assert "1 per Mtok is over the 0 of m/standard/input_tokens, which is faster" in found


@pytest.mark.parametrize(
    "batch, step, passes",
    [
        ("0.1715", None, True),
        ("0.1716", None, False),
        ("0.172", "0.001", True),  # 0.5 x 0.343 = 0.1715, up to 0.172
        ("0.173", "0.001", False),
    ],
)
def test_a_share_is_held_to_the_step_of_price_points(
    batch: str, step: str | None, passes: bool
) -> None:
    book = two_service_tiers(plain(batch), plain("0.343"))

    def claim() -> None:
        pricing.assert_service_tier_at_most(
            book, service_tier="batch", share="0.5", of="standard", step=step
        )

    if passes:
        claim()
    else:
        assert "% of the 0.343 of m/standard/input_tokens" in message(claim)


def test_what_costs_something_beside_what_is_free_is_over_any_share() -> None:
    book = two_service_tiers(plain("1"), plain("0"))
    found = message(
        lambda: pricing.assert_service_tier_at_most(
            book, service_tier="batch", share="0.5", of="standard"
        )
    )
    assert "1 per Mtok is over the 0 of m/standard/input_tokens" in found


def test_cached_input_without_a_rate_costs_what_fresh_input_does() -> None:
    book = one_card_book([plain("1"), plain("2", unit="output_tokens")])
    pricing.assert_cached_input_at_most(book)
    found = message(lambda: pricing.assert_cached_input_at_most(book, share="0.99"))
    assert (
        "m/standard/input_tokens: 1 per Mtok is 100 % of the 1 of m/standard/input_tokens" in found
    )


def test_cached_audio_is_held_against_fresh_audio() -> None:
    book = one_card_book(
        [
            plain("1"),
            plain("8", unit="input_audio_tokens"),
            plain("0.1", unit="cache_read_tokens"),
            plain("5", unit="cache_audio_read_tokens"),
        ]
    )
    found = message(lambda: pricing.assert_cached_input_at_most(book, share="0.5"))
    assert found.startswith("cached input costs at most 50 % of fresh: 1 breach\n")
    assert (
        "cache_audio_read_tokens: 5 per Mtok is 62.5 % of the 8 of m/standard/input_audio" in found
    )


def test_a_card_without_input_has_no_cached_input() -> None:
    pricing.assert_cached_input_at_most(one_card_book([plain(unit="output_tokens")]), share="0")


@pytest.mark.parametrize(
    "rate, sentence",
    [
        ("11", ""),
        ("9", ""),
        ("11.01", "m/standard/input_tokens: 10 -> 11.01 per Mtok is a change by 10.1 %"),
        ("8.99", "m/standard/input_tokens: 10 -> 8.99 per Mtok is a change by -10.1 %"),
    ],
)
def test_a_change_at_the_share_passes(rate: str, sentence: str) -> None:
    after = book_of(2, card_json([plain(rate), plain("0", unit="output_tokens")]))

    def claim() -> None:
        pricing.assert_change_at_most(after, previous=BEFORE, share="0.10")

    if sentence:
        assert sentence in message(claim)
    else:
        claim()


def test_what_was_free_and_is_paid_now_is_a_breach() -> None:
    after = book_of(2, card_json([plain("10"), plain("0.1", unit="output_tokens")]))
    found = message(lambda: pricing.assert_change_at_most(after, previous=BEFORE, share="1"))
    assert "m/standard/output_tokens: 0 -> 0.1 per Mtok is no longer free" in found


def test_a_rate_that_is_gone_is_a_breach_and_a_new_one_is_none() -> None:
    new = card_json([plain("99")], model="new")
    after = book_of(2, card_json([plain("10"), plain("99", unit="web_searches")]), new)
    found = message(lambda: pricing.assert_change_at_most(after, previous=BEFORE, share="0"))
    assert "m/standard/output_tokens: has no rate any more; it was 0" in found
    gone = book_of(2, new)
    found = message(lambda: pricing.assert_change_at_most(gone, previous=BEFORE, share="0"))
    assert found.startswith("rates change by at most 0 % against public number 1: 2 breaches")


def test_a_new_context_step_changes_what_large_requests_pay() -> None:
    after = book_of(2, card_json([plain("10"), plain("20", request_tokens_over=100)]))
    found = message(
        lambda: pricing.assert_change_at_most(
            after, previous=BEFORE, share="0.5", units=("input_tokens",)
        )
    )
    assert (
        "m/standard/input_tokens/request_tokens>100: 10 -> 20 per Mtok is a change by 100 %"
        in found
    )

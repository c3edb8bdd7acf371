"""What must hold of the price book before anybody publishes it."""

from __future__ import annotations

from decimal import Decimal

from pricing_rules.cost.factory import Factory
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.rules.policy import Policy
from pricing_rules.testing import assertions as pricing
from pricing_rules.testing.request_assertions import Quotes
from pricing_rules.usage.mix import UsageMix


def test_nothing_is_sold_under_its_floor(candidate: PriceBook) -> None:
    pricing.assert_no_rate_under_floor(candidate)


def test_interactive_service_tiers_leave_48_percent_of_output(candidate: PriceBook) -> None:
    pricing.assert_margin_at_least(
        candidate, share="0.48", service_tiers=("standard", "priority"), units=("output_tokens",)
    )


def test_faster_is_never_cheaper(candidate: PriceBook) -> None:
    pricing.assert_service_tiers_in_order(
        candidate, slowest_first=("batch", "standard", "priority")
    )


def test_batch_is_at_most_55_percent_of_standard(candidate: PriceBook) -> None:
    # Half is the rule; the floor of Llama-3.1-70B lifts its output to 54 %.
    pricing.assert_service_tier_at_most(
        candidate, service_tier="batch", share="0.55", of="standard", step="0.001"
    )


def test_cached_input_is_a_tenth_of_input(candidate: PriceBook) -> None:
    pricing.assert_cached_input_at_most(candidate, share="0.10", step="0.0001")


def test_no_rate_moves_by_over_ten_percent(candidate: PriceBook, previous_book: PriceBook) -> None:
    pricing.assert_change_at_most(candidate, previous=previous_book, share="0.10")


def test_every_promise_can_be_kept(candidate: PriceBook, policy: Policy) -> None:
    pricing.assert_promises_reachable(candidate, policy=policy)


def test_every_model_is_sold_in_every_service_tier(candidate: PriceBook, policy: Policy) -> None:
    pricing.assert_every_model_priced(candidate, policy=policy)


def test_whole_requests_earn_their_cost(
    candidate: PriceBook,
    factory: Factory,
    policy: Policy,
    measurements: Measurements,
    usage_mix: UsageMix,
) -> None:
    pricing.assert_yield_covers_cost(
        candidate, factory=factory, policy=policy, measurements=measurements, mixes=(usage_mix,)
    )


def test_long_requests_cost_at_most_30_percent_more_a_token(candidate: PriceBook) -> None:
    pricing.assert_no_jump_at_context_step(candidate, share="0.30")


def test_more_never_costs_less(candidate: PriceBook) -> None:
    pricing.assert_cost_never_falls(candidate)


def test_equal_cost_means_equal_price(candidate: PriceBook, policy: Policy) -> None:
    pricing.assert_equal_cost_means_equal_price(candidate, policy=policy)


def test_rates_are_tenths_of_a_cent(candidate: PriceBook) -> None:
    pricing.assert_price_points(candidate, step="0.001", units=("input_tokens", "output_tokens"))
    pricing.assert_price_points(candidate, step="0.0001", units=("cache_read_tokens",))


def test_the_advertised_example_costs_what_we_say(candidate: PriceBook) -> None:
    # 1,000 fresh input tokens at 0.039, 200 cached at 0.0039 and 300 output tokens at 0.349 per
    # million: 0.000039 + 0.00000078 + 0.0001047
    pricing.assert_quote(
        candidate,
        amount="0.00014448",
        units={"input_tokens": 1200, "cache_read_tokens": 200, "output_tokens": 300},
        model="gpt-oss-120b",
        service_tier="standard",
    )


def test_a_long_answer_costs_under_two_cents(quote: Quotes) -> None:
    amount = quote({"output_tokens": 10_000}, model="Llama-3.1-70B", service_tier="priority")
    assert amount < Decimal("0.02")


def test_nothing_needs_a_sign_off_but_what_we_know(candidate: PriceBook) -> None:
    # Mean requests of two accounts lie outside of the measured shapes, and with them the usage mix
    # of two rate cards. The sample derives throughput from TTFT, TPOT and concurrency.
    pricing.assert_findings_only(
        candidate, kinds=("extrapolated", "flagged", "overcharge", "unproven")
    )

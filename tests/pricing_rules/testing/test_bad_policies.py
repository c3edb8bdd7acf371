"""Each assertion catches a policy or a book that is bad in its way, and says what it rests on.

Invariant: every test here edits one thing in the example repository, whose own tests all pass.
"""

from __future__ import annotations

import pytest

from pricing_rules.testing import assertions as pricing
from pricing_rules.testing.files import PolicyFiles
from tests.pricing_rules.testing.example_files import DIGEST, Edits, edited, example

__all__ = ["edited", "example"]  # fixtures

MEASURED = "measured: aiconfigurator-core-0.12.0/silicon_sample.csv rows "

GPT_BATCH = "models: [gpt-oss-120b], service_tiers: [batch], units: [output_tokens]"


def set_rule(rate: str, *, when: str = GPT_BATCH, why: str = "we win the market with it") -> str:
    return (
        f"  - id: giveaway\n    when: {{{when}}}\n"
        f'    then: {{action: set, rate: "{rate}"}}\n    why: "{why}"'
    )


def shows(caught: pytest.ExceptionInfo[AssertionError], *parts: str) -> None:
    """The message has these parts, in this order."""
    message = str(caught.value)
    at = 0
    for part in parts:
        assert part in message[at:], f"{part!r} is not in the rest of:\n{message}"
        at = message.index(part, at) + len(part)


def test_a_rate_under_its_floor_is_caught(edited: Edits) -> None:
    book = edited.with_rule(set_rule("0.1")).candidate
    with pytest.raises(AssertionError) as caught:
        pricing.assert_no_rate_under_floor(book)
    # (0.183933515 - 0.1) / 0.183933515 = 0.456325...
    shows(
        caught,
        "no rate lies under its floor: 2 breaches",
        "1. gpt-oss-120b/batch/output_tokens: 0.1 per Mtok is under the floor 0.183933515, by "
        "45.6325 % of it",
        "gpt-oss-120b/batch/output_tokens: 0.1 per 1,000,000 USD",
        "rule: giveaway: set to 0.1: ",
        "(we win the market with it)",
        "floor: full floor 0.183933515 per Mtok = (0.0843594168 / 0.5 + 0.0005) / (1 - 0.05 - 0.03",
        f"{MEASURED}1914, 2346, ",
        f", 2026-02-25, 2026-03-27, {DIGEST}",
        "2. gpt-oss-120b/batch/output_tokens/request_tokens>8192: 0.1 per Mtok",
    )


def test_a_margin_under_the_stated_one_is_caught(edited: Edits) -> None:
    book = edited.with_rule(set_rule("0.19")).candidate
    pricing.assert_no_rate_under_floor(book)
    with pytest.raises(AssertionError) as caught:
        pricing.assert_margin_at_least(book, share="0.09", models=("gpt-oss-120b",))
    # cost 0.0843594168 / 0.5 + 0.0005 = 0.1692188336; 1 - 0.03 - 0.1692188336 / 0.19 = 0.079374...
    shows(
        caught,
        "each rate leaves a margin of at least 9 %: 2 breaches",
        "gpt-oss-120b/batch/output_tokens: 0.19 per Mtok leaves 7.9374 % over its full cost and "
        "the 3 % of revenue that goes away",
        "rule: giveaway: set to 0.19: ",
        "(we win the market with it)",
        "floor: full floor 0.183933515",
        MEASURED,
        DIGEST,
    )


def test_a_faster_service_tier_that_is_cheaper_is_caught(edited: Edits) -> None:
    rule = set_rule(
        "0.3", when="models: [gpt-oss-120b], service_tiers: [priority], units: [output_tokens]"
    )
    with pytest.raises(AssertionError) as caught:
        pricing.assert_service_tiers_in_order(
            edited.with_rule(rule).candidate, slowest_first=("batch", "standard", "priority")
        )
    shows(
        caught,
        "rates rise in the order batch, standard, priority: 2 breaches",
        "gpt-oss-120b/standard/output_tokens/request_tokens>8192: 0.436 per Mtok is over the 0.3 "
        "of gpt-oss-120b/priority/output_tokens/request_tokens>8192, which is faster",
        "rule: long-context: ",
        "rule: giveaway: set to 0.3: ",
        "(we win the market with it)",
        "floor: full floor 0.261315589",
        MEASURED,
        DIGEST,
    )


def test_cached_input_that_is_dearer_than_fresh_is_caught(edited: Edits) -> None:
    book = edited.files(("policy.yaml", 'factor: "0.10"', 'factor: "1.20"')).candidate
    with pytest.raises(AssertionError) as caught:
        pricing.assert_cached_input_at_most(book, models=("gpt-oss-120b",))
    # 1.20 x 0.03830916304 = 0.045970995648, up to 0.046; fresh is 0.039
    shows(
        caught,
        "cached input costs at most 100 % of fresh: 6 breaches",
        "gpt-oss-120b/standard/cache_read_tokens: 0.046 per Mtok is 117.9487 % of the 0.039 of "
        "gpt-oss-120b/standard/input_tokens",
    )
    shows(
        caught, "rule: cached-input: 1.20 x the rate of input_tokens", "floor: ", MEASURED, DIGEST
    )


def test_batch_over_its_share_of_standard_is_caught(edited: Edits) -> None:
    book = edited.files(("policy.yaml", 'factor: "0.50"', 'factor: "0.80"')).candidate
    with pytest.raises(AssertionError) as caught:
        pricing.assert_service_tier_at_most(
            book, service_tier="batch", share="0.55", of="standard", step="0.001"
        )
    shows(
        caught,
        "batch asks at most 55 % of standard: 12 breaches",
        "% of the ",
        "rule: batch-discount: 0.80 x the rate of standard",
        "half the standard rate is what the market asks",
        "floor: full floor",
        MEASURED,
        DIGEST,
    )


def test_a_change_over_the_largest_is_caught(edited: Edits) -> None:
    files = edited.files(("policy.yaml", 'share: "0.60"', 'share: "0.90"'))
    with pytest.raises(AssertionError) as caught:
        pricing.assert_change_at_most(
            files.candidate, previous=files.previous_book, share="0.10", models=("Llama-3.1-70B",)
        )
    # 0.525818522 x 1.90 = 0.99905..., up to 1; the book before has 0.816: 0.184 / 0.816 = 22.549 %
    shows(caught, "rates change by at most 10 % against example number 7: ")
    shows(
        caught,
        "Llama-3.1-70B/standard/output_tokens: 0.816 -> 1 per Mtok is a change by 22.549 %",
    )
    shows(caught, "rule: list-markup: floor x (1 + 0.90)", "room over the floor", "floor: ", DIGEST)


def test_a_promise_that_no_measurement_keeps_is_caught(edited: Edits) -> None:
    files = edited.files(
        ("policy.yaml", "interactivity_tokens_per_s: 90", "interactivity_tokens_per_s: 130")
    )
    with pytest.raises(AssertionError) as caught:
        pricing.assert_promises_reachable(files.candidate, policy=files.policy)
    shows(
        caught,
        "every promise can be kept: ",
        "Llama-3.1-70B/priority promises 130 output tokens/s per user (mean): ",
        "h200_sxm serves none of Llama-3.1-70B in priority: its measured shapes all reach ",
    )
    shows(caught, DIGEST)


def test_a_model_without_a_rate_card_is_caught(edited: Edits) -> None:
    files = edited.files(
        (
            "policy.yaml",
            '    minimum_margin: "0.30"',
            '    minimum_precision: fp8\n    minimum_margin: "0.30"',
        )
    )
    with pytest.raises(AssertionError) as caught:
        pricing.assert_every_model_priced(files.candidate, policy=files.policy)
    shows(
        caught,
        "every model is priced in every service tier: 1 breach",
        "gpt-oss-120b/priority has no rates: fp4 is under the promised fp8",
        "factory: factory.yaml, sha256:",
        "measurement: h200_b200.jsonl, sha256:",
        "policy: policy.yaml, sha256:",
    )


def test_requests_that_no_longer_earn_their_cost_are_caught(
    example: PolicyFiles, edited: Edits
) -> None:
    # The book holds at today's hours, and not where an hour of H200 costs twice as much.
    dearer = edited.files(("factory.yaml", 'value: "1.22"', 'value: "2.44"'))
    with pytest.raises(AssertionError) as caught:
        pricing.assert_yield_covers_cost(
            example.candidate,
            factory=dearer.factory,
            policy=dearer.policy,
            measurements=dearer.measurements,
            mixes=(dearer.usage_mix,),
        )
    shows(
        caught,
        "every request earns the floor of what it takes: ",
        "% of its floor; 3 of 3 measured requests fall short",
        "rule: batch-discount: ",
        "floor: full floor",
        MEASURED,
        DIGEST,
    )
    shows(caught, "gpt-oss-120b/batch: the mean request of harbor-labs, 3000/700 tokens, earns ")


def test_an_amount_other_than_the_stated_one_is_caught(edited: Edits) -> None:
    book = edited.files(("policy.yaml", 'share: "0.60"', 'share: "0.70"')).candidate
    with pytest.raises(AssertionError) as caught:
        pricing.assert_quote(
            book,
            amount="0.00014448",
            units={"input_tokens": 1200, "cache_read_tokens": 200, "output_tokens": 300},
            model="gpt-oss-120b",
            service_tier="standard",
        )
    # 1,000 x 0.041 + 200 x 0.0041 + 300 x 0.37 = 152.82 per million
    shows(
        caught,
        "1200 input_tokens, 200 cache_read_tokens, 300 output_tokens of gpt-oss-120b in standard "
        "cost 0.00014448 USD: 1 breach",
        "1. they cost 0.00015282, 0.00000834 more",
        "gpt-oss-120b/standard/cache_read_tokens: 0.0041 per 1,000,000 USD",
        "gpt-oss-120b/standard/input_tokens: 0.041 per 1,000,000 USD",
        "gpt-oss-120b/standard/output_tokens: 0.37 per 1,000,000 USD",
        "rule: list-markup: floor x (1 + 0.70): ",
        "(room over the floor for discounts that agreements allow)",
        "floor: full floor 0.217524021",
        MEASURED,
        DIGEST,
    )


def test_a_jump_at_a_context_step_is_caught(edited: Edits) -> None:
    book = edited.files(("policy.yaml", 'multiply: "1.25"', 'multiply: "2.00"')).candidate
    with pytest.raises(AssertionError) as caught:
        pricing.assert_no_jump_at_context_step(book, share="0.30", units=("output_tokens",))
    shows(caught, "no rate jumps by over 30 % at a context step: 6 breaches")
    shows(
        caught,
        "gpt-oss-120b/priority/output_tokens/request_tokens>8192: rises by ",
        " per Mtok at requests of 8193 tokens",
    )
    shows(caught, "rule: long-context: x 2.00 where request_tokens>8192: ", "floor: ", DIGEST)


def test_a_context_step_that_makes_more_cost_less_is_caught(edited: Edits) -> None:
    book = edited.files(("policy.yaml", 'multiply: "1.25"', 'multiply: "0.90"')).candidate
    with pytest.raises(AssertionError) as caught:
        pricing.assert_cost_never_falls(book, service_tiers=("standard",))
    shows(
        caught,
        "cost never falls with quantity: 6 breaches",
        "falls from ",
        "rule: long-context: x 0.90 where request_tokens>8192: ",
        "(requests over the longest measured input hold more memory for longer)",
        "floor: ",
        MEASURED,
        DIGEST,
    )


def test_a_volume_ladder_that_makes_more_cost_less_is_caught(edited: Edits) -> None:
    rule = (
        "  - id: volume-discount\n"
        "    when: {models: [gpt-oss-120b], service_tiers: [priority], units: [output_tokens]}\n"
        "    then:\n      action: ladder\n      id: out\n      kind: volume\n      bands:\n"
        '        - {up_to: 1000000, multiply: "1"}\n        - {multiply: "0.80"}\n'
        '    why: "volume"'
    )
    with pytest.raises(AssertionError) as caught:
        pricing.assert_cost_never_falls(edited.with_rule(rule).candidate)
    # 1,000,000 at 0.419 are 0.419; one more at 0.336 (0.3352 up to a price point) is 0.336000336
    shows(
        caught,
        "cost never falls with quantity: 2 breaches",
        "gpt-oss-120b/priority/output_tokens: 1000000 cost 0.419 and 1000001 cost 0.336000336",
        "volume ladder out per 1,000,000 (up to 1000000: 0.419, above: 0.336) USD",
        "rule: volume-discount: volume ladder out: x 1 up to 1000000, x 0.80 above",
        "(volume)",
        "floor: full floor 0.261315589",
        MEASURED,
        DIGEST,
    )


def test_equal_cost_at_unequal_prices_is_caught(edited: Edits) -> None:
    files = edited.files(
        ("factory.yaml", "[batch, standard, priority]", "[batch, standard, express, priority]"),
        (
            "policy.yaml",
            "  - name: priority\n",
            "  - name: express\n    pool: main\n"
            "    promise: {interactivity_tokens_per_s: 50, statistic: mean}\n"
            '    minimum_margin: "0.20"\n  - name: priority\n',
        ),
        (
            "policy.yaml",
            "  - id: batch-discount\n",
            "  - id: plus\n    when: {service_tiers: [express]}\n"
            '    then: {action: multiply, factor: "1.40"}\n    why: "it sells"\n'
            "  - id: batch-discount\n",
        ),
    )
    with pytest.raises(AssertionError) as caught:
        pricing.assert_equal_cost_means_equal_price(files.candidate, policy=files.policy)
    shows(caught, "equal cost means equal price: ")
    shows(
        caught,
        "gpt-oss-120b/express/output_tokens is 0.488 and gpt-oss-120b/standard/output_tokens 0.349",
    )
    shows(caught, "rule: plus: x 1.40: ", "(it sells)", "floor: ", MEASURED, DIGEST)


def test_a_rate_that_is_no_price_point_is_caught(edited: Edits) -> None:
    book = edited.files(("policy.yaml", 'step: "0.001"', 'step: "0.0007"')).candidate
    with pytest.raises(AssertionError) as caught:
        pricing.assert_price_points(
            book, step="0.001", models=("gpt-oss-120b",), units=("input_tokens",)
        )
    # 0.03830916304 up to a multiple of 0.0007 is 55 x 0.0007 = 0.0385
    shows(caught, "each rate is a price point, a multiple of 0.001 per Mtok: ")
    shows(caught, "gpt-oss-120b/standard/input_tokens: 0.0385 per Mtok is no multiple of 0.001")
    shows(
        caught, "rule: price-point: up to a multiple of 0.0007", "(rates that people can read)",
        "floor: ", MEASURED, DIGEST,
    )  # fmt: skip


def test_a_finding_of_another_kind_is_caught(edited: Edits) -> None:
    book = edited.with_rule(set_rule("0.1")).candidate
    with pytest.raises(AssertionError) as caught:
        pricing.assert_findings_only(
            book, kinds=("overcharge", "unproven", "yield", "largest_change", "service_tier_spread")
        )
    shows(
        caught,
        "the book has no findings but of largest_change, overcharge, ",
        "under_floor:gpt-oss-120b/batch/output_tokens: gpt-oss-120b/batch/output_tokens: the rate "
        "0.1 is under the floor 0.183933515",
        "rule: giveaway: set to 0.1: ",
        "(we win the market with it)",
        "floor: full floor 0.183933515",
        MEASURED,
        DIGEST,
    )

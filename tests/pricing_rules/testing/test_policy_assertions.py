"""Assertions on a book against its policy, and what no assertion can be asked.

Invariant: what cannot be tested is refused in one sentence and never passes.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pricing_rules.testing import assertions as pricing
from pricing_rules.testing.breaches import SHOWN_SENTENCES
from pricing_rules.testing.files import PolicyFiles
from tests.pricing_rules.prices.made_books import (
    card_json,
)
from tests.pricing_rules.rules.made_documents import (
    made_book,
    made_factory,
    made_policy,
    made_rule,
    made_service_tier,
)
from tests.pricing_rules.testing.claims import (
    BEFORE,
    book_of,
    message,
    plain,
    refusal,
)
from tests.pricing_rules.testing.example_files import example

__all__ = ["example"]  # a fixture


def test_a_book_that_was_made_for_another_promise_is_a_breach() -> None:
    policy = made_policy(service_tiers=[made_service_tier("standard", promise=61)])
    found = message(lambda: pricing.assert_promises_reachable(made_book(), policy=policy))
    assert (
        "m/standard promises 61 output tokens/s per user (mean), and the book was made for: "
        "60 output tokens/s per user (mean)"
    ) in found
    assert "measured: made.csv rows " in found


def test_a_promise_without_a_measurement_is_a_breach() -> None:
    found = message(lambda: pricing.assert_promises_reachable(BEFORE, policy=made_policy()))
    assert (
        "m/standard promises 60 output tokens/s per user (mean), and nothing was measured for it"
    ) in found
    assert "cost: none (no measured cost stands behind this card)" in found


def test_a_promise_that_nothing_keeps_is_told_with_the_documents_of_the_book() -> None:
    tiers = [made_service_tier("standard", promise=60), made_service_tier("fast", promise=500)]
    policy = made_policy(service_tiers=tiers)
    factory = made_factory(service_tiers=("standard", "fast"))
    book = made_book(service_tiers=tiers, factory=factory)
    found = message(lambda: pricing.assert_promises_reachable(book, policy=policy))
    assert "m/fast promises 500 output tokens/s per user (mean): m/fast has no rates: " in found
    assert "measurement: made.csv, sha256:0" in found
    pricing.assert_promises_reachable(book, policy=policy, service_tiers=("standard",))


def test_a_book_by_hand_lacks_models_and_units_of_the_policy() -> None:
    models = [{"name": "m", "precision": "fp8"}, {"name": "n", "precision": "fp8"}]
    policy = made_policy(changed={"models": models})
    found = message(lambda: pricing.assert_every_model_priced(BEFORE, policy=policy))
    assert (
        found
        == "every model is priced in every service tier: 1 breach\n1. n/standard has no rate card"
    )
    found = message(
        lambda: pricing.assert_every_model_priced(
            BEFORE, policy=policy, models=("m",), units=("cache_read_tokens", "web_searches")
        )
    )
    # cached input takes the rate of input
    assert "1. m/standard: has no rate of web_searches" in found
    assert "cost: none (no measured cost stands behind this card)" in found


def test_a_finding_on_the_whole_book_is_told_with_its_documents() -> None:
    rule = made_rule("nothing", then={"action": "set", "rate": "1"}, when={"regions": ["eu"]})
    found = message(lambda: pricing.assert_findings_only(made_book(rules=[rule])))
    assert found.startswith("the book has no findings: ")
    assert "rule_unmet:nothing: the rule nothing holds for no rate of the book" in found
    assert "policy: policy.yaml, sha256:1" in found


def test_a_book_without_findings_has_none() -> None:
    pricing.assert_findings_only(BEFORE)


def test_fair_rates_pass(example: PolicyFiles) -> None:
    pricing.assert_equal_cost_means_equal_price(example.candidate, policy=example.policy)


@pytest.mark.parametrize(
    "claim, sentence",
    [
        (
            lambda: pricing.assert_margin_at_least(BEFORE, share="30%"),
            'share: must be a plain decimal such as "0.25", not "30%"',
        ),
        (
            lambda: pricing.assert_margin_at_least(BEFORE, share="30"),
            'share: must be at most 1, not "30"; write 20 % as "0.20"',
        ),
        (
            lambda: pricing.assert_equal_cost_means_equal_price(BEFORE, policy=made_policy()),
            "public number 1: has no measured cost of m in standard to compare",
        ),
        (
            lambda: pricing.assert_price_points(BEFORE, step="0"),
            'step: must be above 0; write it as "0.01"',
        ),
        (
            lambda: pricing.assert_service_tiers_in_order(BEFORE, slowest_first=("standard",)),
            "slowest_first: names less than two service tiers; name the order",
        ),
        (
            lambda: pricing.assert_service_tiers_in_order(
                book_of(1, card_json([plain()]), card_json([plain()], model="n", service_tier="x")),
                slowest_first=("x", "standard"),
            ),
            "public number 1: has no model in two of these service tiers",
        ),
        (
            lambda: pricing.assert_service_tier_at_most(
                book_of(1, card_json([plain()]), card_json([plain()], model="n", service_tier="x")),
                service_tier="x",
                share="1",
                of="standard",
            ),
            "public number 1: has no model in both x and standard",
        ),
        (
            lambda: pricing.assert_change_at_most(made_book(), previous=BEFORE, share="1"),
            "previous: is public number 1 in USD, not a book before made number 1",
        ),
        (
            lambda: pricing.assert_quote(
                BEFORE, amount="1e3", units={}, model="m", service_tier="standard"
            ),
            'amount: must be a plain decimal or "n/d", not "1e3"',
        ),
        (
            lambda: pricing.assert_findings_only(BEFORE, kinds=("typo",)),
            'kinds: "typo" is no kind of finding; write (unreachable_promise, ',
        ),
        (
            lambda: pricing.assert_findings_only(BEFORE, kinds="yield"),
            'kinds: "yield" is no kind of finding; write (unreachable_promise, ',
        ),
        (
            lambda: pricing.assert_promises_reachable(
                BEFORE, policy=made_policy(), models=("gpt",)
            ),
            "policy made: has no gpt among its models: m",
        ),
    ],
)
def test_what_cannot_be_tested_is_one_sentence(claim: Callable[[], object], sentence: str) -> None:
    assert refusal(claim).startswith(sentence)


def test_of_many_breaches_a_message_tells_the_worst_and_how_many_there_are() -> None:
    cards = [card_json([plain("1.001")], model=f"m{i:03}") for i in range(SHOWN_SENTENCES + 2)]
    found = message(lambda: pricing.assert_price_points(book_of(1, *cards), step="0.01"))
    assert found.splitlines()[-1] == "and 2 more"
    assert found.count("cost: none") == 3

"""Equal cost, unequal rate, no recorded reason: what is a finding, and what is not.

Invariant: floors and rates in these tests are written down, so that each share can be recomputed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.rules.fairness import unequal_rates
from pricing_rules.rules.floors import Found
from pricing_rules.rules.rate_chain import DerivedRate, run_rules, start_at_floor
from tests.pricing_rules.rules.made_documents import (
    finding_ids,
    made_book,
    made_factory,
    made_points,
    made_policy,
    made_rule,
    made_service_tier,
    measured,
)


def started(model: str, *, floor: str, service_tier: str = "standard") -> DerivedRate:
    return start_at_floor(
        Decimal(floor), model=model, service_tier=service_tier, unit="output_tokens", why="a floor"
    )


def found(*rates: DerivedRate, rules: Any = (), service_tiers: Any = ()) -> list[Found]:
    models = [{"name": name, "precision": "fp8"} for name in sorted({r.model for r in rates})]
    policy = made_policy(rules=rules, service_tiers=service_tiers, changed={"models": models})
    return list(unequal_rates(run_rules(rates, policy=policy).rates))


def dearer(model: str = "b", *, factor: str = "1.3", why: str = "room for discounts") -> Any:
    rule = made_rule("more", then={"action": "multiply", "factor": factor})
    return {**rule, "when": {"models": [model]}, "why": why}


A, B = started("a", floor="1"), started("b", floor="1")


def test_a_rate_that_is_dearer_at_equal_cost_for_no_reason_is_a_finding() -> None:
    (one,) = found(A, B, rules=[dearer()])
    assert (one.kind, one.about) == ("unequal_rate", "b/standard/output_tokens")
    assert one.sentence == (
        "b/standard/output_tokens is 1.3 and a/standard/output_tokens 1, over floors of 1 and 1, "
        "for no recorded reason; say in the why of more what it is dearer for"
    )


@pytest.mark.parametrize(
    "why, told",
    [
        ("b is licensed from its maker", True),
        ("what B gives is worth more", True),
        ("dearer than a for its licence", True),
        ("abc is licensed", False),  # a word, not a part of one
        ("model-b is licensed", False),
        ("room for discounts", False),
    ],
)
def test_a_reason_names_the_model_as_a_word(why: str, told: bool) -> None:
    assert (found(A, B, rules=[dearer(why=why)]) == []) == told


def test_a_reason_of_a_service_tier_names_it() -> None:
    tiers = [made_service_tier("standard", promise=60), made_service_tier("gold", promise=60)]
    gold = started("a", floor="1", service_tier="gold")
    rule = made_rule("more", then={"action": "multiply", "factor": "1.3"},
                     when={"service_tiers": ["gold"]})  # fmt: skip
    assert len(found(A, gold, rules=[rule], service_tiers=tiers)) == 1
    named = {**rule, "why": "gold is answered first"}
    assert found(A, gold, rules=[named], service_tiers=tiers) == []
    # Naming the model says nothing: both are of it.
    other = {**rule, "why": "a is liked"}
    assert len(found(A, gold, rules=[other], service_tiers=tiers)) == 1


@pytest.mark.parametrize(
    "floor, alike",
    # 1 % of the higher of two floors: 1 and 1.0101... differ by it; .99 / 1 is at it.
    [("0.9899", False), ("0.99", True), ("1", True), ("1.01", True), ("1.0102", False)],
)
def test_floors_within_one_percent_are_equal(floor: str, alike: bool) -> None:
    rule = made_rule("set", then={"action": "set", "rate": "2"}, when={"models": ["b"]})
    assert bool(found(A, started("b", floor=floor), rules=[rule])) == alike


@pytest.mark.parametrize(
    "factor, unequal",
    # 1 against 1.0101: .0101 is under 1 % of 1.0101; 1.0102 - 1 = .0102 over 1 % of 1.0102
    [("1.0101", False), ("1.0102", True)],
)
def test_rates_within_one_percent_are_equal(factor: str, unequal: bool) -> None:
    assert bool(found(A, B, rules=[dearer(factor=factor)])) == unequal


def test_a_difference_of_one_rounding_step_is_none() -> None:
    point = made_rule("point", then={"action": "round_up_to", "step": "0.5"})
    # floors 1 and 1.001, up to 1 and 1.5: half as much again, and one step.
    assert found(A, started("b", floor="1.001"), rules=[point]) == []
    # Of two steps the larger counts: 1.49 is under a step of .5 over 1, whichever has that step.
    for model in ("a", "b"):
        own = {**point, "when": {"models": [model]}}
        assert found(A, B, rules=[dearer(factor="1.49"), own]) == []


def test_the_reasons_of_a_related_rate_count() -> None:
    tiers = [made_service_tier("standard", promise=60), made_service_tier("batch")]
    rates = [
        started(model, floor="1", service_tier=name)
        for model in ("a", "b")
        for name in ("standard", "batch")
    ]
    half = made_rule("half", then={"action": "relate", "service_tier": "standard", "factor": "0.5"},
                     when={"service_tiers": ["batch"]})  # fmt: skip
    only = {**dearer(), "when": "model == 'b' && service_tier == 'standard'"}
    # batch of a is .5, batch of b .65: through standard, for the reason of "more", if it has one.
    named = {**only, "why": "b is licensed"}
    assert found(*rates, rules=[named, half], service_tiers=tiers) == []
    abouts = [one.about for one in found(*rates, rules=[only, half], service_tiers=tiers)]
    assert abouts == ["b/batch/output_tokens", "b/standard/output_tokens"]


def test_rates_that_relate_to_one_another_end() -> None:
    tiers = [made_service_tier("standard", promise=60), made_service_tier("batch")]
    rates = [started("a", floor="1"), started("a", floor="1", service_tier="batch")]
    there = made_rule("there", then={"action": "relate", "service_tier": "batch", "factor": "2"},
                      when={"service_tiers": ["standard"]})  # fmt: skip
    back = made_rule("back", then={"action": "relate", "service_tier": "standard", "factor": "2"},
                     when={"service_tiers": ["batch"]})  # fmt: skip
    # standard 2, batch 4: the actions name the service tiers that they relate.
    assert found(*rates, rules=[there, back], service_tiers=tiers) == []


def test_rates_whose_rules_are_the_same_are_told_apart_by_none() -> None:
    # Floors 1 and 1.005: take .99 away and .01 and .015 are left, for no reason but the floors.
    less = made_rule("less", then={"action": "add", "per_mtok": "-0.99"})
    (one,) = found(started("a", floor="1"), started("b", floor="1.005"), rules=[less])
    assert one.sentence.endswith("for no recorded reason; no rule tells them apart")


def test_the_dearer_is_named_once_against_the_cheapest() -> None:
    rates = [A, B, started("c", floor="1.002")]
    rules = [dearer("b"), {**dearer("c", factor="2"), "id": "most"}]
    sentences = [one.sentence for one in found(*rates, rules=rules)]
    assert [text.split(",")[0] for text in sentences] == [
        "b/standard/output_tokens is 1.3 and a/standard/output_tokens 1",
        "c/standard/output_tokens is 2.004 and a/standard/output_tokens 1",
    ]


def test_a_candidate_carries_the_finding() -> None:
    def book(why: str) -> list[str]:
        return finding_ids(
            made_book(
                rules=[dearer("n", why=why)],
                changed={"models": [{"name": name, "precision": "fp8"} for name in ("m", "n")]},
                factory=made_factory(models=("m", "n")),
                measurements=measured((*made_points(), *made_points(model="n", first_row=10))),
            )
        )

    assert book("n is licensed") == []
    assert book("as we like") == [
        "unequal_rate:n/standard/cache_read_tokens", "unequal_rate:n/standard/input_tokens",
        "unequal_rate:n/standard/output_tokens",
    ]  # fmt: skip


@given(st.lists(st.integers(900, 1100), min_size=1, max_size=6), st.integers(100, 300))
def test_rules_for_every_model_alike_are_never_unfair(floors: list[int], percent: int) -> None:
    # The same factor on floors within 1 % keeps rates within 1 %, up to one step of rounding.
    rates = [started(f"m{i}", floor=f"{floor / 1000:.3f}") for i, floor in enumerate(floors)]
    every = made_rule("all", then={"action": "multiply", "factor": f"{percent / 100:.2f}"})
    assert found(*rates, rules=[every]) == []

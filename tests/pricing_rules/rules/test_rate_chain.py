"""Rules over rates: their order, what a rule sees, further rates under conditions, the chain."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.rules.policy import Policy
from pricing_rules.rules.rate_chain import (
    DEFAULT_STEP,
    DerivedRate,
    RateBand,
    RuleRun,
    run_rules,
    start_at_floor,
)
from tests.pricing_rules.rules.made_documents import made_policy, made_rule, made_service_tier

FLOORS = {"input_tokens": "2", "cache_read_tokens": "0.2", "output_tokens": "8"}
OUTPUT = {"units": ["output_tokens"]}


def policy_of(*rules: Any) -> Policy:
    service_tiers = [made_service_tier("batch"), made_service_tier("standard", promise=50)]
    return made_policy(rules=rules, service_tiers=service_tiers)


def started(*service_tiers: str) -> list[DerivedRate]:
    return [
        start_at_floor(
            Decimal(floor), model="m", service_tier=service_tier, unit=unit, why="a floor"
        )
        for service_tier in service_tiers or ("standard",)
        for unit, floor in FLOORS.items()
    ]


def run(*rules: Any) -> RuleRun:
    return run_rules(started(), policy=policy_of(*rules))


def rates(found: RuleRun) -> dict[str, str]:
    return {rate.about.removeprefix("m/standard/"): str(rate.rate) for rate in found.rates}


def test_without_rules_a_rate_is_its_floor() -> None:
    assert rates(run()) == FLOORS


def test_rules_run_in_the_order_written() -> None:
    double = made_rule("double", then={"action": "multiply", "factor": "2"}, when=OUTPUT)
    add = made_rule("add", then={"action": "add", "per_mtok": "1"}, when=OUTPUT)
    assert rates(run(double, add))["output_tokens"] == "17"  # 8 x 2 + 1
    assert rates(run(add, double))["output_tokens"] == "18"  # (8 + 1) x 2


def test_each_rule_records_before_after_and_why() -> None:
    double = made_rule("double", then={"action": "multiply", "factor": "2"}, when=OUTPUT)
    cap = made_rule("cap", then={"action": "at_most", "rate": "16"}, when=OUTPUT)
    (rate,) = (one for one in run(double, cap).rates if one.unit == "output_tokens")
    steps = [(s.rule, s.action, str(s.before), str(s.after), s.why) for s in rate.steps]
    assert steps == [
        ("floor", "start at the floor", "None", "8", "a floor"),
        ("double", "x 2", "8", "16", "why double"),
        # A cap that had nothing to do ran all the same.
        ("cap", "at most 16", "16", "16", "why cap"),
    ]


def test_relate_takes_the_other_rate_as_it_stood_before_the_rule() -> None:
    # input 2, cached .2: the rule is for both, so cached becomes 2 x .25, not (2 x .25) x .25
    relate = made_rule(
        "relate",
        then={"action": "relate", "unit": "input_tokens", "factor": "0.25"},
        when={"units": ["input_tokens", "cache_read_tokens"]},
    )
    assert rates(run(relate)) == {
        "input_tokens": "0.5", "cache_read_tokens": "0.5", "output_tokens": "8",
    }  # fmt: skip


def test_relate_to_a_service_tier_takes_the_same_unit_there() -> None:
    relate = made_rule(
        "half",
        then={"action": "relate", "service_tier": "standard", "factor": "0.5"},
        when={"service_tiers": ["batch"]},
    )
    markup = made_rule("markup", then={"action": "markup", "share": "1"})
    found = run_rules(started("batch", "standard"), policy=policy_of(markup, relate))
    # standard: floors x 2; batch: half of that, which is the floors
    assert {rate.about: str(rate.rate) for rate in found.rates} == {
        "m/batch/input_tokens": "2", "m/batch/cache_read_tokens": "0.2",
        "m/batch/output_tokens": "8", "m/standard/input_tokens": "4",
        "m/standard/cache_read_tokens": "0.4", "m/standard/output_tokens": "16",
    }  # fmt: skip


def test_a_rate_that_has_nothing_to_relate_to_stays_and_is_told() -> None:
    relate = made_rule("half", then={"action": "relate", "service_tier": "batch", "factor": "0.5"})
    found = run(relate)
    assert rates(found) == FLOORS
    assert [(one.rule, one.about) for one in found.unmet] == [
        ("half", f"m/standard/{unit}") for unit in FLOORS
    ]
    assert found.unmet[0].sentence == "finds no rate of batch for m/standard/input_tokens"


def test_a_rule_that_holds_for_no_rate_is_told() -> None:
    rule = made_rule("eu", then={"action": "multiply", "factor": "2"}, when={"regions": ["eu"]})
    found = run(rule)
    assert rates(found) == FLOORS
    assert [(one.rule, one.about, one.sentence) for one in found.unmet] == [
        ("eu", "", "holds for no rate of the book, so it does nothing")
    ]


def test_further_rates_cross_and_keep_the_chain_of_the_rate_they_come_from() -> None:
    step = made_rule(
        "long",
        then={"action": "context_step", "request_tokens_at_least": 8192, "multiply": "2"},
        when=OUTPUT,
    )
    region = made_rule(
        "eu", then={"action": "region", "region": "eu", "multiply": "1.1"}, when=OUTPUT
    )
    add = made_rule("add", then={"action": "add", "per_mtok": "1"}, when={"regions": ["eu"]})
    found = run(step, region, add)
    # 8; long 8 x 2; eu 8 x 1.1 + 1; both 8 x 2 x 1.1 + 1
    assert rates(found) == FLOORS | {
        "output_tokens/request_tokens>=8192": "16",
        "output_tokens/region=eu": "9.8",
        "output_tokens/region=eu and request_tokens>=8192": "18.6",
    }
    both = found.rates[-1]
    assert [step.rule for step in both.steps] == ["floor", "long", "eu", "add"]


def test_a_second_context_step_stands_beside_the_first() -> None:
    def step(over: int, *, multiply: str) -> Any:
        then = {"action": "context_step", "request_tokens_over": over, "multiply": multiply}
        return made_rule(f"over-{over}", then=then, when=OUTPUT)

    found = rates(run(step(1000, multiply="2"), step(2000, multiply="3")))
    # Both from the rate without a size: 8 x 2 and 8 x 3, not 8 x 2 x 3.
    assert found["output_tokens/request_tokens>1000"] == "16"
    assert found["output_tokens/request_tokens>2000"] == "24"


def test_a_predicate_without_a_value_for_a_rate_is_named_with_its_rule() -> None:
    step = made_rule(
        "long",
        then={"action": "context_step", "request_tokens_at_least": 8192, "multiply": "2"},
        when=OUTPUT,
    )
    late = {
        **made_rule("late", then={"action": "multiply", "factor": "2"}),
        "when": "request_tokens_at_least > 0 && 1 / (request_tokens_at_least - 8192) > 0",
    }
    with pytest.raises(DocumentError) as caught:
        run(step, late)
    assert str(caught.value) == (
        'policy rule "late" when: has no value for m/standard/output_tokens: divide by zero'
    )


def test_a_predicate_may_ask_for_what_earlier_rules_made() -> None:
    step = made_rule(
        "long",
        then={"action": "context_step", "request_tokens_over": 8191, "multiply": "2"},
        when=OUTPUT,
    )
    more = {
        **made_rule("more", then={"action": "add", "per_mtok": "1"}),
        "when": "request_tokens_at_least == 8192",
    }
    # 8 x 2 + 1 for long requests; over 8,191 is from 8,192 on
    assert rates(run(step, more)) == FLOORS | {"output_tokens/request_tokens>8191": "17"}


def test_two_further_rates_for_the_same_usage_are_refused() -> None:
    over = {"action": "context_step", "request_tokens_over": 8191, "multiply": "2"}
    at = {"action": "context_step", "request_tokens_at_least": 8192, "multiply": "3"}
    with pytest.raises(DocumentError) as caught:
        run(made_rule("over", then=over, when=OUTPUT), made_rule("at", then=at, when=OUTPUT))
    assert str(caught.value) == (
        'policy rule "at": makes m/standard/output_tokens/request_tokens>=8192 a second time; '
        "keep one rule for it"
    )


def test_a_rate_below_zero_is_refused_and_zero_is_free() -> None:
    def minus(amount: str) -> Any:
        then = {"action": "add", "per_mtok": f"-{amount}"}
        return made_rule("minus", then=then, when=OUTPUT)

    assert rates(run(minus("7.999999")))["output_tokens"] == "0.000001"
    assert rates(run(minus("8")))["output_tokens"] == "0"
    with pytest.raises(DocumentError, match='"minus": takes m/standard/output_tokens below zero'):
        run(minus("8.000001"))


def ladder(id_: str) -> Any:
    bands = [
        {"up_to": 100, "multiply": "1"},
        {"up_to": 200, "multiply": "0.9"},
        {"multiply": "0.75"},
    ]
    return made_rule(id_, then={"action": "ladder", "id": id_, "bands": bands}, when=OUTPUT)


def test_a_ladder_follows_its_rate_and_each_band_ends_on_the_step() -> None:
    double = made_rule("double", then={"action": "multiply", "factor": "2"}, when=OUTPUT)
    point = made_rule("point", then={"action": "round_up_to", "step": "0.5"}, when=OUTPUT)
    rate = run(ladder("volume"), double, point).rates[-1]
    # 8 x 2 = 16; 16 x .9 = 14.4 up to 14.5; 16 x .75 = 12
    assert rate.bands == (
        RateBand(up_to=Decimal(100), rate=Decimal(16)),
        RateBand(up_to=Decimal(200), rate=Decimal("14.5")),
        RateBand(up_to=None, rate=Decimal(12)),
    )
    assert rate.lowest == 12
    assert (
        rate.steps[1].action
        == "graduated ladder volume: x 1 up to 100, x 0.9 up to 200, x 0.75 above"
    )
    assert rate.steps[1].before == rate.steps[1].after == 8


def test_a_second_ladder_on_a_rate_is_refused() -> None:
    with pytest.raises(DocumentError) as caught:
        run(ladder("a"), ladder("b"))
    assert str(caught.value) == (
        'policy rule "b": gives m/standard/output_tokens a second ladder beside a; keep one'
    )


def test_the_last_step_rounds_up_to_six_decimals_or_to_the_stated_step() -> None:
    third = made_rule("third", then={"action": "margin", "share": "0.1"}, when=OUTPUT)
    rate = run(third).rates[-1]
    # 8 / .9 = 8.888...: 18 decimals in the chain, 6 in the end
    assert [str(step.after) for step in rate.steps] == [
        "8", "8.888888888888888889", "8.888889",
    ]  # fmt: skip
    assert rate.steps[-1].rule == "round_up"
    assert rate.step == DEFAULT_STEP
    # A price point stays one after a later rule: 8.9 x 1.01 = 8.989, up to 9.0.
    point = made_rule("point", then={"action": "round_up_to", "step": "0.1"}, when=OUTPUT)
    more = made_rule("more", then={"action": "multiply", "factor": "1.01"}, when=OUTPUT)
    assert rates(run(third, point, more))["output_tokens"] == "9"


ACTIONS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.builds(
        lambda n: {"action": "markup", "share": f"0.{n}"}, st.integers(0, 999)
    ),
    st.builds(lambda n: {"action": "margin", "share": f"0.{n}"}, st.integers(0, 999)),
    st.builds(lambda n: {"action": "multiply", "factor": f"1.{n}"}, st.integers(0, 999)),
    st.builds(lambda n: {"action": "add", "per_mtok": f"0.{n}"}, st.integers(0, 999)),
    st.builds(lambda n: {"action": "at_least", "markup": f"0.{n}"}, st.integers(0, 999)),
    st.builds(lambda n: {"action": "round_up_to", "step": f"0.00{n}"}, st.integers(1, 99)),
    st.builds(
        lambda n, over: {
            "action": "context_step", "request_tokens_over": over, "multiply": f"1.{n}",
        },
        st.integers(0, 9), st.integers(1, 10**6),
    ),
    st.builds(
        lambda n, region: {"action": "region", "region": region, "multiply": f"1.{n}"},
        st.integers(0, 9), st.sampled_from(["eu", "us"]),
    ),
)  # fmt: skip
"""Actions that never take a rate under where it was or under its floor."""


@given(st.lists(ACTIONS, max_size=6, unique_by=lambda a: (a["action"], a.get("region"))))
def test_chains_connect_and_rules_that_only_raise_stay_over_the_floor(
    actions: list[dict[str, Any]],
) -> None:
    found = run(*(made_rule(f"r{i}", then=then) for i, then in enumerate(actions)))
    for rate in found.rates:
        assert rate.steps[0].before is None
        assert rate.steps[0].after == rate.floor
        assert all(left.after == right.before for left, right in pairwise(rate.steps))
        assert rate.steps[-1].after == rate.rate >= rate.floor
        assert (rate.rate / rate.step) % 1 == 0

"""Ambiguous matches: two rates that one request can meet, of which neither is the more specific."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.rules.policy_check import policy_findings
from tests.pricing_rules.rules.made_documents import (
    EFFECTIVE_FROM,
    card_of,
    finding_ids,
    made_book,
    made_policy,
    made_rule,
    made_service_tier,
)

OUTPUT = "unit == 'output_tokens'"

WINDOWS = {
    "night": {"times": [{"start_time": "22:00", "end_time": "06:00"}]},
    "noon": {"times": [{"start_time": "11:00", "end_time": "13:00"}]},
    "dawn": {"times": [{"start_time": "05:59", "end_time": "08:00"}]},
    "day": {"times": [{"start_time": "06:00", "end_time": "22:00"}]},
}


def region(name: str, *, when: str = OUTPUT, multiply: str = "1.1") -> Any:
    then = {"action": "region", "region": name, "multiply": multiply}
    return {**made_rule(f"region-{name}", then=then), "when": when}


def dimension(name: str, *, value: str, when: str = OUTPUT, multiply: str = "1.2") -> Any:
    then = {"action": "dimension", "name": name, "value": value, "multiply": multiply}
    return {**made_rule(f"{name}-{value}", then=then), "when": when}


def window(name: str, *, when: str = OUTPUT, multiply: str = "0.5") -> Any:
    then = {"action": "window", "window": name, "multiply": multiply}
    return {**made_rule(f"window-{name}", then=then), "when": when}


def step(over: int, *, when: str = OUTPUT, multiply: str = "2") -> Any:
    then = {"action": "context_step", "request_tokens_over": over, "multiply": multiply}
    return {**made_rule(f"over-{over}", then=then), "when": when}


ALONE = f"{OUTPUT} && region == ''"


def matches(*rules: Any) -> list[str]:
    """What a derived book finds; the rules alone find the same."""
    changed = {"windows": WINDOWS}
    found = finding_ids(made_book(rules=rules, changed=changed), kind="ambiguous_match")
    policy = made_policy(rules=rules, changed=changed)
    ruled = policy_findings(policy, effective_from=EFFECTIVE_FROM)
    assert len([one for one in ruled if one.kind == "ambiguous_match"]) == len(found)
    return found


def test_two_conditions_that_a_request_can_meet_without_a_rate_for_both_are_ambiguous() -> None:
    book = made_book(rules=[region("eu"), dimension("quality", value="hd", when=ALONE)])
    (finding,) = [one for one in book.findings if one.kind == "ambiguous_match"]
    assert finding.id == "ambiguous_match:m/standard/output_tokens/quality=hd or region=eu"
    assert finding.sentence == (
        "m/standard/output_tokens/quality=hd: a request can also meet region=eu, and neither is "
        "the more specific; the order of conditions takes quality=hd; write a rate for both, as a "
        "rule that holds for the other's rates does"
    )
    # It is what the book would charge: quality before region, at 1.2 and not at 1.1 of the floor.
    chosen = card_of(book).rates_for(region="eu", size_tokens=1, dimensions={"quality": "hd"})
    assert chosen["output_tokens"].when.text() == "quality=hd"


def test_a_rule_that_holds_for_the_rates_of_the_other_makes_a_rate_for_both() -> None:
    assert matches(region("eu"), dimension("quality", value="hd")) == []


def test_rates_that_are_equal_do_no_harm() -> None:
    rules = [region("eu"), dimension("quality", value="hd", when=ALONE, multiply="1.1")]
    assert finding_ids(made_book(rules=rules), kind="ambiguous_match") == []


@pytest.mark.parametrize(
    "other",
    [
        region("us", when=ALONE),  # no request is in both
        step(8192, when=OUTPUT),
    ],
)
def test_conditions_that_exclude_or_cross_one_another_are_clear(other: Any) -> None:
    assert matches(region("eu"), other) == []


def test_two_values_of_one_dimension_exclude_one_another() -> None:
    once = f"{OUTPUT} && dimensions.quality == ''"
    assert matches(
        dimension("quality", value="hd"), dimension("quality", value="sd", when=once)
    ) == []  # fmt: skip


def test_the_larger_of_two_sizes_is_the_more_specific() -> None:
    assert matches(step(1000), step(2000, multiply="3")) == []


def test_a_size_and_a_region_cross_only_where_a_rule_says_so() -> None:
    assert matches(region("eu"), step(8192, when=ALONE)) == [
        "ambiguous_match:m/standard/output_tokens/region=eu or request_tokens>8192"
    ]


@pytest.mark.parametrize(
    "other, meets",
    [
        ("noon", False),  # apart
        ("day", False),  # each begins where the other ends
        ("dawn", True),  # 05:59 to 06:00
    ],
)
def test_windows_are_ambiguous_where_some_moment_is_in_both(other: str, meets: bool) -> None:
    second = window(other, when=f"{OUTPUT} && window == ''", multiply="0.6")
    found = matches(window("night"), second)
    assert bool(found) == meets


def test_a_window_crosses_a_region_and_is_then_clear() -> None:
    assert matches(region("eu"), window("night")) == []
    assert matches(region("eu"), window("night", when=ALONE)) == [
        "ambiguous_match:m/standard/output_tokens/region=eu or window=night"
    ]


def test_the_rules_alone_name_each_pair_once_for_all_cards() -> None:
    policy = made_policy(
        rules=[region("eu", when="true"), step(8192, when="region == ''")],
        service_tiers=[made_service_tier("batch"), made_service_tier("standard", promise=60)],
    )
    (finding,) = policy_findings(policy, effective_from=EFFECTIVE_FROM)
    assert finding.id == "ambiguous_match:region=eu or request_tokens>8192"
    assert finding.sentence == (
        "a request for input_tokens of m in batch can meet region=eu and request_tokens>8192, and "
        "neither is the more specific; let the later rule hold for the rates of the earlier one"
    )


VARIANTS = st.sampled_from(
    [
        region("eu"), region("us"), step(1000), step(2000), window("night"), window("noon"),
        dimension("quality", value="hd"), dimension("channel", value="partner"),
    ]
)  # fmt: skip


@given(st.lists(VARIANTS, max_size=5, unique_by=lambda rule: str(rule["id"])))
def test_rules_that_hold_for_every_rate_before_them_are_never_ambiguous(rules: list[Any]) -> None:
    policy = made_policy(rules=rules, changed={"windows": WINDOWS})
    assert policy_findings(policy, effective_from=EFFECTIVE_FROM) == ()

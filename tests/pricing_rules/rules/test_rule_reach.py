"""Rules that do nothing: those that never hold, and those that a later rule always overwrites."""

from __future__ import annotations

from typing import Any

import pytest

from pricing_rules.prices.provenance import Finding
from pricing_rules.rules.policy_check import policy_findings
from tests.pricing_rules.rules.made_documents import (
    EFFECTIVE_FROM,
    finding_ids,
    made_book,
    made_policy,
    made_rule,
    made_service_tier,
    set_to,
)

OUTPUT = {"units": ["output_tokens"]}
INPUT = {"units": ["input_tokens"]}
TIERS = [made_service_tier("batch"), made_service_tier("standard", promise=60)]
EU = {"action": "region", "region": "eu", "multiply": "1.1"}


def found(*rules: Any) -> list[Finding]:
    policy = made_policy(rules=rules, service_tiers=TIERS)
    return list(policy_findings(policy, effective_from=EFFECTIVE_FROM))


def ids(*rules: Any) -> list[str]:
    return [one.id for one in found(*rules)]


def multiply(id_: str, *, when: Any = None, factor: str = "2") -> Any:
    return made_rule(id_, then={"action": "multiply", "factor": factor}, when=when)


def predicate(rule: Any, *, when: str) -> Any:
    return {**rule, "when": when}


@pytest.mark.parametrize(
    "when",
    [
        "promised_tokens_per_s > 60",
        "model == 'n'",
        "region == 'eu'",  # no rule before it makes a rate for a region
        "interruptible",
    ],
)
def test_a_rule_that_no_rate_of_the_policy_can_meet_is_unreachable(when: str) -> None:
    (one,) = found(predicate(multiply("r"), when=when))
    assert (one.id, one.kind) == ("unreachable_rule:r", "unreachable_rule")
    assert one.sentence == (
        "the rule r touches no rate that this policy can make; mend its when, or remove it"
    )
    assert ids(predicate(multiply("r"), when=f"!({when})")) == []


def test_the_order_of_rules_decides_what_a_rule_can_meet() -> None:
    eu, more = made_rule("eu", then=EU), multiply("more", when={"regions": ["eu"]})
    assert ids(eu, more) == []
    assert ids(more, eu) == ["unreachable_rule:more"]


def test_a_further_rate_that_names_the_condition_already_is_unreachable() -> None:
    again = made_rule("again", then={**EU, "region": "us"}, when={"regions": ["eu"]})
    assert ids(made_rule("eu", then=EU), again) == ["unreachable_rule:again"]


def test_a_rule_that_a_later_one_always_overwrites_has_no_effect() -> None:
    (one,) = found(multiply("first", when=OUTPUT), set_to("9", when=OUTPUT))
    assert one.id == "unreachable_rule:first"
    assert one.sentence == (
        "the rule first has no effect: each rate that it touches is made anew by set; narrow one "
        "of them, or remove first"
    )


@pytest.mark.parametrize("action", ["markup", "margin"])
def test_markup_and_margin_start_at_the_floor_again(action: str) -> None:
    anew = made_rule("anew", then={"action": action, "share": "0.5"})
    assert ids(multiply("first"), anew) == ["unreachable_rule:first"]
    assert ids(anew, multiply("last")) == []


def test_a_rule_that_is_overwritten_for_some_rates_only_has_an_effect() -> None:
    assert ids(multiply("first"), set_to("9", when=OUTPUT)) == []
    both = [multiply("first"), *(set_to("9", when={"units": [unit]}, id_=unit) for unit in (
        "input_tokens", "cache_read_tokens", "output_tokens",
    ))]  # fmt: skip
    assert ids(*both) == ["unreachable_rule:first"]
    assert (
        "made anew by input_tokens, cache_read_tokens, output_tokens;" in found(*both)[0].sentence
    )


def test_a_rule_of_which_another_rate_took_a_part_before_it_was_overwritten_has_an_effect() -> None:
    double, anew = multiply("double", when=INPUT), set_to("9", when=INPUT)
    part = made_rule(
        "part", then={"action": "relate", "unit": "input_tokens", "factor": "4"}, when=OUTPUT
    )
    assert ids(double, part, anew) == []
    # Too late: output takes its part of the 9.
    assert ids(double, anew, part) == ["unreachable_rule:double"]


def test_a_rate_related_to_itself_keeps_what_it_was() -> None:
    itself = made_rule("itself", then={"action": "relate", "unit": "input_tokens", "factor": "2"},
                       when=INPUT)  # fmt: skip
    assert ids(multiply("first", when=INPUT), itself) == []


def test_a_further_rate_carries_the_effect_on() -> None:
    # eu keeps first x 2 x 1.1; the rate without a region is set anew.
    eu = made_rule("eu", then=EU, when=OUTPUT)
    rest = predicate(set_to("9", when={}), when="unit == 'output_tokens' && region == ''")
    assert ids(multiply("first", when=OUTPUT), eu, rest) == []
    assert ids(multiply("first", when=OUTPUT), eu, set_to("9", when=OUTPUT)) == [
        "unreachable_rule:first"
    ]


def test_ladders_and_price_points_last_whatever_comes_after() -> None:
    ladder = {"action": "ladder", "id": "l", "bands": [{"multiply": "1"}]}
    point = {"action": "round_up_to", "step": "0.5"}
    last = set_to("9", when=OUTPUT)
    assert ids(made_rule("l", then=ladder, when=OUTPUT), last) == []
    assert ids(made_rule("p", then=point, when=OUTPUT), last) == []


def test_a_rate_that_finds_nothing_to_relate_to_is_not_touched() -> None:
    # The rate for eu is made after the one that it would relate to: standard has none there.
    eu = made_rule("eu", then=EU, when={"service_tiers": ["batch"], **OUTPUT})
    half = made_rule(
        "half",
        then={"action": "relate", "service_tier": "standard", "factor": "0.5"},
        when={"service_tiers": ["batch"], "regions": ["eu"]},
    )
    assert ids(eu, half) == ["unreachable_rule:half"]


def test_a_derived_book_has_the_finding_too() -> None:
    rules = [multiply("first", when=OUTPUT), set_to("9", when=OUTPUT)]
    assert finding_ids(made_book(rules=rules)) == ["unreachable_rule:first"]
    assert finding_ids(made_book(rules=rules[::-1])) == []
    part = made_rule(
        "part", then={"action": "relate", "unit": "input_tokens", "factor": "4"}, when=OUTPUT
    )
    taken = [multiply("double", when=INPUT), part, set_to("9", when=INPUT)]
    assert finding_ids(made_book(rules=taken)) == []

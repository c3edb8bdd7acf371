"""The policy document: what it refuses, with line and path, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.rules.conditions import Conditions
from pricing_rules.rules.policy import Policy, load_policy
from tests.pricing_rules.rules.made_documents import (
    facts_of,
    figure,
    made_policy,
    made_rule,
    made_service_tier,
    policy_document,
)

DEMO = Path(__file__).resolve().parents[3] / "billing" / "cli" / "demo"

LADDER = {"action": "ladder", "id": "l", "bands": [{"multiply": "1"}]}


def refusal(document: dict[str, Any]) -> str:
    text = json.dumps(document, indent=1)
    with pytest.raises(DocumentError) as caught:
        load_policy(text.encode(), name="policy.yaml")
    return str(caught.value)


def test_the_demo_policy_loads_and_its_rules_use_many_actions() -> None:
    policy = load_policy((DEMO / "policy.yaml").read_bytes(), name="policy.yaml")
    assert [one.name for one in policy.by_promise()] == ["batch", "standard", "priority"]
    assert {rule.then.action for rule in policy.rules} >= {
        "markup", "relate", "at_least", "context_step", "region", "round_up_to",
    }  # fmt: skip


def test_an_error_names_the_line_and_the_path() -> None:
    text = (DEMO / "policy.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if "action: markup" in line)
    lines[at] = lines[at].replace('"0.60"', "0.60")
    with pytest.raises(DocumentError) as caught:
        load_policy("\n".join(lines).encode(), name="policy.yaml")
    assert str(caught.value).startswith(
        f"policy.yaml:{at + 1} rules[0].then.share: must be a string in quotes"
    )


@pytest.mark.parametrize(
    "document, where, sentence",
    [
        (
            policy_document(changed={"models": [{"name": "m", "precision": "fp6"}]}),
            "models[0].precision",
            "'fp4', 'int4', 'fp8'",
        ),
        (policy_document(changed={"models": []}), "models", "must hold at least 1"),
        (policy_document(changed={"currency": "EURO"}), "currency", "ISO 4217"),
        (
            policy_document(changed={"cached_share": figure("1")}),
            "cached_share.value",
            "must be under 1",
        ),
        (
            policy_document(
                service_tiers=[made_service_tier("standard", margin="0.97")],
                changed={"revenue_share": figure("0.03")},
            ),
            "policy.yaml:1",
            "take the whole rate; lower one",
        ),
        (
            policy_document(
                service_tiers=[{**made_service_tier("spare"), "floor_kind": "short_run"}]
            ),
            "service_tiers[0]",
            '"spare" has a short_run floor, which is for interruptible work; '
            "write interruptible: true or another floor_kind",
        ),
        (
            policy_document(rules=[{"id": "r", "then": {"action": "set", "rate": "1"}}]),
            "rules[0].why",
            "missing field; add it",
        ),
        (
            policy_document(rules=[made_rule("r", then={"action": "set", "rate": "1", "x": 1})]),
            "rules[0].then.x",
            "unknown field",
        ),
        (
            policy_document(
                service_tiers=[made_service_tier("standard"), made_service_tier("standard")]
            ),
            "service_tiers[1].name",
            '"standard" stands twice; keep one',
        ),
        (
            policy_document(rules=[made_rule("r", then=LADDER), made_rule("r", then=LADDER)]),
            "rules[1].id",
            '"r" stands twice; keep one',
        ),
        (
            policy_document(rules=[made_rule("round_up", then=LADDER)]),
            "rules[0].id",
            '"round_up" is the name of a step of its own; rename it',
        ),
        (
            policy_document(rules=[made_rule("a", then=LADDER), made_rule("b", then=LADDER)]),
            "rules[1].then.id",
            'the rule "a" has a ladder "l" already; one id is one position',
        ),
        (
            policy_document(
                rules=[
                    made_rule("r", then={"action": "set", "rate": "1"}, when={"models": ["m", "n"]})
                ]
            ),
            "rules[0].when.models[1]",
            '"n" is not among models; write one of m',
        ),
        (
            policy_document(
                rules=[
                    made_rule(
                        "r",
                        then={"action": "relate", "service_tier": "gold", "factor": "2"},
                    )
                ]
            ),
            "rules[0].then.service_tier",
            '"gold" is not among service_tiers; write one of standard',
        ),
        (
            policy_document(
                rules=[
                    made_rule(
                        "r",
                        then={"action": "set", "rate": "1"},
                        when={"units": ["input_token"]},
                    )
                ]
            ),
            "rules[0].when.units[0]",
            "'input_tokens', 'cache_read_tokens' or 'output_tokens'",
        ),
    ],
)
def test_a_bad_policy_is_refused(document: dict[str, Any], where: str, sentence: str) -> None:
    found = refusal(document)
    assert where in found
    assert sentence in found


def test_an_action_that_nobody_knows_is_answered_with_those_that_are() -> None:
    then = {"action": "discount", "share": "0.1"}
    assert refusal(policy_document(rules=[made_rule("r", then=then)])).endswith(
        'rules[0].then: no action is called "discount"; write one of set, markup, margin, '
        "multiply, add, at_most, at_least, round_up_to, context_step, region, dimension, window, "
        "relate, market, ladder"
    )
    assert "rules[0].then: missing field action; add it" in refusal(
        policy_document(rules=[made_rule("r", then={"share": "0.1"})])
    )


def test_a_predicate_is_compiled_when_the_policy_loads_and_its_fault_has_a_line() -> None:
    def document(when: str) -> dict[str, Any]:
        return policy_document(
            rules=[{**made_rule("r", then={"action": "set", "rate": "1"}), "when": when}]
        )

    def where(when: str) -> str:
        lines = json.dumps(document(when), indent=1).splitlines()
        at = next(i for i, line in enumerate(lines, 1) if '"when"' in line)
        return f"policy.yaml:{at} rules[0].when: "

    typo = "unitt == 'output_tokens'"
    assert refusal(document(typo)).startswith(where(typo) + 'column 1: "unitt" is not known;')
    unpriced = "dimensions.channel == 'partner'"
    assert refusal(document(unpriced)) == where(unpriced) + (
        'has no value for m/standard/input_tokens: no rule prices a dimension "channel"'
    )
    empty = ""
    assert refusal(document(empty)).startswith(where(empty) + "string should have at least 1")


@pytest.mark.parametrize(
    "rule, where, sentence",
    [
        (
            made_rule("r", then={"action": "window", "window": "night", "multiply": "1"}),
            "rules[0].then.window",
            '"night" is not among windows; declare it under windows',
        ),
        (
            made_rule("r", then={"action": "set", "rate": "1"}, when={"windows": ["night"]}),
            "rules[0].when.windows[0]",
            '"night" is not among windows; declare it under windows',
        ),
    ],
)
def test_a_window_is_declared(rule: Any, where: str, sentence: str) -> None:
    assert f"{where}: {sentence}" in refusal(policy_document(rules=[rule]))
    times = {"start_time": "00:00", "end_time": "06:00"}
    other = {"windows": {"dawn": {"times": [times]}}}
    assert "write one of dawn" in refusal(policy_document(rules=[rule], changed=other))
    night = {"windows": {"night": {"times": [times]}}}
    assert made_policy(rules=[rule], changed=night).windows["night"].zone == "UTC"


def test_a_name_that_nothing_has_is_refused_at_its_own_line() -> None:
    rule = made_rule(
        "r", then={"action": "set", "rate": "1"}, when={"service_tiers": ["standard", "gold"]}
    )
    document = policy_document(rules=[rule])
    line = json.dumps(document, indent=1).splitlines().index('     "gold"') + 1
    assert refusal(document) == (
        f"policy.yaml:{line} rules[0].when.service_tiers[1]: "
        '"gold" is not among service_tiers; write one of standard'
    )


def test_the_policy_has_a_json_schema() -> None:
    schema = Policy.model_json_schema()
    assert schema["properties"]["schema"]["const"] == "tokenworks.policy/1"
    rule = schema["$defs"]["Rule"]["properties"]
    # Lists of names, or a predicate as text.
    assert [one.get("$ref", one.get("type")) for one in rule["when"]["oneOf"]] == [
        "#/$defs/Conditions", "string",
    ]  # fmt: skip
    assert set(rule["then"]["discriminator"]["mapping"]) >= {"market", "window", "set"}
    assert {"windows", "subsidies", "guard_rails"} <= schema["properties"].keys()


def test_service_tiers_go_from_the_slowest_promise_to_the_fastest() -> None:
    policy = made_policy(
        service_tiers=[
            made_service_tier("fast", promise=100),
            made_service_tier("b", promise=50),
            made_service_tier("a", promise=50),
            made_service_tier("batch"),
        ]
    )
    # Equal promises keep the order in which they are written.
    assert [one.name for one in policy.by_promise()] == ["batch", "b", "a", "fast"]


def test_a_service_tier_says_what_it_gives() -> None:
    promise = {"interactivity_tokens_per_s": 50, "statistic": "p95", "ttft_ms": 800}
    policy = made_policy(
        service_tiers=[
            {**made_service_tier("quick"), "promise": promise, "context_limit_tokens": 16384},
            {**made_service_tier("batch"), "floor_kind": "full"},
        ]
    )
    quick, batch = policy.service_tiers
    assert quick.text() == (
        "50 output tokens/s per user, TTFT at most 800 ms (p95), context up to 16384 tokens"
    )
    assert quick.statistic == "p95"
    assert (batch.text(), batch.statistic) == ("no promise", "mean")


def test_dimensions_are_those_that_rules_price() -> None:
    def rule(name: str, *, value: str) -> Any:
        then = {"action": "dimension", "name": name, "value": value, "multiply": "0.9"}
        return made_rule(f"{name}-{value}", then=then)

    policy = made_policy(
        rules=[
            rule("channel", value="partner"), rule("channel", value="direct"),
            rule("academic", value="yes"),
        ]
    )  # fmt: skip
    assert policy.dimensions() == {"academic": ("yes",), "channel": ("direct", "partner")}


@pytest.mark.parametrize(
    "conditions, holds",
    [
        ({}, True),
        ({"models": ("m", "n")}, True),
        ({"models": ("n",)}, False),
        ({"service_tiers": ("standard",), "units": ("output_tokens",)}, True),
        ({"service_tiers": ("batch",), "units": ("output_tokens",)}, False),
        ({"units": ("input_tokens",)}, False),
        ({"regions": ("eu",)}, True),
        ({"regions": ("us",)}, False),
        ({"windows": ("night",)}, True),
        ({"windows": ("weekend",), "regions": ("eu",)}, False),
    ],
)
def test_all_conditions_that_are_named_must_hold(conditions: dict[str, Any], holds: bool) -> None:
    found = Conditions.model_validate(conditions)
    assert holds == found.hold(facts_of(region="eu", window="night"))


def test_a_rate_without_a_region_or_window_is_in_none_of_the_named() -> None:
    assert not Conditions(regions=("eu",)).hold(facts_of())
    assert not Conditions(windows=("night",)).hold(facts_of())

"""Findings with the line of the policy that they stand at, caps under floors, and long ids."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pricing_rules.prices.price_book import PriceBook
from pricing_rules.rules.floors import Found
from pricing_rules.rules.policy import load_policy
from pricing_rules.rules.policy_check import PlacedFinding, finding_of, placed, policy_findings
from tests.pricing_rules.rules.made_documents import (
    EFFECTIVE_FROM,
    finding_ids,
    made_book,
    made_rule,
    made_service_tier,
    policy_document,
    set_to,
)

OUTPUT = {"units": ["output_tokens"]}
INPUT = {"units": ["input_tokens"]}
CACHED = {"units": ["cache_read_tokens"]}
TIERS = [made_service_tier("batch"), made_service_tier("standard", promise=60)]


def cap(rate: str, *, when: Any = None, id_: str = "cap") -> Any:
    return made_rule(id_, then={"action": "at_most", "rate": rate}, when=when)


def check(book: PriceBook | None, **document: Any) -> list[PlacedFinding]:
    data = json.dumps(policy_document(**document), indent=1).encode()
    policy = load_policy(data, name="policy.yaml")
    findings = book.findings if book else policy_findings(policy, effective_from=EFFECTIVE_FROM)
    return list(placed(findings, policy=policy, book=book, data=data, name="policy.yaml"))


def line_of(text: str, *, nth: int = 0, **document: Any) -> int:
    lines = json.dumps(policy_document(**document), indent=1).splitlines()
    return [i for i, line in enumerate(lines, 1) if text in line][nth]


# Caps under floors.


@pytest.mark.parametrize(
    "rate, clashes",
    # The floor of output is .515873015.
    [("0.515873014", True), ("0.515873015", False), ("0.515873016", False)],
)
def test_a_cap_under_a_floor_clashes(rate: str, clashes: bool) -> None:
    book = made_book(rules=[cap(rate, when=OUTPUT)])
    assert (finding_ids(book, kind="floor_clash") == ["floor_clash:cap"]) == clashes


def test_a_cap_clashes_even_where_a_later_rule_lifts_the_rate() -> None:
    lift = made_rule("lift", then={"action": "at_least", "markup": "0"})
    book = made_book(rules=[cap("0.2"), lift], service_tiers=TIERS)
    assert finding_ids(book, kind="under_floor") == []
    (one,) = [finding for finding in book.findings if finding.kind == "floor_clash"]
    # Two service tiers share a floor of output; .109 of input and .011 of cached lie under the cap.
    assert one.sentence == (
        "the rule cap caps at 0.2, under the floor of 2 rates; the highest is 0.515873015 of "
        "m/standard/output_tokens"
    )


# Places.


def test_a_rule_without_an_effect_stands_at_its_condition() -> None:
    never = {"id": "never", "when": "model == 'n'", "then": cap("9")["then"], "why": "x"}
    document: dict[str, Any] = {"rules": [cap("9", id_="first"), never]}
    (one,) = check(None, **document)
    assert one == PlacedFinding(
        where=f"policy.yaml:{line_of('model ==', **document)} rules[1].when",
        id="unreachable_rule:never",
        kind="unreachable_rule",
        sentence="the rule never touches no rate that this policy can make; mend its when, or "
        "remove it",
    )


def test_a_rule_without_a_condition_stands_at_itself() -> None:
    document: dict[str, Any] = {
        "rules": [{"id": "first", "then": cap("9")["then"], "why": "x"}, set_to("1", when={})]
    }
    (one,) = check(None, **document)
    line = line_of('"first"', **document) - 1
    assert one.where == f"policy.yaml:{line} rules[0]"


def test_an_ambiguous_match_stands_at_the_rule_that_makes_the_later_rate() -> None:
    eu = made_rule("eu", then={"action": "region", "region": "eu", "multiply": "1.1"}, when=OUTPUT)
    step = {"action": "context_step", "request_tokens_over": 8192, "multiply": "2"}
    alone = {"id": "step", "when": "region == ''", "then": step, "why": "x"}
    document: dict[str, Any] = {"rules": [eu, alone]}
    (one,) = check(None, **document)
    assert one.where == f"policy.yaml:{line_of('region ==', **document)} rules[1].when"
    assert one.kind == "ambiguous_match"


def test_a_rate_stands_at_the_last_rule_that_touched_it() -> None:
    document: dict[str, Any] = {
        "rules": [
            set_to("0.2", when=INPUT, id_="input"), set_to("0.3", when=CACHED, id_="cached"),
            cap("0.25", when=CACHED),
        ]
    }  # fmt: skip
    book = made_book(**document)
    (one,) = check(book, **document)
    # .25 for cached is over the .2 for fresh input
    assert one.id == "cached_over_input:m/standard/cache_read_tokens"
    assert one.where == f"policy.yaml:{line_of('then', nth=2, **document)} rules[2].then"


def test_a_rate_under_a_condition_stands_at_the_rule_that_made_it() -> None:
    half = made_rule("half", then={"action": "region", "region": "eu", "multiply": "0.5"},
                     when=OUTPUT)  # fmt: skip
    document: dict[str, Any] = {"rules": [half]}
    places = {one.id: one.where for one in check(made_book(**document), **document)}
    under = "under_floor:m/standard/output_tokens/region=eu"
    assert places[under] == f"policy.yaml:{line_of('then', **document)} rules[0].then"


def test_a_finding_without_a_rule_stands_at_the_rules() -> None:
    # priority costs twice what standard does: without any rule each is at its floor.
    tiers = [made_service_tier("standard", promise=60), made_service_tier("priority", promise=120)]
    changed = {"guard_rails": {"service_tier_spread_at_least": "9"}}
    document: dict[str, Any] = {"service_tiers": tiers, "changed": changed}
    found = check(made_book(**document), **document)
    assert {one.where for one in found} == {f"policy.yaml:{line_of('rules', **document)} rules"}


def test_a_promise_stands_at_its_service_tier_unless_some_hardware_keeps_it() -> None:
    tiers = [made_service_tier("standard", promise=60), made_service_tier("priority", promise=121)]
    document: dict[str, Any] = {"service_tiers": tiers}
    (one,) = check(made_book(**document), **document)
    assert one.kind == "unreachable_promise"
    line = line_of('"promise"', nth=1, **document)
    assert one.where == f"policy.yaml:{line} service_tiers[1].promise"
    book = made_book(**document)
    partly = book.findings[0].model_copy(update={"id": "unreachable_promise:m/priority/h100_sxm"})
    assert check(book.model_copy(update={"findings": (partly,)}), **document) == []


def test_a_rule_may_have_a_slash_in_its_name() -> None:
    first, second = cap("0.2", id_="a", when=INPUT), cap("0.2", id_="a/b", when=OUTPUT)
    document: dict[str, Any] = {"rules": [first, second]}
    (one,) = [p for p in check(made_book(**document), **document) if p.kind == "floor_clash"]
    assert one.where.endswith("rules[1].then")


def test_a_rule_that_the_book_found_unmet_and_the_policy_has_not_stands_at_the_rules() -> None:
    document: dict[str, Any] = {"rules": [set_to("9", when=OUTPUT, id_="first")]}
    book = made_book(**document)
    gone = finding_of(Found(kind="rule_unmet", about="gone", sentence="the rule gone did nothing"))
    apart = finding_of(Found(kind="ambiguous_match", about="x or y", sentence="both"))
    book = book.model_copy(update={"findings": (apart, gone)})
    line = line_of('"rules"', **document)
    assert {one.where for one in check(book, **document)} == {f"policy.yaml:{line} rules"}


def test_findings_about_measurements_are_not_the_policys() -> None:
    book = made_book(changed={"guard_rails": {"measurement_age_days_at_most": 1}})
    assert finding_ids(book) == ["stale:m/standard"]
    assert check(book, changed={"guard_rails": {"measurement_age_days_at_most": 1}}) == []


# Ids.


@pytest.mark.parametrize("length, cut", [(199, False), (200, False), (201, True)])
def test_an_id_longer_than_a_name_ends_in_its_digest(length: int, cut: bool) -> None:
    about = "x" * (length - len("under_floor:"))
    finding = finding_of(Found(kind="under_floor", about=about, sentence="low"))
    assert len(finding.id) == min(length, 200)
    assert ("#" in finding.id) == cut
    # Another about of the same beginning has another id.
    other = finding_of(Found(kind="under_floor", about=about[:-1] + "y", sentence="low"))
    assert other.id != finding.id

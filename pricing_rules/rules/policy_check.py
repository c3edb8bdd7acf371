"""Checks of a policy beside its numbers, and the line of the policy that each finding stands at.

Invariant: what is checked without measurements holds for every factory; a finding is placed at the
rule, service tier, subsidy or guard rail that a person would change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from pricing_rules.document import Path, path_text, read_yaml
from pricing_rules.money import decimal_text
from pricing_rules.prices.conditions import When
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.provenance import Finding, finding_id
from pricing_rules.rules.actions import AtMost
from pricing_rules.rules.floors import Found
from pricing_rules.rules.further_rates import FurtherRate
from pricing_rules.rules.matching import ambiguous_traces
from pricing_rules.rules.policy import Policy
from pricing_rules.rules.rate_chain import DerivedRate
from pricing_rules.rules.rule_reach import never_holding, overwritten, traces_of_policy

POLICY_KINDS: Final = (
    "ambiguous_match", "cached_over_input", "floor_clash", "largest_change", "rule_unmet",
    "service_tier_order", "service_tier_spread", "under_floor", "unequal_rate",
    "unreachable_promise", "unreachable_rule",
)  # fmt: skip
"""Kinds of findings that a change of the policy mends; others are about measurements."""


RULE_KINDS: Final = {"floor_clash": "then", "rule_unmet": "when", "unreachable_rule": "when"}
"""Kinds that are about a rule, and the part of it that a person would change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedFinding:
    """A finding with its place in the policy: ``policy.yaml:31 rules[3].then``."""

    where: str
    id: str
    kind: str
    sentence: str


def policy_findings(policy: Policy, *, effective_from: int) -> tuple[Finding, ...]:
    """What is wrong with a policy whatever is measured: rules without an effect, and matches that
    only the order of conditions decides.

    Windows are looked at in the two years from ``effective_from`` (microseconds UTC).
    """
    traces = traces_of_policy(policy)
    windows = policy.priced_windows()
    found = (
        *never_holding(traces, policy=policy),
        *overwritten(traces, policy=policy),
        *ambiguous_traces(traces, windows=windows, effective_from=effective_from),
    )
    return tuple(finding_of(one) for one in found)


def finding_of(found: Found) -> Finding:
    """A finding as the book carries it."""
    id_ = finding_id(found.kind, about=found.about)
    return Finding(id=id_, kind=found.kind, sentence=found.sentence)


def floor_clashes(rates: Sequence[DerivedRate], *, policy: Policy) -> Iterator[Found]:
    """Caps that lie under floors, whatever later rules make of the rate: one finding a rule."""
    for rule in policy.rules:
        if not isinstance(rule.then, AtMost):
            continue
        cap = rule.then.rate
        under = [
            rate
            for rate in rates
            if rate.floor > cap and any(step.rule == rule.id for step in rate.steps)
        ]
        if under:
            worst = max(under, key=lambda rate: (rate.floor, rate.about))
            yield Found(
                kind="floor_clash",
                about=rule.id,
                sentence=f"the rule {rule.id} caps at {decimal_text(cap)}, under the floor of "
                f"{len(under)} rates; the highest is {decimal_text(worst.floor)} of {worst.about}",
            )


def placed(
    findings: Sequence[Finding], *, policy: Policy, book: PriceBook | None, data: bytes, name: str
) -> tuple[PlacedFinding, ...]:
    """Findings of the kinds that the policy can mend, in the order of its lines.

    ``data`` and ``name`` are the policy's file; ``book`` the candidate that was derived from it,
    None where nothing was derived.
    """
    _, lines = read_yaml(data, name=name)
    last_rules = _last_rules(book, policy=policy) if book else {}
    found: list[tuple[int, PlacedFinding]] = []
    for one in findings:
        path = _path(one, policy=policy, last_rules=last_rules)
        if one.kind not in POLICY_KINDS or path is None:
            continue
        while path not in lines:
            path = path[:-1]
        where = f"{name}:{lines[path]} {path_text(path)}".rstrip()
        at = PlacedFinding(where=where, id=one.id, kind=one.kind, sentence=one.sentence)
        found.append((lines[path], at))
    return tuple(at for _, at in sorted(found, key=lambda pair: (pair[0], pair[1].id)))


def _last_rules(book: PriceBook, *, policy: Policy) -> dict[str, int]:
    """The rule that touched each rate last, by ``model/service_tier/unit`` and conditions."""
    place = {rule.id: i for i, rule in enumerate(policy.rules)}
    found: dict[str, int] = {}
    for card in book.rate_cards:
        for entry in card.rates:
            about = f"{card.model}/{card.service_tier}/{entry.unit}"
            about += f"/{entry.when.text()}" if entry.when.text() else ""
            rules = [place[step.rule] for step in entry.steps if step.rule in place]
            if rules:
                found[about] = rules[-1]
    return found


def _path(finding: Finding, *, policy: Policy, last_rules: Mapping[str, int]) -> Path | None:
    """Where a person would mend it; None for a promise that some hardware of the pool keeps."""
    about = finding.id.removeprefix(f"{finding.kind}:")
    if finding.kind in RULE_KINDS:
        named = [
            (len(rule.id), i)
            for i, rule in enumerate(policy.rules)
            if f"{about}/".startswith(f"{rule.id}/")
        ]
        return ("rules", max(named)[1], RULE_KINDS[finding.kind]) if named else ("rules",)
    if finding.kind == "unreachable_promise":
        cards = product(policy.models, enumerate(policy.service_tiers))
        places = (i for model, (i, one) in cards if about == f"{model.name}/{one.name}")
        place = next(places, None)
        return None if place is None else ("service_tiers", place, "promise")
    if finding.kind == "ambiguous_match":
        makers = [
            i
            for i, rule in enumerate(policy.rules)
            if isinstance(rule.then, FurtherRate)
            and (when := rule.then.variant(When())) is not None
            and when.text() in about
        ]
        return ("rules", makers[-1], "when") if makers else ("rules",)
    return ("rules", last_rules[about], "then") if about in last_rules else ("rules",)

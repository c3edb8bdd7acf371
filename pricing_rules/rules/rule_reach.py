"""Which rules of a policy do nothing: those that never hold, and those that a later rule always
overwrites.

Invariant: a rule is called unreachable only where no rate of the policy, under whatever conditions
its rules make, ends otherwise for it; amounts play no part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from pricing_rules.cost.unit_cost import TOKEN_UNITS
from pricing_rules.prices.conditions import When
from pricing_rules.rules.actions import (
    Action,
    LadderOfRates,
    Margin,
    MarketRate,
    Markup,
    Relate,
    RoundUpTo,
    SetRate,
)
from pricing_rules.rules.floors import Found
from pricing_rules.rules.further_rates import FurtherRate
from pricing_rules.rules.policy import Policy, Rule
from pricing_rules.rules.rate_chain import DerivedRate, rule_holds

OVERWRITING: Final = (SetRate, Markup, Margin, Relate, MarketRate)
"""Actions that do not look at what the rate was."""

LASTING: Final = (LadderOfRates, RoundUpTo)
"""Actions that stay with a rate whatever later rules make of it."""

RateKey = tuple[str, str, str, tuple[object, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The rules that touched a rate, in order, and by which it took a part of another rate."""

    model: str
    service_tier: str
    unit: str
    when: When
    rules: tuple[str, ...]
    related: tuple[tuple[str, RateKey], ...]

    @property
    def key(self) -> RateKey:
        """What tells the rate from every other."""
        return (self.model, self.service_tier, self.unit, self.when.shape)


def traces_of_rates(rates: Iterable[DerivedRate], *, policy: Policy) -> tuple[Trace, ...]:
    """The traces of derived rates."""
    known = {rule.id for rule in policy.rules}
    return tuple(
        Trace(
            model=rate.model,
            service_tier=rate.service_tier,
            unit=rate.unit,
            when=rate.when,
            rules=tuple(step.rule for step in rate.steps if step.rule in known),
            related=tuple(
                (step.rule, (rate.model, *step.related, rate.conditions))
                for step in rate.steps
                if step.related is not None
            ),
        )
        for rate in rates
    )


def traces_of_policy(policy: Policy) -> tuple[Trace, ...]:
    """What the rules would touch if every model were sold in every service tier."""
    facts = policy.facts()
    standing: dict[RateKey, Trace] = {}
    for model, service_tier, unit in product(policy.models, policy.service_tiers, TOKEN_UNITS):
        trace = Trace(
            model=model.name,
            service_tier=service_tier.name,
            unit=unit,
            when=When(),
            rules=(),
            related=(),
        )
        standing[trace.key] = trace
    for rule in policy.rules:
        before = dict(standing)
        for trace in before.values():
            asked = facts.of(
                trace.model, service_tier=trace.service_tier, unit=trace.unit, when=trace.when
            )
            if rule_holds(rule, facts=asked):
                touched = _touched(trace, rule=rule, before=before)
                standing[touched.key] = touched
    return tuple(standing.values())


def _touched(trace: Trace, *, rule: Rule, before: dict[RateKey, Trace]) -> Trace:
    """The trace after the rule, or as it was where the rule finds nothing to do."""
    then: Action = rule.then
    if isinstance(then, FurtherRate):
        when = then.variant(trace.when)
        return replace(trace, when=when, rules=(*trace.rules, rule.id)) if when else trace
    related: tuple[tuple[str, RateKey], ...] = ()
    if isinstance(then, Relate):
        key = (
            trace.model,
            then.service_tier or trace.service_tier,
            then.unit or trace.unit,
            trace.when.shape,
        )
        if key not in before:
            return trace
        related = ((rule.id, key),)
    return replace(trace, rules=(*trace.rules, rule.id), related=(*trace.related, *related))


def never_holding(traces: Sequence[Trace], *, policy: Policy) -> Iterator[Found]:
    """Rules that touch no rate at all."""
    touched = {rule for trace in traces for rule in trace.rules}
    for rule in policy.rules:
        if rule.id not in touched:
            yield Found(
                kind="unreachable_rule",
                about=rule.id,
                sentence=f"the rule {rule.id} touches no rate that this policy can make; mend its "
                "when, or remove it",
            )


def overwritten(traces: Sequence[Trace], *, policy: Policy) -> Iterator[Found]:
    """Rules whose whole effect is gone: each rate that they touched was later made anew.

    A rate that another one took a part of in between has had its effect.
    """
    place = {rule.id: i for i, rule in enumerate(policy.rules)}
    taken: dict[RateKey, list[int]] = {}
    for trace in traces:
        for id_, key in trace.related:
            taken.setdefault(key, []).append(place[id_])
    for i, rule in enumerate(policy.rules):
        if isinstance(rule.then, (*LASTING, FurtherRate)):
            continue
        ends = [
            _overwriting(trace, after=i, policy=policy, taken=taken.get(trace.key, []))
            for trace in traces
            if rule.id in trace.rules
        ]
        if ends and all(end is not None for end in ends):
            by = sorted({end for end in ends if end is not None})
            named = ", ".join(policy.rules[j].id for j in by)
            yield Found(
                kind="unreachable_rule",
                about=rule.id,
                sentence=f"the rule {rule.id} has no effect: each rate that it touches is made "
                f"anew by {named}; narrow one of them, or remove {rule.id}",
            )


def _overwriting(trace: Trace, *, after: int, policy: Policy, taken: Sequence[int]) -> int | None:
    """The rule that made the rate anew; None where the effect of rule ``after`` lives on."""
    for j, rule in enumerate(policy.rules):
        if j > after and rule.id in trace.rules and isinstance(rule.then, OVERWRITING):
            used_before = any(after < k <= j for k in taken)
            return None if used_before else j
    return None

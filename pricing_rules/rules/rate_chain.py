"""Runs the rules of a policy over rates: every rate keeps the chain of steps that made it.

Invariant: a chain connects (each step starts where the one before ended, from the floor to the
rate), and a rule sees all rates as they stood before it, so that the order of rates decides
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pricing_rules.document import DocumentError
from pricing_rules.money import decimal_text
from pricing_rules.prices.conditions import When
from pricing_rules.rules.actions import (
    Action,
    LadderOfRates,
    MarketRate,
    Relate,
    RoundUpTo,
    chain_decimal,
    rounded_up,
    terminating,
)
from pricing_rules.rules.conditions import condition_holds
from pricing_rules.rules.further_rates import (
    ContextStep,
    DimensionRate,
    FurtherRate,
    RegionRate,
    WindowRate,
)
from pricing_rules.rules.market import Market, market_point, market_text
from pricing_rules.rules.policy import FLOOR_RULE, ROUNDING_RULE, Policy, PolicyFacts, Rule
from pricing_rules.rules.predicate import RateFacts

DEFAULT_STEP: Final = Decimal("0.000001")
"""Rates end as multiples of it per million units where no rule states a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainStep:
    """One rule that touched a rate. ``before`` is None for the first step only.

    ``related``: the service tier and unit of the rate that it took a part of.
    """

    rule: str
    action: str
    before: Decimal | None
    after: Decimal
    why: str
    related: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateBand:
    """A band of a finished ladder: its rate up to a quantity (None: the open last one)."""

    up_to: Decimal | None
    rate: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedRate:
    """A rate on its way: one unit of a model in a service tier, under conditions, per million."""

    model: str
    service_tier: str
    unit: str
    floor: Decimal
    when: When
    rate: Decimal
    steps: tuple[ChainStep, ...]
    ladder: LadderOfRates | None = None
    step: Decimal = DEFAULT_STEP

    @property
    def about(self) -> str:
        """``model/service_tier/unit``, with the conditions where there are some."""
        about = f"{self.model}/{self.service_tier}/{self.unit}"
        return f"{about}/{self.when.text()}" if self.when.text() else about

    @property
    def conditions(self) -> tuple[object, ...]:
        """What tells this rate from others of its unit on its card."""
        return self.when.shape

    def facts(self, facts: PolicyFacts) -> RateFacts:
        """What a predicate may ask about it."""
        return facts.of(self.model, service_tier=self.service_tier, unit=self.unit, when=self.when)

    @property
    def bands(self) -> tuple[RateBand, ...]:
        """The rate as bands: those of its ladder, or one open band."""
        if self.ladder is None:
            return (RateBand(up_to=None, rate=self.rate),)
        return tuple(
            RateBand(
                up_to=band.up_to,
                rate=terminating(
                    rounded_up(
                        Fraction(self.rate) * Fraction(band.multiply), step=Fraction(self.step)
                    )
                ),
            )
            for band in self.ladder.bands
        )

    @property
    def lowest(self) -> Decimal:
        """The lowest rate that some quantity can meet."""
        return min(band.rate for band in self.bands)

    def moved(
        self,
        rule: str,
        *,
        action: str,
        exact: Fraction,
        why: str,
        related: tuple[str, str] | None = None,
    ) -> DerivedRate:
        """The rate after one more step of its chain."""
        if exact < 0:
            raise DocumentError(f'policy rule "{rule}"', f"takes {self.about} below zero; mend it")
        after = chain_decimal(exact)
        step = ChainStep(
            rule=rule, action=action, before=self.rate, after=after, why=why, related=related
        )
        return replace(self, rate=after, steps=(*self.steps, step))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmetRule:
    """A rule that did nothing to the rate ``about`` (empty: it holds for no rate at all)."""

    rule: str
    about: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRun:
    """Finished rates, in the order in which they came to be, and the rules that did nothing."""

    rates: tuple[DerivedRate, ...]
    unmet: tuple[UnmetRule, ...]


_Key = tuple[str, str, str, tuple[object, ...]]


def start_at_floor(
    floor: Decimal, *, model: str, service_tier: str, unit: str, why: str
) -> DerivedRate:
    """A rate that is its floor, with the first step of its chain."""
    step = ChainStep(
        rule=FLOOR_RULE, action="start at the floor", before=None, after=floor, why=why
    )
    return DerivedRate(
        model=model,
        service_tier=service_tier,
        unit=unit,
        floor=floor,
        when=When(),
        rate=floor,
        steps=(step,),
    )


def run_rules(
    rates: Iterable[DerivedRate], *, policy: Policy, markets: Sequence[Market] = ()
) -> RuleRun:
    """Run the policy's rules in their order over all rates, then round each rate up to its step.

    DocumentError, naming the rule, where a rate falls below zero, gets a second ladder, or gets two
    further rates under the same conditions, and where a predicate has no value for a rate.
    """
    facts = policy.facts()
    standing = {_key(rate): rate for rate in rates}
    unmet: list[UnmetRule] = []
    for rule in policy.rules:
        before = dict(standing)
        touched = [rate for rate in before.values() if rule_holds(rule, facts=rate.facts(facts))]
        moved = [found for rate in touched if (found := _moved(rule, rate, before, markets, unmet))]
        for rate in moved:
            key = _key(rate)
            if isinstance(rule.then, FurtherRate) and key in standing:
                raise DocumentError(
                    f'policy rule "{rule.id}"',
                    f"makes {rate.about} a second time; keep one rule for it",
                )
            standing[key] = rate
        if not moved and not any(one.rule == rule.id for one in unmet):
            sentence = "holds for no rate of the book, so it does nothing"
            unmet.append(UnmetRule(rule=rule.id, about="", sentence=sentence))
    return RuleRun(rates=tuple(map(_finished, standing.values())), unmet=tuple(unmet))


def _key(rate: DerivedRate) -> _Key:
    return (rate.model, rate.service_tier, rate.unit, rate.conditions)


def rule_holds(rule: Rule, *, facts: RateFacts) -> bool:
    """Whether a rule is for a rate; DocumentError where its predicate has no value for it."""
    try:
        return condition_holds(rule.when, facts=facts)
    except ValueError as error:
        raise DocumentError(f'policy rule "{rule.id}" when', str(error)) from None


def _moved(
    rule: Rule,
    rate: DerivedRate,
    before: dict[_Key, DerivedRate],
    markets: Sequence[Market],
    unmet: list[UnmetRule],
) -> DerivedRate | None:
    then: Action = rule.then
    exact, action = Fraction(rate.rate), then.text()
    related: tuple[str, str] | None = None
    match then:
        case ContextStep() | RegionRate() | DimensionRate() | WindowRate():
            when = then.variant(rate.when)
            if when is None:
                return None
            rate = replace(rate, when=when)
            exact *= Fraction(then.multiply)
        case Relate():
            other = before.get(_key(_related(rate, then)))
            if other is None:
                sentence = f"finds no rate of {then.unit or then.service_tier} for {rate.about}"
                unmet.append(UnmetRule(rule=rule.id, about=rate.about, sentence=sentence))
                return None
            exact = Fraction(other.rate) * Fraction(then.factor)
            related = (other.service_tier, other.unit)
        case MarketRate():
            model = then.model or rate.model
            point = market_point(markets, model=model, unit=rate.unit, statistic=then.rate)
            if point is None:
                sentence = f"finds no market rate of {rate.unit} of {model} for {rate.about}"
                unmet.append(UnmetRule(rule=rule.id, about=rate.about, sentence=sentence))
                return None
            exact = point.rate * Fraction(then.factor)
            what = market_text(point, model=model, statistic=then.rate)
            action = f"{decimal_text(then.factor)} x {what}"
        case LadderOfRates():
            if rate.ladder is not None:
                raise DocumentError(
                    f'policy rule "{rule.id}"',
                    f"gives {rate.about} a second ladder beside {rate.ladder.id}; keep one",
                )
            rate = replace(rate, ladder=then)
        case RoundUpTo():
            rate = replace(rate, step=then.step)
            exact = then.exact(exact, floor=Fraction(rate.floor))
        case _:
            exact = then.exact(exact, floor=Fraction(rate.floor))
    return rate.moved(rule.id, action=action, exact=exact, why=rule.why, related=related)


def _related(rate: DerivedRate, then: Relate) -> DerivedRate:
    return replace(
        rate, unit=then.unit or rate.unit, service_tier=then.service_tier or rate.service_tier
    )


def _finished(rate: DerivedRate) -> DerivedRate:
    exact = rounded_up(Fraction(rate.rate), step=Fraction(rate.step))
    if exact == Fraction(rate.rate):
        return rate
    action = f"up to a multiple of {decimal_text(rate.step)}"
    why = "rates end as multiples of a stated step, rounded up so that they stay over the floor"
    return rate.moved(ROUNDING_RULE, action=action, exact=exact, why=why)

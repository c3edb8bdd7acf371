"""The rates of a book as the rules engine knows them, so that its own checks can be asked again.

Invariant: a rate is taken at its lowest band, which is what fairness and the yield test look at;
what those checks do not know (multipliers) is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from pricing_rules.cost.unit_cost import TOKEN_UNITS
from pricing_rules.document import DocumentError
from pricing_rules.prices.matching import multiplied
from pricing_rules.prices.price_book import PriceBook, RateCard
from pricing_rules.prices.provenance import RuleStep
from pricing_rules.rules.actions import RoundUpTo, chain_decimal
from pricing_rules.rules.policy import Policy
from pricing_rules.rules.rate_chain import DEFAULT_STEP, ChainStep, DerivedRate
from pricing_rules.testing.met_rates import MetRate
from pricing_rules.usage.units import nearest_priced


def derived_rates(book: PriceBook, *, card: RateCard, policy: Policy) -> tuple[DerivedRate, ...]:
    """The rates of tokens on a card of a book that ``policy`` made, or another one of its names.

    A unit without a rate of its own (cached input) has that of the unit that it takes, with its
    floor; 0 stands for the floor of what has no measured cost. DocumentError for a book with
    multipliers.
    """
    if book.multipliers:
        raise DocumentError(
            f"{book.series} number {book.number}",
            "has multipliers, which no derivation makes; write them out as rates",
        )
    return tuple(_rates(book, card=card, policy=policy))


def _rates(book: PriceBook, *, card: RateCard, policy: Policy) -> Iterator[DerivedRate]:
    steps = {one.id: one.then.step for one in policy.rules if isinstance(one.then, RoundUpTo)}
    priced = {entry.unit for entry in card.rates}
    for unit in TOKEN_UNITS:
        taken = nearest_priced(unit, priced=priced)
        for entry in card.rates:
            if entry.unit != taken:
                continue
            rate = MetRate(book=book, card=card, matched=multiplied(entry, multipliers=()))
            floor = rate.unit_floor
            stated = [steps[step.rule] for step in entry.steps if step.rule in steps]
            yield DerivedRate(
                model=card.model,
                service_tier=card.service_tier,
                unit=unit,
                floor=floor.floor if floor else Decimal(0),
                when=entry.when,
                rate=chain_decimal(Fraction(rate.lowest)),
                steps=tuple(map(_chain_step, entry.steps)),
                step=stated[-1] if stated else DEFAULT_STEP,
            )


def _chain_step(step: RuleStep) -> ChainStep:
    made = ChainStep(
        rule=step.rule, action=step.action, before=step.before, after=step.after, why=step.why
    )
    if step.related_service_tier is None or step.related_unit is None:
        return made
    return replace(made, related=(step.related_service_tier, step.related_unit))

"""What subsidies pay in a period, beside what they may pay.

Invariant: usage that is charged under its floor is paid for by at most one subsidy, the first that
covers its rate, as where the book was derived; what none covers is counted too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pricing_rules.period import Period
from pricing_rules.planning.pool_use import hours_of
from pricing_rules.planning.unit_takings import MTOK, nearest_floor
from pricing_rules.prices.conditions import When
from pricing_rules.prices.matching import matched_as
from pricing_rules.prices.price_book import BooksInForce, RateCard
from pricing_rules.prices.rating import Charge, ChargeBand
from pricing_rules.rules.conditions import condition_holds
from pricing_rules.rules.limits import Subsidy
from pricing_rules.rules.policy import Policy, PolicyFacts
from pricing_rules.usage.units import UNITS

_HOURS: Final = {"year": 365 * 24, "month": 365 * 24 // 12}
"""The hours of a budget's time: a year of 365 days, and a twelfth of it (730 hours)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsidyUse:
    """A subsidy in a period: what it paid, and its budget over as long a time.

    ``paid``: by how much what it covers was charged under its floors, before discounts. None where
    the subsidy is for welcome credits alone, which are no usage.
    """

    subsidy: Subsidy
    paid: Fraction | None
    budget: Fraction

    @property
    def used_share(self) -> Fraction | None:
        """What it paid as a share of that budget."""
        return None if self.paid is None else self.paid / self.budget


@dataclass(frozen=True, slots=True, kw_only=True)
class SubsidyUses:
    """The subsidies of a policy, and what was charged under a floor and none of them covers."""

    subsidies: tuple[SubsidyUse, ...]
    uncovered: Fraction


def subsidy_uses(
    charges: Iterable[Charge], *, books: BooksInForce, policy: Policy, period: Period
) -> SubsidyUses:
    """What charges under floors cost each subsidy of the policy, by its own rates.

    A subsidy that has ended by the start of the period pays nothing.
    """
    facts = policy.facts()
    in_force = [one for one in policy.subsidies if one.ends_at > period.start_at]
    numbered = {book.number: book for book in books.books}
    paid: dict[str | None, Fraction] = defaultdict(Fraction)
    for charge in charges:
        for band in charge.bands:
            book = numbered[band.book_number]
            card = book.card(model=charge.model, service_tier=charge.service_tier)
            shortfall = _shortfall(band, card=card, unit=charge.unit)
            if card is None or shortfall <= 0:
                continue
            matched = matched_as(book, card=card, unit=charge.unit, when=band.when)
            payer = _payer(
                charge,
                when=matched.entry.when if matched else When(),
                subsidies=in_force,
                facts=facts,
            )
            paid[payer] += shortfall
    return SubsidyUses(
        subsidies=tuple(
            SubsidyUse(
                subsidy=one,
                paid=None if one.covers is None else paid[one.id],
                budget=Fraction(one.budget.amount) * hours_of(period) / _HOURS[one.budget.per],
            )
            for one in policy.subsidies
        ),
        uncovered=paid[None],
    )


def _shortfall(band: ChargeBand, *, card: RateCard | None, unit: str) -> Fraction:
    floor = nearest_floor(card.cost, unit=unit) if card else None
    if floor is None:
        return Fraction(0)
    return Fraction(floor.floor) * band.quantity / (UNITS[unit].scale * MTOK) - band.amount


def _payer(
    charge: Charge, *, when: When, subsidies: Iterable[Subsidy], facts: PolicyFacts
) -> str | None:
    """The id of the first subsidy that covers the rate; None where there is none."""
    if charge.model not in facts.models or charge.service_tier not in facts.service_tiers:
        return None
    asked = facts.of(charge.model, service_tier=charge.service_tier, unit=charge.unit, when=when)
    covering = (
        one.id
        for one in subsidies
        if one.covers is not None and condition_holds(one.covers, facts=asked)
    )
    return next(covering, None)

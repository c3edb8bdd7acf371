"""Pools in a period: what their hours cost and how far they are used, earned and needed.

Invariant: an hour of a pool counts once, whatever cards share it, and what only the factory's
document knows (power, availability, hardware without a measurement) is never guessed from a book.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pricing_rules.cost.accelerator_hour import accelerator_hour
from pricing_rules.cost.factory import Factory, Pool
from pricing_rules.cost.floor import quantise
from pricing_rules.period import MICROSECONDS, Period
from pricing_rules.planning.unit_takings import PeriodTakings, UnitTakings, nearest_floor
from pricing_rules.planning.variance import LineUse, PeriodCost
from pricing_rules.prices.price_book import BooksInForce, PriceBook, RateCard

_HOUR_MICROSECONDS: Final = 3600 * MICROSECONDS
_KW_PER_MW: Final = 1000
_ZERO = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolHours:
    """The hours of a pool in a period and what they cost, used or not, in the books' currency.

    ``available_hours``: accelerator-hours in which it can serve. ``facility_mwh``: energy at the
    meter at rated power, busy or idle; None where no power is known. ``source``: what says so.
    """

    name: str
    accelerators: int
    available_hours: Fraction
    spend: Fraction
    facility_mwh: Fraction | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """A pool, what its hours brought, and the utilization that its floors state.

    ``takings``: of every unit of its cards that has a measured cost.
    """

    hours: PoolHours
    used_hours: Fraction
    takings: UnitTakings
    stated_utilization: Fraction | None

    @property
    def utilization(self) -> Fraction:
        """The used share of the available hours, by the shape fit of the books."""
        return self.used_hours / self.hours.available_hours

    @property
    def revenue_per_hour(self) -> Fraction:
        """Costed revenue per available accelerator-hour, used or not."""
        return self.takings.costed_revenue / self.hours.available_hours

    @property
    def revenue_per_mwh(self) -> Fraction | None:
        """Costed revenue per facility MWh; None where no power is known."""
        mwh = self.hours.facility_mwh
        return self.takings.costed_revenue / mwh if mwh else None

    @property
    def result(self) -> Fraction:
        """What the costed revenue leaves after fees, variable cost and all hours of the pool."""
        took = self.takings
        return took.costed_revenue - took.fees - took.variable - self.hours.spend


@dataclass(frozen=True, slots=True, kw_only=True)
class CardUse:
    """One rate card in a period: its pool, the hours that it used, and its takings."""

    pool: str
    model: str
    service_tier: str
    used_hours: Fraction
    takings: UnitTakings
    stated_utilization: Fraction | None


def hours_of(period: Period) -> Fraction:
    """How many hours a period has."""
    return Fraction(period.end_at - period.start_at, _HOUR_MICROSECONDS)


def pools_of_factory(
    factory: Factory, *, period: Period, per_usd: Fraction
) -> tuple[PoolHours, ...]:
    """The pools of a factory in a period; ``per_usd``: a dollar in the books' currency.

    An hour that costs by the time of the day is weighted by the load that its pool states.
    """
    return tuple(
        _pool_of_factory(pool, factory=factory, hours=hours_of(period), per_usd=per_usd)
        for pool in factory.pools
    )


def _pool_of_factory(
    pool: Pool, *, factory: Factory, hours: Fraction, per_usd: Fraction
) -> PoolHours:
    load = pool.load_by_hour.by_hour_of_week if pool.load_by_hour else None
    available, spend, kwh, unknown = _ZERO, _ZERO, _ZERO, False
    for hardware, accelerators in sorted(pool.hardware.items()):
        hour = accelerator_hour(factory, hardware=hardware, load_by_hour=load)
        owned = factory.hardware[hardware].owned
        share = Fraction(owned.availability.value) if owned else Fraction(1)
        available += accelerators * hours * share
        spend += accelerators * hours * share * Fraction(quantise(hour.usd_per_hour)) * per_usd
        power = hour.power.facility_kw
        unknown = unknown or power is None
        kwh += accelerators * hours * Fraction(quantise(power or 0.0))
    return PoolHours(
        name=pool.name,
        accelerators=sum(pool.hardware.values()),
        available_hours=available,
        spend=spend,
        facility_mwh=None if unknown else kwh / _KW_PER_MW,
        source=factory.name,
    )


def pools_of_book(book: PriceBook, *, period: Period) -> tuple[PoolHours, ...]:
    """The pools that the cards of a book name, in a period: each hardware with its accelerators,
    at the highest of the hours that its cards count (those of full floors count all).
    """
    per_usd = Fraction(book.exchange.per_usd) if book.exchange else Fraction(1)
    hours = hours_of(period)
    pools: dict[str, dict[str, tuple[int, Fraction]]] = defaultdict(dict)
    for card in book.rate_cards:
        for member in card.cost.hardware if card.cost else ():
            hardware = pools[card.cost.pool if card.cost else ""]
            known = hardware.get(member.hardware, (0, _ZERO))
            hardware[member.hardware] = (
                max(known[0], member.accelerators),
                max(known[1], Fraction(member.usd_per_hour)),
            )
    return tuple(
        PoolHours(
            name=name,
            accelerators=sum(number for number, _ in hardware.values()),
            available_hours=hours * sum(number for number, _ in hardware.values()),
            spend=sum((hours * n * usd * per_usd for n, usd in hardware.values()), _ZERO),
            facility_mwh=None,
            source=f"price book {book.number}",
        )
        for name, hardware in sorted(pools.items())
    )


def card_uses(found: PeriodTakings, *, book: PriceBook, books: BooksInForce) -> tuple[CardUse, ...]:
    """Each card of a book that has a measured cost, used or not, and cards of other books that only
    they have and that were used; in the order of model and service tier.
    """
    hours: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for (_, model, service_tier, _), line in found.uses.items():
        hours[model, service_tier] += line.used_hours
    takings: dict[tuple[str, str], UnitTakings] = defaultdict(UnitTakings)
    for (_, model, service_tier, _), one in found.units.items():
        takings[model, service_tier] = takings[model, service_tier].plus(one)
    cards = {
        (card.model, card.service_tier): card
        for one in (*sorted(books.books, key=lambda other: other.number), book)
        for card in one.rate_cards
        if card.cost is not None and (one is book or (card.model, card.service_tier) in takings)
    }
    return tuple(
        CardUse(
            pool=card.cost.pool,
            model=model,
            service_tier=service_tier,
            used_hours=hours[model, service_tier],
            takings=takings[model, service_tier],
            stated_utilization=_stated(card),
        )
        for (model, service_tier), card in sorted(cards.items())
        if card.cost is not None
    )


def pool_uses(cards: Iterable[CardUse], *, pools: Iterable[PoolHours]) -> tuple[PoolUse, ...]:
    """Each pool that has hours, with what its cards used and brought, by name."""
    by_pool: dict[str, list[CardUse]] = defaultdict(list)
    for card in cards:
        by_pool[card.pool].append(card)
    return tuple(
        PoolUse(
            hours=pool,
            used_hours=sum((card.used_hours for card in by_pool[pool.name]), _ZERO),
            takings=_sum(by_pool[pool.name]),
            stated_utilization=max(
                (
                    card.stated_utilization
                    for card in by_pool[pool.name]
                    if card.stated_utilization is not None
                ),
                default=None,
            ),
        )
        for pool in sorted(pools, key=lambda one: one.name)
        if pool.available_hours
    )


def period_cost(
    pools: Iterable[PoolHours], *, uses: Mapping[tuple[str, str, str, str], LineUse]
) -> PeriodCost:
    """What the pools cost and served: the lines are kinds of token of a card in a pool."""
    listed = list(pools)
    names = {pool.name for pool in listed}
    return PeriodCost(
        spend=sum((pool.spend for pool in listed), _ZERO),
        available_hours=sum((pool.available_hours for pool in listed), _ZERO),
        lines={key: line for key, line in uses.items() if key[0] in names},
    )


def _sum(cards: Iterable[CardUse]) -> UnitTakings:
    total = UnitTakings()
    for card in cards:
        total = total.plus(card.takings)
    return total


def _stated(card: RateCard) -> Fraction | None:
    """The utilization that the floors of a card state; None for short_run floors, which state none:
    theirs counts the seconds that serve alone.
    """
    for unit in ("output_tokens", "input_tokens"):
        floor = nearest_floor(card.cost, unit=unit)
        if floor is not None and floor.kind != "short_run":
            return Fraction(floor.utilization)
    return None

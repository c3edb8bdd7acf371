"""The room of each rate: over its floor, under the market, and the utilization that it needs.

Invariant: a rate is taken at the lowest that usage may meet (its lowest band, times every factor
below 1), and what has no floor or no offer beside it says so by being absent, never by a zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pricing_rules.planning.unit_takings import MTOK, break_even, nearest_floor
from pricing_rules.prices.matching import multiplied
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry
from pricing_rules.prices.provenance import UnitFloor
from pricing_rules.rules.market import Market, MarketPoint, market_point


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRoom:
    """One rate of a book per million units, beside its floor and what others ask.

    ``before``: the rate of the book before under the same conditions. ``break_even_utilization``:
    that at which the rate is its floor with no margin; above 1 even a full pool does not reach it,
    None where it does not pay for the variable cost, or has no floor.
    """

    model: str
    service_tier: str
    unit: str
    when: str
    rate: Fraction
    floor: UnitFloor | None
    break_even_utilization: Fraction | None
    lowest_offer: MarketPoint | None
    median_offer: MarketPoint | None
    before: Fraction | None

    @property
    def about(self) -> str:
        """The rate as findings name it."""
        place = f"{self.model}/{self.service_tier}/{self.unit}"
        return f"{place} when {self.when}" if self.when else place

    @property
    def room(self) -> Fraction | None:
        """What the rate lies over its floor; negative under it."""
        return None if self.floor is None else self.rate - Fraction(self.floor.floor)

    @property
    def room_share(self) -> Fraction | None:
        """The room as a share of the floor; None without a floor, or over one of 0."""
        room, floor = self.room, self.floor
        return room / Fraction(floor.floor) if room is not None and floor and floor.floor else None

    @property
    def is_under_floor(self) -> bool:
        """Whether the rate lies under its floor; at it, it does not."""
        return self.room is not None and self.room < 0

    @property
    def under_market_share(self) -> Fraction | None:
        """How far the rate lies under the lowest offer, as a share of that; negative over it."""
        offer = self.lowest_offer
        return (offer.rate - self.rate) / offer.rate if offer and offer.rate else None


def rate_rooms(
    book: PriceBook, *, previous: PriceBook | None, markets: Sequence[Market]
) -> tuple[RateRoom, ...]:
    """Every rate of a book, the least room over its floor first, those without a floor last."""
    found = list(_rooms(book, previous=previous, markets=markets))
    return tuple(
        sorted(found, key=lambda one: (one.room_share is None, one.room_share or 0, one.about))
    )


def _rooms(
    book: PriceBook, *, previous: PriceBook | None, markets: Sequence[Market]
) -> Iterator[RateRoom]:
    for card in book.rate_cards:
        old = previous.card(model=card.model, service_tier=card.service_tier) if previous else None
        for entry in card.rates:
            rate, floor = _lowest(entry, book=book), nearest_floor(card.cost, unit=entry.unit)
            lowest, median = (
                market_point(markets, model=card.model, unit=entry.unit, statistic=statistic)
                for statistic in ("lowest", "median")
            )
            yield RateRoom(
                model=card.model,
                service_tier=card.service_tier,
                unit=entry.unit,
                when=entry.when.text(),
                rate=rate,
                floor=floor,
                break_even_utilization=_break_even(rate, floor=floor),
                lowest_offer=lowest,
                median_offer=median,
                before=_before(entry, card=old, book=previous),
            )


def _lowest(entry: RateEntry, *, book: PriceBook) -> Fraction:
    lowering = [one for one in book.multipliers if one.factor < 1 and one.concerns(entry.unit)]
    found = multiplied(entry, multipliers=lowering)
    if found.ladder is None:
        return Fraction(found.plain_rate) * MTOK / entry.per
    return min(
        Fraction(band.rate) * MTOK / (band.per or entry.per) for band in found.ladder.ladder.bands
    )


def _break_even(rate: Fraction, *, floor: UnitFloor | None) -> Fraction | None:
    if floor is None:
        return None
    return break_even(
        Fraction(floor.unit_cost_per_mtok),
        kept=rate * (1 - Fraction(floor.revenue_share)),
        variable=Fraction(floor.variable_per_mtok),
    )


def _before(entry: RateEntry, *, card: RateCard | None, book: PriceBook | None) -> Fraction | None:
    for old in card.rates if card else ():
        if book and (old.unit, old.when.shape) == (entry.unit, entry.when.shape):
            return _lowest(old, book=book)
    return None

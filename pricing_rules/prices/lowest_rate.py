"""The lowest rate that usage can meet at one entry of a card: its lowest band, times the
multipliers below 1 that can hold there at once.

Invariant: multipliers of two regions or of two values of a dimension never count together, and one
never counts where a more specific rate takes its place; windows may overlap, so they count
together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from pricing_rules.prices.conditions import Multiplier, When
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry

MTOK = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LowestRate:
    """A rate per million units, exact, and the multipliers that are in it, in the book's order.

    ``listed_per_mtok`` is without them: that of the lowest band.
    """

    per_mtok: Fraction
    listed_per_mtok: Fraction
    multipliers: tuple[Multiplier, ...]


def lowest_rate(entry: RateEntry, *, card: RateCard, book: PriceBook) -> LowestRate:
    """The lowest that usage can meet at ``entry``, which is one of ``card``'s."""
    rivals = [
        other.when
        for other in card.rates
        if other.unit == entry.unit and other.when.specificity() > entry.when.specificity()
    ]
    lowering = [
        one
        for one in book.multipliers
        if one.factor < 1
        and one.concerns(entry.unit)
        and _can_hold(one.when, beside=entry.when)
        and not any(_holds_in(rival, one.when, entry.when) for rival in rivals)
    ]
    held = _lowest(lowering)
    listed = _lowest_band(entry)
    return LowestRate(per_mtok=listed * _product(held), listed_per_mtok=listed, multipliers=held)


def _lowest_band(entry: RateEntry) -> Fraction:
    if entry.ladder is None:
        return Fraction(entry.rate or 0) * MTOK / entry.per
    return min(Fraction(band.rate) * MTOK / (band.per or entry.per) for band in entry.ladder.bands)


def _lowest(multipliers: Sequence[Multiplier]) -> tuple[Multiplier, ...]:
    """Those of the least product among the sets of which all can hold at once."""
    for one in multipliers:
        without = [other for other in multipliers if other is not one]
        beside = [other for other in multipliers if _can_hold(other.when, beside=one.when)]
        if len(beside) < len(multipliers):
            return min(_lowest(beside), _lowest(without), key=_product)
    return tuple(multipliers)


def _product(multipliers: Sequence[Multiplier]) -> Fraction:
    product = Fraction(1)
    for one in multipliers:
        product *= Fraction(one.factor)
    return product


def _can_hold(one: When, *, beside: When) -> bool:
    named = one.dimensions.keys() & beside.dimensions.keys()
    return (one.region == beside.region or None in (one.region, beside.region)) and all(
        one.dimensions[name] == beside.dimensions[name] for name in named
    )


def _holds_in(rival: When, *both: When) -> bool:
    """Whether ``rival`` holds for every request for which all of ``both`` hold."""
    dimensions = {name: value for one in both for name, value in one.dimensions.items()}
    return (
        rival.region in (None, *(one.region for one in both))
        and rival.window in (None, *(one.window for one in both))
        and rival.threshold_tokens <= max(one.threshold_tokens for one in both)
        and rival.dimensions.items() <= dimensions.items()
    )

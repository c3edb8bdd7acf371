"""What serving usage costs by the cards of one side, and which of its rates the usage meets.

Invariant: each billable count is costed by the card that it is charged on, at most once, and the
costed revenue is that of the same usage.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pricing_rules.prices.matching import windows_of
from pricing_rules.prices.price_book import BooksInForce, PriceBook, RateCard, RateEntry
from pricing_rules.prices.rating import Charge
from pricing_rules.usage.totals import Cell, UsageTotal
from pricing_rules.usage.units import REQUESTS, UNITS, nearest_priced

COST_BASIS: Final = (
    "What the floors of each side's own rate cards rest on: unit cost / utilization + variable "
    "cost, without margin and revenue share. Usage of cards and units without a measured cost is "
    "neither in the cost nor in the costed revenue."
)

_MTOK = 1_000_000

Line = tuple[str, str, str]
"""Account, model and service tier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Takings:
    """What usage brings under one side, and what serving it costs: exact, in major units.

    ``costed_revenue``: the part of ``revenue`` whose usage has a measured cost, ``cost_exact``; a
    fee for each request is in it where its card has a cost. ``floor``: the sum of floor x count
    over the same usage, unpriced counts too.
    """

    revenue: Fraction = Fraction(0)
    costed_revenue: Fraction = Fraction(0)
    cost_exact: Fraction = Fraction(0)
    floor: Fraction = Fraction(0)

    @property
    def margin(self) -> Fraction:
        """What the costed revenue leaves over its cost."""
        return self.costed_revenue - self.cost_exact

    @property
    def margin_share(self) -> Fraction | None:
        """The margin as a share of the costed revenue; None where there is none."""
        return self.margin / self.costed_revenue if self.costed_revenue else None


def add_takings(parts: Sequence[Takings]) -> Takings:
    """All of them together."""
    return Takings(
        revenue=add_exact(part.revenue for part in parts),
        costed_revenue=add_exact(part.costed_revenue for part in parts),
        cost_exact=add_exact(part.cost_exact for part in parts),
        floor=add_exact(part.floor for part in parts),
    )


def add_exact(amounts: Iterable[Fraction]) -> Fraction:
    """The exact sum of amounts; the same as ``sum``, several times as fast over thousands."""
    listed = list(amounts)
    if len(listed) <= 1:
        return listed[0] if listed else Fraction(0)
    numerators: dict[int, int] = {}
    for amount in listed:
        denominator = amount.denominator
        numerators[denominator] = numerators.get(denominator, 0) + amount.numerator
    return sum((Fraction(n, d) for d, n in numerators.items()), Fraction(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmetRate:
    """A rate of a book that no usage meets; ``when``: its conditions."""

    book_number: int
    model: str
    service_tier: str
    unit: str
    when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _PerCount:
    """What one count of a unit, at its integer scale, costs, and its floor."""

    cost_per_count: Fraction
    floor_per_count: Fraction


class Served:
    """Billable usage under the books of one side; ``totals``: in the cells of the books' grid."""

    def __init__(self, totals: Iterable[UsageTotal], *, books: BooksInForce) -> None:
        self._books = books
        self._cards = {
            (book.number, card.model, card.service_tier): card
            for book in books.books
            for card in book.rate_cards
        }
        self._costs: dict[tuple[int, str], _PerCount | None] = {}
        self._met: set[int] = set()
        self._counts: dict[Line, dict[tuple[int, str], int]] = {}
        in_force: dict[int, PriceBook | None] = {}
        kinds: set[tuple[object, ...]] = set()
        for total in totals:
            cell = total.cell
            if cell.segment_start_at not in in_force:
                in_force[cell.segment_start_at] = books.at(cell.segment_start_at)
            book = in_force[cell.segment_start_at]
            card = book.card(model=cell.model, service_tier=cell.service_tier) if book else None
            if book is None or card is None:
                continue
            line = (cell.account, cell.model, cell.service_tier)
            counts = self._counts.setdefault(line, defaultdict(int))
            for leaf, count in total.leaves.items():
                counts[book.number, leaf] += count
            conditions = (cell.region, cell.size_class_tokens, cell.dimensions, cell.windows)
            kind = (id(card), *conditions, *total.leaves)
            if kind not in kinds:
                kinds.add(kind)
                self._meet(total.leaves, rates=_rates(cell, book=book, card=card))

    def takings(self, charges: Sequence[Charge]) -> dict[Line, Takings]:
        """What each line brings and costs; ``charges``: those of the same usage."""
        revenue: dict[Line, list[Fraction]] = defaultdict(list)
        costed: dict[Line, list[Fraction]] = defaultdict(list)
        for charge in charges:
            line = (charge.account, charge.model, charge.service_tier)
            revenue[line].append(charge.amount)
            for band in charge.bands:
                card = self._cards[band.book_number, charge.model, charge.service_tier]
                if self._is_costed(card, unit=charge.unit):
                    costed[line].append(band.amount)
        return {
            line: self._takings(
                line, revenue=add_exact(revenue[line]), costed_revenue=add_exact(costed[line])
            )
            for line in sorted({*revenue, *self._counts})
        }

    def unmet(self) -> tuple[UnmetRate, ...]:
        """The rates of the books that no usage meets, in the order in which they stand."""
        return tuple(
            UnmetRate(
                book_number=book.number,
                model=card.model,
                service_tier=card.service_tier,
                unit=entry.unit,
                when=entry.when.text(),
            )
            for book in sorted(self._books.books, key=lambda book: book.number)
            for card in book.rate_cards
            for entry in card.rates
            if id(entry) not in self._met
        )

    def _takings(self, line: Line, *, revenue: Fraction, costed_revenue: Fraction) -> Takings:
        cost, floor = [], []
        for (number, leaf), count in self._counts.get(line, {}).items():
            found = self._cost(self._cards[number, line[1], line[2]], unit=leaf)
            if found is not None:
                cost.append(count * found.cost_per_count)
                floor.append(count * found.floor_per_count)
        return Takings(
            revenue=revenue,
            costed_revenue=costed_revenue,
            cost_exact=add_exact(cost),
            floor=add_exact(floor),
        )

    def _is_costed(self, card: RateCard, *, unit: str) -> bool:
        if unit == REQUESTS:
            return card.cost is not None
        return self._cost(card, unit=unit) is not None

    def _cost(self, card: RateCard, *, unit: str) -> _PerCount | None:
        key = (id(card), unit)
        if key not in self._costs:
            self._costs[key] = _per_count(card, unit=unit)
        return self._costs[key]

    def _meet(self, leaves: Iterable[str], *, rates: Mapping[str, RateEntry]) -> None:
        for leaf in leaves:
            unit = _nearest(leaf, units=rates.keys() - {REQUESTS})
            if unit is not None:
                self._met.add(id(rates[unit]))
        if REQUESTS in rates:
            self._met.add(id(rates[REQUESTS]))


def _rates(cell: Cell, *, book: PriceBook, card: RateCard) -> Mapping[str, RateEntry]:
    return card.rates_for(
        region=cell.region,
        size_tokens=cell.size_class_tokens,
        dimensions=dict(cell.dimensions),
        windows=windows_of(book, keys=cell.windows),
    )


def _per_count(card: RateCard, *, unit: str) -> _PerCount | None:
    """The cost and the floor of a unit by the nearest floor of its card, as rates are found."""
    floors = {floor.unit: floor for floor in card.cost.floors} if card.cost else {}
    nearest = _nearest(unit, units=floors.keys())
    if nearest is None:
        return None
    found, counts = floors[nearest], UNITS[unit].scale * _MTOK
    busy = Fraction(found.unit_cost_per_mtok) / Fraction(found.utilization)
    return _PerCount(
        cost_per_count=(busy + Fraction(found.variable_per_mtok)) / counts,
        floor_per_count=Fraction(found.floor) / counts,
    )


def _nearest(leaf: str, *, units: AbstractSet[str]) -> str | None:
    """The unit whose figure a leaf takes; None where there is none, or two claim it."""
    try:
        return nearest_priced(leaf, priced=units)
    except LookupError:
        return None

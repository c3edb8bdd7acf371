"""What the usage of a period brings and costs, unit by unit and account by account.

Invariant: each billable count is costed once, by the nearest floor of the card that it is charged
on, and the costed revenue is that of the same usage: over the units of an account, model and
service tier both add up to the takings of a backtest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from pricing_rules.planning.variance import LineUse
from pricing_rules.prices.matching import windows_of
from pricing_rules.prices.price_book import BooksInForce, PriceBook, RateCard
from pricing_rules.prices.provenance import CardCost, UnitFloor
from pricing_rules.prices.rating import Charge
from pricing_rules.usage.totals import Cell, UsageTotal
from pricing_rules.usage.units import REQUESTS, UNITS, nearest_priced

MTOK = 1_000_000
_US_PER_HOUR = 3600 * 10**6

UnitKey = tuple[str, str, str, str]
"""Account, model, service tier, and the unit that has the rate (or the leaf that has none)."""

UseKey = tuple[str, str, str, str]
"""Pool, model, service tier, and the unit of the floor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTakings:
    """What usage brings and what it costs: exact, in major units of the books' currency.

    ``revenue`` is after discounts, ``costed_revenue`` the part of it whose usage has a measured
    cost, and ``taken_off`` what discounts took off that part. ``fees``: the revenue share that goes
    away. ``busy`` is the unit cost at 100 % busy, ``variable`` what is owed beside it, and
    ``cost_exact`` what the usage costs at the stated utilization: busy / utilization + variable.
    ``floor``: the sum of floor x count over the same usage.
    """

    revenue: Fraction = Fraction(0)
    costed_revenue: Fraction = Fraction(0)
    taken_off: Fraction = Fraction(0)
    fees: Fraction = Fraction(0)
    busy: Fraction = Fraction(0)
    variable: Fraction = Fraction(0)
    cost_exact: Fraction = Fraction(0)
    floor: Fraction = Fraction(0)

    @property
    def margin(self) -> Fraction:
        """What the costed revenue leaves over its cost at the stated utilization."""
        return self.costed_revenue - self.cost_exact

    @property
    def margin_share(self) -> Fraction | None:
        """The margin as a share of the costed revenue; None where there is none."""
        return self.margin / self.costed_revenue if self.costed_revenue else None

    @property
    def listed(self) -> Fraction:
        """The costed revenue before discounts."""
        return self.costed_revenue + self.taken_off

    @property
    def break_even_utilization(self) -> Fraction | None:
        """The utilization at which the usage pays for itself; see ``break_even``."""
        return break_even(self.busy, kept=self.costed_revenue - self.fees, variable=self.variable)

    def plus(self, other: UnitTakings) -> UnitTakings:
        """Both together."""
        return UnitTakings(
            revenue=self.revenue + other.revenue,
            costed_revenue=self.costed_revenue + other.costed_revenue,
            taken_off=self.taken_off + other.taken_off,
            fees=self.fees + other.fees,
            busy=self.busy + other.busy,
            variable=self.variable + other.variable,
            cost_exact=self.cost_exact + other.cost_exact,
            floor=self.floor + other.floor,
        )


def break_even(busy: Fraction, *, kept: Fraction, variable: Fraction) -> Fraction | None:
    """The utilization U at which what is kept of the revenue is the floor without a margin.

    kept = busy / U + variable, so U = busy / (kept - variable). Above 1 it is not reached even
    fully busy; None where what is kept does not pay for the variable cost, whatever U.
    """
    if not busy and kept >= variable:
        return Fraction(0)
    return busy / (kept - variable) if kept > variable else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodTakings:
    """A period: its takings by unit, the tokens and hours by pool, card and kind of token, and the
    tokens of each account by the unit of their floor.
    """

    units: Mapping[UnitKey, UnitTakings]
    uses: Mapping[UseKey, LineUse]
    tokens: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _PerCount:
    """The figures of one count of a leaf, at its integer scale, by the nearest floor of a card."""

    floor_unit: str
    busy: Fraction
    variable: Fraction
    cost_exact: Fraction
    floor: Fraction
    hours: Fraction


@dataclass(slots=True)
class _Found:
    """Counts by what decides their figures, so that each is multiplied once."""

    counts: dict[tuple[UnitKey, int, str], int] = field(default_factory=lambda: defaultdict(int))
    cards: dict[tuple[int, str, str], RateCard] = field(default_factory=dict)


def period_takings(
    totals: Iterable[UsageTotal],
    *,
    charges: Sequence[Charge],
    books: BooksInForce,
    off_shares: Mapping[UnitKey, Fraction],
) -> PeriodTakings:
    """What billable usage brings and costs.

    ``totals`` are in the cells of the books' grid, ``charges`` are those of the same usage, and
    ``off_shares`` is the share that discounts take off a charge (absent: nothing).
    """
    found = _counted(totals, books=books)
    units: dict[UnitKey, UnitTakings] = defaultdict(UnitTakings)
    used: dict[UseKey, tuple[int, Fraction]] = {}
    tokens: dict[str, dict[str, int]] = defaultdict(dict)
    figures: dict[tuple[int, str], _PerCount | None] = {}
    for (key, number, leaf), count in found.counts.items():
        account, model, service_tier, _ = key
        card = found.cards[number, model, service_tier]
        known = (id(card), leaf)
        if known not in figures:
            figures[known] = _per_count(card, leaf=leaf)
        one = figures[known]
        if one is None or card.cost is None:
            continue
        units[key] = units[key].plus(
            UnitTakings(
                busy=count * one.busy,
                variable=count * one.variable,
                cost_exact=count * one.cost_exact,
                floor=count * one.floor,
            )
        )
        if UNITS[leaf].scale == 1:
            use = (card.cost.pool, model, service_tier, one.floor_unit)
            before = used.get(use, (0, Fraction(0)))
            used[use] = (before[0] + count, before[1] + count * one.hours)
            mine = tokens[account]
            mine[one.floor_unit] = mine.get(one.floor_unit, 0) + count
    for charge in charges:
        charged = (charge.account, charge.model, charge.service_tier, charge.unit)
        off_share = off_shares.get(charged, Fraction(0))
        units[charged] = units[charged].plus(
            _brought(charge, cards=found.cards, off_share=off_share)
        )
    return PeriodTakings(
        units={key: units[key] for key in sorted(units)},
        uses={
            key: LineUse(tokens=count, used_hours=hours)
            for key, (count, hours) in sorted(used.items())
        },
        tokens=tokens,
    )


def nearest_floor(cost: CardCost | None, *, unit: str) -> UnitFloor | None:
    """The floor that a unit takes of a card; None without one, or where two claim it."""
    floors = {floor.unit: floor for floor in cost.floors} if cost else {}
    try:
        name = nearest_priced(unit, priced=floors.keys())
    except LookupError:
        return None
    return None if name is None else floors[name]


def _cards(books: BooksInForce) -> dict[tuple[int, str, str], RateCard]:
    return {
        (book.number, card.model, card.service_tier): card
        for book in books.books
        for card in book.rate_cards
    }


def _counted(totals: Iterable[UsageTotal], *, books: BooksInForce) -> _Found:
    found = _Found(cards=_cards(books))
    units: dict[tuple[object, ...], dict[str, str]] = {}
    for total in totals:
        cell = total.cell
        book = books.at(cell.segment_start_at)
        card = book.card(model=cell.model, service_tier=cell.service_tier) if book else None
        if book is None or card is None:
            continue
        conditions = (cell.region, cell.size_class_tokens, cell.dimensions, cell.windows)
        named = units.setdefault((id(card), *conditions), {})
        for leaf, count in total.leaves.items():
            if leaf not in named:
                named[leaf] = _charged_unit(leaf, cell=cell, book=book, card=card)
            key = (cell.account, cell.model, cell.service_tier, named[leaf])
            found.counts[key, book.number, leaf] += count
    return found


def _charged_unit(leaf: str, *, cell: Cell, book: PriceBook, card: RateCard) -> str:
    """The unit whose rate a leaf takes; the leaf itself where it is unpriced."""
    rates = card.rates_for(
        region=cell.region,
        size_tokens=cell.size_class_tokens,
        dimensions=dict(cell.dimensions),
        windows=windows_of(book, keys=cell.windows),
    )
    try:
        return nearest_priced(leaf, priced=rates.keys() - {REQUESTS}) or leaf
    except LookupError:
        return leaf


def _per_count(card: RateCard, *, leaf: str) -> _PerCount | None:
    found = nearest_floor(card.cost, unit=leaf)
    if found is None or card.cost is None:
        return None
    counts = UNITS[leaf].scale * MTOK
    busy, variable = Fraction(found.unit_cost_per_mtok), Fraction(found.variable_per_mtok)
    return _PerCount(
        floor_unit=found.unit,
        busy=busy / counts,
        variable=variable / counts,
        cost_exact=(busy / Fraction(found.utilization) + variable) / counts,
        floor=Fraction(found.floor) / counts,
        hours=_hours_per_token(card.cost, unit=found.unit),
    )


def _hours_per_token(cost: CardCost, *, unit: str) -> Fraction:
    """Accelerator-hours of one token by the shape fit, over the hardware of the pool by its shares;
    0 for a unit that the fit does not know.
    """
    hours = Fraction(0)
    for member in cost.hardware:
        us = {
            "input_tokens": member.us_per_input_token,
            "cache_read_tokens": member.us_per_cached_token,
            "output_tokens": member.us_per_output_token,
        }.get(unit)
        if us is not None:
            hours += Fraction(member.share_of_capacity) * Fraction(us) / _US_PER_HOUR
    return hours


def _brought(
    charge: Charge,
    *,
    cards: Mapping[tuple[int, str, str], RateCard],
    off_share: Fraction,
) -> UnitTakings:
    """What a charge brings after its discounts."""
    revenue, costed, fees = Fraction(0), Fraction(0), Fraction(0)
    for band in charge.bands:
        net = band.amount * (1 - off_share)
        revenue += net
        cost = cards[band.book_number, charge.model, charge.service_tier].cost
        share = _revenue_share(cost, unit=charge.unit)
        if share is not None:
            costed += band.amount
            fees += net * share
    return UnitTakings(
        revenue=revenue,
        costed_revenue=costed * (1 - off_share),
        taken_off=costed * off_share,
        fees=fees,
    )


def _revenue_share(cost: CardCost | None, *, unit: str) -> Fraction | None:
    """What goes away of a unit's revenue; None where it has no measured cost. A fee for each
    request belongs to the card as a whole.
    """
    if cost is None:
        return None
    first = next(iter(cost.floors), None)
    found = first if unit == REQUESTS else nearest_floor(cost, unit=unit)
    return None if found is None else Fraction(found.revenue_share)

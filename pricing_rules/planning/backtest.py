"""The backtest: the same past usage under a new series of books and an old one.

Each side is rated as if it had been in force over the whole time: its first book holds from the
beginning on. Ladders start anew with each billing month, and so do allowances that no day or month
of a zone renews. Of such a one, usage from before the first month has used up its part.

Invariant: what a side charges is what rating the same usage under its books alone charges, and the
changes of the accounts, like those of the rate cards, add up to the change of the whole, exactly.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

from pricing_rules.document import DocumentError
from pricing_rules.money import Currency, currency
from pricing_rules.period import FIRST_MOMENT_AT, BillingAnchor, Period
from pricing_rules.planning.served import Line, Served, Takings, UnmetRate, add_takings
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import (
    Charge,
    Unpriced,
    grid_for,
    rate_totals,
)
from pricing_rules.usage.totals import BILLABLE_OUTCOMES, Cell, Grid, UsageTotal

_NOTHING = Takings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The same events under both sides. ``events``: the billable ones."""

    events: int
    before: Takings
    after: Takings

    @property
    def change(self) -> Fraction:
        """How much more is charged after than before; negative where it is less."""
        return self.after.revenue - self.before.revenue

    @property
    def change_share(self) -> Fraction | None:
        """The change as a share of what was charged before; None where that was nothing."""
        return self.change / self.before.revenue if self.before.revenue else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorBreach:
    """Usage of an account whose revenue, at the rates that it meets, is under its floor.

    ``revenue``: that of the usage that has a floor; ``floor``: the sum of floor x count over it.
    """

    account: str
    model: str
    service_tier: str
    revenue: Fraction
    floor: Fraction

    @property
    def shortfall(self) -> Fraction:
        """How much the revenue lacks."""
        return self.floor - self.revenue


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one series of books makes of the usage."""

    takings: Mapping[Line, Takings]
    unpriced: tuple[Unpriced, ...]
    unmet: tuple[UnmetRate, ...]

    @property
    def breaches(self) -> tuple[FloorBreach, ...]:
        """The lines whose revenue is under their floor, the largest shortfall first."""
        found = [
            FloorBreach(
                account=line[0],
                model=line[1],
                service_tier=line[2],
                revenue=one.costed_revenue,
                floor=one.floor,
            )
            for line, one in sorted(self.takings.items())
            if one.costed_revenue < one.floor
        ]
        return tuple(sorted(found, key=lambda breach: -breach.shortfall))


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtest:
    """The usage of ``months`` under two sides: by account, by (model, service tier), and in all."""

    currency: Currency
    months: tuple[Period, ...]
    before: Side
    after: Side
    accounts: Mapping[str, Comparison]
    cards: Mapping[tuple[str, str], Comparison]
    total: Comparison

    @property
    def span(self) -> Period:
        """All its months."""
        return Period(start_at=self.months[0].start_at, end_at=self.months[-1].end_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """How the change of accounts, as a share of what each paid before, is distributed.

    Over the accounts that paid something before: percentiles by the nearest rank (the smallest
    change that at least so many per cent of the accounts do not exceed), None where there is none.
    ``paying_more`` counts every account whose amount grows, ``from_nothing`` those among them that
    paid nothing before.
    """

    p5: Fraction | None
    p50: Fraction | None
    p95: Fraction | None
    least: Fraction | None
    most: Fraction | None
    paying_more: int
    paying_less: int
    unchanged: int
    from_nothing: int


def distribution(accounts: Iterable[Comparison]) -> Distribution:
    """The distribution of the changes of accounts."""
    listed = list(accounts)
    shares = sorted(one.change_share for one in listed if one.change_share is not None)

    def ranked(percent: int) -> Fraction | None:
        return shares[-(-percent * len(shares) // 100) - 1] if shares else None

    return Distribution(
        p5=ranked(5),
        p50=ranked(50),
        p95=ranked(95),
        least=shares[0] if shares else None,
        most=shares[-1] if shares else None,
        paying_more=sum(one.change > 0 for one in listed),
        paying_less=sum(one.change < 0 for one in listed),
        unchanged=sum(one.change == 0 for one in listed),
        from_nothing=sum(one.change_share is None and one.change > 0 for one in listed),
    )


def billing_months(span: Period) -> tuple[Period, ...]:
    """The calendar months in UTC that tile a span, the first and the last cut off at its ends."""
    anchor = BillingAnchor(day=1, zone="UTC")
    inside = anchor.boundaries(span.start_at, end_at=span.end_at)
    bounds = sorted({*inside, span.start_at, span.end_at})
    return tuple(Period(start_at=start_at, end_at=end_at) for start_at, end_at in pairwise(bounds))


def over_all_time(books: BooksInForce) -> BooksInForce:
    """The same books, the first of them in force from the beginning of time on."""
    first_at = min(book.effective_from for book in books.books)
    return BooksInForce(
        books=tuple(
            book.model_copy(update={"effective_from": FIRST_MOMENT_AT})
            if book.effective_from == first_at
            else book
            for book in books.books
        )
    )


def backtest_since_at(
    after: BooksInForce, *, before: BooksInForce, months: Sequence[Period]
) -> int:
    """From when on usage bears on what is charged in the months: for the allowances of a day or a
    month in which the first one starts.
    """
    return min(books.allowances_since_at(month) for books in (after, before) for month in months)


def backtest_grid(after: BooksInForce, *, before: BooksInForce, months: Sequence[Period]) -> Grid:
    """The grid that both sides need together, so that one query makes the totals of both, from
    ``backtest_since_at`` on.
    """
    own = [_side_grid(over_all_time(books), months=months) for books in (after, before)]
    windows = {one.key: one for grid in own for one in grid.windows}
    return Grid(
        instants_at=tuple(sorted({at for grid in own for at in grid.instants_at})),
        thresholds_tokens=tuple(sorted({n for grid in own for n in grid.thresholds_tokens})),
        dimensions=tuple(sorted({name for grid in own for name in grid.dimensions})),
        windows=tuple(windows[key] for key in sorted(windows)),
        calendar_cuts=tuple(sorted({cut for grid in own for cut in grid.calendar_cuts})),
    )


def backtest(
    totals: Iterable[UsageTotal],
    *,
    after: BooksInForce,
    before: BooksInForce,
    months: Sequence[Period],
) -> Backtest:
    """Rate usage under both sides and compare them.

    ``totals``: cut by ``backtest_grid`` of the same books and months, which tile their time. Those
    of before the months only use up allowances.
    DocumentError where the sides are in two currencies.
    """
    if after.currency != before.currency:
        raise DocumentError(
            "price books",
            f"one side is in {after.currency}, the other in {before.currency}, and rating never "
            "converts; give books of one currency",
        )
    billable = [total for total in totals if BILLABLE_OUTCOMES[total.cell.outcome]]
    sides = [_rated(billable, books=over_all_time(one), months=months) for one in (before, after)]
    events: dict[Line, int] = defaultdict(int)
    for total in billable:
        if total.cell.segment_start_at >= months[0].start_at:
            events[_line(total.cell)] += total.events
    lines = [
        (
            line,
            Comparison(
                events=events[line],
                before=sides[0].takings.get(line, _NOTHING),
                after=sides[1].takings.get(line, _NOTHING),
            ),
        )
        for line in sorted(events)
    ]
    accounts: dict[str, list[Comparison]] = defaultdict(list)
    cards: dict[tuple[str, str], list[Comparison]] = defaultdict(list)
    for (account, model, service_tier), compared in lines:
        accounts[account].append(compared)
        cards[model, service_tier].append(compared)
    return Backtest(
        currency=currency(after.currency),
        months=tuple(months),
        before=sides[0],
        after=sides[1],
        accounts={account: _sum(found) for account, found in accounts.items()},
        cards={card: _sum(cards[card]) for card in sorted(cards)},
        total=_sum([compared for _, compared in lines]),
    )


def _sum(compared: Sequence[Comparison]) -> Comparison:
    return Comparison(
        events=sum(one.events for one in compared),
        before=add_takings([one.before for one in compared]),
        after=add_takings([one.after for one in compared]),
    )


def _side_grid(books: BooksInForce, *, months: Sequence[Period]) -> Grid:
    since_at = min(books.allowances_since_at(month) for month in months)
    grid = grid_for(books, period=Period(start_at=since_at, end_at=months[-1].end_at))
    bounds = {month.start_at for month in months}
    return replace(grid, instants_at=tuple(sorted({*grid.instants_at, *bounds})))


def _rated(totals: Sequence[UsageTotal], *, books: BooksInForce, months: Sequence[Period]) -> Side:
    """One side: the totals in the cells of its own books, rated month by month."""
    grid = _side_grid(books, months=months)
    # Cells that only the other side cuts are joined again: a ladder that several rates share is
    # walked through in the order of cells.
    own = _joined(totals, grid=grid)
    charges: list[Charge] = []
    unpriced: list[Unpriced] = []
    starts_at = [month.start_at for month in months]
    by_month: dict[int, list[UsageTotal]] = defaultdict(list)  # 0: before the first one
    for total in own:
        by_month[bisect_right(starts_at, total.cell.segment_start_at)].append(total)
    for number, month in enumerate(months, start=1):
        since_at = books.allowances_since_at(month)
        earlier = [
            total
            for before in range(bisect_right(starts_at, since_at), number)
            for total in by_month[before]
            if total.cell.segment_start_at >= since_at
        ]
        rating = rate_totals(by_month[number], books=books, grid=grid, earlier=earlier)
        charges += rating.charges
        unpriced += rating.unpriced
    inside = (total for number, some in by_month.items() if number for total in some)
    served = Served(inside, books=books)
    return Side(takings=served.takings(charges), unpriced=_added(unpriced), unmet=served.unmet())


def _joined(totals: Iterable[UsageTotal], *, grid: Grid) -> list[UsageTotal]:
    """The totals, each in the cell of a coarser grid that holds its own; not yet added up."""
    kept = {one.key for one in grid.windows}
    found: dict[_Cuts, _Cuts] = {}
    joined: list[UsageTotal] = []
    for total in totals:
        cuts = _cuts(total.cell)
        if cuts not in found:
            start_at, size_class_tokens, dimensions, windows = cuts
            found[cuts] = (
                grid.segment_start_at(start_at),
                grid.size_class_tokens(size_class_tokens),
                grid.kept(dict(dimensions)),
                tuple(key for key in windows if key in kept),
            )
        own = found[cuts]
        joined.append(total if own == cuts else _moved(total, cuts=own))
    return joined


_Cuts = tuple[int, int, tuple[tuple[str, str], ...], tuple[str, ...]]
"""What a grid decides of a cell: segment, size class, dimensions, windows."""


def _cuts(cell: Cell) -> _Cuts:
    return cell.segment_start_at, cell.size_class_tokens, cell.dimensions, cell.windows


def _moved(total: UsageTotal, *, cuts: _Cuts) -> UsageTotal:
    start_at, size_class_tokens, dimensions, windows = cuts
    cell = replace(
        total.cell,
        segment_start_at=start_at,
        size_class_tokens=size_class_tokens,
        dimensions=dimensions,
        windows=windows,
    )
    return replace(total, cell=cell)


def _added(unpriced: Iterable[Unpriced]) -> tuple[Unpriced, ...]:
    """Unpriced usage of several months, what has the same reason added up."""
    found: dict[tuple[str, ...], list[Unpriced]] = defaultdict(list)
    for one in unpriced:
        found[one.account, one.model, one.service_tier, one.unit, one.reason].append(one)
    return tuple(
        replace(
            same[0],
            quantity=sum(one.quantity for one in same),
            events=sum(one.events for one in same),
        )
        for _, same in sorted(found.items())
    )


def _line(cell: Cell) -> Line:
    return cell.account, cell.model, cell.service_tier

"""Rating: usage totals x price books -> exact charges.

Invariant: every count of a billable total is charged exactly once, free by an allowance, or listed
as unpriced with its reason, and the same totals give the same charges in whatever order they come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from pricing_rules.document import DocumentError
from pricing_rules.money import Currency, currency
from pricing_rules.period import Period, moment_text
from pricing_rules.prices.charges import Charge, ChargeBand, ChargeSum, Unpriced
from pricing_rules.prices.free_quantity import FreeQuantities
from pricing_rules.prices.matching import (
    MatchedRate,
    match_rates,
    no_card_reason,
    no_rate_reason,
    windows_of,
)
from pricing_rules.prices.price_book import BooksInForce, PriceBook
from pricing_rules.usage.totals import BILLABLE_OUTCOMES, Cell, Grid, UsageTotal, add_totals
from pricing_rules.usage.units import REQUESTS, nearest_priced
from pricing_rules.windows import united_windows

__all__ = ["Charge", "ChargeBand", "Unpriced"]  # where other rooms look for them


@dataclass(frozen=True, slots=True, kw_only=True)
class Rating:
    """All charges of a period, in order of account, model, service tier and unit."""

    currency: Currency
    charges: tuple[Charge, ...]
    unpriced: tuple[Unpriced, ...]

    def of_account(self, account: str) -> Rating:
        """The part of one account."""
        return replace(
            self,
            charges=tuple(c for c in self.charges if c.account == account),
            unpriced=tuple(u for u in self.unpriced if u.account == account),
        )

    @property
    def accounts(self) -> tuple[str, ...]:
        """Every account with a charge or with unpriced usage, sorted."""
        return tuple(sorted({c.account for c in self.charges} | {u.account for u in self.unpriced}))

    @property
    def total_exact(self) -> Fraction:
        """The exact sum of all charges, in major units."""
        return sum((charge.amount for charge in self.charges), Fraction(0))


def grid_for(books: BooksInForce, *, period: Period | None) -> Grid:
    """The grid that these books need: a cut at each price change and period bound, at each
    threshold, at each window, and at the days and months with which allowances start anew.

    A threshold is kept for all models alike, so that one query makes all totals.
    """
    instants = {book.effective_from for book in books.books}
    if period is not None:
        instants = {at for at in instants if at in period} | {period.start_at, period.end_at}
    thresholds = {t for book in books.books for t in book.thresholds_tokens}
    dimensions = {name for book in books.books for name in book.dimensions}
    return Grid(
        instants_at=tuple(sorted(instants)),
        thresholds_tokens=tuple(sorted(thresholds)),
        dimensions=tuple(sorted(dimensions)),
        windows=united_windows(one for book in books.books for one in book.used_windows),
        calendar_cuts=books.calendar_cuts,
    )


def rate_totals(
    totals: Iterable[UsageTotal],
    *,
    books: BooksInForce,
    grid: Grid,
    earlier: Iterable[UsageTotal] = (),
) -> Rating:
    """Charge every billable total under the book in force in its segment.

    ``totals`` are those of one billing period, or of all time. ``earlier``: those from
    ``books.allowances_since_at`` until the period; they are not charged, and use up what daily and
    monthly allowances have left for it. ``grid`` is the one that the totals were cut by.
    DocumentError where it lacks a cut that a book needs: such totals are stale, and rating them
    would charge two rates' usage at one.
    """
    before, now = _merged(earlier), _merged(totals)
    _refuse_stale([*before, *now], books, grid)
    rater = _Rater(books)
    for total in before:
        rater.use_up(total)
    for total in now:
        rater.charge(total)
    return rater.rating()


def _merged(totals: Iterable[UsageTotal]) -> list[UsageTotal]:
    """The billable totals over all epochs; where all was taken away again, nothing was used."""
    merged = add_totals(
        replace(t, cell=replace(t.cell, epoch=0)) if t.cell.epoch else t for t in totals
    )
    return [
        total
        for total in merged
        if BILLABLE_OUTCOMES[total.cell.outcome] and (total.events or total.leaves)
    ]


def _refuse_stale(totals: Sequence[UsageTotal], books: BooksInForce, grid: Grid) -> None:
    needed = grid_for(books, period=None)
    missing = any(
        set(wanted) - set(cut)
        for wanted, cut in (
            (needed.thresholds_tokens, grid.thresholds_tokens),
            (needed.dimensions, grid.dimensions),
            (needed.windows, grid.windows),
            (needed.calendar_cuts, grid.calendar_cuts),
        )
    )
    # A price change that the grid lacks matters where there is usage in the segment that it would
    # split; a grid of one period rightly lacks those before and after it.
    split = {
        grid.segment_start_at(at) for at in needed.instants_at if at != grid.segment_start_at(at)
    }
    if missing or any(total.cell.segment_start_at in split for total in totals):
        raise DocumentError(
            "usage totals", "are stale: a price book cuts them further; rebuild them first"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """A total by the unit whose rate it takes; ``unpriced``: leaves, each with its reason."""

    book: PriceBook | None
    rates: Mapping[str, MatchedRate]
    counts: Mapping[str, int]
    unpriced: tuple[tuple[str, int, str], ...]


class _Rater:
    """Rates totals in canonical order."""

    def __init__(self, books: BooksInForce) -> None:
        self._books = books
        self._matched: dict[tuple[object, ...], dict[str, MatchedRate]] = {}
        self._free = FreeQuantities()
        self._charged = ChargeSum()
        self._unpriced: dict[tuple[str, str, str, str, str], list[int]] = defaultdict(
            lambda: [0, 0]
        )

    def use_up(self, total: UsageTotal) -> None:
        """Count a total of before the period for its allowances of days and months, and charge
        nothing.
        """
        counted = self._counted(total)
        if counted.book is None:
            return
        # That of its own billing period is not that of the period that is charged.
        lasting = [one for one in counted.book.allowances if one.cut is not None]
        for unit in sorted(counted.counts):
            self._free.take(counted.counts[unit], cell=total.cell, allowances=lasting, unit=unit)

    def charge(self, total: UsageTotal) -> None:
        """Charge a total."""
        cell, counted = total.cell, self._counted(total)
        for leaf, count, reason in counted.unpriced:
            found = self._unpriced[(cell.account, cell.model, cell.service_tier, leaf, reason)]
            found[0] += count
            found[1] += total.events
        if counted.book is None:
            return
        self._charged.touch(cell, book=counted.book, rates=counted.rates)
        for unit in sorted(counted.counts):
            rate, count = counted.rates[unit], counted.counts[unit]
            for text, free in self._free.take(
                count, cell=cell, allowances=counted.book.allowances, unit=unit
            ):
                count -= free
                self._charged.add_free(cell, book=counted.book, unit=unit, when=text, count=free)
            if count:
                self._charged.add(cell, book=counted.book, rate=rate, count=count)

    def rating(self) -> Rating:
        """What was charged."""
        charges, beyond = self._charged.charges()
        unpriced = [
            Unpriced(
                account=key[0],
                model=key[1],
                service_tier=key[2],
                unit=key[3],
                reason=key[4],
                quantity=quantity,
                events=events,
            )
            for key, (quantity, events) in self._unpriced.items()
        ]
        return Rating(
            currency=currency(self._books.currency),
            charges=charges,
            unpriced=tuple(
                sorted(
                    [*beyond, *unpriced],
                    key=lambda u: (u.account, u.model, u.service_tier, u.unit, u.reason),
                )
            ),
        )

    def _counted(self, total: UsageTotal) -> _Counted:
        cell = total.cell
        book = self._books.at(cell.segment_start_at)
        rates = self._rates(book, cell)
        priced = frozenset(rates)
        counts: dict[str, int] = {}
        unpriced: list[tuple[str, int, str]] = []
        for leaf, count in total.leaves.items():
            try:
                unit = _nearest(leaf, rates=priced)
                reason = _why_none(book, cell, leaf) if unit is None else ""
            except LookupError as error:
                unit, reason = None, str(error)
            if unit is None:
                unpriced.append((leaf, count, reason))
            else:
                counts[unit] = counts.get(unit, 0) + count
        if REQUESTS in rates:
            counts[REQUESTS] = total.events
        return _Counted(book=book, rates=rates, counts=counts, unpriced=tuple(unpriced))

    def _rates(self, book: PriceBook | None, cell: Cell) -> dict[str, MatchedRate]:
        card = book.card(model=cell.model, service_tier=cell.service_tier) if book else None
        if book is None or card is None:
            return {}
        key = (id(card), cell.region, cell.size_class_tokens, cell.dimensions, cell.windows)
        rates = self._matched.get(key)
        if rates is None:
            rates = self._matched[key] = match_rates(
                book,
                card=card,
                region=cell.region,
                size_tokens=cell.size_class_tokens,
                dimensions=dict(cell.dimensions),
                windows=windows_of(book, keys=cell.windows),
            )
        return rates


@lru_cache(maxsize=4096)
def _nearest(leaf: str, *, rates: frozenset[str]) -> str | None:
    return nearest_priced(leaf, priced=rates - {REQUESTS})


def _why_none(book: PriceBook | None, cell: Cell, leaf: str) -> str:
    if book is None:
        return f"no price book is in force from {moment_text(cell.segment_start_at)}"
    if book.card(model=cell.model, service_tier=cell.service_tier) is None:
        return no_card_reason(book, model=cell.model, service_tier=cell.service_tier)
    return no_rate_reason(book, leaf=leaf)

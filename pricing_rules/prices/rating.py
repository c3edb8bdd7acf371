"""Rating: usage totals x price books -> exact charges.

Invariant: every count of a billable total is charged exactly once or listed as unpriced with its
reason, and the same totals give the same charges in whatever order they come.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from pricing_rules.document import DocumentError
from pricing_rules.money import Currency, currency
from pricing_rules.period import Period, moment_text
from pricing_rules.prices.ladder import BandCharge, Ladder, Rungs
from pricing_rules.prices.price_book import BooksInForce, PriceBook, RateCard, RateEntry
from pricing_rules.usage.totals import BILLABLE_OUTCOMES, Cell, Grid, UsageTotal, add_totals
from pricing_rules.usage.units import REQUESTS, UNITS, nearest_priced


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeBand:
    """A part of a charge at one rate of one book.

    ``quantity`` is an integer at the unit's scale. ``amount`` includes ``flat``. ``when``: the
    conditions that the rate named. A band of a ladder is one part, however many cells meet it.
    """

    book_number: int
    when: str
    quantity: int
    rate: Decimal
    per: int
    flat: Fraction
    amount: Fraction
    whole_packages: bool = False
    capped: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one account owes for one unit of one model in one service tier, exactly, with its bands.

    ``unit`` is the unit that has the rate; leaves without one of their own are part of it.
    """

    account: str
    model: str
    service_tier: str
    unit: str
    quantity: int
    amount: Fraction
    bands: tuple[ChargeBand, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """Usage that no rate covers or that two rates claim: kept, counted, shown, never zero.

    ``events``: how many events there are in the cells that hold it.
    """

    account: str
    model: str
    service_tier: str
    unit: str
    quantity: int
    events: int
    reason: str


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
    """The grid that these books need: a cut at each price change and period bound, and at each
    threshold.

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
    )


def rate_totals(totals: Iterable[UsageTotal], *, books: BooksInForce, grid: Grid) -> Rating:
    """Charge every billable total under the book in force in its segment.

    ``grid`` is the one that the totals were cut by. DocumentError where it lacks a cut that a
    book needs: such totals are stale, and rating them would charge two rates' usage at one.
    """
    ledger = _Positions()
    matched: dict[tuple[object, ...], dict[str, RateEntry]] = {}
    unpriced: dict[tuple[str, str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    merged = add_totals(replace(t, cell=replace(t.cell, epoch=0)) for t in totals)
    _refuse_stale(merged, books, grid)
    for total in merged:
        cell = total.cell
        if not BILLABLE_OUTCOMES[cell.outcome]:
            continue
        book = books.at(cell.segment_start_at)
        card = book.card(model=cell.model, service_tier=cell.service_tier) if book else None
        key = (id(card), cell.region, cell.size_class_tokens, cell.dimensions)
        rates = matched.get(key)
        if rates is None:
            rates = matched[key] = _rates(card, cell)
        for leaf, count in total.leaves.items():
            try:
                unit = nearest_priced(leaf, priced=rates.keys() - {REQUESTS})
                reason = _why_none(book, card, cell, leaf) if unit is None else ""
            except LookupError as error:
                unit, reason = None, str(error)
            if unit is None or book is None:
                found = unpriced[(cell.account, cell.model, cell.service_tier, leaf, reason)]
                found[0] += count
                found[1] += total.events
            else:
                ledger.add(cell, book=book, entry=rates[unit], count=count)
        if book is not None:
            ledger.touch(cell, book=book, rates=rates)
        if book is not None and REQUESTS in rates:
            ledger.add(cell, book=book, entry=rates[REQUESTS], count=total.events)
    charges, beyond = ledger.charges()
    return Rating(
        currency=currency(books.currency),
        charges=charges,
        unpriced=tuple(
            sorted(
                [
                    *beyond,
                    *(
                        Unpriced(
                            account=key[0],
                            model=key[1],
                            service_tier=key[2],
                            unit=key[3],
                            reason=key[4],
                            quantity=quantity,
                            events=events,
                        )
                        for key, (quantity, events) in unpriced.items()
                    ),
                ],
                key=lambda u: (u.account, u.model, u.service_tier, u.unit, u.reason),
            )
        ),
    )


def _refuse_stale(totals: Sequence[UsageTotal], books: BooksInForce, grid: Grid) -> None:
    needed = grid_for(books, period=None)
    missing = set(needed.thresholds_tokens) - set(grid.thresholds_tokens)
    # A price change that the grid lacks matters where there is usage in the segment that it would
    # split; a grid of one period rightly lacks those before and after it.
    split = {
        grid.segment_start_at(at) for at in needed.instants_at if at != grid.segment_start_at(at)
    }
    uncut = any(total.cell.segment_start_at in split for total in totals)
    if missing or uncut or set(needed.dimensions) - set(grid.dimensions):
        raise DocumentError(
            "usage totals", "are stale: a price book cuts them further; rebuild them first"
        )


def _rates(card: RateCard | None, cell: Cell) -> dict[str, RateEntry]:
    if card is None:
        return {}
    return card.rates_for(
        region=cell.region, size_tokens=cell.size_class_tokens, dimensions=dict(cell.dimensions)
    )


def _why_none(book: PriceBook | None, card: RateCard | None, cell: Cell, leaf: str) -> str:
    if book is None:
        return f"no price book is in force from {moment_text(cell.segment_start_at)}"
    if card is None:
        return no_card_reason(book, model=cell.model, service_tier=cell.service_tier)
    return no_rate_reason(book, leaf=leaf)


def no_card_reason(book: PriceBook, *, model: str, service_tier: str) -> str:
    """Why usage of a model is unpriced where the book has no rate card of it."""
    return f"book {book.number} has no rate card of {model} in {service_tier}"


def no_rate_reason(book: PriceBook, *, leaf: str) -> str:
    """Why a leaf is unpriced where no rate of its card covers it."""
    return f"book {book.number} has no rate for {leaf} under these conditions"


def past_end_reason(book: PriceBook, *, ladder: Ladder) -> str:
    """Why a quantity is unpriced where its ladder's last band is bounded and passed."""
    return (
        f"book {book.number}: past the last band of the ladder {ladder.id}, "
        f"which ends at {ladder.bands[-1].up_to}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    cell: Cell
    book: PriceBook
    entry: RateEntry
    ladder: Ladder
    rungs: Rungs
    count: int


_Place = tuple[int, str, int]
"""Where a part of a charge belongs: the number of the book, the conditions of the rate, and the
band of its ladder.
"""

_Bands = dict[tuple[str, str, str, str], dict[_Place, ChargeBand]]
"""The parts of each charge, by account, model, service tier and unit."""


class _Positions:
    """Collects counts per rate in canonical order, then walks each ladder once."""

    def __init__(self) -> None:
        self._plain: dict[tuple[str, str, str, str], dict[tuple[int, str, Decimal, int], int]] = {}
        self._ladders: dict[tuple[str, str], list[_Segment]] = {}
        self._untouched: dict[tuple[str, str], _Segment] = {}
        self._rungs: dict[int, Rungs] = {}

    def touch(self, cell: Cell, *, book: PriceBook, rates: Mapping[str, RateEntry]) -> None:
        """Note the ladders whose flat amount is due without any quantity: the account used the
        card that they stand on.
        """
        for _, entry in sorted(rates.items()):
            if entry.ladder is not None and entry.ladder.flat_at_zero:
                segment = self._segment(cell, book=book, entry=entry, ladder=entry.ladder, count=0)
                self._untouched.setdefault((cell.account, entry.ladder.id), segment)

    def add(self, cell: Cell, *, book: PriceBook, entry: RateEntry, count: int) -> None:
        if entry.ladder is None:
            if entry.rate is None:
                raise AssertionError("a rate entry has a rate or a ladder")
            key = (cell.account, cell.model, cell.service_tier, entry.unit)
            part = (book.number, entry.when.text(), entry.rate, entry.per)
            parts = self._plain.setdefault(key, {})
            parts[part] = parts.get(part, 0) + count
            return
        segment = self._segment(cell, book=book, entry=entry, ladder=entry.ladder, count=count)
        self._ladders.setdefault((cell.account, entry.ladder.id), []).append(segment)

    def _segment(
        self, cell: Cell, *, book: PriceBook, entry: RateEntry, ladder: Ladder, count: int
    ) -> _Segment:
        rungs = self._rungs.get(id(entry))
        if rungs is None:
            rungs = self._rungs[id(entry)] = ladder.rungs(per=entry.per)
        return _Segment(cell=cell, book=book, entry=entry, ladder=ladder, rungs=rungs, count=count)

    def charges(self) -> tuple[tuple[Charge, ...], list[Unpriced]]:
        bands: _Bands = defaultdict(dict)
        for key, parts in self._plain.items():
            scale = UNITS[key[3]].scale
            for (number, when, rate, per), count in parts.items():
                bands[key][number, when, 0] = ChargeBand(
                    book_number=number,
                    when=when,
                    quantity=count,
                    rate=rate,
                    per=per,
                    flat=Fraction(0),
                    amount=Fraction(rate) * Fraction(count, scale * per),
                )
        beyond: list[Unpriced] = []
        for segments in self._ladders.values():
            _walk(segments, bands, beyond)
        for position, segment in self._untouched.items():
            if position not in self._ladders:
                cell, unit = segment.cell, segment.entry.unit
                due = segment.rungs.bands(Fraction(0))
                place = (cell.account, cell.model, cell.service_tier, unit)
                _add_bands(bands[place], segment=segment, found=due, scale=UNITS[unit].scale)
        charges = tuple(
            Charge(
                account=key[0],
                model=key[1],
                service_tier=key[2],
                unit=key[3],
                quantity=sum(band.quantity for band in found.values()),
                amount=sum((band.amount for band in found.values()), Fraction(0)),
                bands=tuple(found[place] for place in sorted(found)),
            )
            for key, found in sorted(bands.items())
        )
        return charges, beyond


def _walk(
    segments: Sequence[_Segment],
    bands: _Bands,
    beyond: list[Unpriced],
) -> None:
    ordered = sorted(segments, key=lambda s: (s.cell.segment_start_at, s.cell, s.entry.unit))
    total = sum((Fraction(s.count, UNITS[s.entry.unit].scale) for s in ordered), Fraction(0))
    position = Fraction(0)
    for segment in ordered:
        cell, scale = segment.cell, UNITS[segment.entry.unit].scale
        start, position = position, position + Fraction(segment.count, scale)
        covered = (
            segment.rungs.covered(total)
            if segment.rungs.volume
            else segment.rungs.covered(position)
        )
        end = position if segment.rungs.volume and covered else min(position, covered)
        over = position - max(start, end)
        key = (cell.account, cell.model, cell.service_tier, segment.entry.unit)
        if over:
            beyond.append(
                Unpriced(
                    account=cell.account,
                    model=cell.model,
                    service_tier=cell.service_tier,
                    unit=segment.entry.unit,
                    quantity=int(over * scale),
                    events=0,
                    reason=past_end_reason(segment.book, ladder=segment.ladder),
                )
            )
        if end > start:
            found = segment.rungs.between(start, end=end, total=total)
            _add_bands(bands[key], segment=segment, found=found, scale=scale)


def _add_bands(
    bands: dict[_Place, ChargeBand], *, segment: _Segment, found: Sequence[BandCharge], scale: int
) -> None:
    """Several cells may pass through one band of one rate: they are one part of the charge."""
    book_number, when = segment.book.number, segment.entry.when.text()
    for part in found:
        place = (book_number, when, part.number)
        before = bands.get(place)
        bands[place] = ChargeBand(
            book_number=book_number,
            when=when,
            quantity=int(part.quantity * scale) + (before.quantity if before else 0),
            rate=part.rate,
            per=part.per,
            flat=part.flat + (before.flat if before else 0),
            amount=part.amount + (before.amount if before else 0),
            whole_packages=part.whole_packages,
            capped=part.capped or bool(before and before.capped),
        )

"""Charges: what is owed for counts at matched rates, exactly, with its bands.

Invariant: a charge is the sum of its bands, each of which recomputes from its quantity and rate,
and every count that comes in is in exactly one band or named as past the end of its ladder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from pricing_rules.prices.ladder import BandCharge
from pricing_rules.prices.ladder_walk import Segment, past_end_reason, walk
from pricing_rules.prices.matching import MatchedRate
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.usage.totals import Cell
from pricing_rules.usage.units import UNITS


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeBand:
    """A part of a charge at one rate of one book.

    ``quantity`` is an integer at the unit's scale. ``amount`` includes ``flat``. ``when``: the
    conditions that the rate named, and the multipliers that are in ``rate``; or the allowance that
    made the quantity free. A band of a ladder is one part, however many cells meet it.
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


_Place = tuple[int, str, int, Decimal, int]
"""Where a part of a charge belongs: the number of the book, the conditions of the rate, the band of
its ladder, its rate and its per. Texts of conditions alone would not do: a name may look like one.
"""

_Bands = dict[tuple[str, str, str, str], dict[_Place, ChargeBand]]
"""The parts of each charge, by account, model, service tier and unit."""


class ChargeSum:
    """Collects counts per rate in canonical order, then walks each ladder once."""

    def __init__(self) -> None:
        self._plain: dict[tuple[str, str, str, str], dict[tuple[int, str, Decimal, int], int]] = {}
        self._ladders: dict[tuple[str, str], list[Segment]] = {}
        self._untouched: dict[tuple[str, str], Segment] = {}

    def touch(self, cell: Cell, *, book: PriceBook, rates: Mapping[str, MatchedRate]) -> None:
        """Note the ladders whose flat amount is due without any quantity: the account used the
        card that they stand on.
        """
        for _, rate in sorted(rates.items()):
            if rate.ladder is not None and rate.ladder.ladder.flat_at_zero:
                segment = Segment(cell=cell, book=book, rate=rate, ladder=rate.ladder, count=0)
                self._untouched.setdefault((cell.account, segment.ladder_id), segment)

    def add(self, cell: Cell, *, book: PriceBook, rate: MatchedRate, count: int) -> None:
        """Charge a count at its rate."""
        if rate.ladder is None:
            part = (book.number, rate.when, rate.plain_rate, rate.entry.per)
            self._add_plain(cell, unit=rate.entry.unit, part=part, count=count)
        else:
            segment = Segment(cell=cell, book=book, rate=rate, ladder=rate.ladder, count=count)
            self._ladders.setdefault((cell.account, segment.ladder_id), []).append(segment)

    def add_free(self, cell: Cell, *, book: PriceBook, unit: str, when: str, count: int) -> None:
        """A count that an allowance made free."""
        part = (book.number, when, Decimal(0), 1)
        self._add_plain(cell, unit=unit, part=part, count=count)

    def _add_plain(
        self, cell: Cell, *, unit: str, part: tuple[int, str, Decimal, int], count: int
    ) -> None:
        key = (cell.account, cell.model, cell.service_tier, unit)
        parts = self._plain.setdefault(key, {})
        parts[part] = parts.get(part, 0) + count

    def charges(self) -> tuple[tuple[Charge, ...], list[Unpriced]]:
        """Every charge in its order, and what no band of a ladder reaches."""
        bands: _Bands = defaultdict(dict)
        for key, parts in self._plain.items():
            scale = UNITS[key[3]].scale
            for (number, when, rate, per), count in parts.items():
                bands[key][number, when, 0, rate, per] = ChargeBand(
                    book_number=number,
                    when=when,
                    quantity=count,
                    rate=rate,
                    per=per,
                    flat=Fraction(0),
                    amount=count * _price(rate, counts=scale * per),
                )
        beyond: list[Unpriced] = []
        for segments in self._ladders.values():
            for walked in walk(segments):
                segment = walked.segment
                if walked.over:
                    beyond.append(_beyond(segment, over=walked.over))
                _add_bands(bands, segment=segment, found=walked.bands)
        for position, segment in self._untouched.items():
            if position not in self._ladders:
                _add_bands(bands, segment=segment, found=segment.ladder.rungs.bands(Fraction(0)))
        charges = tuple(
            Charge(
                account=key[0],
                model=key[1],
                service_tier=key[2],
                unit=key[3],
                quantity=sum(band.quantity for band in found.values()),
                amount=_sum([band.amount for band in found.values()]),
                bands=tuple(found[place] for place in sorted(found)),
            )
            for key, found in sorted(bands.items())
        )
        return charges, beyond


@lru_cache(maxsize=4096)
def _price(rate: Decimal, *, counts: int) -> Fraction:
    """What one count costs."""
    return Fraction(rate) / counts


def _sum(amounts: Sequence[Fraction]) -> Fraction:
    return amounts[0] if len(amounts) == 1 else sum(amounts, Fraction(0))


def _beyond(segment: Segment, *, over: Fraction) -> Unpriced:
    return Unpriced(
        account=segment.cell.account,
        model=segment.cell.model,
        service_tier=segment.cell.service_tier,
        unit=segment.unit,
        quantity=int(over * segment.scale),
        events=0,
        reason=past_end_reason(segment.book, ladder=segment.ladder.ladder),
    )


def _add_bands(bands: _Bands, *, segment: Segment, found: Sequence[BandCharge]) -> None:
    """Several cells may pass through one band of one rate: they are one part of the charge."""
    cell, when = segment.cell, segment.rate.when
    for part in found:
        parts = bands[cell.account, cell.model, cell.service_tier, segment.unit]
        place = (segment.book.number, when, part.number, part.rate, part.per)
        before = parts.get(place)
        parts[place] = ChargeBand(
            book_number=segment.book.number,
            when=when,
            quantity=int(part.quantity * segment.scale) + (before.quantity if before else 0),
            rate=part.rate,
            per=part.per,
            flat=part.flat + (before.flat if before else 0),
            amount=part.amount + (before.amount if before else 0),
            whole_packages=part.whole_packages,
            capped=part.capped or bool(before and before.capped),
        )

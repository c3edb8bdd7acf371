"""Walking a ladder: the segments of one account pass through it in the order of time.

Invariant: each segment moves the position from where the one before left it, and what no band
reaches is named, not charged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pricing_rules.prices.ladder import BandCharge, Ladder
from pricing_rules.prices.matching import MatchedLadder, MatchedRate
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.usage.totals import Cell
from pricing_rules.usage.units import UNITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A count of one cell that passes through a ladder, at the unit's scale."""

    cell: Cell
    book: PriceBook
    rate: MatchedRate
    ladder: MatchedLadder
    count: int

    @property
    def ladder_id(self) -> str:
        """What carries the position."""
        return self.ladder.ladder.id

    @property
    def unit(self) -> str:
        """The unit that has the rate."""
        return self.rate.entry.unit

    @property
    def scale(self) -> int:
        """The integer scale of the unit."""
        return UNITS[self.unit].scale


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What a segment is charged, by band; ``over``: its natural units past the last band."""

    segment: Segment
    bands: tuple[BandCharge, ...]
    over: Fraction


def walk(segments: Sequence[Segment]) -> Iterator[Walked]:
    """Lead the segments of one ladder through it, in time order and canonical order of cells."""
    ordered = sorted(segments, key=lambda s: (s.cell.segment_start_at, s.cell, s.unit))
    total = sum((Fraction(s.count, s.scale) for s in ordered), Fraction(0))
    position = Fraction(0)
    for segment in ordered:
        rungs = segment.ladder.rungs
        start, position = position, position + Fraction(segment.count, segment.scale)
        covered = rungs.covered(total) if rungs.volume else rungs.covered(position)
        end = position if rungs.volume and covered else min(position, covered)
        yield Walked(
            segment=segment,
            bands=rungs.between(start, end=end, total=total) if end > start else (),
            over=position - max(start, end),
        )


def past_end_reason(book: PriceBook, *, ladder: Ladder) -> str:
    """Why a quantity is unpriced where its ladder's last band is bounded and passed."""
    return (
        f"book {book.number}: past the last band of the ladder {ladder.id}, "
        f"which ends at {ladder.bands[-1].up_to}"
    )

"""What every reader gives back: operating points, and a verdict on each row that gave none.

Invariant: a row of a file is among the rows of a point or among the refused ones, never in both and
never in neither.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

from pricing_rules.cost.measurement import OperatingPoint

SAMPLED_LENGTH_FACTOR: Final = 0.9
"""Mean over nominal length of a request, where a benchmark samples lengths in [0.8, 1.0] of it."""

DERIVED_FLAG: Final = "derived"
"""Throughput was computed from TTFT, TPOT and concurrency; it overstates by 2 to 5 %."""

STATED_ACCELERATORS_FLAG: Final = "accelerators_stated"
"""The file does not hold the number of accelerators; a person stated it."""

SUSPECT_ACCELERATORS_FLAG: Final = "suspect_accelerators"
"""The file also allows another number of accelerators; Little's law decided for this one."""

POWER_REFUSED_FLAG: Final = "power_refused"
"""The file holds watts but not what they are of; the point has none."""

RefusalKind = Literal[
    "accelerator count unknown",
    "concurrency missing",
    "precision missing",
    "statistic missing",
    "suspect accelerators",
    "suspect concurrency",
    "implausible",
    "lengths differ",
    "run incomplete",
    "unreadable",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRow:
    """A row that no cost may rest on: its kind and why.

    ``row`` is its line in the file (a header is line 1), or its place in the file's one list.
    """

    row: int
    kind: RefusalKind
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What a file gave: its operating points, and a verdict on every row that gave none."""

    points: tuple[OperatingPoint, ...]
    refused: tuple[RefusedRow, ...]

    def refused_counts(self) -> dict[str, int]:
        """Refused rows by kind, most first."""
        return dict(Counter(row.kind for row in self.refused).most_common())


class RowError(ValueError):
    """Why a reader refuses the row in hand: its kind, and the reason as its text."""

    def __init__(self, kind: RefusalKind, reason: str) -> None:
        super().__init__(reason)
        self.kind: RefusalKind = kind


def calendar_date(text: str) -> str:
    """An ISO date as it is written; RowError for one that no calendar has."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise RowError("unreadable", f'"{text:.30}" is not a day of the calendar') from None

"""The grid of cuts and usage totals over its cells.

Invariant: a total is a sum of integers over one cell, and cells are disjoint: an event falls into
exactly one, decided by its own fields and the grid's cuts alone. Books interpret totals; they
never change them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BILLABLE_OUTCOMES: dict[str, bool] = {"completed": True, "cancelled": True, "failed": False}
"""What is billable by outcome: tokens that were delivered before a cancel are; a failed request
is not.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Where totals are cut.

    ``instants_at``: moments (price changes, period bounds) at which a new time segment starts.
    ``thresholds_tokens``: request sizes at which a new size class starts (``>= n``, so that
    "strictly over T" is T + 1). ``dimensions``: the declared dimensions that are kept apart. All
    sorted, without repeats.
    """

    instants_at: tuple[int, ...] = ()
    thresholds_tokens: tuple[int, ...] = ()
    dimensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for cuts in (self.instants_at, self.thresholds_tokens):
            if list(cuts) != sorted(set(cuts)):
                raise ValueError("the cuts of a grid are sorted and without repeats")
        if list(self.dimensions) != sorted(set(self.dimensions)):
            raise ValueError("the dimensions of a grid are sorted and without repeats")

    def segment_start_at(self, moment_at: int) -> int:
        """The last cut at or before ``moment_at``; 0 before the first."""
        found = bisect_right(self.instants_at, moment_at)
        return self.instants_at[found - 1] if found else 0

    def size_class_tokens(self, request_tokens: int) -> int:
        """The lower bound of the size class of a request; 0 below the first threshold."""
        found = bisect_right(self.thresholds_tokens, request_tokens)
        return self.thresholds_tokens[found - 1] if found else 0

    def kept(self, dimensions: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """The declared ones among an event's dimensions, sorted by name."""
        return tuple((name, dimensions[name]) for name in self.dimensions if name in dimensions)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cell:
    """One cell of the grid; field order is the canonical key order in which cells are rated.

    ``segment_start_at`` and ``size_class_tokens`` are the lower bounds of the cell in time and
    request size. Model, service tier and region are as served; an absent region is ``""``.
    Offline, the epoch is 0.
    """

    account: str
    epoch: int
    segment_start_at: int
    model: str
    service_tier: str
    region: str
    size_class_tokens: int
    outcome: str
    dimensions: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotal:
    """Sums over the events of one cell: how many there were, and their leaf counts at the units'
    scale.
    """

    cell: Cell
    events: int
    leaves: Mapping[str, int]


def add_totals(totals: Iterable[UsageTotal]) -> tuple[UsageTotal, ...]:
    """One total per cell, in canonical key order; equal cells are added, zero leaves left out."""
    events: dict[Cell, int] = {}
    leaves: dict[Cell, dict[str, int]] = {}
    for total in totals:
        events[total.cell] = events.get(total.cell, 0) + total.events
        sums = leaves.setdefault(total.cell, {})
        for name, count in total.leaves.items():
            sums[name] = sums.get(name, 0) + count
    return tuple(
        UsageTotal(
            cell=cell,
            events=events[cell],
            leaves={name: count for name, count in sorted(leaves[cell].items()) if count},
        )
        for cell in sorted(events)
    )


def not_billable_events(totals: Iterable[UsageTotal]) -> int:
    """How many events of these totals have an outcome that is not billable."""
    return sum(t.events for t in totals if not BILLABLE_OUTCOMES[t.cell.outcome])

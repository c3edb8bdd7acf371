"""The grid of cuts and usage totals over its cells.

Invariant: a total is a sum of integers over one cell, and cells are disjoint: an event falls into
exactly one, decided by its own fields and the grid's cuts alone. Books interpret totals; they
never change them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter

from pricing_rules.period import MICROSECONDS, CalendarCut, Period
from pricing_rules.windows import NamedWindow, WindowClock

_BLOCK = 64 * 86_400 * MICROSECONDS
"""How much of time the calendar of a grid is computed for at once."""

BILLABLE_OUTCOMES: dict[str, bool] = {"completed": True, "cancelled": True, "failed": False}
"""What is billable by outcome: tokens that were delivered before a cancel are; a failed request
is not.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Where totals are cut.

    ``instants_at``: moments (price changes, period bounds) at which a new time segment starts.
    ``thresholds_tokens``: request sizes at which a new size class starts (``>= n``, so that
    "strictly over T" is T + 1). ``dimensions``: the declared dimensions that are kept apart.
    ``windows``: the recurring windows whose usage is kept apart, by key. ``calendar_cuts``: the
    days and months at each of which a new time segment starts, too. All sorted, without repeats.
    """

    instants_at: tuple[int, ...] = ()
    thresholds_tokens: tuple[int, ...] = ()
    dimensions: tuple[str, ...] = ()
    windows: tuple[NamedWindow, ...] = ()
    calendar_cuts: tuple[CalendarCut, ...] = ()
    _clock: WindowClock = field(init=False, repr=False, compare=False)
    _calendar: dict[int, tuple[int, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        for cuts in (self.instants_at, self.thresholds_tokens):
            if list(cuts) != sorted(set(cuts)):
                raise ValueError("the cuts of a grid are sorted and without repeats")
        for names in (self.dimensions, tuple(one.key for one in self.windows)):
            if list(names) != sorted(set(names)):
                raise ValueError("the names of a grid are sorted and without repeats")
        if list(self.calendar_cuts) != sorted(set(self.calendar_cuts)):
            raise ValueError("the days and months of a grid are sorted and without repeats")
        object.__setattr__(self, "_clock", WindowClock(windows=self.windows))

    def segment_start_at(self, moment_at: int) -> int:
        """The last cut at or before ``moment_at``; 0 before the first."""
        found = bisect_right(self.instants_at, moment_at)
        start_at = self.instants_at[found - 1] if found else 0
        return max(start_at, self._calendar_at(moment_at)) if self.calendar_cuts else start_at

    def windows_at(self, moment_at: int) -> tuple[str, ...]:
        """The keys of the windows in force at ``moment_at``, sorted."""
        return self._clock.keys_at(moment_at) if self.windows else ()

    def over(self, spans: Iterable[Period]) -> Grid:
        """The grid for usage in some spans, with its days and months as instants: what an engine
        needs that knows no calendar. The segment of a moment in a span is the same.
        """
        if not self.calendar_cuts:
            return self
        instants = set(self.instants_at)
        for span in spans:
            instants.update(_calendar_starts(self.calendar_cuts, within=span))
        return replace(self, instants_at=tuple(sorted(instants)))

    def _calendar_at(self, moment_at: int) -> int:
        """The last start of a day or a month at or before a moment."""
        number = moment_at // _BLOCK
        starts = self._calendar.get(number)
        if starts is None:
            within = Period(start_at=number * _BLOCK, end_at=(number + 1) * _BLOCK)
            starts = self._calendar[number] = _calendar_starts(self.calendar_cuts, within=within)
        return starts[bisect_right(starts, moment_at) - 1]

    def size_class_tokens(self, request_tokens: int) -> int:
        """The lower bound of the size class of a request; 0 below the first threshold."""
        found = bisect_right(self.thresholds_tokens, request_tokens)
        return self.thresholds_tokens[found - 1] if found else 0

    def kept(self, dimensions: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """The declared ones among an event's dimensions, sorted by name."""
        return tuple((name, dimensions[name]) for name in self.dimensions if name in dimensions)


def _calendar_starts(cuts: tuple[CalendarCut, ...], *, within: Period) -> tuple[int, ...]:
    """The starts of days and months in a period, with the last one before it first."""
    found = {max(cut.start_at(within.start_at) for cut in cuts)}
    for cut in cuts:
        found.update(cut.boundaries(within.start_at, end_at=within.end_at))
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cell:
    """One cell of the grid; field order is the canonical key order in which cells are rated.

    ``segment_start_at`` and ``size_class_tokens`` are the lower bounds of the cell in time and
    request size. Model, service tier and region are as served; an absent region is ``""``.
    Offline, the epoch is 0. ``windows``: the keys of the grid's recurring windows in force, sorted.
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
    windows: tuple[str, ...] = ()


CELL_ORDER = attrgetter(*(field.name for field in fields(Cell)))
"""The canonical order of cells as a key for sorting: several times as fast as comparing them."""


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
    found: dict[Cell, UsageTotal] = {}
    for total in totals:
        before = found.get(total.cell)
        found[total.cell] = total if before is None else _added(before, total)
    return tuple(_canonical(found[cell]) for cell in sorted(found, key=CELL_ORDER))


def negative(total: UsageTotal) -> UsageTotal:
    """The total that takes away what this one adds, in its cell."""
    leaves = {name: -count for name, count in total.leaves.items()}
    return replace(total, events=-total.events, leaves=leaves)


def _added(total: UsageTotal, other: UsageTotal) -> UsageTotal:
    leaves = dict(total.leaves)
    for name, count in other.leaves.items():
        leaves[name] = leaves.get(name, 0) + count
    return replace(total, events=total.events + other.events, leaves=leaves)


def _canonical(total: UsageTotal) -> UsageTotal:
    leaves = {name: count for name, count in sorted(total.leaves.items()) if count}
    if list(leaves) == list(total.leaves):
        return total
    return replace(total, leaves=leaves)


def not_billable_events(totals: Iterable[UsageTotal]) -> int:
    """How many events of these totals have an outcome that is not billable."""
    return sum(t.events for t in totals if not BILLABLE_OUTCOMES[t.cell.outcome])

"""Usage totals of events in memory: kept while events are stored, and rebuilt from them.

Invariant: the totals are those that any other engine gives for the same events and cuts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from pricing_rules.usage.totals import Cell, Grid, UsageTotal

_Key = tuple[
    str, int, str, str, str, int, str, tuple[tuple[str, str], ...], tuple[str, ...]
]  # fmt: skip
"""The fields of a cell in canonical order, without its epoch."""


class LeafEvent(Protocol):
    """A usage event; ``units`` are its leaf counts."""

    @property
    def account(self) -> str:
        """Who used it."""

    @property
    def occurred_at(self) -> int:
        """When, in microseconds since 1970 UTC."""

    @property
    def model(self) -> str:
        """The model as served."""

    @property
    def service_tier(self) -> str:
        """The service tier as served."""

    @property
    def region(self) -> str:
        """Where it was served; "" where that is not said."""

    @property
    def request_tokens(self) -> int:
        """The size that context steps look at."""

    @property
    def outcome(self) -> str:
        """How it ended."""

    @property
    def dimensions(self) -> Mapping[str, str]:
        """All its dimensions, declared or not."""

    @property
    def units(self) -> Mapping[str, int]:
        """Its leaf counts at the units' scale."""


def sum_events(
    events: Iterable[LeafEvent], *, epoch: int, grids: Mapping[str, Grid]
) -> tuple[UsageTotal, ...]:
    """One total for each cell, in canonical key order; ``grids``: the cuts of each account."""
    numbers: dict[_Key, int] = {}
    sums: dict[_Key, dict[str, int]] = {}
    for event in events:
        grid = grids[event.account]
        key = (
            event.account,
            grid.segment_start_at(event.occurred_at),
            event.model,
            event.service_tier,
            event.region,
            grid.size_class_tokens(event.request_tokens),
            event.outcome,
            grid.kept(event.dimensions) if event.dimensions else (),
            grid.windows_at(event.occurred_at) if grid.windows else (),
        )
        if key not in sums:
            numbers[key], sums[key] = 1, dict(event.units)
            continue
        numbers[key] += 1
        leaves = sums[key]
        for unit, count in event.units.items():
            leaves[unit] = leaves.get(unit, 0) + count
    return tuple(
        _total(key, epoch=epoch, events=numbers[key], leaves=sums[key]) for key in sorted(sums)
    )


def _total(key: _Key, *, epoch: int, events: int, leaves: Mapping[str, int]) -> UsageTotal:
    return UsageTotal(
        cell=Cell(
            account=key[0],
            epoch=epoch,
            segment_start_at=key[1],
            model=key[2],
            service_tier=key[3],
            region=key[4],
            size_class_tokens=key[5],
            outcome=key[6],
            dimensions=key[7],
            windows=key[8],
        ),
        events=events,
        leaves={unit: count for unit, count in sorted(leaves.items()) if count},
    )

"""How many accelerator-hours of a pool a week of usage leaves idle, hour of week by hour of week.

Invariant: what is busy in one hour is not idle in another: an hour that is over-full leaves nothing
and lends nothing, and one that was seen more often than another is not busier for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import fsum

from pricing_rules.cost.factory import Factory, Pool
from pricing_rules.cost.figures import HOURS_OF_WEEK
from pricing_rules.cost.floor import quantise
from pricing_rules.cost.shape_fit import MeanShape
from pricing_rules.cost.unit_cost import SECONDS_PER_HOUR, PoolUnitCost

MICROSECONDS_PER_HOUR = 3600 * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLoad:
    """Requests that a pool served: the tokens of all of them, and how many in each hour of the
    week (168 counts from Monday 00:00 UTC).
    """

    cost: PoolUnitCost
    tokens: MeanShape
    events_by_hour_of_week: Sequence[int]


def idle_accelerator_hours_per_week(
    pool: Pool,
    *,
    factory: Factory,
    loads: Iterable[PoolLoad],
    observed_microseconds: Sequence[int],
) -> Decimal:
    """Available accelerator-hours of a week less those that ``loads`` took, none below zero.

    ``loads`` are what was served in ``observed_microseconds``, which tells how long each of the 168
    hours of the week was seen: what an hour took is what it took on the mean of those times.
    Available: accelerators x availability, that of rented ones being 1. Accelerator-seconds of a
    request: by the fits of its hardware, weighted by their share of the request capacity.
    ValueError where an hour was never seen.
    """
    if len(observed_microseconds) != HOURS_OF_WEEK or min(observed_microseconds) <= 0:
        raise ValueError("usage of an hour that was never seen says nothing of a week")
    seen = [microseconds / MICROSECONDS_PER_HOUR for microseconds in observed_microseconds]
    busy_hours = [0.0] * HOURS_OF_WEEK
    for load in loads:
        seconds = fsum(
            one.share_of_capacity * one.fit.accelerator_s(load.tokens) for one in load.cost.hardware
        )
        events = sum(load.events_by_hour_of_week)
        for hour, count in enumerate(load.events_by_hour_of_week):
            busy_hours[hour] += seconds / SECONDS_PER_HOUR * count / events / seen[hour]
    available = fsum(
        count * _availability(factory, hardware=hardware)
        for hardware, count in pool.hardware.items()
    )
    return quantise(fsum(max(0.0, available - busy) for busy in busy_hours))


def _availability(factory: Factory, *, hardware: str) -> float:
    owned = factory.hardware[hardware].owned
    return float(owned.availability.value) if owned else 1.0

"""Splitting inclusive counts into disjoint leaves.

Invariant: the leaves of an event are non-negative, no token is in two of them, and the leaves
below a reported unit add up to its count. An overlap of two units that is not reported counts as
none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from pricing_rules.usage.units import UNITS, strict_descendants


class NegativeLeafError(ValueError):
    """Counts that contradict one another: the parts of a unit add up to more than the unit."""


@lru_cache(maxsize=4096)
def leaf_plan(reported: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """For each reported unit, most specific first, the reported units whose leaves it gives up.

    leaf(u) = count(u) - sum of the leaves of the reported units strictly inside u.
    """
    order = sorted(reported, key=lambda name: (-len(UNITS[name].dimensions), name))
    return tuple(
        (name, tuple(other for other in order if other in strict_descendants(name)))
        for name in order
    )


def split_leaves(counts: Mapping[str, int]) -> dict[str, int]:
    """Disjoint leaf counts of one event's inclusive counts (both at the units' integer scale).

    Leaves that are zero are left out. NegativeLeafError names the unit whose parts exceed it.
    """
    leaves: dict[str, int] = {}
    for name, inside in leaf_plan(tuple(counts)):
        left = counts[name]
        for other in inside:  # no sum(): this is done for each event that comes in
            left -= leaves[other]
        if left < 0:
            named = ", ".join(sorted(other for other in inside if leaves[other]))
            parts = counts[name] - left
            raise NegativeLeafError(
                f"{name} ({counts[name]}) is less than what it contains ({named}: {parts} together)"
            )
        leaves[name] = left
    return {name: left for name, left in leaves.items() if left}

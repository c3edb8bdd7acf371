"""How fast a cost falls, how long a measurement waits for its price, and what is passed on.

Invariant: only costs of the same model, promise, shape, quality and price of hardware make a trend,
and what two dates under 30 days apart would say is refused, never shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import fsum, log
from typing import Final

from pricing_rules.document import DocumentError

SHORTEST_DAYS: Final = 30
"""A trend over fewer days is noise of the benchmark."""

DAYS_PER_MONTH: Final = 365.25 / 12


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedCost:
    """A unit cost and the day that it was measured on."""

    measured_date: date
    usd_per_mtok: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Improvement:
    """How fast a cost falls: the natural logarithm of its fall a month, over how many days.

    ``halving_months`` is ln 2 / improvement; None where the cost does not fall. ``dates`` is how
    many days it rests on.
    """

    per_month: float
    halving_months: float | None
    days: int
    dates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedTokens:
    """Tokens sold at a price that took effect so many days after its measurement."""

    days: float
    tokens: float


def improvement(costs: Sequence[DatedCost]) -> Improvement:
    """ln(c0 / c1) / months between two dates; from three on, least squares of ln c over time.

    A month is 365.25 / 12 days. The costs are of one model, promise, shape, quality and price of
    hardware. Raises DocumentError for one date alone, a date that stands twice, costs of zero, and
    dates under 30 days apart.
    """
    ordered = sorted(costs, key=lambda one: one.measured_date)
    days = [one.measured_date.toordinal() for one in ordered]
    if len(set(days)) != len(days):
        twice = next(one for one in ordered if days.count(one.measured_date.toordinal()) > 1)
        raise DocumentError(
            "costs", f"{twice.measured_date.isoformat()} stands twice; keep one cost of a day"
        )
    if len(days) < 2:
        raise DocumentError("costs", "a trend needs the costs of two dates at least")
    if any(one.usd_per_mtok <= 0 for one in ordered):
        raise DocumentError("costs", "a trend needs costs above 0")
    span_days = days[-1] - days[0]
    if span_days < SHORTEST_DAYS:
        raise DocumentError(
            "costs",
            f"from the first to the last date it is {span_days} of the {SHORTEST_DAYS} days that a "
            "trend needs; measure again later",
        )
    months = [(day - days[0]) / DAYS_PER_MONTH for day in days]
    logs = [log(one.usd_per_mtok) for one in ordered]
    # Of two dates the least-squares line is the one through both.
    mean_months, mean_log = fsum(months) / len(months), fsum(logs) / len(logs)
    slope = fsum((x - mean_months) * (y - mean_log) for x, y in zip(months, logs, strict=True)) / (
        fsum((x - mean_months) ** 2 for x in months)
    )
    return Improvement(
        per_month=-slope,
        halving_months=log(2) / -slope if slope < 0 else None,
        days=span_days,
        dates=len(days),
    )


def cycle_time_days(sold: Sequence[DatedTokens]) -> float:
    """The token-weighted median of ``effective_from - measured_at``, in days.

    Half of the tokens at least were priced on measurements as fresh as that. Where the half falls
    between two, it is their mean. Raises ValueError where no tokens are given.
    """
    ordered = sorted((one for one in sold if one.tokens > 0), key=lambda one: one.days)
    if not ordered:
        raise ValueError("a median of no tokens")
    half = fsum(one.tokens for one in ordered) / 2
    i, passed = 0, ordered[0].tokens
    while passed < half:
        i += 1
        passed += ordered[i].tokens
    return (ordered[i].days + ordered[i + 1].days) / 2 if passed == half else ordered[i].days


def pass_through(
    old_rate: float, *, new_rate: float, old_cost_per_mtok: float, new_cost_per_mtok: float
) -> float:
    """Change of ln rate / change of ln cost: 1 passes all of a change on, 0 nothing of it.

    Above 1 the rate moved more than the cost, under 0 against it. Raises ValueError for rates or
    costs that are not above zero, and for costs that did not change.
    """
    if min(old_rate, new_rate, old_cost_per_mtok, new_cost_per_mtok) <= 0:
        raise ValueError("logarithms need rates and costs above 0")
    if old_cost_per_mtok == new_cost_per_mtok:
        raise ValueError("the cost did not change, so nothing of it was passed on")
    return log(new_rate / old_rate) / log(new_cost_per_mtok / old_cost_per_mtok)

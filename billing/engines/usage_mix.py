"""The usage mix by DuckDB: from raw events to what was served, in which shapes and at which hours.

Invariant: the checks, the identities and the leaves are those of the usage totals, so that the sums
of a mix are the sums of the totals of the same events.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from billing.engines.duckdb_totals import run_verdicts
from billing.engines.event_runs import EventRun, fetched, place_repeats, whole
from billing.engines.totals_query import TotalsQuery, lower_bound_sql
from pricing_rules.period import MICROSECONDS, Period
from pricing_rules.usage.event_columns import Verdict
from pricing_rules.usage.mix import HOURS_OF_WEEK, MixEntry, ShapeShare, inclusive_count
from pricing_rules.usage.totals import BILLABLE_OUTCOMES, Grid
from pricing_rules.usage.units import UNITS

_HOUR = 3600 * MICROSECONDS
_HOURS_BEFORE_THURSDAY = 72
"""1970-01-01 was a Thursday: its first hour is the 73rd of the week."""

_CLASSES = tuple(2**bits for bits in range(44))
"""Where size classes start. A count ends at 10^12, and what contains it at a few times that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """The entries of a usage mix in order, and what became of each row.

    ``first_at`` and ``last_at``: the first and the last moment of the events in the entries, None
    where there are none. ``not_billable`` and ``outside_period`` are accepted events that are in no
    entry. ``verdicts``: the rejected and the conflicting rows, by row.
    """

    entries: tuple[MixEntry, ...]
    first_at: int | None
    last_at: int | None
    received: int
    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    outside_period: int
    not_billable: int
    verdicts: tuple[Verdict, ...]


def run_mix(run: EventRun, *, period: Period | None) -> Mixed:
    """The usage mix of all sources of a run together, of the events in ``period`` (None: all)."""
    query = TotalsQuery(columns=run.columns, grid=Grid(), period=period)
    place_repeats(run, query=query)
    standings: Counter[str] = Counter()
    moments: tuple[int, int] | None = None
    found: dict[tuple[str, str, str], _Sums] = {}
    for standing, is_shape, is_hour, *key, events, first_at, last_at in fetched(
        run.rows(_mix_sql(query))
    ):
        account, model, service_tier, input_class, output_class, hour, *leaves = key
        if is_shape and is_hour:  # neither is grouped by: the sum over all rows of a standing
            standings[str(standing)] += whole(events)
            if standing == "counted":
                moments = whole(first_at), whole(last_at)
        elif standing == "counted":
            sums = found.setdefault((str(account), str(model), str(service_tier)), _Sums())
            if is_shape:
                sums.hours[whole(hour)] += whole(events)
            else:
                counts = {unit: whole(n) for unit, n in zip(query.units, leaves, strict=True) if n}
                sums.shapes[whole(input_class), whole(output_class)] = (whole(events), counts)
    counted = standings["counted"] + standings["not_billable"]
    return Mixed(
        entries=tuple(_entry(key, sums=found[key]) for key in sorted(found)),
        first_at=moments[0] if moments else None,
        last_at=moments[1] if moments else None,
        received=standings.total() + len(run.rejected),
        accepted=counted + standings["outside_period"],
        duplicate=standings["duplicate"],
        conflict=standings["conflict"],
        rejected=standings["rejected"] + len(run.rejected),
        outside_period=standings["outside_period"],
        not_billable=standings["not_billable"],
        verdicts=run_verdicts(run, query=query, standings=standings),
    )


@dataclass(slots=True)
class _Sums:
    """What adds up in an entry: events and leaves by size class, events by hour of the week."""

    shapes: dict[tuple[int, int], tuple[int, dict[str, int]]] = field(default_factory=dict)
    hours: list[int] = field(default_factory=lambda: [0] * HOURS_OF_WEEK)


def _entry(key: tuple[str, str, str], *, sums: _Sums) -> MixEntry:
    account, model, service_tier = key
    leaves: Counter[str] = Counter()
    shapes = []
    for _, (events, counts) in sorted(sums.shapes.items()):
        leaves.update(counts)
        shapes.append(
            ShapeShare(
                events=events,
                input_tokens=inclusive_count(counts, unit="input_tokens"),
                cache_read_tokens=inclusive_count(counts, unit="cache_read_tokens"),
                output_tokens=inclusive_count(counts, unit="output_tokens"),
            )
        )
    return MixEntry(
        account=account,
        model=model,
        service_tier=service_tier,
        events=sum(shape.events for shape in shapes),
        leaves=dict(sorted(leaves.items())),
        shapes=tuple(shapes),
        events_by_hour_of_week=tuple(sums.hours),
    )


def _mix_sql(query: TotalsQuery) -> str:
    """``standing``, what a row is not grouped by, its keys, the sum of each leaf, events and the
    first and last moment: one row for each standing, for each size class and for each hour.
    """
    billable = ", ".join(f"'{name}'" for name, billed in BILLABLE_OUTCOMES.items() if billed)
    leaves = [f'"{unit} leaf"' for unit in query.units]
    sums = "".join(f" SUM({leaf})," for leaf in leaves)
    kept = "".join(f",\n    {leaf}" for leaf in leaves)
    who = "standing, account, model, service_tier"
    return f"""
WITH {query.placed_ctes()},
sized AS (
  SELECT occurred_at,
    CASE WHEN standing = 'counted' AND outcome NOT IN ({billable}) THEN 'not_billable'
      ELSE standing END AS standing,
    account, model, service_tier,
    {_inclusive_sql(query, unit="input_tokens")} AS input_count,
    {_inclusive_sql(query, unit="output_tokens")} AS output_count{kept}
  FROM placed
),
classed AS (
  SELECT *,
    {lower_bound_sql("input_count", cuts=_CLASSES)} AS input_class,
    {lower_bound_sql("output_count", cuts=_CLASSES)} AS output_class,
    (occurred_at // {_HOUR} + {_HOURS_BEFORE_THURSDAY}) % {HOURS_OF_WEEK} AS hour
  FROM sized
)
SELECT standing, GROUPING(input_class) = 1, GROUPING(hour) = 1,
  account, model, service_tier, input_class, output_class, hour,{sums}
  COUNT(*), MIN(occurred_at), MAX(occurred_at)
FROM classed
GROUP BY GROUPING SETS (
  (standing), ({who}, input_class, output_class), ({who}, hour)
)
"""


def _inclusive_sql(query: TotalsQuery, *, unit: str) -> str:
    inside = [f'"{leaf} leaf"' for leaf in query.units if UNITS[unit].contains(UNITS[leaf])]
    return " + ".join(inside) if inside else "0"

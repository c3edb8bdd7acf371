"""When the recurring windows of a grid are in force, as the relation that the totals query joins.

Invariant: the spans tile the time that the events of a run lie in, so that an event has one.
"""

from __future__ import annotations

import json
from functools import lru_cache

import pyarrow as pa

from billing.engines.event_runs import EventRun, fetched, whole
from pricing_rules.period import Period
from pricing_rules.usage.totals import Grid
from pricing_rules.windows import DAY, day_spans


def placed_grid(run: EventRun, *, grid: Grid, period: Period | None) -> Grid:
    """The grid for the events of a run in a period (None: all), and its windows made known to the
    run: what the totals query asks for.

    Where nothing in the grid recurs, nothing is done. Without a period the events are read once
    more, for the days that they lie in.
    """
    if not grid.windows and not grid.calendar_cuts:
        return grid
    spans = (period,) if period else _day_runs(run)
    if grid.windows:
        found = [row for span in spans for row in day_spans(grid.windows, within=span)]
        columns = {
            "day_at": pa.array([day_at for day_at, _ in found], type=pa.int64()),
            "start_at": pa.array([one.period.start_at for _, one in found], type=pa.int64()),
            "end_at": pa.array([one.period.end_at for _, one in found], type=pa.int64()),
            "windows": pa.array([json.dumps(one.keys) for _, one in found], type=pa.string()),
        }
        run.connection.register("window_spans", pa.table(columns))
    return grid.over(spans)


@lru_cache(maxsize=1024)
def window_keys(windows: str) -> tuple[str, ...]:
    """The keys in ``windows`` of the relation."""
    return tuple(json.loads(windows))


def _day_runs(run: EventRun) -> tuple[Period, ...]:
    """The UTC days in which there are events, days that follow one another as one.

    Not all from the first event to the last: one with a wrong year would make it a century.
    """
    query = f"""
SELECT DISTINCT occurred_at - occurred_at % {DAY} AS day_at FROM events
WHERE occurred_at IS NOT NULL ORDER BY day_at
"""
    runs: list[Period] = []
    for (day_at,) in fetched(run.rows(query)):
        start_at = whole(day_at)
        if runs and runs[-1].end_at == start_at:
            start_at = runs.pop().start_at
        runs.append(Period(start_at=start_at, end_at=whole(day_at) + DAY))
    return tuple(runs)

"""Usage totals by DuckDB: from raw events in a table or a file to sums over the cells of a grid.

Invariant: received = accepted + duplicate + conflict + rejected, each row has one of these, and the
totals are the same for the same events, whatever their order, their format and the number of
threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

from billing.engines.event_runs import (
    EventRun,
    conflicting_rows,
    event_run,
    fetched,
    place_repeats,
    rejected_rows,
    whole,
)
from billing.engines.event_source import EventFile, EventTable
from billing.engines.totals_query import TotalsQuery
from billing.engines.window_spans import placed_grid, window_keys
from pricing_rules.period import Period
from pricing_rules.usage.event_columns import Verdict
from pricing_rules.usage.totals import Cell, Grid, UsageTotal

_CELL_ORDER = attrgetter(*(f"cell.{field.name}" for field in fields(Cell)))
"""The canonical order, as ``sorted`` on cells gives it, from their fields at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Usage totals in canonical order, and what became of each row.

    ``outside_period`` counts accepted events that are in no total, because they lie outside the
    period asked for. ``verdicts``: the rejected and the conflicting rows, by row.
    """

    totals: tuple[UsageTotal, ...]
    received: int
    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    outside_period: int
    verdicts: tuple[Verdict, ...]


def usage_totals(source: EventTable | EventFile, *, grid: Grid, period: Period | None) -> Totals:
    """The usage totals of a source's events in ``period`` (None: all), cut by ``grid``; the epoch
    is 0.

    Identity is (source, id). The same content again is a duplicate and counts once; of several
    contents the first by (time, digest of the content) counts, and the rows of the others are
    conflicts. DocumentError where a file as a whole cannot be read; ValueError where a table is not
    in canonical columns.
    """
    with event_run([source]) as run:
        return run_totals(run, grid=grid, period=period)


def run_totals(run: EventRun, *, grid: Grid, period: Period | None) -> Totals:
    """``usage_totals`` of all sources of a run together; its rows are numbered as the run says."""
    placed = placed_grid(run, grid=grid, period=period)
    query = TotalsQuery(columns=run.columns, grid=placed, period=period)
    place_repeats(run, query=query)
    standings: Counter[str] = Counter()
    totals: list[UsageTotal] = []
    columns = _Columns(windows=bool(placed.windows), dimensions=query.dimensions, units=query.units)
    for standing, *values in fetched(run.rows(query.totals_sql())):
        total = _total(values, columns=columns)
        standings[str(standing)] += total.events
        if standing == "counted":
            totals.append(total)
    accepted = standings["counted"] + standings["outside_period"]
    return Totals(
        totals=tuple(sorted(totals, key=_CELL_ORDER)),
        received=standings.total() + len(run.rejected),
        accepted=accepted,
        duplicate=standings["duplicate"],
        conflict=standings["conflict"],
        rejected=standings["rejected"] + len(run.rejected),
        outside_period=standings["outside_period"],
        verdicts=run_verdicts(run, query=query, standings=standings),
    )


def run_verdicts(
    run: EventRun, *, query: TotalsQuery, standings: Mapping[str, int]
) -> tuple[Verdict, ...]:
    """The verdicts of the rejected and the conflicting rows, by row; ``standings``: how many rows
    have each standing.
    """
    verdicts = list(run.rejected)
    if standings.get("rejected"):
        verdicts += rejected_rows(run, query=query)
    if standings.get("conflict"):
        verdicts += conflicting_rows(run)
    return tuple(sorted(verdicts, key=lambda verdict: verdict.row))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """What the columns of an answer are, after those that each has."""

    windows: bool
    dimensions: tuple[str, ...]
    units: tuple[str, ...]


def _total(values: Sequence[object], *, columns: _Columns) -> UsageTotal:
    """One row of the totals query after its standing; only a counted one has a cell."""
    account, start_at, model, service_tier, region, size_class_tokens, outcome, *rest = values
    windows = rest.pop(0) if columns.windows else None
    named = zip(columns.dimensions, rest, strict=False)
    events, *sums = rest[len(columns.dimensions) :]
    cell = Cell(
        account=str(account),
        epoch=0,
        segment_start_at=whole(start_at or 0),
        model=str(model),
        service_tier=str(service_tier),
        region=str(region),
        size_class_tokens=whole(size_class_tokens or 0),
        outcome=str(outcome),
        dimensions=tuple((name, str(value)) for name, value in named if value is not None),
        windows=window_keys(str(windows)) if windows else (),
    )
    leaves = {unit: whole(count) for unit, count in zip(columns.units, sums, strict=True) if count}
    return UsageTotal(cell=cell, events=whole(events), leaves=leaves)

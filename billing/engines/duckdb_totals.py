"""Usage totals by DuckDB: from raw events in a table or a file to sums over the cells of a grid.

Invariant: received = accepted + duplicate + conflict + rejected, each row has one of these, and the
totals are the same for the same events, whatever their order, their format and the number of
threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

from billing.engines.event_runs import (
    FileRun,
    TableRun,
    engine_connection,
    fetched,
    file_faults,
    rejected_rows,
    whole,
)
from billing.engines.event_source import EventFile, EventTable
from billing.engines.totals_query import REPEATED_SQL, TotalsQuery
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
    contents the first by (time, content text) counts, and the rows of the others are conflicts.
    DocumentError where a file as a whole cannot be read; ValueError where a table is not in
    canonical columns.
    """
    with engine_connection() as connection:
        if isinstance(source, EventTable):
            return _totals(TableRun(connection, source=source), grid=grid, period=period)
        with file_faults(source):
            return _totals(FileRun(connection, file=source), grid=grid, period=period)


def _totals(run: TableRun | FileRun, *, grid: Grid, period: Period | None) -> Totals:
    query = TotalsQuery(columns=run.columns, grid=grid, period=period)
    connection = run.connection
    # Few identities come twice. They are found by themselves, so that only their rows are compared.
    run.rows(f"CREATE TEMP TABLE repeated AS {REPEATED_SQL}")
    connection.execute(
        'CREATE TEMP TABLE repeats ("row" BIGINT, kept_row BIGINT, standing VARCHAR)'
    )
    if connection.execute("SELECT 1 FROM repeated LIMIT 1").fetchall():
        run.rows(f"INSERT INTO repeats {query.repeats_sql()}")
    standings: Counter[str] = Counter()
    totals: list[UsageTotal] = []
    for standing, *values in fetched(run.rows(query.totals_sql())):
        total = _total(values, query=query)
        standings[str(standing)] += total.events
        if standing == "counted":
            totals.append(total)
    verdicts = list(run.rejected)
    if standings["rejected"]:
        verdicts += rejected_rows(run, query=query)
    if standings["conflict"]:
        verdicts += _conflicts(run)
    accepted = standings["counted"] + standings["outside_period"]
    return Totals(
        totals=tuple(sorted(totals, key=_CELL_ORDER)),
        received=standings.total() + len(run.rejected),
        accepted=accepted,
        duplicate=standings["duplicate"],
        conflict=standings["conflict"],
        rejected=standings["rejected"] + len(run.rejected),
        outside_period=standings["outside_period"],
        verdicts=tuple(sorted(verdicts, key=lambda verdict: verdict.row)),
    )


def _total(values: Sequence[object], *, query: TotalsQuery) -> UsageTotal:
    """One row of the totals query after its standing; only a counted one has a cell."""
    account, start_at, model, service_tier, region, size_class_tokens, outcome, *rest = values
    named = zip(query.dimensions, rest, strict=False)
    events, *sums = rest[len(query.dimensions) :]
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
    )
    leaves = {unit: whole(count) for unit, count in zip(query.units, sums, strict=True) if count}
    return UsageTotal(cell=cell, events=whole(events), leaves=leaves)


def _conflicts(run: TableRun | FileRun) -> Iterator[Verdict]:
    conflicts = """
SELECT repeats."row", repeats.kept_row, raw_events.source, raw_events.id
FROM repeats JOIN raw_events ON repeats."row" = raw_events."row"
WHERE repeats.standing = 'conflict'
"""
    for row, kept_row, source, event_id in fetched(run.rows(conflicts)):
        sentence = (
            f'the event "{event_id}" of "{source}" has other content here than in row {kept_row}'
        )
        yield Verdict(row=whole(row), reason=f"row {row} {sentence}, which is kept")

"""The events of a source, some rows at a time, and why its other rows are none.

Invariant: every row is in exactly one part, in the order of the source, as an event or with a
verdict; how a source is cut depends on its rows and the size asked for alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from billing.engines.event_runs import event_run, rejected_rows
from billing.engines.event_source import EventFile, EventTable
from billing.engines.totals_query import TotalsQuery, sql_names
from pricing_rules.usage.event_columns import (
    Verdict,
    dimensions_among,
    event_columns,
    units_among,
)
from pricing_rules.usage.totals import Grid

_ARROW_TYPES = {"int64": pa.int64(), "text": pa.string()}


def file_events(file: EventFile, *, batch_rows: int) -> Iterator[EventTable]:
    """The rows of a file, ``batch_rows`` at a time (the last part has what is left).

    Each part has the events in canonical columns, and the verdicts of its rows that are none (a
    negative leaf makes none, too); what they repeat is not looked at. DocumentError where the file
    as a whole cannot be read, before the first part; a file without rows has no part.
    """
    with event_run([file]) as run:
        query = TotalsQuery(columns=run.columns, grid=Grid(), period=None)
        # The query also places a row by what it repeats; here each row is looked at alone.
        run.connection.execute('CREATE TEMP TABLE repeats ("row" BIGINT, standing VARCHAR)')
        verdicts = {verdict.row: verdict for verdict in rejected_rows(run, query=query)}
        names = ", ".join(sql_names(run.columns).values())
        # Sorted: several threads need not give rows as they stand in the file.
        batches = run.batches(f'SELECT {names} FROM events ORDER BY "row"', size_rows=batch_rows)
        for table in _of_size(batches, schema=_schema(run.columns), rows=batch_rows):
            yield _part(table, verdicts=verdicts)


def table_parts(source: EventTable, *, batch_rows: int) -> Iterator[EventTable]:
    """The rows of a table and its verdicts together, ``batch_rows`` at a time, by row number.

    ValueError where the table is not sorted by its row.
    """
    rows = source.table["row"].to_numpy()
    if np.any(rows[1:] <= rows[:-1]):
        raise ValueError("the rows of the table are not in their order")
    verdicts = sorted(source.rejected, key=lambda verdict: verdict.row)
    refused = np.array([verdict.row for verdict in verdicts], dtype=np.int64)
    every = np.sort(np.concatenate([rows, refused]))
    for start in range(0, len(every), batch_rows):
        last = every[min(start + batch_rows, len(every)) - 1]
        at, end = np.searchsorted(rows, [every[start], last + 1])
        first, after = np.searchsorted(refused, [every[start], last + 1])
        table = source.table.slice(at, end - at)
        yield EventTable(table=table, rejected=tuple(verdicts[first:after]))


def _schema(columns: tuple[str, ...]) -> pa.Schema:
    kinds = event_columns(units_among(columns), dimensions=dimensions_among(columns))
    return pa.schema([pa.field(name, _ARROW_TYPES[kind]) for name, kind in kinds.items()])


def _of_size(
    batches: Iterator[pa.RecordBatch], *, schema: pa.Schema, rows: int
) -> Iterator[pa.Table]:
    """The same rows in tables of ``rows`` each: the engine gives as many at a time as it likes."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= rows:
            table = pa.Table.from_batches(waiting)
            whole_rows = table.num_rows - table.num_rows % rows
            for start in range(0, whole_rows, rows):
                yield _canonical(table.slice(start, rows), schema=schema)
            waiting = table.slice(whole_rows).to_batches()
    if waiting:
        yield _canonical(pa.Table.from_batches(waiting), schema=schema)


def _canonical(table: pa.Table, *, schema: pa.Schema) -> pa.Table:
    return table.rename_columns(schema.names).cast(schema).combine_chunks()


def _part(table: pa.Table, *, verdicts: dict[int, Verdict]) -> EventTable:
    """A part of the file: rows with a verdict leave the table."""
    if not verdicts:
        return EventTable(table=table)
    found = [verdicts[row] for row in table["row"].to_pylist() if row in verdicts]
    refused = pa.array([verdict.row for verdict in found], type=pa.int64())
    kept = table.filter(pc.invert(pc.is_in(table["row"], value_set=refused)))
    return EventTable(table=kept, rejected=tuple(found))

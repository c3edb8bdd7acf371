"""Usage totals by DuckDB: from raw events in a table or a file to sums over the cells of a grid.

Invariant: received = accepted + duplicate + conflict + rejected, each row has one of these, and the
totals are the same for the same events, whatever their order, their format and the number of
threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from operator import attrgetter
from tempfile import TemporaryDirectory

import duckdb

from billing.engines.csv_lines import csv_lines
from billing.engines.event_checks import fault_of
from billing.engines.event_source import (
    EventFile,
    EventTable,
    FileColumn,
    canonical_columns,
    check_table,
    events_sql,
    file_columns,
    raw_events_sql,
    table_events_sql,
)
from billing.engines.totals_query import REPEATED_SQL, TotalsQuery
from pricing_rules.document import DocumentError
from pricing_rules.period import Period
from pricing_rules.usage.event_columns import Verdict
from pricing_rules.usage.leaves import NegativeLeafError, split_leaves
from pricing_rules.usage.totals import Cell, Grid, UsageTotal
from pricing_rules.usage.units import UNITS

_OFFLINE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}


_UNREADABLE = {duckdb.Error, duckdb.InvalidInputException, duckdb.IOException}

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
    with (
        TemporaryDirectory(prefix="tokenworks-") as spill,
        closing(duckdb.connect(":memory:", config=_OFFLINE)) as connection,
    ):
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET temp_directory = '{spill}'")
        if isinstance(source, EventTable):
            return _totals(_TableRun(connection, source=source), grid=grid, period=period)
        try:
            return _totals(_FileRun(connection, file=source), grid=grid, period=period)
        except duckdb.Error as error:
            # A broken page surfaces as one of these three; any other class is a fault of our SQL.
            if type(error) not in _UNREADABLE:
                raise
            sentence = f"cannot be read to its end ({str(error).splitlines()[0]})"
            raise DocumentError(source.name, sentence) from None


class _TableRun:
    """A table in canonical columns, as ``raw_events`` and ``events`` of a connection."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, source: EventTable) -> None:
        self.connection = connection
        self.columns = check_table(source.table)
        self.rejected = source.rejected
        connection.register("event_table", source.table)
        connection.execute(f"CREATE TEMP VIEW events AS {table_events_sql(self.columns)}")
        connection.execute("CREATE TEMP VIEW raw_events AS SELECT * FROM events")

    def rows(self, query: str) -> duckdb.DuckDBPyConnection:
        """Run one statement over the events."""
        return self.connection.execute(query)

    def fault(self, values: Sequence[object]) -> str:
        """What is wrong with a row of ``raw_events``: only its leaves can be."""
        cells = dict(zip(self.columns, values[:-1], strict=True))
        counts = {name: n for name, n in cells.items() if name in UNITS and isinstance(n, int)}
        try:
            split_leaves(counts)
        except NegativeLeafError as error:
            return f"row {cells['row']} {error}"
        raise RuntimeError(f"a row was refused in which there is no fault: {cells}")


class _FileRun:
    """A file whose rows a connection reads anew for each statement."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, file: EventFile) -> None:
        self.connection = connection
        self.file = file
        self.rejected: tuple[Verdict, ...] = ()
        self.file_columns: tuple[FileColumn, ...] = file_columns(connection, file=file)
        self._attach()
        raw = raw_events_sql(self.file_columns, file=file)
        connection.execute(f"CREATE TEMP VIEW raw_events AS {raw}")
        events = events_sql(self.file_columns)
        connection.execute(f"CREATE TEMP VIEW events AS {events}")
        self.columns = canonical_columns(self.file_columns)

    def _attach(self) -> None:
        if self.file.kind == "csv":
            self.connection.register("csv_lines", csv_lines(self.file.path))

    def rows(self, query: str) -> duckdb.DuckDBPyConnection:
        """Run one statement over the file, from its first line on."""
        self._attach()
        return self.connection.execute(query)

    def fault(self, values: Sequence[object]) -> str:
        """What is wrong with a row of ``raw_events``."""
        row, malformed, *cells = values
        if malformed is not None:
            return f"row {row} {malformed}"
        named = {c.canonical: v for c, v in zip(self.file_columns, cells, strict=True)}
        file_names = {c.canonical: c.name for c in self.file_columns}
        return f"row {row} {fault_of(named, file_names=file_names)}"


def _totals(run: _TableRun | _FileRun, *, grid: Grid, period: Period | None) -> Totals:
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
    for standing, *values in _fetched(run.rows(query.totals_sql())):
        total = _total(values, query=query)
        standings[str(standing)] += total.events
        if standing == "counted":
            totals.append(total)
    verdicts = list(run.rejected)
    if standings["rejected"]:
        verdicts += _rejected(run, query=query)
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
        segment_start_at=_whole(start_at or 0),
        model=str(model),
        service_tier=str(service_tier),
        region=str(region),
        size_class_tokens=_whole(size_class_tokens or 0),
        outcome=str(outcome),
        dimensions=tuple((name, str(value)) for name, value in named if value is not None),
    )
    leaves = {unit: _whole(count) for unit, count in zip(query.units, sums, strict=True) if count}
    return UsageTotal(cell=cell, events=_whole(events), leaves=leaves)


def _whole(value: object) -> int:
    """An integer as the engine gave it; a sum that is anything else is a bug of ours."""
    if type(value) is not int:
        raise TypeError(f"the engine gave {value!r} where an integer belongs")
    return value


def _rejected(run: _TableRun | _FileRun, *, query: TotalsQuery) -> Iterator[Verdict]:
    run.rows(f"CREATE TEMP TABLE rejected AS {query.rejected_sql()}")
    rows = 'SELECT * FROM raw_events WHERE "row" IN (SELECT "row" FROM rejected)'
    for values in _fetched(run.rows(rows)):
        yield Verdict(row=_whole(values[0]), reason=run.fault(values))


def _conflicts(run: _TableRun | _FileRun) -> Iterator[Verdict]:
    conflicts = """
SELECT repeats."row", repeats.kept_row, raw_events.source, raw_events.id
FROM repeats JOIN raw_events ON repeats."row" = raw_events."row"
WHERE repeats.standing = 'conflict'
"""
    for row, kept_row, source, event_id in _fetched(run.rows(conflicts)):
        sentence = (
            f'the event "{event_id}" of "{source}" has other content here than in row {kept_row}'
        )
        yield Verdict(row=_whole(row), reason=f"row {row} {sentence}, which is kept")


def _fetched(answer: duckdb.DuckDBPyConnection) -> Iterator[tuple[object, ...]]:
    while rows := answer.fetchmany(10_000):
        yield from rows

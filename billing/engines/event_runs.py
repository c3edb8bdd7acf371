"""Events in a DuckDB connection of their own: a table, or a file that is read anew by each
statement.

Invariant: a run shows its source as ``raw_events`` and ``events``, every row with its number; the
engine loads nothing, reaches no network and leaves no file behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

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
from billing.engines.totals_query import TotalsQuery
from pricing_rules.document import DocumentError
from pricing_rules.usage.event_columns import Verdict
from pricing_rules.usage.leaves import NegativeLeafError, split_leaves
from pricing_rules.usage.units import UNITS

OFFLINE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}
"""How every connection is configured."""

_UNREADABLE = {duckdb.Error, duckdb.InvalidInputException, duckdb.IOException}


@contextmanager
def engine_connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection without a database, whose spilled rows go to a folder that goes away with it."""
    with (
        TemporaryDirectory(prefix="tokenworks-") as spill,
        closing(duckdb.connect(":memory:", config=OFFLINE)) as connection,
    ):
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET temp_directory = '{spill}'")
        yield connection


@contextmanager
def file_faults(file: EventFile) -> Iterator[None]:
    """Raise what the engine reports of a broken file inside as a DocumentError."""
    try:
        yield
    except duckdb.Error as error:
        # A broken page surfaces as one of these three; any other class is a fault of our SQL.
        if type(error) not in _UNREADABLE:
            raise
        sentence = f"cannot be read to its end ({str(error).splitlines()[0]})"
        raise DocumentError(file.name, sentence) from None


class TableRun:
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


class FileRun:
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

    def batches(self, query: str, *, size_rows: int) -> pa.RecordBatchReader:
        """As ``rows``, in record batches of about this many."""
        self._attach()
        return self.connection.sql(query).to_arrow_reader(size_rows)

    def fault(self, values: Sequence[object]) -> str:
        """What is wrong with a row of ``raw_events``."""
        row, malformed, *cells = values
        if malformed is not None:
            return f"row {row} {malformed}"
        named = {c.canonical: v for c, v in zip(self.file_columns, cells, strict=True)}
        file_names = {c.canonical: c.name for c in self.file_columns}
        return f"row {row} {fault_of(named, file_names=file_names)}"


def rejected_rows(run: TableRun | FileRun, *, query: TotalsQuery) -> Iterator[Verdict]:
    """The rows that are no event or have a negative leaf, in no order."""
    run.rows(f"CREATE TEMP TABLE rejected AS {query.rejected_sql()}")
    rows = 'SELECT * FROM raw_events WHERE "row" IN (SELECT "row" FROM rejected)'
    for values in fetched(run.rows(rows)):
        yield Verdict(row=whole(values[0]), reason=run.fault(values))


def fetched(answer: duckdb.DuckDBPyConnection) -> Iterator[tuple[object, ...]]:
    """The rows of an answer, some thousands in memory at a time."""
    while rows := answer.fetchmany(10_000):
        yield from rows


def whole(value: object) -> int:
    """An integer as the engine gave it; a sum that is anything else is a bug of ours."""
    if type(value) is not int:
        raise TypeError(f"the engine gave {value!r} where an integer belongs")
    return value

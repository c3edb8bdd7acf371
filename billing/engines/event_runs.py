"""Events in a DuckDB connection of their own: tables, and files that are read anew by each
statement, as one usage.

Invariant: a run shows its sources as ``raw_events`` and ``events``, every row with a number of its
own; the engine loads nothing, reaches no network and leaves no file behind.
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
from billing.engines.totals_query import REPEATED_SQL, TotalsQuery, sql_names
from pricing_rules.document import DocumentError
from pricing_rules.period import Period
from pricing_rules.usage.event_columns import (
    Verdict,
    dimensions_among,
    event_columns,
    units_among,
)
from pricing_rules.usage.leaves import NegativeLeafError, split_leaves
from pricing_rules.usage.units import UNITS

OFFLINE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
}
"""How every connection is configured."""

ROW_STRIDE = 10**12
"""The rows of the second source are numbered from this on, of the third from twice this on."""

_UNREADABLE = {duckdb.Error, duckdb.InvalidInputException, duckdb.IOException}

_SQL_TYPES = {"int64": "BIGINT", "text": "VARCHAR"}


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
def _file_faults(name: str) -> Iterator[None]:
    """Raise what the engine reports of a broken file inside as a DocumentError."""
    try:
        yield
    except duckdb.Error as error:
        # A broken page surfaces as one of these three; any other class is a fault of our SQL.
        if type(error) not in _UNREADABLE:
            raise
        sentence = f"cannot be read to its end ({str(error).splitlines()[0]})"
        raise DocumentError(name, sentence) from None


class _TablePart:
    """A table in canonical columns, as ``raw_events_N`` and ``events_N``."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, *, source: EventTable, number: int
    ) -> None:
        self.name = source.name
        self.columns = check_table(source.table)
        self.rejected = source.rejected
        connection.register(f"event_table_{number}", source.table)
        events = table_events_sql(self.columns, table=f"event_table_{number}")
        connection.execute(f"CREATE TEMP VIEW events_{number} AS {events}")
        connection.execute(f"CREATE TEMP VIEW raw_events_{number} AS SELECT * FROM events_{number}")

    def attach(self) -> None:
        """A table can be read again as it is."""

    def fault(self, values: Sequence[object]) -> str:
        """What is wrong with a row of ``raw_events_N``: only its leaves can be."""
        cells = dict(zip(self.columns, values[:-1], strict=True))
        counts = {name: n for name, n in cells.items() if name in UNITS and isinstance(n, int)}
        try:
            split_leaves(counts)
        except NegativeLeafError as error:
            return f"row {cells['row']} {error}"
        raise RuntimeError(f"a row was refused in which there is no fault: {cells}")


class _FilePart:
    """A file whose rows are read anew by each statement, as ``raw_events_N`` and ``events_N``."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, *, source: EventFile, number: int
    ) -> None:
        self.name = source.name
        self.rejected: tuple[Verdict, ...] = ()
        self._connection, self._file, self._lines = connection, source, f"csv_lines_{number}"
        with _file_faults(source.name):
            self.file_columns: tuple[FileColumn, ...] = file_columns(connection, file=source)
            self.attach()
            raw = raw_events_sql(self.file_columns, file=source, lines=self._lines)
            connection.execute(f"CREATE TEMP VIEW raw_events_{number} AS {raw}")
            events = events_sql(self.file_columns, raw=f"raw_events_{number}")
            connection.execute(f"CREATE TEMP VIEW events_{number} AS {events}")
        self.columns = canonical_columns(self.file_columns)

    def attach(self) -> None:
        """Show the lines of a CSV file from its first one on: they can be read once."""
        if self._file.kind == "csv":
            self._connection.register(self._lines, csv_lines(self._file.path))

    def fault(self, values: Sequence[object]) -> str:
        """What is wrong with a row of ``raw_events_N``."""
        row, malformed, *cells = values
        if malformed is not None:
            return f"row {row} {malformed}"
        named = {c.canonical: v for c, v in zip(self.file_columns, cells, strict=True)}
        file_names = {c.canonical: c.name for c in self.file_columns}
        return f"row {row} {fault_of(named, file_names=file_names)}"


class EventRun:
    """Sources as one usage, in a connection: ``raw_events`` (row, source, id) and ``events``.

    ``columns``: the canonical ones of all sources together. ``rejected``: verdicts that intake
    gave. The row r of the source n (from 0) is the row n * ``ROW_STRIDE`` + r here. DocumentError
    where a file is none that can be read.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        *,
        sources: Sequence[EventTable | EventFile],
    ) -> None:
        self.connection = connection
        self.parts = [
            _TablePart(connection, source=source, number=number)
            if isinstance(source, EventTable)
            else _FilePart(connection, source=source, number=number)
            for number, source in enumerate(sources)
        ]
        present = [name for part in self.parts for name in part.columns]
        kinds = event_columns(units_among(present), dimensions=dimensions_among(present))
        self.columns = tuple(kinds)
        self.rejected = tuple(
            Verdict(row=number * ROW_STRIDE + one.row, reason=one.reason)
            for number, part in enumerate(self.parts)
            for one in part.rejected
        )
        events, raw = [], []
        for number, part in enumerate(self.parts):
            own, row = sql_names(part.columns), f'"row" + {number * ROW_STRIDE} AS "row"'
            cells = [
                f"{own.get(name, f'CAST(NULL AS {_SQL_TYPES[kinds[name]]})')} AS {sql}"
                for name, sql in sql_names(self.columns).items()
                if name != "row"
            ]
            events.append(f"SELECT {row}, {', '.join(cells)}, faulty FROM events_{number}")
            raw.append(f"SELECT {row}, source, id FROM raw_events_{number}")
        connection.execute(f"CREATE TEMP VIEW events AS {' UNION ALL '.join(events)}")
        connection.execute(f"CREATE TEMP VIEW raw_events AS {' UNION ALL '.join(raw)}")

    def rows(self, query: str) -> duckdb.DuckDBPyConnection:
        """Run one statement over the sources, from their first rows on."""
        self._attach()
        return self.connection.execute(query)

    def batches(self, query: str, *, size_rows: int) -> pa.RecordBatchReader:
        """As ``rows``, in record batches of about this many."""
        self._attach()
        return self.connection.sql(query).to_arrow_reader(size_rows)

    def read_through(self) -> None:
        """Read each source to its end; DocumentError names the one where that fails."""
        for number, part in enumerate(self.parts):
            with _file_faults(part.name):
                for _ in fetched(self.rows(f"SELECT * FROM events_{number}")):
                    pass

    def row_name(self, row: int) -> str:
        """What a sentence about another row calls it: ``row 7``, of which file where there are
        several.
        """
        number, own_row = divmod(row, ROW_STRIDE)
        of_file = f" of {self.parts[number].name}" if len(self.parts) > 1 else ""
        return f"row {own_row}{of_file}"

    def _attach(self) -> None:
        for part in self.parts:
            part.attach()


@contextmanager
def event_run(sources: Sequence[EventTable | EventFile]) -> Iterator[EventRun]:
    """A run over these sources; DocumentError names the file that the engine cannot read."""
    with engine_connection() as connection:
        run = EventRun(connection, sources=sources)
        try:
            yield run
        except tuple(_UNREADABLE):
            run.read_through()
            raise


def run_span(run: EventRun) -> Period | None:
    """The time from the first to the last row of a run that has a moment; None where none has."""
    first_at, last_at = run.rows(
        "SELECT MIN(occurred_at), MAX(occurred_at) FROM events"
    ).fetchall()[0]
    if first_at is None:
        return None
    return Period(start_at=whole(first_at), end_at=whole(last_at) + 1)


def place_repeats(run: EventRun, *, query: TotalsQuery) -> None:
    """Make the table ``repeats`` (row, kept_row, standing) that the queries of a run look at.

    Few identities come twice. They are found by themselves, so that only their rows are compared.
    """
    run.rows(f"CREATE TEMP TABLE repeated AS {REPEATED_SQL}")
    run.connection.execute(
        'CREATE TEMP TABLE repeats ("row" BIGINT, kept_row BIGINT, standing VARCHAR)'
    )
    if run.connection.execute("SELECT 1 FROM repeated LIMIT 1").fetchall():
        run.rows(f"INSERT INTO repeats {query.repeats_sql()}")


def rejected_rows(run: EventRun, *, query: TotalsQuery) -> Iterator[Verdict]:
    """The rows that are no event or have a negative leaf, in no order."""
    run.rows(f"CREATE TEMP TABLE rejected AS {query.rejected_sql()}")
    for number, part in enumerate(run.parts):
        first = number * ROW_STRIDE
        rows = f"""
SELECT * FROM raw_events_{number} WHERE "row" IN (SELECT "row" - {first} FROM rejected)
"""
        for values in fetched(run.rows(rows)):
            yield Verdict(row=first + whole(values[0]), reason=part.fault(values))


def conflicting_rows(run: EventRun) -> Iterator[Verdict]:
    """The rows of ``repeats`` whose content is not the one that is kept, in no order."""
    conflicts = """
SELECT repeats."row", repeats.kept_row, raw_events.source, raw_events.id
FROM repeats JOIN raw_events ON repeats."row" = raw_events."row"
WHERE repeats.standing = 'conflict'
"""
    for row, kept_row, source, event_id in fetched(run.rows(conflicts)):
        own_row, kept = whole(row) % ROW_STRIDE, run.row_name(whole(kept_row))
        sentence = f'the event "{event_id}" of "{source}" has other content here than in {kept}'
        yield Verdict(row=whole(row), reason=f"row {own_row} {sentence}, which is kept")


def fetched(answer: duckdb.DuckDBPyConnection) -> Iterator[tuple[object, ...]]:
    """The rows of an answer, some thousands in memory at a time."""
    while rows := answer.fetchmany(10_000):
        yield from rows


def whole(value: object) -> int:
    """An integer as the engine gave it; a sum that is anything else is a bug of ours."""
    if type(value) is not int:
        raise TypeError(f"the engine gave {value!r} where an integer belongs")
    return value

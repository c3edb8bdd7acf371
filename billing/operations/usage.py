"""Usage files: which reader takes which, and the totals that come out.

Invariant: every row of a file is counted in exactly one of accepted, duplicate, conflict, rejected.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from billing.engines.duckdb_totals import Totals, usage_totals
from billing.engines.event_source import EventFile, EventTable
from billing.intake.cloud_events import read_cloud_events
from billing.operations.files import read_file, write_file
from pricing_rules.document import DocumentError
from pricing_rules.period import Period
from pricing_rules.usage.totals import Grid

READ_AS = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".jsonl": "CloudEvents",
    ".ndjson": "CloudEvents",
    ".json": "CloudEvents",
}
"""How a usage file is read, by the ending of its name."""

_FILE_NAMES = {"occurred_at": "time"}


def read_totals(path: Path, *, grid: Grid, period: Period | None) -> Totals:
    """Usage totals of one file over the cells of ``grid``.

    DocumentError where the file cannot be read as a whole, and where none of its rows is an event;
    else rows that are no events have a verdict in the result.
    """
    totals = _totals(path, grid=grid, period=period)
    if totals.received and not totals.accepted:
        raise DocumentError(
            path.name,
            f"holds no usage event: all {totals.received:,} rows are refused, the first because "
            f"{totals.verdicts[0].reason}",
        )
    return totals


def _totals(path: Path, *, grid: Grid, period: Period | None) -> Totals:
    if read_as(path) == "CloudEvents":
        table, rejected = read_cloud_events(read_file(path), name=path.name)
        return usage_totals(EventTable(table=table, rejected=rejected), grid=grid, period=period)
    with readable(path):
        return usage_totals(event_file(path), grid=grid, period=period)


def read_as(path: Path) -> str:
    """How a usage file is read; DocumentError where its ending is not known."""
    kind = READ_AS.get(path.suffix.lower())
    if kind is None:
        endings = ", ".join(READ_AS)
        raise DocumentError(
            str(path), f'is not known by its ending "{path.suffix}"; usage files end in {endings}'
        )
    return kind


def event_file(path: Path) -> EventFile:
    """A CSV or Parquet file that an engine reads; DocumentError where there is none, or nothing."""
    if not path.is_file():
        raise DocumentError(str(path), "cannot be read (no such file)")
    if path.stat().st_size == 0:
        raise DocumentError(str(path), "the file is empty")
    return EventFile(path=path, kind="csv" if read_as(path) == "csv" else "parquet")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise what the machine reports inside of reading a file as a DocumentError."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DocumentError(str(path), f"cannot be read ({reason})") from None


def write_events(table: pa.Table, *, path: Path) -> None:
    """Write events in canonical columns as the Parquet file that ``read_totals`` reads."""
    names = [_FILE_NAMES.get(name, name) for name in table.column_names]
    moments = table.column("occurred_at").cast(pa.timestamp("us", tz="UTC"))
    at = table.column_names.index("occurred_at")
    columns = [moments if i == at else table.column(i) for i in range(table.num_columns)]
    renamed = pa.table(dict(zip(names, columns, strict=True))).drop_columns(["row"])
    written = pa.BufferOutputStream()
    pq.write_table(renamed, written)
    write_file(path, data=written.getvalue().to_pybytes())

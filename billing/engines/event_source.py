"""Where raw events come from: a table in canonical columns, a CSV file or a Parquet file.

Each source becomes two relations in DuckDB: ``raw_events``, its cells under canonical names, NULL
where empty, and ``events``, the same as values with ``faulty`` beside them. Invariant: every row of
the file is a row of both, with its number; a file whose columns are not understood is refused as a
whole.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from billing.engines.csv_lines import csv_header
from billing.engines.event_checks import (
    check_name,
    count_sql,
    moment_sql,
    name_sql,
    outcome_sql,
)
from billing.engines.totals_query import sql_names
from pricing_rules.document import DocumentError
from pricing_rules.usage.event_columns import (
    DIMENSION_PREFIX,
    Verdict,
    dimensions_among,
    event_columns,
    units_among,
)
from pricing_rules.usage.units import REPORTED_UNITS, UNITS

REQUIRED = {
    "id": "id",
    "source": "source",
    "account": "account",
    "time": "occurred_at",
    "model": "model",
    "service_tier": "service_tier",
}
OPTIONAL = {"region": "region", "request_tokens": "request_tokens", "outcome": "outcome"}
"""Columns of a file, each with its canonical one; units and dimensions keep their names."""

_NAMED = {"source", "account", "model", "service_tier", "region"}
_FEW_BYTES = 4
"""A column of text with fewer bytes for each row holds few names, many times each."""

_INTEGERS = {
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
}
_ZONED = {"TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"}
"""Moments; nanoseconds are cut to microseconds."""

_NOTHING = '"NULL"'
"""The type of a Parquet column without any value: nothing was reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTable:
    """Events in canonical columns, as intake gives them, and verdicts of the rows it refused.

    ``name`` is what errors call it; only where there are several sources do they call it anything.
    """

    table: pa.Table
    rejected: tuple[Verdict, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFile:
    """A file of raw events. ``name`` is what errors call it.

    Columns ``id, source, account, time, model, service_tier``; optional ``region, request_tokens,
    outcome``, units by name and ``dimensions.<name>``. CSV: UTF-8, RFC 4180 with a header, one line
    for each row; the header is row 1. Parquet: counts are integers, time is a timestamp with a time
    zone or an RFC 3339 text; rows count from 1.
    """

    path: Path
    kind: Literal["csv", "parquet"]

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class FileColumn:
    """One column of a file: its name there, its canonical name, its type and name in DuckDB.

    ``only_names``: every cell is known to be a name, so that none needs to be looked at again.
    """

    name: str
    canonical: str
    sql_type: str
    sql: str
    only_names: bool = False

    @property
    def value(self) -> str:
        """The name in SQL of the value that is read from the cell ``sql``."""
        return f'"value {self.sql[1:]}'


def check_table(table: pa.Table) -> tuple[str, ...]:
    """The column names of a table in canonical columns; ValueError otherwise."""
    names = list(table.schema.names)
    wanted = event_columns(units_among(names), dimensions=dimensions_among(names))
    arrow_types = {"int64": pa.int64(), "text": pa.string()}
    if names != list(wanted) or any(
        table.schema.field(name).type != arrow_types[kind] for name, kind in wanted.items()
    ):
        raise ValueError(f"not a table in canonical event columns: {', '.join(names)}")
    if pc.count_distinct(table["row"]).as_py() != table.num_rows:
        raise ValueError("two rows of the table have the same number; give it one file at a time")
    return tuple(names)


def table_events_sql(columns: Sequence[str], *, table: str) -> str:
    """``events`` over a registered table: its values as they are."""
    names = ", ".join(sql_names(columns).values())
    return f"SELECT {names}, FALSE AS faulty FROM {table} AS cells({names})"


def file_columns(
    connection: duckdb.DuckDBPyConnection, *, file: EventFile
) -> tuple[FileColumn, ...]:
    """The columns of a file, known and complete, in file order.

    DocumentError where the file is absent, empty or not of its kind, and where a column is unknown,
    doubled, missing or of a type that cannot hold it exactly.
    """
    if not file.path.is_file():
        raise DocumentError(file.name, "there is no such file")
    names = csv_header(file.path) if file.kind == "csv" else _parquet_names(file)
    doubled = [name for name, times in Counter(names).items() if times > 1]
    if doubled:
        raise DocumentError(file.name, f'the column "{doubled[0]:.60}" stands twice; keep one')
    canonical = [_canonical(name, file=file) for name in names]
    for required in REQUIRED:
        if required not in names:
            raise DocumentError(file.name, f'the column "{required}" is missing; add it')
    sql = sql_names(canonical)
    types = (
        ["VARCHAR"] * len(names) if file.kind == "csv" else _parquet_types(connection, file=file)
    )
    columns = tuple(
        FileColumn(name=name, canonical=known, sql=sql[known], sql_type=sql_type)
        for name, known, sql_type in zip(names, canonical, types, strict=True)
    )
    for column in columns:
        _check_type(column, file=file)
    return columns if file.kind == "csv" else _with_names_known(connection, columns, file=file)


def raw_events_sql(columns: Sequence[FileColumn], *, file: EventFile, lines: str) -> str:
    """``raw_events``: row, ``malformed`` (the fault of its form) and cells, NULL where empty.

    ``lines``: the relation that holds the lines of a CSV file.
    """
    if file.kind == "parquet":
        return _parquet_raw_sql(columns, file=file)
    width = len(columns)
    cells = ",\n  ".join(
        f"""NULLIF(CASE WHEN starts_with(cells[{i}], '"')
    THEN replace(substr(cells[{i}], 2, length(cells[{i}]) - 2), '""', '"')
    ELSE cells[{i}] END, '') AS {column.sql}"""
        for i, column in enumerate(columns, start=1)
    )
    # A cell is quoted whole or holds no quote (RFC 4180); a comma in front lets each match take
    # one.
    cell = """("(?:[^"]|"")*"|[^",]*)"""
    return f"""
WITH split AS (
  SELECT "row", line,
    CASE
      WHEN NOT contains(line, '"') THEN string_split(line, ',')
      WHEN regexp_full_match(line, '{cell}(?:,{cell})*')
      THEN regexp_extract_all(',' || line, ',{cell}', 1)
    END AS found
  FROM (SELECT "row", rtrim(line, chr(10)) AS line FROM {lines})
),
checked AS (
  SELECT "row",
    CASE WHEN len(found) = {width} AND line <> '' THEN found END AS cells,
    CASE
      WHEN line IS NULL THEN 'is not UTF-8; save the file as UTF-8'
      WHEN line = '' THEN 'is blank; remove it'
      WHEN found IS NULL THEN 'has a quote that does not enclose a whole cell'
      WHEN len(found) <> {width}
      THEN 'has ' || len(found) || ' cells where the header has {width}'
    END AS malformed
  FROM split
)
SELECT "row", malformed,
  {cells}
FROM checked
"""


def canonical_columns(columns: Sequence[FileColumn]) -> tuple[str, ...]:
    """The columns of ``events`` over a file: the fixed ones, its units and its dimensions."""
    names = [column.canonical for column in columns]
    return tuple(event_columns(units_among(names), dimensions=dimensions_among(names)))


def events_sql(columns: Sequence[FileColumn], *, raw: str) -> str:
    """``events`` over the raw events of a file: values, NULL where faulty, and ``faulty``."""
    present = {column.canonical: column.value for column in columns}
    values = ",\n  ".join(f"{_value_sql(c)} AS {c.value}" for c in columns)
    faults = " OR ".join(
        f"{c.value} IS NULL"
        if c.name in REQUIRED
        else f"({c.sql} IS NOT NULL AND {c.value} IS NULL)"
        for c in columns
    )
    defaults = {"region": "''", "outcome": "'completed'", "request_tokens": "0"}
    if "input_tokens" in present:
        defaults["request_tokens"] = f"{present['input_tokens']}, 0"
    fields = []
    for name, sql in sql_names(canonical_columns(columns)).items():
        value = present.get(name, "NULL")
        if name in defaults:
            value = f"COALESCE({value}, {defaults[name]})"
        fields.append('"row"' if name == "row" else f"{value} AS {sql}")
    return f"""
WITH read AS (
  SELECT *,
  {values}
  FROM {raw}
)
SELECT {", ".join(fields)},
  {faults} AS faulty
FROM read
"""


def _parquet_names(file: EventFile) -> list[str]:
    try:
        return [str(name) for name in pq.read_schema(file.path).names]
    except (pa.ArrowInvalid, OSError):  # a footer that is cut, or one that is damaged
        raise DocumentError(file.name, "this is not a whole Parquet file") from None


def _parquet_types(connection: duckdb.DuckDBPyConnection, *, file: EventFile) -> list[str]:
    described = connection.execute(f"DESCRIBE SELECT * FROM {_parquet(file)}").fetchall()
    return [str(row[1]) for row in described[:-1]]  # the last is the row number


def _parquet(file: EventFile) -> str:
    # A path may hold what DuckDB reads as a pattern; in brackets it stands for itself.
    path = "".join(f"[{c}]" if c in "*?[" else c for c in str(file.path.resolve()))
    return (
        f"read_parquet({_text(path)}, file_row_number = true, hive_partitioning = false, "
        "union_by_name = false, filename = false)"
    )


def _parquet_raw_sql(columns: Sequence[FileColumn], *, file: EventFile) -> str:
    cells = []
    for column in columns:
        cell = column.sql
        if column.sql_type in _ZONED:
            cell = f"epoch_us(CAST({cell} AS TIMESTAMP WITH TIME ZONE))"
        elif column.sql_type == _NOTHING:
            cell = f"CAST({cell} AS {_typed_as(column)})"
        elif column.sql_type == "VARCHAR":
            cell = f"NULLIF({cell}, '')"
        elif column.sql_type.startswith("DECIMAL"):
            cell = f"CAST({cell} AS VARCHAR)"
        cells.append(f"{cell} AS {column.sql}")
    names = ", ".join([*(column.sql for column in columns), "file_row"])
    return f"""
SELECT file_row + 1 AS "row", CAST(NULL AS VARCHAR) AS malformed,
  {", ".join(cells)}
FROM {_parquet(file)} AS cells({names})
"""


def _with_names_known(
    connection: duckdb.DuckDBPyConnection, columns: Sequence[FileColumn], *, file: EventFile
) -> tuple[FileColumn, ...]:
    """The columns, with ``only_names`` where it is quickly seen: to match ten million cells with a
    pattern takes as long as to add them up, and most columns of text hold a few names.
    """
    footer = pq.read_metadata(file.path)
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    found = []
    for place, column in enumerate(columns):
        is_name = column.canonical in _NAMED or column.canonical.startswith(DIMENSION_PREFIX)
        size_bytes = sum(group.column(place).total_uncompressed_size for group in groups)
        few = size_bytes < _FEW_BYTES * footer.num_rows
        if is_name and few and column.sql_type == "VARCHAR":
            # In a table of their own: in one statement, each cell would be looked at before it is
            # found to be the same as another.
            connection.execute(
                f"CREATE OR REPLACE TEMP TABLE few AS "
                f"SELECT DISTINCT {_quoted(column.name)} AS cell FROM {_parquet(file)}"
            )
            odd = f"SELECT 1 FROM few WHERE {name_sql('cell')} IS NULL LIMIT 1"
            if not connection.execute(odd).fetchall():
                found.append(replace(column, only_names=True))
                continue
        found.append(column)
    return tuple(found)


def _canonical(name: str, *, file: EventFile) -> str:
    known: Mapping[str, str] = {**REQUIRED, **OPTIONAL, **{unit: unit for unit in REPORTED_UNITS}}
    if name in known:
        return known[name]
    if name.startswith(DIMENSION_PREFIX):
        check_name(name.removeprefix(DIMENSION_PREFIX), where=f'{file.name} column "{name:.60}"')
        return name
    near = difflib.get_close_matches(name, [*known, DIMENSION_PREFIX], n=1)
    hint = f'; did you mean "{near[0]}"?' if near else "; remove it"
    raise DocumentError(file.name, f'the column "{name:.60}" is unknown{hint}')


def _typed_as(column: FileColumn) -> str:
    is_count = column.canonical in UNITS or column.canonical == "request_tokens"
    return "BIGINT" if is_count else "VARCHAR"


def _check_type(column: FileColumn, *, file: EventFile) -> None:
    """Parquet columns have types; only those that hold each value exactly are read."""
    sql_type, where = column.sql_type, f'{file.name} column "{column.name}"'
    if column.canonical in UNITS or column.canonical == "request_tokens":
        unit = UNITS.get(column.canonical)
        exact = unit is not None and unit.scale > 1 and sql_type.startswith(("VARCHAR", "DECIMAL"))
        whole = sql_type in _INTEGERS or sql_type == _NOTHING
        if not whole and not exact and file.kind == "parquet":
            raise DocumentError(where, f"counts must be integers, not {sql_type}")
    elif column.canonical == "occurred_at":
        if sql_type.startswith("TIMESTAMP") and sql_type not in _ZONED:
            raise DocumentError(where, f"{sql_type} has no time zone; write it with one, in UTC")
        if sql_type not in {*_ZONED, "VARCHAR"}:
            raise DocumentError(where, f"must be a timestamp with a time zone, not {sql_type}")
    elif sql_type not in {"VARCHAR", _NOTHING}:
        raise DocumentError(where, f"must be text, not {sql_type}")


def _value_sql(column: FileColumn) -> str:
    is_text = column.sql_type == "VARCHAR" or column.sql_type.startswith("DECIMAL")
    if column.canonical in UNITS:
        return count_sql(column.sql, unit=column.canonical, is_text=is_text)
    if column.canonical == "request_tokens":
        return count_sql(column.sql, unit="input_tokens", is_text=is_text)
    if column.canonical == "occurred_at":
        return moment_sql(column.sql, is_text=is_text)
    if column.only_names:
        return column.sql
    return outcome_sql(column.sql) if column.canonical == "outcome" else name_sql(column.sql)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

"""A file whose columns are not understood is refused as a whole, with how to mend it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from billing.engines import csv_lines
from billing.engines.duckdb_totals import usage_totals
from billing.engines.event_source import EventFile
from pricing_rules.document import DocumentError
from pricing_rules.usage.totals import Grid

REQUIRED = "id,source,account,time,model,service_tier"
AT = datetime(2026, 10, 1, tzinfo=UTC)


def refused(path: Path, *, kind: str) -> str:
    """The one sentence that a file as a whole is refused with."""
    with pytest.raises(DocumentError) as found:
        usage_totals(EventFile(path=path, kind=kind), grid=Grid(), period=None)  # type: ignore[arg-type]
    return str(found.value)


def table(**changed: pa.Array) -> pa.Table:
    """One event as Parquet columns, some changed or added (``dimensions_x`` for a dimension)."""
    columns = {name: pa.array(["x"]) for name in REQUIRED.split(",")}
    columns["time"] = pa.array([AT], type=pa.timestamp("us", tz="UTC"))
    columns.update({name.replace("dimensions_", "dimensions."): c for name, c in changed.items()})
    return pa.table(columns)


@pytest.mark.parametrize(
    "header, sentence",
    [
        (b"", "the file is empty, or its first line is"),
        (b"\nid,source\n", "the file is empty, or its first line is"),
        (b"\xef\xbb\xbf" + REQUIRED.encode(), "begins with a byte order mark"),
        (b"\xff\xfei\x00", "the header is not CSV in UTF-8"),
        (b'"id', "the header is not CSV in UTF-8"),
        (b"id,source,account,time,model", 'the column "service_tier" is missing; add it'),
        (REQUIRED.encode() + b",id", 'the column "id" stands twice; keep one'),
        (
            REQUIRED.encode() + b",input_token",
            'the column "input_token" is unknown; did you mean "input_tokens"?',
        ),
        (REQUIRED.encode() + b",requests", 'the column "requests" is unknown'),
        (REQUIRED.encode() + b",zzz", 'the column "zzz" is unknown; remove it'),
        (REQUIRED.encode() + b",dimensions.", 'column "dimensions."'),
        (REQUIRED.encode() + b",dimensions. a", "must not begin or end with a space"),
    ],
)
def test_a_csv_file_with_a_faulty_header_is_refused(
    tmp_path: Path, header: bytes, sentence: str
) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(header)
    assert sentence in refused(path, kind="csv")


@pytest.mark.parametrize(
    "column, array, sentence",
    [
        ("input_tokens", pa.array([1.0]), "counts must be integers, not DOUBLE"),
        ("input_tokens", pa.array(["1"]), "counts must be integers, not VARCHAR"),
        ("input_tokens", pa.array([True]), "counts must be integers, not BOOLEAN"),
        ("audio_seconds", pa.array([1.5]), "counts must be integers, not DOUBLE"),
        ("request_tokens", pa.array([Decimal("1.0")]), "counts must be integers, not DECIMAL"),
        ("time", pa.array([AT.replace(tzinfo=None)]), "has no time zone"),
        ("time", pa.array([AT.date()]), "must be a timestamp with a time zone, not DATE"),
        ("id", pa.array([1]), "must be text, not BIGINT"),
        ("dimensions_team", pa.array([b"x"]), "must be text, not BLOB"),
        ("acount", pa.array(["x"]), 'did you mean "account"?'),
    ],
)
def test_a_parquet_file_with_a_column_that_is_not_exact_is_refused(
    tmp_path: Path, column: str, array: pa.Array, sentence: str
) -> None:
    path = tmp_path / "events.parquet"
    pq.write_table(table(**{column: array}), path)
    said = refused(path, kind="parquet")
    assert sentence in said
    assert column.replace("_team", ".team") in said


def test_nanoseconds_are_cut_and_a_column_without_values_reports_nothing(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    nanoseconds = pa.array([1_790_812_800_000_000_999], type=pa.timestamp("ns", tz="UTC"))
    nothing = pa.nulls(1)
    columns = {"time": nanoseconds, "input_tokens": pa.array([7]), "region": nothing}
    pq.write_table(table(**columns, cache_read_tokens=nothing), path)
    found = usage_totals(EventFile(path=path, kind="parquet"), grid=Grid(), period=None)
    assert found.totals[0].leaves == {"input_tokens": 7}
    assert (found.totals[0].cell.region, found.rejected) == ("", 0)


@pytest.mark.parametrize(
    "column, array, count",
    [
        ("input_tokens", pa.array([7], type=pa.uint64()), 7),
        ("input_tokens", pa.array([7], type=pa.int8()), 7),
        ("audio_seconds", pa.array([2]), 2_000),
        ("audio_seconds", pa.array(["2.5"]), 2_500),
        ("audio_seconds", pa.array([Decimal("2.500")]), 2_500),
    ],
)
def test_a_parquet_count_is_read_at_the_scale_of_its_unit(
    tmp_path: Path, column: str, array: pa.Array, count: int
) -> None:
    path = tmp_path / "events.parquet"
    pq.write_table(table(**{column: array}), path)
    found = usage_totals(EventFile(path=path, kind="parquet"), grid=Grid(), period=None)
    assert found.totals[0].leaves == {column: count}


@pytest.mark.parametrize(
    "column, array, sentence",
    [
        ("input_tokens", pa.array([-1]), "must lie between 0 and 1000000000000, not -1"),
        ("input_tokens", pa.array([2**64 - 1], type=pa.uint64()), "must lie between 0 and"),
        ("input_tokens", pa.array([10**12 + 1]), "must lie between 0 and"),
        ("audio_seconds", pa.array(["2.5001"]), "has too many decimals"),
        ("time", pa.array([-1], type=pa.timestamp("us", tz="UTC")), "between 1970 and 2199"),
        ("time", pa.array([2**62], type=pa.timestamp("us", tz="UTC")), "between 1970 and 2199"),
        ("time", pa.array(["2026-10-01"]), "the offset is missing"),
        ("account", pa.array([""]), "account: is empty; fill it in"),
        ("outcome", pa.array(["done"]), "outcome: must be one of"),
    ],
)
def test_a_parquet_cell_out_of_bounds_rejects_its_row(
    tmp_path: Path, column: str, array: pa.Array, sentence: str
) -> None:
    path = tmp_path / "events.parquet"
    pq.write_table(table(**{column: array}), path)
    found = usage_totals(EventFile(path=path, kind="parquet"), grid=Grid(), period=None)
    assert (found.accepted, found.rejected) == (0, 1)
    assert found.verdicts[0].reason.startswith("row 1 ")
    assert sentence in found.verdicts[0].reason


def test_what_is_no_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    path.write_bytes(b"PAR1 not really")
    assert "this is not a whole Parquet file" in refused(path, kind="parquet")


def test_a_parquet_file_with_a_broken_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pq.write_table(table(input_tokens=pa.array([1])), path, compression="snappy")
    data = bytearray(path.read_bytes())
    data[4:200] = b"\xff" * 196
    path.write_bytes(data)
    assert "events.parquet" in refused(path, kind="parquet")


def test_a_file_that_is_absent_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.csv", kind="csv") == "none.csv: there is no such file"


@pytest.mark.parametrize(
    "name", ["a[1].parquet", "a*?.parquet", "team=x's.parquet", "-a b.parquet"]
)
def test_a_path_stands_for_itself_and_not_for_a_pattern(tmp_path: Path, name: str) -> None:
    pq.write_table(table(), tmp_path / "a1.parquet")
    pq.write_table(table(input_tokens=pa.array([5])), tmp_path / name)
    found = usage_totals(EventFile(path=tmp_path / name, kind="parquet"), grid=Grid(), period=None)
    assert found.totals[0].leaves == {"input_tokens": 5}


def test_text_that_looks_like_sql_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    hostile = "a'); DROP TABLE repeats; --"
    name = 'dimensions.x""\' || 1'
    path.write_text(f'{REQUIRED},"{name}"\n1,s,"{hostile}",2026-10-01T00:00:00Z,m,standard,v\n')
    grid = Grid(dimensions=("x\"' || 1",))
    found = usage_totals(EventFile(path=path, kind="csv"), grid=grid, period=None)
    assert found.totals[0].cell.account == hostile
    assert found.totals[0].cell.dimensions == (("x\"' || 1", "v"),)


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "_BLOCK_BYTES", 100)
    path = tmp_path / "events.csv"
    path.write_bytes(REQUIRED.encode() + b"\n" + b"x" * 201)
    assert "a line after row 2 is longer than 100 bytes" in refused(path, kind="csv")
    path.write_bytes(REQUIRED.encode() + b"\n" + b"x" * 200)
    found = usage_totals(EventFile(path=path, kind="csv"), grid=Grid(), period=None)
    assert found.verdicts[0].reason == "row 2 has 1 cells where the header has 6"

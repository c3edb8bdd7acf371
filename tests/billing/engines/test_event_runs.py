"""Several sources are one usage: an event counts once, and each row is named with its source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from billing.engines.duckdb_totals import Totals, run_totals, usage_totals
from billing.engines.event_runs import ROW_STRIDE, event_run, run_span
from billing.engines.event_source import EventFile, EventTable, file_columns
from billing.intake.cloud_events import read_cloud_events
from pricing_rules.document import DocumentError
from pricing_rules.period import Period, parse_moment
from pricing_rules.usage.totals import Grid
from tests.billing.engines.naive_totals import Raw, event_json, write_csv, write_parquet

LATER = "2026-10-02T12:00:01Z"
GRID = Grid(dimensions=("Team", "a", "team"))


def raw(number: int, **changed: object) -> Raw:
    return {
        "id": f"e{number}",
        "source": "gw",
        "account": "acme",
        "time": "2026-10-02T12:00:00Z",
        "model": "m",
        "service_tier": "standard",
        "input_tokens": 1000,
        **changed,
    }


def csv_file(folder: Path, events: list[Raw], *, name: str = "a.csv") -> EventFile:
    write_csv(events, path=folder / name)
    return EventFile(path=folder / name, kind="csv")


def parquet_file(folder: Path, events: list[Raw], *, name: str = "b.parquet") -> EventFile:
    write_parquet(events, path=folder / name)
    return EventFile(path=folder / name, kind="parquet")


def table(events: list[Raw]) -> EventTable:
    found, refused = read_cloud_events(b"\n".join(map(event_json, events)), name="c.jsonl")
    return EventTable(table=found, rejected=refused, name="c.jsonl")


def totals(*sources: EventTable | EventFile) -> Totals:
    with event_run(sources) as run:
        return run_totals(run, grid=GRID, period=None)


def test_sources_of_other_formats_and_columns_give_the_totals_of_one(tmp_path: Path) -> None:
    # Each source has other units and dimensions; their columns stand at other places.
    first = [raw(1, **{"dimensions.team": "red", "cache_read_tokens": 4}), raw(2)]
    second = [raw(3, **{"dimensions.Team": "blue", "output_tokens": 7, "region": "eu"})]
    third = [raw(4, **{"dimensions.a": "x", "audio_seconds": "2.5", "request_tokens": 9})]
    found = totals(csv_file(tmp_path, first), parquet_file(tmp_path, second), table(third))
    together = usage_totals(table([*first, *second, *third]), grid=GRID, period=None)
    assert found == together
    assert {total.cell.dimensions for total in found.totals} == {
        (),
        (("Team", "blue"),),
        (("a", "x"),),
        (("team", "red"),),
    }


def test_an_event_in_two_files_counts_once(tmp_path: Path) -> None:
    found = totals(
        csv_file(tmp_path, [raw(1), raw(2)]),
        parquet_file(tmp_path, [raw(2), raw(3)]),
        csv_file(tmp_path, [raw(1)], name="again.csv"),
    )
    assert (found.received, found.accepted, found.duplicate) == (5, 3, 2)
    (total,) = found.totals
    assert total.leaves == {"input_tokens": 3000}


def test_rows_of_each_source_have_numbers_and_verdicts_of_their_own(tmp_path: Path) -> None:
    found = totals(
        csv_file(tmp_path, [raw(1, input_tokens=5), raw(2, account="")]),
        parquet_file(tmp_path, [raw(1, input_tokens=6, time=LATER), raw(4, input_tokens=-1)]),
        table([raw(5, output_tokens="x"), raw(6, input_tokens=1, cache_read_tokens=2)]),
    )
    assert (found.accepted, found.conflict, found.rejected) == (1, 1, 4)
    said = {(one.row // ROW_STRIDE, one.row % ROW_STRIDE): one.reason for one in found.verdicts}
    assert list(said) == [(0, 3), (1, 1), (1, 2), (2, 1), (2, 2)]
    assert said[0, 3] == "row 3 account: is empty; fill it in"
    # The first by its moment is kept: the 5 of a.csv.
    assert said[1, 1] == (
        'row 1 the event "e1" of "gw" has other content here than in row 2 of a.csv, which is kept'
    )
    assert said[1, 2].startswith("row 2 input_tokens: ")
    assert said[2, 1].startswith("line 1 ")


def test_one_source_alone_is_not_named(tmp_path: Path) -> None:
    later = raw(1, input_tokens=6, time=LATER)
    found = totals(csv_file(tmp_path, [raw(1, input_tokens=5), later]))
    assert [one.reason for one in found.verdicts] == [
        'row 3 the event "e1" of "gw" has other content here than in row 2, which is kept'
    ]


def test_the_broken_one_of_several_files_is_named(tmp_path: Path) -> None:
    good = parquet_file(tmp_path, [raw(n) for n in range(50)], name="good.parquet")
    bad = parquet_file(tmp_path, [raw(n) for n in range(50, 100)], name="bad.parquet")
    data = bytearray(bad.path.read_bytes())
    at = data.index(b"e60")
    data[at - 40 : at + 40] = b"\xff" * 80
    bad.path.write_bytes(bytes(data))
    with pytest.raises(DocumentError) as found:
        totals(good, bad)
    assert str(found.value).startswith("bad.parquet: cannot be read to its end (")


@pytest.mark.parametrize("files", [1, 2])
def test_the_span_is_from_the_first_to_the_last_event(tmp_path: Path, files: int) -> None:
    early, late = "2026-09-30T23:59:59.999999Z", "2026-10-02T12:00:00Z"
    sources = [
        csv_file(tmp_path, [raw(1, time=early), raw(2, time="never")]),
        parquet_file(tmp_path, [raw(3, time=late)]),
    ]
    last = [early, late][files - 1]
    with event_run(sources[:files]) as run:
        assert run_span(run) == Period(start_at=parse_moment(early), end_at=parse_moment(last) + 1)


def test_rows_without_a_moment_have_no_span(tmp_path: Path) -> None:
    with event_run([csv_file(tmp_path, [raw(1, time="never")])]) as run:
        assert run_span(run) is None


def few_names(path: Path, **columns: Sequence[str | None]) -> EventFile:
    """A Parquet file of 3,000 events, whose columns of text but the id hold few names."""
    rows = 3_000
    cells: dict[str, Sequence[str | None]] = {
        "id": [f"e{n}" for n in range(rows)],
        "source": ["gw"],
        "account": ["acme", "globex"],
        "time": ["2026-10-02T12:00:00Z"],
        "model": ["m"],
        "service_tier": ["standard"],
        **columns,
    }
    repeated = {name: (list(found) * rows)[:rows] for name, found in cells.items()}
    pq.write_table(pa.table(repeated), path)
    return EventFile(path=path, kind="parquet")


def test_columns_that_hold_few_names_are_looked_at_once(tmp_path: Path) -> None:
    file = few_names(tmp_path / "few.parquet", **{'dimensions.te"am': ["red", "blue"]})
    with duckdb.connect(":memory:") as connection:
        known = {c.name for c in file_columns(connection, file=file) if c.only_names}
    assert known == {"source", "account", "model", "service_tier", 'dimensions.te"am'}
    found = totals(file)
    assert (found.accepted, found.rejected) == (3_000, 0)


@pytest.mark.parametrize(
    "column, cell, said",
    [
        ("account", " acme", "account: must not begin or end with a space"),
        ("account", "", "account: is empty; fill it in"),
        ("model", None, "model: is empty; fill it in"),
        ("region", "e\u200bu", "region: must not hold the control or invisible character U+200B"),
        ("dimensions.a", "x" * 201, "dimensions.a: string should have at most 200 characters"),
    ],
)
def test_one_cell_that_is_no_name_among_many_is_refused(
    tmp_path: Path, column: str, cell: str | None, said: str
) -> None:
    cells = ["x"] * 2_999 + [cell]
    found = totals(few_names(tmp_path / "few.parquet", **{column: cells}))
    assert (found.accepted, found.rejected) == (2_999, 1)
    assert found.verdicts[0].reason.startswith(f"row 3000 {said}")

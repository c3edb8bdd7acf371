"""The events of a file in parts: every row once, in the order of the file, events or refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.engines.event_source import EventFile, EventTable
from billing.engines.file_events import file_events, table_parts
from billing.intake.cloud_events import read_cloud_events
from pricing_rules.document import DocumentError
from tests.billing.engines.naive_totals import Raw, event_json, write_csv, write_parquet
from tests.billing.engines.test_totals_agree import EVENTS


def raw(number: int, **cells: Any) -> Raw:
    return {
        "id": f"e{number}",
        "source": "gw",
        "account": "a",
        "time": "2026-10-01T00:00:00Z",
        "model": "m",
        "service_tier": "standard",
        "input_tokens": 10,
        **cells,
    }


def csv_file(folder: Path, events: Sequence[Raw]) -> EventFile:
    file = EventFile(path=folder / "events.csv", kind="csv")
    write_csv(events, path=file.path)
    return file


def rows(parts: Sequence[EventTable]) -> list[tuple[list[int], list[int]]]:
    """The rows of each part: events, and refused ones."""
    return [(p.table["row"].to_pylist(), [v.row for v in p.rejected]) for p in parts]


def test_parts_have_the_rows_in_order_and_the_last_has_what_is_left(tmp_path: Path) -> None:
    file = csv_file(tmp_path, [raw(n) for n in range(5)])
    # The header is row 1.
    assert rows(list(file_events(file, batch_rows=2))) == [([2, 3], []), ([4, 5], []), ([6], [])]
    assert rows(list(file_events(file, batch_rows=5))) == [([2, 3, 4, 5, 6], [])]
    assert rows(list(file_events(file, batch_rows=6))) == [([2, 3, 4, 5, 6], [])]


def test_a_refused_row_stands_in_its_part_with_its_reason(tmp_path: Path) -> None:
    bad = [
        raw(0),
        raw(1, input_tokens=-1),
        raw(2, cache_read_tokens=11),  # 11 of 10
        raw(3, time="2026-10-01T00:00:00"),
    ]
    parts = list(file_events(csv_file(tmp_path, bad), batch_rows=3))
    assert rows(parts) == [([2], [3, 4]), ([], [5])]
    reasons = [verdict.reason for part in parts for verdict in part.rejected]
    assert reasons[0].startswith("row 3 input_tokens: ")
    assert reasons[1].startswith("row 4 input_tokens (10) is less than what it contains")
    assert "the offset is missing" in reasons[2]


def test_a_file_without_rows_has_no_part(tmp_path: Path) -> None:
    assert list(file_events(csv_file(tmp_path, []), batch_rows=2)) == []


def test_a_broken_file_is_refused_before_the_first_part(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    write_parquet([raw(n) for n in range(400)], path=path)
    data = bytearray(path.read_bytes())
    data[100:400] = bytes(300)  # pages lie in front, what describes them at the end
    path.write_bytes(data)
    with pytest.raises(DocumentError, match=r"^events\.parquet: "):
        next(file_events(EventFile(path=path, kind="parquet"), batch_rows=2))


def test_more_rows_than_the_engine_gives_at_once_are_cut_alike(tmp_path: Path) -> None:
    file = csv_file(tmp_path, [raw(n) for n in range(5_000)])
    parts = rows(list(file_events(file, batch_rows=2_100)))
    assert [len(events) for events, _ in parts] == [2_100, 2_100, 800]
    assert [row for events, _ in parts for row in events] == list(range(2, 5_002))


@settings(max_examples=25)  # each one starts the engine twice
@given(events=EVENTS, batch_rows=st.integers(1, 7))
def test_each_format_has_the_same_events_in_the_same_parts(
    events: list[Raw], batch_rows: int
) -> None:
    table, refused = read_cloud_events(b"\n".join(map(event_json, events)), name="events.jsonl")
    lines = EventTable(table=table, rejected=refused)
    found = [values(list(table_parts(lines, batch_rows=batch_rows)))]
    with TemporaryDirectory() as name:
        folder = Path(name)
        found.append(values(list(file_events(csv_file(folder, events), batch_rows=batch_rows))))
        file = EventFile(path=folder / "events.parquet", kind="parquet")
        write_parquet(events, path=file.path)
        found.append(values(list(file_events(file, batch_rows=batch_rows))))
    assert found[0] == found[1] == found[2]
    assert sum(len(part) for part in found[0]) == len(events)


def values(parts: Sequence[EventTable]) -> list[list[object]]:
    """The rows of each part as values, with None for those refused; row numbers left out, since a
    CSV file has a header."""
    found = []
    for part in parts:
        by_row: dict[int, object] = {verdict.row: None for verdict in part.rejected}
        for event in part.table.to_pylist():
            row = event.pop("row")
            by_row[row] = {name: value for name, value in event.items() if value is not None}
        found.append([by_row[row] for row in sorted(by_row)])
    return found


def test_a_table_out_of_order_is_a_bug() -> None:
    table, _ = read_cloud_events(b"\n".join([event_json(raw(0)), event_json(raw(1))]), name="x")
    with pytest.raises(ValueError, match="not in their order"):
        next(table_parts(EventTable(table=table.take([1, 0])), batch_rows=2))

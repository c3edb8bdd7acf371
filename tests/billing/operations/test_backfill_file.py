"""A usage file that is tried as a backfill: what would happen is told, and nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from billing.operations.backfill import show_backfill
from billing.operations.backfill_file import (
    LoadedBackfill,
    NewBackfill,
    load_backfill,
    try_backfill,
)
from billing.store.store import Store, StoreError
from billing.store.table_parts import METADATA
from pricing_rules.document import DocumentError
from tests.billing.operations.made_backfill import OCTOBER, inputs
from tests.billing.operations.made_ingest import NOW_AT, Json, facts
from tests.billing.operations.made_store import deliver
from tests.journeys.made_files import event, write_events

TABLES = tuple(METADATA.tables)


def wanted(*, reason: str = "the meter was wrong") -> NewBackfill:
    """A backfill of October."""
    return NewBackfill(
        backfill="bf_1", account="a", period=OCTOBER, reason=reason, by="dana", now_at=NOW_AT
    )


def tried(store: Store, folder: Path, *events: Json) -> LoadedBackfill:
    """What a dry run of these events tells."""
    return try_backfill(write_events(folder, events, form="jsonl"), store=store, wanted=wanted())


def test_a_dry_run_tells_what_loading_does_and_leaves_no_row(
    store: Store, store_place: str | Path, tmp_path: Path
) -> None:
    deliver(store, tmp_path, [inputs(1), inputs(2)])
    before = facts(store_place, tables=TABLES)
    path = write_events(
        tmp_path, [inputs(2), event(3, {"output_tokens": 7}), inputs(2)], form="jsonl"
    )
    rows: list[int] = []
    told = try_backfill(path, store=store, wanted=wanted(), progress=rows.append)
    assert facts(store_place, tables=TABLES) == before
    assert (told.shown, told.received, told.duplicate, told.refusals) == (None, 3, 1, ())
    assert rows == [3]
    assert told.foreseen is not None
    # e1 and e2 had 10 each; then e2 has 10 and e3 has 7.
    assert (told.foreseen.before, told.foreseen.after) == (
        {"input_tokens": 20},
        {"input_tokens": 10, "output_tokens": 7},
    )
    loaded = load_backfill(path, store=store, wanted=wanted())
    assert loaded.shown is not None
    assert loaded.shown.changes == told.foreseen.changes
    assert (loaded.shown.staged, loaded.received, loaded.duplicate) == (2, 3, 1)


def test_a_dry_run_of_refused_rows_names_them_and_leaves_no_row(
    store: Store, store_place: str | Path, tmp_path: Path
) -> None:
    deliver(store, tmp_path, [inputs(1)])
    before = facts(store_place, tables=TABLES)
    told = tried(store, tmp_path, inputs(2), inputs(1, 11), inputs(3, account="b"))
    assert [(one.row, one.verdict) for one in told.refusals] == [(2, "conflict"), (3, "rejected")]
    assert (told.shown, told.foreseen) == (None, None)
    assert facts(store_place, tables=TABLES) == before


def test_a_dry_run_that_is_refused_leaves_no_row(
    store: Store, store_place: str | Path, tmp_path: Path
) -> None:
    before = facts(store_place, tables=TABLES)
    empty = tmp_path / "empty.csv"
    empty.write_text("id,source,account,time,model,service_tier,input_tokens\n", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"empty\.csv: has no rows"):
        try_backfill(empty, store=store, wanted=wanted())
    path = write_events(tmp_path, [inputs(1)], form="jsonl")
    with pytest.raises(DocumentError, match="reason: is empty"):
        try_backfill(path, store=store, wanted=wanted(reason=" "))
    assert facts(store_place, tables=TABLES) == before


def test_where_the_store_fails_while_a_file_is_loaded_it_is_asked_for_nothing_more(
    store: Store, tmp_path: Path
) -> None:
    def fail(rows: int) -> None:
        raise StoreError("store", f"failed after {rows} rows")

    path = write_events(tmp_path, [inputs(1)], form="jsonl")
    with pytest.raises(StoreError, match="failed after 1 rows"):
        load_backfill(path, store=store, wanted=wanted(), progress=fail)
    with store.read() as connection:
        assert show_backfill(connection, backfill="bf_1").staged == 1


def test_a_dry_run_on_a_server_keeps_no_other_from_opening_a_backfill(
    store: Store, database: str, tmp_path: Path
) -> None:
    path = write_events(tmp_path, [inputs(1)], form="jsonl")
    opened: list[LoadedBackfill] = []

    def open_another(rows: int) -> None:
        other = NewBackfill(
            backfill=f"bf_{rows + 1}",
            account="a",
            period=OCTOBER,
            reason="another",
            by="eve",
            now_at=NOW_AT,
        )
        opened.append(load_backfill(path, store=store, wanted=other))

    told = try_backfill(path, store=store, wanted=wanted(), progress=open_another)
    assert [one.shown and one.shown.state for one in opened] == ["applied"]
    # The other was applied before this one told what it would do.
    assert told.foreseen is not None
    assert (told.foreseen.changes.added, told.foreseen.changes.kept) == (0, 1)

"""A writer that is killed at any call to the disk, and a disk whose power is cut at any call, hold
what was acknowledged (I40 to I42; faults 5, 14, 23 to 26).

Invariant: the harness finds the loss where a disk only says that it has synced.
"""

from __future__ import annotations

import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from billing.operations.verify import verify
from billing.store.store import open_store
from tests.billing.operations.made_ingest import made_store
from tests.survival.disk_runs import Write, run, writing
from tests.survival.disk_writer import BATCHES
from tests.survival.failing_disk import Record, disk_after

REQUESTS = [[f"e{n}" for n in batch] for batch in BATCHES]


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Write]:
    with writing("tests.survival.disk_writer", folder=tmp_path_factory.mktemp("shim")) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fresh(tmp_path / "disk")


def fresh(folder: Path) -> Path:
    """The folder with an empty store in it, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "store.db").write_bytes(made_store())
    return folder


def acknowledged(records: Sequence[Record]) -> list[str]:
    return [name for one in records if one.kind == "A" for name in one.name.split()]


def damage(folder: Path, *, acknowledged: Sequence[str]) -> str:
    """What is wrong with the store in a folder; "" for nothing."""
    with closing(sqlite3.connect(folder / "store.db")) as raw:
        try:
            (found,) = raw.execute("PRAGMA integrity_check").fetchone()
            stored = {name for (name,) in raw.execute("SELECT id FROM event_ids")}
        except sqlite3.DatabaseError as error:
            return str(error)
    if found != "ok":
        return str(found)
    if lost := set(acknowledged) - stored:
        return f"{len(lost)} of {len(acknowledged)} acknowledged events are lost"
    whole = [ids for ids in REQUESTS if stored & set(ids)]
    if stored != {name for ids in whole for name in ids}:
        return "a request is there in part"
    with open_store(folder / "store.db") as store:
        return "" if verify(store).holds else "totals, ids and counters do not add up"


def check_kills(write: Write, folder: Path, *, at: Callable[[int], Sequence[int]]) -> None:
    """Kill the writer at calls of each kind, and check what is left."""
    _, records = run(write, folder)
    assert acknowledged(records) == [name for ids in REQUESTS for name in ids]
    for call, kind in (("write", "W"), ("sync", "S")):
        calls = sum(one.kind == kind for one in records)
        assert calls > len(REQUESTS)
        for nth in at(calls):
            ended, left = run(write, fresh(folder), call=call, nth=nth, fault="kill")
            assert ended == signal.SIGKILL, (call, nth)
            assert sum(one.kind == kind for one in left) == nth - 1
            assert damage(folder, acknowledged=acknowledged(left)) == "", (call, nth)


def test_a_writer_killed_at_a_call_to_the_disk_leaves_what_it_acknowledged(
    write: Write, folder: Path
) -> None:
    # The first, the last, and some between.
    check_kills(write, folder, at=lambda calls: sorted({*range(1, calls, calls // 5 + 1), calls}))


@pytest.mark.soak
def test_a_writer_killed_at_each_call_to_the_disk_leaves_what_it_acknowledged(
    write: Write, folder: Path
) -> None:
    check_kills(write, folder, at=lambda calls: range(1, calls + 1))


def damages(folder: Path, *, records: Sequence[Record], cuts: int, lies: bool) -> list[str]:
    """What power cuts damage, at so many places in the records, evenly."""
    random = Random(3)
    before = {"store.db": made_store()}
    found = []
    for number in range(1, cuts + 1):
        behind = records[: len(records) * number // cuts]
        left = disk_after(behind, before=before, lies=lies, random=random)
        fresh(folder)
        for name, data in left.items():
            (folder / name).write_bytes(data)
        found.append(damage(folder, acknowledged=acknowledged(behind)))
    return [one for one in found if one]


def test_a_power_cut_loses_nothing_that_was_acknowledged(write: Write, folder: Path) -> None:
    _, records = run(write, folder)
    assert damages(folder, records=records, cuts=40, lies=False) == []


@pytest.mark.soak
def test_a_power_cut_at_each_call_loses_nothing_that_was_acknowledged(
    write: Write, folder: Path
) -> None:
    _, records = run(write, folder)
    for _ in range(10):
        assert damages(folder, records=records, cuts=len(records), lies=False) == []


def test_the_loss_is_found_where_a_disk_only_says_that_it_synced(
    write: Write, folder: Path
) -> None:
    _, records = run(write, folder)
    found = damages(folder, records=records, cuts=20, lies=True)
    assert any("acknowledged events are lost" in one for one in found)


@pytest.mark.parametrize("nth", [1, 20, 60])
def test_a_write_that_is_done_by_half_is_done_again(write: Write, folder: Path, nth: int) -> None:
    ended, records = run(write, folder, call="write", nth=nth, fault="half")
    assert ended == 0
    assert acknowledged(records) == [name for ids in REQUESTS for name in ids]
    assert damage(folder, acknowledged=acknowledged(records)) == ""


@pytest.mark.parametrize("call, fault", [("sync", "io"), ("write", "io"), ("write", "full")])
def test_where_a_call_fails_nothing_that_it_should_keep_is_acknowledged(
    write: Write, folder: Path, call: str, fault: str
) -> None:
    kind = {"sync": "S", "write": "W"}[call]
    _, records = run(write, folder)
    calls = sum(one.kind == kind for one in records)
    for nth in range(1, calls, calls // 4):
        _, left = run(write, fresh(folder), call=call, nth=nth, fault=fault)
        assert damage(folder, acknowledged=acknowledged(left)) == "", nth

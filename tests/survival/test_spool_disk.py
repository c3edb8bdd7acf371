"""A gateway that is killed at a call to the disk, and a disk whose power is cut at any call, hold
in the spool what was recorded and not yet settled.

Invariant: the harness finds the loss where a disk only says that it has synced.
"""

from __future__ import annotations

import shutil
import signal
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from billing.client.spool import Spool
from tests.survival.disk_runs import Write, run, writing
from tests.survival.failing_disk import Record, disk_after
from tests.survival.spool_writer import PARTS

ALL = [f"e{n}" for part in PARTS for n in part]


@cache
def made_spool() -> bytes:
    """The file of a spool without events."""
    with TemporaryDirectory() as name:
        file = Path(name) / "spool.db"
        Spool(file, max_events=99).close()
        return file.read_bytes()


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Write]:
    with writing("tests.survival.spool_writer", folder=tmp_path_factory.mktemp("shim")) as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fresh(tmp_path / "disk")


def fresh(folder: Path) -> Path:
    """The folder with an empty spool in it, and nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "spool.db").write_bytes(made_spool())
    return folder


def damage(folder: Path, *, records: Sequence[Record]) -> str:
    """What is wrong with the spool in a folder; "" for nothing."""
    noted = [one.name for one in records if one.kind == "A"]
    settling = {one.removeprefix("settling ") for one in noted if one.startswith("settling ")}
    appended = {one for one in noted if not one.startswith("settling ")}
    with closing(sqlite3.connect(folder / "spool.db")) as raw:
        try:
            (found,) = raw.execute("PRAGMA integrity_check").fetchone()
            waiting = [text.decode() for (text,) in raw.execute("SELECT text FROM waiting")]
            counted = dict(raw.execute("SELECT name, events FROM counts"))
        except sqlite3.DatabaseError as error:
            return str(error)
    if found != "ok":
        return str(found)
    if lost := appended - settling - set(waiting):
        return f"{len(lost)} of {len(appended)} recorded events are lost"
    if len(waiting) > len(set(waiting)) or not set(waiting) <= set(ALL):
        return "an event is there twice, or from nowhere"
    return "" if counted["waiting"] == len(waiting) else "the count is not that of the events"


def test_a_gateway_killed_at_a_call_to_the_disk_leaves_what_it_recorded(
    write: Write, folder: Path
) -> None:
    _, records = run(write, folder)
    assert [one.name for one in records if one.kind == "A" and " " not in one.name] == ALL
    for call, kind in (("write", "W"), ("sync", "S")):
        calls = sum(one.kind == kind for one in records)
        assert calls > len(PARTS)
        for nth in range(1, calls + 1, calls // 12 + 1):
            ended, left = run(write, fresh(folder), call=call, nth=nth, fault="kill")
            assert ended == signal.SIGKILL, (call, nth)
            assert damage(folder, records=left) == "", (call, nth)


def damages(folder: Path, *, records: Sequence[Record], cuts: int, lies: bool) -> list[str]:
    """What power cuts damage, at so many places in the records, evenly."""
    random = Random(3)
    before = {"spool.db": made_spool()}
    found = []
    for number in range(1, cuts + 1):
        behind = records[: len(records) * number // cuts]
        left = disk_after(behind, before=before, lies=lies, random=random)
        fresh(folder)
        for name, data in left.items():
            (folder / name).write_bytes(data)
        found.append(damage(folder, records=behind))
    return [one for one in found if one]


def test_a_power_cut_at_any_call_loses_nothing_that_was_recorded(
    write: Write, folder: Path
) -> None:
    _, records = run(write, folder)
    assert damages(folder, records=records, cuts=len(records), lies=False) == []


def test_the_loss_is_found_where_a_disk_only_says_that_it_synced(
    write: Write, folder: Path
) -> None:
    _, records = run(write, folder)
    found = damages(folder, records=records, cuts=20, lies=True)
    assert any("recorded events are lost" in one for one in found)


@pytest.mark.parametrize("call, fault", [("sync", "io"), ("write", "io"), ("write", "full")])
def test_where_a_call_fails_nothing_that_it_should_keep_is_confirmed(
    write: Write, folder: Path, call: str, fault: str
) -> None:
    _, records = run(write, folder)
    calls = sum(one.kind == {"sync": "S", "write": "W"}[call] for one in records)
    for nth in range(1, calls + 1, calls // 10 + 1):
        ended, left = run(write, fresh(folder), call=call, nth=nth, fault=fault)
        assert ended == 0
        assert damage(folder, records=left) == "", nth
        # A fault that passes stops nobody for ever: the spool is checked, and goes on.
        assert sum(one.kind == "A" and " " not in one.name for one in left) >= len(ALL) - 6

"""Commands killed at every named point that they reach; run by the tests as a process of its own.

    python -m tests.journeys.killed_runs FOLDER

A run without interruption gives the states between its transactions. Then a child is forked for the
first and for the last time that each point is reached, and kills itself there; what it leaves must
be one of those states, and running the command again must lead to the last of them.

Invariant: a process that forks has no threads and no open store.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from billing.operations.verify import verify
from billing.store.points import hooked
from billing.store.store import Store, open_store
from tests.billing.operations.made_store import (
    IN_DECEMBER_AT,
    IN_NOVEMBER_AT,
    accept,
    closed,
    ladder_books,
    publish,
)

State = dict[str, list[tuple[object, ...]]]
"""Every row of every table."""

Command = Callable[[Store, Path], object]


def _close(store: Store, folder: Path) -> object:
    return closed(store, "2026-11", now_at=IN_DECEMBER_AT)


def _accept(store: Store, folder: Path) -> object:
    fields = {"version": 2, "effective_from": "2026-11-01T00:00:00Z", "payment_terms_days": 60}
    return accept(store, folder, now_at=IN_NOVEMBER_AT + 1, fields=fields)


def _publish(store: Store, folder: Path) -> object:
    fields = {"number": 3, "effective_from": "2027-01-01T00:00:00Z"}
    return publish(store, {**ladder_books()[0], **fields}, published_at=IN_DECEMBER_AT)


COMMANDS: dict[str, Command] = {"close": _close, "accept": _accept, "publish": _publish}


@dataclass(frozen=True, slots=True, kw_only=True)
class Uninterrupted:
    """What a run without interruption reached, and the state after each of its transactions."""

    reached: tuple[str, ...]
    states: tuple[State, ...]


def main(folder: Path, *, commands: Mapping[str, Command]) -> None:
    """Kill every command at every point; prints the points of each as JSON."""
    found: dict[str, list[str]] = {}
    for name, command in commands.items():
        whole = _uninterrupted(command, folder=folder)
        reached = list(dict.fromkeys(whole.reached))
        for point in reached:
            times = whole.reached.count(point)
            for nth in sorted({1, times}):
                _check_killed(command, folder=folder, point=point, nth=nth, whole=whole)
        found[name] = reached
    print(json.dumps(found))


def _uninterrupted(command: Command, *, folder: Path) -> Uninterrupted:
    file = _copy(folder)
    reached: list[str] = []
    states = [_state(file)]

    def note(point: str) -> None:
        reached.append(point)
        if point == "write.committed":
            states.append(_state(file))

    with open_store(file) as store:
        with hooked(note):
            command(store, folder)
        assert verify(store).holds
    return Uninterrupted(reached=tuple(reached), states=tuple(states))


def _check_killed(
    command: Command, *, folder: Path, point: str, nth: int, whole: Uninterrupted
) -> None:
    where = f"{point}, time {nth}"
    file = _copy(folder)
    child = os.fork()
    if child == 0:
        _run_and_die(command, file=file, folder=folder, point=point, nth=nth)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), where
    assert os.WTERMSIG(status) == signal.SIGKILL, where
    assert _state(file) in whole.states, f"{where}: neither before nor after a transaction"
    with open_store(file) as store:
        command(store, folder)
    assert _state(file) == whole.states[-1], f"{where}: the next run leads elsewhere"
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], where


def _run_and_die(command: Command, *, file: Path, folder: Path, point: str, nth: int) -> None:
    times = 0

    def kill(name: str) -> None:
        nonlocal times
        times += name == point
        if times == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        with open_store(file) as store, hooked(kill):
            command(store, folder)
    finally:
        os._exit(3)


def _copy(folder: Path) -> Path:
    file = folder / "killed.db"
    for beside in ("", "-wal", "-shm"):
        Path(f"{file}{beside}").unlink(missing_ok=True)
    shutil.copyfile(folder / "made.db", file)
    return file


def _state(file: Path) -> State:
    with closing(sqlite3.connect(file)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall())
            for (name,) in tables.fetchall()
        }


if __name__ == "__main__":
    main(Path(sys.argv[1]), commands=COMMANDS)

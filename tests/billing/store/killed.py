"""A script: for each point, a process that is killed there while it fills a copy of a store.

``python killed.py MADE FOLDER`` prints JSON: for each point that was reached, the rows of every
table afterwards.

Invariant: it starts no thread, so that it may fork.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

from sqlalchemy import func, select

from billing.store.points import POINTS, hooked
from billing.store.store import open_store
from billing.store.table_parts import METADATA
from tests.billing.store.made_rows import fill


def rows_after_kill(made: Path, *, folder: Path, point: str) -> dict[str, int] | None:
    """The rows by table after a process was killed at ``point``; None where it never got there."""
    file = folder / f"{point}.db"
    shutil.copyfile(made, file)
    child = os.fork()
    if not child:
        _fill_until(file, point=point)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        return None
    with open_store(file) as store, store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in METADATA.tables.values()
        }


def _fill_until(file: Path, *, point: str) -> None:
    def kill(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        with open_store(file) as store, hooked(kill), store.write() as connection:
            fill(connection)
    finally:
        os._exit(0)


if __name__ == "__main__":
    found = {
        point: rows_after_kill(Path(sys.argv[1]), folder=Path(sys.argv[2]), point=point)
        for point in POINTS
    }
    print(json.dumps({point: rows for point, rows in found.items() if rows is not None}))

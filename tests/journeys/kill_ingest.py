"""Processes that ingest a file and are killed at a point: the child of ``test_ingest_kills``.

Run as ``python -m tests.journeys.kill_ingest FOLDER MOMENT``: for each line ``POINT OCCURRENCE
STORE`` of stdin it ingests FOLDER/usage.jsonl into the store in a process that kills itself at that
occurrence, and prints the signal that ended it.

Invariant: the process that forks has opened no store and started no thread.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pandas  # noqa: F401 (pyarrow imports it at its first array; here once, not in each child)

with suppress(ImportError):  # so, too, the driver of PostgreSQL
    import psycopg  # noqa: F401

from billing.operations.ingest import ingest
from billing.store.points import hooked
from billing.store.store import open_store

BATCH_ROWS = 4


def main(folder: Path, *, now_at: int) -> None:
    """Kill one process for each line of stdin."""
    for line in sys.stdin:
        point, occurrence, store = line.split()
        child = os.fork()
        if child == 0:
            killed_ingest(folder, store=store, now_at=now_at, point=point, at=int(occurrence))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ended = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        print(point, occurrence, ended, flush=True)


def killed_ingest(folder: Path, *, store: str, now_at: int, point: str, at: int) -> None:
    """Ingest until a point is reached for the time ``at``, and end there as a power cut would."""
    reached = 0

    def kill(name: str) -> None:
        nonlocal reached
        reached += name == point
        if reached == at:
            os.kill(os.getpid(), signal.SIGKILL)

    with open_store(store) as opened, hooked(kill):
        ingest(folder / "usage.jsonl", store=opened, now_at=now_at, by="me", batch_rows=BATCH_ROWS)


if __name__ == "__main__":
    main(Path(sys.argv[1]), now_at=int(sys.argv[2]))

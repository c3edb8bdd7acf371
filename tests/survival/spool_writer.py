"""A gateway's spool on a disk that fails: a process that forks one for each order, and says what
ended it.

``python -m tests.survival.spool_writer`` reads a ``Plan`` per line of stdin and appends events to
the file ``spool.db`` of its folder, twice, with the spool closed in between; it notes among the
records of the calls each event for which ``append`` returned, and each before it is settled.
Invariant: the process that forks has opened no spool and started no thread.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from billing.client.spool import Spool, SpoolError
from tests.survival.failing_disk import Plan, note
from tests.survival.forking import fork_for_each_order

PARTS = (range(1, 6), range(6, 10))
"""The numbers of the events, by part; after each part the one that waits longest is settled."""


def write(order: dict[str, Any]) -> None:
    """Append all events, on a disk that fails as the order says."""
    plan = Plan(**order)
    plan.begin()
    for part in PARTS:
        with suppress(SpoolError):
            _append(Path(plan.folder), numbers=part)


def _append(folder: Path, *, numbers: range) -> None:
    spool = Spool(folder / "spool.db", max_events=99)
    for number in numbers:
        with suppress(SpoolError):
            spool.append(b"e%d" % number, recorded_at=number)
            note(f"e{number}")
    (oldest,) = spool.next_batch(through_seq=99, max_events=1, max_bytes=99)
    note(f"settling {oldest.text.decode()}")
    spool.settle(stored=[oldest.seq], refused=[], settled_at=0)
    spool.close()


if __name__ == "__main__":
    fork_for_each_order(write)

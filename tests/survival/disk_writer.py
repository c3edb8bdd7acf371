"""A writer on a disk that fails: a process that forks one for each order, and says what ended it.

``python -m tests.survival.disk_writer`` reads a ``Plan`` per line of stdin, stores five requests in
the file ``store.db`` of its folder, and notes each one that was acknowledged among the records of
the calls. Between the third and the fourth it closes the store and opens it again, which copies
the write-ahead log back.

Invariant: the process that forks has opened no store and started no thread.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy.dialects import sqlite  # noqa: F401

from billing.store.store import StoreError, open_store
from tests.billing.api.made_service import sent
from tests.billing.operations.test_writer import request_of, running
from tests.survival.failing_disk import Plan, note
from tests.survival.forking import fork_for_each_order

BATCHES = (range(1, 4), range(4, 8), range(8, 9), range(9, 15), range(15, 17))
"""The numbers of the events of each request."""


def write(order: dict[str, Any]) -> None:
    """Store all requests, on a disk that fails as the order says."""
    plan = Plan(**order)
    plan.begin()
    _store(Path(plan.folder), batches=BATCHES[:3])
    _store(Path(plan.folder), batches=BATCHES[3:])


def _store(folder: Path, *, batches: tuple[range, ...]) -> None:
    with (
        suppress(StoreError),  # it may be the opening that fails
        open_store(folder / "store.db") as store,
        running(store) as (writer, told),
    ):
        for number, batch in enumerate(batches, start=1):
            writer.submit(request_of(*(sent(n) for n in batch)))
            if told.wait_for(number)[-1].error is None:
                note(" ".join(f"e{n}" for n in batch))


if __name__ == "__main__":
    fork_for_each_order(write)

"""Writers that run under a disk that fails as a plan says, and what was recorded of each.

Invariant: every run begins with an empty record, so that nothing of another run is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from tests.survival.failing_disk import Plan, Record, built, read_records
from tests.survival.forking import giving_orders

Write = Callable[[Plan], int]
"""Runs a writer as a plan says; gives the signal that ended it, or 0."""


@contextmanager
def writing(module: str, *, folder: Path) -> Iterator[Write]:
    """The writer that is the main of a module; the disk's library is built in ``folder``."""
    with giving_orders(module, environment={"LD_PRELOAD": str(built(folder))}) as give:
        yield lambda plan: give(asdict(plan))


def run(write: Write, folder: Path, **plan: object) -> tuple[int, list[Record]]:
    """Run the writer; gives the signal that ended it, and what was recorded."""
    record = folder.with_suffix(".record")
    record.unlink(missing_ok=True)
    ended = write(Plan(folder=str(folder), record=str(record), **plan))  # type: ignore[arg-type]
    return ended, read_records(record.read_bytes())

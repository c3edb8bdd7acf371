"""Applying and reverting a backfill, killed at every point; the child of ``test_backfill_kills``.

    python -m tests.journeys.kill_backfill FOLDER

Invariant: as in ``killed_runs``, which does it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from billing.store.store import Store
from tests.billing.operations.made_backfill import applied, inputs, reverted, staged
from tests.journeys.killed_runs import Command, main

OPEN, DONE = "bf_open", "bf_done"
STATED = [inputs(1), inputs(2), inputs(8), inputs(9)]
"""Of the backfill that is applied: e1 is kept, e2 restored, e8 and e9 come in."""


def _apply(store: Store, folder: Path) -> object:
    return applied(store, len(STATED), name=OPEN)


def _revert(store: Store, folder: Path) -> object:
    return reverted(store, name=DONE)


def _stage(store: Store, folder: Path) -> object:
    return staged(store, [*STATED, inputs(7)], name=OPEN)


COMMANDS: dict[str, Command] = {"apply": _apply, "revert": _revert, "stage": _stage}

if __name__ == "__main__":
    main(Path(sys.argv[1]), commands=COMMANDS)

"""Staging, applying and reverting a backfill, killed at every point that they reach.

Invariant: what is left is the state before or after the transaction, and running it again leads
where an uninterrupted run does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from billing.store.schema import upgrade
from billing.store.store import open_store
from tests.billing.operations.made_backfill import backfilled, inputs, opened, staged
from tests.billing.operations.made_store import deliver
from tests.house.tree import REPOSITORY
from tests.journeys.kill_backfill import DONE, OPEN, STATED


def _make(folder: Path) -> None:
    """e2 and e3 are void by a backfill that was applied and added e4; another one is staged."""
    file = folder / "made.db"
    upgrade(file)
    with open_store(file) as store:
        deliver(store, folder, [inputs(1), inputs(2), inputs(3)])
        backfilled(store, [inputs(1), inputs(4)], name=DONE)
        opened(store, OPEN)
        staged(store, STATED, name=OPEN)


def test_killed_anywhere_a_backfill_is_done_whole_or_not_at_all(tmp_path: Path) -> None:
    _make(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.journeys.kill_backfill", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    reached = {name: set(points) for name, points in json.loads(ran.stdout).items()}
    assert {
        "events.appended",
        "backfill.events_stored",
        "correction.appended",
        "correction.steps_appended",
        "totals.added",
        "delivery.appended",
        "backfill.events_removed",
        "audit.appended",
        "write.committed",
    } <= reached["apply"]
    assert {"correction.appended", "correction.steps_appended", "totals.added"} <= reached["revert"]
    assert "backfill.events_staged" in reached["stage"]

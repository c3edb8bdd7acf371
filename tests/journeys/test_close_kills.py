"""Closing, accepting and publishing, killed at every point that they reach.

Invariant: what is left is the state before or after a transaction, and running it again leads where
an uninterrupted run does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from billing.store.schema import upgrade
from billing.store.store import open_store
from tests.billing.operations.made_store import (
    IN_NOVEMBER_AT,
    accept,
    closed,
    deliver,
    ladder_books,
    publish,
)
from tests.house.tree import REPOSITORY
from tests.journeys.made_files import event

M = 1_000_000
DAY = 86_400 * M


def _make(folder: Path) -> None:
    """A store before the close of November: three accounts, one with late usage of October, and
    stale totals, because a book was published after they were built."""
    file = folder / "made.db"
    upgrade(file)
    first, second = ladder_books()
    with open_store(file) as store:
        publish(store, first)
        for account in "abc":
            accept(store, folder, account=account)
        units = {"input_tokens": 8 * M}
        deliver(store, folder, [event(i, units, account=a) for i, a in enumerate("abc")])
        closed(store)
        late = [
            event(3, {"input_tokens": 3 * M}),
            event(4, {"input_tokens": M}, time="2026-11-03T00:00:00Z"),
            event(5, {"input_tokens": M}, time="2026-11-20T00:00:00Z", account="b"),
        ]
        deliver(store, folder, late, now_at=IN_NOVEMBER_AT + 20 * DAY)
        later = {**second, "effective_from": "2026-11-15T00:00:00Z"}
        later["supersedes"] = {"number": 1, "reason": "cheaper from the 15th"}
        publish(store, later, published_at=IN_NOVEMBER_AT + 21 * DAY)


def test_killed_anywhere_a_command_can_be_run_again(tmp_path: Path) -> None:
    _make(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-m", "tests.journeys.killed_runs", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    reached = json.loads(ran.stdout)
    closing = set(reached["close"])
    assert {name for name in closing if name.startswith("close.")} == {
        "close.started",
        "close.sealed",
        "close.account_started",
        "close.account_rebuilt",
        "close.account_rated",
        "close.account_documented",
        "close.account_done",
        "close.done",
    }
    assert {
        "epoch.sealed",
        "totals.replaced",
        "invoice.numbered",
        "invoice.appended",
        "invoice.lines_appended",
        "ledger.transaction_appended",
        "ledger.entries_appended",
        "audit.appended",
        "write.committed",
    } <= closing
    assert {"agreement.appended", "audit.appended"} <= set(reached["accept"])
    assert {"price_book.appended", "grid.appended"} <= set(reached["publish"])

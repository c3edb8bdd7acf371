"""Backfills beside other writers, and damage to them that ``verify`` finds."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from billing.operations.backfill import show_backfill
from billing.operations.verify import verify
from billing.store.points import hooked
from billing.store.store import Store
from tests.billing.operations.made_backfill import (
    applied,
    backfilled,
    changes,
    counting,
    inputs,
    opened,
    reverted,
    staged,
    tokens,
)
from tests.billing.operations.made_store import deliver, row_counts
from tests.billing.store.made_rows import damage


def test_applied_and_reverted_by_many_at_once_it_is_done_once(store: Store, tmp_path: Path) -> None:
    deliver(store, tmp_path, [inputs(1), inputs(2)])
    opened(store)
    staged(store, [inputs(2), inputs(3)])
    with ThreadPoolExecutor(4) as threads:
        shown = list(threads.map(lambda _: applied(store, 2), range(4)))
        assert {changes(one) for one in shown} == {(1, 1, 0, 1)}
        names = [f"rv_{n}" for n in range(4)]
        shown = list(threads.map(lambda name: reverted(store, reversal=name), names))
    assert len({one.reversal.correction for one in shown if one.reversal}) == 1
    assert row_counts(store)["corrections"] == 2
    assert (counting(store), verify(store).holds) == ({"e1": 10, "e2": 10}, True)


def test_two_backfills_of_one_account_that_meet_are_done_one_after_the_other(
    store: Store, tmp_path: Path
) -> None:
    deliver(store, tmp_path, [inputs(n) for n in range(1, 6)])
    names = [f"bf_{n}" for n in range(4)]
    for n, name in enumerate(names):
        opened(store, name)
        staged(store, [inputs(n + 1), inputs(n + 10)], name=name)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: applied(store, 2, name=name), names))
    # Whichever was the last: what it stated counts, and nothing else.
    assert set(counting(store)) in [{f"e{n + 1}", f"e{n + 10}"} for n in range(4)]
    assert (tokens(store), verify(store).holds) == (20, True)


def test_usage_that_comes_in_meanwhile_waits_and_counts(store: Store, tmp_path: Path) -> None:
    deliver(store, tmp_path, [inputs(1)])
    opened(store)
    staged(store, [inputs(2)])
    begun, reached = threading.Event(), threading.Event()

    def hook(name: str) -> None:
        if name == "backfill.events_stored" and not begun.is_set():
            begun.set()
            reached.wait(0.3)  # the delivery has its ids by then, or waits for them

    with hooked(hook), ThreadPoolExecutor(2) as threads:
        applying = threads.submit(applied, store, 1)
        assert begun.wait(30)
        delivering = threads.submit(deliver, store, tmp_path, [inputs(3), inputs(2)])
        reached.set()
        assert changes(applying.result())[:1] == (1,)
        report = delivering.result()
    assert (report.accepted, report.duplicate) == (1, 1)
    assert set(counting(store)) in [{"e2", "e3"}, {"e2"}]
    assert tokens(store) == 10 * len(counting(store))
    assert verify(store).holds


@pytest.mark.parametrize(
    "statement, sentence",
    [
        ("DELETE FROM corrections WHERE kind = 'backfill'", "is not there"),
        ("DELETE FROM event_corrections WHERE step = 1", "says 1 steps and has 0"),
        ("UPDATE corrections SET account = 'b' WHERE kind = 'backfill'", "and its correction of b"),
    ],
)
def test_a_damaged_backfill_is_found(
    store: Store, tmp_path: Path, statement: str, sentence: str
) -> None:
    deliver(store, tmp_path, [inputs(1)])
    backfilled(store, [inputs(2)])
    damage(store, statement)
    found = verify(store).verified.damage
    assert any(sentence in one.sentence for one in found), found


def test_a_removed_reversal_is_found(store: Store) -> None:
    backfilled(store, [])
    reverted(store)
    damage(store, "DELETE FROM corrections WHERE kind = 'reversal'")
    (found,) = verify(store).verified.damage
    assert found.where == "correction rv_1"
    assert found.sentence == "was made, as the audit says, and is not there"
    with store.read() as connection:
        assert show_backfill(connection, backfill="bf_1").state == "applied"

"""Corrections beside each other and beside ingest, and stopped at any point: none is lost or
doubled.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from billing.operations.correction import Corrected
from billing.operations.grid import AccountCuts
from billing.operations.taken_in import OWNER, keep_totals
from billing.operations.verify import verify
from billing.store.epochs import current_epoch
from billing.store.events import append_events
from billing.store.points import hooked
from billing.store.store import Connection, Store
from tests.billing.operations.made_corrections import (
    NOW_AT,
    amend,
    correct,
    counted,
    take_back,
    take_in,
    usage,
    void,
)
from tests.billing.operations.made_ingest import facts

TABLES = ("events", "event_ids", "usage_totals", "corrections", "event_corrections", "audit")


def at_once(*works: Callable[[], object]) -> None:
    """Do pieces of work in threads that begin together."""
    barrier = threading.Barrier(len(works))
    failed: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            barrier.wait()
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed


def test_of_many_that_void_one_event_at_once_one_does(store: Store) -> None:
    take_in(store, usage("e1", 10), usage("e2", 5))
    found: list[Corrected] = []
    at_once(*[lambda: found.extend(correct(store, void("e1")))] * 4)
    assert sorted(one.verdict for one in found) == ["accepted"] + ["duplicate"] * 3
    assert len({one.correction for one in found}) == 1
    assert counted(store) == {(1, "requests"): 1, (1, "input_tokens"): 5}


def test_of_a_void_and_an_amendment_at_once_one_stands(store: Store) -> None:
    take_in(store, usage("e1", 10))
    found: list[Corrected] = []
    at_once(
        lambda: found.extend(correct(store, void("e1"))),
        lambda: found.extend(correct(store, amend("e1", usage("e2", 3)))),
    )
    assert sorted(one.verdict for one in found) == ["accepted", "conflict"]
    assert verify(store).holds


def test_corrections_and_usage_of_one_account_at_once_lose_nothing(store: Store) -> None:
    take_in(store, *(usage(f"e{n}", 1) for n in range(40)))

    def void_some(first: int) -> None:
        for n in range(first, 40, 4):
            (made,) = correct(store, void(f"e{n}"))
            if n % 8 == 0:
                take_back(store, made.correction)

    def take_some() -> None:
        for n in range(10):
            take_in(store, usage(f"new{n}", 100))

    at_once(lambda: void_some(0), lambda: void_some(1), take_some)
    # Of 40, 20 are voided and 5 of them (0, 8, ..., 32) restored; 10 of 100 came in.
    assert counted(store) == {(1, "requests"): 35, (1, "input_tokens"): 25 + 1_000}
    assert verify(store).holds


def test_an_id_that_is_taken_while_an_amendment_comes_is_a_conflict(
    store: Store, database: str
) -> None:
    take_in(store, usage("e1", 10))
    found: list[Corrected] = []
    amending = threading.Thread(
        target=lambda: found.extend(correct(store, amend("e1", usage("e2", 3))))
    )

    def work(connection: Connection) -> None:
        epoch = current_epoch(connection)
        events = [usage("e2", 7)]
        append_events(connection, owner=OWNER, rows=events, epoch=epoch, received_at=NOW_AT)
        keep_totals(connection, events=events, epoch=epoch, cuts=AccountCuts())
        amending.start()
        while not waits(connection):  # for this id
            time.sleep(0.01)

    store.beside(work)
    amending.join()
    assert [(one.verdict, one.pointer) for one in found] == [("conflict", "/event/id")]
    assert counted(store) == {(1, "requests"): 2, (1, "input_tokens"): 17}


def waits(connection: Connection) -> bool:
    """Whether another transaction waits for one of these databases' locks."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    return bool(connection.exec_driver_sql(query).scalar())


class Stopped(BaseException):
    """The process ends here."""


def test_stopped_at_any_point_a_correction_was_made_whole_or_not_at_all(
    store: Store, store_place: str | Path
) -> None:
    take_in(store, usage("e1", 10), usage("e2", 20))

    def command() -> None:
        made = correct(store, void("e1"), amend("e2", usage("e3", 5)))
        assert made

    def undone() -> object:
        return facts(store_place, tables=TABLES)

    before = undone()
    reached: list[str] = []
    with hooked(reached.append), pytest.raises(Stopped), hooked(stop_at("write.uncommitted")):
        command()
    assert {"correction.appended", "correction.steps_appended", "totals.added"} <= set(reached)
    for point in dict.fromkeys(reached):
        with pytest.raises(Stopped), hooked(stop_at(point)):
            command()
        assert undone() == before, point
    command()
    assert counted(store) == {(1, "requests"): 1, (1, "input_tokens"): 5}


def stop_at(point: str) -> Callable[[str], None]:
    """A hook that ends the work at a point."""

    def hook(reached: str) -> None:
        if reached == point:
            raise Stopped(point)

    return hook

"""Pages of corrections over all accounts miss none, whichever of two is committed first."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from billing.operations.corrected_events import correction_page
from billing.operations.correction import correct_events
from billing.operations.taken_in import OWNER
from billing.store.store import Connection, Store
from tests.billing.operations.made_backfill import applied, opened, reverted
from tests.billing.operations.made_corrections import (
    NOW_AT,
    amend,
    correct,
    state,
    take_back,
    take_in,
    usage,
    void,
)


def void_one(store: Store) -> Callable[[], str]:
    """Makes ready to void the event of b; done, it gives the name of the correction."""
    return lambda: correct(store, void("b1"))[0].correction


def amend_one(store: Store) -> Callable[[], str]:
    """As ``void_one``, by an event in its place."""
    return lambda: correct(store, amend("b1", usage("b2", account="b")))[0].correction


def take_one_back(store: Store) -> Callable[[], str]:
    """As ``void_one``, by a reversal of one before."""
    (made,) = correct(store, void("b1"))
    return lambda: take_back(store, made.correction).reversal.correction


def state_anew(store: Store) -> Callable[[], str]:
    """As ``void_one``, by a backfill without events."""
    opened(store, "bf_1", account="b")
    return lambda: applied(store, 0).backfill.backfill


def take_backfill_back(store: Store) -> Callable[[], str]:
    """As ``void_one``, by the reversal of a backfill."""
    state(store, "bf_1", account="b")

    def revert() -> str:
        reversal = reverted(store).reversal
        assert reversal is not None
        return reversal.correction

    return revert


def names(store: Store, *, limit: int = 100) -> list[str]:
    """All corrections, in pages of so many."""
    page = correction_page(store, account=None, limit=limit, cursor=None)
    found = [one.correction for one in page.rows]
    while page.cursor is not None:
        page = correction_page(store, account=None, limit=limit, cursor=page.cursor)
        found += [one.correction for one in page.rows]
    return found


@pytest.mark.parametrize(
    "make_ready", [void_one, amend_one, take_one_back, state_anew, take_backfill_back]
)
def test_a_correction_that_is_made_beside_one_of_another_account_is_not_seen_before_it(
    store: Store, make_ready: Callable[[Store], Callable[[], str]]
) -> None:
    take_in(store, usage("a1", account="a"), usage("b1", account="b"))
    make_second = make_ready(store)
    before = names(store)
    made: list[str] = []
    with ThreadPoolExecutor(1) as pool:

        def both(connection: Connection) -> Future[str]:
            (first,) = correct_events(
                connection, owner=OWNER, wanted=[void("a1")], by="dana", now_at=NOW_AT
            )
            made.append(first.correction)
            second = pool.submit(make_second)
            while not second.done() and not waits(connection):
                time.sleep(0.01)
            # A reader who saw the second now would go on after it, and never see the first.
            assert names(store) == before
            return second

        made.append(store.beside(both).result())
    assert names(store) == names(store, limit=1) == before + made


def waits(connection: Connection) -> bool:
    """Whether another waits for a lock: on SQLite whoever writes does."""
    if connection.dialect.name == "sqlite":
        return True
    query = """
        SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
        WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted
    """
    return bool(connection.exec_driver_sql(query).scalar())

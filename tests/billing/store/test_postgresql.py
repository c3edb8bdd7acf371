"""What only PostgreSQL does: writers beside each other, their locks, and work done again."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from billing.store import postgresql
from billing.store.epochs import current_epoch, seal
from billing.store.events import append_events
from billing.store.grid import share_account_grids
from billing.store.invoices import append_invoice, take_number
from billing.store.locks import hold_account, lock_name
from billing.store.store import (
    TRIES,
    Connection,
    Store,
    StoreBusyError,
    StoreConflictError,
    open_store,
)
from billing.store.usage_totals import add_totals, read_all_totals
from billing.store.whole import count_all_events
from pricing_rules.usage.totals import UsageTotal
from pricing_rules.usage.totals import add_totals as sum_totals
from tests.billing.store.made_rows import event, fill, invoice, kinds, total

DIE = "DO $$ BEGIN RAISE EXCEPTION 'made' USING ERRCODE = '{state}'; END $$"


def events_in(store: Store) -> int:
    """How many events are stored."""
    with store.read() as connection:
        return count_all_events(connection)


def append(connection: Connection, *names: str) -> list[str]:
    """The verdicts of events of these ids."""
    rows = [event(name) for name in names]
    epoch = current_epoch(connection)
    return kinds(append_events(connection, owner="us", rows=rows, epoch=epoch, received_at=1))


def test_writers_of_one_kind_are_in_their_transactions_at_the_same_time(
    store: Store, database: str
) -> None:
    both_inside = threading.Barrier(2, timeout=10)

    def take_in(name: str) -> list[str]:
        def work(connection: Connection) -> list[str]:
            verdicts = append(connection, name)
            both_inside.wait()  # else broken: each waits for the other to be inside
            return verdicts

        return store.beside(work)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(take_in, ["e1", "e2"])) == [["accepted"], ["accepted"]]
    assert events_in(store) == 2


@pytest.mark.parametrize("commits", [True, False])
def test_who_comes_second_with_an_id_waits_for_the_first_to_end(
    store: Store, database: str, commits: bool
) -> None:
    second: list[str] = []
    other = threading.Thread(
        target=lambda: second.extend(store.beside(lambda connection: append(connection, "e1")))
    )

    def first(connection: Connection) -> None:
        append(connection, "e1")
        other.start()
        other.join(timeout=0.3)
        assert other.is_alive()
        if not commits:
            raise KeyboardInterrupt

    if commits:
        store.beside(first)
    else:
        with pytest.raises(KeyboardInterrupt):
            store.beside(first)
    other.join()
    assert second == ["duplicate" if commits else "accepted"]
    assert events_in(store) == 1


def test_a_seal_waits_for_events_that_enter_its_epoch_and_they_for_it(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "BUSY_TIMEOUT_S", 0.2)

    def seals() -> None:
        with open_store(database) as other, other.write() as connection:
            seal(connection, sealed_at=1)

    def refused(connection: Connection) -> None:
        append(connection, "e1")
        with pytest.raises(StoreBusyError, match="in use by another process"):
            seals()

    store.beside(refused)
    with store.write() as connection:
        seal(connection, sealed_at=1)
        with open_store(database) as other, pytest.raises(StoreBusyError, match="in use"):
            other.beside(lambda own: append(own, "e2"))
    assert events_in(store) == 1


def test_totals_that_two_add_to_at_once_are_both_there(store: Store, database: str) -> None:
    inside = threading.Barrier(2, timeout=10)
    cells = [total(account=account) for account in ("b", "a", "c")]

    def add(mine: list[object]) -> None:
        def work(connection: Connection) -> None:
            inside.wait()
            add_totals(connection, totals=mine)  # type: ignore[arg-type]

        store.beside(work)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, [cells, cells[::-1]]))
    with store.read() as connection:
        for account in "abc":
            assert read_all_totals(connection, account=account) == (
                total(account=account, events=2, leaves={"input_tokens": 20}),
            )


def test_many_who_add_to_the_same_cells_lose_nothing_and_never_lock_each_other_out(
    store: Store, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.store.store.TRIES", 1)  # each comes through at once
    units = ("cache_read_tokens", "input_tokens", "output_tokens")

    def parts(writer: int) -> list[list[UsageTotal]]:
        """Some of forty cells each time: new ones, and ones that others add to meanwhile."""
        chosen = random.Random(writer)
        cells = [total(account=f"a{n % 5}", segment_start_at=n // 5, leaves={}) for n in range(40)]
        return [
            [
                replace(cell, leaves={chosen.choice(units): chosen.randint(-3, 3)})
                for cell in chosen.sample(cells, k=10)
            ]
            for _ in range(25)
        ]

    together = threading.Barrier(4, timeout=10)

    def write(writer: int) -> None:
        together.wait()
        for part in parts(writer):
            store.beside(partial(add_totals, totals=part))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    with store.read() as connection:
        found = [one for n in range(5) for one in read_all_totals(connection, account=f"a{n}")]
    added = [one for writer in range(4) for part in parts(writer) for one in part]
    assert len(added) == 4 * 25 * 10
    assert tuple(found) == sum_totals(added)


def test_who_rebuilds_an_account_waits_for_its_usage(store: Store, database: str) -> None:
    with store.write() as connection:
        fill(connection)
    done: list[str] = []

    def rebuild(connection: Connection) -> None:
        hold_account(connection, account="acme")
        done.append("rebuilt")

    other = threading.Thread(target=lambda: store.beside(rebuild))

    def take_in(connection: Connection) -> None:
        assert set(share_account_grids(connection, accounts=["acme"])) == {"acme"}
        other.start()
        other.join(timeout=0.3)
        done.append("taken in")

    store.beside(take_in)
    other.join()
    assert done == ["taken in", "rebuilt"]


def test_numbers_that_are_taken_at_once_have_no_gap(store: Store, database: str) -> None:
    def number(n: int) -> int:
        def work(connection: Connection) -> int:
            taken = take_number(connection, issuer="us", series="2026")
            if n % 3 == 0:
                raise LookupError
            row = invoice(number=taken, account=f"a{n}")
            append_invoice(connection, invoice=row, lines=[])
            return taken

        try:
            return store.beside(work)
        except LookupError:  # a number that was taken in vain
            return 0

    with ThreadPoolExecutor(4) as pool:
        taken = sorted(pool.map(number, range(12)))
    assert taken == [0, 0, 0, 0, *range(1, 9)]


def test_a_deadlock_ends_one_transaction_which_is_done_again(store: Store, database: str) -> None:
    inside = threading.Barrier(2)
    tried: list[str] = []

    def cross(names: tuple[str, str]) -> str:
        def work(connection: Connection) -> str:
            tried.append(names[0])
            lock_name(connection, name=names[0])
            if len(tried) <= 2:
                inside.wait(timeout=10)
            lock_name(connection, name=names[1])
            return names[0]

        return store.beside(work)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(cross, [("a", "b"), ("b", "a")])) == ["a", "b"]
    assert len(tried) == 3  # two, of which one again


@pytest.mark.parametrize("fails", [1, TRIES - 1, TRIES])
def test_work_is_done_again_whole_and_a_bounded_number_of_times(
    store: Store, database: str, fails: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.store.store._FIRST_PAUSE_S", 0)
    tries: list[list[str]] = []

    def work(connection: Connection) -> None:
        tries.append(append(connection, "e1"))
        if len(tries) <= fails:
            connection.exec_driver_sql(DIE.format(state="40001"))

    if fails < TRIES:
        store.beside(work)
        assert tries == [["accepted"]] * (fails + 1)  # nothing was left of those before
        assert events_in(store) == 1
    else:
        with pytest.raises(StoreConflictError, match="others write the same at the same time"):
            store.beside(work)
        assert len(tries) == TRIES
        assert events_in(store) == 0

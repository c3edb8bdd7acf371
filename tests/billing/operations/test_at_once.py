"""Processes at once on one PostgreSQL store, and the same commands on both kinds of database."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from billing.operations.grid import rebuild
from billing.operations.ingest import IngestReport
from billing.operations.verify import verify
from billing.store.points import hooked
from billing.store.store import Store, open_store
from billing.store.usage_totals import accounts_with_totals, read_all_totals
from tests.billing.operations.made_ingest import usage_facts
from tests.billing.operations.made_store import (
    IN_DECEMBER_AT,
    IN_NOVEMBER_AT,
    PLAIN,
    accept,
    closed,
    deliver,
    deliver_ladder,
    deliver_late,
    invoices,
    publish,
)
from tests.house.tree import REPOSITORY
from tests.journeys.made_files import event, write_events

M = 1_000_000
ACCOUNTS = [f"a{n}" for n in range(6)]
EVENTS = 300

# Forked from one process that has imported all of it, and has no thread and no open store.
CHILDREN = """
import os
import sys
import psycopg
from pathlib import Path
from billing.operations.close import close
from billing.operations.grid import rebuild
from billing.operations.ingest import ingest
from billing.store.store import open_store

def work(store, *, command, arguments):
    now_at = int(sys.argv[2])
    for n, argument in enumerate(arguments):
        if command == "ingest":
            ingest(Path(argument), store=store, now_at=now_at, by="gateway", batch_rows=20)
        elif command == "close":
            close(store, month=argument, by="dana", now_at=now_at + n)
        else:
            rebuild(store, accounts=[argument], by="dana", now_at=now_at)

children = []
for line in sys.stdin:
    command, *arguments = line.split()
    child = os.fork()
    if not child:
        with open_store(sys.argv[1]) as store:
            work(store, command=command, arguments=arguments)
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitpid(child, 0)[1] for child in children) != 0)
"""


def run_all(place: str, *commands: tuple[str, ...]) -> None:
    """Run commands at once on a store, each in a process of its own, to their ends."""
    ran = subprocess.run(
        [sys.executable, "-c", CHILDREN, place, str(IN_NOVEMBER_AT)],
        input="\n".join(" ".join(one) for one in commands),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def usage_files(folder: Path) -> list[str]:
    """Three files of which each has two thirds of all events."""
    events = [
        event(n, {"input_tokens": M}, account=ACCOUNTS[n % len(ACCOUNTS)]) for n in range(EVENTS)
    ]
    paths = []
    for part in range(3):
        own = folder / f"part-{part}"
        own.mkdir()
        some = [one for n, one in enumerate(events) if n % 3 != part]
        paths.append(str(write_events(own, some, form="jsonl")))
    return paths


def test_processes_that_ingest_and_close_at_once_lose_and_double_nothing(
    store: Store, database: str, tmp_path: Path
) -> None:
    publish(store, PLAIN)
    for account in ACCOUNTS:
        accept(store, tmp_path, account=account)
    one, two, three = usage_files(tmp_path)
    # Overlapping files, one file twice at once, and two closes that seal meanwhile.
    run_all(
        database,
        ("ingest", one, two),
        ("ingest", two, three),
        ("close", *["2026-10"] * 4),
        ("close", *["2026-10"] * 4),
    )
    closed(store, now_at=IN_NOVEMBER_AT + 10)
    assert verify(store).holds
    # 300 events of 1M at 2 per million, each once: 600.00 over all invoices.
    billed = invoices(store)
    assert sum(one.total_minor for one in billed) == EVENTS * 200
    numbers = sorted(str(one.number) for one in billed)
    assert numbers == [f"INV-2026-{n:06d}" for n in range(1, len(billed) + 1)]


def test_totals_are_rebuilt_while_usage_comes_in(
    store: Store, database: str, tmp_path: Path
) -> None:
    one, two, three = usage_files(tmp_path)
    deliver(store, tmp_path, [event(999, {"input_tokens": M}, account=a) for a in ACCOUNTS[:1]])
    run_all(database, ("ingest", one, three), ("ingest", two), ("rebuild", *["a0"] * 20))
    with store.read() as connection:
        kept = {
            account: read_all_totals(connection, account=account)
            for account in accounts_with_totals(connection)
        }
    assert sum(t.events for totals in kept.values() for t in totals) == EVENTS + 1
    rebuild(store, accounts=ACCOUNTS, by="dana", now_at=IN_NOVEMBER_AT)
    with store.read() as connection:
        for account in ACCOUNTS:
            assert read_all_totals(connection, account=account) == kept[account]


def test_a_close_of_an_account_waits_for_another_and_finds_its_invoice(
    store: Store, database: str, tmp_path: Path
) -> None:
    publish(store, PLAIN)
    accept(store, tmp_path)
    deliver(store, tmp_path, [event(1, {"input_tokens": M})])
    states: list[str] = []
    second = threading.Thread(target=lambda: states.append(closed(store).periods[0].state))
    both_sealed, first_rated = threading.Barrier(2, timeout=10), threading.Event()

    def order(name: str) -> None:
        own = threading.current_thread() is second
        if name == "close.sealed":
            both_sealed.wait()
            if own:
                first_rated.wait(timeout=10)
        if name == "close.account_rated" and not own:
            first_rated.set()
            second.join(timeout=0.3)
            assert second.is_alive()

    with hooked(order):
        second.start()
        (first,) = closed(store).periods
        second.join()
    assert (first.state, states) == ("invoiced", ["invoiced before"])
    assert [one.total_minor for one in invoices(store)] == [200]


def test_a_batch_that_comes_twice_at_once_is_delivered_once(
    store: Store, database: str, tmp_path: Path
) -> None:
    events = [event(1, {"input_tokens": M})]
    reports: list[IngestReport] = []
    second = threading.Thread(target=lambda: reports.append(deliver(store, tmp_path, events)))

    def start(name: str) -> None:
        if name == "events.appended" and threading.current_thread() is not second:
            second.start()
            second.join(timeout=0.3)
            assert second.is_alive()

    with hooked(start):
        reports.append(deliver(store, tmp_path, events))
        second.join()
    assert sorted(one.already_delivered for one in reports) == [False, True]
    assert verify(store).holds


def test_the_same_commands_give_the_same_on_both_kinds_of_database(
    database: str, made_file: Path, tmp_path: Path
) -> None:
    def run(place: str | Path) -> tuple[object, ...]:
        with open_store(place) as store:
            deliver_ladder(store, tmp_path)
            first = closed(store)
            deliver_late(store, tmp_path, event(4, {"input_tokens": M}, account="other"))
            second = closed(store, "2026-11", now_at=IN_DECEMBER_AT)
            equations = [one.text() for one in verify(store).verified.equations]
            return first, second, invoices(store), equations

    file = tmp_path / "store.db"
    file.write_bytes(made_file.read_bytes())
    # Reports, documents with their digests, and equations; then the rows themselves.
    assert run(file) == run(database)
    assert usage_facts(file) == usage_facts(database)

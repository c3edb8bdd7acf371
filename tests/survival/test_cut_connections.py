"""Connections that are cut, and a database that goes away under load: what was acknowledged is
there once, what was not is told by sending it again, and nobody has to start the service anew
(faults 32 to 36, 39 and 114).

Invariant: each fault is counted, and a test in which it did not come fails.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url

from billing.store.store import StoreError, open_store
from tests.billing.api.made_service import lines, sent
from tests.billing.store.postgresql_server import Server
from tests.billing.store.postgresql_server import running as running_server
from tests.survival import judge
from tests.survival.forked_services import Order
from tests.survival.killing import Forking, Service, made_load, undisturbed
from tests.survival.load import Load
from tests.survival.proxy import Cut, Passing, before_socket, between_callers
from tests.survival.test_service_faults import Caller, running, usage

DISTURBANCES = 12


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that a test may stop."""
    with running_server() as started:
        yield started


@pytest.fixture
def own_database(own_server: Server) -> Iterator[str]:
    """The URL of a store on the server that a test may stop."""
    with own_server.database(template="made") as url:
        yield url


def judged(forks: Forking, *, place: str, load: Load) -> None:
    """All that was sent is stored once, and what was not answered is when it is sent again."""
    with open_store(place) as store:
        judge.settle(store, load=load)
    undisturbed(forks, place=place, load=load)
    assert load.findings == []


async def ready(service: Service) -> None:
    """Wait until the service says that it is."""
    while (await asyncio.to_thread(service.ask, "GET", "/readyz"))[0] != 200:
        await asyncio.sleep(0.02)


def test_a_client_that_loses_its_connection_sends_again_and_nothing_counts_twice(
    forks: Forking, store_place: str | Path
) -> None:
    place = str(store_place)
    load = made_load(place, seed=4)
    service = forks.start(Order(store=place))
    drawn = random.Random(4)

    def look(passing: Passing, part: bytes) -> bytes:
        if drawn.random() < 0.1:
            raise Cut(part[: drawn.randrange(len(part))])
        return part

    async def sent() -> int:
        async with between_callers(service.port, look=look) as (port, proxy):
            await load.run(port, until=lambda: proxy.cuts >= DISTURBANCES)
            return proxy.cuts

    assert asyncio.run(sent()) >= DISTURBANCES
    assert len(load.unanswered) >= DISTURBANCES
    assert service.stop() == 0
    judged(forks, place=place, load=load)


def test_a_database_whose_answer_to_a_commit_is_lost_is_asked_again(
    forks: Forking, server: Server, database: str, tmp_path: Path
) -> None:
    # The service commits through a proxy that lets COMMIT through and cuts its answer.
    load = made_load(database, seed=5)
    passed = make_url(database).update_query_dict({"host": str(tmp_path)})
    drawn = random.Random(5)

    def look(passing: Passing, part: bytes) -> bytes:
        passing.wrote |= b"deliveries" in passing.asked
        if passing.wrote and b"COMMIT\x00" in passing.asked:
            passing.wrote = False
            if drawn.random() < 0.3:
                raise Cut
        return part

    async def sent() -> int:
        path, at = f"{server.folder}/.s.PGSQL.5432", f"{tmp_path}/.s.PGSQL.5432"
        async with before_socket(path, at=at, look=look) as proxy:
            order = Order(store=passed.render_as_string(hide_password=False))
            service = await asyncio.to_thread(forks.start, order)
            await load.run(service.port, until=lambda: proxy.cuts >= DISTURBANCES)
            await asyncio.to_thread(service.stop)
            return proxy.cuts

    assert asyncio.run(sent()) >= DISTURBANCES
    assert load.refused
    with open_store(database) as store:
        judge.settle(store, load=load)
    # Only answers were lost: what they were about is stored, and sent again it is a duplicate.
    assert load.findings == []
    assert len(load.recorded) >= DISTURBANCES
    assert not load.pending
    judged(forks, place=database, load=load)


@pytest.mark.parametrize("how", ["end a backend", "kill a backend", "stop the server"])
def test_a_database_that_goes_away_under_load_is_found_again(
    forks: Forking, own_server: Server, own_database: str, how: str
) -> None:
    load = made_load(own_database, seed=6)
    service = forks.start(Order(store=own_database))
    name = make_url(own_database).database
    of_service = (
        "FROM pg_stat_activity WHERE application_name = 'tokenworks' "
        f"AND datname = '{name}' AND pid <> pg_backend_pid()"
    )
    disturbed = 0

    async def disturb() -> None:
        nonlocal disturbed
        if how == "stop the server":
            await asyncio.to_thread(own_server.stop)  # at once, as a power cut would
            await asyncio.sleep(0.1)
            own_server.start()  # in this thread: the server ends with the one that started it
            disturbed += 1
        elif how == "end a backend":
            disturbed += len(own_server.run(f"SELECT pg_terminate_backend(pid) {of_service}"))
        else:
            for (pid,) in own_server.run(f"SELECT pid {of_service}")[:1]:
                os.kill(pid, signal.SIGKILL)
                disturbed += 1

    async def sent() -> None:
        enough = asyncio.Event()
        sending = asyncio.create_task(load.run(service.port, until=enough.is_set))
        # Until it came at least once amid a request: of idle backends nobody misses one.
        while disturbed < 2 or not load.refused:
            before = load.answers
            while load.answers < before + 20:
                await asyncio.sleep(0.002)
            await disturb()
            await ready(service)
        enough.set()
        await sending

    asyncio.run(sent())
    assert service.stop() == 0
    judged(forks, place=own_database, load=load)


def test_a_commit_whose_backend_is_ended_meanwhile_is_said_and_sent_again_a_duplicate(
    forks: Forking, own_server: Server, own_database: str
) -> None:
    # A commit that waits for a standby is on disk here, and its client is not told.
    name = make_url(own_database).database
    end_it = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND wait_event = 'SyncRep'"
    )
    caller = Caller(own_database)
    number = 1
    with running(forks, Order(store=own_database)) as service, ThreadPoolExecutor(1) as pool:
        own_server.run(
            "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"
        )
        try:
            posting = pool.submit(caller.post, service, number)
            while not own_server.run(end_it):
                if posting.done():  # the server had not read its settings by then
                    assert posting.result() == 200
                    number += 1
                    posting = pool.submit(caller.post, service, number)
            assert posting.result() == 503
        finally:
            own_server.run(
                "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()"
            )
        _, _, again = service.ask("POST", "/v1/events", key=caller.key, body=lines([sent(number)]))
        assert [one["verdict"] for one in again["events"]] == ["duplicate"]
        assert caller.post(service, number) == 200
    caller.check(own_database, stored={f"e{n}" for n in range(1, number + 1)})


def test_a_database_that_became_a_standby_is_refused(
    forks: Forking, own_server: Server, own_database: str
) -> None:
    caller = Caller(own_database)
    standby = own_server.folder / "data" / "standby.signal"
    with running(forks, Order(store=own_database)) as service:
        assert caller.post(service, 1) == 200
        own_server.stop()
        standby.touch()
        own_server.start()
        try:
            assert own_server.run("SELECT pg_is_in_recovery()") == [(True,)]
            assert caller.post(service, 1) == 503  # nor is it told from there what is stored
            assert usage(service, caller)[0] == 503
            assert service.ask("GET", "/readyz")[0] == 503
            with pytest.raises(StoreError, match="is a standby, which lags behind"):
                open_store(own_database)
        finally:
            own_server.stop()
            standby.unlink()
            own_server.start()
        assert caller.post(service, 2) == 200
        assert usage(service, caller)[0] == 200
    caller.check(own_database, stored={"e1", "e2"})


def test_of_two_that_wait_for_each_other_the_service_begins_anew(
    forks: Forking, server: Server, database: str
) -> None:
    import psycopg

    name = make_url(database).database or ""
    server.run(f"ALTER DATABASE {name} SET deadlock_timeout = '50ms'")
    load = made_load(database, seed=7)
    undisturbed(forks, place=database, load=load)
    service = forks.start(Order(store=database))
    enough = threading.Event()
    url = f"host={server.folder} user=tokenworks dbname={name}"

    def lock_the_other_way() -> None:
        while not enough.is_set():
            with psycopg.connect(url) as connection:
                # Accounts are locked in their order by us; the last one first, then, is wrong.
                connection.execute("SET deadlock_timeout = '1min'")
                names = connection.execute("SELECT account FROM account_grids ORDER BY 1 DESC")
                for (account,) in names.fetchall():
                    connection.execute(
                        "SELECT 1 FROM account_grids WHERE account = %s FOR UPDATE", [account]
                    )

    def deadlocks() -> int:
        query = f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{name}'"
        found: int = server.run(query)[0][0]
        return found

    other = threading.Thread(target=lock_the_other_way)

    async def sent() -> None:
        sending = asyncio.create_task(load.run(service.port, until=enough.is_set))
        other.start()
        while not await asyncio.to_thread(deadlocks):
            await asyncio.sleep(0.05)
        enough.set()
        await sending

    try:
        asyncio.run(sent())
    finally:
        enough.set()
        other.join()
    assert service.stop() == 0
    judged(forks, place=database, load=load)

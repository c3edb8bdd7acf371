"""What a process may have of the system or of the database is used up: requests are refused or
answered with 503 in bounded time, nothing that was acknowledged is lost, and it goes on by itself
when there is room again (faults 17, 30, 38 and 85).

Invariant: the fault is one of the system, not of a function that was replaced.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from billing.operations.verify import verify
from billing.settings import Settings
from billing.store import postgresql, sqlite
from billing.store.audit import append_audit
from billing.store.store import Store, StoreBusyError, open_store
from tests.billing.api.made_service import lines, sent, served, verdicts
from tests.survival.forked_services import Order
from tests.survival.killing import LINES, Forking, Service, forking, made_load
from tests.survival.test_cut_connections import judged, ready
from tests.survival.test_service_faults import OCTOBER, Caller, running, usage

FILES = 64
"""What a service may have open; it needs about 20 of them."""


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    """What starts services beside those of ``forks``."""
    with forking(tmp_path_factory.mktemp("others")) as process:
        yield process


def processor_s(pid: int) -> float:
    """The time of a processor that a process had so far."""
    path = Path(f"/proc/{pid}/stat")
    if not path.exists():
        pytest.skip("this system does not tell the time of a process")
    fields = path.read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def filled(service: Service) -> Iterator[None]:
    """Idle connections, as many as it takes and some more, of which it refuses those."""
    with ExitStack() as idle:
        for _ in range(2 * FILES):
            connection = socket.create_connection(("127.0.0.1", service.port), timeout=30)
            idle.enter_context(connection)
        # The last one was refused: it is closed.
        with suppress(ConnectionResetError):
            assert connection.recv(1) == b""
        yield


def test_a_service_without_a_file_left_refuses_and_goes_on_when_there_is_one(
    forks: Forking, store_place: str | Path
) -> None:
    caller = Caller(store_place)
    headers = {"authorization": f"Bearer {caller.key}", **LINES}
    with running(forks, Order(store=str(store_place), files=FILES)) as service:
        kept = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        kept.connect()
        with closing(kept), filled(service):
            before_s = processor_s(service.pid)
            time.sleep(1.0)
            assert processor_s(service.pid) - before_s < 0.5  # it waits, and does not spin
            with pytest.raises((OSError, http.client.RemoteDisconnected)):
                caller.post(service, 1)
            # Who is connected is answered, with what it can without another file.
            for number in range(2, 12):
                path = f"/v1/accounts/a/usage{OCTOBER}" if number % 2 else "/v1/events"
                body = None if number % 2 else lines([sent(number)])
                kept.request("GET" if number % 2 else "POST", path, body=body, headers=headers)
                answer = kept.getresponse()
                document = json.loads(answer.read())
                if answer.status == 503:
                    assert answer.headers["retry-after"] == "1"
                    assert document["type"] == "urn:tokenworks:problem:unavailable"
                else:
                    assert answer.status == 200
                    caller.acknowledged |= {one["id"] for one in document.get("events", [])}
        while not taken(service):
            time.sleep(0.02)
        for number in range(1, 12):
            assert caller.post(service, number) == 200
        assert usage(service, caller)[0] == 200
    caller.check(store_place, stored={f"e{number}" for number in range(1, 12)})


def taken(service: Service) -> bool:
    """Whether it takes a connection and is ready."""
    try:
        return service.ask("GET", "/readyz")[0] == 200
    except (OSError, http.client.RemoteDisconnected):
        return False


@contextmanager
def all_in_use(store: Store) -> Iterator[None]:
    """Long readers on all connections that a process may have to its store."""
    with ExitStack() as readers:
        with suppress(StoreBusyError):
            while True:
                readers.enter_context(store.read())
        yield


def test_a_service_without_a_free_connection_to_its_store_says_so_and_goes_on(
    store_place: str | Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (sqlite, postgresql):
        monkeypatch.setattr(room, "BUSY_TIMEOUT_S", 0.3)
    with (
        open_store(store_place) as store,
        served(store, settings=Settings(key_fresh_s=600)) as made,
    ):
        made.file = Path(str(store_place))
        assert verdicts(made.post(sent(1))) == ["accepted"]
        with all_in_use(store), ThreadPoolExecutor(8) as pool:
            posting = [pool.submit(made.post, sent(number)) for number in range(2, 10)]
            answers = [
                *(one.result() for one in posting),
                made.usage(),
                made.get("/readyz"),
                made.command("/v1/keys", {"scope": "ingest", "name": "n"}),
            ]
            assert made.get("/healthz").status_code == 200
        for answer in answers:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["type"] == "urn:tokenworks:problem:unavailable"
        assert made.get("/readyz").status_code == 200
        again = [verdicts(made.post(sent(number)))[0] for number in range(1, 10)]
        assert again == ["duplicate"] + ["accepted"] * 8
        assert verify(store).holds


def test_a_log_that_a_long_reader_let_grow_becomes_short_again(
    store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As every store has it, with a hundredth of the pages: 160 of 4 KiB are 640 KiB.
    limit = 160 * 4_096
    settings = dict(one.split("=") for one in sqlite._PRAGMAS)
    assert int(settings["wal_autocheckpoint"]) * 4_096 == int(settings["journal_size_limit"])
    settings |= {"wal_autocheckpoint": "160", "journal_size_limit": str(limit)}
    small = tuple(f"{name}={value}" for name, value in settings.items())
    monkeypatch.setattr(sqlite, "_PRAGMAS", small)
    log = store_path.with_name(f"{store_path.name}-wal")

    def write(store: Store) -> None:
        detail = {"text": "a" * 4_000}
        with store.write() as connection:
            for at in range(100):
                append_audit(
                    connection, command="c", subject="s", by="me", detail=detail, recorded_at=at
                )

    with open_store(store_path) as store:
        with store.read():
            for _ in range(5):
                write(store)
            assert log.stat().st_size > 2 * limit  # nothing that came after the reader is copied
        write(store)  # its commit copies all of it back, and the next one begins at the start
        write(store)
        assert log.stat().st_size <= limit


def test_two_services_on_one_store_write_in_turn(
    forks: Forking, others: Forking, store_place: str | Path
) -> None:
    place = str(store_place)
    load = made_load(place, seed=8)
    services = [each.start(Order(store=place)) for each in (forks, others)]

    async def both() -> None:
        for service in services:
            await ready(service)
        async with asyncio.TaskGroup() as group:
            for service in services:
                group.create_task(load.run(service.port, until=lambda: load.answers >= 150))

    asyncio.run(both())
    assert [service.stop() for service in services] == [0, 0]
    assert all(service.reached["delivery.appended"] for service in services)
    judged(forks, place=place, load=load)

"""Several workers on one PostgreSQL store: one is killed, all are stopped, their parent is killed.

Invariant: what one worker suffers is nothing to the others, and no worker outlives its parent
(I40, I41; faults 15, 16, 32).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from billing.store.store import open_store
from tests.billing.api.made_service import lines, sent
from tests.billing.store.postgresql_server import Server
from tests.journeys.test_serve import Running, started
from tests.survival import judge
from tests.survival.killing import Forking, made_load, undisturbed

LIMITS = {"TOKENWORKS_REQUESTS_PER_S": "1000000"}

WAIT_S = 180.0


@contextmanager
def serving(store: str, *, folder: Path, **environment: str) -> Iterator[Running]:
    """Two workers on a store, both of which serve."""
    options = ("--store", store, "--workers", "2")
    with started(*options, log=folder / "log", environment={**LIMITS, **environment}) as running:
        until(lambda: len(workers(running)) == 2)
        yield running


def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds."""
    asyncio.run(holds(condition))


async def holds(condition: Callable[[], bool]) -> None:
    """Wait until something holds, while other tasks go on."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


def said(running: Running) -> list[dict[str, Any]]:
    """The lines of the log."""
    return [json.loads(line) for line in running.log.read_text().splitlines()]


def workers(running: Running) -> dict[int, int]:
    """Number -> process of each worker that came to serve last."""
    return {
        one["number"]: one["worker"] for one in said(running) if one["event"] == "worker_serves"
    }


def alive(pid: int) -> bool:
    """Whether a process is there and not yet dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def stopped(running: Running) -> int:
    """Tell the parent to stop; its exit code."""
    running.process.send_signal(signal.SIGTERM)
    return running.process.wait(60)


@contextmanager
def halting(pid: int) -> Iterator[None]:
    """A process does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A service, a key of it and its database."""

    running: Running
    key: str
    database: str

    def post(self, *numbers: int) -> int:
        """The status of what a request with events of these numbers is answered."""
        return self.running.post(lines([sent(number) for number in numbers]), key=self.key)[0]


def metrics(shared: Served) -> dict[str, float]:
    """What the service counted, by name and labels."""
    head = f"GET /metrics HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {shared.key}\r\n"
    answer = shared.running.raw(f"{head}connection: close\r\n\r\n".encode()).decode()
    assert answer.startswith("HTTP/1.1 200")
    text = answer.partition("\r\n\r\n")[2]
    found = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in found}


@pytest.fixture(scope="module")
def shared(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Two workers that several tests ask: none of them ends the parent."""
    folder = tmp_path_factory.mktemp("workers")
    with server.database(template="made") as url, serving(url, folder=folder) as running:
        yield Served(running=running, key=made_load(url, seed=0).key, database=url)
        assert stopped(running) == 0


def test_a_killed_worker_loses_nothing_and_another_comes_and_told_to_stop_all_are_drained(
    database: str, forks: Forking, tmp_path: Path
) -> None:
    load = made_load(database, seed=16)
    with serving(database, folder=tmp_path) as running:
        first = workers(running)

        async def disturbed() -> None:
            sending = asyncio.create_task(load.run(running.port, until=lambda: False))
            await holds(lambda: load.answers >= 50)
            os.kill(first[1], signal.SIGKILL)
            answers = load.answers
            await holds(lambda: load.answers >= answers + 50)  # the other one goes on
            await holds(lambda: workers(running)[1] != first[1])
            answers = load.answers
            await holds(lambda: load.answers >= answers + 50)
            running.process.send_signal(signal.SIGTERM)
            await sending  # until no connection is taken any more

        asyncio.run(disturbed())
        assert workers(running)[2] == first[2]
        assert running.process.wait(60) == 0
        assert not any(alive(pid) for pid in workers(running).values())
    with open_store(database) as store:
        judge.settle(store, load=load)
    undisturbed(forks, place=database, load=load)
    assert load.findings == []


def test_metrics_tell_of_all_workers_whichever_answers(shared: Served) -> None:
    first, second = workers(shared.running).values()
    names = (
        'tokenworks_events_total{verdict="accepted"}',
        'tokenworks_events_total{verdict="duplicate"}',
        "tokenworks_commit_seconds_count",
    )

    def counted() -> list[float]:
        found = metrics(shared)
        assert found["tokenworks_waiting_events"] == 0
        assert found["tokenworks_webhook_pending_messages"] == 0
        return [found.get(name, 0.0) for name in names]

    before = counted()
    for halted, numbers in ((first, (1, 2, 3)), (second, (3, 4))):  # the other one answers
        with halting(halted):
            assert shared.post(*numbers) == 200
    for halted in (first, second):
        with halting(halted):
            # 3 events at the second worker, then 2 at the first, one of them a second time.
            assert counted() == [before[0] + 3 + 1, before[1] + 1, before[2] + 2]


def test_a_database_that_is_started_again_ends_no_worker(server: Server, shared: Served) -> None:
    before = workers(shared.running)
    assert shared.post(11) == 200
    server.stop()
    try:
        assert [shared.post(12) for _ in range(4)] == [503] * 4
    finally:
        server.start()
    until(lambda: shared.post(12) == 200)
    assert workers(shared.running) == before


FAILING = (
    "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "RAISE EXCEPTION 'could not read block' USING ERRCODE = 'io_error'; END $$",
    "CREATE TRIGGER fails BEFORE INSERT ON events EXECUTE FUNCTION fail()",
)


def test_a_worker_whose_store_has_stopped_is_followed_by_one_that_opens_it_anew(
    server: Server, shared: Served
) -> None:
    before = workers(shared.running)
    database = shared.database.partition("@/")[2].partition("?")[0]
    server.run(*FAILING, database=database)
    try:
        assert shared.post(21) == 503
        # Its lines of the log name it.
        pid = [one["pid"] for one in said(shared.running) if one.get("status") == 503][-1]
        assert pid in before.values()
        until(lambda: pid not in workers(shared.running).values())
    finally:
        server.run("DROP TRIGGER fails ON events", "DROP FUNCTION fail", database=database)
    until(lambda: shared.post(21) == 200)


def test_no_worker_outlives_a_parent_that_is_killed(database: str, tmp_path: Path) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    with serving(database, folder=tmp_path, TMPDIR=str(folder)) as running:
        pids = workers(running).values()
        assert list(folder.iterdir())
        running.process.kill()
        until(lambda: not any(alive(pid) for pid in pids))
        with socket.create_server(("127.0.0.1", running.port)):  # the address is free
            assert not list(folder.iterdir())

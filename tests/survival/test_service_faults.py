"""A disk that fails under the service, and a store that another holds: nothing is called stored
that is not, the answer is 503, and it goes on by itself where that is right (I43; faults 19 to 22
and 37).

Invariant: the fault is one of the system, not of a function that was replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from billing.operations.verify import verify
from billing.store.store import open_store
from tests.billing.api.made_service import lines, sent
from tests.survival.failing_disk import Call, Fault, Plan, built
from tests.survival.forked_services import Order
from tests.survival.killing import Forking, Service, forking, made_load

OCTOBER = "?start_at=2026-10-01T00:00:00Z&end_at=2026-11-01T00:00:00Z"


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    """What starts services on a disk that fails when told."""
    folder = tmp_path_factory.mktemp("disk")
    with forking(folder, preloaded=built(folder)) as process:
        yield process


@contextmanager
def running(forks: Forking, order: Order) -> Iterator[Service]:
    """A service that is told to stop at the end."""
    service = forks.start(order)
    try:
        yield service
    finally:
        assert service.stop() == 0


class Caller:
    """Who posts single events, and remembers what was acknowledged."""

    def __init__(self, place: str | Path) -> None:
        self.key = made_load(str(place), seed=0).key
        self.acknowledged: set[str] = set()

    def post(self, service: Service, number: int) -> int:
        """The status of the answer; a 503 says when to come again and not where the store lies."""
        status, headers, answer = service.ask(
            "POST", "/v1/events", key=self.key, body=lines([sent(number)])
        )
        if status == 503:
            assert headers["retry-after"] == "1"
            assert answer["type"] == "urn:tokenworks:problem:unavailable"
            assert "store.db" not in json.dumps(answer)
        else:
            assert [one["verdict"] for one in answer["events"]] in (["accepted"], ["duplicate"])
            self.acknowledged.add(f"e{number}")
        return status

    def check(self, place: str | Path, *, stored: set[str]) -> None:
        """What was acknowledged is stored, and that is all there is; and it adds up."""
        assert self.acknowledged == stored
        with open_store(place) as store:
            with store.read() as connection:
                ids = list(connection.exec_driver_sql("SELECT id FROM event_ids").scalars())
            assert sorted(ids) == sorted(stored)
            assert verify(store).holds


def usage(service: Service, caller: Caller) -> tuple[int, Any]:
    status, _, answer = service.ask("GET", f"/v1/accounts/a/usage{OCTOBER}", key=caller.key)
    return status, answer


@pytest.mark.parametrize(
    "call, fault, goes_on",
    [
        ("write", "full", True),
        # What a sync that failed leaves on the disk, nobody knows: nothing is written on it.
        ("sync", "io", False),
        ("sync", "full", False),
        ("write", "io", False),
    ],
)
def test_a_disk_that_fails_for_a_while_is_said(
    on_disk: Forking, store_path: Path, call: Call, fault: Fault, goes_on: bool
) -> None:
    faulty = store_path.with_name("faulty")
    plan = Plan(folder=str(store_path.parent), call=call, nth=0, fault=fault)
    caller = Caller(store_path)
    with running(on_disk, Order(store=str(store_path), disk=asdict(plan))) as service:
        assert caller.post(service, 1) == 200
        faulty.touch()
        assert [caller.post(service, n) for n in (2, 3)] == [503, 503]
        assert service.ask("GET", "/healthz")[0] == 200
        faulty.unlink()
        later = 200 if goes_on else 503
        assert [caller.post(service, n) for n in (2, 4)] == [later, later]
        assert service.ask("GET", "/readyz")[0] == later
    with running(on_disk, Order(store=str(store_path))) as service:
        assert [caller.post(service, n) for n in (2, 3, 4)] == [200, 200, 200]
    caller.check(store_path, stored={"e1", "e2", "e3", "e4"})


def test_a_page_that_cannot_be_read_stops_the_service(on_disk: Forking, store_path: Path) -> None:
    faulty = store_path.with_name("faulty")
    plan = Plan(folder=str(store_path.parent), call="read", nth=0, fault="io")
    caller = Caller(store_path)
    with running(on_disk, Order(store=str(store_path), disk=asdict(plan))) as service:
        assert caller.post(service, 1) == 200
        made_load(str(store_path), seed=0)  # another process writes, so that pages are read anew
        faulty.touch()
        status, answer = usage(service, caller)
        assert (status, answer["type"]) == (503, "urn:tokenworks:problem:unavailable")
        faulty.unlink()
        assert caller.post(service, 2) == 503
        assert service.ask("GET", "/readyz")[0] == 503
    with running(on_disk, Order(store=str(store_path))) as service:
        assert caller.post(service, 2) == 200
        assert usage(service, caller)[0] == 200
    caller.check(store_path, stored={"e1", "e2"})


@contextmanager
def held(place: str | Path) -> Iterator[None]:
    """Another process writes, and takes its time: this one."""
    with open_store(place) as store, store.write():
        yield


def test_a_store_that_another_process_holds_for_too_long_is_busy(
    forks: Forking, store_place: str | Path
) -> None:
    caller = Caller(store_place)
    with running(forks, Order(store=str(store_place), busy_timeout_s=0.5)) as service:
        assert caller.post(service, 1) == 200
        with held(store_place):
            assert caller.post(service, 2) == 503
            assert usage(service, caller)[0] == 200  # readers wait for nobody
        assert caller.post(service, 2) == 200
    caller.check(store_place, stored={"e1", "e2"})

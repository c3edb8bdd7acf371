"""Gateways and the service are killed under load: what a gateway recorded is stored once.

Invariant: every event for which ``record`` returned is in the store, none is there twice, and none
is there that no gateway tried to record.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from billing.client import UsageClient
from billing.operations.verify import verify
from billing.store.store import open_store
from tests.billing.client.made_network import Wire, wire
from tests.billing.operations.made_ingest import made_store
from tests.house.tree import REPOSITORY
from tests.journeys.kill_gateway import POINTS, THREADS
from tests.journeys.test_serve import made_key, stored_ids
from tests.survival.forked_services import Order
from tests.survival.killing import Forking, Service, forking


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    """A store, a wire to whatever serves it, and a folder that gateways share."""

    folder: Path
    store: Path
    key: str
    wire: Wire

    def gateway(
        self, prefix: str, *, events: int, at: Sequence[object] = ()
    ) -> subprocess.Popen[bytes]:
        """A gateway that runs; ``at``: the point and the time at which it ends itself."""
        arguments = [self.folder, prefix, events, self.wire.url, self.key, *at]
        return subprocess.Popen(
            [sys.executable, "-m", "tests.journeys.kill_gateway", *map(str, arguments)],
            cwd=REPOSITORY,
        )

    def ids(self, name: str) -> list[str]:
        """What gateways wrote into one of their files."""
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []

    def settle(self) -> None:
        """Send what is left, and hold the store to what gateways wrote."""
        with UsageClient(
            url=self.wire.url,
            key=self.key,
            spool=self.folder / "spool.db",
            source="gw",
            longest_wait_s=0.1,
        ) as client:
            assert client.flush(timeout_s=60)
            assert client.refused() == ()
        stored, recorded = stored_ids(self.store), set(self.ids("recorded"))
        assert recorded
        assert len(stored) == len(set(stored))
        assert recorded <= set(stored) <= set(self.ids("tried"))
        with open_store(self.store) as opened:
            report = verify(opened)
            assert report.holds, report


def made_yard(folder: Path, *, between: Wire) -> Yard:
    store = folder / "store.db"
    store.write_bytes(made_store())
    return Yard(folder=folder, store=store, key=made_key(store), wire=between)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    """What starts services, one at a time."""
    with forking(tmp_path_factory.mktemp("services")) as process:
        yield process


def started(services: Forking, *, yard: Yard, stack: ExitStack) -> Service:
    """A service on the store of a yard; where a test fails it is killed."""
    service = services.start(Order(store=str(yard.store)))

    def end_it() -> None:
        if service.ended is None:
            service.kill()
            service.wait()

    stack.callback(end_it)
    yard.wire.target_port = service.port
    return service


def test_a_gateway_that_dies_at_any_step_loses_and_doubles_nothing(
    tmp_path: Path, services: Forking
) -> None:
    with wire(0) as between, ExitStack() as stack:
        yard = made_yard(tmp_path, between=between)
        service = started(services, yard=yard, stack=stack)
        for number, point in enumerate(POINTS):
            dying = yard.gateway(f"{number}", events=500, at=(point, 2 + number))
            stack.callback(end, dying)
            assert dying.wait(60) == -signal.SIGKILL, point
        yard.settle()
        assert service.stop() == 0


def storm(folder: Path, *, services: Forking, seed: int, rounds: int) -> None:
    """Gateways and the service are killed at random moments, and answers are lost on the way.

    In each round the service dies, and one of the two gateways; the other goes on without it.
    """
    drawn = random.Random(seed)
    with wire(0) as between, ExitStack() as stack:
        yard = made_yard(folder, between=between)
        gateways: list[subprocess.Popen[bytes]] = []
        for number in range(rounds):
            while len(gateways) < 2:
                name = f"{number}-{len(gateways)}"
                gateways.append(yard.gateway(name, events=100_000))
                stack.callback(end, gateways[-1])
            service = started(services, yard=yard, stack=stack)
            between.cuts = drawn.randrange(3)
            before = len(yard.ids("recorded"))
            while len(yard.ids("recorded")) < before + 10 * THREADS:
                assert all(one.poll() is None for one in gateways)
                time.sleep(0.01)
            dying = gateways.pop(drawn.randrange(2))
            for kill in drawn.sample([service.kill, dying.kill], k=2):
                time.sleep(drawn.random() * 0.2)
                kill()
            assert (service.wait()["killed_by"], dying.wait()) == (signal.SIGKILL, -signal.SIGKILL)
        for one in gateways:
            end(one)
        service = started(services, yard=yard, stack=stack)
        between.cuts = 0
        yard.settle()
        assert service.stop() == 0


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that may have ended."""
    process.kill()
    process.wait()


def test_gateways_and_the_service_that_die_at_random_lose_and_double_nothing(
    tmp_path: Path, services: Forking
) -> None:
    storm(tmp_path, services=services, seed=1, rounds=2)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_long_storm_loses_and_doubles_nothing(
    tmp_path: Path, services: Forking, seed: int
) -> None:
    storm(tmp_path, services=services, seed=seed, rounds=20)

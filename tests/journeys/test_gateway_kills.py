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
from collections.abc import Sequence
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
from tests.survival.killing import forking


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


def test_a_gateway_that_dies_at_any_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with wire(0) as between, ExitStack() as stack:
        yard = made_yard(tmp_path, between=between)
        service = stack.enter_context(forking(tmp_path)).start(Order(store=str(yard.store)))
        between.target_port = service.port
        for number, point in enumerate(POINTS):
            dying = yard.gateway(f"{number}", events=500, at=(point, 2 + number))
            stack.callback(end, dying)
            assert dying.wait(60) == -signal.SIGKILL, point
        yard.settle()
        assert service.stop() == 0


def storm(folder: Path, *, seed: int, rounds: int) -> None:
    """Gateways and the service are killed at random moments, and answers are lost on the way.

    In each round the service dies, and one of the two gateways; the other goes on without it.
    """
    drawn = random.Random(seed)
    with wire(0) as between, ExitStack() as stack:
        yard = made_yard(folder, between=between)
        services = stack.enter_context(forking(folder))
        gateways: list[subprocess.Popen[bytes]] = []
        for number in range(rounds):
            while len(gateways) < 2:
                name = f"{number}-{len(gateways)}"
                gateways.append(yard.gateway(name, events=100_000))
                stack.callback(end, gateways[-1])
            service = services.start(Order(store=str(yard.store)))
            between.target_port, between.cuts = service.port, drawn.randrange(3)
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
        service = services.start(Order(store=str(yard.store)))
        between.target_port, between.cuts = service.port, 0
        yard.settle()
        assert service.stop() == 0


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that may have ended."""
    process.kill()
    process.wait()


def test_gateways_and_the_service_that_die_at_random_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    storm(tmp_path, seed=1, rounds=2)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
def test_a_long_storm_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    storm(tmp_path, seed=seed, rounds=20)

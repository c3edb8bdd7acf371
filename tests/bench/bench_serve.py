"""Durable events a second over HTTP, with a server beside it that reads bodies and stores nothing.

Invariant: both are sent the same bytes over the same connections in the same run, and an event
counts only when the service answered that it is accepted.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from billing.cli.clock import now_at
from billing.operations.api_key import make_api_key
from billing.store.schema import upgrade
from billing.store.store import open_store
from pricing_rules.period import moment_text

CONNECTIONS = 64
# Events of a request, and how many requests.
BATCHES = ((1, 12_000), (100, 600), (1_000, 120), (10_000, 16))
_ENVIRONMENT = {
    **os.environ,
    "TOKENWORKS_REQUESTS_PER_S": "1000000",
    "TOKENWORKS_WAITING_EVENTS": "1000000",
    "TOKENWORKS_LOG_LEVEL": "warning",
}


def run() -> Iterator[dict[str, object]]:
    """Events a second by events of a request, and how long an answer to a single event takes."""
    for events, requests in BATCHES:
        with TemporaryDirectory() as name, _served(Path(name)) as (port, key):
            bodies = [_body(events) for _ in range(requests)]
            with _noop() as noop_port:
                noop_s, _ = _sent(noop_port, key=key, bodies=bodies)
            seconds, answered_s = _sent(port, key=key, bodies=bodies)
        connections = min(CONNECTIONS, requests)
        yield {
            "metric": f"durable events over HTTP, {events:,} a request, {connections} connections",
            "value": round(events * requests / seconds),
            "unit": "events/s",
            "peer": "the same requests to a server that stores nothing",
            "peer_value": round(events * requests / noop_s),
        }
        if events == 1:
            at_99 = sorted(answered_s)[len(answered_s) * 99 // 100]
            yield {"metric": "answer to a single event, p99", "value": at_99 * 1e3, "unit": "ms"}


@contextmanager
def _served(folder: Path) -> Iterator[tuple[int, str]]:
    """A service on a new store: its port, and a key."""
    file = folder / "store.db"
    upgrade(file)
    with open_store(file) as store:
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
    arguments = ["serve", "--store", str(file), "--port", "0", "--format", "csv"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, env=_ENVIRONMENT
    ) as running:
        assert running.stdout is not None
        running.stdout.readline()
        url = running.stdout.readline().decode().split(",")[0]
        try:
            yield int(url.rpartition(":")[2]), made.text
        finally:
            running.terminate()


@contextmanager
def _noop() -> Iterator[int]:
    arguments = [sys.executable, "-m", "tests.bench.noop_server"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        try:
            yield int(running.stdout.readline())
        finally:
            running.kill()


def _body(events: int) -> bytes:
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


def _sent(port: int, *, key: str, bodies: Sequence[bytes]) -> tuple[float, list[float]]:
    """Seconds for all requests, and for each of them."""
    head = (
        f"POST /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n"
        "content-type: application/x-ndjson\r\ncontent-length: "
    ).encode()
    waiting = deque(head + b"%d\r\n\r\n" % len(body) + body for body in bodies)
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

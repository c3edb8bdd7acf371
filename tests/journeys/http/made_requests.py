"""Requests as bytes, sent over a real connection to a service with narrow limits.

Invariant: what is sent is what a test wrote, byte for byte.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from billing.operations.verify import verify
from billing.store.store import open_store
from tests.billing.api.made_service import lines, sent
from tests.journeys.test_serve import Running, serving

LIMIT = 65_536
"""The bytes that a body of the service may have."""

EVENT = lines([sent(111_999)])


@contextmanager
def limited(file: Path) -> Iterator[Running]:
    """A service that takes little and waits a second; sound at the end, whatever was sent."""
    limits = {"TOKENWORKS_BODY_TIMEOUT_S": "1", "TOKENWORKS_MAX_BODY_BYTES": str(LIMIT)}
    with serving(file, TOKENWORKS_LOG_LEVEL="error", **limits) as one:
        yield one
        assert one.ask("GET", "/readyz")[0] == 200
        assert one.log.read_text() == ""
    with open_store(file) as store:
        assert verify(store).holds


def head(
    key: str, *more: bytes, target: str = "/v1/events", form: str = "application/x-ndjson"
) -> bytes:
    """The head of a POST with a key, without its end."""
    said = [
        f"POST {target} HTTP/1.1".encode(),
        b"host: x",
        f"authorization: Bearer {key}".encode(),
        f"content-type: {form}".encode(),
        *more,
    ]
    return b"\r\n".join(said) + b"\r\n"


def whole(key: str, body: bytes, *more: bytes) -> bytes:
    """A POST with a body."""
    return head(key, f"content-length: {len(body)}".encode(), *more) + b"\r\n" + body


def raw(running: Running, data: bytes) -> bytes:
    """What the service says to bytes until it closes the connection, or says no more."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=4) as connection:
        parts = []
        with suppress(OSError):
            connection.sendall(data)
        with suppress(OSError):
            while part := connection.recv(65_536):
                parts.append(part)
        return b"".join(parts)


def statuses(answer: bytes) -> list[int]:
    """The statuses of the answers that a connection gave."""
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


LAST = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
"""What ends a connection, so that all answers before are read."""


def resident_kib(running: Running) -> int:
    """How much memory the service had at most."""
    path = Path(f"/proc/{running.process.pid}/status")
    if not path.exists():
        pytest.skip("this system does not tell the memory of a process")
    (line,) = [one for one in path.read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1])

"""The server: sockets, bounds of a connection, and how it stops.

Invariant: a connection that sends nothing, sends slowly or never ends its headers is closed in
bounded time; a server that is told to stop answers what it began.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import uuid
from collections.abc import Callable, Iterator
from http import HTTPStatus
from multiprocessing.connection import Connection
from types import FrameType
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from billing.api.app import application
from billing.api.joined_writes import JoinedWrites
from billing.api.problems import Problem
from billing.api.workers import Worker, count_in
from billing.settings import Settings
from billing.store.store import Store
from pricing_rules.document import DocumentError

MAX_HEADER_BYTES = 65_536
_ONCE = (
    *(b"authorization", b"content-encoding", b"content-length", b"content-type", b"host"),
    *(b"idempotency-key", b"transfer-encoding"),
)
"""Headers that a request has once at most."""

_KEEP_ALIVE_S = 30
_BACKLOG = 2_048


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose headers must arrive in time and within a size."""

    header_timeout_s = 10
    _awaits_headers = True
    _header_bytes = 0
    _header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(cast("asyncio.Transport", JoinedWrites(transport, loop=self.loop)))
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and close where the headers go on for too long."""
        self._header_bytes += len(data)
        super().data_received(data)
        if self._awaits_headers and self._header_bytes:
            if self._header_bytes > MAX_HEADER_BYTES:
                self.send_400_response("The headers are too large.")
            elif self._header_timer is None:  # most come whole, and need none
                self._wait()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is answered with a problem, too."""
        problem = Problem(HTTPStatus.BAD_REQUEST, kind="no-http", detail=msg)
        answer = problem.response(request_id=uuid.uuid4().hex)
        head = [b"HTTP/1.1 400 Bad Request\r\n"]
        head += [name + b": " + value + b"\r\n" for name, value in answer.raw_headers]
        self.transport.write(b"".join([*head, b"connection: close\r\n\r\n", bytes(answer.body)]))
        self.transport.close()

    def on_headers_complete(self) -> None:
        """Stop waiting, and refuse what two readers might read in two ways."""
        self._awaits_headers = False
        self._stop_waiting()
        names = [name for name, _ in self.headers]
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1") or (version == "1.1" and b"host" not in names):
            raise ValueError("is no HTTP/1.1 with a host")
        if len(set(names)) < len(names) and any(names.count(name) > 1 for name in _ONCE):
            raise ValueError("has a header twice that stands for one thing")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the next request from its first byte on; until then it is keep-alive."""
        self._awaits_headers, self._header_bytes = True, 0
        super().on_message_complete()

    def eof_received(self) -> None:
        """Send what was written: the other side sends no more, and the loop closes it now."""
        cast("JoinedWrites", self.transport).send()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._header_timer = self.loop.call_later(self.header_timeout_s, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


class _Server(uvicorn.Server):
    """A server that ends with an exit code of ours, where uvicorn raises the signal once more."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        def stop(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        before = {one: signal.signal(one, stop) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, action in before.items():
                signal.signal(one, action)


class _WorkerServer(_Server):
    """A server that stops when its parent does, or when its store has stopped."""

    def __init__(self, app: ASGIApp, *, settings: Settings, store: Store, line: Connection) -> None:
        super().__init__(_configured(app, settings=settings))
        self._store = store
        self._line = line

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        asyncio.get_running_loop().add_reader(self._line.fileno(), self._stop)
        with contextlib.suppress(OSError):  # the parent has ended: the reader sees it
            self._line.send_bytes(b"serving")

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._store.stopped is not None

    def _stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._line.fileno())
        self.should_exit = True


def listening(*, host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any that is free. DocumentError where it cannot."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise DocumentError(f"{host}:{port}", f"cannot be listened on ({said})") from None
    # Connections inherit it: else each answer waits until the one before it was acknowledged.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve(
    store: Store, *, settings: Settings, listener: socket.socket, clock: Callable[[], int]
) -> None:
    """Answer requests until SIGINT or SIGTERM; then what was begun is answered, and no more."""
    app = application(store, settings=settings, clock=clock)
    _Server(_configured(app, settings=settings)).run(sockets=[listener])


def serve_as_worker(
    store: Store, *, settings: Settings, clock: Callable[[], int], worker: Worker
) -> None:
    """Answer requests until told to stop, until the parent has ended, or until nothing can be
    stored any more: then another opens the store anew. What was begun is answered.
    """
    count_in(worker.counters, worker=worker.number)
    app = application(
        store, settings=settings, clock=clock, workers=worker.workers, counters=worker.counters
    )
    server = _WorkerServer(app, settings=settings, store=store, line=worker.line)
    server.run(sockets=[worker.listener])
    if os.getppid() != worker.parent:  # which would have removed it
        shutil.rmtree(worker.counters, ignore_errors=True)


def _configured(app: ASGIApp, *, settings: Settings) -> uvicorn.Config:
    """How a server serves an application."""
    protocol = type("Protocol", (BoundedProtocol,), {"header_timeout_s": settings.body_timeout_s})
    return uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",
        lifespan="on",
        loop="auto",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.stop_timeout_s,
        backlog=_BACKLOG,
    )

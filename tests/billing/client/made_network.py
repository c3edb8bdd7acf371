"""Servers and wires that misbehave, for the client: real ones, on this machine.

Invariant: a made service takes each identity once, like ours, and what it is told to answer
instead comes first, once each; a wire that cuts lets the request through and loses the answer.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = Any

PROBLEM = "urn:tokenworks:problem:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server says; ``wait_s``: before it says it."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0


def problem(status: int, **headers: str) -> Answer:
    """A refusal as our service words it."""
    body = json.dumps({"type": f"{PROBLEM}made", "status": status, "detail": "no"}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, body=body, headers=named)


@dataclass(slots=True)
class MadeService:
    """Takes events in memory. ``rule``: what it answers instead to a batch, where it gives
    something; ``asked``: when each request came, on the monotonic clock; ``callers``: the ports
    that connections came from.
    """

    port: int = 0
    answers: list[Answer] = field(default_factory=list)
    rule: Callable[[list[bytes]], Answer | None] = lambda texts: None
    stored: dict[tuple[str, str], Json] = field(default_factory=dict)
    asked: list[float] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    callers: set[int] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, texts: list[bytes]) -> Answer:
        """What the service says to a batch."""
        self.asked.append(time.monotonic())
        self.batches.append(len(texts))
        if self.answers:
            return self.answers.pop(0)
        return self.rule(texts) or self.taken(texts)

    def taken(self, texts: list[bytes]) -> Answer:
        """Each event by its identity: new, known, or known with another content."""
        verdicts = []
        for event in map(json.loads, texts):
            key = (event["source"], event["id"])
            known = self.stored.setdefault(key, event)
            new = known is event
            word = "accepted" if new else "duplicate" if known == event else "conflict"
            verdicts.append({"verdict": word, "source": key[0], "id": key[1], "reason": word})
        return Answer(status=200, body=json.dumps({"events": verdicts}).encode())


@contextmanager
def made_service() -> Iterator[MadeService]:
    """A service on a port of its own."""
    made = MadeService()

    class Asked(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.keys.add(self.headers["authorization"])
            made.callers.add(self.client_address[1])
            said = made.answer(gzip.decompress(body).splitlines())
            time.sleep(said.wait_s)
            with suppress(OSError):
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(said.body)))
                self.end_headers()
                self.wfile.write(said.body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: pytest shows what matters."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Asked) as server:
        server.daemon_threads = True
        made.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()


@dataclass(slots=True)
class Wire:
    """A TCP proxy with an address that stays. ``cuts``: how many answers it loses from now on."""

    listener: socket.socket
    target_port: int
    cuts: int = 0
    cut: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def carry(self) -> None:
        """Take connections until the wire is closed."""
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        with closing(near), suppress(OSError):
            far = socket.create_connection(("127.0.0.1", self.target_port), timeout=30)
            with closing(far):
                there = threading.Thread(target=_pump, args=(near, far), daemon=True)
                there.start()
                while part := far.recv(65_536):
                    if self.cuts:
                        self.cuts -= 1
                        self.cut += 1
                        break  # the service has answered, so it has stored
                    near.sendall(part)
                for one in (near, far):
                    one.shutdown(socket.SHUT_RDWR)


def _pump(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):
        while part := here.recv(65_536):
            there.sendall(part)
        there.shutdown(socket.SHUT_WR)


@contextmanager
def wire(target_port: int) -> Iterator[Wire]:
    """A wire to a port of this machine."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        made = Wire(listener, target_port)
        threading.Thread(target=made.carry, daemon=True).start()
        yield made
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)

"""A receiver of webhooks: a real HTTP or HTTPS server on this machine, which notes what it gets.

Invariant: what it notes is what came over the connection, before it was answered.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from freezegun import freeze_time
from standardwebhooks.webhooks import Webhook

from billing.webhooks.addresses import Reach
from pricing_rules.period import moment_text

Json = Any

CERTIFICATES = Path(__file__).parent / "certificates"
"""Of an authority of ours, and of the name hooks.example; both until 2120."""

LOCAL = Reach(schemes=("https", "http"), networks=(ip_network("127.0.0.0/8"),))
"""What lets messages go to a receiver on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A request that came in: ``text`` is its body."""

    path: str
    headers: Mapping[str, str]
    text: str

    @property
    def message(self) -> str:
        """The id of the message."""
        return self.headers["webhook-id"]

    @property
    def body(self) -> Json:
        """The message."""
        return json.loads(self.text)

    def verified(self, secret: str, *, now_at: int) -> Json:
        """The message, checked as Standard Webhooks says by somebody whose clock stands there."""
        with freeze_time(moment_text(now_at)):
            return Webhook(secret).verify(self.text, dict(self.headers))


@dataclass(slots=True, kw_only=True)
class Receiver:
    """A running receiver, and all that came in."""

    port: int
    scheme: str
    taken: list[Taken] = field(default_factory=list)

    def url(self, path: str = "/hooks", *, host: str = "127.0.0.1") -> str:
        """Where it listens."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    @property
    def messages(self) -> list[str]:
        """The ids that came in, in order."""
        return [one.message for one in self.taken]


Answer = tuple[int, Mapping[str, str]]
Answering = Callable[[Taken], Answer | int]


@contextmanager
def receiving(
    answering: Answering = lambda taken: 204, *, encrypted: bool = False
) -> Iterator[Receiver]:
    """A receiver; ``answering`` gives the status of each answer, and headers where it has some."""
    noted: list[Taken] = []
    lock = threading.Lock()

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            text = self.rfile.read(length).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            taken = Taken(path=self.path, headers=headers, text=text)
            with lock:
                noted.append(taken)
                answer = answering(taken)
            status, more = (answer, {}) if isinstance(answer, int) else answer
            self.send_response(status)
            for name, value in more.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # whoever breaks off is what some tests are about

    server = Server(("127.0.0.1", 0), Request)
    if encrypted:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATES / "server.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Receiver(
            port=server.server_address[1],
            scheme="https" if encrypted else "http",
            taken=noted,
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

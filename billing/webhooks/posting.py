"""Sending one message once: sign it, connect to a checked address, post it, read the status.

Invariant: once its name was looked up, an attempt ends within its time whatever the receiver does,
and where the look-up took all of that nothing is sent; it follows no redirect, uses no proxy, and
reads no more than the head of an answer and 1 KiB.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from standardwebhooks.webhooks import Webhook

from billing.webhooks.addresses import (
    Address,
    Reach,
    Resolve,
    Target,
    find_addresses,
    read_target,
    system_addresses,
)
from billing.webhooks.retries import LONGEST_WAIT_S
from pricing_rules.document import DocumentError

CONNECT_S = 5.0
ATTEMPT_S = 15.0
"""How long connecting to one address, and a whole attempt, may take."""

_ANSWER_BYTES = 1_024
_ANSWER_S = 1.0
_DELTA = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message for an endpoint. ``secrets``: it is signed with each of them; ``sent_at``: now."""

    url: str
    message: str
    body: str
    secrets: Sequence[str]
    sent_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an attempt came to: the status of the answer, or why there is none."""

    status: int | None = None
    error: str = ""
    retry_after_s: int = 0

    @property
    def delivered(self) -> bool:
        """Whether the receiver took the message."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether the receiver wants no more of them."""
        return self.status == http.client.GONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Poster:
    """Posts letters. ``resolve`` looks names up; ``trusted``: whose certificates are accepted."""

    reach: Reach
    resolve: Resolve = system_addresses
    trusted: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def post(self, letter: Letter, *, until_s: float) -> Outcome:
        """Make one attempt, which ends at ``until_s`` of ``time.monotonic``. It never raises for
        what the receiver or the network does.
        """
        try:
            target = read_target(letter.url, reach=self.reach)
            addresses = find_addresses(target, reach=self.reach, resolve=self.resolve)
        except DocumentError as error:
            return Outcome(error=f"not sent: the URL {error.sentence}")
        cut = threading.Event()
        try:
            with (
                _connected(addresses, port=target.port, until_s=until_s) as connection,
                _cut_off(connection, at_s=until_s, cut=cut),
            ):
                return self._exchanged(connection, target=target, letter=letter, cut=cut)
        except (OSError, http.client.HTTPException) as error:
            return Outcome(error=_TOO_SLOW if cut.is_set() else _sentence(error))

    def _exchanged(
        self, raw: socket.socket, *, target: Target, letter: Letter, cut: threading.Event
    ) -> Outcome:
        connection = http.client.HTTPConnection(target.host, target.port)
        opened = raw
        if target.scheme == "https":
            connection.default_port = 443  # of the Host header
            opened = self.trusted.wrap_socket(raw, server_hostname=target.host)
        with opened:
            connection.sock = opened
            connection.request(
                "POST", target.path, body=letter.body.encode(), headers=_headers(letter)
            )
            answer = connection.getresponse()
            if cut.is_set():  # a head that was cut off looks like one that ended
                raise TimeoutError
            outcome = Outcome(
                status=answer.status,
                retry_after_s=_retry_after_s(
                    answer.getheader("retry-after", ""), sent_at=letter.sent_at
                ),
            )
            # Some of the body is taken, so that the receiver may end its answer in peace.
            with suppress(OSError, http.client.HTTPException):
                opened.settimeout(_ANSWER_S)
                answer.read1(_ANSWER_BYTES)
            return outcome


def _headers(letter: Letter) -> dict[str, str]:
    moment = datetime.fromtimestamp(letter.sent_at // 1_000_000, tz=UTC)
    signatures = [
        Webhook(secret).sign(letter.message, moment, letter.body) for secret in letter.secrets
    ]
    return {
        "content-type": "application/json",
        "user-agent": "tokenworks-webhooks/1",
        "connection": "close",
        "webhook-id": letter.message,
        "webhook-timestamp": str(letter.sent_at // 1_000_000),
        "webhook-signature": " ".join(signatures),
    }


@contextmanager
def _connected(
    addresses: Sequence[Address], *, port: int, until_s: float
) -> Iterator[socket.socket]:
    """A connection to the first address that takes one."""
    failed: OSError = TimeoutError()
    for address in addresses:
        left_s = min(CONNECT_S, until_s - time.monotonic())
        if left_s <= 0:
            failed = TimeoutError()
            break
        family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.settimeout(left_s)
            opened.connect((str(address), port))
            opened.settimeout(max(until_s - time.monotonic(), 0.001))
        except OSError as error:
            opened.close()
            failed = error
            continue
        with opened:
            yield opened
        return
    raise failed


@contextmanager
def _cut_off(connection: socket.socket, *, at_s: float, cut: threading.Event) -> Iterator[None]:
    """End a connection at a moment: time limits of a socket begin anew with every byte."""
    twin = connection.dup()  # the socket itself is given away to the one that encrypts

    def end() -> None:
        cut.set()
        with suppress(OSError):
            twin.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(at_s - time.monotonic(), 0), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        twin.close()


_TOO_SLOW = "it did not answer in time"


def _sentence(error: OSError | http.client.HTTPException) -> str:
    match error:
        case TimeoutError():
            return _TOO_SLOW
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted ({error.verify_message})"
        case ssl.SSLError():
            return f"it does not encrypt as it must ({(error.reason or 'no reason').lower()})"
        case http.client.HTTPException() | ConnectionResetError():
            return "it closed the connection or answered with no HTTP"
        case _:
            return f"it cannot be reached ({(error.strerror or str(error)).lower()})"


def _retry_after_s(text: str, *, sent_at: int) -> int:
    """How many seconds an answer asks to wait; 0 where it does not say so in a known form."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(int(text), LONGEST_WAIT_S) if len(text) <= _DELTA else LONGEST_WAIT_S
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:  # -0000 is UTC, of a place that is not told (RFC 5322)
            moment = moment.replace(tzinfo=UTC)
        wait_s = int(moment.timestamp()) - sent_at // 1_000_000
    except (ValueError, TypeError, OverflowError):
        return 0
    return min(max(wait_s, 0), LONGEST_WAIT_S)

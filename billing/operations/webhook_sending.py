"""Sending messages: what is due is sent by some threads, each attempt by one, and settled.

An attempt is begun in the store before anything is sent: while it lasts no other process begins
one. A process that ends in between leaves the message due again after ``LEASE_S``, so a message may
arrive twice, with the same id, but is never lost.

Invariant: an attempt that another has followed settles nothing, so that a process that was stopped
and goes on takes no state back.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Literal

from billing.log import logger
from billing.operations.webhook import find_endpoint, retire_endpoint, signing_secrets
from billing.store.locks import lock_name
from billing.store.points import reach
from billing.store.store import Connection, Store, StoreError
from billing.store.webhooks import (
    Backlog,
    Message,
    Sending,
    SendingState,
    begin_attempt,
    give_up_retired,
    read_backlog,
    read_due,
    read_secrets,
    settle_attempt,
)
from billing.webhooks.posting import ATTEMPT_S, Letter, Outcome, Poster
from billing.webhooks.retries import pause_microseconds
from pricing_rules.document import canonical_json
from pricing_rules.period import moment_text

SENDERS = 8
"""Attempts that a process makes at the same time."""

OF_ENDPOINT = 2
"""Of these, at one endpoint: one that does not answer keeps no other waiting."""

LEASE_S = 60
"""For how long nobody else begins an attempt; sending ends well before."""

POLL_S = 1.0

_MARGIN_S = 5
_DUE_AT_ONCE = 64

_log = logger("webhooks")

Became = Literal["delivered", "failed", "given_up", "overtaken"]
"""What an attempt came to; ``overtaken``: another attempt has followed it meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """An attempt that is ours until ``until_s`` of ``time.monotonic``."""

    sending: Sending
    url: str
    secrets: tuple[str, ...]
    until_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """What an attempt came to; ``error``: why the message was not taken, else ""."""

    endpoint: str
    message: str
    attempt: int
    became: Became
    status: int | None
    error: str


def message_text(message: Message) -> str:
    """The body of a message: the same bytes at each attempt."""
    body = {
        "type": message.kind,
        "timestamp": moment_text(message.recorded_at),
        "data": json.loads(message.data),
    }
    return canonical_json(body).decode()


def begin_due(
    store: Store, *, now_at: int, limit: int, busy: Mapping[str, int]
) -> tuple[Begun, ...]:
    """Begin at most ``limit`` attempts that are due. ``busy``: how many are made at endpoints."""
    with store.read() as connection:
        due = read_due(connection, now_at=now_at, limit=_DUE_AT_ONCE, of_endpoint=OF_ENDPOINT)
    chosen: list[Sending] = []
    taken = Counter(busy)
    for one in due:
        if len(chosen) < limit and taken[one.endpoint] < OF_ENDPOINT:
            taken[one.endpoint] += 1
            chosen.append(one)
    if not chosen:
        return ()
    chosen.sort(key=lambda one: (one.endpoint, one.message_seq))  # the order of locks
    until_s = time.monotonic() + LEASE_S - _MARGIN_S

    def begin(connection: Connection) -> tuple[Begun, ...]:
        give_up_retired(connection, now_at=now_at)
        return tuple(
            _begun(connection, sending=one, now_at=now_at, until_s=until_s)
            for one in chosen
            if begin_attempt(connection, sending=one, until_at=now_at + LEASE_S * 1_000_000)
        )

    return store.beside(begin)


def settle(store: Store, *, begun: Begun, outcome: Outcome, drawn: float, now_at: int) -> Became:
    """Record what an attempt came to; an endpoint that is gone is retired.

    ``drawn``: a random number in [0, 1), for the pause before the next attempt.
    """
    sending = begun.sending
    state: SendingState = "delivered" if outcome.delivered else "given_up"
    at = now_at
    if not outcome.delivered and not outcome.gone:
        pause = pause_microseconds(sending.tries, retry_after_s=outcome.retry_after_s, drawn=drawn)
        if pause is not None:
            state, at = "pending", now_at + pause

    def settle_it(connection: Connection) -> bool:
        if outcome.gone:  # names are locked before rows
            lock_name(connection, name=f"webhook endpoint {sending.endpoint}")
        ours = settle_attempt(
            connection,
            sending=sending,
            state=state,
            status=outcome.status,
            error=_error(outcome),
            at=at,
        )
        if ours and outcome.gone:
            retire_endpoint(
                connection,
                endpoint=sending.endpoint,
                reason="it answered 410 Gone",
                by="tokenworks",
                now_at=now_at,
            )
        return ours

    if not store.beside(settle_it):
        return "overtaken"
    return "failed" if state == "pending" else state


def webhook_backlog(store: Store) -> Backlog:
    """What is pending at all endpoints."""
    with store.read() as connection:
        return read_backlog(connection)


@dataclass(slots=True, kw_only=True)
class WebhookSender:
    """Sends what is due from threads of its own. ``clock`` gives microseconds since 1970 UTC;
    ``tell`` is called, in some thread, with each attempt that was settled.
    """

    store: Store
    poster: Poster
    clock: Callable[[], int]
    tell: Callable[[Attempted], None]
    draw: Callable[[], float] = random.random
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Start to send."""
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Settle the attempts that were begun, then end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def drain(self) -> None:
        """Send until nothing is due any more. StoreError where the store cannot."""
        running: dict[Future[None], str] = {}
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="webhook") as pool:
            self._begin(pool, running=running)
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    del running[one]
                    one.result()
                self._begin(pool, running=running)

    def _run(self) -> None:
        running: dict[Future[None], str] = {}
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="webhook") as pool:
            while not self._stopping.is_set():
                try:
                    self._begin(pool, running=running)
                except StoreError as error:
                    _log.warning("not_begun", reason=error.sentence)
                except Exception:  # the thread must live: messages wait
                    _log.exception("not_begun")
                if not running:
                    self._stopping.wait(POLL_S)
                    continue
                done, _ = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for one in done:
                    del running[one]
                    if one.exception() is not None:  # it is due again after a while
                        _log.error("not_settled", exc_info=one.exception())

    def _begin(self, pool: ThreadPoolExecutor, *, running: dict[Future[None], str]) -> None:
        free = SENDERS - len(running)
        busy = Counter(running.values())
        for one in begin_due(self.store, now_at=self.clock(), limit=free, busy=busy):
            running[pool.submit(self._attempt, one)] = one.sending.endpoint

    def _attempt(self, begun: Begun) -> None:
        sending = begun.sending
        letter = Letter(
            url=begun.url,
            message=sending.message.message,
            body=message_text(sending.message),
            secrets=begun.secrets,
            sent_at=self.clock(),
        )
        until_s = min(begun.until_s, time.monotonic() + ATTEMPT_S)
        outcome = self.poster.post(letter, until_s=until_s)
        reach("webhook.answered")
        became = settle(
            self.store, begun=begun, outcome=outcome, drawn=self.draw(), now_at=self.clock()
        )
        self.tell(
            Attempted(
                endpoint=sending.endpoint,
                message=sending.message.message,
                attempt=sending.attempts,
                became=became,
                status=outcome.status,
                error=_error(outcome),
            )
        )


def _error(outcome: Outcome) -> str:
    if outcome.delivered:
        return ""
    return outcome.error or f"it answered {outcome.status}"


def _begun(connection: Connection, *, sending: Sending, now_at: int, until_s: float) -> Begun:
    known = read_secrets(connection, endpoint=sending.endpoint)
    return Begun(
        sending=replace(sending, attempts=sending.attempts + 1, tries=sending.tries + 1),
        url=find_endpoint(connection, endpoint=sending.endpoint).endpoint.url,
        secrets=signing_secrets(known, now_at=now_at),
        until_s=until_s,
    )

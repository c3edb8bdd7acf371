"""``UsageClient``: what a gateway calls for each request that it served.

Invariant: ``record`` waits for the disk of this machine and never for the network; an event keeps
the id and the moment that it was recorded with, however often it is sent.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from weakref import WeakSet

import msgspec

from billing.client.delivery import Delivery
from billing.client.sender import Pace, Sender
from billing.client.spool import RefusedEvent, Spool, SpoolError

_BOUNDS: Mapping[str, tuple[float, float]] = {
    "max_spool_events": (1, 1_000_000_000),
    "batch_events": (1, 1_000_000),
    "batch_bytes": (1, 2**30),
    "linger_s": (0.001, 3_600),
    "longest_wait_s": (0.01, 3_600),
    "answer_timeout_s": (0.1, 3_600),
}
"""Beyond these a sender would send nothing, or do nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What a client has done since it was made, for a gateway's own metrics; they only rise.

    ``recorded``: events that went to the disk. ``accepted``, ``duplicate`` and ``refused``: the
    verdicts of the service on what this process sent, of other processes' events, too.
    ``retries``: deliveries, out of ``deliveries``, that had to be made again.
    """

    recorded: int
    accepted: int
    duplicate: int
    refused: int
    deliveries: int
    retries: int


class UsageClient:
    """Records usage events into a spool file and sends them to the service.

    ``url``: of the service. ``key``: an API key that may send events. ``spool``: a file on a local
    disk, made where it is not there; the processes of one gateway may share it, and what one of
    them left, another sends. ``source``: of the events, the same for ever for one gateway: with
    the id it is their identity.

    A batch has up to ``batch_events`` events and ``batch_bytes`` bytes before it is packed; an
    event waits ``linger_s`` at most while the service answers. Tries are at most
    ``longest_wait_s`` apart unless the service asks for more.

    All methods may be called from any thread, and after a fork. In asyncio, call
    ``await asyncio.to_thread(client.record, account=..., ...)``. ValueError where the address or
    the key is none or a number is out of its bounds, SpoolError where the file cannot be used.
    """

    def __init__(
        self,
        *,
        url: str,
        key: str,
        spool: Path,
        source: str,
        max_spool_events: int = 1_000_000,
        batch_events: int = 1_000,
        batch_bytes: int = 2**20,
        linger_s: float = 1.0,
        longest_wait_s: float = 30.0,
        answer_timeout_s: float = 40.0,
    ) -> None:
        given = {
            "max_spool_events": max_spool_events,
            "batch_events": batch_events,
            "batch_bytes": batch_bytes,
            "linger_s": linger_s,
            "longest_wait_s": longest_wait_s,
            "answer_timeout_s": answer_timeout_s,
        }
        for name, (least, most) in _BOUNDS.items():
            if not least <= given[name] <= most:
                raise ValueError(f"{name}: must be from {least} to {most}, not {given[name]}")
        self.source = source
        delivery = Delivery(url=url, key=key, answer_timeout_s=answer_timeout_s)
        pace = Pace(
            batch_events=batch_events,
            batch_bytes=batch_bytes,
            linger_s=linger_s,
            longest_wait_s=longest_wait_s,
        )
        self._batch_events = batch_events
        self._woken_after = 0
        self._spool = Spool(spool, max_events=max_spool_events)
        self._sender = Sender(self._spool, delivery=delivery, pace=pace)
        self._sender.start()
        _CLIENTS.add(self)

    def record(
        self,
        *,
        account: str,
        model: str,
        service_tier: str,
        units: Mapping[str, int | str],
        id: str | None = None,
        occurred_at: int | None = None,
        region: str = "",
        request_tokens: int | None = None,
        outcome: Literal["completed", "cancelled", "failed"] = "completed",
        dimensions: Mapping[str, str] | None = None,
        attributes: Mapping[str, str | int | bool] | None = None,
    ) -> str:
        """Put one event on the disk, and return its id.

        ``units``: inclusive counts by unit. ``id``: that of the provider's response, so that a
        request that is recorded twice counts once; without it a new one is made. ``occurred_at``:
        microseconds UTC; without it, now. ValueError where the service would never take it, with
        the path of what is wrong; SpoolFullError where the spool is full; SpoolError where the
        disk cannot.
        """
        # Imported now: a gateway starts without it.
        from pricing_rules.period import checked_moment, moment_text
        from pricing_rules.usage.event import EVENT_TYPE

        recorded_at = time.time_ns() // 1000
        if occurred_at is None:
            occurred_at = recorded_at
        elif type(occurred_at) is not int:
            raise ValueError(f"occurred_at: must be whole microseconds UTC, not {occurred_at!r}")
        checked_moment(occurred_at, text=str(occurred_at))
        data: dict[str, object] = {
            "model": model,
            "service_tier": service_tier,
            "region": region,
            "units": dict(units),
            "outcome": outcome,
            "dimensions": dict(dimensions or {}),
            "attributes": dict(attributes or {}),
        }
        if request_tokens is not None:
            data["request_tokens"] = request_tokens
        event = {
            "specversion": "1.0",
            "type": EVENT_TYPE,
            "id": uuid.uuid4().hex if id is None else id,
            "source": self.source,
            "subject": account,
            "time": moment_text(occurred_at),
            "data": data,
        }
        return self._record(msgspec.json.encode(event), recorded_at=recorded_at)

    def record_event(self, text: bytes) -> str:
        """Put one event on the disk that is a CloudEvent as JSON already, and return its id.

        Raises as ``record`` does.
        """
        return self._record(text, recorded_at=time.time_ns() // 1000)

    def _record(self, text: bytes, *, recorded_at: int) -> str:
        from pricing_rules.usage.event import load_event

        event = load_event(text, name="event")
        if b"\n" in text:  # between tokens: in a string it would be an escape
            text = text.replace(b"\n", b" ")
        self._sender.start()
        self._spool.append(text, recorded_at=recorded_at)
        if self._spool.appended - self._woken_after >= self._batch_events:
            self._woken_after = self._spool.appended
            self._sender.wake()
        return event.id

    @property
    def counters(self) -> Counters:
        """What this client has done so far."""
        return Counters(recorded=self._spool.appended, **asdict(self._sender.sent))

    def pending(self) -> int:
        """How many events of the spool the service has not answered for."""
        return self._spool.counts()[0]

    def refused(self) -> tuple[RefusedEvent, ...]:
        """The events of the spool that the service refused, each with the reason."""
        return self._spool.refused()

    def retry_refused(self) -> int:
        """Send the refused events anew, when what made them refused was mended; how many."""
        count = self._spool.retry_refused()
        self._sender.wake()
        return count

    def flush(self, *, timeout_s: float) -> bool:
        """Wait until the service has answered for all that is in the spool now.

        False where it has not in that time; the events stay in the spool.
        """
        return self._sender.flush(timeout_s=timeout_s)

    def close(self, *, timeout_s: float = 5.0) -> None:
        """Send what waits, as far as it goes in that time, and let go of the spool.

        What is left is sent by the next client of the spool.
        """
        _CLIENTS.discard(self)
        with suppress(SpoolError):  # closed before, or a disk that failed: what is there stays
            self._sender.flush(timeout_s=timeout_s)
        self._sender.stop(timeout_s=timeout_s)
        self._spool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


_CLIENTS: WeakSet[UsageClient] = WeakSet()
_forking: list[UsageClient] = []
"""Those that are open, and those that were when a fork began."""


def _before_fork() -> None:
    _forking.extend(_CLIENTS)
    for one in _forking:
        one._spool.before_fork()


def _after_fork_in_parent() -> None:
    for one in _forking:
        one._spool.after_fork_in_parent()
    _forking.clear()


def _after_fork_in_child() -> None:
    for one in _forking:
        one._spool.after_fork_in_child()
        one._sender.after_fork_in_child()
    _forking.clear()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork_in_parent,
    after_in_child=_after_fork_in_child,
)

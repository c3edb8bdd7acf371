"""The sender: a thread that brings what is in a spool to the service, for as long as it takes.

Invariant: an event is let go of only after the service answered for it; whatever else it answers,
or does not, the event stays and is sent again, and one that is refused holds up no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from billing.client.delivery import (
    Delivery,
    SetUpError,
    TooLargeError,
    TryLaterError,
    UnfitBatchError,
)
from billing.client.spool import Refusal, Spool, SpoolError, WaitingEvent

if TYPE_CHECKING:
    import tenacity

FIRST_WAIT_S = 0.1
_POLL_S = 0.05

_log = logging.getLogger("tokenworks.client")


@dataclass(slots=True, kw_only=True)
class Sent:
    """What a sender has done since it was made; only its own thread counts.

    ``accepted``, ``duplicate`` and ``refused`` are the verdicts of the service; ``retries`` are
    deliveries that had to be made again.
    """

    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    deliveries: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a spool is sent: so many events and bytes (before packing) in a batch, an event waiting
    ``linger_s`` at most, and ``longest_wait_s`` between two tries unless the service asks for more.
    """

    batch_events: int
    batch_bytes: int
    linger_s: float
    longest_wait_s: float


class Sender:
    """Sends a spool in a thread of its own, while no other process does."""

    def __init__(self, spool: Spool, *, delivery: Delivery, pace: Pace) -> None:
        self.spool = spool
        self.delivery = delivery
        self.pace = pace
        self.sent = Sent()
        self._limit_events = pace.batch_events
        self.after_fork_in_child()

    def after_fork_in_child(self) -> None:
        """Forget the thread of the parent, and what it may have held at that moment."""
        self.delivery.after_fork_in_child()
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread where it does not run; nothing once it was stopped."""
        if self._stop.is_set() or self._runs():
            return
        with self._starting:
            if not self._runs():
                self._thread = threading.Thread(
                    target=self._run, name="tokenworks-sender", daemon=True
                )
                self._thread.start()

    def _runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Send now: a batch is full."""
        self._wake.set()

    def flush(self, *, timeout_s: float) -> bool:
        """Wait until all that is in the spool now was answered for; False where time ran out."""
        deadline_s = time.monotonic() + timeout_s
        last = self.spool.last_seq()
        self.start()
        self._hurry.set()
        self._wake.set()
        while (first := self.spool.first_seq()) is not None and first <= last:
            if self._stop.wait(_POLL_S) or time.monotonic() >= deadline_s:
                return False
        return True

    def stop(self, *, timeout_s: float) -> None:
        """Stop the thread; a delivery that is under way longer than that is given up."""
        self._stop.set()
        self._hurry.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        # Imported now: a gateway starts without it.
        from tenacity import RetryError

        retrying = self._retrying()
        while not self._stop.is_set():
            self._wake.wait(self.pace.linger_s)
            self._wake.clear()
            self._hurry.clear()
            try:
                if self.spool.may_send():
                    last = self.spool.last_seq()
                    while retrying(self._send_batch, last):
                        pass
            except RetryError:  # told to stop while it did not succeed
                return
            except (OSError, SpoolError) as error:
                if not self._stop.is_set():
                    _log.error("%s; nothing is sent until that is mended", error)

    def _retrying(self) -> tenacity.Retrying:
        # Imported now: a gateway starts without it.
        import tenacity

        longest_s = self.pace.longest_wait_s
        growing = tenacity.wait_random_exponential(multiplier=FIRST_WAIT_S, max=longest_s)
        slow = tenacity.wait_random(longest_s / 2, longest_s)

        def wait_s(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, TryLaterError):
                return error.asked_s + growing(state)
            return slow(state)

        return tenacity.Retrying(
            wait=wait_s,
            sleep=self._sleep,
            before_sleep=self._note,
            stop=tenacity.stop_when_event_set(self._stop),
        )

    def _sleep(self, seconds: float) -> None:
        self._hurry.wait(seconds)
        self._hurry.clear()

    def _note(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self.sent.retries += 1
        if isinstance(error, TryLaterError):
            _log.warning("%s; trying again", error)
        elif isinstance(error, SetUpError | SpoolError):
            _log.error("%s; nothing is sent until that is mended", error)
        else:
            _log.error("a fault of ours; trying again", exc_info=error)

    def _send_batch(self, through_seq: int) -> bool:
        """Send what waits longest, up to that event; False where nothing waits, or no more is to
        be sent.

        What comes meanwhile waits for the next round, or each delivery would be of a few events.
        """
        batch = self.spool.next_batch(
            through_seq=through_seq,
            max_events=self._limit_events,
            max_bytes=self.pace.batch_bytes,
        )
        if not batch or self._stop.is_set():
            return False
        self._deliver(batch)
        return True

    def _deliver(self, batch: Sequence[WaitingEvent]) -> None:
        self.sent.deliveries += 1
        try:
            answers = self.delivery.post([one.text for one in batch])
        except UnfitBatchError as error:
            self._divide(batch, error=error)
            return
        for said in answers:
            if said.verdict == "accepted":
                self.sent.accepted += 1
            elif said.verdict == "duplicate":
                self.sent.duplicate += 1
        refused = [
            Refusal(seq=one.seq, verdict=said.verdict, pointer=said.pointer, reason=said.reason)
            for one, said in zip(batch, answers, strict=True)
            if said.verdict in ("conflict", "rejected")
        ]
        apart = {one.seq for one in refused}
        self._settle([one.seq for one in batch if one.seq not in apart], refused=refused)

    def _divide(self, batch: Sequence[WaitingEvent], *, error: UnfitBatchError) -> None:
        """Send the halves of a batch that is refused as a whole; what is one event is set aside."""
        middle = len(batch) // 2
        if not middle:
            # It was too large by itself: others may come in many again.
            self._limit_events = self.pace.batch_events
            alone = Refusal(seq=batch[0].seq, verdict="rejected", pointer="", reason=str(error))
            self._settle([], refused=[alone])
            return
        if isinstance(error, TooLargeError):
            self._limit_events = middle
        for half in (batch[:middle], batch[middle:]):
            self._deliver(half)

    def _settle(self, stored: Sequence[int], *, refused: Sequence[Refusal]) -> None:
        self.sent.refused += len(refused)
        for one in refused:
            _log.error("event %d was refused (%s): %s", one.seq, one.verdict, one.reason)
        now_at = time.time_ns() // 1000
        self.spool.settle(stored=stored, refused=refused, settled_at=now_at)

"""The writer: one thread that stores the events of many waiting requests in one transaction.

Invariant: a request is settled as stored only after the transaction that holds its events was
committed to disk; a request that fails leaves nothing, and takes no other down with it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from queue import Empty, SimpleQueue

import msgspec
from msgspec.structs import replace

from billing.intake.event_request import RefusedEvent
from billing.log import logger
from billing.operations.grid import AccountCuts
from billing.operations.taken_in import keep_totals
from billing.store.deliveries import Delivery, Refusal, append_delivery
from billing.store.epochs import current_epoch
from billing.store.events import NewEvent, Verdict, append_events
from billing.store.store import (
    Connection,
    Store,
    StoreBusyError,
    StoreError,
    StoreLostError,
    StoreStoppedError,
)
from pricing_rules.period import moment_text

EVENTS_AT_ONCE = 10_000
"""Events of one transaction; a request is never divided."""

GATHER_LOOK_S = 0.0005
GATHER_LOOKS = 8
"""How often, and so many times at most, is looked for more before a commit."""

COMMITS_REMEMBERED = 1_000
"""After so many commits the cuts of accounts are read anew, so that memory stays bounded."""

_OF_THE_STORE = (StoreBusyError, StoreLostError, StoreStoppedError)
"""Errors that say nothing of what was to be stored."""

_log = logger("writer")


class Submission(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The events of one request. ``owner``: whose identities they have; ``request``: its id.

    ``rows``: the place of each event in the request, from 1; ``refused``: what is not stored.
    """

    request: str
    owner: str
    rows: Sequence[int]
    events: Sequence[NewEvent]
    refused: Sequence[RefusedEvent]

    @property
    def received(self) -> int:
        """How many the request had in all."""
        return len(self.events) + len(self.refused)


class Unread(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A request of one event that the writer reads: many in a row take a third of the time that
    each takes by itself, between other work.

    ``read`` gives its submission once, or raises why it has none.
    """

    request: str
    read: Callable[[], Submission]

    @property
    def received(self) -> int:
        """One, whether it is an event or not."""
        return 1


class Settled(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What became of what was submitted: verdicts in the order of its rows, or the error.

    ``submission``: what it was read as; without events where that failed. ``group``: how many were
    settled with one commit, which took ``commit_s``.
    """

    asked: Submission | Unread
    submission: Submission
    verdicts: tuple[Verdict, ...] = ()
    error: Exception | None = None
    group: int
    commit_s: float


_Read = tuple[Submission | Unread, Submission]
"""What was submitted, and the submission that it was read as."""


class WriterFullError(StoreError):
    """So many events wait for the disk that no more are taken: later they may be."""


class WriterStoppedError(StoreError):
    """The writer was stopped."""


@dataclass(slots=True, kw_only=True)
class Writer:
    """Takes submissions from any thread and settles them from its own, group by group.

    ``clock``: gives the moment at which a group comes in. ``announce`` is called in the writer's
    thread with each group that is settled, and must not block. ``waiting_events``: beyond so many
    ``submit`` raises.
    """

    store: Store
    clock: Callable[[], int]
    announce: Callable[[Sequence[Settled]], None]
    waiting_events: int
    waiting: int = field(default=0, init=False)
    """Events that wait, or are being stored."""
    _queue: SimpleQueue[Submission | Unread | None] = field(default_factory=SimpleQueue, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)
    _cuts: AccountCuts = field(default_factory=AccountCuts, init=False)
    _commits: int = field(default=0, init=False)
    _name: str = field(default_factory=lambda: uuid.uuid4().hex, init=False)
    """Its deliveries are named after it and numbered: their rows then lie side by side."""

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Settle what was submitted, then end the thread."""
        with self._lock:
            self._stopping = True
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    @property
    def running(self) -> bool:
        """Whether submissions are settled."""
        alive = self._thread is not None and self._thread.is_alive()
        return alive and self.store.stopped is None

    def submit(self, submission: Submission | Unread) -> None:
        """Queue a submission. WriterFullError where too many events wait, WriterStoppedError where
        nothing is taken any more.
        """
        received = submission.received
        with self._lock:
            if self._stopping:
                raise WriterStoppedError(self.store.where, "the service is stopping; try again")
            if self.waiting and self.waiting + received > self.waiting_events:
                raise WriterFullError(
                    self.store.where, f"{self.waiting:,} events wait to be stored; try again"
                )
            self.waiting += received
            self._queue.put(submission)

    def _run(self) -> None:
        ending = False
        group: list[Submission | Unread] = []
        while not ending:
            one = self._queue.get()
            if one is not None and len(group) > 1:
                self._gather()
            group = []
            events = 0
            while one is not None:
                group.append(one)
                events += one.received
                if events >= EVENTS_AT_ONCE:
                    break
                try:
                    one = self._queue.get_nowait()
                except Empty:
                    break
            ending = one is None
            if group:
                settled = self._read_and_settled(group)
                with self._lock:
                    self.waiting -= events
                self._tell(settled)

    def _gather(self) -> None:
        """Wait for as long as more and more wait: a commit costs hardly more for many.

        Only where many came before: one who sends alone is not kept waiting.
        """
        waited = 0
        for _ in range(GATHER_LOOKS):
            time.sleep(GATHER_LOOK_S)
            waiting = self.waiting
            if waiting <= waited or waiting >= EVENTS_AT_ONCE:
                break
            waited = waiting

    def _tell(self, settled: Sequence[Settled]) -> None:
        try:
            self.announce(settled)
        except Exception:  # the thread must live: others wait
            _log.exception("not_announced", requests=len(settled))

    def _read_and_settled(self, group: Sequence[Submission | Unread]) -> list[Settled]:
        """What became of a group, in no order; what cannot be read is none of those stored."""
        read: list[_Read] = []
        unfit: list[Settled] = []
        for one in group:
            try:
                read.append((one, one if isinstance(one, Submission) else one.read()))
            except Exception as error:
                unfit.append(_unfit(one, error=error))
        return (self._settled(read) if read else []) + unfit

    def _settled(self, group: Sequence[_Read]) -> list[Settled]:
        started_s = time.perf_counter()
        verdicts: list[tuple[Verdict, ...]] = [()] * len(group)
        failed: Exception | None = None
        try:
            verdicts = self._stored([one for _, one in group])
        except Exception as error:
            # What one request holds may be more than the store can take: the others are tried
            # without it. Where it is the store that cannot, trying each alone is in vain, and
            # where it may have stored them all, would count them twice.
            if len(group) > 1 and not isinstance(error, _OF_THE_STORE):
                return [settled for one in group for settled in self._settled([one])]
            if not isinstance(error, StoreError):
                _log.exception("not_stored", request_id=group[0][1].request)
            failed = error
        commit_s = time.perf_counter() - started_s
        return [
            Settled(
                asked=asked,
                submission=one,
                verdicts=given,
                error=failed,
                group=len(group),
                commit_s=commit_s,
            )
            for (asked, one), given in zip(group, verdicts, strict=True)
        ]

    def _stored(self, group: Sequence[Submission]) -> list[tuple[Verdict, ...]]:
        """Store a group in one transaction: verdicts for each, in the order of its rows."""
        received_at = self.clock()
        if self._commits % COMMITS_REMEMBERED == 0:
            self._cuts = AccountCuts()
        self._commits += 1
        delivery = f"http:{self._name}-{self._commits}"
        events = [_received(one.events, received_at=received_at) for one in group]

        def store_it(connection: Connection) -> list[tuple[Verdict, ...]]:
            epoch = current_epoch(connection)
            given: list[tuple[Verdict, ...]] = [()] * len(group)
            new: list[NewEvent] = []
            # Owner by owner, since identities are apart by owner.
            for owner in sorted({one.owner for one in group}):
                places = [place for place, one in enumerate(group) if one.owner == owner]
                rows = [event for place in places for event in events[place]]
                verdicts = append_events(
                    connection, owner=owner, rows=rows, epoch=epoch, received_at=received_at
                )
                of_all = iter(verdicts)
                for place in places:
                    given[place] = tuple(islice(of_all, len(events[place])))
                new += [
                    event
                    for event, verdict in zip(rows, verdicts, strict=True)
                    if verdict.kind == "accepted"
                ]
            if new:
                keep_totals(connection, events=new, epoch=epoch, cuts=self._cuts)
            _record(
                connection, delivery=delivery, group=group, given=given, received_at=received_at
            )
            return given

        return self.store.beside(store_it)


def _unfit(one: Submission | Unread, *, error: Exception) -> Settled:
    """What became of a request that cannot be read."""
    nothing = Submission(request=one.request, owner="", rows=(), events=(), refused=())
    return Settled(asked=one, submission=nothing, error=error, group=1, commit_s=0.0)


def _received(events: Sequence[NewEvent], *, received_at: int) -> Sequence[NewEvent]:
    """Events that came in: those that state no moment happened at this one."""
    return [
        event if event.timed_by == "event" else replace(event, occurred_at=received_at)
        for event in events
    ]


def _record(
    connection: Connection,
    *,
    delivery: str,
    group: Sequence[Submission],
    given: Sequence[tuple[Verdict, ...]],
    received_at: int,
) -> None:
    """The counters of the group, and its refused events, numbered through the group."""
    counts = {"accepted": 0, "duplicate": 0, "conflict": 0, "rejected": 0}
    refusals: list[Refusal] = []
    received = 0
    for one, verdicts in zip(group, given, strict=True):
        for refused in one.refused:
            reason = f"request {one.request}, event {refused.row}: {refused.reason}"
            refusals.append(Refusal(row=received + refused.row, verdict="rejected", reason=reason))
            counts["rejected"] += 1
        for row, event, verdict in zip(one.rows, one.events, verdicts, strict=True):
            counts[verdict.kind] += 1
            if verdict.kind == "conflict":
                sentence = _conflict(event, verdict=verdict)
                reason = f"request {one.request}, event {row}: {sentence}"
                refusals.append(Refusal(row=received + row, verdict="conflict", reason=reason))
        received += one.received
    counters = Delivery(
        delivery=delivery,
        file="/v1/events",
        first_row=1,
        received=received,
        received_at=received_at,
        **counts,
    )
    append_delivery(connection, delivery=counters, refusals=refusals)


def _conflict(event: NewEvent, *, verdict: Verdict) -> str:
    return (
        f'the event "{event.id}" of "{event.source}" has other content here than the one that '
        f"came in at {moment_text(verdict.first_received_at)}, which stands"
    )

"""The service: what its routes share, from start to stop.

Invariant: a request whose events were handed to the writer is answered with what became of them,
and only after they were committed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette

from billing.api.access import Access
from billing.api.deadlines import Deadlines
from billing.api.metrics import Metrics
from billing.api.problems import unavailable
from billing.api.webhook_metrics import WebhookMetrics
from billing.log import logger
from billing.operations.webhook import reach_of
from billing.operations.webhook_sending import Attempted, WebhookSender
from billing.operations.writer import Settled, Submission, Unread, Writer
from billing.settings import Settings
from billing.store.store import Store
from billing.webhooks.posting import Poster

READERS = 4
"""Threads that answer questions about usage."""

COMMANDERS = 4
"""Threads that do what commands ask for."""

AT_ONCE = 64

_log = logger("service")

T = TypeVar("T")

_Waiting = tuple[Callable[[Settled], Any], asyncio.Future[Any]]
"""Who waits for a submission: how its answer is made, and where that is put."""


class Threads:
    """Some threads for one kind of work, and a bound on how much of it may wait."""

    def __init__(self, name: str, *, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._begun = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What the work gives. Problem 503 where too much waits."""
        if self._begun >= AT_ONCE:
            raise unavailable("too many requests wait for an answer; try again")
        self._begun += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._ended)
        return await future

    def stop(self, *, drained: bool) -> None:
        """End the threads; ``drained``: what waits is done first."""
        self._pool.shutdown(cancel_futures=not drained)

    def _ended(self, _future: asyncio.Future[T]) -> None:
        self._begun -= 1


@dataclass(slots=True, kw_only=True)
class Service:
    """One process of the service on an open store. ``clock`` gives microseconds since 1970 UTC.

    ``workers``: so many processes serve; each keeps to its share of the limits. ``counters``: the
    folder of what all of them count, None where one serves.
    """

    store: Store
    settings: Settings
    clock: Callable[[], int]
    workers: int = 1
    counters: Path | None = None
    access: Access = field(init=False)
    writer: Writer = field(init=False)
    webhooks: WebhookSender = field(init=False)
    webhook_metrics: WebhookMetrics = field(init=False)
    metrics: Metrics = field(init=False)
    body_deadlines: Deadlines = field(init=False)
    """When the body of a request must have arrived."""
    _waiting: dict[Submission | Unread, _Waiting] = field(default_factory=dict, init=False)
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _readers: Threads = field(init=False)
    _commanders: Threads = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics(counters=self.counters)
        self.body_deadlines = Deadlines(self.settings.body_timeout_s)
        self._readers = Threads("reader", threads=READERS)
        self._commanders = Threads("commander", threads=COMMANDERS)
        self.access = Access(
            store=self.store,
            clock=self.clock,
            fresh_s=self.settings.key_fresh_s,
            requests_per_s=self.settings.requests_per_s,
            workers=self.workers,
        )
        self.writer = Writer(
            store=self.store,
            clock=self.clock,
            announce=self._announce,
            waiting_events=math.ceil(self.settings.waiting_events / self.workers),
        )
        self.webhook_metrics = WebhookMetrics(self.metrics.registry)
        self.webhooks = WebhookSender(
            store=self.store,
            poster=Poster(reach=reach_of(self.settings)),
            clock=self.clock,
            tell=self._attempted,
        )

    @asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        """The lifespan of the application: the writer runs inside, and is drained at the end."""
        self._loop = asyncio.get_running_loop()
        self.writer.start()
        self.webhooks.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self.writer.stop)
            await asyncio.to_thread(self.webhooks.stop)
            await asyncio.to_thread(self._commanders.stop, drained=True)
            await asyncio.to_thread(self._readers.stop, drained=False)

    async def stored(self, submission: Submission | Unread, *, answer: Callable[[Settled], T]) -> T:
        """What is answered to a submission, once that is on disk.

        ``answer`` makes it of what became of the submission, in the writer's thread: those of a
        group in a row, and the loop is woken once for all of them. Raises what the writer failed
        with; StoreError where it takes nothing now.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting[submission] = (answer, future)
        try:
            self.writer.submit(submission)
            return await future
        finally:
            del self._waiting[submission]

    async def reading(self, question: Callable[[], T]) -> T:
        """The answer to a question that reads the store, from a thread of its own.

        Problem 503 where too many wait.
        """
        return await self._readers.run(question)

    async def commanding(self, work: Callable[[], T]) -> T:
        """What a piece of work gives that writes to the store, from a thread of its own.

        It is done whole, also where nobody waits for it any more. Problem 503 where too many wait.
        """
        return await self._commanders.run(work)

    def _attempted(self, one: Attempted) -> None:
        self.webhook_metrics.attempted(one.became)
        _log.info("webhook_attempted", **asdict(one))

    def _announce(self, group: Sequence[Settled]) -> None:
        try:
            self.metrics.settled(group, waiting=self.writer.waiting)
        except Exception:  # what is stored is answered, whether it can be counted or not
            _log.exception("not_counted", requests=len(group))
        answered: list[tuple[asyncio.Future[Any], Any]] = []
        for one in group:
            waiting = self._waiting.get(one.asked)
            if waiting is not None:  # else nobody waits for it any more
                answer, future = waiting
                answered.append((future, _answered(one, answer=answer)))
        self._loop.call_soon_threadsafe(_settle, answered)


def _answered(one: Settled, *, answer: Callable[[Settled], Any]) -> Any:
    """What is answered, or the error that is raised instead."""
    if one.error is not None:
        return one.error
    try:
        return answer(one)
    except Exception as error:  # of one request: others wait
        return error


def _settle(answered: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, said in answered:
        if future.done():  # nobody waits for it any more
            continue
        if isinstance(said, Exception):
            future.set_exception(said)
        else:
            future.set_result(said)

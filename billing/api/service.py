"""The service: what its routes share, from start to stop.

Invariant: a request whose events were handed to the writer is answered with what became of them,
and only after they were committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.applications import Starlette

from billing.api.access import Access
from billing.api.metrics import Metrics
from billing.api.problems import unavailable
from billing.operations.writer import Settled, Submission, Writer
from billing.settings import Settings
from billing.store.store import Store

READERS = 4
"""Threads that answer questions about usage."""

_READS_AT_ONCE = 64

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Service:
    """One process of the service on an open store. ``clock`` gives microseconds since 1970 UTC."""

    store: Store
    settings: Settings
    clock: Callable[[], int]
    access: Access = field(init=False)
    writer: Writer = field(init=False)
    metrics: Metrics = field(default_factory=Metrics, init=False)
    _waiting: dict[Submission, asyncio.Future[Settled]] = field(default_factory=dict, init=False)
    _loop: asyncio.AbstractEventLoop | None = field(default=None, init=False)
    _readers: ThreadPoolExecutor = field(init=False)
    _reads: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="reader")
        self.access = Access(
            store=self.store,
            clock=self.clock,
            fresh_s=self.settings.key_fresh_s,
            requests_per_s=self.settings.requests_per_s,
        )
        self.writer = Writer(
            store=self.store,
            clock=self.clock,
            announce=self._announce,
            waiting_events=self.settings.waiting_events,
        )

    @asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        """The lifespan of the application: the writer runs inside, and is drained at the end."""
        self._loop = asyncio.get_running_loop()
        self.writer.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self.writer.stop)
            self._readers.shutdown(cancel_futures=True)

    async def stored(self, submission: Submission) -> Settled:
        """What became of a submission, once that is on disk.

        Raises what the writer failed with; StoreError where it takes nothing now.
        """
        future: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self._waiting[submission] = future
        try:
            self.writer.submit(submission)
            settled = await future
        finally:
            del self._waiting[submission]
        if settled.error is not None:
            raise settled.error
        return settled

    async def reading(self, question: Callable[[], T]) -> T:
        """The answer to a question that reads the store, from a thread of its own.

        Problem 503 where too many wait.
        """
        if self._reads >= _READS_AT_ONCE:
            raise unavailable("too many questions wait for an answer; try again")
        self._reads += 1
        future = asyncio.get_running_loop().run_in_executor(self._readers, question)
        future.add_done_callback(self._read)
        return await future

    def _read(self, _future: asyncio.Future[T]) -> None:
        self._reads -= 1

    def _announce(self, group: Sequence[Settled]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._settle, group)

    def _settle(self, group: Sequence[Settled]) -> None:
        self.metrics.settled(group, waiting=self.writer.waiting)
        for one in group:
            future = self._waiting.get(one.submission)
            if future is not None and not future.done():
                future.set_result(one)

"""Bounds of time on many short pieces of work.

``asyncio.timeout`` bounds one, and costs more than most of them take: here all are looked through a
few times while one of them may last, and only what is then near its end has a timer.

Invariant: work that takes longer is ended at its bound, not at the next look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

_LOOKS = 8
"""How often all are looked through in the time that one has."""

T = TypeVar("T")


class _Bound:
    """The end of a piece of work in a task; ``reached``: the task was cancelled for it."""

    __slots__ = ("ends_s", "reached", "task")

    def __init__(self, task: asyncio.Task[Any], *, ends_s: float) -> None:
        self.task = task
        self.ends_s = ends_s
        self.reached = False


class Deadlines:
    """Bounds of one length, ``seconds``, on work in one event loop."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._bounds: dict[_Bound, None] = {}
        """The first to begin is the first to end: they stay sorted."""
        self._looking = False

    async def within(self, work: Awaitable[T]) -> T:
        """What a piece of work gives. TimeoutError where it takes longer: then it was cancelled."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        others = task.cancelling()
        bound = _Bound(task, ends_s=loop.time() + self.seconds)
        self._bounds[bound] = None
        if not self._looking:
            self._look(loop)
        try:
            return await work
        except asyncio.CancelledError:
            # Who else cancelled it is not told that time is up.
            if not bound.reached or task.cancelling() > others + 1:
                raise
            raise TimeoutError from None
        finally:
            del self._bounds[bound]
            if bound.reached:
                task.uncancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set a timer for each that ends before the next look; without any there is none."""
        self._looking = bool(self._bounds)
        if not self._looking:
            return
        next_s = loop.time() + self.seconds / _LOOKS
        for bound in self._bounds:
            if bound.ends_s > next_s:
                break
            loop.call_at(bound.ends_s, self._end, bound)
        loop.call_at(next_s, self._look, loop)

    def _end(self, bound: _Bound) -> None:
        """Cancel the task of a piece of work, where that still goes on."""
        if bound in self._bounds and not bound.reached:
            bound.reached = True
            bound.task.cancel()

"""Bounds of time on many short pieces of work.

A timer for each costs more than most of them take: all are looked through a few times while one of
them may last, and only what is then near its end has a timer.

Invariant: work that takes longer is ended at its bound, not at the next look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

_LOOKS = 8
"""How often all are looked through in the time that one has."""

T = TypeVar("T")


class Deadlines:
    """Bounds of one length, ``seconds``, on work in one event loop."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._ends_s: dict[asyncio.Timeout, float] = {}
        self._looking = False

    async def within(self, work: Awaitable[T]) -> T:
        """What a piece of work gives. TimeoutError where it takes longer: then it was cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as bound:
            # The first to begin is the first to end: they stay sorted.
            self._ends_s[bound] = loop.time() + self.seconds
            if not self._looking:
                self._look(loop)
            try:
                return await work
            finally:
                del self._ends_s[bound]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set a timer for each that ends before the next look; without any there is none."""
        self._looking = bool(self._ends_s)
        if not self._looking:
            return
        next_s = loop.time() + self.seconds / _LOOKS
        for bound, ends_s in self._ends_s.items():
            if ends_s > next_s:
                break
            if bound.when() is None:
                bound.reschedule(ends_s)
        loop.call_at(next_s, self._look, loop)

"""A connection that sends an answer whole: its head and its body are written one after the other,
and each would be a system call and a packet.

Invariant: bytes leave in the order in which they were written, at the latest when the loop has its
next turn.
"""

from __future__ import annotations

import asyncio
from typing import Any


class JoinedWrites:
    """A transport that sends together what is written in one turn of the loop; in all else it is
    the transport that it is given.
    """

    def __init__(self, transport: asyncio.Transport, *, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send bytes, in the next turn of the loop."""
        if not self._held:
            self._loop.call_soon(self.send)
        self._held.append(data)

    def close(self) -> None:
        """Send what was written, then close the connection."""
        self.send()
        self._transport.close()

    def send(self) -> None:
        """Send what was written, now."""
        held, self._held = self._held, []
        if held and not self._transport.is_closing():  # else nobody reads it any more
            self._transport.write(b"".join(held))

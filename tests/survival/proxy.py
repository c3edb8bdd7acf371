"""A proxy between two ends of a connection, which cuts it where it is told.

Invariant: what it cuts, it cuts at both ends at once; what it does not cut, it passes on unchanged.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Cut(Exception):
    """Raised by what looks at passing bytes, to cut the connection before they are passed on."""


@dataclass(slots=True, kw_only=True)
class Passing:
    """One connection that passes: what was seen of it so far."""

    asked: bytes = b""
    """What the caller sent since the last answer began."""
    wrote: bool = False
    """For those who look: whether something was written since the last commit."""


Look = Callable[[Passing, bytes], bytes]
"""Looks at a part of an answer; gives what is passed on of it, or raises ``Cut``."""


@dataclass(slots=True, kw_only=True)
class Proxy:
    """Passes connections on to ``connect``, and every part of an answer through ``look``."""

    connect: Callable[[], Awaitable[Streams]]
    look: Look
    cuts: int = field(default=0, init=False)
    _passing: set[asyncio.Task[None]] = field(default_factory=set, init=False)

    async def end(self) -> None:
        """Cut what still passes."""
        for one in self._passing:
            one.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on until either end closes it, or it is cut."""
        passing = asyncio.ensure_future(self._serve(reader, writer=writer))
        # One that is cancelled before it began closes nothing by itself.
        passing.add_done_callback(lambda _: writer.transport.abort())
        self._passing.add(passing)

    async def _serve(self, reader: asyncio.StreamReader, *, writer: asyncio.StreamWriter) -> None:
        passing = Passing()
        ends = [writer]
        ways: list[asyncio.Task[None]] = []
        try:
            to_reader, to_writer = await self.connect()
            ends.append(to_writer)
            asked = self._asked(passing, reader=reader, writer=to_writer)
            answered = self._answered(passing, reader=to_reader, writer=writer)
            ways = [asyncio.create_task(asked), asyncio.create_task(answered)]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in ends:
                end.transport.abort()
                with suppress(OSError):
                    await end.wait_closed()

    async def _asked(
        self, passing: Passing, *, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while part := await reader.read(65_536):
            passing.asked += part
            writer.write(part)
            await writer.drain()

    async def _answered(
        self, passing: Passing, *, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while part := await reader.read(65_536):
            try:
                writer.write(self.look(passing, part))
            except Cut as cut:
                self.cuts += 1
                writer.write(cut.args[0] if cut.args else b"")
                await writer.drain()
                return
            passing.asked = b""


@asynccontextmanager
async def between_callers(port: int, *, look: Look) -> AsyncIterator[tuple[int, Proxy]]:
    """A proxy before a port of this machine: its own port, and itself."""
    proxy = Proxy(connect=lambda: asyncio.open_connection("127.0.0.1", port), look=look)
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], proxy
        server.close()
        await proxy.end()


@asynccontextmanager
async def before_socket(path: str, *, at: str, look: Look) -> AsyncIterator[Proxy]:
    """A proxy before a socket in the file system, listening at another one."""
    proxy = Proxy(connect=lambda: asyncio.open_unix_connection(path), look=look)
    async with await asyncio.start_unix_server(proxy.serve, at) as server:
        yield proxy
        server.close()
        await proxy.end()

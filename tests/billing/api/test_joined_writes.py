"""What is written in one turn of the loop is sent together, in order, and whole before the end."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send
from uvicorn.server import ServerState

from billing.api.joined_writes import JoinedWrites
from billing.api.server import BoundedProtocol, _configured
from billing.settings import Settings


class Wire:
    """A transport that keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.sent.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> str:
        return f"its {name}"


def joined(wire: Wire) -> Any:
    loop = asyncio.get_running_loop()
    return JoinedWrites(cast("asyncio.Transport", wire), loop=loop)


def test_a_head_and_its_body_are_sent_at_once() -> None:
    async def run() -> list[bytes]:
        wire = Wire()
        one = joined(wire)
        one.write(b"head ")
        one.write(b"body")
        assert wire.sent == []
        await asyncio.sleep(0)
        return wire.sent

    assert asyncio.run(run()) == [b"head body"]


TURNS = st.lists(st.lists(st.binary(min_size=1, max_size=4), max_size=3), max_size=4)


@settings(max_examples=50)
@given(turns=TURNS)
def test_what_is_written_is_sent_in_order_with_one_write_for_each_turn(
    turns: list[list[bytes]],
) -> None:
    async def run() -> list[bytes]:
        wire = Wire()
        one = joined(wire)
        for parts in turns:
            for part in parts:
                one.write(part)
            await asyncio.sleep(0)
        return wire.sent

    assert asyncio.run(run()) == [b"".join(parts) for parts in turns if parts]


def test_what_was_written_is_sent_before_the_connection_is_closed() -> None:
    async def run() -> Wire:
        wire = Wire()
        one = joined(wire)
        one.write(b"last ")
        one.write(b"words")
        one.close()
        await asyncio.sleep(0)
        return wire

    wire = asyncio.run(run())
    assert (wire.sent, wire.closed) == ([b"last words"], True)


def test_nothing_is_sent_to_who_has_gone() -> None:
    async def run() -> list[bytes]:
        wire = Wire()
        one = joined(wire)
        one.write(b"too late")
        wire.close()
        await asyncio.sleep(0)
        one.close()
        return wire.sent

    assert asyncio.run(run()) == []


def test_in_all_else_it_is_the_transport_that_it_was_given() -> None:
    async def run() -> tuple[str, bool]:
        one = joined(Wire())
        return one.get_extra_info("peername"), one.is_closing()

    assert asyncio.run(run()) == ("its peername", False)


async def say_ok(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that answers at once."""
    length = (b"content-length", b"2")
    start: Message = {"type": "http.response.start", "status": 200, "headers": [length]}
    await send(start)
    await send({"type": "http.response.body", "body": b"ok"})


def test_who_sends_its_request_and_no_more_is_answered() -> None:
    config = _configured(say_ok, settings=Settings())

    async def run() -> list[bytes]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: BoundedProtocol(
                config=config, server_state=ServerState(), app_state={}, _loop=loop
            ),
            "127.0.0.1",
            0,
        )
        answers = []
        async with server:
            for _ in range(20):
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                writer.write_eof()
                answers.append(await reader.read())
                writer.close()
        return answers

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:  # the loop of a service
        answers = runner.run(run())
    assert [(one[:15], one[-2:]) for one in answers] == [(b"HTTP/1.1 200 OK", b"ok")] * 20

"""Load on a service: requests over several connections, and a record of what was sent and answered.

Invariant: each request holds an event that no other request holds, so that whether it was stored
can be told from the store, and so what must be counted for it, exactly.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

CONNECTIONS = 6
BATCH = 100
SOURCE = "load"
EVENTS_PER_ACCOUNT = 150
"""New accounts come in now and then, as they do."""

_REFUSED_PAUSE_S = 0.01

DUPLICATE_SHARE = 0.02
CONFLICT_SHARE = 0.001
BROKEN_SHARE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEvent:
    """An event of a request: what becomes of it when it is stored the first time."""

    verdict: str
    id: str
    account: str
    count: int

    def line(self) -> str:
        """As JSON; one that is to be rejected is no event."""
        if self.verdict == "rejected":
            return "5"
        return (
            f'{{"specversion":"1.0","type":"tokenworks.usage.v1","id":"{self.id}",'
            f'"source":"{SOURCE}","subject":"{self.account}","time":"2026-10-02T10:00:00Z",'
            '"data":{"model":"m","service_tier":"standard",'
            f'"units":{{"input_tokens":{self.count}}}}}}}'
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Sent:
    """A request, and what is known of it."""

    events: Sequence[SentEvent]
    body: bytes
    stored: bool = False
    """Whether it was found in the store though it was not answered."""

    @property
    def new_ids(self) -> list[str]:
        return [one.id for one in self.events if one.verdict == "accepted"]

    def expected(self) -> list[str]:
        """The verdicts that it gets when it is sent now."""
        again = {"accepted": "duplicate"} if self.stored else {}
        return [again.get(one.verdict, one.verdict) for one in self.events]


@dataclass(slots=True, kw_only=True)
class Load:
    """Requests that are drawn from one seed, over all runs of a service."""

    random: Random
    key: str
    acknowledged: dict[str, SentEvent] = field(default_factory=dict)
    unanswered: list[Sent] = field(default_factory=list)
    """Sent and not answered, or with 503: nobody knows yet whether they are stored."""
    pending: list[Sent] = field(default_factory=list)
    """Sent and not stored: to be sent again."""
    recorded: list[Sent] = field(default_factory=list)
    """Sent, not answered, and stored all the same: to be sent again when nothing is disturbed,
    since only what is new in a request tells whether it was stored.
    """
    counters: Counter[str] = field(default_factory=Counter)
    """What the store must have counted in all."""
    answers: int = 0
    refused: int = 0
    """Answers that say that nothing can be stored now (503)."""
    findings: list[str] = field(default_factory=list)
    _known: list[SentEvent] = field(default_factory=list)
    _number: int = 0

    async def run(self, port: int, *, until: Callable[[], bool]) -> None:
        """Send until that holds, or until the service is gone."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(self._send(port, until=until))

    async def _send(self, port: int, *, until: Callable[[], bool]) -> None:
        """Send on one connection after the other, until none is taken."""
        while not until():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            try:
                await self._send_on(reader, writer=writer, until=until)
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    async def _send_on(
        self,
        reader: asyncio.StreamReader,
        *,
        writer: asyncio.StreamWriter,
        until: Callable[[], bool],
    ) -> None:
        while not until():
            sent = self.pending.pop() if self.pending else self._made()
            try:
                writer.write(self._head(sent) + sent.body)
                status, answer = await _answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                self.unanswered.append(sent)
                return
            if status == 503:
                self.refused += 1
                self.unanswered.append(sent)
                await asyncio.sleep(_REFUSED_PAUSE_S)
            else:
                self._acknowledge(sent, status=status, answer=answer)

    def _head(self, sent: Sent) -> bytes:
        return (
            f"POST /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/x-ndjson\r\ncontent-length: {len(sent.body)}\r\n\r\n"
        ).encode()

    def _made(self) -> Sent:
        size = BATCH if self.random.random() < 0.2 else 1
        events = [self._new_event()]
        for _ in range(size - 1):
            events.append(self._event(of_request=events))
        if size == 1 and self._known and self.random.random() < DUPLICATE_SHARE:
            events.append(self._again("duplicate"))
        body = "\n".join(one.line() for one in events).encode()
        return Sent(events=tuple(events), body=body)

    def _event(self, *, of_request: Sequence[SentEvent]) -> SentEvent:
        drawn = self.random.random()
        if drawn < BROKEN_SHARE:
            return SentEvent(verdict="rejected", id="", account="", count=0)
        drawn -= BROKEN_SHARE
        if drawn < CONFLICT_SHARE and self._known:
            return self._again("conflict")
        drawn -= CONFLICT_SHARE
        if 0 <= drawn < DUPLICATE_SHARE and self._known:
            return self._again("duplicate")
        return self._new_event()

    def _new_event(self) -> SentEvent:
        self._number += 1
        return SentEvent(
            verdict="accepted",
            id=f"e{self._number}",
            account=f"a{max(0, self._number // EVENTS_PER_ACCOUNT - self.random.randrange(3))}",
            count=self.random.randrange(1, 1_000),
        )

    def _again(self, verdict: str) -> SentEvent:
        """An event that was acknowledged, with the same or with another count."""
        one = self.random.choice(self._known)
        count = one.count + (verdict == "conflict")
        return SentEvent(verdict=verdict, id=one.id, account=one.account, count=count)

    def _acknowledge(self, sent: Sent, *, status: int, answer: Any) -> None:
        """Note what the answer says, and where it is not what it must be."""
        expected = sent.expected()
        got = [one["verdict"] for one in answer.get("events", [])]
        refused = {"conflict", "rejected"} & set(expected)
        if status != (207 if refused else 200) or got != expected:
            wrong = [pair for pair in zip(expected, got, strict=False) if pair[0] != pair[1]]
            self.findings.append(
                f"{sent.new_ids[0]} and {len(expected) - 1} more: answered {status}, expected and "
                f"got {wrong[:2]}"
            )
        self._count(sent)
        self.answers += 1
        for one in sent.events:
            if one.verdict == "accepted":
                self.acknowledged[one.id] = one
                self._known.append(one)

    def _count(self, sent: Sent) -> None:
        self.counters += Counter(sent.expected())

    def settle(self, stored: set[str]) -> None:
        """Note what became of the requests that were not answered: whole or not at all."""
        waiting, self.unanswered = self.unanswered, []
        for sent in waiting:
            new = set(sent.new_ids)
            there = new & stored
            if there == new:
                self._count(sent)
                sent.stored = True
                self.recorded.append(sent)
                continue
            self.pending.append(sent)
            if there:
                self.findings.append(
                    f"{min(new)}: {len(there)} of {len(new)} events of a request are stored"
                )

    def send_again(self) -> None:
        """Let what was stored without an answer be sent again: it is a duplicate (fault 6)."""
        assert not self.unanswered
        self.pending += self.recorded
        self.recorded.clear()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head.split(b" ", 2)[1]), json.loads(await reader.readexactly(size))

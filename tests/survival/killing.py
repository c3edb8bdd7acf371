"""Rounds of load on a service that is killed, started again and judged.

Invariant: after each kill, and before anything is sent again, every request that was not answered
is stored whole or not at all.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from billing.store.store import open_store
from tests.house.tree import REPOSITORY
from tests.journeys.made_files import tokenworks
from tests.survival import judge
from tests.survival.forked_services import Order
from tests.survival.load import Load

LINES = {"content-type": "application/x-ndjson"}

LIMIT = 3_000
"""After so many answers in a round the service is killed, wherever it is."""

JUDGED_EVERY = 25

COMMIT_POINTS = ("write.uncommitted", "write.committed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Forking:
    """The process that forks services."""

    process: subprocess.Popen[bytes]
    log: Path

    def start(self, order: Order) -> Service:
        """A service that listens, or that ended before it did."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        self.process.stdin.flush()
        pid = self.said()["pid"]
        line = self._line()
        if line.startswith(b"{"):  # killed before it listened
            return Service(forking=self, pid=pid, port=0, ended=json.loads(line))
        assert line.startswith(b"url,"), line
        port = int(self._line().split(b",")[0].rpartition(b":")[2])
        return Service(forking=self, pid=pid, port=port)

    def said(self) -> dict[str, Any]:
        """The next line of it, or of its service."""
        found: dict[str, Any] = json.loads(self._line())
        return found

    def _line(self) -> bytes:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        return line


@dataclass(slots=True, kw_only=True)
class Service:
    """A forked service."""

    forking: Forking
    pid: int
    port: int
    ended: Mapping[str, Any] | None = None
    reached: Mapping[str, int] = field(default_factory=dict)

    def ask(
        self,
        method: str,
        path: str,
        *,
        key: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] = LINES,
    ) -> tuple[int, Mapping[str, str], Any]:
        """Status, headers and document of an answer, on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            sent = {"authorization": f"Bearer {key}", **headers}
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), json.loads(answer.read())

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> int:
        """Tell it to stop; gives its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        code: int = self.wait()["code"]
        return code

    def wait(self) -> Mapping[str, Any]:
        """What ended it."""
        while self.ended is None:
            said = self.forking.said()
            if "reached" in said:
                self.reached = said["reached"]
            else:
                self.ended = said
        return self.ended


@contextmanager
def forking(folder: Path, *, preloaded: Path | None = None) -> Iterator[Forking]:
    """A process that forks services; what they log goes to a file in the folder.

    ``preloaded``: a library that stands between it and the system.
    """
    environment = {
        **os.environ,
        "TOKENWORKS_LOG_LEVEL": "error",
        "TOKENWORKS_REQUESTS_PER_S": "1000000",
        **({"LD_PRELOAD": str(preloaded)} if preloaded else {}),
    }
    log = folder / "services.log"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "tests.survival.forked_services"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
        ) as process,
    ):
        try:
            yield Forking(process=process, log=log)
        finally:
            process.kill()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """How a round ends: at a point when it is reached for the nth time, or, without a point, so
    many answers and milliseconds after its start.
    """

    point: str = ""
    nth: int = 1
    after_answers: int = LIMIT
    after_ms: int = 0


@dataclass(slots=True, kw_only=True)
class Killed:
    """What became of all rounds."""

    hits: Counter[str] = field(default_factory=Counter)
    """Kills by point; those at any moment under ""."""
    stored_unanswered: Counter[str] = field(default_factory=Counter)
    """Requests that were stored and not answered, by the point of the kill."""


def made_load(place: str, *, seed: int) -> Load:
    """A load with a key for the store."""
    flags = ("--scope", "operator", "--name", "load", "--by", "test", "--format", "json")
    made = tokenworks("key", "make", "--store", place, *flags)
    assert made.code == 0, made.err
    return Load(random=Random(seed), key=made.json["key"])


def undisturbed(forks: Forking, *, place: str, load: Load, bug: str = "") -> Mapping[str, int]:
    """A run in which all that was not answered is sent again, and some more; then all is judged.

    Gives how often each point was reached.
    """
    load.send_again()
    service = forks.start(Order(store=place, bug=bug))
    enough = load.answers + 60
    asyncio.run(load.run(service.port, until=lambda: load.answers >= enough and not load.pending))
    code = service.stop()
    if code or load.pending or load.unanswered:
        waiting = len(load.pending) + len(load.unanswered)
        load.findings.append(f"undisturbed, it ended with {code}, and {waiting} wait")
        load.pending.clear()
        load.unanswered.clear()
    with open_store(place) as store:
        load.findings += judge.findings(store, load=load)
    return service.reached


def killed_rounds(
    forks: Forking, *, place: str, load: Load, kills: Sequence[Kill], bug: str = ""
) -> Killed:
    """A round for each kill; now and then, and at the end, a run that nobody disturbs."""
    found = Killed()
    for number, kill in enumerate(kills, start=1):
        hit = _round(forks, place=place, load=load, kill=kill, bug=bug)
        found.hits[kill.point] += hit
        before = len(load.recorded)
        with open_store(place) as store:
            judge.settle(store, load=load)
        found.stored_unanswered[kill.point] += len(load.recorded) - before
        if number % JUDGED_EVERY == 0 or number == len(kills):
            undisturbed(forks, place=place, load=load, bug=bug)
        if load.findings:
            break
    return found


def _round(forks: Forking, *, place: str, load: Load, kill: Kill, bug: str) -> bool:
    """Whether the kill came where it should."""
    # The service writes other things, too: it is the commit of events that is meant.
    after = "delivery.appended" if kill.point in COMMIT_POINTS else ""
    order = Order(store=place, point=kill.point, nth=kill.nth, after=after, bug=bug)
    service = forks.start(order)
    start = load.answers
    limit = kill.after_answers

    async def meanwhile() -> None:
        sending = asyncio.create_task(load.run(service.port, until=lambda: False))
        while not sending.done() and load.answers < start + limit:
            await asyncio.sleep(0.002)
        await asyncio.sleep(kill.after_ms / 1_000)
        if not sending.done():
            service.kill()
        await sending

    if service.ended is None:
        asyncio.run(meanwhile())
    ended = service.wait()
    assert ended["killed_by"] == signal.SIGKILL, (ended, forks.log.read_text())
    return not kill.point or load.answers < start + LIMIT

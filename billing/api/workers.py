"""Several processes that serve one store from one listening socket, and the parent that keeps them.

uvicorn has a supervisor, which is not used: its workers go on when their parent is killed and keep
the address taken, one that dies at its start is started again at once for ever, and the parent ends
with 0 whatever became of them.

A worker is tied to its parent by one connection. Through it the worker says that it serves; that it
closes, because the parent closed it or has ended, tells the worker to stop.

Invariant: until the parent is told to stop, a worker that ends is followed by another; once it was
told, or has ended however that came, the workers answer what they began and end.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from prometheus_client import values
from prometheus_client.multiprocess import mark_process_dead

from billing.log import logger
from pricing_rules.document import DocumentError

STARTS = 5
"""So many in a row end before they serve, and none serves: the parent gives up."""

STEADY_S = 10.0
"""A worker that served for so long is followed at once, one that ended sooner after a pause."""

FIRST_PAUSE_S = 0.25
MOST_PAUSE_S = 15.0

COUNTED = ("counter", "histogram", "gauge_livesum", "gauge_mostrecent")
"""What a worker counts, as its files are named."""

RESERVED_BYTES = 524_288
"""Of each of these files: twice what the metrics of all routes take."""

_FAILED = 2

_spawn = multiprocessing.get_context("spawn")
_log = logger("workers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What a worker is told when it starts.

    ``number``: from 1; ``workers``: how many there are; ``counters``: the folder of what they
    count; ``parent``: the process that keeps them, and ``line`` the connection to it.
    """

    number: int
    workers: int
    listener: socket.socket
    counters: Path
    parent: int
    line: Connection


Work = Callable[[Worker], None]
"""What a worker does, from start to end; spawned processes must be able to import it."""


def count_in(counters: Path, *, worker: int) -> None:
    """Keep what this process counts from now on in files of a folder, for all workers to tell.

    ``worker``: its number. One that takes the place of another counts on where that one ended, so
    that the files are as many as the workers, however often they end. DocumentError where there is
    no room for them.
    """
    try:
        for name in COUNTED:
            _reserve(counters / f"{name}_{worker}.db")
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise DocumentError(
            str(counters),
            f"cannot hold what workers count ({said}); make room there, or set TMPDIR to another "
            "folder, and start the service anew",
        ) from None
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(counters)
    kept = values.MultiProcessValue(lambda: worker)  # type: ignore[no-untyped-call]
    values.ValueClass = kept


def _reserve(file: Path) -> None:
    """Take the room of a file now: memory of a file that the disk has no room for ends the process
    that first writes there. Who reads the files finds it whole.
    """
    if not file.exists():
        made = file.with_suffix(".made")
        made.write_bytes(bytes(RESERVED_BYTES))
        made.replace(file)


def keep_workers(count: int, *, listener: socket.socket, work: Work) -> None:
    """Start so many workers and keep so many, until SIGINT or SIGTERM; then stop them.

    A second SIGINT lets them end without answering what they began. DocumentError where none comes
    to serve, and where one ended while it stopped before it had answered what it began.
    """
    with TemporaryDirectory(prefix="tokenworks-") as folder, _signals() as told:
        kept = [_Kept(number=number) for number in range(1, count + 1)]
        keeper = _Keeper(
            kept=kept, listener=listener, work=work, counters=Path(folder), signals=told
        )
        keeper.keep()


@dataclass(slots=True, kw_only=True)
class _Kept:
    """The place of one worker, and who has it now.

    ``short``: how many in a row ended soon; ``next_s``: when the next one may start, of
    ``time.monotonic``.
    """

    number: int
    process: SpawnProcess | None = None
    line: Connection | None = None
    serving: bool = False
    began_s: float = 0.0
    next_s: float = 0.0
    short: int = 0

    def ended(self, *, now_s: float) -> None:
        """Nobody has it any more: note when the next may start."""
        steady = self.serving and now_s - self.began_s >= STEADY_S
        self.short = 0 if steady else min(self.short + 1, 10)
        pause_s = min(FIRST_PAUSE_S * 2 ** (self.short - 1), MOST_PAUSE_S)
        self.next_s = now_s + (pause_s if self.short else 0.0)
        self.release()
        self.process, self.serving = None, False

    def release(self) -> None:
        """Close the connection, which tells the worker to stop."""
        if self.line is not None:
            self.line.close()
            self.line = None


@dataclass(slots=True, kw_only=True)
class _Keeper:
    """The parent: starts workers, sees them end, and stops them."""

    kept: list[_Kept]
    listener: socket.socket
    work: Work
    counters: Path
    signals: Connection
    failed: int = 0
    """Starts in a row, of all workers, that came to nothing."""
    stopping: bool = False
    faults: list[str] = field(default_factory=list)

    def keep(self) -> None:
        """Until told to stop, and all have ended."""
        try:
            while not self.stopping or any(one.process for one in self.kept):
                self._start_due()
                self._look()
        finally:
            self._stop()  # also where this fails
        if self.faults:
            raise DocumentError("--workers", self.faults[0])

    def _start_due(self) -> None:
        for one in self.kept:
            if not self.stopping and one.process is None and one.next_s <= time.monotonic():
                self._start(one)

    def _start(self, one: _Kept) -> None:
        one.began_s = time.monotonic()
        try:
            one.process = self._started(one)
        except OSError as error:  # no memory, process or file left: the others go on
            self._failed(one, said=f"cannot be started ({(error.strerror or str(error)).lower()})")

    def _started(self, one: _Kept) -> SpawnProcess:
        one.line, line = _spawn.Pipe()
        with line:
            worker = Worker(
                number=one.number,
                workers=len(self.kept),
                listener=self.listener,
                counters=self.counters,
                parent=os.getpid(),
                line=line,
            )
            process = _spawn.Process(target=_run, args=(self.work, worker))
            process.start()
        return process

    def _look(self) -> None:
        """Wait until something happens, or a worker is due to start."""
        processes = {one.process.sentinel: one for one in self.kept if one.process}
        lines = {one.line: one for one in self.kept if one.line and not one.serving}
        due_s = [one.next_s for one in self.kept if one.process is None]
        pause_s = max(min(due_s) - time.monotonic(), 0) if due_s and not self.stopping else None
        seen = wait([self.signals, *lines, *processes], timeout=pause_s)
        if self.signals in seen:
            self._told(self.signals.recv())
        for line, one in lines.items():
            if line in seen:
                self._said(one, line=line)
        for sentinel, one in processes.items():
            if sentinel in seen:
                self._ended(one)

    def _told(self, number: int) -> None:
        if self.stopping and number == signal.SIGINT:
            for one in self.kept:
                if one.process is not None and one.process.pid is not None:
                    os.kill(one.process.pid, signal.SIGINT)
        self._stop()

    def _said(self, one: _Kept, *, line: Connection) -> None:
        try:
            line.recv_bytes()
        except (EOFError, OSError):  # it is ending, which its process will show
            one.release()
            return
        one.serving, self.failed = True, 0
        _log.info("worker_serves", number=one.number, worker=_pid(one))

    def _ended(self, one: _Kept) -> None:
        assert one.process is not None
        one.process.join()
        code = one.process.exitcode
        said = f"ended by signal {-code}" if code and code < 0 else f"ended with exit code {code}"
        # What it counted stays, what it showed of that moment does not.
        mark_process_dead(one.number, str(self.counters))  # type: ignore[no-untyped-call]
        if not self.stopping and not one.serving:
            self._failed(one, said=said)
            return
        if not self.stopping:
            _log.warning("worker_ended", number=one.number, worker=_pid(one), reason=said)
        elif one.serving and code:
            self.faults.append(f"worker {_pid(one)} {said} before it had answered what it began")
        one.ended(now_s=time.monotonic())

    def _failed(self, one: _Kept, *, said: str) -> None:
        _log.error("worker_not_started", number=one.number, reason=said)
        one.ended(now_s=time.monotonic())
        self.failed += 1
        if self.failed >= STARTS and not any(other.serving for other in self.kept):
            self.faults.append(
                f"no worker comes to serve: {self.failed} in a row failed, the last {said}; mend "
                "what the log says above, then start it anew"
            )
            self._stop()

    def _stop(self) -> None:
        """Tell all to stop; nobody listens any more once they have."""
        self.stopping = True
        self.listener.close()
        for one in self.kept:
            one.release()


@contextmanager
def _signals() -> Iterator[Connection]:
    """What gives the number of each SIGINT and SIGTERM, so that one can wait for it."""
    told, tell = _spawn.Pipe(duplex=False)

    def note(number: int, frame: FrameType | None) -> None:
        tell.send(number)

    before = {one: signal.signal(one, note) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told
    finally:
        for one, action in before.items():
            signal.signal(one, action)
        told.close()
        tell.close()


def _run(work: Work, worker: Worker) -> None:
    """Do the work in the process of a worker; what it cannot is a line of the log."""
    try:
        work(worker)
    except DocumentError as error:
        _log.error("worker_failed", reason=str(error))
        sys.exit(_FAILED)
    except Exception:
        _log.exception("worker_failed")
        sys.exit(_FAILED)


def _pid(one: _Kept) -> int | None:
    return None if one.process is None else one.process.pid

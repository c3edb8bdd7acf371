"""The spool: a SQLite file of the events that the service has not yet answered for.

Several threads and processes of one machine may write to one spool; one process at a time sends
what is in it. Invariant: ``append`` returns when the event is on the disk, an event leaves
``waiting`` only in the transaction that settles it, and what was refused is kept with its reason.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BUSY_TIMEOUT_S = 10.0
"""How long a transaction waits for another process before it is refused."""

_APPLICATION_ID = 0x54775370  # TwSp: tells a spool from any other SQLite file
_VERSION = 1
_PRAGMAS = ("synchronous=FULL", "trusted_schema=OFF", "journal_size_limit=67108864")
_SCHEMA = (
    "CREATE TABLE waiting (seq INTEGER PRIMARY KEY AUTOINCREMENT, text BLOB NOT NULL, "
    "recorded_at INTEGER NOT NULL) STRICT",
    "CREATE TABLE refused (seq INTEGER PRIMARY KEY AUTOINCREMENT, text BLOB NOT NULL, "
    "recorded_at INTEGER NOT NULL, refused_at INTEGER NOT NULL, verdict TEXT NOT NULL, "
    "pointer TEXT NOT NULL, reason TEXT NOT NULL) STRICT",
    # Counting a million rows at each event would take longer than storing it.
    "CREATE TABLE counts (name TEXT PRIMARY KEY, events INTEGER NOT NULL) STRICT",
    "INSERT INTO counts VALUES ('waiting', 0), ('refused', 0)",
    *(
        f"CREATE TRIGGER {table}_{word} AFTER {verb} ON {table} BEGIN "
        f"UPDATE counts SET events = events {sign} 1 WHERE name = '{table}'; END"
        for table in ("waiting", "refused")
        for word, verb, sign in (("in", "INSERT", "+"), ("out", "DELETE", "-"))
    ),
    f"PRAGMA application_id={_APPLICATION_ID}",
    f"PRAGMA user_version={_VERSION}",
)

_BACK = "INSERT INTO waiting (text, recorded_at) SELECT text, recorded_at FROM refused ORDER BY seq"
_REFUSE = (
    "INSERT INTO refused (text, recorded_at, refused_at, verdict, pointer, reason) "
    "SELECT text, recorded_at, ?, ?, ?, ? FROM waiting WHERE seq = ?"
)

_SENTENCES = {
    sqlite3.SQLITE_BUSY: "is in use by another process that is writing; try again",
    sqlite3.SQLITE_FULL: "the disk is full; make room",
    sqlite3.SQLITE_READONLY: "is read-only; make the file and its folder writable",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check its folder and permissions",
    sqlite3.SQLITE_NOTADB: "is not a spool; name another file",
    sqlite3.SQLITE_IOERR: "the disk failed while it was read or written; check the disk",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; move it away, and look at what it holds",
}
"""By primary result code of SQLite."""

_DOUBTED = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT}
"""After one of these nothing is confirmed before the file was opened anew and checked."""


class SpoolError(Exception):
    """The spool cannot do it: one sentence with the file and what to do.

    Where the disk failed, the event may be there all the same: record it again under the same id,
    and it counts once.
    """


class SpoolFullError(SpoolError):
    """The spool holds as many events as it may; nothing was stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingEvent:
    """An event that is to be sent: a CloudEvent as JSON on one line."""

    seq: int
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why the service will not have an event; ``pointer``: JSON pointer of what is wrong."""

    seq: int
    verdict: Literal["conflict", "rejected"]
    pointer: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedEvent:
    """An event that the service refused, and why. Moments are microseconds UTC."""

    text: bytes
    recorded_at: int
    refused_at: int
    verdict: str
    pointer: str
    reason: str


@dataclass(slots=True)
class _Ticket:
    """An event that a thread wants on the disk, and what became of it."""

    text: bytes
    recorded_at: int
    settled: bool = False
    fault: SpoolError | None = None


class Spool:
    """A spool file, made where it is not there; ``max_events``: waiting and refused ones.

    SpoolError where the file is none of ours or cannot be written.
    """

    def __init__(self, file: Path, *, max_events: int) -> None:
        self.file = file
        self.max_events = max_events
        self.appended = 0
        """How many events this object has put on the disk."""
        self._doubted = False
        self._closed = False
        self._opened: sqlite3.Connection | None = None
        self._sending: int | None = None
        self._reset()
        with self._using():
            pass

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._turn = threading.Condition()
        self._tickets: list[_Ticket] = []
        self._committing = False

    def append(self, text: bytes, *, recorded_at: int) -> None:
        """Put an event on the disk; events of several threads go there in one transaction.

        SpoolFullError where there is no room, SpoolError where the disk cannot.
        """
        ticket = _Ticket(text, recorded_at)
        with self._turn:
            self._tickets.append(ticket)
            while self._committing and not ticket.settled:
                self._turn.wait()
            # The first that finds nobody writing writes for all that wait.
            tickets: list[_Ticket] = []
            if not ticket.settled:
                self._committing = True
                tickets, self._tickets = self._tickets, tickets
        if tickets:
            try:
                self._commit(tickets)
            finally:
                with self._turn:
                    self._committing = False
                    for one in tickets:
                        one.settled = True
                    self._turn.notify_all()
        if ticket.fault is not None:
            raise ticket.fault

    def _commit(self, tickets: Sequence[_Ticket]) -> None:
        try:
            with self._transaction() as connection:
                held = connection.execute("SELECT sum(events) FROM counts").fetchone()[0]
                room = max(0, self.max_events - held)
                connection.executemany(
                    "INSERT INTO waiting (text, recorded_at) VALUES (?, ?)",
                    [(one.text, one.recorded_at) for one in tickets[:room]],
                )
        except BaseException as error:
            said = str(error) if isinstance(error, SpoolError) else f"{self.file}: was interrupted"
            for one in tickets:
                one.fault = SpoolError(said)
            if not isinstance(error, SpoolError):
                raise
            return
        self.appended += len(tickets[:room])
        for one in tickets[room:]:
            one.fault = SpoolFullError(
                f"{self.file}: holds {held + room:,} events, as many as it may; see that what "
                "waits is sent, and look at what was refused"
            )

    def next_batch(
        self, *, through_seq: int, max_events: int, max_bytes: int
    ) -> tuple[WaitingEvent, ...]:
        """The events up to that one that wait longest: at most so many, and so many bytes with the
        ends of their lines, but one at least.
        """
        query = "SELECT seq, text FROM waiting WHERE seq <= ? ORDER BY seq LIMIT ?"
        with self._using() as connection:
            rows = connection.execute(query, (through_seq, max_events)).fetchall()
        batch: list[WaitingEvent] = []
        size = 0
        for seq, text in rows:
            size += len(text) + 1
            if batch and size > max_bytes:
                break
            batch.append(WaitingEvent(seq=seq, text=text))
        return tuple(batch)

    def settle(self, *, stored: Sequence[int], refused: Sequence[Refusal], settled_at: int) -> None:
        """Let go of the events of these numbers that are stored, and set aside the refused ones."""
        with self._transaction() as connection:
            connection.executemany(
                _REFUSE,
                [(settled_at, one.verdict, one.pointer, one.reason, one.seq) for one in refused],
            )
            gone = [*stored, *(one.seq for one in refused)]
            connection.executemany("DELETE FROM waiting WHERE seq = ?", [(seq,) for seq in gone])

    def retry_refused(self) -> int:
        """Let all refused events wait again, behind the others, and say how many there are."""
        with self._transaction() as connection:
            connection.execute(_BACK)
            return connection.execute("DELETE FROM refused").rowcount

    def refused(self) -> tuple[RefusedEvent, ...]:
        """The refused events in the order in which they were refused."""
        names = ("text", "recorded_at", "refused_at", "verdict", "pointer", "reason")
        with self._using() as connection:
            rows = connection.execute(f"SELECT {', '.join(names)} FROM refused ORDER BY seq")
            return tuple(RefusedEvent(**dict(zip(names, row, strict=True))) for row in rows)

    def counts(self) -> tuple[int, int]:
        """How many events wait, and how many were refused."""
        with self._using() as connection:
            found = dict(connection.execute("SELECT name, events FROM counts").fetchall())
        return found["waiting"], found["refused"]

    def oldest_recorded_at(self) -> int | None:
        """When the event was recorded that waits longest; None where none does."""
        query = "SELECT recorded_at FROM waiting ORDER BY seq LIMIT 1"
        with self._using() as connection:
            row = connection.execute(query).fetchone()
        return row[0] if row else None

    def last_seq(self) -> int:
        """The number of the event that was appended last and waits; 0 where none does."""
        return self._bound("max")

    def first_seq(self) -> int | None:
        """The number of the event that waits longest; None where none does."""
        return self._bound("min") or None

    def _bound(self, which: Literal["min", "max"]) -> int:
        with self._using() as connection:
            row = connection.execute(f"SELECT coalesce({which}(seq), 0) FROM waiting").fetchone()
        return int(row[0])

    def may_send(self) -> bool:
        """Whether this spool object is the one that sends; it stays so until it is closed.

        The operating system lets go of the right when the process ends, however it ends.
        """
        import fcntl  # a gateway runs on POSIX

        if self._sending is None and not self._closed:
            opened = os.open(f"{self.file}.sending", os.O_RDWR | os.O_CREAT, 0o640)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(opened)
                return False
            self._sending = opened
        return self._sending is not None

    def close(self) -> None:
        """Let go of the file. What is in it stays there."""
        with self._lock:
            self._closed = True
            self._disconnect()
            self._stop_sending()

    def before_fork(self) -> None:
        """Close the file, because a SQLite connection must not live in two processes."""
        self._lock.acquire()
        self._disconnect()

    def after_fork_in_parent(self) -> None:
        """Go on; the file is opened again with its next use."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Start anew: threads that waited, and the right to send, are those of the parent."""
        self._reset()
        self._stop_sending()

    def _stop_sending(self) -> None:
        # Closed, not unlocked: the lock belongs to all processes that inherited the file.
        if self._sending is not None:
            os.close(self._sending)
            self._sending = None

    def _disconnect(self) -> None:
        if self._opened is not None:
            with suppress(sqlite3.Error):
                self._opened.close()
            self._opened = None

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time; what SQLite reports becomes a SpoolError."""
        with self._lock:
            if self._closed:
                raise SpoolError(f"{self.file}: was closed; open it anew")
            try:
                if self._opened is None:
                    self._opened = self._connect()
                yield self._opened
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code in _DOUBTED:
                    self._doubted = True
                    self._disconnect()
                sentence = _SENTENCES.get(code)
                if sentence is None:
                    raise
                raise SpoolError(f"{self.file}: {sentence}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def _connect(self) -> sqlite3.Connection:
        if not self.file.absolute().parent.is_dir():
            raise SpoolError(f"{self.file}: its folder does not exist; make it first")
        connection = sqlite3.connect(
            self.file, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # In this order: another process may make it meanwhile.
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        (kind,) = connection.execute("PRAGMA application_id").fetchone()
        if tables and kind != _APPLICATION_ID:
            raise SpoolError(f"{self.file}: is not a spool; name another file")
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise SpoolError(f"{self.file}: its disk has no write-ahead log; use a local disk")
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        if not tables:
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have been quicker.
            if not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                for statement in _SCHEMA:
                    connection.execute(statement)
            connection.execute("COMMIT")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != _VERSION:
            raise SpoolError(f"{self.file}: is a spool of another version ({version}); upgrade")
        if self._doubted:
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if said != "ok":
                raise SpoolError(f"{self.file}: {_SENTENCES[sqlite3.SQLITE_CORRUPT]}")
            self._doubted = False

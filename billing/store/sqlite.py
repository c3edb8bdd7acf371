"""SQLite as the store: where it lies, how a connection to it behaves, and what is its dialect.

Invariant: a committed transaction survives a power cut (WAL, synchronous=FULL), a transaction that
writes holds the one write lock from its first statement, and one that reads cannot write.
"""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from billing.store.faults import StoreError
from billing.store.statements import run

BUSY_TIMEOUT_S = 10.0
"""How long a transaction waits for another process, and a command for a connection."""

_PRAGMAS = (
    "foreign_keys=ON",
    # Else INSERT OR REPLACE would remove rows past the triggers of append-only tables.
    "recursive_triggers=ON",
    "synchronous=FULL",
    "cell_size_check=ON",
    "trusted_schema=OFF",
    "cache_size=-65536",  # 64 MiB: the upper pages of the trees of ids
    "wal_autocheckpoint=16384",  # 64 MiB: pages that many batches touch are copied back once
    "journal_size_limit=67108864",
)


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """A store in a file, whether the file is there or not."""

    file: Path

    @property
    def where(self) -> str:
        """How messages name it."""
        return str(self.file)

    def is_there(self) -> bool:
        """Whether the file exists."""
        return self.file.exists()

    def check(self) -> None:
        """StoreError where no store can be: at a folder, in none, or where nobody may write."""
        folder = self.file.absolute().parent
        if self.file.is_dir():
            raise StoreError(self.where, "is a folder; name a file")
        if not folder.is_dir():
            raise StoreError(self.where, "its folder does not exist; make it first")
        if self.file.exists():
            for path in (self.file, folder):  # the write-ahead log lies beside the file
                # The mode, too: root may write what its owner made read-only.
                if not os.access(path, os.W_OK) or not path.stat().st_mode & 0o222:
                    raise StoreError(str(path), "is read-only; a store must be writable")

    def engine(self) -> Engine:
        """An engine that begins each transaction as the ``access`` of its connection says."""
        return sqlite_engine(self.file)


def url_file(url: URL) -> Path:
    """The file of a ``sqlite:///`` URL. StoreError for parameters, and where it is no file."""
    if url.query or url.host or not url.database or url.database == ":memory:":
        raise StoreError("store", "must be a plain file such as sqlite:///store.db")
    return Path(url.database)


def sqlite_engine(file: Path) -> Engine:
    """An engine whose transactions are explicit: BEGIN IMMEDIATE, or BEGIN for reading only.

    Which of both is the execution option ``access`` of the connection: "read", or another word.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(file)),
        pool_timeout=BUSY_TIMEOUT_S,
        # None: the driver opens no transaction of its own; BEGIN is ours.
        connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_S},
        # Who writes again has the same connection: what another wrote is not in its cache.
        pool_use_lifo=True,
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise StoreError("store", f"its disk has no write-ahead log ({mode}); use a local disk")
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options()["access"] != "read"
    run(connection, statement=f"PRAGMA query_only={'OFF' if writes else 'ON'}")
    run(connection, statement="BEGIN IMMEDIATE" if writes else "BEGIN")


def append_only_triggers(table: str) -> tuple[str, ...]:
    """SQL of the triggers that keep a table append-only."""
    return tuple(
        f"CREATE TRIGGER {table}_never_{verb} BEFORE {verb.upper()} ON {table} BEGIN "
        f"SELECT RAISE(ABORT, '{table.replace('_', ' ')} are appended, never edited'); END"
        for verb in ("update", "delete")
    )

"""Opening a store, and its kinds of transaction.

Invariant: everything that is written is written inside one ``Store.write()`` or one piece of work
of ``Store.beside()``, whole or not at all. After the disk failed once, nothing is written until the
store was opened anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from billing.store.faults import (
    StoreBusyError,
    StoreConflictError,
    StoreError,
    StoreLostError,
    StoreStoppedError,
    store_faults,
)
from billing.store.place import find_place
from billing.store.points import reach
from billing.store.statements import run
from billing.store.tables import REVISION

__all__ = [
    "Connection",
    "Store",
    "StoreBusyError",
    "StoreConflictError",
    "StoreError",
    "StoreLostError",
    "StoreStoppedError",
    "open_store",
]

T = TypeVar("T")

TRIES = 5
"""How often a piece of work is begun before it is refused, because others wrote the same."""

_FIRST_PAUSE_S = 0.02

_NO_TABLE = "42P01"
_REVISION_QUERY = "SELECT version_num FROM alembic_version"


@dataclass(slots=True, kw_only=True)
class Store:
    """An open store; ``where`` names it in messages. Close it, or use it as a context."""

    where: str
    engine: Engine
    stopped: StoreStoppedError | None = field(default=None, init=False)
    """Why nothing is written any more."""

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that writes, alone: no other writes meanwhile. It commits at the end.

        Whatever is raised inside, and whatever the database refuses, rolls all of it back.
        StoreBusyError where another process writes for longer than we wait. Never nest two.
        """
        with self._writing(access="alone") as connection:
            yield connection

    def beside(self, work: Callable[[Connection], T]) -> T:
        """Do a piece of work in one transaction that writes; gives what the work gives.

        On PostgreSQL others of this kind run at the same time, and the work locks what it shares
        with them: see ``billing.store.locks``. Where the database breaks a tie by ending one, all
        of the work is done again, up to five times, so it must be safe to repeat. On SQLite it is
        alone, as in ``write``. StoreConflictError where it did not come through.
        """
        for tried in range(1, TRIES + 1):
            try:
                with self._writing(access="beside") as connection:
                    return work(connection)
            except StoreConflictError:
                if tried == TRIES:
                    raise
                time.sleep(_FIRST_PAUSE_S * 2**tried)
        raise AssertionError("the last try returns or raises")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads: all of it sees the store as it was at the beginning."""
        with self._transaction(access="read") as connection:
            yield connection

    @contextmanager
    def _writing(self, *, access: str) -> Iterator[Connection]:
        with self._transaction(access=access) as connection:
            reach("write.begun")
            yield connection
            reach("write.uncommitted")
        reach("write.committed")

    @contextmanager
    def _transaction(self, *, access: str) -> Iterator[Connection]:
        if self.stopped is not None:
            raise StoreStoppedError(self.where, self.stopped.sentence)
        try:
            with store_faults(self.where), self.engine.connect() as opened:
                connection = opened.execution_options(access=access)
                with connection.begin():
                    # It fixes what a reader sees, too: at the first query, not at BEGIN.
                    _check_revision(connection, where=self.where)
                    yield connection
        except StoreStoppedError as error:
            self.stopped = error
            raise

    def close(self) -> None:
        """Let go of the file, or of the connections."""
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_store(path_or_url: str | Path) -> Store:
    """Open the store in a SQLite file or a PostgreSQL database.

    A file is named by its path or as ``sqlite:///PATH``, a database as
    ``postgresql://USER@HOST/DATABASE``; a password may also come from the environment of libpq.
    StoreError where there is none, where it is at another revision than this version of the
    program (``tokenworks db upgrade`` makes or upgrades one), where a file is read-only, damaged
    or no database, where a database cannot be reached or would not be durable, or where the URL is
    of another kind.
    """
    place = find_place(path_or_url)
    place.check()
    where = place.where
    if not place.is_there():
        raise StoreError(where, f"there is no store; run tokenworks db upgrade --store {where}")
    store = Store(where=where, engine=place.engine())
    try:
        with store.read():
            pass
    except BaseException:
        store.close()
        raise
    return store


def _check_revision(connection: Connection, *, where: str) -> None:
    upgrade = f"run tokenworks db upgrade --store {where}"
    try:
        # Asked in each transaction: looking for the table first costs more than all the rest.
        (revision,) = run(connection, statement=_REVISION_QUERY).fetchone() or (None,)
    except DBAPIError as error:
        # PostgreSQL says what it is, and takes no more questions; SQLite is asked.
        state = getattr(error.orig, "sqlstate", "")
        if inspect(connection).has_table("alembic_version") if state == "" else state != _NO_TABLE:
            raise
        raise StoreError(where, f"holds no tables of a store; {upgrade}") from None
    if revision != REVISION:
        raise StoreError(where, f"is at revision {revision}, not at {REVISION}; {upgrade}")

"""Opening a store, and its two kinds of transaction.

Invariant: everything that is written is written inside one ``Store.write()``, whole or not at all.
After the disk failed once, nothing is written until the store was opened anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from billing.store.faults import StoreBusyError, StoreError, StoreStoppedError, store_faults
from billing.store.points import reach
from billing.store.sqlite import refuse_read_only, sqlite_engine, store_file
from billing.store.tables import REVISION

__all__ = ["Connection", "Store", "StoreBusyError", "StoreError", "StoreStoppedError", "open_store"]

_REVISION_QUERY = text("SELECT version_num FROM alembic_version")


@dataclass(slots=True, kw_only=True)
class Store:
    """An open store; ``where`` names it in messages. Close it, or use it as a context."""

    where: str
    engine: Engine
    stopped: StoreStoppedError | None = field(default=None, init=False)
    """Why nothing is written any more."""

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that writes: it holds the write lock, and commits at the end.

        Whatever is raised inside, and whatever the database refuses, rolls all of it back.
        StoreBusyError where another process writes for longer than we wait. Never nest two.
        """
        with self._transaction(writes=True) as connection:
            reach("write.begun")
            yield connection
            reach("write.uncommitted")
        reach("write.committed")

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads: all of it sees the store as it was at the beginning."""
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        if self.stopped is not None:
            raise StoreStoppedError(self.where, self.stopped.sentence)
        try:
            with store_faults(self.where), self.engine.connect() as opened:
                connection = opened.execution_options(writes=writes)
                with connection.begin():
                    # It fixes the snapshot, too: SQLite takes it at the first read, not at BEGIN.
                    _check_revision(connection, where=self.where)
                    yield connection
        except StoreStoppedError as error:
            self.stopped = error
            raise

    def close(self) -> None:
        """Let go of the file."""
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
    """Open the store in a SQLite file, given by path or as ``sqlite:///PATH``.

    StoreError where there is none, where it is at another revision than this version of the
    program (``tokenworks db upgrade`` makes or upgrades one), where the file is read-only, damaged
    or no database, or where the URL is of another kind.
    """
    file = store_file(path_or_url)
    where = str(file)
    if file.is_dir():
        raise StoreError(where, "is a folder; name a file")
    if not file.exists():
        raise StoreError(where, f"there is no store; run tokenworks db upgrade --store {where}")
    refuse_read_only(file)
    store = Store(where=where, engine=sqlite_engine(file))
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
        revision = connection.scalar(_REVISION_QUERY)
    except DBAPIError:
        if inspect(connection).has_table("alembic_version"):
            raise
        raise StoreError(where, f"holds no tables of a store; {upgrade}") from None
    if revision != REVISION:
        raise StoreError(where, f"is at revision {revision}, not at {REVISION}; {upgrade}")

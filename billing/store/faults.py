"""What a database says when it cannot, as one sentence of ours.

Invariant: a fault of the machine (busy, full, unreadable, read-only) becomes a StoreError; a
constraint that our own code broke stays the error that it is, because it is a bug.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pricing_rules.document import DocumentError


class StoreError(DocumentError):
    """The store cannot do it: one sentence with the file and what to do. Nothing was written."""


class StoreBusyError(StoreError):
    """Another process held the store for longer than we wait: the same call may succeed later."""


class StoreConflictError(StoreBusyError):
    """Others wrote the same at the same time, and the database let them through, not us."""


class StoreLostError(StoreError):
    """The database is not reached, or no longer: the same call may succeed later.

    Where that happened at the commit, nobody can know whether it took effect; every command may be
    run again, and stores once what is the same.
    """


class StoreStoppedError(StoreError):
    """The disk or the file failed: nothing more is written until the store was opened anew."""


class StoreOverflowError(StoreError):
    """A sum would be beyond 64 bits: the same call fails again, until the next epoch is begun."""


class StoreLimitError(StoreError):
    """What is to be stored is larger than the database takes: the same call fails again."""


class CountOverflowError(OverflowError):
    """A count is beyond 64 bits; outside of the transaction it is a StoreOverflowError."""


_BUSY = "is in use by another process that is writing; try again"
_FULL = "the disk is full; make room and run it again"
_IO_FAILED = "the disk failed while it was read or written; check the disk, then run it again"
_LOST = "the connection to the database was lost; run it again, nothing is stored twice"
_SENTENCES: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_BUSY: (StoreBusyError, _BUSY),
    sqlite3.SQLITE_LOCKED: (StoreBusyError, _BUSY),
    sqlite3.SQLITE_FULL: (StoreError, _FULL),
    sqlite3.SQLITE_READONLY: (StoreError, "is read-only; make the file and its folder writable"),
    sqlite3.SQLITE_CANTOPEN: (StoreError, "cannot be opened; check its folder and permissions"),
    sqlite3.SQLITE_NOTADB: (StoreError, "is not a SQLite database"),
    sqlite3.SQLITE_IOERR: (StoreStoppedError, _IO_FAILED),
    sqlite3.SQLITE_CORRUPT: (
        StoreStoppedError,
        "the file is damaged; restore it from a backup",
    ),
}
"""By primary result code of SQLite."""

_TOO_LARGE = (
    "a total would be beyond 64 bits; nothing was stored: seal the epoch, then send it again"
)
_CONFLICT = (StoreConflictError, "others write the same at the same time; try again")
_STATES: dict[str, tuple[type[StoreError], str]] = {
    "22003": (StoreOverflowError, _TOO_LARGE),
    "25006": (StoreError, "is read-only; name a database and a role that may write"),
    "40001": _CONFLICT,
    "40P01": _CONFLICT,
    "42501": (StoreError, "its role may not do this; use the role that owns the tables"),
    "53100": (StoreError, _FULL),
    "54000": (
        StoreLimitError,
        "account, model, service tier, region and the like are too long together for an index of "
        "the database; nothing was stored: shorten one of them",
    ),
    "53200": (StoreBusyError, "the database is out of memory; try again"),
    "53300": (StoreBusyError, "the database has no connection left; try again"),
    "55P03": (StoreBusyError, _BUSY),
    "57014": (StoreBusyError, "the database cancelled it after its time limit; try again"),
    "57P01": (StoreLostError, _LOST),
    "57P02": (StoreLostError, _LOST),
    "57P03": (StoreLostError, "the database is starting or stopping; try again"),
    "58030": (StoreStoppedError, _IO_FAILED),
    "XX001": (StoreStoppedError, "a table is damaged; restore the database from a backup"),
    "XX002": (StoreStoppedError, "an index is damaged; rebuild it or restore a backup"),
}
"""By SQLSTATE of PostgreSQL."""

_CONSTRAINT_DATATYPE = sqlite3.SQLITE_CONSTRAINT | 12 << 8  # sqlite3 of Python has no name for it


@contextmanager
def store_faults(where: str) -> Iterator[None]:
    """Raise what the database reports inside as StoreError at ``where``; other errors pass."""
    try:
        yield
    except DBAPIError as error:
        fault = _fault(error.orig, where=where) or _connection_fault(error, where=where)
        if fault is None:
            raise
        raise fault from error
    except PoolTimeoutError as error:
        raise StoreBusyError(where, "too many commands use it at once; try again") from error
    except OverflowError as error:
        # As sqlite3 and psycopg say it, or we.
        said = any(words in str(error) for words in ("SQLite INTEGER", "int too big to convert"))
        if not said and not isinstance(error, CountOverflowError):
            raise
        raise StoreOverflowError(where, _TOO_LARGE) from error


def _fault(original: object, *, where: str) -> StoreError | None:
    """The StoreError of a driver's error; None where it is a bug of ours."""
    state = getattr(original, "sqlstate", None)
    if isinstance(state, str):
        if state == "23505" and _constraint(original) == "pk_event_ids":
            # Others took an id after we looked it up.
            return _CONFLICT[0](where, _CONFLICT[1])
        told = _STATES.get(state)
        return told[0](where, told[1]) if told else None
    code = getattr(original, "sqlite_errorcode", None)
    if not isinstance(code, int):
        return None
    if code == _CONSTRAINT_DATATYPE:
        # SQLite adds two integers beyond 64 bits as a float, and a STRICT table refuses the float.
        # Only totals are added by the database.
        too_large = "REAL value in INTEGER column usage_totals.events" in str(original)
        return StoreOverflowError(where, _TOO_LARGE) if too_large else None
    if code == sqlite3.SQLITE_ERROR and str(original) == "integer overflow":
        return StoreOverflowError(where, _TOO_LARGE)  # it refuses such a sum of rows, of leaves
    found = _SENTENCES.get(code & 0xFF)
    return found[0](where, found[1]) if found else None


def _constraint(original: object) -> str | None:
    """The constraint that was broken, as PostgreSQL names it."""
    name: str | None = getattr(getattr(original, "diag", None), "constraint_name", None)
    return name


def _connection_fault(error: DBAPIError, *, where: str) -> StoreError | None:
    """The StoreError of a connection that was lost or never made; None where it is another error.

    The driver of PostgreSQL gives such errors no SQLSTATE.
    """
    if error.connection_invalidated:
        return StoreLostError(where, _LOST)
    if (
        not type(error.orig).__module__.startswith("psycopg")
        or not isinstance(error, OperationalError)
        or getattr(error.orig, "sqlstate", None)
    ):
        return None
    said = str(error.orig).strip().splitlines()[-1:] or ["no answer"]
    return StoreLostError(where, f"cannot be reached ({said[0]:.200}); check its address and login")

"""What a database says when it cannot, as one sentence of ours.

Invariant: a fault of the machine (busy, full, unreadable, read-only) becomes a StoreError; a
constraint that our own code broke stays the error that it is, because it is a bug.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pricing_rules.document import DocumentError


class StoreError(DocumentError):
    """The store cannot do it: one sentence with the file and what to do. Nothing was written."""


class StoreBusyError(StoreError):
    """Another process held the store for longer than we wait: the same call may succeed later."""


class StoreStoppedError(StoreError):
    """The disk or the file failed: nothing more is written until the store was opened anew."""


_BUSY = "is in use by another process that is writing; try again"
_SENTENCES: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_BUSY: (StoreBusyError, _BUSY),
    sqlite3.SQLITE_LOCKED: (StoreBusyError, _BUSY),
    sqlite3.SQLITE_FULL: (StoreError, "the disk is full; make room and run it again"),
    sqlite3.SQLITE_READONLY: (StoreError, "is read-only; make the file and its folder writable"),
    sqlite3.SQLITE_CANTOPEN: (StoreError, "cannot be opened; check its folder and permissions"),
    sqlite3.SQLITE_NOTADB: (StoreError, "is not a SQLite database"),
    sqlite3.SQLITE_IOERR: (
        StoreStoppedError,
        "the disk failed while it was read or written; check the disk, then run it again",
    ),
    sqlite3.SQLITE_CORRUPT: (
        StoreStoppedError,
        "the file is damaged; restore it from a backup",
    ),
}
"""By primary result code of SQLite."""

_CONSTRAINT_DATATYPE = sqlite3.SQLITE_CONSTRAINT | 12 << 8  # sqlite3 of Python has no name for it
_TOO_LARGE = "a sum or a number is beyond 64 bits; nothing was stored"


@contextmanager
def store_faults(where: str) -> Iterator[None]:
    """Raise what the database reports inside as StoreError at ``where``; other errors pass."""
    try:
        yield
    except DBAPIError as error:
        fault = _fault(error.orig, where=where)
        if fault is None:
            raise
        raise fault from error
    except PoolTimeoutError as error:
        raise StoreBusyError(where, "too many commands use it at once; try again") from error
    except OverflowError as error:
        if "SQLite INTEGER" not in str(error):
            raise
        raise StoreError(where, _TOO_LARGE) from error


def _fault(original: object, *, where: str) -> StoreError | None:
    """The StoreError of a driver's error; None where it is a bug of ours."""
    code = getattr(original, "sqlite_errorcode", None)
    if not isinstance(code, int):
        return None
    if code == _CONSTRAINT_DATATYPE:
        # SQLite adds integers beyond 64 bits as floats, and a STRICT table refuses the float. Only
        # totals are added by the database.
        too_large = "REAL value in INTEGER column usage_totals.count" in str(original)
        return StoreError(where, _TOO_LARGE) if too_large else None
    found = _SENTENCES.get(code & 0xFF)
    return found[0](where, found[1]) if found else None

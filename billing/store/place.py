"""Where a store lies: the SQLite file or the PostgreSQL database that a path or a URL names.

Invariant: what tells the two kinds of database apart is in their two modules, in the column types
and in ``billing.store.rows``; every other statement is one text for both.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from billing.store.faults import StoreError
from billing.store.postgresql import SCHEMES, PostgresqlDatabase, url_database
from billing.store.sqlite import SqliteFile, url_file

Place = SqliteFile | PostgresqlDatabase


def shown(path_or_url: str | Path) -> str:
    """A path as it was given; a URL of a database without its password."""
    place = find_place(path_or_url)
    return str(path_or_url) if isinstance(place, SqliteFile) else place.where


def find_place(path_or_url: str | Path) -> Place:
    """The place that a path, a ``sqlite:///`` URL or a ``postgresql://`` URL names.

    StoreError for another scheme, and for a URL that names no plain file or no database.
    """
    text = str(path_or_url)
    if "://" not in text:
        if text in {"", ":memory:"}:
            raise StoreError("store", "must be a file; name one such as store.db")
        return SqliteFile(Path(text))
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        scheme = text.partition("://")[0]  # what follows may hold a password
        raise StoreError(
            "store", f'"{scheme:.40}://..." is not a URL such as sqlite:///store.db'
        ) from None
    if url.drivername == "sqlite":
        return SqliteFile(url_file(url))
    if url.drivername in SCHEMES:
        return url_database(url)
    raise StoreError(
        "store",
        f'"{url.drivername:.40}" is not a kind of store; name a file or postgresql://HOST/DATABASE',
    )

"""Stores, usage files and what is compared of them, for tests of ingest and of the grid.

Invariant: what is compared is read from the file of the store, past the functions that are tested.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from billing.store.schema import upgrade
from billing.store.store import Store, open_store
from pricing_rules.period import parse_moment

Json = Any

NOW_AT = parse_moment("2026-11-02T08:00:00Z")

FACTS = ("event_ids", "events", "usage_totals", "account_grids", "deliveries", "refusals")
"""What ingest writes, but for the audit, which tells how often it was run."""


@cache
def made_store() -> bytes:
    """The file of a store without rows."""
    with TemporaryDirectory() as name:
        file = Path(name) / "made.db"
        upgrade(file)
        return file.read_bytes()


@contextmanager
def own_folder() -> Iterator[Path]:
    """A folder with an empty store in it, for one test or one example of a property."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "store.db").write_bytes(made_store())
        yield folder


@contextmanager
def own_store() -> Iterator[tuple[Path, Store]]:
    """A folder, and an empty store in it."""
    with own_folder() as folder, open_store(folder / "store.db") as store:
        yield folder, store


def facts(store: Path, *, tables: Sequence[str] = FACTS) -> Mapping[str, list[tuple[Any, ...]]]:
    """All rows of some tables, sorted."""
    with closing(sqlite3.connect(store)) as connection:
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall())
            for table in tables
        }


def usage_facts(store: Path) -> Mapping[str, list[tuple[Any, ...]]]:
    """Events without the order in which they came, and totals."""
    found = dict(facts(store, tables=("event_ids", "events", "usage_totals", "account_grids")))
    found["events"] = sorted(row[1:] for row in found["events"])
    return found

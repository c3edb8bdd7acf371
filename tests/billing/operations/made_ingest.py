"""Stores, usage files and what is compared of them, for tests of ingest and of the grid.

Invariant: what is compared is read from the tables of the store, past the functions under test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from billing.operations.grid import AccountCuts, AccountTotals, fresh_versions, totals_of
from billing.store.place import find_place
from billing.store.schema import upgrade
from billing.store.store import Connection, Store, open_store
from pricing_rules.period import Period, parse_moment

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


def totals_in(
    period: Period, *, connection: Connection, account: str, through_epoch: int
) -> AccountTotals:
    """The totals of an account in one of its billing periods, which are not stale."""
    return totals_of(
        connection,
        versions=fresh_versions(connection, account=account),
        period=period,
        through_epoch=through_epoch,
        since_at=period.start_at,
        cuts=AccountCuts(),
    )


def facts(
    store: str | Path, *, tables: Sequence[str] = FACTS
) -> Mapping[str, list[tuple[Any, ...]]]:
    """All rows of some tables, sorted.

    PostgreSQL leaves out the numbers of what was rolled back: there events are numbered anew.
    """
    engine = find_place(store).engine()
    try:
        with engine.connect().execution_options(access="read") as connection, connection.begin():
            found = {
                table: sorted(map(tuple, connection.exec_driver_sql(f"SELECT * FROM {table}")))
                for table in tables
            }
    finally:
        engine.dispose()
    if engine.dialect.name == "postgresql" and "events" in found:
        numbers = {row[0]: n for n, row in enumerate(found["events"], start=1)}
        found["events"] = [(numbers[row[0]], *row[1:]) for row in found["events"]]
        found["event_ids"] = [
            (*row[:3], numbers[row[3]], *row[4:]) for row in found.get("event_ids", ())
        ]
    return found


def usage_facts(store: str | Path) -> Mapping[str, list[tuple[Any, ...]]]:
    """Events without the order in which they came, and totals."""
    found = dict(facts(store, tables=("event_ids", "events", "usage_totals", "account_grids")))
    identities = {row[0]: row[1:4] for row in found["events"]}
    assert all(identities[row[3]] == row[:3] for row in found["event_ids"])
    found["event_ids"] = [(*row[:3], *row[4:]) for row in found["event_ids"]]
    found["events"] = sorted(row[1:] for row in found["events"])
    return found

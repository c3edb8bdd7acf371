"""PostgreSQL as the store: how a connection to it behaves, its locks, and what is its dialect.

Two kinds of transactions write. Those that take usage in, rebuild totals or close an account run
beside each other and lock what they share, each in the order of its keys; every other command is
alone, as every writer is on SQLite. The lock on the table of epochs tells the two kinds apart, so
that an epoch is sealed only while no event enters it.

Invariant: a transaction that reads sees one moment and cannot write; one that writes holds its lock
from its first statement to its end, and each of its statements sees what was committed before it.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from billing.store.faults import StoreError
from billing.store.statements import run

SCHEMES = ("postgresql", "postgresql+psycopg")

BUSY_TIMEOUT_S = 10.0
"""How long a transaction waits for a lock, and a command for a connection."""

_UPGRADE = 0x546F6B656E
"""The advisory lock that one upgrade at a time holds ("Token")."""

_BEGIN = {
    "read": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
    "beside": "LOCK TABLE epochs IN ROW SHARE MODE",
    "alone": "LOCK TABLE epochs IN EXCLUSIVE MODE",
    "schema": f"SELECT pg_advisory_xact_lock({_UPGRADE})",
}
"""The first statement of a transaction, by the ``access`` of its connection."""

_UNFIT = """
SELECT CASE
    WHEN pg_is_in_recovery()
        THEN 'is a standby, which lags behind; name the primary'
    WHEN current_setting('server_encoding') <> 'UTF8'
        THEN 'has another encoding than UTF8; make a database in UTF8'
    WHEN current_setting('fsync') = 'off' OR current_setting('full_page_writes') = 'off'
        THEN 'would lose what it confirmed; set fsync and full_page_writes to on'
END
"""
"""Why a database may not hold a store, as a sentence; NULL where it may."""


@dataclass(frozen=True, slots=True)
class PostgresqlDatabase:
    """A store in a database."""

    url: URL

    @property
    def where(self) -> str:
        """How messages name it: its URL without the password."""
        return self.url.set(drivername="postgresql").render_as_string(hide_password=True)

    def is_there(self) -> bool:
        """True: only connecting to it tells."""
        return True

    def check(self) -> None:
        """StoreError where the driver is not installed."""
        if importlib.util.find_spec("psycopg") is None:
            raise StoreError(self.where, "needs a driver; run pip install 'tokenworks[postgresql]'")

    def engine(self) -> Engine:
        """An engine that begins each transaction as the ``access`` of its connection says."""
        engine = create_engine(
            self.url,
            paramstyle="format",  # rows go to the driver as tuples
            # A connection that was lost while nobody used it is replaced, not reported.
            pool_pre_ping=True,
            # Who writes again has the same connection, which has its statements prepared.
            pool_use_lifo=True,
            pool_timeout=BUSY_TIMEOUT_S,
            connect_args={"connect_timeout": int(BUSY_TIMEOUT_S), "application_name": "tokenworks"},
        )
        event.listen(engine, "connect", partial(_prepare, where=self.where))
        event.listen(engine, "begin", _begin)
        return engine


def url_database(url: URL) -> PostgresqlDatabase:
    """The database of a URL. StoreError where it names none."""
    if not url.database:
        raise StoreError("store", "must name a database, such as postgresql://HOST/DATABASE")
    return PostgresqlDatabase(url.set(drivername="postgresql+psycopg"))


def _prepare(connection: Any, entry: ConnectionPoolEntry, *, where: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {int(BUSY_TIMEOUT_S * 1_000)}")
        if cursor.execute("SHOW synchronous_commit").fetchone() == ("off",):
            # Else a commit would be confirmed before it is durable.
            cursor.execute("SET synchronous_commit = on")
        (unfit,) = cursor.execute(_UNFIT).fetchone()
    connection.commit()
    if unfit is not None:
        raise StoreError(where, unfit)


def _begin(connection: Connection) -> None:
    run(connection, statement=_BEGIN[connection.get_execution_options()["access"]])


def append_only_rules(table: str) -> tuple[str, ...]:
    """SQL of the triggers that keep a table append-only, and of the function that they call."""
    return (
        "CREATE OR REPLACE FUNCTION never_edited() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION '% are appended, never edited', replace(TG_TABLE_NAME, '_', ' ') "
        "USING ERRCODE = 'integrity_constraint_violation'; END $$",
        *(
            f"CREATE TRIGGER {table}_never_{verb} BEFORE {verb.upper()} ON {table} "
            f"FOR EACH {each} EXECUTE FUNCTION never_edited()"
            for verb, each in (("update", "ROW"), ("delete", "ROW"), ("truncate", "STATEMENT"))
        ),
    )

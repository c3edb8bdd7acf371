"""The schema of a store: which migration it is at, and bringing it to the newest one.

The migrations lie in ``migrations/`` of a checkout and in ``billing/_migrations`` of an installed
wheel; they are driven from here, without a settings file.

Invariant: an upgrade is one transaction. Killed at any statement, it leaves the store as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

import billing
from billing.store.faults import StoreError, store_faults
from billing.store.place import Place, find_place
from billing.store.postgresql import append_only_rules
from billing.store.sqlite import append_only_triggers


def upgrade(path_or_url: str | Path) -> str:
    """Bring a store to the newest revision, and make it where there is none; returns the revision.

    StoreError where the folder of its file does not exist, where it is the database of another
    program, or where it was made by a newer version of this one.
    """
    place = find_place(path_or_url)
    with _connected(place, access="schema") as connection:
        if _revision(connection) is None and inspect(connection).get_table_names():
            raise StoreError(place.where, "holds the tables of another program; name another one")
        try:
            command.upgrade(alembic_config(connection), "head")
        except CommandError as error:
            raise StoreError(
                place.where, f"was made by another version of this program ({error}); upgrade it"
            ) from error
    return head_revision()


def current_revision(path_or_url: str | Path) -> str | None:
    """The revision that a store is at; None where there is none."""
    place = find_place(path_or_url)
    if not place.is_there():
        return None
    with _connected(place, access="read") as connection:
        return _revision(connection)


def head_revision() -> str:
    """The newest revision that this version of the program knows."""
    head = ScriptDirectory.from_config(alembic_config(None)).get_current_head()
    if head is None:
        raise RuntimeError(f"there are no migrations in {migrations_folder()}")
    return head


def migrations_folder() -> Path:
    """Where the migrations lie: in the installed package, else beside it in the checkout."""
    package = Path(billing.__file__).parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def alembic_config(connection: Connection | None) -> Config:
    """What drives Alembic on an open transaction of ours."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def append_only_ddl(table: str, *, dialect: str) -> tuple[str, ...]:
    """The statements, for a migration, that make a table append-only on a kind of database."""
    return _APPEND_ONLY[dialect](table)


_APPEND_ONLY = {"sqlite": append_only_triggers, "postgresql": append_only_rules}


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def _connected(place: Place, *, access: str) -> Iterator[Connection]:
    place.check()
    engine = place.engine()
    try:
        with store_faults(place.where), engine.connect() as opened:
            connection = opened.execution_options(access=access)
            with connection.begin():
                yield connection
    finally:
        engine.dispose()

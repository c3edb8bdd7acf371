"""Facts are appended: the database itself refuses to edit or remove them (I24, I26)."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from billing.store.store import Store
from billing.store.table_parts import METADATA
from billing.store.tables import APPEND_ONLY
from tests.billing.store.made_rows import fill

MUTABLE = {"usage_totals", "account_grids", "number_series", "webhook_sendings", "backfill_events"}


def test_every_table_is_a_table_of_facts_or_named_here() -> None:
    assert set(METADATA.tables) == set(APPEND_ONLY) | MUTABLE
    assert not MUTABLE & set(APPEND_ONLY)


def test_a_close_leaves_a_row_in_every_table(store: Store) -> None:
    with store.write() as connection:
        fill(connection)
    with store.read() as connection:
        for table in METADATA.tables.values():
            rows = connection.scalar(select(func.count()).select_from(table))
            assert rows, table.name


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET {key} = {key}",
        "DELETE FROM {table}",
        # REPLACE removes the row that stands in its way, past triggers, unless they are recursive.
        "INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
        "UPDATE OR REPLACE {table} SET {key} = {key}",
    ],
)
def test_a_fact_is_neither_edited_nor_removed(
    store: Store, store_path: Path, table: str, statement: str
) -> None:
    with store.write() as connection:
        fill(connection)
    key = f'"{next(iter(METADATA.tables[table].primary_key)).name}"'
    with store.engine.connect().execution_options(access="alone") as connection, connection.begin():
        # Children would refuse first: what is tested is the table's own trigger.
        connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        with pytest.raises(IntegrityError, match="are appended, never edited"):
            connection.exec_driver_sql(statement.format(table=table, key=key))


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_a_fact_is_neither_edited_nor_removed_nor_truncated_on_postgresql(
    store: Store, database: str, table: str
) -> None:
    with store.write() as connection:
        fill(connection)
    keys = [f'"{column.name}"' for column in METADATA.tables[table].primary_key]
    for statement in (
        "UPDATE {table} SET {key} = {key}",
        "DELETE FROM {table}",
        "TRUNCATE {table} CASCADE",
        "INSERT INTO {table} SELECT * FROM {table} "
        "ON CONFLICT ({keys}) DO UPDATE SET {key} = excluded.{key}",
    ):
        said = statement.format(table=table, key=keys[0], keys=", ".join(keys))
        with (
            pytest.raises(IntegrityError, match="are appended, never edited"),
            store.write() as connection,
        ):
            connection.exec_driver_sql(said)


def test_the_message_names_the_facts(store: Store) -> None:
    with store.write() as connection:
        fill(connection)
    with (
        pytest.raises(IntegrityError, match="invoice lines are appended, never edited"),
        store.write() as connection,
    ):
        connection.exec_driver_sql("DELETE FROM invoice_lines")


@pytest.mark.parametrize("table", sorted(MUTABLE))
def test_what_is_no_fact_may_be_edited(store: Store, table: str) -> None:
    with store.write() as connection:
        fill(connection)
    with store.write() as connection:
        connection.exec_driver_sql(f"DELETE FROM {table}")

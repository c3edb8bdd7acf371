"""Rows into PostgreSQL by binary COPY: into a table, or a temporary one that a statement reads.

Invariant: a whole number is sent as 64 bits and a text as UTF-8, so that nothing is converted on
the way in; a temporary table is empty again at the end of the transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

from billing.store.table_parts import Whole


def copy_rows(
    connection: Connection, *, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Append rows, as tuples in the order of ``names``, to a table."""
    _copy(
        connection, into=_quoted(connection, table.name), columns=_columns(table, names), rows=rows
    )


def stage_rows(
    connection: Connection,
    *,
    tables: Sequence[Table],
    names: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> str:
    """Put rows into a temporary table of their own, and give its name.

    It is named after the first of ``tables``, which together have the columns ``names``. What an
    earlier call of the same transaction left in it is gone.
    """
    staged = f"arriving_{tables[0].name}"
    columns = {name: kind for table in tables for name, kind in _columns(table, names).items()}
    columns = {name: columns[name] for name in names}
    said = ", ".join(
        f"{_quoted(connection, name)} {_SQL_TYPES[kind]}" for name, kind in columns.items()
    )
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {staged} ({said}) ON COMMIT DELETE ROWS"
    )
    connection.exec_driver_sql(f"DELETE FROM {staged}")
    _copy(connection, into=staged, columns=columns, rows=rows)
    return staged


_SQL_TYPES = {"int8": "BIGINT", "text": 'TEXT COLLATE "C"'}


def _columns(table: Table, names: tuple[str, ...]) -> dict[str, str]:
    """The columns of a table that are among ``names``, each with its type in PostgreSQL."""
    return {
        name: "int8" if isinstance(table.c[name].type, Whole) else "text"
        for name in names
        if name in table.c
    }


def _copy(
    connection: Connection, *, into: str, columns: dict[str, str], rows: Sequence[tuple[Any, ...]]
) -> None:
    said = ", ".join(_quoted(connection, name) for name in columns)
    statement = f"COPY {into} ({said}) FROM STDIN (FORMAT BINARY)"
    driver: Any = connection.connection.driver_connection
    driver_error = connection.dialect.loaded_dbapi.Error
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(list(columns.values()))
            for row in rows:
                copy.write_row(row)
    except driver_error as error:
        # COPY is the driver's own: what it raises is dressed as SQLAlchemy dresses other errors.
        lost = bool(driver.closed)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement, None, error, driver_error, connection_invalidated=lost
        ) from error


def _quoted(connection: Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)

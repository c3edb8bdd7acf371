"""Rows into a table of PostgreSQL by binary COPY.

Invariant: a whole number is sent as 64 bits and a text as UTF-8, so that nothing is converted on
the way in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table

from billing.store.statements import dressed
from billing.store.table_parts import Whole


def copy_rows(
    connection: Connection, *, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Append rows, as tuples in the order of ``names``, to a table."""
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(map(quote, names))
    statement = f"COPY {quote(table.name)} ({columns}) FROM STDIN (FORMAT BINARY)"
    kinds = ["int8" if isinstance(table.c[name].type, Whole) else "text" for name in names]
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types(kinds)
            for row in rows:
                copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:
        raise dressed(connection, statement=statement, driver=driver, error=error) from error

"""Records to rows and back, one at a time or in bulk.

Invariant: a record is a frozen dataclass whose fields are columns of its table, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Dialect, Select, Table, cast, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

from billing.store.copying import copy_rows
from billing.store.statements import run, run_each
from billing.store.table_parts import Whole

R = TypeVar("R")

_ENCODE_SORTED = msgspec.json.Encoder(order="sorted").encode


def json_text(value: object) -> str:
    """Canonical JSON of texts, integers and containers of them, as ``canonical_json`` writes it.

    Many times as fast, for the rows of a batch; tests/billing/store/test_rows.py holds them equal.
    """
    return _ENCODE_SORTED(value).decode()


read_labels = msgspec.json.Decoder(dict[str, str]).decode
"""The text of an object of texts, such as dimensions; ``msgspec.DecodeError`` where it is none."""

read_counts = msgspec.json.Decoder(dict[str, int]).decode
"""The text of an object of whole numbers, such as leaves; ``msgspec.DecodeError`` as above."""


def columns_of(record: type[Any], *, table: Table) -> tuple[ColumnElement[Any], ...]:
    """The columns of a table that a record has, in the order of its fields."""
    return tuple(table.c[field.name] for field in fields(record))


def select_records(record: type[Any], *, table: Table) -> Select[Any]:
    """The rows of a table, as ``read_records`` makes records of them."""
    return select(*columns_of(record, table=table))


def read_records(connection: Connection, *, query: Select[Any], record: type[R]) -> tuple[R, ...]:
    """The rows of a query as records; its columns are the fields, in their order."""
    names = [field.name for field in fields(record)]  # type: ignore[arg-type]
    return tuple(record(**dict(zip(names, row, strict=True))) for row in connection.execute(query))


def append_record(connection: Connection, *, table: Table, record: Any) -> None:
    """Insert one record, a dataclass."""
    names = _columns_had(table, tuple(field.name for field in fields(record)))
    row = tuple(getattr(record, name) for name in names)
    run(connection, statement=_insert_sql(table, names, connection.dialect), parameters=row)


@lru_cache(maxsize=64)
def _columns_had(table: Table, fields: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that are fields of a record, in the order of the table."""
    return tuple(column.name for column in table.c if column.name in fields)


def append_rows(
    connection: Connection, *, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Insert many rows, as tuples in the order of ``names``, which is that of the table."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        _check_order(table, names)
        copy_rows(connection, table=table, names=names, rows=rows)
        return
    run_each(connection, statement=_insert_sql(table, names, connection.dialect), rows=rows)


def append_free(
    connection: Connection, *, table: Table, names: tuple[str, ...], rows: Sequence[tuple[Any, ...]]
) -> int:
    """As ``append_rows`` on SQLite, without the rows whose keys are taken; gives how many went in.

    The key of no row stands twice among them.
    """
    statement = _insert_sql(table, names, connection.dialect) + " ON CONFLICT DO NOTHING"
    return run_each(connection, statement=statement, rows=rows)


def upsert(table: Table, *, dialect: Dialect) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say what to do on a conflict: each kind of database has its own."""
    return _UPSERTS[dialect.name](table)


_UPSERTS: dict[str, Callable[[Table], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def whole_sum(of: ColumnElement[int]) -> ColumnElement[int]:
    """The sum of 64-bit integers as one; where it is beyond them, the database refuses."""
    # PostgreSQL adds them as decimals.
    return cast(func.sum(of), Whole)


def _check_order(table: Table, names: tuple[str, ...]) -> None:
    if names != tuple(column.name for column in table.c if column.name in names):
        raise ValueError(f"{names} are not columns of {table.name} in their order")


@lru_cache(maxsize=64)
def _insert_sql(table: Table, names: tuple[str, ...], dialect: Dialect) -> str:
    _check_order(table, names)
    # The driver takes the tuples as they are: the statement's own machinery costs more for each
    # row than the database does.
    return str(insert(table).compile(dialect=dialect, column_keys=list(names)))

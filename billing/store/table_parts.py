"""What the tables of the store are made of: two column types, bounds, and one set of names.

Invariant: no column holds a float or a decimal; texts compare byte for byte on every database.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Dialect, Integer, MetaData, Text, column
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import SQLModel

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
    }
)
"""Every table of the store, and how its constraints are named."""

STRICT = {"sqlite_strict": True}
KEYED = {"sqlite_strict": True, "sqlite_with_rowid": False}
"""STRICT, and stored in the order of the primary key: one tree where there would be two."""

GIVEN = {"autoincrement": False}
"""A whole number as the key that we give ourselves: PostgreSQL makes no sequence for it."""


class StoredRow(SQLModel):
    """A row of a table of the store."""

    metadata = METADATA


class Whole(TypeDecorator[int]):
    """A 64-bit integer: a count, minor units, or microseconds since 1970 UTC.

    SQLite's STRICT tables know only INTEGER, which has 64 bits there.
    """

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[int]:
        """INTEGER on SQLite, else BIGINT."""
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())


class Words(TypeDecorator[str]):
    """A text that compares byte for byte (BINARY, which is SQLite's default, or "C")."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """TEXT, with the collation spelled out where bytes are not the default."""
        if dialect.name == "postgresql":
            return Text(collation="C")  # its own descriptor would make a VARCHAR of it
        return dialect.type_descriptor(Text())


def named(*names: str) -> tuple[CheckConstraint, ...]:
    """Texts that are never empty."""
    return tuple(CheckConstraint(column(name) != "", name=f"{name}_named") for name in names)


def at_least(least: int, *names: str) -> tuple[CheckConstraint, ...]:
    """Whole numbers with a lower bound."""
    return tuple(CheckConstraint(column(name) >= least, name=f"{name}_bounded") for name in names)

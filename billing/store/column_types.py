"""The column types of the store: whole numbers and words, and nothing else.

Invariant: no column holds a float or a decimal; texts compare byte for byte on every database.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

MAX_WHOLE = 2**63 - 1
"""Largest value of a ``Whole``."""


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
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(Text(collation=collation))

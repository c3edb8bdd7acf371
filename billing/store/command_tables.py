"""The tables of commands over HTTP: answers by idempotency key, and what a key may send.

Invariant: as in ``billing.store.tables``, which names them all; a command that was sent with an
idempotency key has one answer, and no answer holds a secret.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, column
from sqlmodel import Field

from billing.store.table_parts import KEYED, STRICT, StoredRow, Whole, Words, at_least, named


class CommandAnswerRow(StoredRow, table=True):
    """What a command was answered: ``target`` is its method and path, ``document`` its answer."""

    __tablename__ = "command_answers"
    __table_args__ = (
        *named("owner", "target", "idempotency_key", "request_digest", "document"),
        CheckConstraint(column("status").between(200, 299), name="status_of_effect"),
        *at_least(0, "answered_at"),
        KEYED,
    )

    owner: str = Field(primary_key=True, sa_type=Words)
    target: str = Field(primary_key=True, sa_type=Words)
    idempotency_key: str = Field(primary_key=True, sa_type=Words)
    request_digest: str = Field(sa_type=Words)
    status: int = Field(sa_type=Whole)
    document: str = Field(sa_type=Words)
    answered_at: int = Field(sa_type=Whole)


class ApiKeyLimitRow(StoredRow, table=True):
    """How many requests a second an API key may send, where that is not what all may."""

    __tablename__ = "api_key_limits"
    __table_args__ = (
        ForeignKeyConstraint(["prefix"], ["api_keys.prefix"]),
        *named("prefix"),
        *at_least(1, "requests_per_s"),
        STRICT,
    )

    prefix: str = Field(primary_key=True, sa_type=Words)
    requests_per_s: int = Field(sa_type=Whole)

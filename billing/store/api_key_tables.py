"""The tables of API keys: which were made, and which were revoked.

Invariant: as in ``billing.store.tables``, which names them all; the secret of a key is in neither.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint, column, or_
from sqlmodel import Field

from billing.store.table_parts import STRICT, StoredRow, Whole, Words, at_least, named


class ApiKeyRow(StoredRow, table=True):
    """A key that was made: the digest of its secret, what it may do, and until when."""

    __tablename__ = "api_keys"
    __table_args__ = (
        UniqueConstraint("digest"),
        *named("prefix", "digest", "name", "by"),
        CheckConstraint(
            column("scope").in_(("operator", "ingest", "account", "monitor")), name="scope_known"
        ),
        CheckConstraint(
            or_(column("scope") != "account", column("account") != ""), name="account_named"
        ),
        *at_least(0, "made_at", "expires_at"),
        STRICT,
    )

    prefix: str = Field(primary_key=True, sa_type=Words)
    digest: str = Field(sa_type=Words)
    scope: str = Field(sa_type=Words)
    account: str = Field(sa_type=Words)
    name: str = Field(sa_type=Words)
    by: str = Field(sa_type=Words)
    made_at: int = Field(sa_type=Whole)
    expires_at: int | None = Field(sa_type=Whole)


class ApiKeyRevocationRow(StoredRow, table=True):
    """That a key is no longer let in, from when, and why."""

    __tablename__ = "api_key_revocations"
    __table_args__ = (
        ForeignKeyConstraint(["prefix"], ["api_keys.prefix"]),
        *named("prefix", "reason", "by"),
        *at_least(0, "revoked_at"),
        STRICT,
    )

    prefix: str = Field(primary_key=True, sa_type=Words)
    reason: str = Field(sa_type=Words)
    by: str = Field(sa_type=Words)
    revoked_at: int = Field(sa_type=Whole)

"""API keys: appended when they are made and when they are revoked, and found by their prefix.

Invariant: only the SHA-256 of a key is stored; a key that was revoked stays revoked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, select

from billing.store.points import reach
from billing.store.rows import append_record, columns_of
from billing.store.tables import API_KEY_REVOCATIONS, API_KEYS

Scope = Literal["operator", "ingest", "account"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it was made; ``digest``: SHA-256 of the whole key, in hex digits.

    ``account``: the account that it belongs to, "" where it is the provider's. ``expires_at``: from
    when on it is not let in; None: never.
    """

    prefix: str
    digest: str
    scope: Scope
    account: str
    name: str
    by: str
    made_at: int
    expires_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """That a key is no longer let in."""

    prefix: str
    reason: str
    by: str
    revoked_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A key, and when it was revoked."""

    key: ApiKey
    revoked_at: int | None


def append_api_key(connection: Connection, *, key: ApiKey) -> None:
    """Store a key; its prefix must be free."""
    append_record(connection, table=API_KEYS, record=key)
    reach("api_key.appended")


def append_revocation(connection: Connection, *, revocation: Revocation) -> None:
    """Revoke a key that is stored and was not revoked yet."""
    append_record(connection, table=API_KEY_REVOCATIONS, record=revocation)
    reach("api_key.revoked")


def read_api_key(connection: Connection, *, prefix: str) -> StoredKey | None:
    """The key of a prefix; None where none was made."""
    query = _query().where(API_KEYS.c.prefix == prefix)
    return next(iter(_stored(connection, query=query)), None)


def read_api_keys(connection: Connection) -> tuple[StoredKey, ...]:
    """All keys, by the moment at which they were made."""
    return _stored(connection, query=_query().order_by(API_KEYS.c.made_at, API_KEYS.c.prefix))


def _query() -> Select[Any]:
    columns = columns_of(ApiKey, table=API_KEYS)
    query = select(*columns, API_KEY_REVOCATIONS.c.revoked_at)
    return query.outerjoin(
        API_KEY_REVOCATIONS, API_KEY_REVOCATIONS.c.prefix == API_KEYS.c.prefix
    ).select_from(API_KEYS)


def _stored(connection: Connection, *, query: Select[Any]) -> tuple[StoredKey, ...]:
    found = []
    for row in connection.execute(query):
        fields = dict(row._mapping)
        revoked_at = fields.pop("revoked_at")
        found.append(StoredKey(key=ApiKey(**fields), revoked_at=revoked_at))
    return tuple(found)

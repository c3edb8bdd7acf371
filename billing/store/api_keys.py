"""API keys: appended when they are made and when they are revoked, and found by their prefix.

Invariant: only the SHA-256 of a key is stored; a key that was revoked stays revoked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, literal, select, tuple_

from billing.store.points import reach
from billing.store.rows import append_record, append_rows
from billing.store.tables import API_KEY_LIMITS, API_KEY_REVOCATIONS, API_KEYS

Scope = Literal["operator", "ingest", "account", "monitor"]
"""What a key may do: everything, send events, read of one account, or read metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it was made; ``digest``: SHA-256 of the whole key, in hex digits.

    ``account``: the account that it belongs to, "" where it is the provider's. ``expires_at``: from
    when on it is not let in; None: never. ``requests_per_s``: how many requests it may send; None:
    as many as the service lets each.
    """

    prefix: str
    digest: str
    scope: Scope
    account: str
    name: str
    by: str
    made_at: int
    expires_at: int | None
    requests_per_s: int | None


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


_NAMES = tuple(column.name for column in API_KEYS.c)


def append_api_key(connection: Connection, *, key: ApiKey) -> None:
    """Store a key; its prefix must be free."""
    fields = tuple(getattr(key, name) for name in _NAMES)
    append_rows(connection, table=API_KEYS, names=_NAMES, rows=[fields])
    if key.requests_per_s is not None:
        append_rows(
            connection,
            table=API_KEY_LIMITS,
            names=("prefix", "requests_per_s"),
            rows=[(key.prefix, key.requests_per_s)],
        )
    reach("api_key.appended")


def append_revocation(connection: Connection, *, revocation: Revocation) -> None:
    """Revoke a key that is stored and was not revoked yet."""
    append_record(connection, table=API_KEY_REVOCATIONS, record=revocation)
    reach("api_key.revoked")


def read_api_key(connection: Connection, *, prefix: str) -> StoredKey | None:
    """The key of a prefix; None where none was made."""
    query = _query().where(API_KEYS.c.prefix == prefix)
    return next(iter(_stored(connection, query=query)), None)


def read_api_keys(
    connection: Connection, *, after: tuple[int, str] | None = None, limit: int | None = None
) -> tuple[StoredKey, ...]:
    """Keys by (made_at, prefix).

    ``after``: only those after this place. ``limit``: at most so many.
    """
    place = (API_KEYS.c.made_at, API_KEYS.c.prefix)
    query = _query().order_by(*place).limit(limit)
    if after is not None:
        query = query.where(tuple_(*place) > tuple_(*(literal(part) for part in after)))
    return _stored(connection, query=query)


def _query() -> Select[Any]:
    keys, limits, revocations = API_KEYS.c, API_KEY_LIMITS.c, API_KEY_REVOCATIONS.c
    return (
        select(API_KEYS, limits.requests_per_s, revocations.revoked_at)
        .select_from(API_KEYS)
        .outerjoin(API_KEY_LIMITS, limits.prefix == keys.prefix)
        .outerjoin(API_KEY_REVOCATIONS, revocations.prefix == keys.prefix)
    )


def _stored(connection: Connection, *, query: Select[Any]) -> tuple[StoredKey, ...]:
    found = []
    for row in connection.execute(query):
        fields = dict(row._mapping)
        revoked_at = fields.pop("revoked_at")
        found.append(StoredKey(key=ApiKey(**fields), revoked_at=revoked_at))
    return tuple(found)

"""API keys: made, revoked, listed, and checked when a request presents one.

Invariant: a key has 256 random bits, is shown once, and is kept as its SHA-256; whether a text is a
key is decided in a time that does not depend on how much of it is right.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

import msgspec

from billing.operations.cursor import Moment, Page, Word, cut_page, read_cursor
from billing.operations.not_found import NotFoundError
from billing.operations.stated import stated_name, stated_text
from billing.store.api_keys import (
    ApiKey,
    Revocation,
    Scope,
    StoredKey,
    append_api_key,
    append_revocation,
    read_api_key,
    read_api_keys,
)
from billing.store.audit import append_audit
from billing.store.locks import lock_name
from billing.store.store import Connection, Store
from pricing_rules.document import DocumentError
from pricing_rules.period import moment_text

_KEY = re.compile(r"(tw_[0-9a-f]{10})_[A-Za-z0-9_-]{43}\Z", re.ASCII)
_NO_DIGEST = "0" * 64

MOST_REQUESTS_PER_S = 10_000_000

_QUESTION = "keys"


class _Place(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Where a page of keys ends."""

    made_at: Moment
    prefix: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeKey:
    """A new key; ``text`` is the key itself, which nobody can show again."""

    text: str
    key: ApiKey


def make_api_key(
    store: Store,
    *,
    scope: Scope,
    account: str,
    name: str,
    expires_at: int | None,
    requests_per_s: int | None = None,
    by: str,
    now_at: int,
) -> MadeKey:
    """Make a key in a transaction of its own; as ``new_api_key`` does."""
    with store.write() as connection:
        return new_api_key(
            connection,
            scope=scope,
            account=account,
            name=name,
            expires_at=expires_at,
            requests_per_s=requests_per_s,
            by=by,
            now_at=now_at,
        )


def new_api_key(
    connection: Connection,
    *,
    scope: Scope,
    account: str,
    name: str,
    expires_at: int | None,
    requests_per_s: int | None,
    by: str,
    now_at: int,
) -> MadeKey:
    """Make a key. ``account``: whose key it is, "" for one of the provider. ``requests_per_s``: how
    many requests it may send; None: as many as the service lets each.

    DocumentError where a key of scope account names none, where one of scope operator or monitor
    names one, where a name is none, where it would have expired already, and where its requests are
    out of range.
    """
    if scope == "account" and not account:
        raise _refused("account", "a key of scope account belongs to one; name it")
    if scope in ("operator", "monitor") and account:
        raise _refused("account", f"a key of scope {scope} belongs to no account; leave it out")
    if account:
        stated_name("account", text=account)
    stated_name("name", text=name)
    stated_text("by", text=by)
    if expires_at is not None and expires_at <= now_at:
        raise _refused("expires_at", f"{moment_text(expires_at)} has passed")
    if requests_per_s is not None and not 1 <= requests_per_s <= MOST_REQUESTS_PER_S:
        raise _refused("requests_per_s", f"must be from 1 to {MOST_REQUESTS_PER_S:,}")
    prefix = f"tw_{secrets.token_hex(5)}"
    secret_text = f"{prefix}_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        prefix=prefix,
        digest=_digest(secret_text),
        scope=scope,
        account=account,
        name=name,
        by=by,
        made_at=now_at,
        expires_at=expires_at,
        requests_per_s=requests_per_s,
    )
    append_api_key(connection, key=key)
    append_audit(
        connection,
        command="key make",
        subject=prefix,
        by=by,
        detail={"scope": scope, "account": account, "name": name},
        recorded_at=now_at,
    )
    return MadeKey(text=secret_text, key=key)


def revoke_api_key(store: Store, *, prefix: str, reason: str, by: str, now_at: int) -> StoredKey:
    """Revoke a key in a transaction of its own; as ``end_api_key`` does."""
    with store.write() as connection:
        return end_api_key(connection, prefix=prefix, reason=reason, by=by, now_at=now_at)


def end_api_key(
    connection: Connection, *, prefix: str, reason: str, by: str, now_at: int
) -> StoredKey:
    """Revoke a key by its prefix; one that was revoked before stays as it was.

    NotFoundError where there is no such key, DocumentError where the reason is none.
    """
    stated_text("reason", text=reason)
    stated_text("by", text=by)
    lock_name(connection, name=f"key {prefix}")
    found = read_api_key(connection, prefix=prefix)
    if found is None:
        raise NotFoundError(f"key {prefix:.60}", "was never made; see tokenworks key list")
    if found.revoked_at is not None:
        return found
    revocation = Revocation(prefix=prefix, reason=reason, by=by, revoked_at=now_at)
    append_revocation(connection, revocation=revocation)
    append_audit(
        connection,
        command="key revoke",
        subject=prefix,
        by=by,
        detail={"reason": reason},
        recorded_at=now_at,
    )
    return StoredKey(key=found.key, revoked_at=now_at)


def list_api_keys(store: Store) -> tuple[StoredKey, ...]:
    """All keys, by the moment at which they were made."""
    with store.read() as connection:
        return read_api_keys(connection)


def api_key_page(store: Store, *, limit: int, cursor: str | None) -> Page[StoredKey]:
    """One page of at most ``limit`` keys, by the moment at which they were made; the first where
    ``cursor`` is None.

    A key that is made meanwhile may be on a later page. DocumentError where the cursor is none.
    """
    at = read_cursor(_Place, text=cursor, question=_QUESTION)
    after = None if at is None else (at.made_at, at.prefix)
    with store.read() as connection:
        found = read_api_keys(connection, after=after, limit=limit + 1)
    return cut_page(
        found,
        limit=limit,
        question=_QUESTION,
        place=lambda one: _Place(made_at=one.key.made_at, prefix=one.key.prefix),
    )


def check_api_key(store: Store, *, text: str, now_at: int) -> ApiKey | None:
    """The key that a request presents; None where it is none, was revoked or has expired."""
    matched = _KEY.match(text)
    if matched is None:
        return None
    with store.read() as connection:
        found = read_api_key(connection, prefix=matched[1])
    same = hmac.compare_digest(_digest(text), found.key.digest if found else _NO_DIGEST)
    if found is None or not same or found.revoked_at is not None:
        return None
    expires_at = found.key.expires_at
    return found.key if expires_at is None or now_at < expires_at else None


def _refused(field: str, sentence: str) -> DocumentError:
    return DocumentError(field, sentence, path=(field,))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

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
from billing.store.store import Store
from pricing_rules.document import DocumentError
from pricing_rules.period import moment_text

_KEY = re.compile(r"(tw_[0-9a-f]{10})_[A-Za-z0-9_-]{43}\Z", re.ASCII)
_NO_DIGEST = "0" * 64


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
    by: str,
    now_at: int,
) -> MadeKey:
    """Make a key. ``account``: whose key it is, "" for one of the provider.

    DocumentError where a key of scope account names none, where one of scope operator names one,
    where a name is empty, and where it would have expired already.
    """
    if scope == "account" and not account:
        raise DocumentError("--account", "a key of scope account belongs to one; name it")
    if scope == "operator" and account:
        raise DocumentError("--account", "an operator's key belongs to no account; leave it out")
    for option, text in (("--name", name), ("--by", by)):
        if not text.strip():
            raise DocumentError(option, "is empty; say it")
    if expires_at is not None and expires_at <= now_at:
        raise DocumentError("--expires-at", f"{moment_text(expires_at)} has passed")
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
    )
    with store.write() as connection:
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
    """Revoke a key by its prefix; one that was revoked before stays as it was.

    DocumentError where there is no such key, and where the reason is empty.
    """
    for option, text in (("--reason", reason), ("--by", by)):
        if not text.strip():
            raise DocumentError(option, "is empty; say it")
    with store.write() as connection:
        found = read_api_key(connection, prefix=prefix)
        if found is None:
            raise DocumentError(f"key {prefix:.60}", "was never made; see tokenworks key list")
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


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""Access: who sends a request, what they may do, and how often.

Invariant: without a key that is in force nothing is answered but health; a key does what its scope
says, in the one table below, and an account's key sees its account alone.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import compile_path

from billing.api.headers import header_values
from billing.api.problems import Problem
from billing.operations.api_key import check_api_key
from billing.store.api_keys import ApiKey, Scope
from billing.store.store import Store

SCOPES: Mapping[tuple[str, str], tuple[Scope, ...]] = {
    ("POST", "/v1/events"): ("operator", "ingest"),
    ("POST", "/api/v1/events"): ("operator", "ingest"),
    ("POST", "/api/v1/events/batch"): ("operator", "ingest"),
    ("POST", "/v1/traces"): ("operator", "ingest"),
    ("GET", "/v1/events"): ("operator", "account"),
    ("GET", "/v1/accounts"): ("operator",),
    ("GET", "/v1/accounts/{account}"): ("operator", "account"),
    ("GET", "/v1/accounts/{account}/usage"): ("operator", "account"),
    ("POST", "/v1/keys"): ("operator",),
    ("GET", "/v1/keys"): ("operator",),
    ("POST", "/v1/keys/{prefix}/revoke"): ("operator",),
    ("POST", "/v1/corrections"): ("operator",),
    ("GET", "/v1/corrections"): ("operator", "account"),
    ("GET", "/v1/corrections/{correction}"): ("operator", "account"),
    ("POST", "/v1/corrections/{correction}/revert"): ("operator",),
    ("POST", "/v1/backfills"): ("operator",),
    ("GET", "/v1/backfills"): ("operator",),
    ("GET", "/v1/backfills/{backfill}"): ("operator",),
    ("POST", "/v1/backfills/{backfill}/events"): ("operator",),
    ("POST", "/v1/backfills/{backfill}/apply"): ("operator",),
    ("POST", "/v1/backfills/{backfill}/revert"): ("operator",),
    ("POST", "/v1/backfills/{backfill}/drop"): ("operator",),
    ("POST", "/v1/webhook-endpoints"): ("operator",),
    ("GET", "/v1/webhook-endpoints"): ("operator",),
    ("GET", "/v1/webhook-endpoints/{endpoint}"): ("operator",),
    ("POST", "/v1/webhook-endpoints/{endpoint}/retire"): ("operator",),
    ("POST", "/v1/webhook-endpoints/{endpoint}/rotate-secret"): ("operator",),
    ("GET", "/v1/webhook-endpoints/{endpoint}/messages"): ("operator",),
    ("POST", "/v1/webhook-endpoints/{endpoint}/messages/{message}/send-again"): ("operator",),
    ("GET", "/metrics"): ("operator", "monitor"),
    ("GET", "/healthz"): (),
    ("GET", "/readyz"): (),
    ("GET", "/openapi.json"): (),
}
"""Which keys each route lets in; none: it asks for no key."""

_PATTERNS = [(compile_path(path)[0], method) for method, path in SCOPES]

_ADMITTED = "tokenworks.key"
"""Where a request holds its key once that was let in."""

_KEYS_REMEMBERED = 10_000


@dataclass(slots=True)
class _Remembered:
    key: ApiKey
    until_s: float


@dataclass(slots=True)
class _Bucket:
    """Requests that a key has left, and when that was counted."""

    left: float
    counted_s: float


@dataclass(slots=True, kw_only=True)
class Access:
    """Checks keys against the store, remembering for ``fresh_s`` those that were let in.

    ``requests_per_s``: of a key that has no limit of its own. ``workers``: so many processes serve,
    and each grants its share of a limit, rounded up.
    """

    store: Store
    clock: Callable[[], int]
    fresh_s: int
    requests_per_s: int
    workers: int
    _remembered: dict[bytes, _Remembered] = field(default_factory=dict, init=False)
    _buckets: dict[str, _Bucket] = field(default_factory=dict, init=False)

    async def admit(self, request: Request, *, route: tuple[str, str]) -> ApiKey:
        """The key of a request; it is counted once, however often this is asked.

        ``route``: of the table of scopes. Problem 401 where it has no key in force, 403 where the
        key may not do this, 429 where it comes too often.
        """
        known: ApiKey | None = request.scope.get(_ADMITTED)
        if known is not None:
            return known
        given = header_values(request.scope, name=b"authorization")
        kind, _, text = (given[0] if len(given) == 1 else "").partition(" ")
        if kind.lower() != "bearer" or not text:
            raise _unauthorized("send a key: Authorization: Bearer tw_...")
        key = await self._key(text.strip())
        if key is None:
            raise _unauthorized("the key is unknown, revoked or has expired")
        self._count(key)
        scopes = SCOPES[route]
        if key.scope not in scopes:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                kind="forbidden",
                detail=f"a key of scope {key.scope} may not do this; "
                f"use one of scope {' or '.join(scopes)}",
            )
        request.scope[_ADMITTED] = key
        return key

    async def _key(self, text: str) -> ApiKey | None:
        # By digest: how long a look-up takes must not tell how much of a key is right.
        digest = hashlib.sha256(text.encode()).digest()
        now_s, now_at = time.monotonic(), self.clock()
        known = self._remembered.get(digest)
        if known is not None and now_s < known.until_s:
            expires_at = known.key.expires_at
            return known.key if expires_at is None or now_at < expires_at else None
        if known is not None:  # one looks it up again, the others go on meanwhile
            known.until_s = now_s + self.fresh_s
        key = await run_in_threadpool(check_api_key, self.store, text=text, now_at=now_at)
        if key is None:
            self._remembered.pop(digest, None)
        else:
            if len(self._remembered) >= _KEYS_REMEMBERED:
                self._remembered.clear()
            self._remembered[digest] = _Remembered(key, now_s + self.fresh_s)
        return key

    def _count(self, key: ApiKey) -> None:
        """Take one request from what a key has left; a second's worth may be saved up."""
        most = math.ceil((key.requests_per_s or self.requests_per_s) / self.workers)
        now_s = time.monotonic()
        bucket = self._buckets.get(key.prefix)
        if bucket is None:
            if len(self._buckets) >= _KEYS_REMEMBERED:
                self._buckets.clear()
            bucket = self._buckets[key.prefix] = _Bucket(float(most), now_s)
        bucket.left = min(most, bucket.left + (now_s - bucket.counted_s) * most)
        bucket.counted_s = now_s
        if bucket.left < 1:
            wait_s = math.ceil((1 - bucket.left) / most)
            share = f" to each of {self.workers} workers" if self.workers > 1 else ""
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                kind="too-many-requests",
                detail=f"this key may send {most} requests a second{share}; wait, or send more "
                "events in each",
                headers={"retry-after": str(wait_s)},
            )
        bucket.left -= 1


async def admitted(request: Request) -> None:
    """Let a request in before anything else of it is read; each route that FastAPI reads the path
    and query for depends on it.
    """
    route = (request.method, str(request.scope["route"].path))
    if SCOPES[route]:
        await request.app.state.service.access.admit(request, route=route)


def allowed_methods(path: str) -> tuple[str, ...]:
    """The methods that a path answers to, sorted; none where it is no route."""
    return tuple(sorted(method for pattern, method in _PATTERNS if pattern.match(path) is not None))


def _unauthorized(detail: str) -> Problem:
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        kind="unauthorized",
        detail=detail,
        headers={"www-authenticate": "Bearer"},
    )

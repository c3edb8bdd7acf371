"""Webhook endpoints: made, retired, given new secrets; their messages listed and asked for anew.

Invariant: an endpoint's URL and kinds never change: another one is made. Its secret has 256 random
bits and is shown once; it is kept as it is, because each message is signed with it.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from billing.operations.cursor import Moment, Page, Word, cut_page, read_cursor
from billing.operations.not_found import NotFoundError
from billing.operations.stated import stated_name, stated_text
from billing.settings import Settings
from billing.store.audit import append_audit
from billing.store.locks import lock_name
from billing.store.store import Connection
from billing.store.webhooks import (
    Endpoint,
    Retirement,
    Secret,
    Sending,
    SendingState,
    StoredEndpoint,
    append_endpoint,
    append_retirement,
    append_secret,
    read_endpoint,
    read_endpoints,
    read_secrets,
    read_sending,
    read_sendings,
    send_anew,
)
from billing.webhooks.addresses import Reach, read_target
from billing.webhooks.messages import KINDS, OF_ACCOUNTS
from pricing_rules.document import DocumentError, canonical_json

FORMER_S = 86_400
"""For how long the secret before signs, too, where nobody says otherwise: a day."""

MOST_FORMER_S = 30 * 86_400


class _Place(msgspec.Struct, frozen=True):
    """Where a page of endpoints ends."""

    made_at: Moment
    endpoint: Word


class _MessagePlace(msgspec.Struct, frozen=True):
    """Where a page of messages ends."""

    message_seq: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeEndpoint:
    """An endpoint with a new secret, which is shown now and never again."""

    endpoint: Endpoint
    secret: str


def reach_of(settings: Settings) -> Reach:
    """How far messages may go in a deployment."""
    schemes = ("https", "http") if settings.webhook_http == "allowed" else ("https",)
    return Reach(schemes=schemes, networks=settings.allowed_networks)


def make_endpoint(
    connection: Connection,
    *,
    url: str,
    kinds: Sequence[str],
    account: str,
    reach: Reach,
    by: str,
    now_at: int,
) -> MadeEndpoint:
    """Make an endpoint that gets messages of these kinds from now on.

    ``account``: whose messages it gets, "" for those of all. DocumentError where messages may not
    go to the URL, where a kind is unknown, given twice, or not of accounts where one is named.
    """
    read_target(url, reach=reach)
    if account:
        stated_name("account", text=account)
    _check_kinds(kinds, account=account)
    endpoint = Endpoint(
        endpoint=f"whe_{secrets.token_hex(12)}",
        url=url,
        kinds=canonical_json(sorted(kinds)).decode(),
        account=account,
        by=stated_text("by", text=by),
        made_at=now_at,
    )
    append_endpoint(connection, endpoint=endpoint)
    made = _appended_secret(
        connection, endpoint=endpoint.endpoint, number=1, former_until_at=0, by=by, now_at=now_at
    )
    _audit(
        connection,
        command="webhook add",
        endpoint=endpoint.endpoint,
        by=by,
        detail={"kinds": endpoint.kinds, "account": account},
        now_at=now_at,
    )
    return MadeEndpoint(endpoint=endpoint, secret=made)


def retire_endpoint(
    connection: Connection, *, endpoint: str, reason: str, by: str, now_at: int
) -> StoredEndpoint:
    """Send an endpoint nothing more; what is pending there is given up.

    One that was retired before stays as it was. NotFoundError where there is no such endpoint.
    """
    stated_text("reason", text=reason)
    found = _locked(connection, endpoint=endpoint)
    if found.retired_at is not None:
        return found
    append_retirement(
        connection,
        retirement=Retirement(
            endpoint=endpoint, reason=reason, by=stated_text("by", text=by), retired_at=now_at
        ),
    )
    _audit(
        connection,
        command="webhook retire",
        endpoint=endpoint,
        by=by,
        detail={"reason": reason},
        now_at=now_at,
    )
    return replace(found, retired_at=now_at, reason=reason)


def rotate_secret(
    connection: Connection, *, endpoint: str, former_s: int, by: str, now_at: int
) -> MadeEndpoint:
    """Give an endpoint a new secret; for ``former_s`` seconds those before sign, too.

    With 0 they sign no more: for a secret that was lost. NotFoundError where there is no such
    endpoint, DocumentError where it was retired.
    """
    if not 0 <= former_s <= MOST_FORMER_S:
        raise DocumentError(
            "former_seconds", f"must be from 0 to {MOST_FORMER_S:,}", path=("former_seconds",)
        )
    found = _in_use(_locked(connection, endpoint=endpoint))
    number = read_secrets(connection, endpoint=endpoint)[0].number + 1
    made = _appended_secret(
        connection,
        endpoint=endpoint,
        number=number,
        former_until_at=now_at + former_s * 1_000_000,
        by=stated_text("by", text=by),
        now_at=now_at,
    )
    _audit(
        connection,
        command="webhook rotate",
        endpoint=endpoint,
        by=by,
        detail={"number": number, "former_s": former_s},
        now_at=now_at,
    )
    return MadeEndpoint(endpoint=found.endpoint, secret=made)


def signing_secrets(known: Sequence[Secret], *, now_at: int) -> tuple[str, ...]:
    """The secrets that sign now, of all that an endpoint had, the newest first."""
    signing, until_at = [], None
    for one in known:
        if until_at is not None and now_at >= until_at:
            break
        signing.append(one.secret)
        until_at = one.former_until_at
    return tuple(signing)


def find_endpoint(connection: Connection, *, endpoint: str) -> StoredEndpoint:
    """One endpoint. NotFoundError where there is none of this name."""
    found = read_endpoint(connection, endpoint=endpoint)
    if found is None:
        raise NotFoundError(
            f"webhook endpoint {endpoint:.60}", "was never made; see tokenworks webhook list"
        )
    return found


def endpoint_page(
    connection: Connection, *, limit: int, cursor: str | None
) -> Page[StoredEndpoint]:
    """Endpoints by the moment at which they were made, retired ones, too."""
    question = "webhook-endpoints"
    at = read_cursor(_Place, text=cursor, question=question)
    after = None if at is None else (at.made_at, at.endpoint)
    return cut_page(
        read_endpoints(connection, after=after, limit=limit + 1),
        limit=limit,
        question=question,
        place=lambda one: _Place(made_at=one.endpoint.made_at, endpoint=one.endpoint.endpoint),
    )


def sending_page(
    connection: Connection,
    *,
    endpoint: str,
    state: SendingState | None,
    limit: int,
    cursor: str | None,
) -> Page[Sending]:
    """Messages of an endpoint in their order, all or those in one state, and what became of them.

    NotFoundError where there is no such endpoint.
    """
    find_endpoint(connection, endpoint=endpoint)
    question = f"webhook-messages/{endpoint}/{state or ''}"
    at = read_cursor(_MessagePlace, text=cursor, question=question)
    after = None if at is None else at.message_seq
    return cut_page(
        read_sendings(connection, endpoint=endpoint, state=state, after=after, limit=limit + 1),
        limit=limit,
        question=question,
        place=lambda one: _MessagePlace(message_seq=one.message_seq),
    )


def send_again(
    connection: Connection, *, endpoint: str, message: str, by: str, now_at: int
) -> Sending:
    """Send a message anew, whatever became of it, with all its tries before it.

    Later messages of its subject wait for it. NotFoundError where it was never to go to the
    endpoint, DocumentError where that was retired.
    """
    _in_use(_locked(connection, endpoint=endpoint))
    found = read_sending(connection, endpoint=endpoint, message=message)
    if found is None:
        raise NotFoundError(
            f"message {message:.60}", f"was never to go to {endpoint}; see its messages"
        )
    send_anew(connection, sending=found, now_at=now_at)
    _audit(
        connection,
        command="webhook send-again",
        endpoint=endpoint,
        by=stated_text("by", text=by),
        detail={"message": message},
        now_at=now_at,
    )
    return replace(found, state="pending", tries=0, next_at=now_at, settled_at=None)


def _check_kinds(kinds: Sequence[str], *, account: str) -> None:
    if not kinds:
        raise DocumentError("kinds", "is empty; name what the endpoint wants", path=("kinds",))
    for place, kind in enumerate(kinds):
        path = ("kinds", place)
        if kind not in KINDS:
            known = ", ".join(KINDS)
            raise DocumentError("kinds", f'"{kind:.60}" is none of {known}', path=path)
        if account and kind not in OF_ACCOUNTS:
            raise DocumentError(
                "kinds", f"{kind} is about no account; leave it out, or the account", path=path
            )
        if kind in kinds[:place]:
            raise DocumentError("kinds", f"{kind} is given twice; give it once", path=path)


def _locked(connection: Connection, *, endpoint: str) -> StoredEndpoint:
    """An endpoint that only we change until the transaction ends."""
    lock_name(connection, name=f"webhook endpoint {endpoint}")
    return find_endpoint(connection, endpoint=endpoint)


def _in_use(found: StoredEndpoint) -> StoredEndpoint:
    if found.retired_at is not None:
        raise DocumentError(
            f"webhook endpoint {found.endpoint.endpoint}", "was retired; make another one"
        )
    return found


def _appended_secret(
    connection: Connection,
    *,
    endpoint: str,
    number: int,
    former_until_at: int,
    by: str,
    now_at: int,
) -> str:
    text = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    append_secret(
        connection,
        secret=Secret(
            endpoint=endpoint,
            number=number,
            secret=text,
            former_until_at=former_until_at,
            by=by,
            made_at=now_at,
        ),
    )
    return text


def _audit(
    connection: Connection,
    *,
    command: str,
    endpoint: str,
    by: str,
    detail: dict[str, str | int],
    now_at: int,
) -> None:
    append_audit(
        connection, command=command, subject=endpoint, by=by, detail=detail, recorded_at=now_at
    )

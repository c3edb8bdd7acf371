"""``/v1/keys``: API keys are made, listed and revoked.

Invariant: the secret of a key is in one answer, that to the request which made it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field, StringConstraints

from billing.api.commands import Answer, answer_command, published_form, sender
from billing.api.pages import Cursor, Limit
from billing.api.service import Service
from billing.operations.api_key import (
    MOST_REQUESTS_PER_S,
    api_key_page,
    end_api_key,
    new_api_key,
)
from billing.store.api_keys import ApiKey, Scope
from billing.store.store import Connection
from pricing_rules.document import Document, Name, Text
from pricing_rules.period import MomentText, moment_text

KEYS = "/v1/keys"
REVOCATION = "/v1/keys/{prefix}/revoke"

routes = APIRouter()

Prefix = Annotated[str, StringConstraints(pattern=r"^tw_[0-9a-f]{10}$")]
"""How a key begins, which is no secret."""


class NewKeyDocument(Document):
    """A key to be made.

    ``account``: whose key it is, absent for one of the provider. ``requests_per_s``: how many
    requests it may send, absent: as many as the service lets each.
    """

    scope: Scope
    account: Name | None = None
    name: Name
    expires_at: MomentText | None = None
    requests_per_s: Annotated[int, Field(ge=1, le=MOST_REQUESTS_PER_S)] | None = None


class KeyDocument(Document):
    """A key, without its secret; ``account`` is null where it is the provider's."""

    prefix: str
    scope: Scope
    account: str | None
    name: str
    made_at: str
    expires_at: str | None
    requests_per_s: int | None
    revoked_at: str | None


class MadeKeyDocument(KeyDocument):
    """A key that was made; ``key`` is the key itself, null where the answer is given again."""

    key: str | None


class KeysDocument(Document):
    """A page of keys, by the moment at which they were made; ``cursor`` is null on the last."""

    data: list[KeyDocument]
    cursor: str | None


class RevocationDocument(Document):
    """Why a key is revoked."""

    reason: Text


class KeysQuery(Document):
    """Which page of the keys."""

    limit: Limit = 100
    cursor: Cursor = None


@routes.post(
    KEYS,
    response_model=MadeKeyDocument,
    status_code=HTTPStatus.CREATED,
    summary="Make an API key",
    openapi_extra=published_form(NewKeyDocument),
)
async def post_key(request: Request) -> Response:
    """The key is shown in this answer and never again; sent again with its idempotency key, the
    request is answered without it.
    """
    service: Service = request.app.state.service
    return await answer_command(
        request, service=service, route=("POST", KEYS), form=NewKeyDocument, work=_made
    )


@routes.get(KEYS, response_model=KeysDocument, summary="API keys, without their secrets")
async def get_keys(request: Request, *, query: Annotated[KeysQuery, Query()]) -> Any:
    """Revoked and expired ones, too; one that is made meanwhile may be on a later page."""
    service: Service = request.app.state.service
    await service.access.admit(request, route=("GET", KEYS))
    page = await service.reading(
        lambda: api_key_page(service.store, limit=query.limit, cursor=query.cursor)
    )
    keys = [_document(one.key, revoked_at=one.revoked_at) for one in page.rows]
    return KeysDocument(data=keys, cursor=page.cursor)


@routes.post(
    REVOCATION,
    response_model=KeyDocument,
    summary="Revoke an API key",
    openapi_extra=published_form(RevocationDocument),
)
async def post_revocation(request: Request, *, prefix: Annotated[Prefix, Path()]) -> Response:
    """A key that was revoked before stays as it was. It may be let in for a second longer."""
    service: Service = request.app.state.service

    def revoked(
        connection: Connection, document: RevocationDocument, key: ApiKey, now_at: int
    ) -> Answer:
        found = end_api_key(
            connection, prefix=prefix, reason=document.reason, by=sender(key), now_at=now_at
        )
        shown = _document(found.key, revoked_at=found.revoked_at)
        return Answer(status=HTTPStatus.OK, document=shown.model_dump())

    return await answer_command(
        request,
        service=service,
        route=("POST", REVOCATION),
        form=RevocationDocument,
        work=revoked,
    )


def _made(connection: Connection, document: NewKeyDocument, key: ApiKey, now_at: int) -> Answer:
    made = new_api_key(
        connection,
        scope=document.scope,
        account=document.account or "",
        name=document.name,
        expires_at=document.expires_at,
        requests_per_s=document.requests_per_s,
        by=sender(key),
        now_at=now_at,
    )
    shown = _document(made.key, revoked_at=None)
    return Answer(status=HTTPStatus.CREATED, document=shown.model_dump(), once={"key": made.text})


def _document(key: ApiKey, *, revoked_at: int | None) -> KeyDocument:
    return KeyDocument(
        prefix=key.prefix,
        scope=key.scope,
        account=key.account or None,
        name=key.name,
        made_at=moment_text(key.made_at),
        expires_at=None if key.expires_at is None else moment_text(key.expires_at),
        requests_per_s=key.requests_per_s,
        revoked_at=None if revoked_at is None else moment_text(revoked_at),
    )

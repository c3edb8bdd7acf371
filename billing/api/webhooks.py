"""``/v1/webhook-endpoints``: where messages go, what became of them, and sending them again.

Invariant: the secret of an endpoint is in one answer, that to the request which made it.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from billing.api.commands import Answer, answer_command, published_form, sender
from billing.api.pages import Cursor, Limit
from billing.api.service import Service
from billing.operations.webhook import (
    FORMER_S,
    MOST_FORMER_S,
    MadeEndpoint,
    endpoint_page,
    find_endpoint,
    make_endpoint,
    reach_of,
    retire_endpoint,
    rotate_secret,
    send_again,
    sending_page,
)
from billing.store.api_keys import ApiKey
from billing.store.store import Connection
from billing.store.webhooks import Endpoint, Sending, SendingState
from billing.webhooks.addresses import MOST_CHARACTERS
from billing.webhooks.messages import Kind
from pricing_rules.document import Document, Name, Text
from pricing_rules.period import moment_text

ENDPOINTS = "/v1/webhook-endpoints"
ENDPOINT = "/v1/webhook-endpoints/{endpoint}"
RETIREMENT = "/v1/webhook-endpoints/{endpoint}/retire"
ROTATION = "/v1/webhook-endpoints/{endpoint}/rotate-secret"
MESSAGES = "/v1/webhook-endpoints/{endpoint}/messages"
SENT_AGAIN = "/v1/webhook-endpoints/{endpoint}/messages/{message}/send-again"

routes = APIRouter()

EndpointName = Annotated[Name, Path()]
MessageName = Annotated[Name, Path()]


class NewWebhookEndpointDocument(Document):
    """An endpoint to be made. ``account``: whose messages it gets, absent for those of all."""

    url: Annotated[
        str,
        Field(min_length=1, max_length=MOST_CHARACTERS, description="https, of a public host"),
    ]
    kinds: Annotated[list[Kind], Field(min_length=1, max_length=50)]
    account: Name | None = None


class WebhookRetirementDocument(Document):
    """Why an endpoint is retired."""

    reason: Text


class WebhookRotationDocument(Document):
    """For how long the secrets before the new one sign, too; 0: no longer."""

    former_seconds: Annotated[int, Field(ge=0, le=MOST_FORMER_S)] = FORMER_S


class WebhookSendAgainDocument(Document):
    """An empty object: the path says all."""


class WebhookEndpointDocument(Document):
    """An endpoint, without its secret; ``account`` is null where it gets messages of all."""

    endpoint: str
    url: str
    kinds: list[str]
    account: str | None
    made_at: str
    retired_at: str | None
    retired_because: str | None


class MadeWebhookEndpointDocument(WebhookEndpointDocument):
    """An endpoint with a new secret, which is null where the answer is given again."""

    secret: str | None


class WebhookEndpointsDocument(Document):
    """A page of endpoints, as they were made; ``cursor`` is null on the last one."""

    data: list[WebhookEndpointDocument]
    cursor: str | None


class WebhookMessageDocument(Document):
    """A message, and what became of it at the endpoint.

    ``attempts``: those that were begun; ``next_at``: when the next may begin, null where none
    will. ``status``: of the last answer, null where there was none; ``error``: why it was not
    taken.
    """

    message: str
    kind: str
    account: str | None
    subject: str
    data: dict[str, Any]
    recorded_at: str
    state: SendingState
    attempts: int
    next_at: str | None
    status: int | None
    error: str | None
    settled_at: str | None


class WebhookMessagesDocument(Document):
    """A page of messages in their order; ``cursor`` is null on the last one."""

    data: list[WebhookMessageDocument]
    cursor: str | None


class WebhookEndpointsQuery(Document):
    """Which page of the endpoints."""

    limit: Limit = 100
    cursor: Cursor = None


class WebhookMessagesQuery(Document):
    """Which page of the messages, all or those in one state."""

    state: SendingState | None = None
    limit: Limit = 100
    cursor: Cursor = None


@routes.post(
    ENDPOINTS,
    response_model=MadeWebhookEndpointDocument,
    status_code=HTTPStatus.CREATED,
    summary="Make a webhook endpoint",
    openapi_extra=published_form(NewWebhookEndpointDocument),
)
async def post_webhook_endpoint(request: Request) -> Response:
    """It gets the messages of what happens from now on. Its secret is shown in this answer and
    never again.
    """
    service: Service = request.app.state.service

    def made(
        connection: Connection, document: NewWebhookEndpointDocument, key: ApiKey, now_at: int
    ) -> Answer:
        found = make_endpoint(
            connection,
            url=document.url,
            kinds=document.kinds,
            account=document.account or "",
            reach=reach_of(service.settings),
            by=sender(key),
            now_at=now_at,
        )
        return _with_secret(found, status=HTTPStatus.CREATED)

    return await answer_command(
        request,
        service=service,
        route=("POST", ENDPOINTS),
        form=NewWebhookEndpointDocument,
        work=made,
    )


@routes.get(ENDPOINTS, response_model=WebhookEndpointsDocument, summary="Webhook endpoints")
async def get_webhook_endpoints(
    request: Request, *, query: Annotated[WebhookEndpointsQuery, Query()]
) -> Any:
    """Retired ones, too, without their secrets."""
    service = await _admitted(request, path=ENDPOINTS)

    def page() -> WebhookEndpointsDocument:
        with service.store.read() as connection:
            found = endpoint_page(connection, limit=query.limit, cursor=query.cursor)
        shown = [
            _document(one.endpoint, retired_at=one.retired_at, reason=one.reason)
            for one in found.rows
        ]
        return WebhookEndpointsDocument(data=shown, cursor=found.cursor)

    return await service.reading(page)


@routes.get(ENDPOINT, response_model=WebhookEndpointDocument, summary="A webhook endpoint")
async def get_webhook_endpoint(request: Request, *, endpoint: EndpointName) -> Any:
    """Without its secret."""
    service = await _admitted(request, path=ENDPOINT)

    def one() -> WebhookEndpointDocument:
        with service.store.read() as connection:
            found = find_endpoint(connection, endpoint=endpoint)
        return _document(found.endpoint, retired_at=found.retired_at, reason=found.reason)

    return await service.reading(one)


@routes.post(
    RETIREMENT,
    response_model=WebhookEndpointDocument,
    summary="Retire a webhook endpoint",
    openapi_extra=published_form(WebhookRetirementDocument),
)
async def post_webhook_retirement(request: Request, *, endpoint: EndpointName) -> Response:
    """It gets no more messages, and those that wait for it are given up."""
    service: Service = request.app.state.service

    def retired(
        connection: Connection, document: WebhookRetirementDocument, key: ApiKey, now_at: int
    ) -> Answer:
        found = retire_endpoint(
            connection, endpoint=endpoint, reason=document.reason, by=sender(key), now_at=now_at
        )
        shown = _document(found.endpoint, retired_at=found.retired_at, reason=found.reason)
        return Answer(status=HTTPStatus.OK, document=shown.model_dump())

    return await answer_command(
        request,
        service=service,
        route=("POST", RETIREMENT),
        form=WebhookRetirementDocument,
        work=retired,
    )


@routes.post(
    ROTATION,
    response_model=MadeWebhookEndpointDocument,
    summary="Give a webhook endpoint a new secret",
    openapi_extra=published_form(WebhookRotationDocument),
)
async def post_webhook_rotation(request: Request, *, endpoint: EndpointName) -> Response:
    """Messages are signed with the new secret and, for a while, with those before it, too."""
    service: Service = request.app.state.service

    def rotated(
        connection: Connection, document: WebhookRotationDocument, key: ApiKey, now_at: int
    ) -> Answer:
        found = rotate_secret(
            connection,
            endpoint=endpoint,
            former_s=document.former_seconds,
            by=sender(key),
            now_at=now_at,
        )
        return _with_secret(found, status=HTTPStatus.OK)

    return await answer_command(
        request,
        service=service,
        route=("POST", ROTATION),
        form=WebhookRotationDocument,
        work=rotated,
    )


@routes.get(
    MESSAGES, response_model=WebhookMessagesDocument, summary="The messages of a webhook endpoint"
)
async def get_webhook_messages(
    request: Request,
    *,
    endpoint: EndpointName,
    query: Annotated[WebhookMessagesQuery, Query()],
) -> Any:
    """And what became of each. One that is stored while pages are read may be on none of them: read
    the first page anew.
    """
    service = await _admitted(request, path=MESSAGES)

    def page() -> WebhookMessagesDocument:
        with service.store.read() as connection:
            found = sending_page(
                connection,
                endpoint=endpoint,
                state=query.state,
                limit=query.limit,
                cursor=query.cursor,
            )
        shown = [_message(one) for one in found.rows]
        return WebhookMessagesDocument(data=shown, cursor=found.cursor)

    return await service.reading(page)


@routes.post(
    SENT_AGAIN,
    response_model=WebhookMessageDocument,
    summary="Send a message again",
    openapi_extra=published_form(WebhookSendAgainDocument),
)
async def post_webhook_send_again(
    request: Request, *, endpoint: EndpointName, message: MessageName
) -> Response:
    """With the same id, whatever became of it; later messages of its subject wait for it."""
    service: Service = request.app.state.service

    def again(
        connection: Connection, document: WebhookSendAgainDocument, key: ApiKey, now_at: int
    ) -> Answer:
        found = send_again(
            connection, endpoint=endpoint, message=message, by=sender(key), now_at=now_at
        )
        return Answer(status=HTTPStatus.OK, document=_message(found).model_dump())

    return await answer_command(
        request,
        service=service,
        route=("POST", SENT_AGAIN),
        form=WebhookSendAgainDocument,
        work=again,
    )


async def _admitted(request: Request, *, path: str) -> Service:
    service: Service = request.app.state.service
    await service.access.admit(request, route=("GET", path))
    return service


def _with_secret(made: MadeEndpoint, *, status: HTTPStatus) -> Answer:
    shown = _document(made.endpoint, retired_at=None, reason=None)
    return Answer(status=status, document=shown.model_dump(), once={"secret": made.secret})


def _document(
    endpoint: Endpoint, *, retired_at: int | None, reason: str | None
) -> WebhookEndpointDocument:
    return WebhookEndpointDocument(
        endpoint=endpoint.endpoint,
        url=endpoint.url,
        kinds=json.loads(endpoint.kinds),
        account=endpoint.account or None,
        made_at=moment_text(endpoint.made_at),
        retired_at=_moment(retired_at),
        retired_because=reason,
    )


def _message(sending: Sending) -> WebhookMessageDocument:
    message = sending.message
    return WebhookMessageDocument(
        message=message.message,
        kind=message.kind,
        account=message.account or None,
        subject=message.subject,
        data=json.loads(message.data),
        recorded_at=moment_text(message.recorded_at),
        state=sending.state,
        attempts=sending.attempts,
        next_at=_moment(sending.next_at if sending.state == "pending" else None),
        status=sending.status,
        error=sending.error or None,
        settled_at=_moment(sending.settled_at),
    )


def _moment(at: int | None) -> str | None:
    return None if at is None else moment_text(at)

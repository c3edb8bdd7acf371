"""Commands: requests that change something, with their body, their idempotency key and one answer.

Invariant: what a command does and the answer that its idempotency key stands for are committed
together; whatever it is refused with, it has done nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from billing.api.body import media_type_of, read_body
from billing.api.problems import bad_request
from billing.api.service import Service
from billing.operations.idempotency import Answer, Answered, Command, answered
from billing.operations.taken_in import owner_of
from billing.store.api_keys import ApiKey
from billing.store.store import Connection
from pricing_rules.document import (
    Document,
    DocumentError,
    JsonValue,
    content_digest,
    dump,
    load_json,
)

__all__ = ["FORM", "MEDIA_TYPE", "Answer", "answer_command", "published_form", "sender"]

MEDIA_TYPE = "application/json"

FORM = "x-form"
"""Where an operation holds the schema of its body until the document is published."""

_IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}\Z", re.ASCII)

_MOST_BYTES = 2**20
"""Of a command, unpacked too: a thousand corrections fit, and none takes a core for long."""

_LARGE_BYTES = 65_536
"""A larger body is parsed beside the loop, so that others are answered meanwhile."""

D = TypeVar("D", bound=Document)


async def answer_command(
    request: Request,
    *,
    service: Service,
    route: tuple[str, str],
    form: type[D],
    work: Callable[[Connection, D, ApiKey, int], Answer],
) -> Response:
    """Do what a request asks for, once for each idempotency key, and answer it.

    ``route``: of the table of scopes. ``form``: what the body is read as. ``work`` is given the
    transaction, the document, the key that sends it and the moment; it runs in a thread, beside
    others, and must be safe to repeat. What it returns is committed with its answer; what it raises
    undoes it: a DocumentError is a problem 400, a NotFoundError 404, a Problem itself.

    Problem 422 where the idempotency key was used for another request.
    """
    key = await service.access.admit(request, route=route)
    idempotency_key = _idempotency_key(request)
    media_type_of(request, known=(MEDIA_TYPE,))
    settings = service.settings
    body = await read_body(
        request,
        max_bytes=min(_MOST_BYTES, settings.max_body_bytes),
        deadlines=service.body_deadlines,
    )

    def parsed() -> D:
        return _document(body, form=form)

    document = await asyncio.to_thread(parsed) if len(body) > _LARGE_BYTES else parsed()
    command = None
    if idempotency_key is not None:
        command = Command(
            owner=owner_of(key.account),
            target=f"{request.method} {request.url.path}",
            idempotency_key=idempotency_key,
            digest=content_digest(dump(document)),
        )
    now_at = service.clock()

    def done() -> Answered:
        return service.store.beside(
            lambda connection: answered(
                connection,
                command=command,
                work=lambda: work(connection, document, key, now_at),
                now_at=now_at,
            )
        )

    found = await service.commanding(done)
    headers = {"idempotent-replayed": "true"} if found.replayed else {}
    return Response(
        found.text, status_code=found.status.value, headers=headers, media_type=MEDIA_TYPE
    )


def published_form(form: type[Document]) -> dict[str, JsonValue]:
    """What a route is told as ``openapi_extra``, so that the body of a command is published."""
    return {FORM: form.model_json_schema(ref_template="#/components/schemas/{model}")}


def sender(key: ApiKey) -> str:
    """Who sends a command, for the audit."""
    return f"{key.name} ({key.prefix})"


def _document(body: bytes, *, form: type[D]) -> D:
    if not body.strip():
        raise DocumentError("body", "is empty; send a JSON object")
    try:
        return load_json(form, body, name="")
    except DocumentError as error:
        if error.path:
            raise
        raise DocumentError(f"body{error.where}", error.sentence) from None


def _idempotency_key(request: Request) -> str | None:
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not _IDEMPOTENCY_KEY.match(given[0]):
        raise bad_request(
            "Idempotency-Key must be given once and have 1 to 255 visible ASCII characters"
        )
    return given[0]

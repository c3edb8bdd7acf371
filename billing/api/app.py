"""The application: its routes, what they are published as, and how errors are answered.

Invariant: every route is in the table of scopes and in the published OpenAPI document, and nothing
else is answered with anything but 404 or 405.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from billing.api import (
    accounts,
    backfills,
    corrections,
    keys,
    status,
    stored_events,
    usage,
    webhooks,
)
from billing.api.access import admitted, allowed_methods
from billing.api.events import EVENT_PATHS, post_events
from billing.api.frame import Frame, answer_to
from billing.api.openapi import openapi_document
from billing.api.otlp import PATH as TRACES_PATH
from billing.api.otlp import post_traces
from billing.api.pages import asked_once
from billing.api.problems import Problem
from billing.api.service import Service
from billing.settings import Settings
from billing.store.store import Store
from pricing_rules.document import DocumentError, JsonValue


def application(
    store: Store,
    *,
    settings: Settings,
    clock: Callable[[], int],
    workers: int = 1,
    counters: Path | None = None,
) -> Frame:
    """The service on an open store, as an ASGI application; its lifespan must be run.

    ``clock`` gives microseconds since 1970 UTC. ``workers``: so many processes serve the store;
    ``counters``: the folder of what they count, see ``Service``.
    """
    service = Service(
        store=store, settings=settings, clock=clock, workers=workers, counters=counters
    )
    app = FastAPI(
        title="Tokenworks",
        lifespan=service.running,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service

    async def post(request: Request) -> Response:
        return await post_events(request, service=service)

    async def post_spans(request: Request) -> Response:
        return await post_traces(request, service=service)

    app.router.routes.extend(Route(path, post, methods=["POST"]) for path in EVENT_PATHS)
    app.router.routes.append(Route(TRACES_PATH, post_spans, methods=["POST"]))
    for room in (stored_events, accounts, usage, corrections, backfills, keys, webhooks, status):
        app.include_router(room.routes, dependencies=[Depends(admitted), Depends(asked_once)])
    document = openapi_document(app)

    async def get_openapi(request: Request) -> Response:
        return Response(document, media_type="application/json")

    app.router.routes.append(Route("/openapi.json", get_openapi, methods=["GET"]))
    for kind in (DocumentError, Problem, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _answer)
    return Frame(
        app,
        direct={("POST", path): post for path in EVENT_PATHS},
        metrics=service.metrics,
        request_timeout_s=settings.request_timeout_s,
    )


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        error = _of_http(error, path=request.url.path)
    elif isinstance(error, RequestValidationError):
        error = _of_validation(error)
    return answer_to(error, request_id=request.scope["request_id"])


def _of_http(error: HTTPException, *, path: str) -> Problem:
    """No such route, or no such method there."""
    found = HTTPStatus(error.status_code)
    kind = found.phrase.lower().replace(" ", "-")
    detail = {
        HTTPStatus.NOT_FOUND: "there is nothing here that you may see",
        HTTPStatus.METHOD_NOT_ALLOWED: "this method is not answered here",
    }.get(found, str(error.detail))
    headers = dict(error.headers or {})
    if found == HTTPStatus.METHOD_NOT_ALLOWED:
        # The framework names the methods of the first route of this path alone.
        headers = {"allow": ", ".join(allowed_methods(path))}
    return Problem(found, kind=kind, detail=detail, headers=headers)


def _of_validation(error: RequestValidationError) -> Problem:
    """The first fault of a query string or path."""
    fault = error.errors()[0]
    place, *names = fault["loc"]
    message = str(fault["msg"]).removeprefix("Value error, ")
    known = {
        "extra_forbidden": "is not known; leave it out",
        "missing": "is missing; give it",
    }
    said = known.get(fault["type"], f"{message[:1].lower()}{message[1:]}")
    members: dict[str, JsonValue] = {"parameter": ".".join(str(name) for name in names)}
    return Problem(
        HTTPStatus.BAD_REQUEST,
        kind="bad-request",
        detail=f"{place} {members['parameter']}: {said}",
        members=members,
    )

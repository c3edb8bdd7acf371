"""Around every request: its id, its time limit, one answer whatever happens, and what is noted.

Invariant: each request has exactly one answer, with its id in it; what is not ours to know (a
stack trace, a path) stays in the log.
"""

from __future__ import annotations

import errno
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from itertools import count

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing.api.access import SCOPES
from billing.api.deadlines import Deadlines
from billing.api.metrics import Metrics
from billing.api.paths import divided_path
from billing.api.problems import Problem, of_error, unavailable
from billing.log import logger
from pricing_rules.document import DocumentError

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")
_PLAIN_PATHS = {path for _, path in SCOPES}
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_NO_FILE_LEFT = (errno.EMFILE, errno.ENFILE)

_STARTED = uuid.uuid4().hex[:16]
_numbers = count(1)
"""Ids of requests: no system call for each."""

_log = logger("requests")

Endpoint = Callable[[Request], Awaitable[Response]]


class Frame:
    """The application inside its frame; ``request_timeout_s`` bounds each answer.

    ``direct``: (method, path) -> what answers it past the layers of the application: what they do
    for a request costs as much as storing an event.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        direct: Mapping[tuple[str, str], Endpoint],
        metrics: Metrics,
        request_timeout_s: int,
    ) -> None:
        self.app = app
        self.direct = direct
        self.metrics = metrics
        self._deadlines = Deadlines(request_timeout_s)
        self._log = _log.bind()  # else it is put together anew for each line

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the lifespan passes through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = scope["request_id"] = _request_id(scope)
        if b"%2" in scope["raw_path"]:
            scope["path"] = divided_path(scope["raw_path"])
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started_s = time.perf_counter()
        status = 0

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", request_id.encode())]
                message = {**message, "headers": [*headers, (b"cache-control", b"no-store")]}
            await send(message)

        try:
            await self._deadlines.within(self._answer(scope, receive, send_framed))
        except ClientDisconnect:
            status = status or 499
        except Exception as error:
            if not status:
                await answer_to(error, request_id=request_id)(scope, receive, send_framed)
            elif status < 500:
                _log.error("bug_after_the_answer", exc_info=error)
        path: str = scope["path"]
        plain = path if path in _PLAIN_PATHS else "none"
        route = str(getattr(scope.get("route"), "path", plain))
        method = scope["method"] if scope["method"] in _METHODS else "other"
        seconds = time.perf_counter() - started_s
        self.metrics.answered(method=method, route=route, status=status, seconds=seconds)
        log = self._log
        noted = log.debug if status < 400 else log.info if status < 500 else log.warning
        noted("answered", method=method, route=route, status=status, ms=f"{seconds * 1e3:.1f}")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self.direct.get((scope["method"], scope["path"]))
        if endpoint is None:
            await self.app(scope, receive, send)
        else:
            answer = await endpoint(Request(scope, receive))
            await answer(scope, receive, send)


def answer_to(error: Exception, *, request_id: str) -> Response:
    """The problem that an error is answered with; what is a bug of ours is noted whole."""
    if isinstance(error, Problem):
        problem = error
    elif isinstance(error, DocumentError):
        problem = of_error(error)
    elif isinstance(error, TimeoutError):
        problem = unavailable("the answer took too long; try again")
    elif isinstance(error, OSError) and error.errno in _NO_FILE_LEFT:
        problem = unavailable("too many connections and files are open; try again")
    else:
        _log.error("bug", exc_info=error)
        problem = Problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            kind="bug",
            detail="this is a fault of ours; report the request id",
        )
    return problem.response(request_id=request_id)


def _request_id(scope: Scope) -> str:
    """The id that the caller gave, where it is a plain one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.match(value):
            found: bytes = value
            return found.decode()
    return f"{_STARTED}-{next(_numbers)}"

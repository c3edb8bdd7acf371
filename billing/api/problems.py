"""Problems: how every refusal is answered (RFC 9457).

Invariant: a problem says what is wrong and how to mend it, and nothing about keys or accounts that
the caller may not see; ``type`` is stable, for programs.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.responses import Response

from billing.intake.event_request import TooManyEventsError
from billing.operations.idempotency import KeyUsedError
from billing.operations.not_found import NotFoundError
from billing.store.faults import StoreError, StoreLimitError, StoreOverflowError
from pricing_rules.document import DocumentError, JsonValue, json_pointer

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 1

_encode = msgspec.json.Encoder().encode


class Problem(Exception):
    """Why a request is refused. ``kind`` ends the type, ``urn:tokenworks:problem:<kind>``."""

    def __init__(
        self,
        status: HTTPStatus,
        *,
        kind: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, JsonValue] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    def response(self, *, request_id: str) -> Response:
        """The problem as an answer."""
        document = {
            "type": f"urn:tokenworks:problem:{self.kind}",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "request_id": request_id,
            **self.members,
        }
        return Response(
            _encode(document),
            status_code=self.status.value,
            headers=self.headers,
            media_type=MEDIA_TYPE,
        )


def of_error(error: DocumentError) -> Problem:
    """The problem that an error of an operation is: 503 where the store cannot, 404 where what is
    named is not there, 422 where an idempotency key was used before or a total cannot hold it, else
    400 or 413.
    """
    if isinstance(error, NotFoundError):
        return not_found()
    if isinstance(error, KeyUsedError):
        return Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, kind="idempotency-key-used", detail=str(error)
        )
    if isinstance(error, StoreOverflowError):
        return Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, kind="total-too-large", detail=error.sentence
        )
    if isinstance(error, StoreLimitError):
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, kind="too-long", detail=error.sentence)
    if isinstance(error, StoreError):
        # Where the store lies is not the caller's business.
        return unavailable(error.sentence)
    pointer = {"pointer": json_pointer(error.path)} if error.path else {}
    if isinstance(error, TooManyEventsError):
        return Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, kind="too-many-events", detail=str(error)
        )
    return Problem(HTTPStatus.BAD_REQUEST, kind="bad-request", detail=str(error), members=pointer)


def bad_request(detail: str) -> Problem:
    """400: the request is not one that can be answered, whoever sends it."""
    return Problem(HTTPStatus.BAD_REQUEST, kind="bad-request", detail=detail)


def unavailable(detail: str) -> Problem:
    """503: nothing was stored, and the same request may succeed later."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        kind="unavailable",
        detail=detail,
        headers={"retry-after": str(RETRY_AFTER_S)},
    )


def not_found() -> Problem:
    """404: the same for what does not exist and for what the caller may not see."""
    return Problem(
        HTTPStatus.NOT_FOUND, kind="not-found", detail="there is nothing here that you may see"
    )


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "pointer": {"type": "string", "description": "JSON pointer of what is wrong"},
    },
}
"""Its JSON Schema; a kind may have more members."""

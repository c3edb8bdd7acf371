"""The body of a request: read within bounds of size and time, and unpacked.

Invariant: no more than the bound is ever in memory, whatever a request declares and however far it
unpacks.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from billing.api.deadlines import Deadlines
from billing.api.headers import header_values
from billing.api.problems import Problem

_GZIP = 16 + zlib.MAX_WBITS
_CLOSE = {"connection": "close"}


def media_type_of(request: Request, *, known: Collection[str]) -> str:
    """The media type of the body, in lower case.

    Problem 415 where it is none of those known, where the text is not UTF-8, and where the request
    names two.
    """
    given = header_values(request.scope, name=b"content-type")
    media_type, _, parameters = (given[0] if len(given) == 1 else "").partition(";")
    media_type = media_type.strip().lower()
    charset = parameters.strip().lower().replace('"', "")
    if media_type not in known or charset not in ("", "charset=utf-8"):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            kind="unsupported-media-type",
            detail=f"Content-Type must be one of {', '.join(known)}, in UTF-8",
        )
    return media_type


async def read_body(request: Request, *, max_bytes: int, deadlines: Deadlines) -> bytes:
    """The body, unpacked where it is gzip.

    Problem 413 where it is larger than ``max_bytes``, packed or not; 408 where it does not arrive
    in time; 415 for another encoding; 400 where it is no gzip.
    """
    encoding = _only(request, name=b"content-encoding", absent="identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            kind="unsupported-encoding",
            detail="Content-Encoding must be gzip or absent",
        )
    declared = _only(request, name=b"content-length", absent="")
    if declared.isdigit() and (len(declared) > 18 or int(declared) > max_bytes):
        raise _too_large(max_bytes)
    try:
        body = await deadlines.within(_received(request, max_bytes=max_bytes))
    except TimeoutError:
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT,
            kind="body-too-slow",
            detail=f"the body did not arrive in {deadlines.seconds} seconds; send it anew",
            headers=_CLOSE,
        ) from None
    return _unpacked(body, max_bytes=max_bytes) if encoding == "gzip" else body


async def _received(request: Request, *, max_bytes: int) -> bytes:
    """The body as it was sent, whole."""
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _only(request: Request, *, name: bytes, absent: str) -> str:
    """The value of a header that the server lets in once at most."""
    given = header_values(request.scope, name=name)
    return given[0] if given else absent


def _unpacked(body: bytes, *, max_bytes: int) -> bytes:
    unpacking = zlib.decompressobj(_GZIP)
    try:
        found = unpacking.decompress(body, max_bytes + 1)
    except zlib.error:
        raise _no_gzip("is not") from None
    if len(found) > max_bytes:
        raise _too_large(max_bytes)
    if not unpacking.eof:
        raise _no_gzip("ends before its time as")
    if unpacking.unused_data:
        raise _no_gzip("goes on after its end as")
    return found


def _no_gzip(how: str) -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST, kind="bad-request", detail=f"the body {how} gzip; pack it anew"
    )


def _too_large(max_bytes: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        kind="too-large",
        detail=f"a body has at most {max_bytes:,} bytes, unpacked too; send it in parts",
        headers=_CLOSE,
    )

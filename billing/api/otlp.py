"""``POST /v1/traces``: spans in, as OpenTelemetry exports them (OTLP/HTTP in JSON or protobuf).

Invariant: a span with usage is stored, was stored before, or is counted as rejected with the reason
of the first, in the encoding of the request; what an exporter may send again is answered with 429
or 503 and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from billing.api.body import media_type_of, read_body
from billing.api.events import LARGE_BYTES, note_flags, sender_of
from billing.api.service import Service
from billing.intake.otlp_protobuf import traces_response
from billing.intake.otlp_traces import Encoding, SpanKind
from billing.operations.submitted_payloads import Note, Submitted, submitted_traces
from billing.operations.writer import Settled

PATH = "/v1/traces"

ENCODINGS: Mapping[str, Encoding] = {
    "application/json": "json",
    "application/x-protobuf": "protobuf",
}
"""Media type -> the encoding of a request, and of the answer to it."""


class PartialSuccess(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """What was not stored, a count of 64 bits as text, and what the exporter should know."""

    rejected_spans: str = "0"
    error_message: str = ""


class TracesResult(msgspec.Struct, kw_only=True, rename="camel"):
    """``ExportTraceServiceResponse``: empty where there is nothing to say."""

    partial_success: PartialSuccess | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode


async def post_traces(request: Request, *, service: Service) -> Response:
    """Store the usage in an export request.

    200, also where spans are rejected, which no exporter sends again.
    """
    settings = service.settings
    key = await service.access.admit(request, route=("POST", PATH))
    media_type = media_type_of(request, known=ENCODINGS)
    encoding = ENCODINGS[media_type]
    body = await read_body(
        request, max_bytes=settings.max_body_bytes, deadlines=service.body_deadlines
    )
    sender = sender_of(request, key=key, service=service)

    def parsed() -> tuple[Submitted | None, Mapping[SpanKind, int]]:
        return submitted_traces(body, encoding=encoding, sender=sender)

    sent, kinds = await asyncio.to_thread(parsed) if len(body) > LARGE_BYTES else parsed()
    said: list[str] = []
    rejected = 0
    if sent is not None:
        rejected_of = partial(_reasons, notes=sent.notes, service=service)
        reasons = await service.stored(sent.submission, answer=rejected_of)
        rejected = len(reasons)
        if reasons:
            said.append(f"rejected spans: {rejected} of {kinds['usage']}, the first {reasons[0]}")
        said += _unmapped(sent.notes)
    service.metrics.exported(kinds)
    if uncounted := kinds["uncounted"]:
        said.append(f"spans of inference without usage, not billed: {uncounted}")
    answer = _answer(encoding, rejected=rejected, said="; ".join(said))
    return Response(answer, media_type=media_type)


def _answer(encoding: Encoding, *, rejected: int, said: str) -> bytes:
    if encoding == "protobuf":
        return traces_response(rejected_spans=rejected, error_message=said)
    result = TracesResult()
    if said:
        result.partial_success = PartialSuccess(rejected_spans=str(rejected), error_message=said)
    return _encode(result)


def _reasons(settled: Settled, *, notes: Mapping[int, Note], service: Service) -> Sequence[str]:
    """Why each rejected span is, in order; the flags of the others are counted."""
    note_flags(settled, notes=notes, service=service)
    sent = settled.submission
    found = {one.row: f"{one.id or 'a span'} {one.pointer}: {one.reason}" for one in sent.refused}
    for row, event, verdict in zip(sent.rows, sent.events, settled.verdicts, strict=True):
        if verdict.kind == "conflict":
            found[row] = f"{event.id}: came before with another content, which stands"
    return [found[row] for row in sorted(found)]


def _unmapped(notes: Mapping[int, Note]) -> Sequence[str]:
    spans = [note.unmapped[0] for note in notes.values() if note.unmapped]
    if not spans:
        return ()
    return (f"spans with numbers that no unit counts: {len(spans)}, the first {spans[0]}",)

"""``POST /v1/events``: usage events in, a verdict for each out; also in the shapes of other meters.

Invariant: what is called accepted is on disk, with its totals; a verdict depends on the event and
on what is stored, not on where it stands in the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from billing.api.body import media_type_of, read_body
from billing.api.service import Service
from billing.api.verdicts import all_refused, status_of
from billing.intake.event_request import RefusedEvent
from billing.operations.submitted_payloads import (
    BodyForm,
    Note,
    Sender,
    submitted_events,
)
from billing.operations.writer import Settled, Submission, Unread
from billing.store.api_keys import ApiKey
from billing.store.events import Verdict
from pricing_rules.period import moment_text

EVENT_PATHS = ("/v1/events", "/api/v1/events", "/api/v1/events/batch")
"""The last two are where gateways that speak to other meters post."""

FORMS: Mapping[str, BodyForm] = {
    "application/cloudevents+json": "event",
    "application/cloudevents-batch+json": "batch",
    "application/x-ndjson": "lines",
    "application/json": "json",
}
"""Media type -> how the body holds events."""

LARGE_BYTES = 65_536
"""A larger body is parsed beside the loop, so that others are answered meanwhile."""

SMALL_BYTES = 4_096
"""One event in a body that is no larger is read by the writer, in a row with those of others."""

EventVerdict = Literal["accepted", "duplicate", "conflict", "rejected"]


class EventResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of one event, in the order of the request.

    ``first_received_at``: of the event that its identity stands for, where this is not the first.
    ``reason`` and ``pointer`` (JSON pointer into the event): why it was refused. ``flags``: words
    for what is assumed or missing of an event in the shape of another meter, and ``unmapped``:
    pointers of the first numbers in it that no unit counts, 20 at most, cut to 200 characters.
    """

    verdict: EventVerdict
    source: str = ""
    id: str = ""
    first_received_at: str = ""
    reason: str = ""
    pointer: str = ""
    flags: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()


class EventsResult(msgspec.Struct, kw_only=True):
    """What became of a request: received = accepted + duplicate + conflict + rejected."""

    received: int
    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    events: list[EventResult]


_encode = msgspec.json.Encoder().encode


async def post_events(request: Request, *, service: Service) -> Response:
    """Store the events of a request, also those of other meters, and say what became of each.

    200: all of them are stored, now or before. 207: some were refused. 400: all were, 409 where all
    are conflicts. Problem 503 where nothing could be stored.
    """
    settings = service.settings
    key = await service.access.admit(request, route=("POST", "/v1/events"))
    form = FORMS[media_type_of(request, known=FORMS)]
    body = await read_body(
        request, max_bytes=settings.max_body_bytes, deadlines=service.body_deadlines
    )
    sender = sender_of(request, key=key, service=service)

    notes: dict[int, Note] = {}

    def read() -> Submission:
        sent = submitted_events(body, form=form, sender=sender)
        notes.update(sent.notes)
        return sent.submission

    def answer(settled: Settled) -> Response:
        note_flags(settled, notes=notes, service=service)
        return _answer(settled, notes=notes)

    asked: Submission | Unread
    if _is_one(body, form=form):
        asked = Unread(request=sender.request, read=read)
    else:
        asked = await asyncio.to_thread(read) if len(body) > LARGE_BYTES else read()
    return await service.stored(asked, answer=answer)


def _is_one(body: bytes, *, form: BodyForm) -> bool:
    """Whether a body has one event, and soon read: then the writer reads it."""
    return len(body) <= SMALL_BYTES and (form == "event" or (form == "lines" and b"\n" not in body))


def sender_of(request: Request, *, key: ApiKey, service: Service) -> Sender:
    """Who sends a request, now."""
    return Sender(
        request=request.scope["request_id"],
        account=key.account,
        now_at=service.clock(),
        service_tier=service.settings.service_tier,
        region=service.settings.region,
        account_attribute=service.settings.account_attribute,
    )


def note_flags(settled: Settled, *, notes: Mapping[int, Note], service: Service) -> None:
    """Count the flags of the events that were accepted."""
    if not notes:
        return
    for row, verdict in zip(settled.submission.rows, settled.verdicts, strict=True):
        if verdict.kind == "accepted" and (note := notes.get(row)) is not None:
            service.metrics.flagged(note.flags)


def _answer(settled: Settled, *, notes: Mapping[int, Note]) -> Response:
    sent = settled.submission
    counts = {"accepted": 0, "duplicate": 0, "conflict": 0, "rejected": len(sent.refused)}
    results: dict[int, EventResult] = {}
    for row, event, verdict in zip(sent.rows, sent.events, settled.verdicts, strict=True):
        counts[verdict.kind] += 1
        results[row] = _result(verdict, source=event.source, event_id=event.id)
    for refused in sent.refused:
        results[refused.row] = _refused(refused)
    for row, note in notes.items():
        results[row].flags, results[row].unmapped = note.flags, note.unmapped
    found = [results[row] for row in sorted(results)]
    document = EventsResult(received=len(found), events=found, **counts)
    status = status_of(counts)
    if status < HTTPStatus.BAD_REQUEST:
        return Response(_encode(document), status_code=status.value, media_type="application/json")
    first = next(one for one in found if one.reason)
    return all_refused(
        status,
        kind="events-refused",
        detail="no event was stored; the first: " + f"{first.pointer} {first.reason}".strip(),
        members=msgspec.to_builtins(document),
    ).response(request_id=sent.request)


def _result(verdict: Verdict, *, source: str, event_id: str) -> EventResult:
    if verdict.kind == "accepted":
        return EventResult(verdict="accepted", source=source, id=event_id)
    first_received_at = moment_text(verdict.first_received_at)
    reason = "" if verdict.kind == "duplicate" else "its id has another content, which stands"
    return EventResult(
        verdict=verdict.kind,
        source=source,
        id=event_id,
        first_received_at=first_received_at,
        reason=reason,
    )


def _refused(refused: RefusedEvent) -> EventResult:
    return EventResult(
        verdict="rejected",
        source=refused.source,
        id=refused.id,
        reason=refused.reason,
        pointer=refused.pointer,
    )

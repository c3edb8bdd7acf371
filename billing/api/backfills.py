"""``/v1/backfills``: the usage of an account in a range is stated anew, applied, and reverted.

Invariant: what is staged counts nowhere; a backfill is applied and reverted whole or not at all,
and asked for again it is answered as it stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from billing.api.body import media_type_of, read_body
from billing.api.commands import Answer, answer_command, published_form, sender
from billing.api.events import FORMS, LARGE_BYTES, EventResult, EventsResult, sender_of
from billing.api.pages import Cursor, Limit
from billing.api.service import Service
from billing.api.verdicts import all_refused, counted, status_of
from billing.operations.applied_backfill import apply_backfill, revert_backfill
from billing.operations.backfill import (
    BackfillState,
    ShownBackfill,
    StagedEvent,
    backfill_page,
    drop_staged,
    open_backfill,
    show_backfill,
    stage,
)
from billing.operations.correction_record import new_name
from billing.operations.submitted_payloads import Submitted, submitted_events
from billing.store.api_keys import ApiKey
from billing.store.store import Connection
from pricing_rules.document import Document, DocumentError, Name, Text
from pricing_rules.period import MomentText, Period

BACKFILLS = "/v1/backfills"
BACKFILL = "/v1/backfills/{backfill}"
STAGING = "/v1/backfills/{backfill}/events"
APPLICATION = "/v1/backfills/{backfill}/apply"
REVERSAL = "/v1/backfills/{backfill}/revert"
DROP = "/v1/backfills/{backfill}/drop"

routes = APIRouter()

_encode = msgspec.json.Encoder().encode


class NewBackfillDocument(Document):
    """That the usage of an account in [start_at, end_at) is to be stated anew, and why."""

    account: Name
    start_at: MomentText
    end_at: MomentText
    reason: Text


class ApplicationDocument(Document):
    """``events``: how many are staged, so that a part that was lost on the way is not taken for
    usage that never was.
    """

    events: Annotated[int, Field(ge=0)]


class BackfillReversalDocument(Document):
    """Why a backfill is reverted."""

    reason: Text


class DropDocument(Document):
    """Nothing more is to be said."""


class BackfillDocument(Document):
    """A backfill as it stands.

    ``staged``: how many events are, or were when it was applied: added + kept + restored. Null
    while it is open: ``added``, which came in with it; ``kept``, which were stored and counted;
    ``restored``, which were stored and void; ``voided``, which counted in the range and were not
    staged; the ``epoch`` in which all this counts. ``reversal``: the correction that reverted it.
    """

    backfill: str
    account: str
    start_at: str
    end_at: str
    reason: str
    by: str
    opened_at: str
    state: BackfillState
    staged: int
    added: int | None
    kept: int | None
    restored: int | None
    voided: int | None
    epoch: int | None
    applied_at: str | None
    reverted_at: str | None
    reversal: str | None


class BackfillsDocument(Document):
    """A page of backfills, in the order in which they were opened; ``cursor`` is null on the
    last.
    """

    data: list[BackfillDocument]
    cursor: str | None


class BackfillsQuery(Document):
    """Which backfills: of an account, or of all."""

    account: Name | None = None
    limit: Limit = 100
    cursor: Cursor = None


@routes.post(
    BACKFILLS,
    response_model=BackfillDocument,
    status_code=HTTPStatus.CREATED,
    summary="Open a backfill",
    openapi_extra=published_form(NewBackfillDocument),
)
async def post_backfill(request: Request) -> Response:
    """It says that the usage of an account in a range is exactly the events that are staged for
    it. Nothing counts until it is applied, and one that nobody applies does no harm.
    """
    service: Service = request.app.state.service
    return await answer_command(
        request, service=service, route=("POST", BACKFILLS), form=NewBackfillDocument, work=_opened
    )


@routes.get(BACKFILLS, response_model=BackfillsDocument, summary="Backfills")
async def get_backfills(request: Request, *, query: Annotated[BackfillsQuery, Query()]) -> Any:
    """One that is opened meanwhile is on a later page."""
    service: Service = request.app.state.service
    await service.access.admit(request, route=("GET", BACKFILLS))
    page = await service.reading(
        lambda: backfill_page(
            service.store, account=query.account, limit=query.limit, cursor=query.cursor
        )
    )
    data = [BackfillDocument(**one.as_json()) for one in page.rows]
    return BackfillsDocument(data=data, cursor=page.cursor)


@routes.get(BACKFILL, response_model=BackfillDocument, summary="One backfill")
async def get_backfill(request: Request, *, backfill: Annotated[Name, Path()]) -> Any:
    """Whether it is open, applied or reverted, and what it did."""
    service: Service = request.app.state.service
    await service.access.admit(request, route=("GET", BACKFILL))

    def shown() -> ShownBackfill:
        with service.store.read() as connection:
            return show_backfill(connection, backfill=backfill)

    return BackfillDocument(**(await service.reading(shown)).as_json())


@routes.post(STAGING, include_in_schema=False)
async def post_staging(request: Request, *, backfill: Annotated[Name, Path()]) -> Response:
    """Stage the events of a request and say what became of each, as ``POST /v1/events`` does."""
    service: Service = request.app.state.service
    settings = service.settings
    key = await service.access.admit(request, route=("POST", STAGING))
    form = FORMS[media_type_of(request, known=FORMS)]
    body = await read_body(
        request, max_bytes=settings.max_body_bytes, deadlines=service.body_deadlines
    )
    sent_by = sender_of(request, key=key, service=service)

    def parsed() -> Submitted:
        return submitted_events(body, form=form, sender=sent_by)

    sent = await asyncio.to_thread(parsed) if len(body) > LARGE_BYTES else parsed()

    def staged() -> tuple[StagedEvent, ...]:
        return service.store.beside(
            lambda connection: stage(connection, backfill=backfill, events=sent.submission.events)
        )

    return _answer(await service.commanding(staged), sent=sent)


@routes.post(
    APPLICATION,
    response_model=BackfillDocument,
    summary="Apply a backfill",
    openapi_extra=published_form(ApplicationDocument),
)
async def post_application(request: Request, *, backfill: Annotated[Name, Path()]) -> Response:
    """From now on the events of the account that count in the range are those that are staged:
    those that are new come in, those that were void are restored, and all others are voided. It
    counts in the current epoch. One that was applied before stays as it was.
    """
    service: Service = request.app.state.service

    def applied(
        connection: Connection, document: ApplicationDocument, key: ApiKey, now_at: int
    ) -> Answer:
        shown = apply_backfill(
            connection, backfill=backfill, events=document.events, by=sender(key), now_at=now_at
        )
        return Answer(status=HTTPStatus.OK, document=shown.as_json())

    return await answer_command(
        request,
        service=service,
        route=("POST", APPLICATION),
        form=ApplicationDocument,
        work=applied,
    )


@routes.post(
    REVERSAL,
    response_model=BackfillDocument,
    summary="Revert a backfill",
    openapi_extra=published_form(BackfillReversalDocument),
)
async def post_reversal(request: Request, *, backfill: Annotated[Name, Path()]) -> Response:
    """What it voided counts again, and what it added or restored does not; what came in since is
    left alone. One that was reverted before stays as it was; one that later corrections rest on is
    refused.
    """
    service: Service = request.app.state.service

    def reverted(
        connection: Connection, document: BackfillReversalDocument, key: ApiKey, now_at: int
    ) -> Answer:
        shown = revert_backfill(
            connection,
            backfill=backfill,
            reversal=new_name("cor", now_at=now_at, number=0),
            reason=document.reason,
            by=sender(key),
            now_at=now_at,
        )
        return Answer(status=HTTPStatus.OK, document=shown.as_json())

    return await answer_command(
        request,
        service=service,
        route=("POST", REVERSAL),
        form=BackfillReversalDocument,
        work=reverted,
    )


@routes.post(
    DROP,
    response_model=BackfillDocument,
    summary="Forget what is staged",
    openapi_extra=published_form(DropDocument),
)
async def post_drop(request: Request, *, backfill: Annotated[Name, Path()]) -> Response:
    """The backfill stays open, without events, and may be staged anew."""
    service: Service = request.app.state.service

    def dropped(connection: Connection, document: DropDocument, key: ApiKey, now_at: int) -> Answer:
        shown = drop_staged(connection, backfill=backfill, by=sender(key), now_at=now_at)
        return Answer(status=HTTPStatus.OK, document=shown.as_json())

    return await answer_command(
        request, service=service, route=("POST", DROP), form=DropDocument, work=dropped
    )


def _opened(
    connection: Connection, document: NewBackfillDocument, key: ApiKey, now_at: int
) -> Answer:
    if document.start_at >= document.end_at:
        raise DocumentError("end_at", "must lie after start_at", path=("end_at",))
    shown = open_backfill(
        connection,
        backfill=new_name("bf", now_at=now_at, number=0),
        account=document.account,
        period=Period(start_at=document.start_at, end_at=document.end_at),
        reason=document.reason,
        by=sender(key),
        now_at=now_at,
    )
    return Answer(status=HTTPStatus.CREATED, document=shown.as_json())


def _answer(staged: Sequence[StagedEvent], *, sent: Submitted) -> Response:
    submission = sent.submission
    results = {
        one.row: EventResult(
            verdict="rejected",
            source=one.source,
            id=one.id,
            reason=one.reason,
            pointer=one.pointer,
        )
        for one in submission.refused
    }
    for row, event, one in zip(submission.rows, submission.events, staged, strict=True):
        results[row] = EventResult(
            verdict=one.kind,
            source=event.source,
            id=event.id,
            reason=one.reason,
            pointer=one.pointer,
        )
    for row, note in sent.notes.items():
        results[row].flags, results[row].unmapped = note.flags, note.unmapped
    found = [results[row] for row in sorted(results)]
    counts = counted(one.verdict for one in found)
    document = EventsResult(received=len(found), events=found, **counts)
    status = status_of(counts)
    if status < HTTPStatus.BAD_REQUEST:
        return Response(_encode(document), status_code=status.value, media_type="application/json")
    raise all_refused(
        status,
        kind="events-refused",
        detail="no event was staged; the first: " + f"{found[0].pointer} {found[0].reason}".strip(),
        members=msgspec.to_builtins(document),
    )

"""``/v1/corrections``: events are voided and amended, corrections reverted and looked at.

Invariant: each correction of a request has its own verdict, and those that are accepted are
committed together; an account's key sees the corrections of its account alone.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, Field

from billing.api.commands import Answer, answer_command, published_form, sender
from billing.api.pages import Cursor, Limit
from billing.api.problems import not_found
from billing.api.service import Service
from billing.api.verdicts import all_refused, counted, status_of
from billing.operations.corrected_events import correction_page, show_correction
from billing.operations.correction import Corrected, CorrectionVerdict, correct_events
from billing.operations.correction_request import (
    AmendDocument,
    VoidDocument,
    wanted_correction,
)
from billing.operations.reversal import revert_correction
from billing.operations.taken_in import owner_of
from billing.store.api_keys import ApiKey
from billing.store.correction_details import CorrectionKind
from billing.store.corrections import Correction
from billing.store.store import Connection
from pricing_rules.document import Document, JsonValue, Name, Text, canonical_json
from pricing_rules.period import moment_text
from pricing_rules.usage.event import UsageEvent

CORRECTIONS = "/v1/corrections"
CORRECTION = "/v1/corrections/{correction}"
REVERSAL = "/v1/corrections/{correction}/revert"

MOST_CORRECTIONS = 1_000

routes = APIRouter()


def _whole(value: JsonValue) -> JsonValue:
    try:
        canonical_json(value)
    except TypeError:
        raise ValueError('holds a number with a fraction; write it as a text: "2.5"') from None
    return value


class CorrectionsDocument(Document):
    """Corrections as they come, each of which is read alone.

    ``owner_account``: the account whose key the events came with; absent: the provider's.
    """

    owner_account: Name | None = None
    corrections: Annotated[
        list[Annotated[JsonValue, AfterValidator(_whole)]],
        Field(min_length=1, max_length=MOST_CORRECTIONS),
    ]


class AmendmentDocument(AmendDocument):
    """That another event is to count in the place of one; ``event``: it, with an id of its own."""

    event: UsageEvent


class NewCorrectionsDocument(Document):
    """Corrections of events, which have verdicts of their own.

    ``owner_account``: the account whose key the events came with; absent: the provider's.
    """

    owner_account: Name | None = None
    corrections: Annotated[
        list[VoidDocument | AmendmentDocument], Field(min_length=1, max_length=MOST_CORRECTIONS)
    ]


class CorrectionResultDocument(Document):
    """What became of a correction, in the order of the request.

    ``correction``: its name, null where it was not made, now or before. ``reason`` and ``pointer``
    (a JSON pointer into the correction): why it was not.
    """

    verdict: CorrectionVerdict
    kind: str
    source: str
    id: str
    correction: str | None
    reason: str | None
    pointer: str | None


class CorrectionsResultDocument(Document):
    """What became of a request: received = accepted + duplicate + conflict + rejected."""

    received: int
    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    corrections: list[CorrectionResultDocument]


class ReversalDocument(Document):
    """Why a correction is reverted."""

    reason: Text


class CorrectionDocument(Document):
    """A correction as it was made. ``epoch``: the one in which it counts. ``detail``: by kind;
    a void and an amendment name their event. ``reverts``: what a reversal takes back, else null.
    """

    correction: str
    kind: CorrectionKind
    account: str
    reason: str
    by: str
    reverts: str | None
    epoch: int
    recorded_at: str
    detail: dict[str, Any]


class ShownCorrectionDocument(CorrectionDocument):
    """A correction, and the one that reverted it; null where none did."""

    reverted_by: str | None


class CorrectionsPageDocument(Document):
    """A page of corrections, in the order in which they were made; ``cursor`` is null on the last
    one.
    """

    data: list[CorrectionDocument]
    cursor: str | None


class CorrectionsQuery(Document):
    """Which corrections: of an account, or of all."""

    account: Name | None = None
    limit: Limit = 100
    cursor: Cursor = None


@routes.post(
    CORRECTIONS,
    response_model=CorrectionsResultDocument,
    responses={
        207: {"model": CorrectionsResultDocument, "description": "Some corrections were refused"},
        409: {},
    },
    summary="Void or amend events",
    openapi_extra=published_form(NewCorrectionsDocument),
)
async def post_corrections(request: Request) -> Response:
    """A voided event counts nowhere from the current epoch on, and its id stays taken. An amended
    one is voided, and the event that comes with it counts in its place.

    200: all of them are made, now or before. 207: some were refused. 400: all were, 409 where all
    are conflicts.
    """
    service: Service = request.app.state.service
    return await answer_command(
        request,
        service=service,
        route=("POST", CORRECTIONS),
        form=CorrectionsDocument,
        work=_corrected,
    )


@routes.get(CORRECTIONS, response_model=CorrectionsPageDocument, summary="Corrections")
async def get_corrections(request: Request, *, query: Annotated[CorrectionsQuery, Query()]) -> Any:
    """With an account's key, those of its account. One that is made meanwhile is on a later
    page.
    """
    service: Service = request.app.state.service
    key = await service.access.admit(request, route=("GET", CORRECTIONS))
    if key.account and query.account not in (None, key.account):
        raise not_found()
    account = key.account or query.account
    page = await service.reading(
        lambda: correction_page(
            service.store, account=account, limit=query.limit, cursor=query.cursor
        )
    )
    data = [CorrectionDocument(**_fields(one)) for one in page.rows]
    return CorrectionsPageDocument(data=data, cursor=page.cursor)


@routes.get(CORRECTION, response_model=ShownCorrectionDocument, summary="One correction")
async def get_correction(request: Request, *, correction: Annotated[Name, Path()]) -> Any:
    """What was corrected, when, by whom and why, and whether that was reverted."""
    service: Service = request.app.state.service
    key = await service.access.admit(request, route=("GET", CORRECTION))
    found = await service.reading(
        lambda: show_correction(service.store, correction=correction, account=key.account or None)
    )
    return ShownCorrectionDocument(**_fields(found.correction), reverted_by=found.reverted_by)


@routes.post(
    REVERSAL,
    response_model=CorrectionDocument,
    summary="Revert a correction",
    openapi_extra=published_form(ReversalDocument),
)
async def post_reversal(request: Request, *, correction: Annotated[Name, Path()]) -> Response:
    """What it voided counts again, and what it added does not. One that was reverted before stays
    as it was; one whose event was corrected since is refused, and so is one whose event lies in
    the range of a backfill that was applied since.
    """
    service: Service = request.app.state.service

    def reverted(
        connection: Connection, document: ReversalDocument, key: ApiKey, now_at: int
    ) -> Answer:
        found = revert_correction(
            connection,
            correction=correction,
            reason=document.reason,
            by=sender(key),
            now_at=now_at,
        )
        return Answer(status=HTTPStatus.OK, document=_fields(found.reversal))

    return await answer_command(
        request,
        service=service,
        route=("POST", REVERSAL),
        form=ReversalDocument,
        work=reverted,
    )


def _corrected(
    connection: Connection, document: CorrectionsDocument, key: ApiKey, now_at: int
) -> Answer:
    found = correct_events(
        connection,
        owner=owner_of(document.owner_account),
        wanted=[wanted_correction(one) for one in document.corrections],
        by=sender(key),
        now_at=now_at,
    )
    counts = counted(one.verdict for one in found)
    answer: dict[str, JsonValue] = {
        "received": len(found),
        **counts,
        "corrections": [_result(one) for one in found],
    }
    status = status_of(counts)
    if status < HTTPStatus.BAD_REQUEST:
        return Answer(status=status, document=answer)
    raise all_refused(
        status,
        kind="corrections-refused",
        detail=f"nothing was corrected; the first: {found[0].pointer or '/'} {found[0].reason}",
        members=answer,
    )


def _result(one: Corrected) -> dict[str, JsonValue]:
    return {
        "verdict": one.verdict,
        "kind": one.kind,
        "source": one.source,
        "id": one.id,
        "correction": one.correction or None,
        "reason": one.reason or None,
        "pointer": one.pointer or None,
    }


def _fields(correction: Correction) -> dict[str, Any]:
    return {
        "correction": correction.correction,
        "kind": correction.kind,
        "account": correction.account,
        "reason": correction.reason,
        "by": correction.by,
        "reverts": correction.reverts,
        "epoch": correction.epoch,
        "recorded_at": moment_text(correction.recorded_at),
        "detail": msgspec.to_builtins(correction.detail, order="sorted"),
    }

"""``GET /v1/events``: the stored events of an account, in pages or by name.

Invariant: an account's key is told of another account what it is told of one that does not exist.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field

from billing.api.pages import Cursor, Limit, asked_period
from billing.api.problems import not_found
from billing.api.service import Service
from billing.operations.stored_events import ShownEvent, event_page, named_events
from billing.operations.taken_in import OWNER
from pricing_rules.document import Document, DocumentError, Name
from pricing_rules.period import MomentText, Period, moment_text

EVENTS = "/v1/events"

routes = APIRouter()


class EventsQuery(Document):
    """Which events: those of an account, of a period where it is given, or those of one name."""

    account: Name
    start_at: Annotated[MomentText | None, Field(description="RFC 3339; with end_at")] = None
    end_at: Annotated[MomentText | None, Field(description="RFC 3339; not included")] = None
    source: Annotated[Name | None, Field(description="Of the event; with id")] = None
    id: Annotated[Name | None, Field(description="Of the event; with source")] = None
    limit: Limit = 100
    cursor: Cursor = None


class StoredEventDocument(Document):
    """An event as it is stored.

    ``units`` are its leaves, disjoint counts in steps of 1/scale of the unit. ``owner``: whose
    identity it has. ``timed_by``: "receipt" where it stated no moment. ``void``: whether a
    correction took it out, so that it counts nowhere.
    """

    source: str
    id: str
    owner: Literal["provider", "account"]
    account: str
    occurred_at: str
    timed_by: Literal["event", "receipt"]
    received_at: str
    epoch: int
    model: str
    service_tier: str
    region: str
    request_tokens: int
    outcome: str
    dimensions: dict[str, str]
    units: dict[str, int]
    void: bool


class StoredEventsDocument(Document):
    """A page of events, by the moment at which they occurred; ``cursor`` is null on the last."""

    account: str
    data: list[StoredEventDocument]
    cursor: str | None


@routes.get(EVENTS, response_model=StoredEventsDocument, summary="Events that are stored")
async def get_events(request: Request, *, query: Annotated[EventsQuery, Query()]) -> Any:
    """As they stood when the first page was read, voided ones too; whether an event is void is as
    it stands now. With a source and an id: the event of this identity, of which an account may have
    two, the provider's and its own.
    """
    service: Service = request.app.state.service
    key = await service.access.admit(request, route=("GET", EVENTS))
    if key.account not in ("", query.account):
        raise not_found()
    if query.source is not None or query.id is not None:
        return await _named(query, service=service)
    period = _period(query)
    page = await service.reading(
        lambda: event_page(
            service.store,
            account=query.account,
            period=period,
            limit=query.limit,
            cursor=query.cursor,
        )
    )
    return StoredEventsDocument(
        account=query.account, data=[_document(one) for one in page.rows], cursor=page.cursor
    )


async def _named(query: EventsQuery, *, service: Service) -> StoredEventsDocument:
    source, event_id = query.source, query.id
    if source is None or event_id is None:
        missing = "source" if source is None else "id"
        raise DocumentError(missing, "an event is named by its source and its id; give both")
    if (query.start_at, query.end_at, query.cursor) != (None, None, None):
        raise DocumentError("source", "an event is named alone; leave out times and cursor")
    found = await service.reading(
        lambda: named_events(service.store, account=query.account, source=source, event_id=event_id)
    )
    return StoredEventsDocument(
        account=query.account, data=[_document(one) for one in found], cursor=None
    )


def _period(query: EventsQuery) -> Period | None:
    start_at, end_at = query.start_at, query.end_at
    if start_at is None and end_at is None:
        return None
    if start_at is None or end_at is None:
        missing = "start_at" if start_at is None else "end_at"
        raise DocumentError(missing, "a period has a start and an end; give both")
    return asked_period(start_at, end_at=end_at)


def _document(one: ShownEvent) -> StoredEventDocument:
    event = one.event
    return StoredEventDocument(
        source=event.source,
        id=event.id,
        owner="provider" if event.owner == OWNER else "account",
        account=event.account,
        occurred_at=moment_text(event.occurred_at),
        timed_by="event" if event.timed_by == "event" else "receipt",
        received_at=moment_text(event.received_at),
        epoch=event.epoch,
        model=event.model,
        service_tier=event.service_tier,
        region=event.region,
        request_tokens=event.request_tokens,
        outcome=event.outcome,
        dimensions=dict(event.dimensions),
        units=dict(event.units),
        void=one.void,
    )

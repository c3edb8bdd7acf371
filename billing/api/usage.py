"""``GET /v1/accounts/{account}/usage``: what an account has used, in pages.

Invariant: an account's key is told of another account what it is told of one that does not exist.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from billing.api.pages import Cursor, Limit, asked_period
from billing.api.paths import PathName
from billing.api.problems import not_found
from billing.api.service import Service
from billing.operations.live_usage import (
    Step,
    UsageQuestion,
    end_of_step,
    usage_page,
)
from billing.store.usage_sums import UsageSum
from pricing_rules.document import Document
from pricing_rules.period import MomentText, moment_text
from pricing_rules.usage.units import UNITS

PATH = "/v1/accounts/{account}/usage"

routes = APIRouter()


class UsageQuery(Document):
    """What to sum: events that occurred in [start_at, end_at), apart by time steps and labels."""

    start_at: Annotated[MomentText, Field(description="RFC 3339, such as 2026-11-01T00:00:00Z")]
    end_at: Annotated[MomentText, Field(description="RFC 3339; the end is not included")]
    step: Annotated[Step, Field(description="Time steps, in UTC")] = "day"
    by: Annotated[
        str,
        Field(
            max_length=2_000,
            description="Labels, comma-separated: model, service_tier, region, outcome, "
            "dimensions.NAME",
        ),
    ] = ""
    limit: Limit = 100
    cursor: Cursor = None


class UsageSumDocument(Document):
    """One sum. ``count`` is in steps of 1/``scale`` of the unit; ``labels`` has null for none."""

    start_at: str
    end_at: str
    labels: dict[str, str | None]
    unit: str
    scale: int
    count: int


class UsageDocument(Document):
    """A page of sums, in order of time, labels and unit; ``cursor`` is null on the last one."""

    account: str
    data: list[UsageSumDocument]
    cursor: str | None


@routes.get(PATH, response_model=UsageDocument, summary="What an account has used")
async def get_usage(
    request: Request, *, account: Annotated[PathName, Path()], query: Annotated[UsageQuery, Query()]
) -> Any:
    """Sums of usage events by time, label and unit; the unit ``requests`` counts the events.
    Units are disjoint: ``input_tokens`` is the input that no other unit counts, such as
    ``cache_read_tokens``.

    They are read from the events themselves, as they stood when the first page was read. 404 where
    nothing is known of the account.
    """
    service: Service = request.app.state.service
    key = await service.access.admit(request, route=("GET", PATH))
    if key.account not in ("", account):
        raise not_found()
    question = _question(query, account=account)
    page = await service.reading(
        lambda: usage_page(service.store, question=question, limit=query.limit, cursor=query.cursor)
    )
    return UsageDocument(
        account=account,
        data=[_document(one, question=question) for one in page.rows],
        cursor=page.cursor,
    )


def _question(query: UsageQuery, *, account: str) -> UsageQuestion:
    labels = tuple(query.by.split(",")) if query.by else ()
    period = asked_period(query.start_at, end_at=query.end_at)
    return UsageQuestion(account=account, period=period, step=query.step, labels=labels)


def _document(one: UsageSum, *, question: UsageQuestion) -> UsageSumDocument:
    return UsageSumDocument(
        start_at=moment_text(max(one.start_at, question.period.start_at)),
        end_at=moment_text(end_of_step(one.start_at, question=question)),
        labels={
            name: label or None for name, label in zip(question.labels, one.labels, strict=True)
        },
        unit=one.unit,
        scale=UNITS[one.unit].scale,
        count=one.count,
    )

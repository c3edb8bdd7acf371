"""Questions: what they ask for, once, of which time, and the pages of an answer.

Invariant: a limit is a plain whole number; what ``int`` would guess is refused, and so is a
question that says one thing twice.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema
from starlette.requests import Request

from billing.api.problems import bad_request
from pricing_rules.document import DocumentError
from pricing_rules.period import Period

MOST_ROWS = 1_000

_WHOLE = re.compile(r"[0-9]{1,4}\Z", re.ASCII)


def _whole(text: object) -> int:
    if isinstance(text, str) and _WHOLE.match(text) and 1 <= int(text) <= MOST_ROWS:
        return int(text)
    raise ValueError(f"must be a whole number from 1 to {MOST_ROWS}")


Limit = Annotated[
    int,
    BeforeValidator(_whole),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MOST_ROWS}),
]
"""How many rows a page has at most."""

Cursor = Annotated[
    str | None, Field(max_length=8_000, description="Of the page before; absent for the first")
]
"""Where a page begins."""


def asked_period(start_at: int, *, end_at: int) -> Period:
    """The period that a question is about. DocumentError where it ends before it starts, or starts
    before 1970.
    """
    if start_at < 0 or start_at >= end_at:
        raise DocumentError("end_at", "must lie after start_at, and both after 1970")
    return Period(start_at=start_at, end_at=end_at)


async def asked_once(request: Request) -> None:
    """Problem 400 where a parameter of the query is given twice: two readers might take two."""
    given: set[str] = set()
    for name, _ in request.query_params.multi_items():
        if name in given:
            raise bad_request(f"query {name:.60}: is given twice; give it once")
        given.add(name)

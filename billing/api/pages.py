"""Pages of an answer: how many rows one has, and where the next begins.

Invariant: a limit is a plain whole number; what ``int`` would guess is refused.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

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

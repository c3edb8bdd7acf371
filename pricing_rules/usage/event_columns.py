"""The canonical columns of usage events: how intake hands events to an engine.

Invariant: names, order and content are decided here alone. Two events have the same content
exactly when their ``content_text`` is equal, whichever file format they came in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pricing_rules.usage.units import REPORTED_UNITS

ColumnType = Literal["int64", "text"]

FIXED_COLUMNS: dict[str, ColumnType] = {
    "row": "int64",
    "id": "text",
    "source": "text",
    "account": "text",
    "occurred_at": "int64",
    "model": "text",
    "service_tier": "text",
    "region": "text",
    "request_tokens": "int64",
    "outcome": "text",
}
"""The columns that every table of events has, in this order; none of them is ever NULL.

``row``: the 1-based line or row number in the file, unique in a table. ``occurred_at``:
microseconds since 1970 UTC. ``region``: "" where none was given. ``request_tokens``: the size
that context steps look at, already defaulted to the input tokens.
"""

DIMENSION_PREFIX = "dimensions."
"""A text column ``dimensions.<name>`` for each dimension that occurs; NULL where an event has
none.
"""

NOT_CONTENT = ("row", "id", "source", "occurred_at")
"""Columns that are not part of the content: where an event stands, which one it is, and when it
was.
"""

CONTENT_END = "\x1f"
"""What ends each part of a content text; no name may hold it, so that no two contents read alike.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why one row is not counted: its number in the file, and one sentence that names it."""

    row: int
    reason: str


def event_columns(units: Iterable[str], *, dimensions: Iterable[str]) -> dict[str, ColumnType]:
    """Names and types of the columns, in order, of events that report ``units`` and have
    ``dimensions``.

    After the fixed ones, an int64 column for each unit in registry order (inclusive counts at the
    unit's integer scale, NULL where not reported), then the dimensions by name. ValueError for a
    unit that is not reported.
    """
    occurring = set(units)
    if unknown := sorted(occurring.difference(REPORTED_UNITS)):
        raise ValueError(f'"{unknown[0]:.60}" is not a unit that an event reports')
    columns = dict(FIXED_COLUMNS)
    columns.update((name, "int64") for name in REPORTED_UNITS if name in occurring)
    columns.update((DIMENSION_PREFIX + name, "text") for name in sorted(set(dimensions)))
    return columns


def units_among(columns: Iterable[str]) -> tuple[str, ...]:
    """The units that have a column, in registry order."""
    present = set(columns)
    return tuple(name for name in REPORTED_UNITS if name in present)


def dimensions_among(columns: Iterable[str]) -> tuple[str, ...]:
    """The names of the dimensions that have a column, sorted."""
    return tuple(
        sorted(c.removeprefix(DIMENSION_PREFIX) for c in columns if c.startswith(DIMENSION_PREFIX))
    )


def content_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """The columns that make up the content of an event, in canonical order."""
    present = list(columns)
    ordered = event_columns(units_among(present), dimensions=dimensions_among(present))
    return tuple(name for name in ordered if name not in NOT_CONTENT)


def content_text(event: Mapping[str, str | int | None]) -> str:
    """The content of one event as ``name=value`` parts in canonical order; what is NULL is left
    out.
    """
    return "".join(
        f"{name}={event[name]}{CONTENT_END}"
        for name in content_columns(event)
        if event[name] is not None
    )

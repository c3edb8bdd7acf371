"""The canonical columns of usage events: how intake hands events to an engine.

Invariant: names, order and content are decided here alone. Two events have the same content
exactly when their ``content_text`` is equal, whichever way they came in; it is of what is kept of
an event, so that it can be computed again from what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
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
"""Columns that are not among the first parts of the content: where an event stands, which one it
is, and when it was, which comes last.
"""

MOMENT_PART = "time"
"""What the moment is called in a content text, in which it is the last part."""

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
    """The columns that make up the content of an event, in canonical order, before its moment.

    The column of a unit stands for its leaf.
    """
    present = list(columns)
    ordered = event_columns(units_among(present), dimensions=dimensions_among(present))
    return tuple(name for name in ordered if name not in NOT_CONTENT)


def content_text(
    *,
    account: str,
    model: str,
    service_tier: str,
    region: str,
    request_tokens: int,
    outcome: str,
    leaves: Mapping[str, int],
    dimensions: Mapping[str, str],
    stated_at: int | None,
) -> str:
    """What is billed of one event, as ``name=value`` parts in canonical order.

    ``leaves``: its disjoint counts; those of zero are left out, so that a count of zero and one
    that is absent are the same content, as they are the same bill. ``stated_at``: the moment that
    it states, None where it states none; an event that does is never one that does not.
    """
    end = CONTENT_END
    text = (
        f"account={account}{end}model={model}{end}service_tier={service_tier}{end}"
        f"region={region}{end}request_tokens={request_tokens}{end}outcome={outcome}{end}"
    )
    for unit in _in_order(tuple(leaves)):
        if count := leaves[unit]:
            text += f"{unit}={count}{end}"
    if dimensions:
        for name in sorted(dimensions):
            text += f"{DIMENSION_PREFIX}{name}={dimensions[name]}{end}"
    return text if stated_at is None else f"{text}{MOMENT_PART}={stated_at}{end}"


def content_digest(text: str) -> str:
    """The SHA-256 of a content text, in hex digits."""
    return sha256(text.encode()).hexdigest()


@lru_cache(maxsize=4_096)
def _in_order(units: tuple[str, ...]) -> tuple[str, ...]:
    """Units in the order of the registry; those that it does not know come last, by name."""
    last = len(REPORTED_UNITS)
    return tuple(sorted(units, key=lambda unit: (_PLACES.get(unit, last), unit)))


_PLACES = {unit: place for place, unit in enumerate(REPORTED_UNITS)}

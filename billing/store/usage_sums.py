"""Sums of stored events by time, by what they name and by unit, a page at a time.

Invariant: a sum is over the events up to a given one alone, less those that corrections up to a
given one void, so that pages read one after another belong together, whatever came in meanwhile.
Sums are exact, beyond 64 bits, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Dialect, Integer, cast, func, literal, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.elements import ColumnElement

from billing.store.corrections import void_events
from billing.store.table_parts import Whole, Words
from billing.store.tables import EVENT_CORRECTIONS, EVENTS
from pricing_rules.period import Period
from pricing_rules.usage.event_columns import DIMENSION_PREFIX
from pricing_rules.usage.units import REQUESTS

EventLabel = Literal["model", "service_tier", "region", "outcome"]
"""A column of an event that sums can be apart by; a dimension is ``dimensions.<name>``."""

_LOW_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """The sum of a leaf; the unit ``requests`` has the number of events.

    ``labels``: in the order in which they were asked for; "" for what an event does not name.
    """

    start_at: int
    labels: tuple[str, ...]
    unit: str
    count: int

    @property
    def key(self) -> tuple[int | str, ...]:
        """What sums are in order of; no two have the same."""
        return (self.start_at, *self.labels, self.unit)


def read_usage_sums(
    connection: Connection,
    *,
    account: str,
    period: Period,
    step_microseconds: int | None,
    labels: Sequence[str],
    through_seq: int,
    through_step_seq: int,
    after: tuple[int | str, ...] | None,
    limit: int,
) -> tuple[UsageSum, ...]:
    """At most ``limit`` sums over the events of an account in a period, in order of their keys.

    ``step_microseconds``: the length of the time steps that they are apart by, from 1970 on; None:
    one step, the period. ``labels``: each an ``EventLabel`` or ``dimensions.<name>``.
    ``through_seq``: events up to this one. ``through_step_seq``: the last step of a correction that
    bears on them. ``after``: only keys after this one.
    """
    dialect = connection.dialect
    columns, steps, counted = EVENTS.c, EVENT_CORRECTIONS.c, _counted(dialect)
    start_at: ColumnElement[int] = literal(period.start_at, Whole)
    from_at = period.start_at
    if step_microseconds is not None:
        start_at = columns.occurred_at - columns.occurred_at % step_microseconds
        if after is not None:
            from_at = max(from_at, int(after[0]))
    key: list[ColumnElement[Any]] = [
        start_at,
        *(_label(name, dialect=dialect) for name in labels),
        _text(counted.c.key),
    ]
    # By name: PostgreSQL takes an expression with parameters for another one each time.
    names = [f"key_{place}" for place in range(len(key))]
    count = cast(counted.c.value, Whole)
    query = (
        select(
            *(one.label(name) for name, one in zip(names, key, strict=True)),
            func.sum(count.op(">>")(literal(_LOW_BITS, Integer))),
            func.sum(count.op("&")(2**_LOW_BITS - 1)),
        )
        .select_from(EVENTS, counted)
        .where(
            columns.account == account,
            columns.occurred_at >= from_at,
            columns.occurred_at < period.end_at,
            columns.seq <= through_seq,
            columns.seq.not_in(
                void_events(steps.account == account, steps.seq <= through_step_seq)
            ),
        )
        .group_by(*names)
        .order_by(*names)
        .limit(limit)
    )
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*(literal(part) for part in after)))
    return tuple(
        UsageSum(
            start_at=row[0],
            labels=tuple(row[1 : 1 + len(labels)]),
            unit=row[1 + len(labels)],
            count=(int(row[-2]) << _LOW_BITS) + int(row[-1]),
        )
        for row in connection.execute(query)
    )


def read_model_sums(connection: Connection, *, period: Period) -> dict[tuple[str, str], int]:
    """The sums over all accounts of the events of a period that are not voided, by model and leaf;
    the unit ``requests`` has the number of events.
    """
    counted = _counted(connection.dialect)
    count = cast(counted.c.value, Whole)
    query = (
        select(
            EVENTS.c.model,
            counted.c.key,
            func.sum(count.op(">>")(literal(_LOW_BITS, Integer))),
            func.sum(count.op("&")(2**_LOW_BITS - 1)),
        )
        .select_from(EVENTS, counted)
        .where(
            EVENTS.c.occurred_at >= period.start_at,
            EVENTS.c.occurred_at < period.end_at,
            EVENTS.c.seq.not_in(void_events()),
        )
        .group_by(EVENTS.c.model, counted.c.key)
    )
    return {
        (model, unit): (int(high) << _LOW_BITS) + int(low)
        for model, unit, high, low in connection.execute(query)
    }


def _counted(dialect: Dialect) -> Any:
    """The leaves of each event, and the event itself, as rows of (key, value)."""
    units: ColumnElement[Any]
    if dialect.name == "sqlite":
        units = func.json_set(EVENTS.c.units, f"$.{REQUESTS}", 1)
        each = func.json_each(units)
    else:
        units = cast(EVENTS.c.units, JSONB).op("||")(func.jsonb_build_object(REQUESTS, 1))
        each = func.jsonb_each_text(units)
    return each.table_valued("key", "value", name="counted", joins_implicitly=True)


def _label(name: str, *, dialect: Dialect) -> ColumnElement[str]:
    if not name.startswith(DIMENSION_PREFIX):
        column: ColumnElement[str] = EVENTS.c[name]
        return column
    dimension = name.removeprefix(DIMENSION_PREFIX)
    if dialect.name != "sqlite":
        return _text(func.coalesce(cast(EVENTS.c.dimensions, JSONB).op("->>")(dimension), ""))
    pairs = func.json_each(EVENTS.c.dimensions).table_valued("key", "value", name="pairs")
    found = select(pairs.c.value).where(pairs.c.key == dimension).scalar_subquery()
    return _text(func.coalesce(found, ""))


def _text(value: ColumnElement[Any]) -> ColumnElement[str]:
    """A text that compares byte for byte on every database."""
    return cast(value, Words)

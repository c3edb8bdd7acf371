"""What applying a backfill changes, and what reverting it does: read a part at a time.

Invariant: an event is staged where its identity (owner, source, id) is, and counts where the number
of its steps is even; nothing is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, and_, case, exists, func, select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from billing.store.backfills import Backfill
from billing.store.corrections import in_force, is_void, made_after
from billing.store.events import StoredEvent, stored_event
from billing.store.rows import read_counts
from billing.store.tables import (
    BACKFILL_EVENTS,
    BACKFILLS,
    CORRECTIONS,
    EVENT_CORRECTIONS,
    EVENT_IDS,
    EVENTS,
)
from pricing_rules.period import Period

Runs = Sequence[tuple[int, int]]
"""Numbers of events (``seq``) as runs of first and last, in their order."""

_TEXTS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeCounts:
    """How many stored events of the account and the range of a backfill are staged, and count.

    ``staged_void``: those that are staged, and were voided before.
    """

    staged_counting: int
    staged_void: int
    unstaged_counting: int


def first_taken(connection: Connection, *, backfill: str) -> tuple[str, str] | None:
    """The first (source, id) that is staged, and stored with other content; None where none is."""
    staged, ids = BACKFILL_EVENTS.c, EVENT_IDS.c
    same = [staged[name] == ids[name] for name in ("owner", "source", "id")]
    query = (
        select(staged.source, staged.id)
        .join(EVENT_IDS, and_(*same))
        .where(staged.backfill == backfill, staged.payload_digest != ids.payload_digest)
        .order_by(staged.source, staged.id)
        .limit(1)
    )
    found = connection.execute(query).first()
    return None if found is None else (found.source, found.id)


def count_range(connection: Connection, *, backfill: Backfill) -> RangeCounts:
    """What there is of the account in the range, against what is staged."""
    staged = case((_is_staged(backfill), 1), else_=0).label("staged")
    void = case((is_void(_last_step()), 1), else_=0).label("void")
    each = select(staged, void).where(*_in_range(backfill)).subquery()
    query = select(each.c.staged, each.c.void, func.count()).group_by(each.c.staged, each.c.void)
    counts = {(row[0], row[1]): row[2] for row in connection.execute(query)}
    return RangeCounts(
        staged_counting=counts.get((1, 0), 0),
        staged_void=counts.get((1, 1), 0),
        unstaged_counting=counts.get((0, 0), 0),
    )


def read_range(
    connection: Connection,
    *,
    backfill: Backfill,
    which: Literal["staged void", "unstaged counting"],
    after: tuple[int, int],
    limit: int,
) -> tuple[tuple[StoredEvent, int], ...]:
    """At most ``limit`` events of the account in the range, by (occurred_at, seq), after this key.

    Each comes with the number of its last step, 0 where it was never corrected.
    """
    step = _last_step()
    staged = _is_staged(backfill)
    void = is_void(step)
    chosen = and_(staged, void) if which == "staged void" else and_(~staged, ~void)
    columns = EVENTS.c
    query = (
        select(EVENTS, step.label("last_step"))
        .where(
            *_in_range(backfill),
            columns.occurred_at >= after[0],  # for the index: the key below does not reach it
            tuple_(columns.occurred_at, columns.seq) > tuple_(*after),
            chosen,
        )
        .order_by(columns.occurred_at, columns.seq)
        .limit(limit)
    )
    return tuple((stored_event(row), row.last_step) for row in connection.execute(query).all())


def read_numbered(
    connection: Connection, *, after_seq: int, last_seq: int, limit: int
) -> tuple[tuple[StoredEvent, int], ...]:
    """At most ``limit`` events, of any account, with ``seq`` in (after_seq, last_seq], by it.

    Each comes with the number of its last step, as in ``read_range``.
    """
    columns = EVENTS.c
    query = select(EVENTS, _last_step().label("last_step"))
    query = query.where(columns.seq > after_seq, columns.seq <= last_seq)
    found = connection.execute(query.order_by(columns.seq).limit(limit)).all()
    return tuple((stored_event(row), row.last_step) for row in found)


def read_stepped(
    connection: Connection, *, correction: str, after_event: int, limit: int
) -> tuple[tuple[StoredEvent, int], ...]:
    """At most ``limit`` events that a correction touched, by ``seq``, each with its last step."""
    steps = EVENT_CORRECTIONS.c
    query = (
        select(EVENTS, _last_step().label("last_step"))
        .join(EVENT_CORRECTIONS, steps.event == EVENTS.c.seq)
        .where(steps.correction == correction, steps.event > after_event)
        .order_by(steps.event)
        .limit(limit)
    )
    return tuple((stored_event(row), row.last_step) for row in connection.execute(query).all())


def later_correction(connection: Connection, *, backfill: Backfill, added: Runs) -> str | None:
    """A correction in force that rests on what a backfill did; None where there is none.

    It took a later step of an event that this one touched or added, or is a later backfill of the
    account whose range has time in common with this one: what it kept, this one may have added.
    """
    later, own = EVENT_CORRECTIONS.alias("later"), EVENT_CORRECTIONS.alias("own")
    touched = (
        select(later.c.correction)
        .join(own, and_(own.c.event == later.c.event, own.c.step < later.c.step))
        .where(own.c.correction == backfill.backfill)
    )
    overlapping = _later_backfills(
        backfill.backfill,
        account=backfill.account,
        period=Period(start_at=backfill.start_at, end_at=backfill.end_at),
    )
    between = [
        select(later.c.correction).where(later.c.event >= first, later.c.event <= last)
        for first, last in added
    ]
    for found in (touched, *between, overlapping):
        name = _first_in_force(connection, names=found)
        if name is not None:
            return name
    return None


def later_backfill(
    connection: Connection, *, correction: str, account: str, occurred_at: int
) -> str | None:
    """A backfill in force of an account, made after a correction, whose range holds a moment.

    None where there is none.
    """
    moment = Period(start_at=occurred_at, end_at=occurred_at + 1)
    return _first_in_force(
        connection, names=_later_backfills(correction, account=account, period=moment)
    )


def sum_staged(connection: Connection, *, backfill: Backfill) -> dict[str, int]:
    """The sums of what is staged, by leaf: those of the range once it is applied."""
    columns = BACKFILL_EVENTS.c
    return _sums(
        connection, query=select(columns.units).where(columns.backfill == backfill.backfill)
    )


def sum_range(connection: Connection, *, backfill: Backfill) -> dict[str, int]:
    """The sums of the events of the account that count in the range now, by leaf."""
    query = select(EVENTS.c.units).where(*_in_range(backfill), ~is_void(_last_step()))
    return _sums(connection, query=query)


def _later_backfills(correction: str, *, account: str, period: Period) -> Select[Any]:
    """The names of those made after a correction that have time in common with a period."""
    return (
        select(BACKFILLS.c.backfill)
        .join(CORRECTIONS, CORRECTIONS.c.correction == BACKFILLS.c.backfill)
        .where(
            CORRECTIONS.c.account == account,
            made_after(correction),
            BACKFILLS.c.start_at < period.end_at,
            BACKFILLS.c.end_at > period.start_at,
        )
    )


def _first_in_force(connection: Connection, *, names: Select[Any]) -> str | None:
    """The first of some corrections that is in force; None without one."""
    query = select(CORRECTIONS.c.correction).where(CORRECTIONS.c.correction.in_(names), in_force())
    name: str | None = connection.scalar(query.order_by(CORRECTIONS.c.seq).limit(1))
    return name


def _sums(connection: Connection, *, query: Select[Any]) -> dict[str, int]:
    sums: dict[str, int] = {}
    found = connection.execute(query.execution_options(yield_per=_TEXTS_AT_ONCE))
    for part in found.partitions():
        for (units,) in part:
            for unit, count in read_counts(units).items():
                sums[unit] = sums.get(unit, 0) + count
    return dict(sorted(sums.items()))


def _in_range(backfill: Backfill) -> tuple[ColumnElement[bool], ...]:
    columns = EVENTS.c
    return (
        columns.account == backfill.account,
        columns.occurred_at >= backfill.start_at,
        columns.occurred_at < backfill.end_at,
    )


def _is_staged(backfill: Backfill) -> ColumnElement[bool]:
    staged = BACKFILL_EVENTS.c
    same = [staged[name] == EVENTS.c[name] for name in ("owner", "source", "id")]
    return exists().where(staged.backfill == backfill.backfill, *same)


def _last_step() -> ColumnElement[int]:
    """The number of the last step of an event; 0 where it has none."""
    steps = EVENT_CORRECTIONS.alias("steps")
    last = select(func.max(steps.c.step)).where(steps.c.event == EVENTS.c.seq)
    return func.coalesce(last.scalar_subquery(), 0)

"""Corrections: appended with the steps of the events that they touch, and read back.

Invariant: an event counts while the number of its steps is even: its first step voids it, the
second restores it, the third voids it again. Steps are numbered without a gap, each once, so that
of two corrections of one event that meet, one comes to nothing. Whether an event is void, and
whether a correction is in force, is said here alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any, overload

from sqlalchemy import Connection, Row, Select, and_, exists, func, select
from sqlalchemy.sql.elements import ColumnElement

from billing.store.correction_details import CorrectionDetail, CorrectionKind, read_detail
from billing.store.events import StoredEvent, stored_event
from billing.store.points import reach
from billing.store.rows import append_rows, json_text, read_records, select_records
from billing.store.tables import CORRECTIONS, EVENT_CORRECTIONS, EVENT_IDS, EVENTS
from pricing_rules.period import Period

_AT_ONCE = 10_000
"""Keys looked up with one statement; SQLite takes 32,766 parameters."""

_STEPS_READ_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """That events of an account were corrected.

    ``epoch``: the one in which it counts. ``reverts``: the correction that a reversal takes back.
    ``detail``: what it says of itself, by kind.
    """

    correction: str
    kind: CorrectionKind
    account: str
    reason: str
    by: str
    reverts: str | None
    detail: CorrectionDetail
    epoch: int
    recorded_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStep:
    """One step of an event (``event``: its ``seq``): odd steps void it, even ones restore it."""

    event: int
    step: int
    account: str
    epoch: int
    correction: str


_STEP_NAMES = ("event", "step", "account", "epoch", "correction")


@overload
def is_void(step: int) -> bool: ...


@overload
def is_void(step: ColumnElement[int]) -> ColumnElement[bool]: ...


def is_void(step: int | ColumnElement[int]) -> bool | ColumnElement[bool]:
    """Whether an event whose last step this is counts nowhere; 0 where it has none."""
    return step % 2 == 1


def void_events(*conditions: ColumnElement[bool]) -> Select[tuple[int]]:
    """The events, by their ``seq``, that are void after those of the steps that are asked for."""
    steps = EVENT_CORRECTIONS.c
    query = select(steps.event).where(*conditions).group_by(steps.event)
    return query.having(is_void(func.max(steps.step)))


def in_force() -> ColumnElement[bool]:
    """That a correction is neither reverted nor a reversal."""
    reversal = CORRECTIONS.alias("reversal")
    reverted = exists().where(reversal.c.reverts == CORRECTIONS.c.correction)
    return and_(CORRECTIONS.c.kind != "reversal", ~reverted)


def append_correction(connection: Connection, *, correction: Correction) -> None:
    """Record a correction; its name must be free, and what it reverts not reverted yet."""
    names = tuple(field.name for field in fields(Correction))
    row = tuple(
        json_text(correction.detail) if name == "detail" else getattr(correction, name)
        for name in names
    )
    append_rows(connection, table=CORRECTIONS, names=names, rows=[row])
    reach("correction.appended")


def append_steps(connection: Connection, *, steps: Sequence[EventStep]) -> None:
    """Record the steps of events, after their correction.

    The step of an event must be the one after its last.
    """
    rows = [(one.event, one.step, one.account, one.epoch, one.correction) for one in steps]
    append_rows(connection, table=EVENT_CORRECTIONS, names=_STEP_NAMES, rows=rows)
    reach("correction.steps_appended")


def read_correction(connection: Connection, *, correction: str) -> Correction | None:
    """One correction; None where there is none of this name."""
    query = _corrections().where(CORRECTIONS.c.correction == correction)
    return next(iter(_read(connection, query=query)), None)


def read_reversal(connection: Connection, *, correction: str) -> Correction | None:
    """The correction that reverted this one; None where none did."""
    query = _corrections().where(CORRECTIONS.c.reverts == correction)
    return next(iter(_read(connection, query=query)), None)


def read_corrections(
    connection: Connection,
    *,
    account: str | None,
    after: str | None,
    limit: int,
) -> tuple[Correction, ...]:
    """At most ``limit`` corrections of an account, or of all, in the order in which they were made.

    ``after``: only those made after this one.
    """
    columns = CORRECTIONS.c
    query = _corrections()
    if account is not None:
        query = query.where(columns.account == account)
    if after is not None:
        query = query.where(made_after(after))
    return _read(connection, query=query.order_by(columns.seq).limit(limit))


def made_after(correction: str) -> ColumnElement[bool]:
    """That a correction was made after this one, whatever the clocks said."""
    first = CORRECTIONS.alias("first")
    seq = select(first.c.seq).where(first.c.correction == correction).scalar_subquery()
    return CORRECTIONS.c.seq > seq


def find_events(
    connection: Connection, *, owner: str, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], StoredEvent]:
    """The events of these (source, id), of those that are stored."""
    rows = event_rows(connection, owner=owner, keys=keys, columns=tuple(EVENTS.c))
    return {(row.source, row.id): stored_event(row) for row in rows}


def event_rows(
    connection: Connection,
    *,
    owner: str,
    keys: Sequence[tuple[str, str]],
    columns: Sequence[ColumnElement[Any]],
) -> Iterator[Row[Any]]:
    """Some columns of the events of these (source, id), of those that are stored."""
    ids = EVENT_IDS.c
    chosen = select(*columns).join(EVENT_IDS, ids.event == EVENTS.c.seq).where(ids.owner == owner)
    for source, group in groupby(sorted(set(keys)), key=lambda key: key[0]):
        of_source = [event_id for _, event_id in group]
        for start in range(0, len(of_source), _AT_ONCE):
            some = of_source[start : start + _AT_ONCE]
            yield from connection.execute(chosen.where(ids.source == source, ids.id.in_(some)))


def last_steps(connection: Connection, *, events: Sequence[int]) -> dict[int, EventStep]:
    """The last step of each of these events, by their ``seq``, of those that were corrected."""
    found: dict[int, EventStep] = {}
    chosen = select_records(EventStep, table=EVENT_CORRECTIONS)
    for start in range(0, len(events), _AT_ONCE):
        some = events[start : start + _AT_ONCE]
        query = chosen.where(EVENT_CORRECTIONS.c.event.in_(some)).order_by(EVENT_CORRECTIONS.c.step)
        for step in read_records(connection, query=query, record=EventStep):
            found[step.event] = step
    return found


def read_steps(connection: Connection, *, correction: str) -> tuple[EventStep, ...]:
    """The steps that a correction took, in order of events."""
    query = select_records(EventStep, table=EVENT_CORRECTIONS)
    query = query.where(EVENT_CORRECTIONS.c.correction == correction)
    query = query.order_by(EVENT_CORRECTIONS.c.event)
    return read_records(connection, query=query, record=EventStep)


def read_event_steps(connection: Connection, *, event: int) -> tuple[EventStep, ...]:
    """The steps of one event, in their order."""
    query = select_records(EventStep, table=EVENT_CORRECTIONS)
    query = query.where(EVENT_CORRECTIONS.c.event == event).order_by(EVENT_CORRECTIONS.c.step)
    return read_records(connection, query=query, record=EventStep)


def corrected_since(connection: Connection, *, event: int, correction: str) -> str | None:
    """The last correction in force that changed what one made of an event; None where none did.

    One that was reverted itself has left the event as it found it.
    """
    steps, own = EVENT_CORRECTIONS.c, EVENT_CORRECTIONS.alias("own")
    # Of an event that came in by the correction it took no step: all steps came after.
    made = select(func.coalesce(func.max(own.c.step), 0)).where(
        own.c.event == event, own.c.correction == correction
    )
    query = (
        select(steps.correction)
        .join(CORRECTIONS, CORRECTIONS.c.correction == steps.correction)
        .where(steps.event == event, steps.step > made.scalar_subquery(), in_force())
        .order_by(steps.step.desc())
        .limit(1)
    )
    name: str | None = connection.scalar(query)
    return name


def read_corrected(
    connection: Connection,
    *,
    account: str,
    period: Period | None = None,
    through_epoch: int | None = None,
) -> Iterator[tuple[StoredEvent, EventStep]]:
    """Each step of the events of an account, by (occurred_at, event, step), a few thousand in
    memory at a time.

    ``period``: only of events that occurred in it. ``through_epoch``: only steps of this epoch and
    earlier ones.
    """
    steps = EVENT_CORRECTIONS.c
    query: Select[Any] = (
        select(*EVENTS.c, *(steps[name].label(f"step_{name}") for name in _STEP_NAMES))
        .join(EVENT_CORRECTIONS, steps.event == EVENTS.c.seq)
        .where(steps.account == account, EVENTS.c.account == account)
    )
    if period is not None:
        moment_at = EVENTS.c.occurred_at
        query = query.where(moment_at >= period.start_at, moment_at < period.end_at)
    if through_epoch is not None:
        query = query.where(steps.epoch <= through_epoch)
    query = query.order_by(EVENTS.c.occurred_at, steps.event, steps.step)
    query = query.execution_options(yield_per=_STEPS_READ_AT_ONCE)
    with connection.execute(query) as found:  # it is closed also where an event cannot be read
        for part in found.partitions():
            for row in part:
                yield (
                    stored_event(row),
                    EventStep(**dict(zip(_STEP_NAMES, row[-len(_STEP_NAMES) :], strict=True))),
                )


def last_step_seq(connection: Connection) -> int:
    """The number of the step that was stored last; 0 where there is none."""
    return connection.scalar(select(func.max(EVENT_CORRECTIONS.c.seq))) or 0


def _corrections() -> Select[Any]:
    return select_records(Correction, table=CORRECTIONS)


def _read(connection: Connection, *, query: Select[Any]) -> tuple[Correction, ...]:
    rows = connection.execute(query).mappings()
    return tuple(
        Correction(**{**row, "detail": read_detail(row["detail"], kind=row["kind"])})
        for row in rows
    )

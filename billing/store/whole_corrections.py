"""Reading the tables of corrections for ``verify``: what is odd in them.

Invariant: as in ``billing.store.whole``: what is read is what stands in the tables, also where a
row has lost its parent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, func, or_, select

from billing.store.correction_details import (
    BackfillDetail,
    CorrectedIdentity,
    CorrectionDetail,
    CorrectionKind,
    EventDetail,
    read_detail,
)
from billing.store.corrections import event_rows, void_events
from billing.store.tables import CORRECTIONS, EVENT_CORRECTIONS, EVENTS

_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBeside:
    """A step of an event beside its event and its correction; None where one is not there."""

    event: int
    step: int
    account: str
    epoch: int
    correction: str
    event_account: str | None
    event_epoch: int | None
    correction_account: str | None
    correction_epoch: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCount:
    """How many steps a correction says that it took, None where it cannot be read, and has."""

    correction: str
    said: int | None
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBeside:
    """The events that a void or an amendment names: ``taken`` by its step, and ``came`` with it.

    ``added``: what an amendment put in its place, "" for a void, with which nothing came.
    """

    correction: str
    event: str
    taken: bool
    added: str
    came: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedCount:
    """How many events a backfill says that it added, and has."""

    correction: str
    said: int
    events: int


def count_voided(connection: Connection) -> int:
    """How many events are void."""
    return connection.scalar(select(func.count()).select_from(void_events().subquery())) or 0


def steps_unlike_their_parents(connection: Connection) -> Iterator[StepBeside]:
    """Steps whose event or correction is not there, is of another account, or whose epoch is not
    that of the correction or lies before that of the event.
    """
    steps, events, made = EVENT_CORRECTIONS.c, EVENTS.c, CORRECTIONS.c
    query = (
        select(
            steps.event,
            steps.step,
            steps.account,
            steps.epoch,
            steps.correction,
            events.account,
            events.epoch,
            made.account,
            made.epoch,
        )
        .select_from(EVENT_CORRECTIONS)
        .outerjoin(EVENTS, events.seq == steps.event)
        .outerjoin(CORRECTIONS, made.correction == steps.correction)
        .where(
            or_(
                events.seq.is_(None),
                made.correction.is_(None),
                events.account != steps.account,
                made.account != steps.account,
                made.epoch != steps.epoch,
                events.epoch > steps.epoch,
            )
        )
        .order_by(steps.event, steps.step)
    )
    for event, step, account, epoch, correction, *beside in connection.execute(query):
        yield StepBeside(
            event=event,
            step=step,
            account=account,
            epoch=epoch,
            correction=correction,
            event_account=beside[0],
            event_epoch=beside[1],
            correction_account=beside[2],
            correction_epoch=beside[3],
        )


def events_with_lost_steps(connection: Connection) -> Iterator[int]:
    """Events, by their ``seq``, of which a step lies after one that is not there."""
    steps = EVENT_CORRECTIONS.c
    query = (
        select(steps.event)
        .group_by(steps.event)
        .having(func.max(steps.step) != func.count())
        .order_by(steps.event)
    )
    yield from connection.scalars(query)


def step_counts(connection: Connection) -> Iterator[StepCount]:
    """Each correction by name, with how many steps it says and has."""
    steps, made = EVENT_CORRECTIONS.c, CORRECTIONS.c
    query = (
        select(made.correction, made.kind, made.detail, func.count(steps.seq).label("steps"))
        .outerjoin(EVENT_CORRECTIONS, steps.correction == made.correction)
        .group_by(made.correction, made.kind, made.detail)
        .order_by(made.correction)
    )
    for row in connection.execute(query):
        detail = _detail(row.detail, kind=row.kind)
        said = None if detail is None else detail.steps
        yield StepCount(correction=row.correction, said=said, steps=row.steps)


def events_named(connection: Connection) -> Iterator[NamedBeside]:
    """Each void and amendment that can be read, by name, with the events that it names."""
    steps, made = EVENT_CORRECTIONS.c, CORRECTIONS.c
    query = (
        select(made.correction, made.kind, made.account, made.epoch, made.detail, steps.event)
        .outerjoin(EVENT_CORRECTIONS, steps.correction == made.correction)
        .where(made.kind.in_(("void", "amend")))
        .order_by(made.correction, steps.step)
    )
    rows = connection.execute(query).all()
    for start in range(0, len(rows), _AT_ONCE):
        some = [(row, _detail(row.detail, kind=row.kind)) for row in rows[start : start + _AT_ONCE]]
        part = [(row, named) for row, named in some if isinstance(named, EventDetail)]
        events = _events_of([named for _, named in part], connection=connection)
        for row, named in part:
            voided = events.get(_key(named.event, owner=named.owner))
            new = named.amended_by
            came = None if new is None else events.get(_key(new, owner=named.owner))
            yield NamedBeside(
                correction=row.correction,
                event=_text(named.event),
                taken=voided is not None and voided.seq == row.event,
                added="" if new is None else _text(new),
                came=came is not None and (came.account, came.epoch) == (row.account, row.epoch),
            )


def _events_of(
    some: Sequence[EventDetail], *, connection: Connection
) -> dict[tuple[str, str, str], Row[Any]]:
    """What can be read of every event that corrections name, by owner, source and id."""
    keys: dict[str, list[tuple[str, str]]] = {}
    for named in some:
        for one in (named.event, named.amended_by):
            if one is not None:
                keys.setdefault(named.owner, []).append((one.source, one.id))
    names = ("seq", "source", "id", "account", "epoch")
    columns = tuple(EVENTS.c[name] for name in names)
    return {
        (owner, row.source, row.id): row
        for owner, of_owner in keys.items()
        for row in event_rows(connection, owner=owner, keys=of_owner, columns=columns)
    }


def _detail(text: str, *, kind: CorrectionKind) -> CorrectionDetail | None:
    """What a correction says of itself; None where that cannot be read."""
    try:
        return read_detail(text, kind=kind)
    except msgspec.DecodeError:
        return None


def _key(one: CorrectedIdentity, *, owner: str) -> tuple[str, str, str]:
    return owner, one.source, one.id


def _text(one: CorrectedIdentity) -> str:
    return f"{one.source}/{one.id}"


def added_by_backfills(connection: Connection) -> Iterator[AddedCount]:
    """Each backfill that was applied and can be read, by name, with how many events it says and has
    added: those of its numbers that are of its account and came in its epoch.
    """
    made, events = CORRECTIONS.c, EVENTS.c
    query = select(made.correction, made.kind, made.account, made.epoch, made.detail)
    query = query.where(made.kind == "backfill").order_by(made.correction)
    for row in connection.execute(query).all():
        said = _detail(row.detail, kind=row.kind)
        if not isinstance(said, BackfillDetail):
            continue
        found = 0
        for first, last in said.added_events:
            within = select(func.count()).where(
                events.seq.between(first, last),
                events.account == row.account,
                events.epoch == row.epoch,
            )
            found += connection.scalar(within) or 0
        yield AddedCount(correction=row.correction, said=said.added, events=found)

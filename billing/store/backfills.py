"""Backfills: opened, with the events that are staged for them.

Invariant: a staged event counts nowhere, and an identity is staged once in a backfill; it has the
content that is stored under its identity, where there was one when it was staged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import Connection, delete, exists, func, select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from billing.store.events import NewEvent, VerdictKind
from billing.store.points import reach
from billing.store.rows import (
    append_record,
    append_rows,
    json_text,
    read_counts,
    read_labels,
    read_records,
    select_records,
)
from billing.store.tables import BACKFILL_EVENTS, BACKFILLS, EVENT_IDS

_IDS_AT_ONCE = 10_000
"""Ids looked up with one statement; SQLite takes 32,766 parameters."""

_STAGED_NAMES = tuple(column.name for column in BACKFILL_EVENTS.c)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """That the usage of an account in [start_at, end_at) is to be stated anew."""

    backfill: str
    account: str
    start_at: int
    end_at: int
    reason: str
    by: str
    opened_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StagingVerdict:
    """What became of an event that came to be staged; ``accepted``: it is.

    ``against``: where the other content of a conflict is: staged, or stored under the same id.
    """

    kind: VerdictKind
    against: Literal["", "staged", "stored"] = ""


def append_backfill(connection: Connection, *, backfill: Backfill) -> None:
    """Open a backfill; its name must be free."""
    append_record(connection, table=BACKFILLS, record=backfill)
    reach("backfill.appended")


def read_backfill(connection: Connection, *, backfill: str) -> Backfill | None:
    """One backfill; None where none of this name was opened."""
    query = select_records(Backfill, table=BACKFILLS).where(BACKFILLS.c.backfill == backfill)
    return next(iter(read_records(connection, query=query, record=Backfill)), None)


def read_backfills(
    connection: Connection, *, account: str | None, after: str | None, limit: int
) -> tuple[Backfill, ...]:
    """At most ``limit`` backfills of an account, or of all, in the order in which they were opened.

    ``after``: only those opened after this one, whatever the clocks said.
    """
    columns = BACKFILLS.c
    query = select_records(Backfill, table=BACKFILLS)
    if account is not None:
        query = query.where(columns.account == account)
    if after is not None:
        first = BACKFILLS.alias("first")
        seq = select(first.c.seq).where(first.c.backfill == after).scalar_subquery()
        query = query.where(columns.seq > seq)
    query = query.order_by(columns.seq).limit(limit)
    return read_records(connection, query=query, record=Backfill)


def stage_events(
    connection: Connection, *, backfill: Backfill, owner: str, events: Sequence[NewEvent]
) -> tuple[StagingVerdict, ...]:
    """Stage events of the account and the range of a backfill, with a verdict for each, in order.

    What was staged before, or is stored, stands against other content under its id. Within
    ``events`` the first by (occurred_at, payload_digest) stands, wherever it is.
    """
    keys = sorted({(event.source, event.id) for event in events})
    of_backfill = (BACKFILL_EVENTS.c.backfill == backfill.backfill,)
    staged = _digests(connection, of=BACKFILL_EVENTS.c, owner=owner, keys=keys, where=of_backfill)
    stored = _digests(connection, of=EVENT_IDS.c, owner=owner, keys=keys, where=())
    new: dict[tuple[str, str], int] = {}
    for place in sorted(range(len(events)), key=lambda at: _rank(events[at])):
        event = events[place]
        key = event.source, event.id
        if key not in staged and stored.get(key, event.payload_digest) == event.payload_digest:
            new.setdefault(key, place)
    rows = [_row(events[new[key]], backfill=backfill.backfill, owner=owner) for key in sorted(new)]
    append_rows(connection, table=BACKFILL_EVENTS, names=_STAGED_NAMES, rows=rows)
    reach("backfill.events_staged")
    verdicts: list[StagingVerdict] = []
    for place, event in enumerate(events):
        key, digest = (event.source, event.id), event.payload_digest
        if new.get(key) == place:
            verdicts.append(StagingVerdict(kind="accepted"))
        elif stored.get(key, digest) != digest:
            verdicts.append(StagingVerdict(kind="conflict", against="stored"))
        elif digest == (staged.get(key) or events[new[key]].payload_digest):
            verdicts.append(StagingVerdict(kind="duplicate"))
        else:
            verdicts.append(StagingVerdict(kind="conflict", against="staged"))
    return tuple(verdicts)


def count_staged(connection: Connection, *, backfill: str) -> int:
    """How many events are staged."""
    query = select(func.count()).where(BACKFILL_EVENTS.c.backfill == backfill)
    return connection.scalar(query) or 0


def read_new_staged(
    connection: Connection,
    *,
    backfill: Backfill,
    owner: str,
    after: tuple[str, str] | None,
    limit: int,
) -> tuple[NewEvent, ...]:
    """At most ``limit`` events that are staged under an owner and whose id is free in the store.

    They come by (source, id), after this key.
    """
    columns = BACKFILL_EVENTS.c
    same = [EVENT_IDS.c[name] == columns[name] for name in ("owner", "source", "id")]
    query = select(BACKFILL_EVENTS).where(
        columns.backfill == backfill.backfill, columns.owner == owner, ~exists().where(*same)
    )
    if after is not None:
        query = query.where(tuple_(columns.source, columns.id) > tuple_(*after))
    return tuple(
        NewEvent(
            source=row.source,
            id=row.id,
            payload_digest=row.payload_digest,
            account=backfill.account,
            occurred_at=row.occurred_at,
            model=row.model,
            service_tier=row.service_tier,
            region=row.region,
            request_tokens=row.request_tokens,
            outcome=row.outcome,
            dimensions=read_labels(row.dimensions),
            units=read_counts(row.units),
        )
        for row in connection.execute(query.order_by(columns.source, columns.id).limit(limit)).all()
    )


def remove_staged(connection: Connection, *, backfill: str) -> int:
    """Forget what is staged, and say how many events that were."""
    statement = delete(BACKFILL_EVENTS).where(BACKFILL_EVENTS.c.backfill == backfill)
    removed = connection.execute(statement).rowcount
    reach("backfill.events_removed")
    return removed


def event_seqs(connection: Connection, *, owner: str, keys: Sequence[tuple[str, str]]) -> list[int]:
    """The ``seq`` of each stored event of sorted (source, id), in no order."""
    seqs: list[int] = []
    for source, some in _some_at_once(keys):
        query = select(EVENT_IDS.c.event).where(
            EVENT_IDS.c.owner == owner, EVENT_IDS.c.source == source, EVENT_IDS.c.id.in_(some)
        )
        seqs += connection.scalars(query)
    return seqs


def _rank(event: NewEvent) -> tuple[int, str]:
    return event.occurred_at, event.payload_digest


def _digests(
    connection: Connection,
    *,
    of: Any,
    owner: str,
    keys: Sequence[tuple[str, str]],
    where: Sequence[ColumnElement[bool]],
) -> dict[tuple[str, str], str]:
    """The digest that each of sorted (source, id) has in a table, of those that are there."""
    found: dict[tuple[str, str], str] = {}
    for source, some in _some_at_once(keys):
        query = select(of.id, of.payload_digest).where(
            *where, of.owner == owner, of.source == source, of.id.in_(some)
        )
        for event_id, digest in connection.execute(query):
            found[source, event_id] = digest
    return found


def _some_at_once(keys: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """The ids of sorted (source, id) by source, not too many for one statement."""
    parts: list[tuple[str, list[str]]] = []
    for source, group in groupby(keys, key=lambda key: key[0]):
        ids = [event_id for _, event_id in group]
        parts += [
            (source, ids[start : start + _IDS_AT_ONCE])
            for start in range(0, len(ids), _IDS_AT_ONCE)
        ]
    return parts


def _row(event: NewEvent, *, backfill: str, owner: str) -> tuple[Any, ...]:
    return (
        backfill,
        owner,
        event.source,
        event.id,
        event.payload_digest,
        event.occurred_at,
        event.model,
        event.service_tier,
        event.region,
        event.request_tokens,
        event.outcome,
        json_text(event.dimensions),
        json_text(event.units),
    )

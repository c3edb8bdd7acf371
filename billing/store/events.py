"""Usage events: appended with a verdict for each, and read back.

Invariant: an identity (owner, source, id) is stored once, for ever; what comes again under it is a
duplicate or a conflict and changes nothing (I11, I12). A verdict does not depend on where an event
stands in its batch (I13).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, Select, and_, func, select

from billing.store.copying import stage_rows
from billing.store.points import reach
from billing.store.rows import append_rows, json_text
from billing.store.tables import EVENT_IDS, EVENTS
from pricing_rules.period import Period

VerdictKind = Literal["accepted", "duplicate", "conflict"]

_IDS_AT_ONCE = 10_000
"""Ids looked up with one statement; SQLite takes 32,766 parameters."""

_EVENTS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """A checked event that came in.

    ``units``: its leaf counts at the units' scale. ``dimensions``: all that it has.
    ``payload_digest``: of its content; two events of one account with the same digest are the same.
    ``timed_by``: "receipt" where it states no moment, so that it is that at which it came in.
    """

    source: str
    id: str
    payload_digest: str
    account: str
    occurred_at: int
    model: str
    service_tier: str
    region: str
    request_tokens: int
    outcome: str
    dimensions: Mapping[str, str]
    units: Mapping[str, int]
    timed_by: str = "event"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of an event; ``first_*`` is what its identity stands for (itself if accepted)."""

    kind: VerdictKind
    first_digest: str
    first_received_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event as it is stored; ``seq`` numbers events in the order in which they were stored."""

    seq: int
    owner: str
    source: str
    id: str
    account: str
    occurred_at: int
    timed_by: str
    model: str
    service_tier: str
    region: str
    request_tokens: int
    outcome: str
    dimensions: Mapping[str, str]
    units: Mapping[str, int]
    epoch: int
    received_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCount:
    """How many events an account has in an epoch."""

    account: str
    epoch: int
    events: int


class _First(NamedTuple):
    """What an identity stands for."""

    payload_digest: str
    account: str
    received_at: int


_ID_NAMES = tuple(column.name for column in EVENT_IDS.c)
_EVENT_NAMES = tuple(column.name for column in EVENTS.c)


def append_events(
    connection: Connection, *, owner: str, rows: Sequence[NewEvent], epoch: int, received_at: int
) -> tuple[Verdict, ...]:
    """Store the events that are new, and say for each what became of it, in the order of ``rows``.

    An identity that is stored wins over what comes; within the rows the first by (occurred_at,
    payload_digest, account) wins. The others are duplicates where digest and account are those of
    the winner, else conflicts. ``epoch`` must have been read in this transaction.
    """
    winners = _winners(rows)
    keys = sorted(winners)
    shared = (owner, epoch, received_at)
    bulk = _append_staged if connection.dialect.name == "postgresql" else _append_looked_up
    firsts = bulk(connection, events=[rows[winners[key]] for key in keys], shared=shared)
    accepted: set[int] = set()
    for key in keys:
        if key not in firsts:
            event = rows[winners[key]]
            accepted.add(winners[key])
            firsts[key] = _First(event.payload_digest, event.account, received_at)
    return tuple(
        _verdict(row, first=firsts[row.source, row.id], accepted=position in accepted)
        for position, row in enumerate(rows)
    )


_Shared = tuple[str, int, int]
"""What the events of a batch have in common: owner, epoch and the moment at which they came in."""


def _append_looked_up(
    connection: Connection, *, events: Sequence[NewEvent], shared: _Shared
) -> dict[tuple[str, str], _First]:
    """Append the events whose ids are free, and give what the others' ids stand for.

    ``events`` are in the order of (source, id), each once. Nobody else writes meanwhile.
    """
    keys = [(event.source, event.id) for event in events]
    firsts = _stored_firsts(connection, owner=shared[0], keys=keys)
    reach("events.looked_up")
    new = [event for key, event in zip(keys, events, strict=True) if key not in firsts]
    following = last_event_seq(connection) + 1
    ids = [_id_row(one, seq=seq, shared=shared) for seq, one in enumerate(new, start=following)]
    append_rows(connection, table=EVENT_IDS, names=_ID_NAMES, rows=ids)
    reach("events.ids_appended")
    stored = [
        _event_row(one, seq=seq, shared=shared) for seq, one in enumerate(new, start=following)
    ]
    append_rows(connection, table=EVENTS, names=_EVENT_NAMES, rows=stored)
    reach("events.appended")
    return firsts


def _append_staged(
    connection: Connection, *, events: Sequence[NewEvent], shared: _Shared
) -> dict[tuple[str, str], _First]:
    """As ``_append_looked_up``, on PostgreSQL, where others may take the same ids meanwhile: the
    ids decide, and who comes second waits for the first to end.
    """
    if not events:
        return {}
    staged = stage_rows(
        connection,
        tables=(EVENTS, EVENT_IDS),
        names=(*_EVENT_NAMES, "payload_digest"),
        rows=[
            (*_event_row(one, seq=seq, shared=shared), one.payload_digest)
            for seq, one in zip(_next_seqs(connection, count=len(events)), events, strict=True)
        ],
    )
    reach("events.looked_up")
    ids, columns = ", ".join(_ID_NAMES), ", ".join(_EVENT_NAMES)
    found_as = ids.replace("event", "seq")
    taken = connection.exec_driver_sql(
        f"INSERT INTO event_ids ({ids}) SELECT {found_as} FROM {staged} ORDER BY owner, source, id "
        "ON CONFLICT DO NOTHING RETURNING source, id"
    )
    new = {(source, event_id) for source, event_id in taken.all()}
    reach("events.ids_appended")
    firsts: dict[tuple[str, str], _First] = {}
    if len(new) < len(events):
        found = connection.exec_driver_sql(
            "SELECT source, id, ids.payload_digest, ids.account, ids.received_at "
            f"FROM {staged} JOIN event_ids AS ids USING (owner, source, id)"
        )
        firsts = {
            (source, event_id): _First(*first)
            for source, event_id, *first in found
            if (source, event_id) not in new
        }
        connection.exec_driver_sql(
            f"DELETE FROM {staged} USING unnest(%s::text[], %s::text[]) AS known (source, id) "
            f"WHERE {staged}.source = known.source AND {staged}.id = known.id",
            ([source for source, _ in firsts], [event_id for _, event_id in firsts]),
        )
    connection.exec_driver_sql(
        f"INSERT INTO events ({columns}) SELECT {columns} FROM {staged} ORDER BY source, id"
    )
    reach("events.appended")
    return firsts


def last_event_seq(connection: Connection) -> int:
    """The number of the event that was stored last; 0 where there is none."""
    return connection.scalar(select(func.max(EVENTS.c.seq))) or 0


def _next_seqs(connection: Connection, *, count: int) -> Sequence[int]:
    """Numbers for events, on PostgreSQL; nobody else is given the same."""
    taken = connection.exec_driver_sql(
        "SELECT nextval(pg_get_serial_sequence('events', 'seq')) FROM generate_series(1, %s)",
        (count,),
    )
    return tuple(taken.scalars())


def _id_row(event: NewEvent, *, seq: int, shared: _Shared) -> tuple[Any, ...]:
    owner, epoch, received_at = shared
    taken_by = (seq, event.payload_digest, event.account, epoch, received_at)
    return (owner, event.source, event.id, *taken_by)


def _event_row(event: NewEvent, *, seq: int, shared: _Shared) -> tuple[Any, ...]:
    owner, epoch, received_at = shared
    return (
        seq,
        owner,
        event.source,
        event.id,
        event.account,
        event.occurred_at,
        event.timed_by,
        event.model,
        event.service_tier,
        event.region,
        event.request_tokens,
        event.outcome,
        json_text(event.dimensions),
        json_text(event.units),
        epoch,
        received_at,
    )


def read_events(
    connection: Connection,
    *,
    account: str,
    period: Period | None = None,
    through_epoch: int | None = None,
) -> Iterator[StoredEvent]:
    """The events of an account by (occurred_at, seq), a few thousand in memory at a time.

    ``period``: only those that occurred in it. ``through_epoch``: only those of this epoch and
    earlier ones.
    """
    query: Select[Any] = select(EVENTS).where(EVENTS.c.account == account)
    if period is not None:
        query = query.where(
            and_(
                EVENTS.c.occurred_at >= period.start_at,
                EVENTS.c.occurred_at < period.end_at,
            )
        )
    if through_epoch is not None:
        query = query.where(EVENTS.c.epoch <= through_epoch)
    query = query.order_by(EVENTS.c.occurred_at, EVENTS.c.seq)
    found = connection.execute(query.execution_options(yield_per=_EVENTS_AT_ONCE))
    for part in found.partitions():
        for row in part:
            yield _stored(row)


def count_events(connection: Connection, *, account: str | None = None) -> tuple[EventCount, ...]:
    """How many events there are by account and epoch, of one account or of all."""
    query = select(EVENTS.c.account, EVENTS.c.epoch, func.count())
    if account is not None:
        query = query.where(EVENTS.c.account == account)
    query = query.group_by(EVENTS.c.account, EVENTS.c.epoch)
    query = query.order_by(EVENTS.c.account, EVENTS.c.epoch)
    return tuple(
        EventCount(account=name, epoch=epoch, events=events)
        for name, epoch, events in connection.execute(query)
    )


def _winners(rows: Sequence[NewEvent]) -> dict[tuple[str, str], int]:
    """For each (source, id) the position of the event that stands for it, if none is stored."""
    winners: dict[tuple[str, str], int] = {}
    for position, row in enumerate(rows):
        first = winners.setdefault((row.source, row.id), position)
        if first != position and _rank(row) < _rank(rows[first]):
            winners[row.source, row.id] = position
    return winners


def _rank(row: NewEvent) -> tuple[int, str, str]:
    return row.occurred_at, row.payload_digest, row.account


def _stored_firsts(
    connection: Connection, *, owner: str, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], _First]:
    """What is stored under the (source, id) of sorted keys."""
    found: dict[tuple[str, str], _First] = {}
    ids = EVENT_IDS.c
    chosen = select(ids.id, ids.payload_digest, ids.account, ids.received_at)
    for source, group in groupby(keys, key=lambda key: key[0]):
        of_source = [event_id for _, event_id in group]
        for start in range(0, len(of_source), _IDS_AT_ONCE):
            some = of_source[start : start + _IDS_AT_ONCE]
            query = chosen.where(ids.owner == owner, ids.source == source, ids.id.in_(some))
            for event_id, digest, account, received_at in connection.execute(query):
                found[source, event_id] = _First(digest, account, received_at)
    return found


def _verdict(row: NewEvent, *, first: _First, accepted: bool) -> Verdict:
    same = (first.payload_digest, first.account) == (row.payload_digest, row.account)
    kind: VerdictKind = "accepted" if accepted else "duplicate" if same else "conflict"
    return Verdict(
        kind=kind, first_digest=first.payload_digest, first_received_at=first.received_at
    )


_read_dimensions = msgspec.json.Decoder(dict[str, str]).decode
_read_units = msgspec.json.Decoder(dict[str, int]).decode


def _stored(row: Row[Any]) -> StoredEvent:
    return StoredEvent(
        seq=row.seq,
        owner=row.owner,
        source=row.source,
        id=row.id,
        account=row.account,
        occurred_at=row.occurred_at,
        timed_by=row.timed_by,
        model=row.model,
        service_tier=row.service_tier,
        region=row.region,
        request_tokens=row.request_tokens,
        outcome=row.outcome,
        dimensions=_read_dimensions(row.dimensions),
        units=_read_units(row.units),
        epoch=row.epoch,
        received_at=row.received_at,
    )

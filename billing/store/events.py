"""Usage events: appended with a verdict for each, and read back.

Invariant: an identity (owner, source, id) is stored once, for ever; what comes again under it is a
duplicate or a conflict and changes nothing (I11, I12). A verdict does not depend on where an event
stands in its batch (I13).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, groupby
from typing import Any, Literal, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, Select, and_, select

from billing.store.points import reach
from billing.store.rows import append_free, append_rows, json_text, read_counts, read_labels
from billing.store.statements import run
from billing.store.tables import EVENT_IDS, EVENTS
from pricing_rules.document import DocumentError
from pricing_rules.period import Period

VerdictKind = Literal["accepted", "duplicate", "conflict"]

_EVENTS_AT_ONCE = 5_000


class DamagedEventError(DocumentError):
    """An event as this program never stores one."""


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of an event; ``first_*`` is what its identity stands for (itself if accepted)."""

    kind: VerdictKind
    first_digest: str
    first_received_at: int


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


class _First(NamedTuple):
    """What an identity stands for."""

    payload_digest: str
    account: str
    received_at: int


_Key = tuple[str, str]
"""Source and id: an identity of one owner."""

_Shared = tuple[str, int, int]
"""What the events of a batch have in common: owner, epoch and the moment at which they came in."""

_ID_NAMES = tuple(column.name for column in EVENT_IDS.c)
_EVENT_NAMES = tuple(column.name for column in EVENTS.c)

_FIRSTS = "SELECT id, event, payload_digest, account, received_at FROM event_ids WHERE "
_FIRSTS_SQL = {
    "sqlite": f"{_FIRSTS} owner = ? AND source = ? AND id IN (SELECT value FROM json_each(?))",
    # An array, so that the index is searched, whatever the database believes of the table's size.
    "postgresql": f"{_FIRSTS} owner = %s AND source = %s AND id = "
    "ANY (ARRAY(SELECT json_array_elements_text(%s::json)))",
}


def append_events(
    connection: Connection, *, owner: str, rows: Sequence[NewEvent], epoch: int, received_at: int
) -> tuple[Verdict, ...]:
    """Store the events that are new, and say for each what became of it, in the order of ``rows``.

    An identity that is stored wins over what comes; within the rows the first by (occurred_at,
    payload_digest, account) wins. The others are duplicates where digest and account are those of
    the winner, else conflicts. ``epoch`` must have been read in this transaction.
    """
    if not rows:
        return ()
    winners = _winners(rows)
    shared = (owner, epoch, received_at)
    append = _append_beside if connection.dialect.name == "postgresql" else _append_alone
    firsts = append(connection, winners=winners, shared=shared)
    if not firsts and len(winners) == len(rows):
        return tuple(
            Verdict(kind="accepted", first_digest=row.payload_digest, first_received_at=received_at)
            for row in rows
        )
    accepted: set[_Key] = set()
    return tuple(
        _verdict(row, winners=winners, firsts=firsts, accepted=accepted, received_at=received_at)
        for row in rows
    )


def _append_alone(
    connection: Connection, *, winners: Mapping[_Key, NewEvent], shared: _Shared
) -> dict[_Key, _First]:
    """Append the events whose ids are free, and give what the other ids stand for.

    On SQLite nobody else writes meanwhile: the ids are tried, and only where one was taken looked
    up.
    """
    # In key order: the ids of a batch then touch each page of their tree once.
    keys = sorted(winners)
    events = [winners[key] for key in keys]
    following = last_event_seq(connection) + 1
    reach("events.looked_up")
    ids = _id_rows(zip(count(following), events), shared=shared)
    firsts: dict[_Key, _First] = {}
    if append_free(connection, table=EVENT_IDS, names=_ID_NAMES, rows=ids) < len(ids):
        stored = _stored_firsts(connection, owner=shared[0], keys=keys)
        own = dict(zip(keys, count(following)))
        firsts = {key: first for key, (seq, first) in stored.items() if seq != own[key]}
    reach("events.ids_appended")
    new = (
        (seq, event) for seq, key, event in zip(count(following), keys, events) if key not in firsts
    )
    append_rows(connection, table=EVENTS, names=_EVENT_NAMES, rows=_event_rows(new, shared=shared))
    reach("events.appended")
    return firsts


def _append_beside(
    connection: Connection, *, winners: Mapping[_Key, NewEvent], shared: _Shared
) -> dict[_Key, _First]:
    """As ``_append_alone``, on PostgreSQL, where others may take the same ids meanwhile.

    Who comes second to an id waits for the first to end. If that committed, the second is refused
    (``billing.store.faults``: others write the same), and does its work again.
    """
    keys = sorted(winners)
    stored = _stored_firsts(connection, owner=shared[0], keys=keys)
    reach("events.looked_up")
    new = [winners[key] for key in keys if key not in stored]
    seqs = _next_seqs(connection, count=len(new))
    # In key order: no two transactions wait for each other.
    append_rows(
        connection,
        table=EVENT_IDS,
        names=_ID_NAMES,
        rows=_id_rows(zip(seqs, new, strict=True), shared=shared),
    )
    reach("events.ids_appended")
    append_rows(
        connection,
        table=EVENTS,
        names=_EVENT_NAMES,
        rows=_event_rows(zip(seqs, new, strict=True), shared=shared),
    )
    reach("events.appended")
    return {key: first for key, (_, first) in stored.items()}


def last_event_seq(connection: Connection) -> int:
    """The number of the event that was stored last; 0 where there is none."""
    (last,) = run(connection, statement="SELECT max(seq) FROM events").fetchone()
    return int(last or 0)


def _next_seqs(connection: Connection, *, count: int) -> Sequence[int]:
    """Numbers for events, on PostgreSQL; nobody else is given the same."""
    return [seq for (seq,) in run(connection, statement=_NEXT_SEQS, parameters=(count,))]


_NEXT_SEQS = "SELECT nextval(pg_get_serial_sequence('events', 'seq')) FROM generate_series(1, %s)"

_Numbered = Iterable[tuple[int, NewEvent]]
"""Events with their ``seq``."""


def _id_rows(events: _Numbered, *, shared: _Shared) -> list[tuple[Any, ...]]:
    owner, epoch, received_at = shared
    return [
        (owner, one.source, one.id, seq, one.payload_digest, one.account, epoch, received_at)
        for seq, one in events
    ]


def _event_rows(events: _Numbered, *, shared: _Shared) -> list[tuple[Any, ...]]:
    owner, epoch, received_at = shared
    return [
        (
            seq,
            owner,
            one.source,
            one.id,
            one.account,
            one.occurred_at,
            one.timed_by,
            one.model,
            one.service_tier,
            one.region,
            one.request_tokens,
            one.outcome,
            json_text(one.dimensions) if one.dimensions else "{}",
            json_text(one.units),
            epoch,
            received_at,
        )
        for seq, one in events
    ]


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
    query = query.execution_options(yield_per=_EVENTS_AT_ONCE)
    with connection.execute(query) as found:  # it is closed also where an event cannot be read
        for part in found.partitions():
            for row in part:
                yield stored_event(row)


def _winners(rows: Sequence[NewEvent]) -> dict[_Key, NewEvent]:
    """For each (source, id) the event that stands for it, if none is stored."""
    winners: dict[_Key, NewEvent] = {}
    for row in rows:
        key = (row.source, row.id)
        first = winners.setdefault(key, row)
        if first is not row and _rank(row) < _rank(first):
            winners[key] = row
    return winners


def _rank(row: NewEvent) -> tuple[int, str, str]:
    return row.occurred_at, row.payload_digest, row.account


def _stored_firsts(
    connection: Connection, *, owner: str, keys: Sequence[_Key]
) -> dict[_Key, tuple[int, _First]]:
    """The event that is stored under the (source, id) of sorted keys, and what they stand for."""
    found: dict[_Key, tuple[int, _First]] = {}
    statement = _FIRSTS_SQL[connection.dialect.name]
    for source, group in groupby(keys, key=lambda key: key[0]):
        ids = json_text([event_id for _, event_id in group])
        for event_id, seq, *first in run(
            connection, statement=statement, parameters=(owner, source, ids)
        ):
            found[source, event_id] = (seq, _First(*first))
    return found


def _verdict(
    row: NewEvent,
    *,
    winners: Mapping[_Key, NewEvent],
    firsts: Mapping[_Key, _First],
    accepted: set[_Key],
    received_at: int,
) -> Verdict:
    """What became of an event; ``accepted`` are the keys that one was accepted under."""
    key = (row.source, row.id)
    first = firsts.get(key)
    kind: VerdictKind
    if first is None:
        winner = winners[key]
        first = _First(winner.payload_digest, winner.account, received_at)
        if row is winner and key not in accepted:
            accepted.add(key)
            return Verdict(
                kind="accepted", first_digest=row.payload_digest, first_received_at=received_at
            )
    same = (first.payload_digest, first.account) == (row.payload_digest, row.account)
    kind = "duplicate" if same else "conflict"
    return Verdict(
        kind=kind, first_digest=first.payload_digest, first_received_at=first.received_at
    )


def stored_event(row: Row[Any]) -> StoredEvent:
    """The event of a row that begins with all columns of its table, in their order."""
    # Not by the names of the row: to look each one up costs more than all the rest.
    found = dict(zip(_EVENT_NAMES, row, strict=False))
    try:
        found["dimensions"] = read_labels(found["dimensions"])
        found["units"] = read_counts(found["units"])
    except msgspec.DecodeError:
        raise DamagedEventError(
            f"event {row.source}/{row.id}",
            "was changed where it is stored, so that its counts cannot be read; put a backup from "
            "before that in place of the store",
        ) from None
    return StoredEvent(**found)

"""Reading whole tables for ``verify``: nothing is filtered, because damage is found in what is odd.

Invariant: what is read is what stands in the tables, in the order of their keys; a row that has
lost its parent is read too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Select, Table, and_, func, or_, select

from billing.store.deliveries import Delivery
from billing.store.invoices import BilledLine, StoredInvoice
from billing.store.ledger import LedgerTransaction
from billing.store.rows import (
    columns_of,
    read_counts,
    read_labels,
    read_records,
    select_records,
)
from billing.store.tables import (
    AUDIT,
    CORRECTIONS,
    DELIVERIES,
    EPOCHS,
    EVENT_IDS,
    EVENTS,
    INVOICE_LINES,
    INVOICES,
    LEDGER_ENTRIES,
    LEDGER_TRANSACTIONS,
    NUMBER_SERIES,
    REFUSALS,
    USAGE_TOTALS,
)
from pricing_rules.document import JsonValue

_EVENTS_AT_ONCE = 5_000

_read_object = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSeries:
    """Where the counter of a number series stands."""

    issuer: str
    series: str
    next_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedEntry:
    """An entry with the transaction that it belongs to."""

    transaction_id: str
    entry: int
    ledger_account: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedCommand:
    """What the audit says of a command: on what it was run, and its detail.

    ``detail``: empty where that cannot be read, which nothing but an editor makes.
    """

    subject: str
    detail: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventIdentity:
    """The identity of an event."""

    owner: str
    source: str
    id: str


class StoredContent(NamedTuple):
    """What is stored of the content of an event, and the digest of that which took its id."""

    source: str
    id: str
    account: str
    occurred_at: int
    timed_by: str
    received_at: int
    model: str
    service_tier: str
    region: str
    request_tokens: int
    outcome: str
    dimensions: Mapping[str, str]
    units: Mapping[str, int]
    payload_digest: str


def read_all_invoices(connection: Connection) -> tuple[StoredInvoice, ...]:
    """Every invoice by issuer, series and number."""
    return _all(connection, table=INVOICES, record=StoredInvoice)


def read_all_lines(connection: Connection) -> tuple[BilledLine, ...]:
    """Every line by invoice and line."""
    query = select(*columns_of(BilledLine, table=INVOICE_LINES))
    query = query.order_by(*INVOICE_LINES.primary_key)
    return read_records(connection, query=query, record=BilledLine)


def read_all_number_series(connection: Connection) -> tuple[NumberSeries, ...]:
    """Every number series with its counter."""
    return _all(connection, table=NUMBER_SERIES, record=NumberSeries)


def read_all_transactions(connection: Connection) -> tuple[LedgerTransaction, ...]:
    """Every transaction of the ledger by id."""
    return _all(connection, table=LEDGER_TRANSACTIONS, record=LedgerTransaction)


def read_all_entries(connection: Connection) -> tuple[PostedEntry, ...]:
    """Every entry by transaction, in order."""
    return _all(connection, table=LEDGER_ENTRIES, record=PostedEntry)


def read_all_audit(connection: Connection, *, command: str) -> tuple[AuditedCommand, ...]:
    """Every audit row of a command, in the order in which they were recorded."""
    query = select(AUDIT.c.subject, AUDIT.c.detail).where(AUDIT.c.command == command)
    return tuple(
        AuditedCommand(subject=subject, detail=_audited(detail))
        for subject, detail in connection.execute(query.order_by(AUDIT.c.seq))
    )


def _audited(detail: str) -> Mapping[str, JsonValue]:
    try:
        return _read_object(detail)
    except msgspec.DecodeError:
        return {}


def read_all_epochs(connection: Connection) -> tuple[tuple[int, int], ...]:
    """Every epoch that was sealed, with the moment at which it was, in order."""
    query = select(EPOCHS.c.epoch, EPOCHS.c.sealed_at).order_by(EPOCHS.c.epoch)
    return tuple((epoch, sealed_at) for epoch, sealed_at in connection.execute(query))


def last_epochs(connection: Connection) -> dict[str, int]:
    """The highest epoch of events, totals and corrections, by what they are called."""
    tables = {"events": EVENTS, "totals": USAGE_TOTALS, "corrections": CORRECTIONS}
    return {
        name: connection.scalar(select(func.max(table.c.epoch))) or 0
        for name, table in tables.items()
    }


def read_all_deliveries(connection: Connection) -> tuple[Delivery, ...]:
    """Every delivery by its name."""
    return _all(connection, table=DELIVERIES, record=Delivery)


def count_refusals(connection: Connection) -> dict[str, dict[str, int]]:
    """How many refused rows each delivery has, by verdict."""
    query = select(REFUSALS.c.delivery, REFUSALS.c.verdict, func.count())
    query = query.group_by(REFUSALS.c.delivery, REFUSALS.c.verdict)
    found: dict[str, dict[str, int]] = {}
    for delivery, verdict, rows in connection.execute(query):
        found.setdefault(delivery, {})[verdict] = rows
    return found


def accounts_with_events(connection: Connection) -> tuple[str, ...]:
    """The accounts that have events, sorted."""
    query = select(EVENTS.c.account).distinct().order_by(EVENTS.c.account)
    return tuple(connection.scalars(query))


def count_identities(connection: Connection) -> int:
    """How many identities of events there are."""
    return connection.scalar(select(func.count()).select_from(EVENT_IDS)) or 0


def count_all_events(connection: Connection) -> int:
    """How many events there are."""
    return connection.scalar(select(func.count()).select_from(EVENTS)) or 0


def read_contents(connection: Connection) -> Iterator[StoredContent]:
    """The content of each event, a few thousand in memory at a time, in no order; those without an
    id are left out.
    """
    names = StoredContent._fields[:-1]
    query: Select[Any] = select(*(EVENTS.c[name] for name in names), EVENT_IDS.c.payload_digest)
    query = query.join(EVENT_IDS, EVENT_IDS.c.event == EVENTS.c.seq)
    found = connection.execute(query.execution_options(yield_per=_EVENTS_AT_ONCE))
    for part in found.partitions():
        for *fixed, dimensions, units, digest in part:
            try:
                decoded = read_labels(dimensions), read_counts(units)
            except msgspec.DecodeError:
                decoded = {}, {}  # its account, which has no sum now, is named, too
            yield StoredContent._make((*fixed, *decoded, digest))


def _all(connection: Connection, *, table: Table, record: type[Any]) -> tuple[Any, ...]:
    query = select_records(record, table=table).order_by(*table.primary_key)
    return read_records(connection, query=query, record=record)


def identities_of_other_events(connection: Connection) -> Iterator[EventIdentity]:
    """Identities whose event has another account, epoch or moment at which it came in, or which
    name another event than the one that bears them.
    """
    names = ("owner", "source", "id")
    differ = or_(
        *(EVENT_IDS.c[name] != EVENTS.c[name] for name in ("account", "epoch", "received_at")),
        *(EVENT_IDS.c[name] != EVENTS.c[name] for name in names),
    )
    query: Select[Any] = (
        select(*(EVENT_IDS.c[name] for name in names))
        .join(EVENTS, EVENT_IDS.c.event == EVENTS.c.seq)
        .where(differ)
        .order_by(*(EVENT_IDS.c[name] for name in names))
    )
    for owner, source, event_id in connection.execute(query):
        yield EventIdentity(owner=owner, source=source, id=event_id)


def identities_without_event(connection: Connection) -> Iterator[EventIdentity]:
    """Identities that were accepted and whose event is not there."""
    names = ("owner", "source", "id")
    query: Select[Any] = (
        select(*(EVENT_IDS.c[name] for name in names))
        .outerjoin(EVENTS, EVENT_IDS.c.event == EVENTS.c.seq)
        .where(EVENTS.c.seq.is_(None))
        .order_by(*(EVENT_IDS.c[name] for name in names))
    )
    for owner, source, event_id in connection.execute(query):
        yield EventIdentity(owner=owner, source=source, id=event_id)


def events_without_identity(connection: Connection) -> Iterator[EventIdentity]:
    """Events that were stored past the table of identities, or a second time under one."""
    names = ("owner", "source", "id")
    same = and_(
        *(EVENTS.c[name] == EVENT_IDS.c[name] for name in names),
        EVENTS.c.seq == EVENT_IDS.c.event,
    )
    query: Select[Any] = (
        select(*(EVENTS.c[name] for name in names))
        .outerjoin(EVENT_IDS, same)
        .where(EVENT_IDS.c.id.is_(None))
        .order_by(*(EVENTS.c[name] for name in names))
    )
    for owner, source, event_id in connection.execute(query):
        yield EventIdentity(owner=owner, source=source, id=event_id)

"""Deliveries: the committed counters of each batch that came in, and its refused rows.

Invariant: received = accepted + duplicate + conflict + rejected, in the same transaction as the
events; a batch that is recorded was stored whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from billing.store.points import reach
from billing.store.rows import append_record, append_rows, read_records, select_records, whole_sum
from billing.store.tables import DELIVERIES, REFUSALS


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of the rows of one batch, from ``first_row`` of ``file`` on."""

    delivery: str
    file: str
    first_row: int
    received: int
    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    received_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A row that was not accepted: ``verdict`` is rejected, conflict or duplicate."""

    row: int
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySums:
    """The counters of all deliveries, summed."""

    received: int
    accepted: int
    duplicate: int
    conflict: int
    rejected: int


def append_delivery(
    connection: Connection, *, delivery: Delivery, refusals: Sequence[Refusal]
) -> None:
    """Record a batch and its refused rows; its name must be free."""
    append_record(connection, table=DELIVERIES, record=delivery)
    reach("delivery.appended")
    append_rows(
        connection,
        table=REFUSALS,
        names=("delivery", "row", "verdict", "reason"),
        rows=[(delivery.delivery, r.row, r.verdict, r.reason) for r in refusals],
    )
    reach("delivery.refusals_appended")


def read_delivery(connection: Connection, *, delivery: str) -> Delivery | None:
    """The counters of one batch; None where it was never stored."""
    query = select_records(Delivery, table=DELIVERIES).where(DELIVERIES.c.delivery == delivery)
    return next(iter(read_records(connection, query=query, record=Delivery)), None)


def read_refusals(connection: Connection, *, delivery: str) -> tuple[Refusal, ...]:
    """The refused rows of one batch, by row."""
    query = select_records(Refusal, table=REFUSALS).where(REFUSALS.c.delivery == delivery)
    return read_records(connection, query=query.order_by(REFUSALS.c.row), record=Refusal)


def sum_deliveries(connection: Connection) -> DeliverySums:
    """What was received and what became of it, over all deliveries."""
    names = ("received", "accepted", "duplicate", "conflict", "rejected")
    query = select(*(func.coalesce(whole_sum(DELIVERIES.c[name]), 0) for name in names))
    return DeliverySums(**dict(zip(names, connection.execute(query).one(), strict=True)))

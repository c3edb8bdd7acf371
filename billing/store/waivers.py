"""Waivers: unpriced usage that a person decided not to bill.

Invariant: a waiver is given once for an account, period, model, service tier and unit, with its
reason, and stands.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from billing.store.points import reach
from billing.store.rows import append_record, read_records, select_records
from billing.store.tables import WAIVERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """What is waived, why, by whom and when."""

    account: str
    period_start_at: int
    model: str
    service_tier: str
    unit: str
    reason: str
    by: str
    waived_at: int


def append_waiver(connection: Connection, *, waiver: Waiver) -> None:
    """Store a waiver; what it waives must not be waived yet."""
    append_record(connection, table=WAIVERS, record=waiver)
    reach("waiver.appended")


def read_waivers(connection: Connection, *, account: str) -> tuple[Waiver, ...]:
    """The waivers of an account, by period, model, service tier and unit."""
    query = select_records(Waiver, table=WAIVERS).where(WAIVERS.c.account == account)
    query = query.order_by(*WAIVERS.primary_key)
    return read_records(connection, query=query, record=Waiver)

"""The audit: one row for every command that changed something.

Invariant: the row is appended in the transaction of the command, so that there is one exactly when
the command took effect.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from billing.store.points import reach
from billing.store.rows import append_rows, read_records, select_records
from billing.store.tables import AUDIT
from pricing_rules.document import JsonValue, canonical_json


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Which command was run on what, by whom; ``detail`` is canonical JSON."""

    seq: int
    command: str
    subject: str
    by: str
    detail: str
    recorded_at: int


def append_audit(
    connection: Connection,
    *,
    command: str,
    subject: str,
    by: str,
    detail: JsonValue,
    recorded_at: int,
) -> None:
    """Record a command; ``detail`` is a JSON value without floats."""
    append_rows(
        connection,
        table=AUDIT,
        names=("command", "subject", "by", "detail", "recorded_at"),
        rows=[(command, subject, by, canonical_json(detail).decode(), recorded_at)],
    )
    reach("audit.appended")


def read_audit(connection: Connection, *, limit: int, after_seq: int = 0) -> tuple[AuditEntry, ...]:
    """At most ``limit`` entries in the order in which they were recorded, from ``after_seq`` on."""
    query = select_records(AuditEntry, table=AUDIT).where(AUDIT.c.seq > after_seq)
    query = query.order_by(AUDIT.c.seq).limit(limit)
    return read_records(connection, query=query, record=AuditEntry)

"""The tables of corrections: what was voided, amended or backfilled, and what is staged for it.

A correction is a row of ``corrections``, and for each event that it touches a row of
``event_corrections``: its first step voids the event, the second restores it, the third voids it
again. An event counts while the number of its steps is even.

Invariant: as in ``billing.store.tables``, which names them all; no event has the same step twice.
"""

from __future__ import annotations

from typing import get_args

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, column
from sqlmodel import Field

from billing.store.correction_details import CorrectionKind
from billing.store.table_parts import KEYED, STRICT, StoredRow, Whole, Words, at_least, named


class CorrectionRow(StoredRow, table=True):
    """That events were corrected, by whom, why, and in which epoch.

    Those of one account have ``seq`` in the order in which they were made; a clock may go back.
    """

    __tablename__ = "corrections"
    __table_args__ = (
        UniqueConstraint("correction"),
        UniqueConstraint("reverts"),
        ForeignKeyConstraint(["reverts"], ["corrections.correction"]),
        Index(None, "account", "seq"),
        *named("correction", "account", "reason", "by", "detail"),
        CheckConstraint(column("kind").in_(get_args(CorrectionKind)), name="kind_known"),
        *at_least(1, "epoch"),
        *at_least(0, "recorded_at"),
        STRICT,
    )

    seq: int = Field(primary_key=True, sa_type=Whole)
    correction: str = Field(sa_type=Words)
    kind: str = Field(sa_type=Words)
    account: str = Field(sa_type=Words)
    reason: str = Field(sa_type=Words)
    by: str = Field(sa_type=Words)
    reverts: str | None = Field(sa_type=Words)
    detail: str = Field(sa_type=Words)
    epoch: int = Field(sa_type=Whole)
    recorded_at: int = Field(sa_type=Whole)


class EventCorrectionRow(StoredRow, table=True):
    """One step of one event: odd steps void it, even ones restore it; ``event`` is its ``seq``."""

    __tablename__ = "event_corrections"
    __table_args__ = (
        UniqueConstraint("event", "step"),
        ForeignKeyConstraint(["event"], ["events.seq"]),
        ForeignKeyConstraint(["correction"], ["corrections.correction"]),
        Index(None, "account"),
        Index(None, "correction"),
        *named("account", "correction"),
        *at_least(1, "step", "epoch"),
        STRICT,
    )

    seq: int = Field(primary_key=True, sa_type=Whole)
    event: int = Field(sa_type=Whole)
    step: int = Field(sa_type=Whole)
    account: str = Field(sa_type=Words)
    epoch: int = Field(sa_type=Whole)
    correction: str = Field(sa_type=Words)


class BackfillRow(StoredRow, table=True):
    """That the usage of an account in a range is to be stated anew; its id is the correction's.

    They have ``seq`` in the order in which they were opened; a clock may go back.
    """

    __tablename__ = "backfills"
    __table_args__ = (
        UniqueConstraint("backfill"),
        Index(None, "account", "seq"),
        *named("backfill", "account", "reason", "by"),
        *at_least(0, "start_at", "opened_at"),
        CheckConstraint(column("start_at") < column("end_at"), name="ends_later"),
        STRICT,
    )

    seq: int = Field(primary_key=True, sa_type=Whole)
    backfill: str = Field(sa_type=Words)
    account: str = Field(sa_type=Words)
    start_at: int = Field(sa_type=Whole)
    end_at: int = Field(sa_type=Whole)
    reason: str = Field(sa_type=Words)
    by: str = Field(sa_type=Words)
    opened_at: int = Field(sa_type=Whole)


class BackfillEventRow(StoredRow, table=True):
    """An event that is staged for a backfill; it counts nowhere until that is applied."""

    __tablename__ = "backfill_events"
    __table_args__ = (
        ForeignKeyConstraint(["backfill"], ["backfills.backfill"]),
        *named("owner", "source", "id", "payload_digest", "model", "service_tier", "outcome"),
        *at_least(0, "occurred_at", "request_tokens"),
        KEYED,
    )

    backfill: str = Field(primary_key=True, sa_type=Words)
    owner: str = Field(primary_key=True, sa_type=Words)
    source: str = Field(primary_key=True, sa_type=Words)
    id: str = Field(primary_key=True, sa_type=Words)
    payload_digest: str = Field(sa_type=Words)
    occurred_at: int = Field(sa_type=Whole)
    model: str = Field(sa_type=Words)
    service_tier: str = Field(sa_type=Words)
    region: str = Field(sa_type=Words)
    request_tokens: int = Field(sa_type=Whole)
    outcome: str = Field(sa_type=Words)
    dimensions: str = Field(sa_type=Words)
    units: str = Field(sa_type=Words)

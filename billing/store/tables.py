"""The tables of the store.

They are never used to validate: what comes in was checked at the edge, and the constraints here are
the last line. Moments are microseconds since 1970 UTC, JSON is canonical JSON text, amounts are
minor units or exact texts.

Invariant: these models and the schema that the migrations make are the same, constraint for
constraint (tests/billing/store/test_schema.py), and every table is STRICT on SQLite.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    MetaData,
    UniqueConstraint,
    column,
    func,
)
from sqlalchemy.sql.schema import SchemaItem
from sqlmodel import Field, SQLModel

from billing.store.column_types import Whole, Words

REVISION = "0001"
"""The migration at which the schema equals these models; a store at another one is not opened."""

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
    }
)

APPEND_ONLY = (
    "event_ids",
    "events",
    "grid_versions",
    "price_books",
    "agreements",
    "epochs",
    "deliveries",
    "refusals",
    "invoices",
    "invoice_lines",
    "ledger_transactions",
    "ledger_entries",
    "waivers",
    "audit",
)
"""Tables of facts: their rows are inserted, never edited and never removed (by trigger)."""

STRICT = {"sqlite_strict": True}
KEYED = {"sqlite_strict": True, "sqlite_with_rowid": False}
"""STRICT, and stored in the order of the primary key: one tree where there would be two."""


def _named(*names: str) -> tuple[SchemaItem, ...]:
    """Texts that are never empty."""
    return tuple(CheckConstraint(column(name) != "", name=f"{name}_named") for name in names)


def _at_least(least: int, *names: str) -> tuple[SchemaItem, ...]:
    """Whole numbers with a lower bound."""
    return tuple(CheckConstraint(column(name) >= least, name=f"{name}_bounded") for name in names)


class StoredRow(SQLModel):
    """A row of a table of the store."""

    metadata = METADATA


class EventIdRow(StoredRow, table=True):
    """That an event id was taken, and by what; never pruned, so that an id lives for ever."""

    __tablename__ = "event_ids"
    __table_args__ = (
        *_named("owner", "source", "id", "payload_digest", "account"),
        *_at_least(1, "epoch"),
        *_at_least(0, "received_at"),
        KEYED,
    )

    owner: str = Field(primary_key=True, sa_type=Words)
    source: str = Field(primary_key=True, sa_type=Words)
    id: str = Field(primary_key=True, sa_type=Words)
    payload_digest: str = Field(sa_type=Words)
    account: str = Field(sa_type=Words)
    epoch: int = Field(sa_type=Whole)
    received_at: int = Field(sa_type=Whole)


class EventRow(StoredRow, table=True):
    """A usage event: ``units`` are its leaf counts, ``dimensions`` all that it came with."""

    __tablename__ = "events"
    __table_args__ = (
        UniqueConstraint("owner", "source", "id"),
        ForeignKeyConstraint(
            ["owner", "source", "id"], ["event_ids.owner", "event_ids.source", "event_ids.id"]
        ),
        Index(None, "account", "occurred_at"),
        *_named("owner", "source", "id", "account", "model", "service_tier", "outcome"),
        *_at_least(1, "epoch"),
        *_at_least(0, "occurred_at", "request_tokens", "received_at"),
        STRICT,
    )

    seq: int = Field(primary_key=True, sa_type=Whole)
    owner: str = Field(sa_type=Words)
    source: str = Field(sa_type=Words)
    id: str = Field(sa_type=Words)
    account: str = Field(sa_type=Words)
    occurred_at: int = Field(sa_type=Whole)
    model: str = Field(sa_type=Words)
    service_tier: str = Field(sa_type=Words)
    region: str = Field(sa_type=Words)
    request_tokens: int = Field(sa_type=Whole)
    outcome: str = Field(sa_type=Words)
    dimensions: str = Field(sa_type=Words)
    units: str = Field(sa_type=Words)
    epoch: int = Field(sa_type=Whole)
    received_at: int = Field(sa_type=Whole)


class UsageTotalRow(StoredRow, table=True):
    """The sum of one leaf over one cell; the unit ``requests`` holds the number of events."""

    __tablename__ = "usage_totals"
    __table_args__ = (
        *_named("account", "model", "service_tier", "outcome", "unit"),
        *_at_least(1, "epoch"),
        *_at_least(0, "segment_start_at", "size_class_tokens", "count"),
        KEYED,
    )

    account: str = Field(primary_key=True, sa_type=Words)
    epoch: int = Field(primary_key=True, sa_type=Whole)
    segment_start_at: int = Field(primary_key=True, sa_type=Whole)
    size_class_tokens: int = Field(primary_key=True, sa_type=Whole)
    model: str = Field(primary_key=True, sa_type=Words)
    service_tier: str = Field(primary_key=True, sa_type=Words)
    region: str = Field(primary_key=True, sa_type=Words)
    outcome: str = Field(primary_key=True, sa_type=Words)
    dimensions: str = Field(primary_key=True, sa_type=Words)
    unit: str = Field(primary_key=True, sa_type=Words)
    count: int = Field(sa_type=Whole)


class GridVersionRow(StoredRow, table=True):
    """The cuts that hold for all accounts, from one registration to the next."""

    __tablename__ = "grid_versions"
    __table_args__ = (
        *_at_least(1, "version"),
        *_named("thresholds", "dimensions", "instants", "reason"),
        *_at_least(0, "registered_at"),
        STRICT,
    )

    version: int = Field(primary_key=True, sa_type=Whole)
    thresholds: str = Field(sa_type=Words)
    dimensions: str = Field(sa_type=Words)
    instants: str = Field(sa_type=Words)
    reason: str = Field(sa_type=Words)
    registered_at: int = Field(sa_type=Whole)


class AccountGridRow(StoredRow, table=True):
    """Under which versions the totals of an account were built (0: none was there yet)."""

    __tablename__ = "account_grids"
    __table_args__ = (
        *_named("account"),
        *_at_least(0, "grid_version", "agreement_version"),
        STRICT,
    )

    account: str = Field(primary_key=True, sa_type=Words)
    grid_version: int = Field(sa_type=Whole)
    agreement_version: int = Field(sa_type=Whole)


class PriceBookRow(StoredRow, table=True):
    """A published price book."""

    __tablename__ = "price_books"
    __table_args__ = (
        *_named("series", "digest", "document"),
        *_at_least(1, "number"),
        *_at_least(0, "effective_from", "published_at"),
        STRICT,
    )

    series: str = Field(primary_key=True, sa_type=Words)
    number: int = Field(primary_key=True, sa_type=Whole)
    effective_from: int = Field(sa_type=Whole)
    published_at: int = Field(sa_type=Whole)
    digest: str = Field(sa_type=Words)
    document: str = Field(sa_type=Words)


class AgreementRow(StoredRow, table=True):
    """What one account accepted, in versions."""

    __tablename__ = "agreements"
    __table_args__ = (
        *_named("account", "digest", "document"),
        *_at_least(1, "version"),
        *_at_least(0, "effective_from", "accepted_at"),
        STRICT,
    )

    account: str = Field(primary_key=True, sa_type=Words)
    version: int = Field(primary_key=True, sa_type=Whole)
    effective_from: int = Field(sa_type=Whole)
    accepted_at: int = Field(sa_type=Whole)
    digest: str = Field(sa_type=Words)
    document: str = Field(sa_type=Words)


class EpochRow(StoredRow, table=True):
    """A sealed epoch; the current one is one more than the last of these."""

    __tablename__ = "epochs"
    __table_args__ = (*_at_least(1, "epoch"), *_at_least(0, "sealed_at"), STRICT)

    epoch: int = Field(primary_key=True, sa_type=Whole)
    sealed_at: int = Field(sa_type=Whole)


class DeliveryRow(StoredRow, table=True):
    """What became of one batch of one file, committed with its events."""

    __tablename__ = "deliveries"
    __table_args__ = (
        *_named("delivery", "file"),
        *_at_least(1, "first_row"),
        *_at_least(0, "received", "accepted", "duplicate", "conflict", "rejected", "received_at"),
        CheckConstraint(
            column("received")
            == column("accepted") + column("duplicate") + column("conflict") + column("rejected"),
            name="adds_up",
        ),
        STRICT,
    )

    delivery: str = Field(primary_key=True, sa_type=Words)
    file: str = Field(sa_type=Words)
    first_row: int = Field(sa_type=Whole)
    received: int = Field(sa_type=Whole)
    accepted: int = Field(sa_type=Whole)
    duplicate: int = Field(sa_type=Whole)
    conflict: int = Field(sa_type=Whole)
    rejected: int = Field(sa_type=Whole)
    received_at: int = Field(sa_type=Whole)


class RefusalRow(StoredRow, table=True):
    """A row of a delivery that was not accepted, and why."""

    __tablename__ = "refusals"
    __table_args__ = (
        ForeignKeyConstraint(["delivery"], ["deliveries.delivery"]),
        *_named("delivery", "verdict", "reason"),
        *_at_least(1, "row"),
        STRICT,
    )

    delivery: str = Field(primary_key=True, sa_type=Words)
    row: int = Field(primary_key=True, sa_type=Whole)
    verdict: str = Field(sa_type=Words)
    reason: str = Field(sa_type=Words)


class NumberSeriesRow(StoredRow, table=True):
    """The counter from which the invoices of a series are numbered without gaps."""

    __tablename__ = "number_series"
    __table_args__ = (*_named("issuer", "series"), *_at_least(1, "next_number"), STRICT)

    issuer: str = Field(primary_key=True, sa_type=Words)
    series: str = Field(primary_key=True, sa_type=Words)
    next_number: int = Field(sa_type=Whole)


class InvoiceRow(StoredRow, table=True):
    """A finalized invoice; one for each account, period and epoch that it was closed through."""

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("account", "period_start_at", "through_epoch"),
        *_named("issuer", "series", "account", "digest", "document"),
        *_at_least(1, "number", "through_epoch"),
        *_at_least(0, "period_start_at", "finalized_at"),
        CheckConstraint(column("period_start_at") < column("period_end_at"), name="period"),
        CheckConstraint(func.length(column("currency")) == 3, name="currency_named"),
        STRICT,
    )

    issuer: str = Field(primary_key=True, sa_type=Words)
    series: str = Field(primary_key=True, sa_type=Words)
    number: int = Field(primary_key=True, sa_type=Whole)
    account: str = Field(sa_type=Words)
    period_start_at: int = Field(sa_type=Whole)
    period_end_at: int = Field(sa_type=Whole)
    through_epoch: int = Field(sa_type=Whole)
    currency: str = Field(sa_type=Words)
    total_minor: int = Field(sa_type=Whole)
    digest: str = Field(sa_type=Words)
    document: str = Field(sa_type=Words)
    finalized_at: int = Field(sa_type=Whole)


class InvoiceLineRow(StoredRow, table=True):
    """A line of an invoice; ``period_start_at`` is that of the usage, quantities have a sign."""

    __tablename__ = "invoice_lines"
    __table_args__ = (
        ForeignKeyConstraint(
            ["issuer", "series", "number"],
            ["invoices.issuer", "invoices.series", "invoices.number"],
        ),
        *_named("kind", "amount_exact"),
        *_at_least(1, "line"),
        *_at_least(0, "period_start_at"),
        STRICT,
    )

    issuer: str = Field(primary_key=True, sa_type=Words)
    series: str = Field(primary_key=True, sa_type=Words)
    number: int = Field(primary_key=True, sa_type=Whole)
    line: int = Field(primary_key=True, sa_type=Whole)
    kind: str = Field(sa_type=Words)
    period_start_at: int = Field(sa_type=Whole)
    model: str = Field(sa_type=Words)
    service_tier: str = Field(sa_type=Words)
    unit: str = Field(sa_type=Words)
    quantity: int = Field(sa_type=Whole)
    amount_exact: str = Field(sa_type=Words)
    amount_minor: int = Field(sa_type=Whole)

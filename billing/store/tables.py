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
    column,
)
from sqlmodel import Field

import billing.store.api_key_tables
import billing.store.command_tables
import billing.store.correction_tables
import billing.store.invoice_tables
import billing.store.webhook_tables  # noqa: F401 (they fill METADATA)
from billing.store.table_parts import (
    GIVEN,
    KEYED,
    METADATA,
    STRICT,
    StoredRow,
    Whole,
    Words,
    at_least,
    named,
)

REVISION = "0008"
"""The migration at which the schema equals these models; a store at another one is not opened."""

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
    "corrections",
    "event_corrections",
    "backfills",
    "webhook_endpoints",
    "webhook_retirements",
    "webhook_secrets",
    "webhook_messages",
    "api_keys",
    "api_key_revocations",
    "api_key_limits",
    "command_answers",
    "audit",
)
"""Tables of facts: their rows are inserted, never edited and never removed (by trigger)."""


class EventIdRow(StoredRow, table=True):
    """That an event id was taken, and by what; never pruned, so that an id lives for ever.

    ``event``: the ``seq`` of the event.
    """

    __tablename__ = "event_ids"
    __table_args__ = (
        *named("owner", "source", "id", "payload_digest", "account"),
        *at_least(1, "event", "epoch"),
        *at_least(0, "received_at"),
        KEYED,
    )

    owner: str = Field(primary_key=True, sa_type=Words)
    source: str = Field(primary_key=True, sa_type=Words)
    id: str = Field(primary_key=True, sa_type=Words)
    event: int = Field(sa_type=Whole)
    payload_digest: str = Field(sa_type=Words)
    account: str = Field(sa_type=Words)
    epoch: int = Field(sa_type=Whole)
    received_at: int = Field(sa_type=Whole)


class EventRow(StoredRow, table=True):
    """A usage event: ``units`` are its leaf counts, ``dimensions`` all that it came with.

    ``timed_by``: "event" where it stated its moment, "receipt" where that is when it came in.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "account", "occurred_at"),
        CheckConstraint(column("timed_by").in_(("event", "receipt")), name="timed_by_known"),
        *named("owner", "source", "id", "account", "model", "service_tier", "outcome"),
        *at_least(1, "epoch"),
        *at_least(0, "occurred_at", "request_tokens", "received_at"),
        STRICT,
    )

    seq: int = Field(primary_key=True, sa_type=Whole)
    owner: str = Field(sa_type=Words)
    source: str = Field(sa_type=Words)
    id: str = Field(sa_type=Words)
    account: str = Field(sa_type=Words)
    occurred_at: int = Field(sa_type=Whole)
    timed_by: str = Field(sa_type=Words)
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
    """The sums over one cell: how many events, and their leaves, an object of those not zero.

    They are negative where more was voided in an epoch than came in.
    """

    __tablename__ = "usage_totals"
    __table_args__ = (
        *named("account", "model", "service_tier", "outcome", "windows", "leaves"),
        *at_least(1, "epoch"),
        *at_least(0, "segment_start_at", "size_class_tokens"),
        {**KEYED, "postgresql_with": {"fillfactor": 50}},
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
    windows: str = Field(primary_key=True, sa_type=Words)
    events: int = Field(sa_type=Whole)
    leaves: str = Field(sa_type=Words)


class GridVersionRow(StoredRow, table=True):
    """The cuts that hold for all accounts, from one registration to the next."""

    __tablename__ = "grid_versions"
    __table_args__ = (
        *at_least(1, "version"),
        *named("thresholds", "dimensions", "instants", "windows", "calendar_cuts", "reason"),
        *at_least(0, "registered_at"),
        STRICT,
    )

    version: int = Field(primary_key=True, sa_type=Whole, sa_column_kwargs=GIVEN)
    thresholds: str = Field(sa_type=Words)
    dimensions: str = Field(sa_type=Words)
    instants: str = Field(sa_type=Words)
    windows: str = Field(sa_type=Words)
    calendar_cuts: str = Field(sa_type=Words)
    reason: str = Field(sa_type=Words)
    registered_at: int = Field(sa_type=Whole)


class AccountGridRow(StoredRow, table=True):
    """Under which versions the totals of an account were built (0: none was there yet)."""

    __tablename__ = "account_grids"
    __table_args__ = (
        *named("account"),
        *at_least(0, "grid_version", "agreement_version"),
        STRICT,
    )

    account: str = Field(primary_key=True, sa_type=Words)
    grid_version: int = Field(sa_type=Whole)
    agreement_version: int = Field(sa_type=Whole)


class PriceBookRow(StoredRow, table=True):
    """A published price book."""

    __tablename__ = "price_books"
    __table_args__ = (
        *named("series", "digest", "document"),
        *at_least(1, "number"),
        *at_least(0, "effective_from", "published_at"),
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
        *named("account", "digest", "document"),
        *at_least(1, "version"),
        *at_least(0, "effective_from", "accepted_at"),
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
    __table_args__ = (*at_least(1, "epoch"), *at_least(0, "sealed_at"), STRICT)

    epoch: int = Field(primary_key=True, sa_type=Whole, sa_column_kwargs=GIVEN)
    sealed_at: int = Field(sa_type=Whole)


class DeliveryRow(StoredRow, table=True):
    """What became of one batch of one file, committed with its events."""

    __tablename__ = "deliveries"
    __table_args__ = (
        *named("delivery", "file"),
        *at_least(1, "first_row"),
        *at_least(0, "received", "accepted", "duplicate", "conflict", "rejected", "received_at"),
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
        *named("delivery", "verdict", "reason"),
        *at_least(1, "row"),
        STRICT,
    )

    delivery: str = Field(primary_key=True, sa_type=Words)
    row: int = Field(primary_key=True, sa_type=Whole)
    verdict: str = Field(sa_type=Words)
    reason: str = Field(sa_type=Words)


class AuditRow(StoredRow, table=True):
    """That a command was run, by whom, and on what."""

    __tablename__ = "audit"
    __table_args__ = (
        *named("command", "subject", "by", "detail"),
        *at_least(0, "recorded_at"),
        STRICT,
    )

    seq: int = Field(primary_key=True, sa_type=Whole)
    command: str = Field(sa_type=Words)
    subject: str = Field(sa_type=Words)
    by: str = Field(sa_type=Words)
    detail: str = Field(sa_type=Words)
    recorded_at: int = Field(sa_type=Whole)


EVENT_IDS = METADATA.tables["event_ids"]
EVENTS = METADATA.tables["events"]
USAGE_TOTALS = METADATA.tables["usage_totals"]
GRID_VERSIONS = METADATA.tables["grid_versions"]
ACCOUNT_GRIDS = METADATA.tables["account_grids"]
PRICE_BOOKS = METADATA.tables["price_books"]
AGREEMENTS = METADATA.tables["agreements"]
EPOCHS = METADATA.tables["epochs"]
DELIVERIES = METADATA.tables["deliveries"]
REFUSALS = METADATA.tables["refusals"]
NUMBER_SERIES = METADATA.tables["number_series"]
INVOICES = METADATA.tables["invoices"]
INVOICE_LINES = METADATA.tables["invoice_lines"]
LEDGER_TRANSACTIONS = METADATA.tables["ledger_transactions"]
LEDGER_ENTRIES = METADATA.tables["ledger_entries"]
WAIVERS = METADATA.tables["waivers"]
CORRECTIONS = METADATA.tables["corrections"]
EVENT_CORRECTIONS = METADATA.tables["event_corrections"]
BACKFILLS = METADATA.tables["backfills"]
BACKFILL_EVENTS = METADATA.tables["backfill_events"]
WEBHOOK_ENDPOINTS = METADATA.tables["webhook_endpoints"]
WEBHOOK_RETIREMENTS = METADATA.tables["webhook_retirements"]
WEBHOOK_SECRETS = METADATA.tables["webhook_secrets"]
WEBHOOK_MESSAGES = METADATA.tables["webhook_messages"]
WEBHOOK_SENDINGS = METADATA.tables["webhook_sendings"]
API_KEYS = METADATA.tables["api_keys"]
API_KEY_REVOCATIONS = METADATA.tables["api_key_revocations"]
API_KEY_LIMITS = METADATA.tables["api_key_limits"]
COMMAND_ANSWERS = METADATA.tables["command_answers"]
AUDIT = METADATA.tables["audit"]

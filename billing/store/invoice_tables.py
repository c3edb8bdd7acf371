"""The tables of invoices and of the ledger, and what belongs to them.

Invariant: as in ``billing.store.tables``, which names them all.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    UniqueConstraint,
    and_,
    column,
    func,
    or_,
)
from sqlmodel import Field

from billing.store.table_parts import (
    STRICT,
    StoredRow,
    Whole,
    Words,
    at_least,
    named,
)


class NumberSeriesRow(StoredRow, table=True):
    """The counter from which the invoices of a series are numbered without gaps."""

    __tablename__ = "number_series"
    __table_args__ = (*named("issuer", "series"), *at_least(1, "next_number"), STRICT)

    issuer: str = Field(primary_key=True, sa_type=Words)
    series: str = Field(primary_key=True, sa_type=Words)
    next_number: int = Field(sa_type=Whole)


class InvoiceRow(StoredRow, table=True):
    """A finalized invoice; one for each account, period and epoch that it was closed through."""

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("account", "period_start_at", "through_epoch"),
        *named("issuer", "series", "account", "digest", "document"),
        *at_least(1, "number", "through_epoch"),
        *at_least(0, "period_start_at", "finalized_at"),
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
        *named("kind", "amount_exact"),
        *at_least(1, "line"),
        *at_least(0, "period_start_at"),
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


class LedgerTransactionRow(StoredRow, table=True):
    """One posting of the ledger; it names an invoice where it belongs to one."""

    __tablename__ = "ledger_transactions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["issuer", "series", "number"],
            ["invoices.issuer", "invoices.series", "invoices.number"],
        ),
        *named("id", "kind"),
        *at_least(0, "posted_at"),
        CheckConstraint(func.length(column("currency")) == 3, name="currency_named"),
        # All three name the invoice, or none does.
        CheckConstraint(
            or_(
                and_(*(column(name).is_(None) for name in ("issuer", "series", "number"))),
                and_(*(column(name).is_not(None) for name in ("issuer", "series", "number"))),
            ),
            name="invoice_whole",
        ),
        STRICT,
    )

    id: str = Field(primary_key=True, sa_type=Words)
    kind: str = Field(sa_type=Words)
    issuer: str | None = Field(sa_type=Words)
    series: str | None = Field(sa_type=Words)
    number: int | None = Field(sa_type=Whole)
    currency: str = Field(sa_type=Words)
    posted_at: int = Field(sa_type=Whole)


class LedgerEntryRow(StoredRow, table=True):
    """One entry of a transaction: debits are positive, credits negative, and they sum to zero."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        ForeignKeyConstraint(["transaction_id"], ["ledger_transactions.id"]),
        *named("ledger_account"),
        *at_least(1, "entry"),
        STRICT,
    )

    transaction_id: str = Field(primary_key=True, sa_type=Words)
    entry: int = Field(primary_key=True, sa_type=Whole)
    ledger_account: str = Field(sa_type=Words)
    amount_minor: int = Field(sa_type=Whole)


class WaiverRow(StoredRow, table=True):
    """That a person waived unpriced usage, and why."""

    __tablename__ = "waivers"
    __table_args__ = (
        *named("account", "model", "service_tier", "unit", "reason", "by"),
        *at_least(0, "period_start_at", "waived_at"),
        STRICT,
    )

    account: str = Field(primary_key=True, sa_type=Words)
    period_start_at: int = Field(primary_key=True, sa_type=Whole)
    model: str = Field(primary_key=True, sa_type=Words)
    service_tier: str = Field(primary_key=True, sa_type=Words)
    unit: str = Field(primary_key=True, sa_type=Words)
    reason: str = Field(sa_type=Words)
    by: str = Field(sa_type=Words)
    waived_at: int = Field(sa_type=Whole)

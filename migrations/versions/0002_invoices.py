"""Invoices, the ledger, waivers and the audit.

Invariant: every table is STRICT on SQLite, and the triggers keep facts from being edited.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing.store.schema import append_only_ddl

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

TABLES = (
    "number_series",
    "invoices",
    "invoice_lines",
    "ledger_transactions",
    "ledger_entries",
    "waivers",
    "audit",
)
APPEND_ONLY = (
    "invoices",
    "invoice_lines",
    "ledger_transactions",
    "ledger_entries",
    "waivers",
    "audit",
)


def upgrade() -> None:
    """Make the tables and their triggers."""
    _number_series()
    _invoices()
    _invoice_lines()
    _ledger_transactions()
    _ledger_entries()
    _waivers()
    _audit()
    for table in APPEND_ONLY:
        for statement in append_only_ddl(table, dialect=op.get_bind().dialect.name):
            op.execute(statement)


def downgrade() -> None:
    """Remove the tables; their triggers and indexes go with them."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _number_series() -> None:
    op.create_table(
        "number_series",
        sa.Column("issuer", WORDS, nullable=False),
        sa.Column("series", WORDS, nullable=False),
        sa.Column("next_number", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "series", name=op.f("pk_number_series")),
        sa.CheckConstraint("issuer != ''", name=op.f("ck_number_series_issuer_named")),
        sa.CheckConstraint("series != ''", name=op.f("ck_number_series_series_named")),
        sa.CheckConstraint("next_number >= 1", name=op.f("ck_number_series_next_number_bounded")),
        sqlite_strict=True,
    )


def _invoices() -> None:
    op.create_table(
        "invoices",
        sa.Column("issuer", WORDS, nullable=False),
        sa.Column("series", WORDS, nullable=False),
        sa.Column("number", WHOLE, nullable=False),
        sa.Column("account", WORDS, nullable=False),
        sa.Column("period_start_at", WHOLE, nullable=False),
        sa.Column("period_end_at", WHOLE, nullable=False),
        sa.Column("through_epoch", WHOLE, nullable=False),
        sa.Column("currency", WORDS, nullable=False),
        sa.Column("total_minor", WHOLE, nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("document", WORDS, nullable=False),
        sa.Column("finalized_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "series", "number", name=op.f("pk_invoices")),
        sa.UniqueConstraint(
            "account",
            "period_start_at",
            "through_epoch",
            name=op.f("uq_invoices_account_period_start_at_through_epoch"),
        ),
        sa.CheckConstraint("issuer != ''", name=op.f("ck_invoices_issuer_named")),
        sa.CheckConstraint("series != ''", name=op.f("ck_invoices_series_named")),
        sa.CheckConstraint("account != ''", name=op.f("ck_invoices_account_named")),
        sa.CheckConstraint("digest != ''", name=op.f("ck_invoices_digest_named")),
        sa.CheckConstraint("document != ''", name=op.f("ck_invoices_document_named")),
        sa.CheckConstraint("number >= 1", name=op.f("ck_invoices_number_bounded")),
        sa.CheckConstraint("through_epoch >= 1", name=op.f("ck_invoices_through_epoch_bounded")),
        sa.CheckConstraint(
            "period_start_at >= 0", name=op.f("ck_invoices_period_start_at_bounded")
        ),
        sa.CheckConstraint("finalized_at >= 0", name=op.f("ck_invoices_finalized_at_bounded")),
        sa.CheckConstraint("period_start_at < period_end_at", name=op.f("ck_invoices_period")),
        sa.CheckConstraint("length(currency) = 3", name=op.f("ck_invoices_currency_named")),
        sqlite_strict=True,
    )


def _invoice_lines() -> None:
    op.create_table(
        "invoice_lines",
        sa.Column("issuer", WORDS, nullable=False),
        sa.Column("series", WORDS, nullable=False),
        sa.Column("number", WHOLE, nullable=False),
        sa.Column("line", WHOLE, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("period_start_at", WHOLE, nullable=False),
        sa.Column("model", WORDS, nullable=False),
        sa.Column("service_tier", WORDS, nullable=False),
        sa.Column("unit", WORDS, nullable=False),
        sa.Column("quantity", WHOLE, nullable=False),
        sa.Column("amount_exact", WORDS, nullable=False),
        sa.Column("amount_minor", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint(
            "issuer", "series", "number", "line", name=op.f("pk_invoice_lines")
        ),
        sa.ForeignKeyConstraint(
            ["issuer", "series", "number"],
            ["invoices.issuer", "invoices.series", "invoices.number"],
            name=op.f("fk_invoice_lines_invoices"),
        ),
        sa.CheckConstraint("kind != ''", name=op.f("ck_invoice_lines_kind_named")),
        sa.CheckConstraint("amount_exact != ''", name=op.f("ck_invoice_lines_amount_exact_named")),
        sa.CheckConstraint("line >= 1", name=op.f("ck_invoice_lines_line_bounded")),
        sa.CheckConstraint(
            "period_start_at >= 0", name=op.f("ck_invoice_lines_period_start_at_bounded")
        ),
        sqlite_strict=True,
    )


def _ledger_transactions() -> None:
    op.create_table(
        "ledger_transactions",
        sa.Column("id", WORDS, nullable=False),
        sa.Column("kind", WORDS, nullable=False),
        sa.Column("issuer", WORDS, nullable=True),
        sa.Column("series", WORDS, nullable=True),
        sa.Column("number", WHOLE, nullable=True),
        sa.Column("currency", WORDS, nullable=False),
        sa.Column("posted_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_transactions")),
        sa.ForeignKeyConstraint(
            ["issuer", "series", "number"],
            ["invoices.issuer", "invoices.series", "invoices.number"],
            name=op.f("fk_ledger_transactions_invoices"),
        ),
        sa.CheckConstraint("id != ''", name=op.f("ck_ledger_transactions_id_named")),
        sa.CheckConstraint("kind != ''", name=op.f("ck_ledger_transactions_kind_named")),
        sa.CheckConstraint("posted_at >= 0", name=op.f("ck_ledger_transactions_posted_at_bounded")),
        sa.CheckConstraint(
            "length(currency) = 3", name=op.f("ck_ledger_transactions_currency_named")
        ),
        sa.CheckConstraint(
            "issuer IS NULL AND series IS NULL AND number IS NULL OR "
            "issuer IS NOT NULL AND series IS NOT NULL AND number IS NOT NULL",
            name=op.f("ck_ledger_transactions_invoice_whole"),
        ),
        sqlite_strict=True,
    )


def _ledger_entries() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("transaction_id", WORDS, nullable=False),
        sa.Column("entry", WHOLE, nullable=False),
        sa.Column("ledger_account", WORDS, nullable=False),
        sa.Column("amount_minor", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("transaction_id", "entry", name=op.f("pk_ledger_entries")),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["ledger_transactions.id"],
            name=op.f("fk_ledger_entries_ledger_transactions"),
        ),
        sa.CheckConstraint(
            "ledger_account != ''", name=op.f("ck_ledger_entries_ledger_account_named")
        ),
        sa.CheckConstraint("entry >= 1", name=op.f("ck_ledger_entries_entry_bounded")),
        sqlite_strict=True,
    )


def _waivers() -> None:
    op.create_table(
        "waivers",
        sa.Column("account", WORDS, nullable=False),
        sa.Column("period_start_at", WHOLE, nullable=False),
        sa.Column("model", WORDS, nullable=False),
        sa.Column("service_tier", WORDS, nullable=False),
        sa.Column("unit", WORDS, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("by", WORDS, nullable=False),
        sa.Column("waived_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint(
            "account", "period_start_at", "model", "service_tier", "unit", name=op.f("pk_waivers")
        ),
        sa.CheckConstraint("account != ''", name=op.f("ck_waivers_account_named")),
        sa.CheckConstraint("model != ''", name=op.f("ck_waivers_model_named")),
        sa.CheckConstraint("service_tier != ''", name=op.f("ck_waivers_service_tier_named")),
        sa.CheckConstraint("unit != ''", name=op.f("ck_waivers_unit_named")),
        sa.CheckConstraint("reason != ''", name=op.f("ck_waivers_reason_named")),
        sa.CheckConstraint("\"by\" != ''", name=op.f("ck_waivers_by_named")),
        sa.CheckConstraint("period_start_at >= 0", name=op.f("ck_waivers_period_start_at_bounded")),
        sa.CheckConstraint("waived_at >= 0", name=op.f("ck_waivers_waived_at_bounded")),
        sqlite_strict=True,
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", WHOLE, nullable=False),
        sa.Column("command", WORDS, nullable=False),
        sa.Column("subject", WORDS, nullable=False),
        sa.Column("by", WORDS, nullable=False),
        sa.Column("detail", WORDS, nullable=False),
        sa.Column("recorded_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
        sa.CheckConstraint("command != ''", name=op.f("ck_audit_command_named")),
        sa.CheckConstraint("subject != ''", name=op.f("ck_audit_subject_named")),
        sa.CheckConstraint("\"by\" != ''", name=op.f("ck_audit_by_named")),
        sa.CheckConstraint("detail != ''", name=op.f("ck_audit_detail_named")),
        sa.CheckConstraint("recorded_at >= 0", name=op.f("ck_audit_recorded_at_bounded")),
        sqlite_strict=True,
    )

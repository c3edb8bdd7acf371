"""Usage events, their totals, the grid, price books, agreements, epochs and deliveries.

Invariant: every table is STRICT on SQLite, and the triggers keep facts from being edited.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing.store.schema import append_only_ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

TABLES = (
    "event_ids",
    "events",
    "usage_totals",
    "grid_versions",
    "account_grids",
    "price_books",
    "agreements",
    "epochs",
    "deliveries",
    "refusals",
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
)


def upgrade() -> None:
    """Make the tables and their triggers."""
    _event_ids()
    _events()
    _usage_totals()
    _grid_versions()
    _account_grids()
    _price_books()
    _agreements()
    _epochs()
    _deliveries()
    _refusals()
    for table in APPEND_ONLY:
        for statement in append_only_ddl(table, dialect=op.get_bind().dialect.name):
            op.execute(statement)


def downgrade() -> None:
    """Remove the tables; their triggers and indexes go with them."""
    for table in reversed(TABLES):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION never_edited()")


def _event_ids() -> None:
    op.create_table(
        "event_ids",
        sa.Column("owner", WORDS, nullable=False),
        sa.Column("source", WORDS, nullable=False),
        sa.Column("id", WORDS, nullable=False),
        sa.Column("payload_digest", WORDS, nullable=False),
        sa.Column("account", WORDS, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("received_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("owner", "source", "id", name=op.f("pk_event_ids")),
        sa.CheckConstraint("owner != ''", name=op.f("ck_event_ids_owner_named")),
        sa.CheckConstraint("source != ''", name=op.f("ck_event_ids_source_named")),
        sa.CheckConstraint("id != ''", name=op.f("ck_event_ids_id_named")),
        sa.CheckConstraint("payload_digest != ''", name=op.f("ck_event_ids_payload_digest_named")),
        sa.CheckConstraint("account != ''", name=op.f("ck_event_ids_account_named")),
        sa.CheckConstraint("epoch >= 1", name=op.f("ck_event_ids_epoch_bounded")),
        sa.CheckConstraint("received_at >= 0", name=op.f("ck_event_ids_received_at_bounded")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("seq", WHOLE, nullable=False),
        sa.Column("owner", WORDS, nullable=False),
        sa.Column("source", WORDS, nullable=False),
        sa.Column("id", WORDS, nullable=False),
        sa.Column("account", WORDS, nullable=False),
        sa.Column("occurred_at", WHOLE, nullable=False),
        sa.Column("model", WORDS, nullable=False),
        sa.Column("service_tier", WORDS, nullable=False),
        sa.Column("region", WORDS, nullable=False),
        sa.Column("request_tokens", WHOLE, nullable=False),
        sa.Column("outcome", WORDS, nullable=False),
        sa.Column("dimensions", WORDS, nullable=False),
        sa.Column("units", WORDS, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("received_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_events")),
        sa.UniqueConstraint("owner", "source", "id", name=op.f("uq_events_owner_source_id")),
        sa.ForeignKeyConstraint(
            ["owner", "source", "id"],
            ["event_ids.owner", "event_ids.source", "event_ids.id"],
            name=op.f("fk_events_event_ids"),
        ),
        sa.CheckConstraint("owner != ''", name=op.f("ck_events_owner_named")),
        sa.CheckConstraint("source != ''", name=op.f("ck_events_source_named")),
        sa.CheckConstraint("id != ''", name=op.f("ck_events_id_named")),
        sa.CheckConstraint("account != ''", name=op.f("ck_events_account_named")),
        sa.CheckConstraint("model != ''", name=op.f("ck_events_model_named")),
        sa.CheckConstraint("service_tier != ''", name=op.f("ck_events_service_tier_named")),
        sa.CheckConstraint("outcome != ''", name=op.f("ck_events_outcome_named")),
        sa.CheckConstraint("epoch >= 1", name=op.f("ck_events_epoch_bounded")),
        sa.CheckConstraint("occurred_at >= 0", name=op.f("ck_events_occurred_at_bounded")),
        sa.CheckConstraint("request_tokens >= 0", name=op.f("ck_events_request_tokens_bounded")),
        sa.CheckConstraint("received_at >= 0", name=op.f("ck_events_received_at_bounded")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_events_account_occurred_at"), "events", ["account", "occurred_at"])


def _usage_totals() -> None:
    op.create_table(
        "usage_totals",
        sa.Column("account", WORDS, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("segment_start_at", WHOLE, nullable=False),
        sa.Column("size_class_tokens", WHOLE, nullable=False),
        sa.Column("model", WORDS, nullable=False),
        sa.Column("service_tier", WORDS, nullable=False),
        sa.Column("region", WORDS, nullable=False),
        sa.Column("outcome", WORDS, nullable=False),
        sa.Column("dimensions", WORDS, nullable=False),
        sa.Column("unit", WORDS, nullable=False),
        sa.Column("count", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint(
            "account",
            "epoch",
            "segment_start_at",
            "size_class_tokens",
            "model",
            "service_tier",
            "region",
            "outcome",
            "dimensions",
            "unit",
            name=op.f("pk_usage_totals"),
        ),
        sa.CheckConstraint("account != ''", name=op.f("ck_usage_totals_account_named")),
        sa.CheckConstraint("model != ''", name=op.f("ck_usage_totals_model_named")),
        sa.CheckConstraint("service_tier != ''", name=op.f("ck_usage_totals_service_tier_named")),
        sa.CheckConstraint("outcome != ''", name=op.f("ck_usage_totals_outcome_named")),
        sa.CheckConstraint("unit != ''", name=op.f("ck_usage_totals_unit_named")),
        sa.CheckConstraint("epoch >= 1", name=op.f("ck_usage_totals_epoch_bounded")),
        sa.CheckConstraint(
            "segment_start_at >= 0", name=op.f("ck_usage_totals_segment_start_at_bounded")
        ),
        sa.CheckConstraint(
            "size_class_tokens >= 0", name=op.f("ck_usage_totals_size_class_tokens_bounded")
        ),
        sa.CheckConstraint("count >= 0", name=op.f("ck_usage_totals_count_bounded")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _grid_versions() -> None:
    op.create_table(
        "grid_versions",
        sa.Column("version", WHOLE, autoincrement=False, nullable=False),
        sa.Column("thresholds", WORDS, nullable=False),
        sa.Column("dimensions", WORDS, nullable=False),
        sa.Column("instants", WORDS, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("registered_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_grid_versions")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_grid_versions_version_bounded")),
        sa.CheckConstraint("thresholds != ''", name=op.f("ck_grid_versions_thresholds_named")),
        sa.CheckConstraint("dimensions != ''", name=op.f("ck_grid_versions_dimensions_named")),
        sa.CheckConstraint("instants != ''", name=op.f("ck_grid_versions_instants_named")),
        sa.CheckConstraint("reason != ''", name=op.f("ck_grid_versions_reason_named")),
        sa.CheckConstraint(
            "registered_at >= 0", name=op.f("ck_grid_versions_registered_at_bounded")
        ),
        sqlite_strict=True,
    )


def _account_grids() -> None:
    op.create_table(
        "account_grids",
        sa.Column("account", WORDS, nullable=False),
        sa.Column("grid_version", WHOLE, nullable=False),
        sa.Column("agreement_version", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_account_grids")),
        sa.CheckConstraint("account != ''", name=op.f("ck_account_grids_account_named")),
        sa.CheckConstraint("grid_version >= 0", name=op.f("ck_account_grids_grid_version_bounded")),
        sa.CheckConstraint(
            "agreement_version >= 0", name=op.f("ck_account_grids_agreement_version_bounded")
        ),
        sqlite_strict=True,
    )


def _price_books() -> None:
    op.create_table(
        "price_books",
        sa.Column("series", WORDS, nullable=False),
        sa.Column("number", WHOLE, nullable=False),
        sa.Column("effective_from", WHOLE, nullable=False),
        sa.Column("published_at", WHOLE, nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("document", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("series", "number", name=op.f("pk_price_books")),
        sa.CheckConstraint("series != ''", name=op.f("ck_price_books_series_named")),
        sa.CheckConstraint("digest != ''", name=op.f("ck_price_books_digest_named")),
        sa.CheckConstraint("document != ''", name=op.f("ck_price_books_document_named")),
        sa.CheckConstraint("number >= 1", name=op.f("ck_price_books_number_bounded")),
        sa.CheckConstraint(
            "effective_from >= 0", name=op.f("ck_price_books_effective_from_bounded")
        ),
        sa.CheckConstraint("published_at >= 0", name=op.f("ck_price_books_published_at_bounded")),
        sqlite_strict=True,
    )


def _agreements() -> None:
    op.create_table(
        "agreements",
        sa.Column("account", WORDS, nullable=False),
        sa.Column("version", WHOLE, nullable=False),
        sa.Column("effective_from", WHOLE, nullable=False),
        sa.Column("accepted_at", WHOLE, nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("document", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("account", "version", name=op.f("pk_agreements")),
        sa.CheckConstraint("account != ''", name=op.f("ck_agreements_account_named")),
        sa.CheckConstraint("digest != ''", name=op.f("ck_agreements_digest_named")),
        sa.CheckConstraint("document != ''", name=op.f("ck_agreements_document_named")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_agreements_version_bounded")),
        sa.CheckConstraint(
            "effective_from >= 0", name=op.f("ck_agreements_effective_from_bounded")
        ),
        sa.CheckConstraint("accepted_at >= 0", name=op.f("ck_agreements_accepted_at_bounded")),
        sqlite_strict=True,
    )


def _epochs() -> None:
    op.create_table(
        "epochs",
        sa.Column("epoch", WHOLE, autoincrement=False, nullable=False),
        sa.Column("sealed_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_epochs")),
        sa.CheckConstraint("epoch >= 1", name=op.f("ck_epochs_epoch_bounded")),
        sa.CheckConstraint("sealed_at >= 0", name=op.f("ck_epochs_sealed_at_bounded")),
        sqlite_strict=True,
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("delivery", WORDS, nullable=False),
        sa.Column("file", WORDS, nullable=False),
        sa.Column("first_row", WHOLE, nullable=False),
        sa.Column("received", WHOLE, nullable=False),
        sa.Column("accepted", WHOLE, nullable=False),
        sa.Column("duplicate", WHOLE, nullable=False),
        sa.Column("conflict", WHOLE, nullable=False),
        sa.Column("rejected", WHOLE, nullable=False),
        sa.Column("received_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("delivery", name=op.f("pk_deliveries")),
        sa.CheckConstraint("delivery != ''", name=op.f("ck_deliveries_delivery_named")),
        sa.CheckConstraint("file != ''", name=op.f("ck_deliveries_file_named")),
        sa.CheckConstraint("first_row >= 1", name=op.f("ck_deliveries_first_row_bounded")),
        sa.CheckConstraint("received >= 0", name=op.f("ck_deliveries_received_bounded")),
        sa.CheckConstraint("accepted >= 0", name=op.f("ck_deliveries_accepted_bounded")),
        sa.CheckConstraint("duplicate >= 0", name=op.f("ck_deliveries_duplicate_bounded")),
        sa.CheckConstraint('"conflict" >= 0', name=op.f("ck_deliveries_conflict_bounded")),
        sa.CheckConstraint("rejected >= 0", name=op.f("ck_deliveries_rejected_bounded")),
        sa.CheckConstraint("received_at >= 0", name=op.f("ck_deliveries_received_at_bounded")),
        sa.CheckConstraint(
            'received = accepted + duplicate + "conflict" + rejected',
            name=op.f("ck_deliveries_adds_up"),
        ),
        sqlite_strict=True,
    )


def _refusals() -> None:
    op.create_table(
        "refusals",
        sa.Column("delivery", WORDS, nullable=False),
        sa.Column("row", WHOLE, nullable=False),
        sa.Column("verdict", WORDS, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("delivery", "row", name=op.f("pk_refusals")),
        sa.ForeignKeyConstraint(
            ["delivery"], ["deliveries.delivery"], name=op.f("fk_refusals_deliveries")
        ),
        sa.CheckConstraint("delivery != ''", name=op.f("ck_refusals_delivery_named")),
        sa.CheckConstraint("verdict != ''", name=op.f("ck_refusals_verdict_named")),
        sa.CheckConstraint("reason != ''", name=op.f("ck_refusals_reason_named")),
        sa.CheckConstraint('"row" >= 1', name=op.f("ck_refusals_row_bounded")),
        sqlite_strict=True,
    )

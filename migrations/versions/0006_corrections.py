"""Corrections: events that were voided, amended or backfilled, each as rows that name them.

Invariant: every table is STRICT on SQLite, and the triggers keep facts from being edited.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing.store.schema import append_only_ddl

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

TABLES = ("corrections", "event_corrections", "backfills", "backfill_events")
APPEND_ONLY = ("corrections", "event_corrections", "backfills")


def upgrade() -> None:
    """Make the tables, empty."""
    op.create_table(
        "corrections",
        sa.Column("seq", WHOLE, nullable=False),
        *(
            sa.Column(name, WORDS, nullable=False)
            for name in ("correction", "kind", "account", "reason", "by")
        ),
        sa.Column("reverts", WORDS, nullable=True),
        sa.Column("detail", WORDS, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("recorded_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_corrections")),
        sa.UniqueConstraint("correction", name=op.f("uq_corrections_correction")),
        sa.UniqueConstraint("reverts", name=op.f("uq_corrections_reverts")),
        sa.ForeignKeyConstraint(
            ["reverts"], ["corrections.correction"], name=op.f("fk_corrections_corrections")
        ),
        *_named("corrections", names=("correction", "account", "reason", "by", "detail")),
        sa.CheckConstraint(
            "kind IN ('void', 'amend', 'backfill', 'reversal')",
            name=op.f("ck_corrections_kind_known"),
        ),
        sa.CheckConstraint("epoch >= 1", name=op.f("ck_corrections_epoch_bounded")),
        sa.CheckConstraint("recorded_at >= 0", name=op.f("ck_corrections_recorded_at_bounded")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_corrections_account_seq"), "corrections", ["account", "seq"])
    op.create_table(
        "event_corrections",
        sa.Column("seq", WHOLE, nullable=False),
        sa.Column("event", WHOLE, nullable=False),
        sa.Column("step", WHOLE, nullable=False),
        sa.Column("account", WORDS, nullable=False),
        sa.Column("epoch", WHOLE, nullable=False),
        sa.Column("correction", WORDS, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_event_corrections")),
        sa.UniqueConstraint("event", "step", name=op.f("uq_event_corrections_event_step")),
        sa.ForeignKeyConstraint(
            ["event"], ["events.seq"], name=op.f("fk_event_corrections_events")
        ),
        sa.ForeignKeyConstraint(
            ["correction"],
            ["corrections.correction"],
            name=op.f("fk_event_corrections_corrections"),
        ),
        *_named("event_corrections", names=("account", "correction")),
        sa.CheckConstraint("step >= 1", name=op.f("ck_event_corrections_step_bounded")),
        sa.CheckConstraint("epoch >= 1", name=op.f("ck_event_corrections_epoch_bounded")),
        sqlite_strict=True,
    )
    for column in ("account", "correction"):
        op.create_index(op.f(f"ix_event_corrections_{column}"), "event_corrections", [column])
    _backfills()
    for table in APPEND_ONLY:
        for statement in append_only_ddl(table, dialect=op.get_bind().dialect.name):
            op.execute(statement)


def _backfills() -> None:
    op.create_table(
        "backfills",
        sa.Column("seq", WHOLE, nullable=False),
        *(sa.Column(name, WORDS, nullable=False) for name in ("backfill", "account")),
        sa.Column("start_at", WHOLE, nullable=False),
        sa.Column("end_at", WHOLE, nullable=False),
        *(sa.Column(name, WORDS, nullable=False) for name in ("reason", "by")),
        sa.Column("opened_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_backfills")),
        sa.UniqueConstraint("backfill", name=op.f("uq_backfills_backfill")),
        *_named("backfills", names=("backfill", "account", "reason", "by")),
        sa.CheckConstraint("start_at >= 0", name=op.f("ck_backfills_start_at_bounded")),
        sa.CheckConstraint("opened_at >= 0", name=op.f("ck_backfills_opened_at_bounded")),
        sa.CheckConstraint("start_at < end_at", name=op.f("ck_backfills_ends_later")),
        sqlite_strict=True,
    )
    op.create_index(op.f("ix_backfills_account_seq"), "backfills", ["account", "seq"])
    words = ("owner", "source", "id", "payload_digest")
    op.create_table(
        "backfill_events",
        *(sa.Column(name, WORDS, nullable=False) for name in ("backfill", *words)),
        sa.Column("occurred_at", WHOLE, nullable=False),
        *(sa.Column(name, WORDS, nullable=False) for name in ("model", "service_tier", "region")),
        sa.Column("request_tokens", WHOLE, nullable=False),
        *(sa.Column(name, WORDS, nullable=False) for name in ("outcome", "dimensions", "units")),
        sa.PrimaryKeyConstraint(
            "backfill", "owner", "source", "id", name=op.f("pk_backfill_events")
        ),
        sa.ForeignKeyConstraint(
            ["backfill"], ["backfills.backfill"], name=op.f("fk_backfill_events_backfills")
        ),
        *_named("backfill_events", names=(*words, "model", "service_tier", "outcome")),
        sa.CheckConstraint("occurred_at >= 0", name=op.f("ck_backfill_events_occurred_at_bounded")),
        sa.CheckConstraint(
            "request_tokens >= 0", name=op.f("ck_backfill_events_request_tokens_bounded")
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _named(table: str, *, names: tuple[str, ...]) -> tuple[sa.CheckConstraint, ...]:
    return tuple(
        sa.CheckConstraint(
            f"\"{name}\" != ''" if name == "by" else f"{name} != ''",
            name=op.f(f"ck_{table}_{name}_named"),
        )
        for name in names
    )


def downgrade() -> None:
    """Remove the tables."""
    for table in reversed(TABLES):
        op.drop_table(table)

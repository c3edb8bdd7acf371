"""Answers to commands that were sent with an idempotency key, and limits of API keys.

Invariant: every table is STRICT on SQLite, and the triggers keep facts from being edited.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing.store.schema import append_only_ddl

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

TABLES = ("command_answers", "api_key_limits")

KEY = ("owner", "target", "idempotency_key")


def upgrade() -> None:
    """Make both tables, empty."""
    op.create_table(
        "command_answers",
        *(sa.Column(name, WORDS, nullable=False) for name in (*KEY, "request_digest")),
        sa.Column("status", WHOLE, nullable=False),
        sa.Column("document", WORDS, nullable=False),
        sa.Column("answered_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_command_answers")),
        *(
            sa.CheckConstraint(f"{name} != ''", name=op.f(f"ck_command_answers_{name}_named"))
            for name in (*KEY, "request_digest", "document")
        ),
        sa.CheckConstraint(
            "status BETWEEN 200 AND 299", name=op.f("ck_command_answers_status_of_effect")
        ),
        sa.CheckConstraint("answered_at >= 0", name=op.f("ck_command_answers_answered_at_bounded")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "api_key_limits",
        sa.Column("prefix", WORDS, nullable=False),
        sa.Column("requests_per_s", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_api_key_limits")),
        sa.ForeignKeyConstraint(
            ["prefix"], ["api_keys.prefix"], name=op.f("fk_api_key_limits_api_keys")
        ),
        sa.CheckConstraint("prefix != ''", name=op.f("ck_api_key_limits_prefix_named")),
        sa.CheckConstraint(
            "requests_per_s >= 1", name=op.f("ck_api_key_limits_requests_per_s_bounded")
        ),
        sqlite_strict=True,
    )
    for table in TABLES:
        for statement in append_only_ddl(table, dialect=op.get_bind().dialect.name):
            op.execute(statement)


def downgrade() -> None:
    """Remove both tables."""
    for table in reversed(TABLES):
        op.drop_table(table)

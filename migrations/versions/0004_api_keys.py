"""API keys and their revocations.

Invariant: every table is STRICT on SQLite, and the triggers keep facts from being edited.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing.store.schema import append_only_ddl

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

TABLES = ("api_keys", "api_key_revocations")


def upgrade() -> None:
    """Make both tables, empty."""
    op.create_table(
        "api_keys",
        sa.Column("prefix", WORDS, nullable=False),
        sa.Column("digest", WORDS, nullable=False),
        sa.Column("scope", WORDS, nullable=False),
        sa.Column("account", WORDS, nullable=False),
        sa.Column("name", WORDS, nullable=False),
        sa.Column("by", WORDS, nullable=False),
        sa.Column("made_at", WHOLE, nullable=False),
        sa.Column("expires_at", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
        sa.CheckConstraint("prefix != ''", name=op.f("ck_api_keys_prefix_named")),
        sa.CheckConstraint("digest != ''", name=op.f("ck_api_keys_digest_named")),
        sa.CheckConstraint("name != ''", name=op.f("ck_api_keys_name_named")),
        sa.CheckConstraint("\"by\" != ''", name=op.f("ck_api_keys_by_named")),
        sa.CheckConstraint(
            "scope IN ('operator', 'ingest', 'account')", name=op.f("ck_api_keys_scope_known")
        ),
        sa.CheckConstraint(
            "scope != 'account' OR account != ''", name=op.f("ck_api_keys_account_named")
        ),
        sa.CheckConstraint("made_at >= 0", name=op.f("ck_api_keys_made_at_bounded")),
        sa.CheckConstraint("expires_at >= 0", name=op.f("ck_api_keys_expires_at_bounded")),
        sqlite_strict=True,
    )
    op.create_table(
        "api_key_revocations",
        sa.Column("prefix", WORDS, nullable=False),
        sa.Column("reason", WORDS, nullable=False),
        sa.Column("by", WORDS, nullable=False),
        sa.Column("revoked_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_api_key_revocations")),
        sa.ForeignKeyConstraint(
            ["prefix"], ["api_keys.prefix"], name=op.f("fk_api_key_revocations_api_keys")
        ),
        sa.CheckConstraint("prefix != ''", name=op.f("ck_api_key_revocations_prefix_named")),
        sa.CheckConstraint("reason != ''", name=op.f("ck_api_key_revocations_reason_named")),
        sa.CheckConstraint("\"by\" != ''", name=op.f("ck_api_key_revocations_by_named")),
        sa.CheckConstraint(
            "revoked_at >= 0", name=op.f("ck_api_key_revocations_revoked_at_bounded")
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

"""Answers to commands that were sent with an idempotency key, limits of API keys, and keys that
read metrics alone.

The tables of keys are made anew, with what they hold: SQLite changes no CHECK of a table.

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
KEY_TABLES = ("api_keys", "api_key_revocations")

KEY = ("owner", "target", "idempotency_key")


def upgrade() -> None:
    """Let keys have the scope monitor, and make both tables, empty."""
    _keys_anew(scopes="'operator', 'ingest', 'account', 'monitor'")
    op.create_table(
        "command_answers",
        *(sa.Column(name, WORDS, nullable=False) for name in (*KEY, "request_digest")),
        sa.Column("status", WHOLE, nullable=False),
        sa.Column("document", WORDS, nullable=False),
        sa.Column("answered_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint(*KEY, name=op.f("pk_command_answers")),
        *_named("command_answers", names=(*KEY, "request_digest", "document")),
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
        *_named("api_key_limits", names=("prefix",)),
        sa.CheckConstraint(
            "requests_per_s >= 1", name=op.f("ck_api_key_limits_requests_per_s_bounded")
        ),
        sqlite_strict=True,
    )
    _append_only(TABLES)


def downgrade() -> None:
    """Remove both tables; there must be no key of scope monitor."""
    for table in reversed(TABLES):
        op.drop_table(table)
    _keys_anew(scopes="'operator', 'ingest', 'account'")


def _keys_anew(*, scopes: str) -> None:
    for table in KEY_TABLES:
        op.execute(f"CREATE TABLE {table}_before AS SELECT * FROM {table}")
    for table in reversed(KEY_TABLES):
        op.drop_table(table)
    _api_keys(scopes=scopes)
    _api_key_revocations()
    for table in KEY_TABLES:
        op.execute(f"INSERT INTO {table} SELECT * FROM {table}_before")
        op.drop_table(f"{table}_before")
    _append_only(KEY_TABLES)


def _api_keys(*, scopes: str) -> None:
    op.create_table(
        "api_keys",
        *(
            sa.Column(name, WORDS, nullable=False)
            for name in ("prefix", "digest", "scope", "account", "name", "by")
        ),
        sa.Column("made_at", WHOLE, nullable=False),
        sa.Column("expires_at", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
        *_named("api_keys", names=("prefix", "digest", "name", "by")),
        sa.CheckConstraint(f"scope IN ({scopes})", name=op.f("ck_api_keys_scope_known")),
        sa.CheckConstraint(
            "scope != 'account' OR account != ''", name=op.f("ck_api_keys_account_named")
        ),
        sa.CheckConstraint("made_at >= 0", name=op.f("ck_api_keys_made_at_bounded")),
        sa.CheckConstraint("expires_at >= 0", name=op.f("ck_api_keys_expires_at_bounded")),
        sqlite_strict=True,
    )


def _api_key_revocations() -> None:
    op.create_table(
        "api_key_revocations",
        *(sa.Column(name, WORDS, nullable=False) for name in ("prefix", "reason", "by")),
        sa.Column("revoked_at", WHOLE, nullable=False),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_api_key_revocations")),
        sa.ForeignKeyConstraint(
            ["prefix"], ["api_keys.prefix"], name=op.f("fk_api_key_revocations_api_keys")
        ),
        *_named("api_key_revocations", names=("prefix", "reason", "by")),
        sa.CheckConstraint(
            "revoked_at >= 0", name=op.f("ck_api_key_revocations_revoked_at_bounded")
        ),
        sqlite_strict=True,
    )


def _named(table: str, *, names: tuple[str, ...]) -> tuple[sa.CheckConstraint, ...]:
    return tuple(
        sa.CheckConstraint(
            f"\"{name}\" != ''" if name == "by" else f"{name} != ''",
            name=op.f(f"ck_{table}_{name}_named"),
        )
        for name in names
    )


def _append_only(tables: tuple[str, ...]) -> None:
    for table in tables:
        for statement in append_only_ddl(table, dialect=op.get_bind().dialect.name):
            op.execute(statement)

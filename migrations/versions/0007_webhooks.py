"""Webhook endpoints, their messages and what became of them.

Invariant: every table is STRICT on SQLite, and the triggers keep facts from being edited.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from billing.store.schema import append_only_ddl

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

TABLES = (
    "webhook_endpoints",
    "webhook_retirements",
    "webhook_secrets",
    "webhook_messages",
    "webhook_sendings",
)
APPEND_ONLY = TABLES[:-1]


def upgrade() -> None:
    """Make the tables, empty."""
    _endpoints()
    _secrets()
    _messages()
    _sendings()
    for table in APPEND_ONLY:
        for statement in append_only_ddl(table, dialect=op.get_bind().dialect.name):
            op.execute(statement)


def _endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        *_words("endpoint", "url", "kinds", "account", "by"),
        *_whole("made_at"),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_webhook_endpoints")),
        *_named("webhook_endpoints", names=("endpoint", "url", "kinds", "by")),
        *_at_least(0, table="webhook_endpoints", names=("made_at",)),
        sqlite_strict=True,
    )
    op.create_table(
        "webhook_retirements",
        *_words("endpoint", "reason", "by"),
        *_whole("retired_at"),
        sa.PrimaryKeyConstraint("endpoint", name=op.f("pk_webhook_retirements")),
        _of_endpoint("webhook_retirements"),
        *_named("webhook_retirements", names=("endpoint", "reason", "by")),
        *_at_least(0, table="webhook_retirements", names=("retired_at",)),
        sqlite_strict=True,
    )


def _secrets() -> None:
    op.create_table(
        "webhook_secrets",
        *_words("endpoint"),
        *_whole("number"),
        *_words("secret"),
        *_whole("former_until_at"),
        *_words("by"),
        *_whole("made_at"),
        sa.PrimaryKeyConstraint("endpoint", "number", name=op.f("pk_webhook_secrets")),
        _of_endpoint("webhook_secrets"),
        *_named("webhook_secrets", names=("endpoint", "secret", "by")),
        *_at_least(1, table="webhook_secrets", names=("number",)),
        *_at_least(0, table="webhook_secrets", names=("former_until_at", "made_at")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _messages() -> None:
    op.create_table(
        "webhook_messages",
        *_whole("seq"),
        *_words("message", "kind", "account", "subject", "data"),
        *_whole("recorded_at"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_webhook_messages")),
        sa.UniqueConstraint("message", name=op.f("uq_webhook_messages_message")),
        *_named("webhook_messages", names=("message", "kind", "subject", "data")),
        *_at_least(0, table="webhook_messages", names=("recorded_at",)),
        sqlite_strict=True,
    )


def _sendings() -> None:
    op.create_table(
        "webhook_sendings",
        *_words("endpoint"),
        *_whole("message"),
        *_words("subject", "state"),
        *_whole("attempts", "tries", "next_at"),
        sa.Column("status", WHOLE, nullable=True),
        *_words("error"),
        sa.Column("settled_at", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("endpoint", "message", name=op.f("pk_webhook_sendings")),
        _of_endpoint("webhook_sendings"),
        sa.ForeignKeyConstraint(
            ["message"],
            ["webhook_messages.seq"],
            name=op.f("fk_webhook_sendings_webhook_messages"),
        ),
        *_named("webhook_sendings", names=("endpoint", "subject")),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'given_up')",
            name=op.f("ck_webhook_sendings_state_known"),
        ),
        sa.CheckConstraint(
            "(state = 'pending') = (settled_at IS NULL)",
            name=op.f("ck_webhook_sendings_settled_once"),
        ),
        *_at_least(1, table="webhook_sendings", names=("message",)),
        *_at_least(
            0, table="webhook_sendings", names=("attempts", "tries", "next_at", "settled_at")
        ),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_webhook_sendings_state_next_at"), "webhook_sendings", ["state", "next_at"]
    )
    op.create_index(
        op.f("ix_webhook_sendings_endpoint_subject_state_message"),
        "webhook_sendings",
        ["endpoint", "subject", "state", "message"],
    )


def _words(*names: str) -> tuple[sa.Column[str], ...]:
    return tuple(sa.Column(name, WORDS, nullable=False) for name in names)


def _whole(*names: str) -> tuple[sa.Column[int], ...]:
    return tuple(sa.Column(name, WHOLE, nullable=False) for name in names)


def _of_endpoint(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["endpoint"],
        ["webhook_endpoints.endpoint"],
        name=op.f(f"fk_{table}_webhook_endpoints"),
    )


def _named(table: str, *, names: tuple[str, ...]) -> tuple[sa.CheckConstraint, ...]:
    return tuple(
        sa.CheckConstraint(
            f"\"{name}\" != ''" if name == "by" else f"{name} != ''",
            name=op.f(f"ck_{table}_{name}_named"),
        )
        for name in names
    )


def _at_least(least: int, *, table: str, names: tuple[str, ...]) -> tuple[sa.CheckConstraint, ...]:
    return tuple(
        sa.CheckConstraint(f"{name} >= {least}", name=op.f(f"ck_{table}_{name}_bounded"))
        for name in names
    )


def downgrade() -> None:
    """Remove the tables."""
    for table in reversed(TABLES):
        op.drop_table(table)

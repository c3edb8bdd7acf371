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

TABLES: tuple[str, ...] = ()
APPEND_ONLY: tuple[str, ...] = ()


def upgrade() -> None:
    """Make the tables, empty."""
    for table in APPEND_ONLY:
        for statement in append_only_ddl(table, dialect=op.get_bind().dialect.name):
            op.execute(statement)


def downgrade() -> None:
    """Remove the tables."""
    for table in reversed(TABLES):
        op.drop_table(table)

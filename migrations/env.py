"""How Alembic runs the migrations of the store: inside a transaction that ``billing.store`` opened.

Invariant: no migration recreates a table (it would lose STRICT and the triggers), and all of them
commit together or not at all.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

import billing.store.tables  # noqa: F401 (it fills METADATA)
from billing.store.table_parts import METADATA

connection = context.config.attributes.get("connection")
if not isinstance(connection, Connection):
    raise RuntimeError("migrations are run by: tokenworks db upgrade --store PATH")
context.configure(
    connection=connection,
    target_metadata=METADATA,
    render_as_batch=False,
    transactional_ddl=True,
    compare_type=True,
)
context.run_migrations()

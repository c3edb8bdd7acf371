"""Locks that pieces of work take which write beside each other, until their transaction ends.

The order is the same for all, so that no two wait for each other: the name of what is worked on,
the ids of events, accounts, totals, the counter of a number series, the subjects of messages; of
one kind, in the order of keys. On SQLite a writer is alone, and none of these is needed.

Invariant: usage that comes in holds its accounts shared, and who rebuilds the totals of an account
holds it alone, so that no total is lost between reading the events and writing their sums.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from billing.store.tables import ACCOUNT_GRIDS


def lock_name(connection: Connection, *, name: str) -> None:
    """Let one at a time work on what has this name, such as a batch or an account that is closed.

    Names that share a hash wait for each other, too, which is harmless.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


def hold_account(connection: Connection, *, account: str) -> None:
    """Hold an account alone: no usage is added to its totals meanwhile.

    Who adds usage holds its accounts by ``billing.store.grid.share_account_grids``.
    """
    if connection.dialect.name == "postgresql":
        query = select(ACCOUNT_GRIDS.c.account).where(ACCOUNT_GRIDS.c.account == account)
        connection.execute(query.with_for_update()).all()

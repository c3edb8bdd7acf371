"""Accounts: those that have usage, an agreement or an API key.

Invariant: an account is found by its name, byte for byte; reading never makes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select, union

from billing.store.rows import read_records
from billing.store.tables import ACCOUNT_GRIDS, AGREEMENTS, API_KEYS, EVENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownAccount:
    """An account, and what the store has of it.

    ``agreement_version``: of its newest agreement, None where it accepted none.
    ``first_occurred_at``, ``last_occurred_at``: of its events, voided ones too; None where it has
    none.
    """

    account: str
    agreement_version: int | None
    first_occurred_at: int | None
    last_occurred_at: int | None


def read_accounts(
    connection: Connection, *, after: str | None = None, limit: int
) -> tuple[KnownAccount, ...]:
    """At most ``limit`` accounts by name; ``after``: only those after this name."""
    # Each source is bounded, so that none is read to its end for a page.
    sources = [
        select(table.c.account)
        .distinct()
        .where(table.c.account > (after or ""))
        .order_by(table.c.account)
        .limit(limit)
        .subquery()
        for table in (ACCOUNT_GRIDS, AGREEMENTS, API_KEYS)
    ]
    names = union(*(select(source.c.account) for source in sources)).subquery()
    query = _accounts(names).order_by(names.c.account).limit(limit)
    return read_records(connection, query=query, record=KnownAccount)


def read_account(connection: Connection, *, account: str) -> KnownAccount | None:
    """One account; None where the store has nothing of it."""
    sources = [
        select(table.c.account).where(table.c.account == account)
        for table in (ACCOUNT_GRIDS, AGREEMENTS, API_KEYS)
    ]
    names = union(*sources).subquery()
    return next(iter(read_records(connection, query=_accounts(names), record=KnownAccount)), None)


def _accounts(names: Any) -> Select[Any]:
    agreements = select(func.max(AGREEMENTS.c.version)).where(
        AGREEMENTS.c.account == names.c.account
    )
    moments = [
        select(of(EVENTS.c.occurred_at)).where(EVENTS.c.account == names.c.account)
        for of in (func.min, func.max)
    ]
    return select(names.c.account, *(one.scalar_subquery() for one in (agreements, *moments)))

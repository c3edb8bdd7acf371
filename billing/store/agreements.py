"""Accepted agreements, in versions for each account.

Invariant: a version is appended once and never edited.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from billing.store.points import reach
from billing.store.rows import append_record, read_records, select_records
from billing.store.tables import AGREEMENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAgreement:
    """What an account accepted; ``document`` is its canonical JSON, which ``digest`` is of."""

    account: str
    version: int
    effective_from: int
    accepted_at: int
    digest: str
    document: str


def append_agreement(connection: Connection, *, agreement: StoredAgreement) -> None:
    """Store an accepted agreement; its account and version must be free."""
    append_record(connection, table=AGREEMENTS, record=agreement)
    reach("agreement.appended")


def read_agreements(
    connection: Connection, *, account: str, as_of: int | None = None
) -> tuple[StoredAgreement, ...]:
    """The agreements of an account by version.

    ``as_of``: only those accepted at this moment or before it.
    """
    query = select_records(StoredAgreement, table=AGREEMENTS)
    query = query.where(AGREEMENTS.c.account == account)
    if as_of is not None:
        query = query.where(AGREEMENTS.c.accepted_at <= as_of)
    query = query.order_by(AGREEMENTS.c.version)
    return read_records(connection, query=query, record=StoredAgreement)


def latest_agreement_version(connection: Connection, *, account: str) -> int:
    """The number of the newest version of an account's agreement; 0 where it accepted none."""
    query = select(func.max(AGREEMENTS.c.version)).where(AGREEMENTS.c.account == account)
    return connection.scalar(query) or 0


def latest_agreement_versions(connection: Connection) -> dict[str, int]:
    """The number of the newest version of each account that accepted an agreement."""
    query = select(AGREEMENTS.c.account, func.max(AGREEMENTS.c.version).label("version"))
    query = query.group_by(AGREEMENTS.c.account).order_by(AGREEMENTS.c.account)
    return {row.account: row.version for row in connection.execute(query)}


def accounts_with_agreements(connection: Connection) -> tuple[str, ...]:
    """The accounts that accepted an agreement, sorted."""
    query = select(AGREEMENTS.c.account).distinct().order_by(AGREEMENTS.c.account)
    return tuple(connection.scalars(query))


def read_newest_agreements(connection: Connection) -> tuple[StoredAgreement, ...]:
    """The newest version of every account's agreement, by account."""
    newest = (
        select(AGREEMENTS.c.account, func.max(AGREEMENTS.c.version).label("version"))
        .group_by(AGREEMENTS.c.account)
        .subquery()
    )
    query = select_records(StoredAgreement, table=AGREEMENTS).join(
        newest,
        (AGREEMENTS.c.account == newest.c.account) & (AGREEMENTS.c.version == newest.c.version),
    )
    query = query.order_by(AGREEMENTS.c.account)
    return read_records(connection, query=query, record=StoredAgreement)

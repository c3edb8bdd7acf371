"""The grid of cuts in versions, and under which of them the totals of each account were built.

Invariant: a version of the grid is never edited; an account is stale exactly when it has totals and
the grid or its agreements have a newer version than those that its totals were built under.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, Row, func, select

from billing.store.points import reach
from billing.store.rows import append_rows, json_text, read_records, select_records, upsert
from billing.store.statements import run
from billing.store.tables import ACCOUNT_GRIDS, AGREEMENTS, GRID_VERSIONS, USAGE_TOTALS
from pricing_rules.document import DocumentError, dump, load_json
from pricing_rules.period import CalendarCut
from pricing_rules.usage.totals import Grid
from pricing_rules.windows import NamedWindow, Window

_ACCOUNTS_AT_ONCE = 10_000
"""Accounts looked up with one statement; SQLite takes 32,766 parameters."""

_read_numbers = msgspec.json.Decoder(tuple[int, ...]).decode
_read_names = msgspec.json.Decoder(tuple[str, ...]).decode
_read_cuts = msgspec.json.Decoder(tuple[tuple[Literal["day", "month"], str], ...]).decode


class _Windowed(msgspec.Struct):
    name: str
    window: msgspec.Raw


_read_windows = msgspec.json.Decoder(tuple[_Windowed, ...]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class GridVersion:
    """The cuts that hold for all accounts. Version 0 has none: it is there before the first."""

    version: int
    grid: Grid
    reason: str
    registered_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountGrid:
    """The versions that the totals of an account were built under; 0 where there was none."""

    account: str
    grid_version: int
    agreement_version: int


NO_GRID = GridVersion(version=0, grid=Grid(), reason="", registered_at=0)


def current_grid(connection: Connection) -> GridVersion:
    """The newest version of the grid; ``NO_GRID`` where none was registered."""
    query = select(GRID_VERSIONS).order_by(GRID_VERSIONS.c.version.desc()).limit(1)
    row = connection.execute(query).first()
    return NO_GRID if row is None else _grid(row)


def read_grid(connection: Connection, *, version: int) -> GridVersion:
    """One version of the grid. LookupError where it was never registered."""
    if version == NO_GRID.version:
        return NO_GRID
    query = select(GRID_VERSIONS).where(GRID_VERSIONS.c.version == version)
    row = connection.execute(query).first()
    if row is None:
        raise LookupError(f"grid version {version} was never registered")
    return _grid(row)


def append_grid(connection: Connection, *, grid: Grid, reason: str, registered_at: int) -> int:
    """Register the next version of the grid, and give its number."""
    version = current_grid(connection).version + 1
    row = (
        version,
        json_text(grid.thresholds_tokens),
        json_text(grid.dimensions),
        json_text(grid.instants_at),
        json_text([{"name": one.name, "window": dump(one.window)} for one in grid.windows]),
        json_text([(cut.every, cut.zone) for cut in grid.calendar_cuts]),
        reason,
        registered_at,
    )
    names = tuple(column.name for column in GRID_VERSIONS.c)
    append_rows(connection, table=GRID_VERSIONS, names=names, rows=[row])
    reach("grid.appended")
    return version


def account_grid(connection: Connection, *, account: str) -> AccountGrid | None:
    """Under what the totals of an account were built; None where it has had no usage."""
    query = select_records(AccountGrid, table=ACCOUNT_GRIDS)
    query = query.where(ACCOUNT_GRIDS.c.account == account)
    return next(iter(read_records(connection, query=query, record=AccountGrid)), None)


def read_account_grids(
    connection: Connection, *, accounts: Sequence[str]
) -> dict[str, AccountGrid]:
    """As ``account_grid``, of those accounts that have one."""
    found: dict[str, AccountGrid] = {}
    query = select_records(AccountGrid, table=ACCOUNT_GRIDS)
    for start in range(0, len(accounts), _ACCOUNTS_AT_ONCE):
        some = accounts[start : start + _ACCOUNTS_AT_ONCE]
        part = query.where(ACCOUNT_GRIDS.c.account.in_(some))
        for one in read_records(connection, query=part, record=AccountGrid):
            found[one.account] = one
    return found


def share_account_grids(
    connection: Connection, *, accounts: Sequence[str]
) -> dict[str, AccountGrid]:
    """As ``read_account_grids``, of sorted accounts whose usage is added to, beside others: they
    are held shared until the transaction ends (see ``billing.store.locks``).
    """
    if connection.dialect.name == "postgresql":
        held = "= ANY(%s) ORDER BY account FOR SHARE"
        found = run(connection, statement=_ACCOUNTS_SQL + held, parameters=(list(accounts),))
    else:
        held = "IN (SELECT value FROM json_each(?))"
        found = run(connection, statement=_ACCOUNTS_SQL + held, parameters=(json_text(accounts),))
    return {
        account: AccountGrid(
            account=account, grid_version=grid_version, agreement_version=agreement_version
        )
        for account, grid_version, agreement_version in found
    }


_ACCOUNTS_SQL = "SELECT account, grid_version, agreement_version FROM account_grids WHERE account "


def append_account_grids(connection: Connection, *, grids: Sequence[AccountGrid]) -> None:
    """Note under which versions the totals of new accounts are built, in the order of accounts.

    An account that got its versions meanwhile keeps them.
    """
    statement = upsert(ACCOUNT_GRIDS, dialect=connection.dialect).on_conflict_do_nothing()
    rows = [asdict(one) for one in sorted(grids, key=lambda one: one.account)]
    if rows:
        connection.execute(statement, rows)
    reach("grid.account_set")


def set_account_grid(
    connection: Connection, *, account: str, grid_version: int, agreement_version: int
) -> None:
    """Note under which versions the totals of an account are built from now on."""
    statement = upsert(ACCOUNT_GRIDS, dialect=connection.dialect).values(
        account=account, grid_version=grid_version, agreement_version=agreement_version
    )
    versions = {name: statement.excluded[name] for name in ("grid_version", "agreement_version")}
    connection.execute(statement.on_conflict_do_update(index_elements=["account"], set_=versions))
    reach("grid.account_set")


def stale_accounts(connection: Connection) -> tuple[str, ...]:
    """The accounts, sorted, whose totals were built under other versions than the newest ones."""
    accepted = (
        select(func.coalesce(func.max(AGREEMENTS.c.version), 0))
        .where(AGREEMENTS.c.account == ACCOUNT_GRIDS.c.account)
        .scalar_subquery()
    )
    newest = select(func.coalesce(func.max(GRID_VERSIONS.c.version), 0)).scalar_subquery()
    has_totals = select(USAGE_TOTALS.c.account).where(
        USAGE_TOTALS.c.account == ACCOUNT_GRIDS.c.account
    )
    query = (
        select(ACCOUNT_GRIDS.c.account)
        .where(
            (ACCOUNT_GRIDS.c.grid_version != newest)
            | (ACCOUNT_GRIDS.c.agreement_version != accepted),
            has_totals.exists(),
        )
        .order_by(ACCOUNT_GRIDS.c.account)
    )
    return tuple(connection.scalars(query))


def _read_window(raw: msgspec.Raw) -> Window:
    return load_json(Window, bytes(raw), name="window of the grid")


def _grid(row: Row[Any]) -> GridVersion:
    try:
        grid = Grid(
            instants_at=_read_numbers(row.instants),
            thresholds_tokens=_read_numbers(row.thresholds),
            dimensions=_read_names(row.dimensions),
            windows=tuple(
                NamedWindow(name=one.name, window=_read_window(one.window))
                for one in _read_windows(row.windows)
            ),
            calendar_cuts=tuple(
                CalendarCut(every=every, zone=zone) for every, zone in _read_cuts(row.calendar_cuts)
            ),
        )
    except msgspec.DecodeError:
        raise DocumentError(
            f"version {row.version} of the grid",
            "was changed where it is stored, so that it cannot be read; put a backup from before "
            "that in place of the store",
        ) from None
    return GridVersion(
        version=row.version, grid=grid, reason=row.reason, registered_at=row.registered_at
    )

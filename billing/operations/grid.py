"""The grid that totals are cut by: registering cuts, rebuilding totals under them, reading totals.

Invariant: the totals of an account are those of its events, cut by the grid of the versions that
stand beside them. Where newer versions exist they are stale: usage still comes in under the old
ones, and nobody reads them until they were rebuilt, whole, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from billing.domain.agreement.agreement import Agreement
from billing.domain.agreement.cuts import account_grid, book_grid
from billing.engines.event_sums import sum_events
from billing.store.agreements import latest_agreement_version, read_agreements
from billing.store.audit import append_audit
from billing.store.corrections import EventStep, is_void, read_corrected
from billing.store.events import StoredEvent, read_events
from billing.store.grid import (
    AccountGrid,
    GridVersion,
    append_grid,
    current_grid,
    read_account_grids,
    read_grid,
    stale_accounts,
)
from billing.store.grid import account_grid as stored_account_grid
from billing.store.locks import hold_account
from billing.store.store import Connection, Store
from billing.store.usage_totals import read_totals, replace_totals
from pricing_rules.document import DocumentError, load_json
from pricing_rules.period import MICROSECONDS, Period
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.usage.totals import Grid, UsageTotal, add_totals, negative

_EVENTS_AT_ONCE = 10_000
_WIDER = 40 * 86_400 * MICROSECONDS
"""How far a remembered grid reaches beyond the usage that asked for it: over the next period."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuiltAccount:
    """An account whose totals were computed anew: from how many events, into how many cells."""

    account: str
    events: int
    cells: int
    grid_version: int
    agreement_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildReport:
    """The accounts that were rebuilt, sorted, and how many events were read."""

    rebuilt: tuple[RebuiltAccount, ...]
    events: int


class StaleTotalsError(DocumentError):
    """Totals that were built under older versions than the newest: they must be rebuilt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTotals:
    """The totals of an account in a period, and the grid that they are cut by, as rating asks.

    ``earlier``: those of the time before it that bears on its allowances.
    """

    totals: tuple[UsageTotal, ...]
    grid: Grid
    earlier: tuple[UsageTotal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GridState:
    """The newest version of the grid, and the accounts whose totals are stale, sorted."""

    newest: GridVersion
    stale: tuple[str, ...]


def register_cuts(
    connection: Connection, *, books: Sequence[PriceBook], reason: str, now_at: int
) -> GridVersion:
    """Add the cuts that books need to the grid, and give its newest version.

    Where nothing is new there is no new version, and no account becomes stale. An agreement has
    nothing to register: its cuts are those of its account alone, whose totals its version makes
    stale.
    """
    newest = current_grid(connection)
    grid = book_grid(newest.grid, books=books)
    if grid != newest.grid:
        append_grid(connection, grid=grid, reason=reason, registered_at=now_at)
    return current_grid(connection)


def show_grid(store: Store) -> GridState:
    """The newest version of the grid, and who waits for a rebuild."""
    with store.read() as connection:
        return GridState(newest=current_grid(connection), stale=stale_accounts(connection))


def rebuild(
    store: Store,
    *,
    accounts: Sequence[str] | None,
    by: str,
    now_at: int,
    progress: Callable[[int, int], None] | None = None,
) -> RebuildReport:
    """Compute totals anew from events under the newest versions, an account a transaction.

    ``accounts``: these, whether stale or not; None: all that are stale. Stopped midway, what was
    rebuilt stays, and the next run goes on with the rest. ``progress`` is called with the accounts
    done, and of how many. DocumentError where an account that is named has no usage.
    """
    with store.read() as connection:
        chosen = stale_accounts(connection) if accounts is None else sorted(set(accounts))
        known = read_account_grids(connection, accounts=chosen)
    for account in chosen:
        if account not in known:
            raise DocumentError(f"account {account}", "has no usage; check its name")
    cuts = AccountCuts()
    rebuilt: list[RebuiltAccount] = []
    for done, account in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen))
        command = partial(
            _rebuild_one, account=account, named=accounts is not None, cuts=cuts, by=by, at=now_at
        )
        rebuilt += store.beside(command)
    return RebuildReport(rebuilt=tuple(rebuilt), events=sum(one.events for one in rebuilt))


def _rebuild_one(
    connection: Connection, *, account: str, named: bool, cuts: AccountCuts, by: str, at: int
) -> tuple[RebuiltAccount, ...]:
    """The account, rebuilt; nothing where it was not named and is not stale any more."""
    hold_account(connection, account=account)
    if not named and not is_stale(connection, account=account):
        return ()
    one = rebuild_account(connection, account=account, cuts=cuts)
    append_audit(
        connection,
        command="grid rebuild",
        subject=account,
        by=by,
        detail={
            "events": one.events,
            "grid_version": one.grid_version,
            "agreement_version": one.agreement_version,
        },
        recorded_at=at,
    )
    return (one,)


def rebuild_account(connection: Connection, *, account: str, cuts: AccountCuts) -> RebuiltAccount:
    """Compute the totals of one account anew, in a transaction that writes.

    ``cuts`` spares reading the same versions again for many accounts. No usage of the account comes
    in meanwhile: it waits for the transaction.
    """
    hold_account(connection, account=account)
    versions = newest_versions(connection, account=account)
    number, totals = sum_account(connection, versions=versions, cuts=cuts)
    replace_totals(
        connection,
        account=account,
        totals=totals,
        grid_version=versions.grid_version,
        agreement_version=versions.agreement_version,
    )
    return RebuiltAccount(
        account=account,
        events=number,
        cells=len(totals),
        grid_version=versions.grid_version,
        agreement_version=versions.agreement_version,
    )


def sum_account(
    connection: Connection, *, versions: AccountGrid, cuts: AccountCuts
) -> tuple[int, tuple[UsageTotal, ...]]:
    """How many events an account has, and their totals as these versions cut them.

    A step of a correction takes its event away, or adds it, in the epoch of the step. What is
    nothing in all has no total.
    """
    account = versions.account
    events = read_events(connection, account=account)
    corrected = read_corrected(connection, account=account)
    totals: tuple[UsageTotal, ...] = ()
    number = 0

    def grids(first_at: int, last_at: int) -> dict[str, Grid]:
        span = Period(start_at=first_at, end_at=last_at + 1)
        return {account: cuts.grid(connection, versions=versions, span=span)}

    # Both come in the order of the moments of events.
    while part := list(islice(events, _EVENTS_AT_ONCE)):
        number += len(part)
        within = grids(part[0].occurred_at, part[-1].occurred_at)
        totals = add_totals([*totals, *_sums(part, grids=within)])
    while steps := list(islice(corrected, _EVENTS_AT_ONCE)):
        within = grids(steps[0][0].occurred_at, steps[-1][0].occurred_at)
        totals = add_totals([*totals, *_step_sums(steps, grids=within)])
    return number, tuple(total for total in totals if total.events or total.leaves)


def totals_of(
    connection: Connection,
    *,
    versions: AccountGrid,
    period: Period,
    through_epoch: int,
    since_at: int,
    cuts: AccountCuts,
) -> AccountTotals:
    """The totals of an account in one of its billing periods, up to an epoch.

    ``versions``: those of ``fresh_versions`` in the same transaction. ``since_at``: from which
    moment on earlier ones are read, too, where it is before the period. ``cuts`` spares reading the
    same versions again for many accounts.
    """
    account = versions.account
    earlier: tuple[UsageTotal, ...] = ()
    if since_at < period.start_at:
        before = Period(start_at=since_at, end_at=period.start_at)
        earlier = read_totals(
            connection, account=account, period=before, through_epoch=through_epoch
        )
    return AccountTotals(
        totals=read_totals(connection, account=account, period=period, through_epoch=through_epoch),
        earlier=earlier,
        grid=cuts.grid(connection, versions=versions, span=period),
    )


def fresh_versions(connection: Connection, *, account: str) -> AccountGrid:
    """The newest versions, under which the totals of an account are built.

    StaleTotalsError where they are not: a rate that changed inside a cell has no quantity of its
    own there.
    """
    newest = newest_versions(connection, account=account)
    if stored_account_grid(connection, account=account) not in (None, newest):
        raise StaleTotalsError(
            f"account {account}",
            "its totals are stale, because prices or its agreement changed since they were built; "
            "run tokenworks grid rebuild",
        )
    return newest


def newest_versions(connection: Connection, *, account: str) -> AccountGrid:
    """The versions under which the totals of an account are built from now on."""
    return AccountGrid(
        account=account,
        grid_version=current_grid(connection).version,
        agreement_version=latest_agreement_version(connection, account=account),
    )


@dataclass(slots=True, kw_only=True)
class AccountCuts:
    """The grids of accounts under given versions.

    What it read it remembers, since versions are never edited; use one only inside one command.
    """

    _of_all: dict[int, Grid] = field(default_factory=dict)
    _agreed: dict[tuple[str, int], tuple[Agreement, ...]] = field(default_factory=dict)
    _made: dict[tuple[object, ...], tuple[Period, Grid]] = field(default_factory=dict)

    def grid(self, connection: Connection, *, versions: AccountGrid, span: Period) -> Grid:
        """The grid of an account for usage in a span, under these versions."""
        agreed = self._agreements(connection, versions=versions)
        key = (versions.grid_version, *((one.anchor, one.effective_from) for one in agreed))
        made = self._made.get(key)
        if made is None or not _covers(made[0], span=span):
            wide = Period(start_at=span.start_at - _WIDER, end_at=span.end_at + _WIDER)
            grid = account_grid(
                self._grid_of_all(connection, version=versions.grid_version),
                versions=agreed,
                start_at=wide.start_at,
                end_at=wide.end_at,
            )
            made = self._made[key] = (wide, grid)
        return made[1]

    def _grid_of_all(self, connection: Connection, *, version: int) -> Grid:
        if version not in self._of_all:
            self._of_all[version] = read_grid(connection, version=version).grid
        return self._of_all[version]

    def _agreements(
        self, connection: Connection, *, versions: AccountGrid
    ) -> tuple[Agreement, ...]:
        if versions.agreement_version == 0:
            return ()
        key = (versions.account, versions.agreement_version)
        if key not in self._agreed:
            self._agreed[key] = tuple(
                load_json(
                    Agreement,
                    one.document.encode(),
                    name=f"agreement of {one.account}, version {one.version}",
                )
                for one in read_agreements(connection, account=versions.account)
                if one.version <= versions.agreement_version
            )
        return self._agreed[key]


def _covers(wide: Period, *, span: Period) -> bool:
    return wide.start_at <= span.start_at and span.end_at <= wide.end_at


def is_stale(connection: Connection, *, account: str) -> bool:
    """Whether the totals of an account were built under older versions than the newest ones."""
    built = stored_account_grid(connection, account=account)
    return built is not None and built != newest_versions(connection, account=account)


def _sums(events: Iterable[StoredEvent], *, grids: dict[str, Grid]) -> Iterable[UsageTotal]:
    by_epoch: dict[int, list[StoredEvent]] = {}
    for event in events:
        by_epoch.setdefault(event.epoch, []).append(event)
    for epoch, some in by_epoch.items():
        yield from sum_events(some, epoch=epoch, grids=grids)


def _step_sums(
    steps: Iterable[tuple[StoredEvent, EventStep]], *, grids: dict[str, Grid]
) -> Iterable[UsageTotal]:
    by_kind: dict[tuple[int, bool], list[StoredEvent]] = {}
    for event, step in steps:
        by_kind.setdefault((step.epoch, is_void(step.step)), []).append(event)
    for (epoch, voided), some in by_kind.items():
        summed = sum_events(some, epoch=epoch, grids=grids)
        yield from map(negative, summed) if voided else summed

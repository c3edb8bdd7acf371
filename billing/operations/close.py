"""Closing a month: seal, rate each account's usage, finalize its invoice.

Invariant: an account's period is invoiced whole in one transaction or not at all, usage through the
sealed epoch is billed once however often and by however many the close is run, and what is blocked
is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from billing.domain.agreement.agreement import Agreement
from billing.domain.agreement.billing_periods import AgreedPeriod, billing_periods
from billing.domain.charging.records import UnpricedUsage
from billing.domain.invoice.finalizing import Waiver, not_waived
from billing.operations.account_usage import AccountUsage, summed_usage
from billing.operations.agreement import versions_known
from billing.operations.due import DueInvoice, Horizon, KnownBooks, due_of
from billing.operations.epoch import seal_epoch
from billing.operations.finalize import Issue, finalize_draft
from billing.operations.grid import AccountCuts, fresh_versions, is_stale, rebuild_account
from billing.operations.invoice_number import check_series, text_of
from billing.store.agreements import accounts_with_agreements
from billing.store.epochs import current_epoch
from billing.store.locks import lock_name
from billing.store.points import reach
from billing.store.store import Connection, Store, StoreError
from billing.store.usage_totals import accounts_with_totals
from billing.store.waivers import read_waivers
from pricing_rules.document import DocumentError, JsonValue
from pricing_rules.period import Period, moment_text, parse_month

DEFAULT_SERIES = "INV"

State = Literal[
    "invoiced", "invoiced before", "nothing due", "not over", "blocked", "would invoice"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodClosed:
    """What the close of one period of one account came to.

    ``number``, ``total_minor`` and ``digest`` are those of its invoice, where there is a new one.
    ``period`` is None where the account is blocked by more than the usage of one.
    """

    account: str
    state: State
    period: Period | None = None
    number: str | None = None
    currency: str | None = None
    total_minor: int | None = None
    digest: str | None = None
    corrections: int = 0
    blocked_by: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, JsonValue]:
        """The fields as JSON; those that it has not are absent."""
        value: dict[str, JsonValue] = {
            "account": self.account,
            "period": self.period.text() if self.period else None,
            "state": self.state,
            "number": self.number,
            "currency": self.currency,
            "total_minor": self.total_minor,
            "digest": self.digest,
            "corrections": self.corrections,
            "blocked_by": list(self.blocked_by),
            "findings": list(self.findings),
        }
        return {name: one for name, one in value.items() if one is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseReport:
    """What a close did, by account and period.

    ``through_epoch``: usage up to it was billed. ``known_at``: price books and agreements are those
    known then. ``rebuilt``: accounts whose totals were cut anew first, in a dry run for its own
    eyes. ``open_usage``: sentences on usage of earlier periods that were never closed.
    """

    month: str
    dry_run: bool
    through_epoch: int
    known_at: int
    periods: tuple[PeriodClosed, ...]
    rebuilt: int
    open_usage: tuple[str, ...]

    @property
    def blocked(self) -> tuple[PeriodClosed, ...]:
        """The periods that could not be invoiced."""
        return tuple(one for one in self.periods if one.state == "blocked")

    def as_json(self) -> dict[str, JsonValue]:
        """The report as the document ``tokenworks.close/1``."""
        return {
            "schema": "tokenworks.close/1",
            "month": self.month,
            "dry_run": self.dry_run,
            "through_epoch": self.through_epoch,
            "known_at": moment_text(self.known_at),
            "rebuilt": self.rebuilt,
            "periods": [one.as_json() for one in self.periods],
            "open_usage": list(self.open_usage),
        }

    def summary(self) -> str:
        """One sentence: how many periods came to what, and what was invoiced."""
        states = [one.state for one in self.periods]
        counted = [f"{states.count(s):,} {s}" for s in dict.fromkeys(states)]
        totals: dict[str, int] = {}
        for one in self.periods:
            if one.currency is not None and one.total_minor is not None:
                totals[one.currency] = totals.get(one.currency, 0) + one.total_minor
        money = [f"{total:,} minor units of {code}" for code, total in sorted(totals.items())]
        return (
            f"{self.month} through epoch {self.through_epoch}: "
            + ", ".join(counted or ["no account has an agreement in effect"])
            + (f"; {', '.join(money)}" if money else "")
        )


def close(
    store: Store,
    *,
    month: str,
    by: str,
    now_at: int,
    dry_run: bool = False,
    accounts: Sequence[str] | None = None,
    series: str = DEFAULT_SERIES,
    progress: Callable[[int, int], None] | None = None,
) -> CloseReport:
    """Invoice the billing periods that start in a month (``2026-10``), for all or some accounts.

    Usage is sealed first and billed through that epoch, under the books and agreements known then.
    A period that was invoiced before is left alone, or, where usage came late for it, gets an
    invoice of corrections. An account with unpriced usage that nobody waived is blocked, and the
    others go on. A dry run writes nothing: it rates through the current epoch, and where totals are
    stale it sums the events.

    DocumentError where the month is none, where an account has no agreement, or where the series
    is no name.
    """
    year, named = parse_month(month)
    check_series(series)
    reach("close.started")
    if dry_run:
        with store.read() as connection:
            horizon = Horizon(through_epoch=current_epoch(connection), known_at=now_at)
    else:
        sealed = seal_epoch(store, by=by, now_at=now_at)
        horizon = Horizon(through_epoch=sealed.epoch, known_at=sealed.sealed_at)
        reach("close.sealed")
    chosen, without = _accounts(store, named=accounts)
    run = _Run(
        store=store,
        horizon=horizon,
        books=KnownBooks(as_of=horizon.known_at),
        issue=Issue(series=series, by=by, issued_at=now_at),
        dry_run=dry_run,
    )
    periods: list[PeriodClosed] = []
    for done, account in enumerate(chosen):
        if progress is not None:
            progress(done, len(chosen))
        periods += run.close_account(account, year=year, month=named)
    if progress is not None:
        progress(len(chosen), len(chosen))
    reach("close.done")
    return CloseReport(
        month=month,
        dry_run=dry_run,
        through_epoch=horizon.through_epoch,
        known_at=horizon.known_at,
        periods=tuple(periods),
        rebuilt=len(run.rebuilt),
        open_usage=(
            *run.open_usage,
            *(f"{account}: has usage and no agreement; accept one" for account in without),
        ),
    )


def _accounts(
    store: Store, *, named: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The accounts to close, and where all are, those that have usage and no agreement."""
    with store.read() as connection:
        agreed = accounts_with_agreements(connection)
        if named is None:
            known = set(agreed)
            return agreed, tuple(a for a in accounts_with_totals(connection) if a not in known)
    missing = sorted(set(named) - set(agreed))
    if missing:
        raise DocumentError(f"account {missing[0]:.60}", "has no agreement; check its name")
    return tuple(sorted(set(named))), ()


@dataclass(slots=True, kw_only=True)
class _Run:
    """One run of a close, account by account."""

    store: Store
    horizon: Horizon
    books: KnownBooks
    issue: Issue
    dry_run: bool
    cuts: AccountCuts = field(default_factory=AccountCuts)
    rebuilt: set[str] = field(default_factory=set)
    open_usage: dict[str, None] = field(default_factory=dict)
    """Sentences, each once, in the order of accounts."""

    def close_account(self, account: str, *, year: int, month: int) -> tuple[PeriodClosed, ...]:
        """The billing periods of an account that start in the month, in one transaction.

        What is wrong with one account is told of it, and stops no other.
        """

        def periods(connection: Connection) -> tuple[PeriodClosed, ...]:
            reach("close.account_started")
            return self._periods(connection, account=account, year=year, month=month)

        try:
            if self.dry_run:
                with self.store.read() as connection:
                    closed = periods(connection)
            else:
                closed = self.store.beside(periods)
            reach("close.account_done")
        except StoreError:
            raise
        except DocumentError as error:
            return (PeriodClosed(account=account, state="blocked", blocked_by=(str(error),)),)
        return closed

    def _periods(
        self, connection: Connection, *, account: str, year: int, month: int
    ) -> tuple[PeriodClosed, ...]:
        if not self.dry_run:  # another close of it waits, and finds what this one did
            lock_name(connection, name=f"close {account}")
        versions = versions_known(connection, account=account, as_of=self.horizon.known_at)
        closed: list[PeriodClosed] = []
        usage: AccountUsage | None = None
        for agreed in billing_periods(versions, year=year, month=month):
            if agreed.period.end_at > self.issue.issued_at and not self.dry_run:
                closed.append(_closed(agreed, state="not over"))
                continue
            if usage is None:
                usage = self._usage(connection, account=account)
            closed.append(self._period(connection, agreed=agreed, versions=versions, usage=usage))
        return tuple(closed)

    def _usage(self, connection: Connection, *, account: str) -> AccountUsage:
        """The usage of an account; its totals are rebuilt if they are stale."""
        if is_stale(connection, account=account):
            self.rebuilt.add(account)
            if self.dry_run:
                return summed_usage(connection, account=account, cuts=self.cuts)
            rebuild_account(connection, account=account, cuts=self.cuts)
            reach("close.account_rebuilt")
        versions = fresh_versions(connection, account=account)
        return AccountUsage(connection=connection, versions=versions, cuts=self.cuts)

    def _period(
        self,
        connection: Connection,
        *,
        agreed: AgreedPeriod,
        versions: Sequence[Agreement],
        usage: AccountUsage,
    ) -> PeriodClosed:
        account = agreed.agreement.account
        since = _accepted_since(
            connection, agreed=agreed, known=versions, newest=usage.versions.agreement_version
        )
        if since is not None:
            return _closed(agreed, state="blocked", blocked_by=(since,))
        due = due_of(
            connection,
            agreed=agreed,
            versions=versions,
            horizon=self.horizon,
            books=self.books,
            usage=usage,
        )
        reach("close.account_rated")
        self._note_open(account, due=due)
        draft = due.draft
        if draft is None:
            return _closed(agreed, state="invoiced before" if due.before else "nothing due")
        waivers = _waivers(connection, account=account) if draft.unpriced else ()
        blocking = not_waived(draft, waivers=waivers)
        if blocking:
            return _closed(
                agreed, state="blocked", blocked_by=tuple(_unpriced(one) for one in blocking)
            )
        if not draft.lines:  # all of it is waived
            return _closed(agreed, state="nothing due")
        shown = PeriodClosed(
            account=account,
            period=agreed.period,
            state="would invoice",
            currency=draft.currency,
            total_minor=draft.total_minor,
            corrections=len(draft.corrections),
            findings=draft.findings,
        )
        if self.dry_run:
            return shown
        stored = finalize_draft(
            connection,
            draft=draft,
            issue=self.issue,
            through_epoch=self.horizon.through_epoch,
            corrected=due.corrected,
            waivers=waivers,
        )
        return replace(shown, state="invoiced", number=text_of(stored), digest=stored.digest)

    def _note_open(self, account: str, *, due: DueInvoice) -> None:
        for start_at in due.open_usage:
            sentence = (
                f"{account}: usage of its period from {moment_text(start_at)} has no invoice; "
                "close that month"
                if start_at
                else f"{account}: has usage from before its agreement"
            )
            self.open_usage.setdefault(sentence)


def _accepted_since(
    connection: Connection,
    *,
    agreed: AgreedPeriod,
    known: Sequence[Agreement],
    newest: int,
) -> str | None:
    """A sentence where a version that changes the period was accepted after the epoch was sealed:
    once the period is invoiced under the version before, it could never come into effect.

    ``newest``: the number of the newest version.
    """
    last = max(one.version for one in known)
    if newest == last:
        return None
    for one in versions_known(connection, account=agreed.agreement.account):
        if one.version > last and one.effective_from < agreed.period.end_at:
            return (
                f"version {one.version} of its agreement, in effect from "
                f"{moment_text(one.effective_from)}, was accepted during this close; run it again"
            )
    return None


def _waivers(connection: Connection, *, account: str) -> tuple[Waiver, ...]:
    return tuple(
        Waiver(
            period_start_at=one.period_start_at,
            model=one.model,
            service_tier=one.service_tier,
            unit=one.unit,
        )
        for one in read_waivers(connection, account=account)
    )


def _closed(
    agreed: AgreedPeriod, *, state: State, blocked_by: tuple[str, ...] = ()
) -> PeriodClosed:
    return PeriodClosed(
        account=agreed.agreement.account,
        period=agreed.period,
        state=state,
        blocked_by=blocked_by,
    )


def _unpriced(usage: UnpricedUsage) -> str:
    of_period = (
        ""
        if usage.period_start_at is None
        else (f" of its period from {moment_text(usage.period_start_at)}")
    )
    return (
        f"{usage.quantity:,} {usage.unit} of {usage.model} in {usage.service_tier}{of_period} are "
        f"unpriced: {usage.reason}; publish a price or waive them"
    )

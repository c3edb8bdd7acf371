"""Verifying the usage of one account: totals against events, and what invoices must bill.

Invariant: events are summed anew, never taken from the totals that they are compared with, and what
was billed is rated under the books that were known when it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from billing.domain.agreement.agreement import Agreement
from billing.domain.agreement.billing_periods import AgreedPeriod, billing_period_at
from billing.domain.invoice.due import due_for
from billing.domain.invoice.invoice import Cover, Invoice
from billing.domain.verification.amounts import RatedPeriod, rated_period
from billing.domain.verification.equations import Damage
from billing.domain.verification.invoices import Billed, rated_quantities
from billing.domain.verification.usage import (
    AccountUnit,
    EventState,
    cells_equal_events,
    counted_up,
    counts_by_unit,
    state_of,
)
from billing.operations.agreement import versions_known
from billing.operations.due import KnownBooks
from billing.operations.grid import AccountCuts, newest_versions, sum_account
from billing.store.epochs import epoch_sealed_at
from billing.store.grid import account_grid
from billing.store.store import Connection
from billing.store.usage_totals import DamagedTotalError, read_all_totals
from billing.store.waivers import read_waivers
from pricing_rules.document import DocumentError
from pricing_rules.period import LAST_MOMENT_AT, Period, moment_text
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Rating, rate_totals
from pricing_rules.usage.totals import BILLABLE_OUTCOMES, Grid, UsageTotal

Waived = frozenset[tuple[int, str, str, str]]
"""Period start, model, service tier and unit of what was waived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChecked:
    """What was counted of one account: its totals and its events by unit, the states of its events,
    and what its invoices must bill."""

    totals: Mapping[AccountUnit, int]
    events: Mapping[AccountUnit, int]
    states: Mapping[EventState, int]
    rated: Mapping[Billed, int]
    periods: tuple[RatedPeriod, ...]
    damage: tuple[Damage, ...]


@dataclass(slots=True, kw_only=True)
class UsageChecker:
    """Checks accounts in one transaction; books and cuts are read once for all."""

    connection: Connection
    cuts: AccountCuts = field(default_factory=AccountCuts)
    _books: dict[int, KnownBooks] = field(default_factory=dict)

    def check(self, account: str, *, invoices: Sequence[Invoice]) -> AccountChecked:
        """Count the usage of an account twice; ``invoices`` are its final ones, as issued."""
        stored: tuple[UsageTotal, ...] | None = None
        damage: tuple[Damage, ...] = ()
        try:
            stored = read_all_totals(self.connection, account=account)
        except DamagedTotalError as error:  # its events tell what it must be
            damage = (Damage(kind="total", where=error.where, sentence=error.sentence),)
        built = account_grid(self.connection, account=account)
        if stored and built is None:
            damage = (_unknown_cuts(account, sentence="nothing says how its totals were cut"),)
        try:
            newest = newest_versions(self.connection, account=account)
            _, summed = sum_account(self.connection, versions=built or newest, cuts=self.cuts)
        except (LookupError, ValueError, OverflowError) as error:
            # Cuts are gone, or they or an event are damaged, such as one of the year 20,000.
            told = isinstance(error, LookupError | DocumentError)
            sentence = str(error) if told else f"its events cannot be cut by time: {error}"
            unknown = _unknown_cuts(account, sentence=sentence)
            return AccountChecked(
                totals={}, events={}, states={}, rated={}, periods=(), damage=(*damage, unknown)
            )
        stored = summed if stored is None else stored
        totals, events = counts_by_unit(stored), counts_by_unit(summed)
        if totals == events:  # else the account is named by its unit
            damage = (*damage, *cells_equal_events(stored, summed=summed).damage)
        fresh = stored
        if built not in (None, newest):  # stale: what is due is of totals as they will be cut
            _, fresh = sum_account(self.connection, versions=newest, cuts=self.cuts)
        states: dict[EventState, int] = {}
        rated: dict[Billed, int] = {}
        periods: list[RatedPeriod] = []
        try:
            self._rate(
                account,
                # An outcome that is none is damage, and is named with its cell or its event.
                totals=[one for one in fresh if one.cell.outcome in BILLABLE_OUTCOMES],
                invoices=invoices,
                states=states,
                rated=rated,
                periods=periods,
            )
        except (ValueError, OverflowError) as error:
            # pydantic's: of names, counts and moments that no event has
            told = isinstance(error, DocumentError)
            sentence = str(error) if told else "its totals are of usage that cannot be rated"
            damage = (
                *damage,
                Damage(kind="quantity", where=f"account {account}", sentence=sentence),
            )
        return AccountChecked(
            totals=totals,
            events=events,
            states=states,
            rated=rated,
            periods=tuple(periods),
            damage=damage,
        )

    def _rate(
        self,
        account: str,
        *,
        totals: Sequence[UsageTotal],
        invoices: Sequence[Invoice],
        states: dict[EventState, int],
        rated: dict[Billed, int],
        periods: list[RatedPeriod],
    ) -> None:
        versions = versions_known(self.connection, account=account)
        covers = {cover.start_at: cover for invoice in invoices for cover in invoice.covers or ()}
        waived: Waived = frozenset(
            (one.period_start_at, one.model, one.service_tier, one.unit)
            for one in read_waivers(self.connection, account=account)
        )
        for agreed, part in _by_period(totals, versions=versions):
            cover = covers.get(agreed.period.start_at) if agreed else None
            billed = [t for t in part if cover is not None and t.cell.epoch <= cover.through_epoch]
            later = [t for t in part if cover is None or t.cell.epoch > cover.through_epoch]
            for some, known_at in ((billed, self._known_at(cover)), (later, LAST_MOMENT_AT)):
                if not some:
                    continue
                through = cover.through_epoch if some is billed and cover else LAST_MOMENT_AT
                pricing = self._pricing(
                    agreed,
                    # What came later may take away of what was billed: it is rated with that.
                    totals=billed if some is billed else part,
                    others=(t for t in totals if t.cell.epoch <= through),
                    known_at=known_at,
                    waived=waived,
                )
                for total in some:
                    state = state_of(
                        total.cell.segment_start_at,
                        epoch=total.cell.epoch,
                        billable=BILLABLE_OUTCOMES[total.cell.outcome],
                        rated=pricing.of(total),
                        covers=covers.values(),
                    )
                    states[state] = states.get(state, 0) + total.events
                if some is billed and agreed and pricing.rating and pricing.books:
                    start_at = agreed.period.start_at
                    rated |= rated_quantities(pricing.rating, period_start_at=start_at)
                    due = due_for(
                        pricing.rating,
                        agreement=agreed.agreement,
                        books=pricing.books,
                        period=agreed.period,
                    )
                    periods.append(rated_period(due))

    def _pricing(
        self,
        agreed: AgreedPeriod | None,
        *,
        totals: Sequence[UsageTotal],
        others: Iterable[UsageTotal],
        known_at: int,
        waived: Waived,
    ) -> _Pricing:
        if agreed is None:
            return _Pricing()
        series = agreed.agreement.series
        known = self._books.setdefault(known_at, KnownBooks(as_of=known_at))
        books = known.of(series, connection=self.connection)
        if books is None:
            return _Pricing(nothing_priced=True)
        grid = self.cuts.grid(
            self.connection,
            versions=newest_versions(self.connection, account=agreed.agreement.account),
            span=agreed.period,
        )
        since_at, start_at = books.allowances_since_at(agreed.period), agreed.period.start_at
        earlier: Sequence[UsageTotal] = ()
        if since_at < start_at:
            earlier = [t for t in others if since_at <= t.cell.segment_start_at < start_at]
        return _Pricing(
            rating=rate_totals(totals, books=books, grid=grid, earlier=earlier),
            books=books,
            grid=grid,
            start_at=start_at,
            waived=waived,
        )

    def _known_at(self, cover: Cover | None) -> int:
        if cover is None:
            return LAST_MOMENT_AT
        sealed_at = epoch_sealed_at(self.connection, epoch=cover.through_epoch)
        if sealed_at is None:
            raise DocumentError(
                "invoices",
                f"cover the period from {moment_text(cover.start_at)} through epoch "
                f"{cover.through_epoch}, which was never sealed",
            )
        return sealed_at


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pricing:
    """Whether the cells of a period have rates; without books and rating, nobody has asked."""

    rating: Rating | None = None
    books: BooksInForce | None = None
    grid: Grid = field(default_factory=Grid)
    start_at: int = 0
    waived: Waived = frozenset()
    nothing_priced: bool = False

    def of(self, total: UsageTotal) -> Literal["priced", "unpriced", "waived"]:
        if self.nothing_priced:
            return "unpriced"
        if self.rating is None or self.books is None or not self.rating.unpriced:
            return "priced"
        cell = total.cell
        named = {(one.model, one.service_tier) for one in self.rating.unpriced}
        if (cell.model, cell.service_tier) not in named:
            return "priced"
        # Two cells of one model may differ: only rating this one alone says which of both it is.
        alone = rate_totals([counted_up(total)], books=self.books, grid=self.grid).unpriced
        left = {
            one
            for one in alone
            if (self.start_at, one.model, one.service_tier, one.unit) not in self.waived
        }
        return "unpriced" if left else "waived" if alone else "priced"


def _unknown_cuts(account: str, *, sentence: str) -> Damage:
    return Damage(kind="total", where=f"account {account}", sentence=sentence)


def _by_period(
    totals: Iterable[UsageTotal], *, versions: Sequence[Agreement]
) -> Iterable[tuple[AgreedPeriod | None, list[UsageTotal]]]:
    """The totals by billing period; None is before the first agreement."""
    segments: dict[int, AgreedPeriod | None] = {}
    found: dict[Period | None, tuple[AgreedPeriod | None, list[UsageTotal]]] = {}
    for total in totals:
        start_at = total.cell.segment_start_at
        if start_at not in segments:
            segments[start_at] = billing_period_at(versions, moment_at=start_at)
        agreed = segments[start_at]
        key = agreed.period if agreed else None
        found.setdefault(key, (agreed, []))[1].append(total)
    return found.values()

"""The usage of one account, as a close reads it: from its totals, or summed from its events.

Invariant: both ways give the same totals, cut as the newest versions cut them.
"""

from __future__ import annotations

from dataclasses import dataclass

from billing.operations.grid import (
    AccountCuts,
    AccountTotals,
    newest_versions,
    sum_account,
    totals_of,
)
from billing.store.grid import AccountGrid
from billing.store.store import Connection
from billing.store.usage_totals import SegmentUse, read_segments
from pricing_rules.period import Period
from pricing_rules.usage.totals import UsageTotal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUsage:
    """The usage of an account in one transaction; ``versions`` are the newest ones.

    ``summed``: its totals from events, for where those that are stored are stale and nothing is
    written; None where the stored ones are read.
    """

    connection: Connection
    versions: AccountGrid
    cuts: AccountCuts
    summed: tuple[UsageTotal, ...] | None = None

    def segments(self, *, through_epoch: int) -> tuple[SegmentUse, ...]:
        """In which time segments there is usage, of which epochs up to one, as
        ``read_segments`` gives them.
        """
        if self.summed is None:
            account = self.versions.account
            return read_segments(self.connection, account=account, through_epoch=through_epoch)
        events: dict[tuple[int, int, str], int] = {}
        for total in self.summed:
            cell = total.cell
            if cell.epoch <= through_epoch:
                key = (cell.segment_start_at, cell.epoch, cell.outcome)
                events[key] = events.get(key, 0) + total.events
        return tuple(
            SegmentUse(segment_start_at=start_at, epoch=epoch, outcome=outcome, events=number)
            for (start_at, epoch, outcome), number in sorted(events.items())
        )

    def totals(self, period: Period, *, through_epoch: int, since_at: int) -> AccountTotals:
        """The totals of a billing period up to an epoch, with those of the time before it from
        ``since_at`` on, as ``totals_of`` gives them.
        """
        if self.summed is None:
            return totals_of(
                self.connection,
                versions=self.versions,
                period=period,
                through_epoch=through_epoch,
                since_at=since_at,
                cuts=self.cuts,
            )
        known = [total for total in self.summed if total.cell.epoch <= through_epoch]
        return AccountTotals(
            totals=tuple(t for t in known if t.cell.segment_start_at in period),
            earlier=tuple(
                t for t in known if since_at <= t.cell.segment_start_at < period.start_at
            ),
            grid=self.cuts.grid(self.connection, versions=self.versions, span=period),
        )


def summed_usage(connection: Connection, *, account: str, cuts: AccountCuts) -> AccountUsage:
    """The usage of an account from its events, in a transaction that need not write."""
    versions = newest_versions(connection, account=account)
    _, totals = sum_account(connection, versions=versions, cuts=cuts)
    return AccountUsage(connection=connection, versions=versions, cuts=cuts, summed=totals)

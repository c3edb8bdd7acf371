"""What every way in has in common: whose identities events have, when they may have happened, and
the totals that are kept beside them.

Invariant: the totals of new events are added in the transaction that stores the events, each under
the versions that the totals of its account were built under.
"""

from __future__ import annotations

from collections.abc import Sequence

from billing.engines.event_sums import sum_events
from billing.operations.grid import AccountCuts
from billing.store.agreements import latest_agreement_versions
from billing.store.events import NewEvent
from billing.store.grid import (
    AccountGrid,
    append_account_grids,
    current_grid,
    share_account_grids,
)
from billing.store.store import Connection
from billing.store.usage_totals import add_totals
from pricing_rules.period import MICROSECONDS, Period, moment_text, parse_moment

OWNER = "provider"
"""Who owns the identities of events: one deployment serves one provider."""


def owner_of(account: str | None) -> str:
    """Whose identities events have that come with a key of this account, if of one at all."""
    return f"account:{account}" if account else OWNER


FIRST_EVENT_AT = parse_moment("2000-01-01T00:00:00Z")
FUTURE_MINUTES = 15
"""When an event may have happened: not before that moment, nor longer after it came in than
clocks differ.
"""


def last_event_at(now_at: int) -> int:
    """The last moment at which an event that comes in now may have happened."""
    return now_at + FUTURE_MINUTES * 60 * MICROSECONDS


def out_of_time(moment_at: int, *, now_at: int) -> str:
    """Why an event of this moment is refused when it comes in at ``now_at``."""
    if moment_at < FIRST_EVENT_AT:
        return f"{moment_text(moment_at)} lies before {moment_text(FIRST_EVENT_AT)}; correct it"
    return (
        f"{moment_text(moment_at)} lies more than {FUTURE_MINUTES} minutes after it came in at "
        f"{moment_text(now_at)}; correct it, or send it anew when it has happened"
    )


def keep_totals(
    connection: Connection, *, events: Sequence[NewEvent], epoch: int, cuts: AccountCuts
) -> None:
    """Add new events to the totals of their accounts, each under the versions of its own."""
    accounts = sorted({event.account for event in events})
    built = share_account_grids(connection, accounts=accounts)
    first_seen = [account for account in accounts if account not in built]
    if first_seen:
        newest, agreed = current_grid(connection), latest_agreement_versions(connection)
        made = [
            AccountGrid(
                account=account,
                grid_version=newest.version,
                agreement_version=agreed.get(account, 0),
            )
            for account in first_seen
        ]
        append_account_grids(connection, grids=made)
        # As they stand: others may have seen them first meanwhile.
        built |= share_account_grids(connection, accounts=first_seen)
    moments = [event.occurred_at for event in events]
    span = Period(start_at=min(moments), end_at=max(moments) + 1)
    grids = {
        account: cuts.grid(connection, versions=built[account], span=span) for account in accounts
    }
    add_totals(connection, totals=sum_events(events, epoch=epoch, grids=grids))

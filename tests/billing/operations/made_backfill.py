"""Backfills of the account a, staged and applied as the service does it, and what counts then.

Invariant: what counts is read from the tables of events and steps, past the functions under test.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import text

from billing.operations.applied_backfill import apply_backfill, revert_backfill
from billing.operations.backfill import ShownBackfill, StagedEvent, open_backfill, stage
from billing.operations.grid import AccountCuts, sum_account
from billing.operations.submitted import submission
from billing.store.events import NewEvent
from billing.store.grid import account_grid
from billing.store.store import Store
from billing.store.usage_totals import read_all_totals
from pricing_rules.period import Period, parse_period
from pricing_rules.usage.totals import UsageTotal, add_totals
from tests.billing.operations.made_ingest import NOW_AT, Json
from tests.journeys.made_files import cloud_event, event

OCTOBER = parse_period("2026-10-01/2026-11-01", zone="UTC")

_COUNTING = """
SELECT id, units FROM events WHERE account = 'a' AND (
    SELECT COUNT(*) FROM event_corrections WHERE event = events.seq
) % 2 = 0
"""


def inputs(number: int, count: int = 10, **fields: Json) -> Json:
    """Event ``e<number>`` of some input tokens."""
    return event(number, {"input_tokens": count}, **fields)


def checked(events: Sequence[Json]) -> Sequence[NewEvent]:
    """Events as a request submits them."""
    body = "\n".join(json.dumps(cloud_event(one)) for one in events).encode()
    found = submission(body, form="lines", request="r", account="", now_at=NOW_AT)
    assert not found.refused
    return found.events


def opened(
    store: Store, name: str = "bf_1", *, period: Period = OCTOBER, account: str = "a"
) -> ShownBackfill:
    """An open backfill."""
    with store.write() as connection:
        return open_backfill(
            connection,
            backfill=name,
            account=account,
            period=period,
            reason="the meter was wrong",
            by="dana",
            now_at=NOW_AT,
        )


def staged(store: Store, events: Sequence[Json], *, name: str = "bf_1") -> tuple[StagedEvent, ...]:
    """What became of events that come to be staged."""
    rows = checked(events) if events else ()
    return store.beside(lambda connection: stage(connection, backfill=name, events=rows))


def applied(store: Store, count: int, *, name: str = "bf_1", now_at: int = NOW_AT) -> ShownBackfill:
    """A backfill of so many staged events, applied."""
    return store.beside(
        lambda connection: apply_backfill(
            connection, backfill=name, events=count, by="dana", now_at=now_at
        )
    )


def backfilled(
    store: Store,
    events: Sequence[Json],
    *,
    name: str = "bf_1",
    period: Period = OCTOBER,
    now_at: int = NOW_AT,
) -> ShownBackfill:
    """A backfill that states these events, from opening to applying it."""
    opened(store, name, period=period)
    assert {one.kind for one in staged(store, events, name=name)} <= {"accepted"}
    return applied(store, len(events), name=name, now_at=now_at)


def reverted(
    store: Store, *, name: str = "bf_1", reversal: str = "rv_1", now_at: int = NOW_AT
) -> ShownBackfill:
    """A backfill that was reverted."""
    return store.beside(
        lambda connection: revert_backfill(
            connection,
            backfill=name,
            reversal=reversal,
            reason="the meter was right",
            by="dana",
            now_at=now_at,
        )
    )


def changes(shown: ShownBackfill) -> tuple[int, int, int, int]:
    """Added, kept, restored, voided."""
    assert shown.changes is not None
    one = shown.changes
    return one.added, one.kept, one.restored, one.voided


def counting(store: Store) -> Mapping[str, int]:
    """The input tokens of each event of the account that counts, by id."""
    with store.read() as connection:
        rows = connection.execute(text(_COUNTING)).all()
    return {name: json.loads(units).get("input_tokens", 0) for name, units in rows}


def net_totals(store: Store) -> tuple[UsageTotal, ...]:
    """The kept totals of the account, which are also those of its events, epoch by epoch."""
    with store.read() as connection:
        kept = add_totals(read_all_totals(connection, account="a"))
        versions = account_grid(connection, account="a")
        if versions is None:
            assert not kept
            return kept
        _, summed = sum_account(connection, versions=versions, cuts=AccountCuts())
    assert _told(kept) == _told(summed)
    return kept


def tokens(store: Store) -> int:
    """The input tokens of the account by its totals, over all epochs."""
    return sum(total.leaves.get("input_tokens", 0) for total in net_totals(store))


def _told(totals: Sequence[UsageTotal]) -> Counter[tuple[object, str]]:
    """Every count that is not zero, by cell and leaf."""
    found: Counter[tuple[object, str]] = Counter()
    for total in totals:
        for leaf, count in (("requests", total.events), *total.leaves.items()):
            if count:
                found[total.cell, leaf] += count
    return found

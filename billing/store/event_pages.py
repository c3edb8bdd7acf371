"""Stored events of one account, a page at a time.

Invariant: pages are in order of (occurred_at, seq), which no two events share, and hold events up
to a given ``seq`` alone, so that what comes in meanwhile is on none of them (I47).
"""

from __future__ import annotations

from sqlalchemy import Connection, literal, select, tuple_

from billing.store.events import StoredEvent, stored_event
from billing.store.tables import EVENTS
from pricing_rules.period import Period


def read_event_page(
    connection: Connection,
    *,
    account: str,
    period: Period | None,
    through_seq: int,
    after: tuple[int, int] | None,
    limit: int,
) -> tuple[StoredEvent, ...]:
    """At most ``limit`` events of an account by (occurred_at, seq), voided ones too.

    ``period``: only those that occurred in it; ``after``: only those after this place.
    """
    place = (EVENTS.c.occurred_at, EVENTS.c.seq)
    query = select(EVENTS).where(EVENTS.c.account == account, EVENTS.c.seq <= through_seq)
    if period is not None:
        query = query.where(
            EVENTS.c.occurred_at >= period.start_at, EVENTS.c.occurred_at < period.end_at
        )
    if after is not None:
        # The first part alone finds the place in the index.
        query = query.where(
            EVENTS.c.occurred_at >= after[0],
            tuple_(*place) > tuple_(*(literal(part) for part in after)),
        )
    rows = connection.execute(query.order_by(*place).limit(limit))
    return tuple(stored_event(row) for row in rows)

"""Events taken in and corrected on a store, for tests of corrections.

Invariant: what comes in is counted as a delivery, so that the store adds up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from billing.operations.backfill import stage
from billing.operations.correction import Corrected, WantedCorrection, correct_events
from billing.operations.epoch import seal_epoch
from billing.operations.grid import AccountCuts
from billing.operations.new_events import sent_event
from billing.operations.reversal import Reverted, revert
from billing.operations.taken_in import OWNER, keep_totals
from billing.store.deliveries import append_delivery
from billing.store.epochs import current_epoch
from billing.store.events import NewEvent, append_events
from billing.store.store import Connection, Store
from billing.store.usage_totals import read_all_totals
from pricing_rules.period import Period, parse_moment
from pricing_rules.usage.units import REQUESTS
from tests.billing.operations.made_backfill import OCTOBER, applied, opened
from tests.billing.store.made_rows import delivery

NOON_AT = parse_moment("2026-10-02T12:00:00Z")
NOW_AT = parse_moment("2026-11-02T08:00:00Z")

_deliveries = count()


def usage(
    event_id: str = "e1",
    tokens: int = 10,
    *,
    account: str = "a",
    occurred_at: int = NOON_AT,
    model: str = "m",
    source: str = "gw",
) -> NewEvent:
    """An event with input tokens."""
    fixed = (event_id, source, account, occurred_at, model, "standard", "", tokens, "completed")
    counts = {"input_tokens": tokens}
    return sent_event((fixed, counts, {}, counts), received_at=0)


def take_in(store: Store, *events: NewEvent, owner: str = OWNER) -> None:
    """Store events that are new, with their totals and a delivery."""

    def work(connection: Connection) -> None:
        epoch = current_epoch(connection)
        verdicts = append_events(
            connection, owner=owner, rows=events, epoch=epoch, received_at=NOW_AT
        )
        assert [verdict.kind for verdict in verdicts] == ["accepted"] * len(events)
        keep_totals(connection, events=events, epoch=epoch, cuts=AccountCuts())
        counts = {"received": len(events), "accepted": len(events)}
        made = delivery(
            name=f"t:{next(_deliveries)}", **counts, duplicate=0, conflict=0, rejected=0
        )
        append_delivery(connection, delivery=made, refusals=())

    store.beside(work)


def void(event_id: str = "e1", *, reason: str = "sent twice") -> WantedCorrection:
    """That an event is to be voided."""
    return WantedCorrection(source="gw", id=event_id, reason=reason)


def amend(event_id: str, event: NewEvent) -> WantedCorrection:
    """That an event is to be amended."""
    return WantedCorrection(source="gw", id=event_id, reason="was wrong", event=event)


def correct(
    store: Store, *wanted: WantedCorrection, owner: str = OWNER, now_at: int = NOW_AT
) -> tuple[Corrected, ...]:
    """Correct events."""
    return store.beside(
        lambda connection: correct_events(
            connection, owner=owner, wanted=wanted, by="dana", now_at=now_at
        )
    )


def take_back(store: Store, correction: str) -> Reverted:
    """Revert a correction."""
    return revert(store, correction=correction, reason="was right", by="dana", now_at=NOW_AT)


def sealed(store: Store) -> None:
    """Seal the epoch, if anything came since the last seal."""
    seal_epoch(store, by="dana", now_at=NOW_AT)


def counted(store: Store, *, account: str = "a") -> Mapping[tuple[int, str], int]:
    """The totals of an account by epoch and unit, without zeros."""
    found: dict[tuple[int, str], int] = {}
    with store.read() as connection:
        totals = read_all_totals(connection, account=account)
    for total in totals:
        for unit, number in ((REQUESTS, total.events), *total.leaves.items()):
            key = (total.cell.epoch, unit)
            found[key] = found.get(key, 0) + number
    return {key: number for key, number in found.items() if number}


def verdicts(corrected: Sequence[Corrected]) -> list[str]:
    """What became of corrections, in order."""
    return [one.verdict for one in corrected]


def state(
    store: Store,
    name: str,
    *events: NewEvent,
    account: str = "a",
    period: Period = OCTOBER,
    now_at: int = NOW_AT,
) -> None:
    """A backfill that was applied: the usage of an account in a period is exactly these events."""
    opened(store, name, period=period, account=account)
    store.beside(lambda connection: stage(connection, backfill=name, events=events))
    applied(store, len(events), name=name, now_at=now_at)

"""What is done to a store, one transaction at a time: the steps of the machine, as plain data.

``python -m tests.survival.steps`` does each step that it is told in a process of its own, which
ends at a point.

Invariant: a step does the same in the process of the tests and in one that is about to be killed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy.dialects import sqlite  # noqa: F401

with suppress(ImportError):
    import psycopg  # noqa: F401
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

from billing.operations.applied_backfill import apply_backfill, revert_backfill
from billing.operations.backfill import ShownBackfill, drop_staged, open_backfill, stage
from billing.operations.correction import WantedCorrection, correct_events
from billing.operations.epoch import seal_epoch
from billing.operations.grid import rebuild, register_cuts
from billing.operations.reversal import revert
from billing.operations.submitted import submission
from billing.operations.taken_in import OWNER
from billing.operations.writer import Settled, Submission, Writer
from billing.store.events import NewEvent
from billing.store.store import Connection, Store, open_store
from pricing_rules.document import DocumentError
from pricing_rules.period import Period, moment_text
from pricing_rules.prices.price_book import load_price_book
from tests.billing.api.made_service import lines
from tests.journeys.made_files import book, card, rate_of
from tests.survival.forking import fork_for_each_order, killed_at
from tests.survival.planted_bugs import PLANTED, PLANTED_IN_STEPS

Json = Any
Step = Mapping[str, Any]

REFUSED = "refused"
"""What a step comes to that the operation refuses as a whole."""


def submissions(step: Step) -> list[Submission]:
    """The requests of a step, as the service makes them."""
    return [
        submission(
            lines(request["events"]),
            form="lines",
            request=f"r{number}",
            account=request["account"],
            now_at=step["now_at"],
        )
        for number, request in enumerate(step["requests"])
    ]


def new_events(events: Sequence[Json], *, now_at: int) -> Sequence[NewEvent]:
    """Events of the provider as the service makes them; what is refused is left out."""
    step = {"now_at": now_at, "requests": [{"account": "", "events": events}]}
    return submissions(step)[0].events


def do(store: Store, *, step: Step) -> Json:
    """Do a step; gives what it says."""
    try:
        return _STEPS[step["do"]](store, step)
    except DocumentError:
        return REFUSED


def _submit(store: Store, step: Step) -> list[list[str]]:
    """Requests that wait together, so that they are one group: the verdicts of each."""
    told: dict[str, Settled] = {}

    def announce(group: Sequence[Settled]) -> None:
        told.update({one.submission.request: one for one in group})

    writer = Writer(
        store=store, clock=lambda: step["now_at"], announce=announce, waiting_events=10_000
    )
    for one in submissions(step):
        writer.submit(one)
    writer.start()
    writer.stop()
    for settled in told.values():
        if settled.error is not None:
            raise settled.error
    return [[one.kind for one in told[name].verdicts] for name in sorted(told)]


def _correct(store: Store, step: Step) -> list[str]:
    now_at = step["now_at"]
    wanted = [
        WantedCorrection(
            source=one["source"],
            id=one["id"],
            reason="a test",
            event=None if one["event"] is None else new_events([one["event"]], now_at=now_at)[0],
        )
        for one in step["corrections"]
    ]
    corrected = store.beside(
        lambda connection: correct_events(
            connection, owner=OWNER, wanted=wanted, by="me", now_at=now_at
        )
    )
    return [one.verdict for one in corrected]


def _revert(store: Store, step: Step) -> bool:
    name, now_at = step["correction"], step["now_at"]
    return revert(store, correction=name, reason="a test", by="me", now_at=now_at).new


def _seal(store: Store, step: Step) -> bool:
    return seal_epoch(store, by="me", now_at=step["now_at"]).new


def _cut(store: Store, step: Step) -> None:
    """Prices change at an instant: totals that it splits become stale."""
    value = book(card(rate_of("input_tokens", "2")), effective_from=moment_text(step["instant_at"]))
    made = load_price_book(json.dumps(value).encode(), name="book.json")
    with store.write() as connection:
        register_cuts(connection, books=(made,), reason="a book", now_at=step["now_at"])


def _rebuild(store: Store, step: Step) -> int:
    return len(rebuild(store, accounts=None, by="me", now_at=step["now_at"]).rebuilt)


def _open(store: Store, step: Step) -> None:
    start_at, end_at = step["period"]

    def open_it(connection: Connection) -> ShownBackfill:
        return open_backfill(
            connection,
            backfill=step["backfill"],
            account=step["account"],
            period=Period(start_at=start_at, end_at=end_at),
            reason="a test",
            by="me",
            now_at=step["now_at"],
        )

    store.beside(open_it)


def _stage(store: Store, step: Step) -> list[str]:
    events = new_events(step["events"], now_at=step["now_at"])
    staged = store.beside(lambda c: stage(c, backfill=step["backfill"], events=events))
    return [one.kind for one in staged]


def _drop(store: Store, step: Step) -> None:
    name, now_at = step["backfill"], step["now_at"]
    store.beside(lambda c: drop_staged(c, backfill=name, by="me", now_at=now_at))


def _apply(store: Store, step: Step) -> Json:
    name, events, now_at = step["backfill"], step["count"], step["now_at"]
    shown = store.beside(
        lambda c: apply_backfill(c, backfill=name, events=events, by="me", now_at=now_at)
    )
    return {key: shown.as_json()[key] for key in ("added", "kept", "restored", "voided")}


def _revert_backfill(store: Store, step: Step) -> str:
    name, now_at = step["backfill"], step["now_at"]

    def revert_it(connection: Connection) -> ShownBackfill:
        return revert_backfill(
            connection,
            backfill=name,
            reversal=f"reversal of {name}",
            reason="a test",
            by="me",
            now_at=now_at,
        )

    return store.beside(revert_it).state


_STEPS = {
    "submit": _submit,
    "correct": _correct,
    "revert": _revert,
    "seal": _seal,
    "cut": _cut,
    "rebuild": _rebuild,
    "open": _open,
    "stage": _stage,
    "drop": _drop,
    "apply": _apply,
    "revert backfill": _revert_backfill,
}


def _do_and_die(order: dict[str, Any]) -> None:
    if order["bug"]:
        {**PLANTED, **PLANTED_IN_STEPS}[order["bug"]]()
    with open_store(order["store"]) as store, killed_at(order["point"], nth=1):
        do(store, step=order["step"])


if __name__ == "__main__":
    fork_for_each_order(_do_and_die)

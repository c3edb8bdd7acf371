"""Anything is done to a store in any order, with crashes between, and it is what a naive model says
(I1 to I3, I11 to I14, I40 to I42; faults 1 to 4, 42 to 47, 50, 52, 55, 57).

Invariant: each fault came as often as is stated, and a machine with a planted bug fails.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from billing.operations import (
    announcement,
    applied_backfill,
    correction,
    reversal,
    submitted,
    taken_in,
    writer,
)
from billing.operations.new_events import sent_event
from billing.store.backfill_changes import read_range
from billing.store.deliveries import append_delivery
from billing.store.events import append_events
from billing.store.usage_totals import add_totals
from billing.store.webhooks import append_message
from tests.billing.operations.made_ingest import own_folder
from tests.billing.store.postgresql_server import Server
from tests.survival.backfill_machine import DYING, BackfillMachine
from tests.survival.forking import Give, giving_orders
from tests.survival.machine import FIRED, POINTS, DamageError, Machine

ENOUGH: Mapping[str, int] = {
    "accepted": 60,
    "duplicate": 10,
    "conflict": 10,
    "rejected": 40,
    "out of order": 40,
    "clock back": 5,
    "seal": 2,
    "seal: refused": 1,
    "void: accepted": 2,
    "void: duplicate": 1,
    "amend: accepted": 2,
    "revert": 1,
    "cut": 5,
    "rebuild": 2,
    "page": 10,
    "verified": 20,
    **{f"killed at {point}": 1 for point in POINTS},
    "timeless again": 5,
    "staged: accepted": 10,
    "staged: duplicate": 1,
    "staged: conflict": 2,
    "staged: rejected": 10,
    "dropped": 1,
    "backfill applied": 10,
    "backfill not applied": 2,
    "backfill added": 2,
    "backfill kept": 2,
    "backfill restored": 2,
    "backfill voided": 10,
    "backfill reverted": 2,
    "backfill not reverted": 2,
    "seal killed at webhook.sendings_appended": 1,
    **{f"apply killed at {point}": 1 for point in DYING["apply"]},
}
"""How often each must have come, in the shortest run."""


@pytest.fixture(scope="module")
def give() -> Iterator[Give]:
    """What lets another process do a step and die."""
    with giving_orders("tests.survival.steps", environment={}) as given:
        yield given


@contextmanager
def sqlite_place() -> Iterator[str]:
    with own_folder() as folder:
        yield str(folder / "store.db")


def run_machine(
    place: Callable[[], AbstractContextManager[str]],
    *,
    give: Give,
    share: int,
    bug: str = "",
    phases: tuple[Phase, ...] = tuple(Phase),
    kind: type[Machine] = Machine,
) -> None:
    """Run as many machines as a share of the examples of the profile."""
    name, fields = "Machine", {"place": staticmethod(place), "give": staticmethod(give)}
    machine = type(name, (kind,), {**fields, "bug": bug})
    run = settings(
        max_examples=max(1, settings().max_examples // share),
        stateful_step_count=35,
        phases=phases,
    )
    run_state_machine_as_test(machine, settings=run)


def test_whatever_is_done_the_store_is_what_the_model_says(give: Give) -> None:
    FIRED.clear()
    run_machine(sqlite_place, give=give, share=6)
    run_machine(sqlite_place, give=give, share=10, kind=BackfillMachine)
    print(dict(sorted(FIRED.items())))
    assert {what: FIRED[what] for what in ENOUGH if FIRED[what] < ENOUGH[what]} == {}


def test_whatever_is_done_the_store_is_what_the_model_says_on_postgresql(
    give: Give, server: Server
) -> None:
    FIRED.clear()
    for kind in (Machine, BackfillMachine):
        run_machine(lambda: server.database(template="made"), give=give, share=40, kind=kind)
    print(dict(sorted(FIRED.items())))
    assert FIRED["accepted"] > 10
    assert FIRED["backfill applied"] > 1
    assert sum(FIRED[f"killed at {point}"] for point in POINTS) > 3


def totals_of_two_events_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    def add(connection, *, totals):  # type: ignore[no-untyped-def]
        add_totals(connection, totals=[one for one in totals if one.events != 2])

    monkeypatch.setattr(taken_in, "add_totals", add)


def identities_by_size_of_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def append(connection, *, owner, **fields):  # type: ignore[no-untyped-def]
        named = f"{owner} {len(fields['rows']) % 2}"
        return append_events(connection, owner=named, **fields)

    monkeypatch.setattr(writer, "append_events", append)


def voids_counted_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correction, "keep_corrected", lambda connection, **fields: None)


def refusals_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def append(connection, *, delivery, refusals):  # type: ignore[no-untyped-def]
        if not refusals:
            append_delivery(connection, delivery=delivery, refusals=refusals)

    monkeypatch.setattr(writer, "append_delivery", append)


def moments_of_receipt_in_the_content(monkeypatch: pytest.MonkeyPatch) -> None:
    def sent(row, *, received_at):  # type: ignore[no-untyped-def]
        made = sent_event(row, received_at=received_at)
        if made.timed_by == "event":
            return made
        return replace(made, payload_digest=f"{received_at:064x}")

    monkeypatch.setattr(submitted, "sent_event", sent)


def staged_events_not_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(connection, *, which, **fields):  # type: ignore[no-untyped-def]
        return () if which == "staged void" else read_range(connection, which=which, **fields)

    monkeypatch.setattr(applied_backfill, "read_range", read)


def backfills_reverted_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applied_backfill, "later_correction", lambda connection, **fields: None)


def reversals_not_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reversal, "announce_corrections", lambda connection, **fields: None)


def announced_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def append(connection, *, message, endpoints):  # type: ignore[no-untyped-def]
        for number in range(2):
            one = dataclasses.replace(message, message=f"{message.message}{number}")
            append_message(connection, message=one, endpoints=endpoints)

    monkeypatch.setattr(announcement, "append_message", append)


@pytest.mark.parametrize(
    "plant, said, kind",
    [
        (totals_of_two_events_forgotten, "totals: ", Machine),
        (identities_by_size_of_request, "identities: |verdicts: |totals: ", Machine),
        (voids_counted_on, "totals: ", Machine),
        (refusals_not_counted, "counters: ", Machine),
        (moments_of_receipt_in_the_content, "verdicts: |verify: ", Machine),
        (staged_events_not_restored, "totals: ", BackfillMachine),
        (backfills_reverted_in_any_order, "revert backfill: ", BackfillMachine),
        (reversals_not_announced, "messages: ", Machine),
        (announced_once_more, "messages: ", Machine),
    ],
)
def test_a_bug_that_is_planted_is_found(
    give: Give,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    said: str,
    kind: type[Machine],
) -> None:
    plant(monkeypatch)
    with pytest.raises(DamageError, match=said):
        run_machine(sqlite_place, give=give, share=10, phases=(Phase.generate,), kind=kind)


@pytest.mark.parametrize(
    "bug, said",
    [
        ("totals_in_another_transaction", r"totals: |identities: "),
        ("messages_in_another_transaction", "messages: |epoch: "),
    ],
)
def test_a_bug_that_shows_in_a_crash_alone_is_found(give: Give, bug: str, said: str) -> None:
    with pytest.raises(DamageError, match=said):
        run_machine(sqlite_place, give=give, share=3, bug=bug, phases=(Phase.generate,))

"""Anything is done to a store in any order, with crashes between, and it is what a naive model says
(I1 to I3, I11 to I14, I40 to I42; faults 1 to 4, 42 to 47, 50, 52, 55).

Invariant: each fault came as often as is stated, and a machine with a planted bug fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from billing.operations import correction, taken_in, writer
from billing.store.deliveries import append_delivery
from billing.store.events import append_events
from billing.store.usage_totals import add_totals
from tests.billing.operations.made_ingest import own_folder
from tests.billing.store.postgresql_server import Server
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
) -> None:
    """Run as many machines as a share of the examples of the profile."""
    name, fields = "Machine", {"place": staticmethod(place), "give": staticmethod(give)}
    machine = type(name, (Machine,), {**fields, "bug": bug})
    run = settings(
        max_examples=max(1, settings().max_examples // share),
        stateful_step_count=35,
        phases=phases,
    )
    run_state_machine_as_test(machine, settings=run)


def test_whatever_is_done_the_store_is_what_the_model_says(give: Give) -> None:
    FIRED.clear()
    run_machine(sqlite_place, give=give, share=5)
    print(dict(sorted(FIRED.items())))
    assert {what: FIRED[what] for what in ENOUGH if FIRED[what] < ENOUGH[what]} == {}


def test_whatever_is_done_the_store_is_what_the_model_says_on_postgresql(
    give: Give, server: Server
) -> None:
    FIRED.clear()
    run_machine(lambda: server.database(template="made"), give=give, share=25)
    print(dict(sorted(FIRED.items())))
    assert FIRED["accepted"] > 10
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


@pytest.mark.parametrize(
    "plant, said",
    [
        (totals_of_two_events_forgotten, "totals: "),
        (identities_by_size_of_request, "identities: |verdicts: |totals: "),
        (voids_counted_on, "totals: "),
        (refusals_not_counted, "counters: "),
    ],
)
def test_a_bug_that_is_planted_is_found(
    give: Give,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    said: str,
) -> None:
    plant(monkeypatch)
    with pytest.raises(DamageError, match=said):
        run_machine(sqlite_place, give=give, share=10, phases=(Phase.generate,))


def test_a_bug_that_shows_in_a_crash_alone_is_found(give: Give) -> None:
    with pytest.raises(DamageError, match=r"totals: |identities: "):
        run_machine(
            sqlite_place,
            give=give,
            share=3,
            bug="totals_in_another_transaction",
            phases=(Phase.generate,),
        )

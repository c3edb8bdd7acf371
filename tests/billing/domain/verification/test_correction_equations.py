"""Corrections beside their events: each difference is named with its place."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from billing.domain.verification.corrections import corrections_as_recorded
from billing.domain.verification.equations import Damage


@dataclass(frozen=True)
class Step:
    event: int = 7
    step: int = 1
    account: str = "a"
    epoch: int = 2
    correction: str = "cor_1"
    event_account: str | None = "a"
    event_epoch: int | None = 1
    correction_account: str | None = "a"
    correction_epoch: int | None = 2


@dataclass(frozen=True)
class Count:
    correction: str = "cor_1"
    said: int | None = 1
    steps: int = 1


@dataclass(frozen=True)
class Named:
    correction: str = "cor_1"
    event: str = "gw/e1"
    taken: bool = True
    added: str = ""
    came: bool = False


@dataclass(frozen=True)
class Added:
    correction: str = "cor_1"
    said: int = 2
    events: int = 2


STEP = Step()


def found(
    *,
    odd_steps: tuple[Step, ...] = (),
    lost_steps: tuple[int, ...] = (),
    counted: tuple[Count, ...] = (Count(),),
    named: tuple[Named, ...] = (Named(),),
    added: tuple[Added, ...] = (Added(),),
    audited: tuple[str, ...] = ("cor_1",),
) -> list[tuple[str, str]]:
    checked = corrections_as_recorded(
        odd_steps=odd_steps,
        lost_steps=lost_steps,
        counted=counted,
        named=named,
        added=added,
        audited=audited,
    )
    assert {one.kind for one in checked.damage} <= {"changed_correction"}
    assert checked.holds == (not checked.damage)
    return [(one.where, one.sentence) for one in checked.damage]


def test_corrections_that_are_as_recorded_are_no_damage() -> None:
    assert found() == []


@pytest.mark.parametrize(
    "odd, sentence",
    [
        (replace(STEP, event_account=None), "its event is not there"),
        (replace(STEP, event_epoch=None), "its event is not there"),
        (replace(STEP, correction_account=None), "its correction is not there"),
        (replace(STEP, event_account="b"), "is of account a, and its event of b"),
        (replace(STEP, correction_account="b"), "is of account a, and its correction of b"),
        (replace(STEP, correction_epoch=3), "counts in epoch 2, and its correction in 3"),
        (replace(STEP, event_epoch=3), "counts in epoch 2, and its event came in 3"),
    ],
)
def test_a_step_that_is_not_as_its_parents_say_is_named(odd: Step, sentence: str) -> None:
    assert found(odd_steps=(odd,)) == [("correction cor_1, step 1 of event number 7", sentence)]


def test_a_step_that_is_missing_between_others_is_named() -> None:
    assert found(lost_steps=(7,)) == [
        ("event number 7", "a step of its corrections is not there, and a later one is")
    ]


def test_a_correction_has_as_many_steps_as_it_says() -> None:
    # It says 2: 1 is named, 2 is not, 3 is.
    assert found(counted=(Count(said=2, steps=1),)) == [
        ("correction cor_1", "says 2 steps and has 1")
    ]
    assert found(counted=(Count(said=2, steps=2),)) == []
    assert found(counted=(Count(said=2, steps=3),)) == [
        ("correction cor_1", "says 2 steps and has 3")
    ]


def test_a_correction_of_which_nothing_can_be_read_was_changed() -> None:
    assert found(counted=(Count(said=None, steps=3),)) == [
        ("correction cor_1", "what it says of itself was changed")
    ]


def test_a_correction_that_the_audit_knows_is_there() -> None:
    assert found(audited=("cor_2", "cor_1", "cor_0")) == [
        ("correction cor_0", "was made, as the audit says, and is not there"),
        ("correction cor_2", "was made, as the audit says, and is not there"),
    ]


def test_a_correction_that_nobody_made_is_named() -> None:
    assert found(audited=()) == [
        ("correction cor_1", "is there, and nobody recorded that it was made")
    ]


def test_a_correction_voids_the_event_that_it_names() -> None:
    assert found(named=(Named(taken=False),)) == [
        ("correction cor_1", "says that it voids the event gw/e1, and has no step of it")
    ]


def test_the_event_of_an_amendment_came_with_it() -> None:
    assert found(named=(Named(added="gw/e2", came=True),)) == []
    assert found(named=(Named(added="gw/e2"),)) == [
        ("correction cor_1", "says that the event gw/e2 came with it, and it did not")
    ]


def test_a_backfill_has_the_events_that_it_says_it_added() -> None:
    # It says 2: 1 and 3 are named.
    assert found(added=(Added(events=1),)) == [
        ("correction cor_1", "says that it added 2 events and has 1")
    ]
    assert found(added=(Added(events=3),)) == [
        ("correction cor_1", "says that it added 2 events and has 3")
    ]


def test_every_damage_is_kept() -> None:
    checked = corrections_as_recorded(
        odd_steps=[STEP],
        lost_steps=[1],
        counted=[Count(steps=0)],
        named=[Named(taken=False)],
        added=[Added(events=0)],
        audited=["x"],
    )
    assert len(checked.damage) == 7
    assert all(isinstance(one, Damage) for one in checked.damage)

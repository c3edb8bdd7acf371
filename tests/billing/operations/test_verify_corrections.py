"""A store with corrections adds up, and each damage that is planted in them is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from billing.operations.correction import WantedCorrection
from billing.operations.grid import rebuild
from billing.operations.verify import verify
from billing.store.store import Store
from pricing_rules.period import parse_moment
from tests.billing.operations.made_corrections import (
    amend,
    correct,
    sealed,
    take_back,
    take_in,
    usage,
    void,
)
from tests.billing.operations.made_store import PLAIN, accept, closed, publish
from tests.billing.store.made_rows import damage

LATER_AT = parse_moment("2026-11-05T00:00:00Z")


@pytest.fixture
def corrected(store: Store, tmp_path: Path) -> Store:
    """Four events of a and one of b, of which one was voided and restored, one amended, and two
    voided in another epoch than they came."""
    publish(store, PLAIN)
    for account in "ab":
        accept(store, tmp_path, account=account)
    take_in(store, *(usage(f"e{n}", n) for n in range(1, 5)), usage("e5", 5, account="b"))
    sealed(store)
    made = correct(store, void("e1"), amend("e2", usage("e6", 6)), void("e3"), void("e5"))
    assert [one.verdict for one in made] == ["accepted"] * 4
    sealed(store)
    take_back(store, made[0].correction)
    return store


def states(store: Store) -> dict[str, int]:
    """The states of events as the equation says them."""
    report = verify(store)
    assert report.holds, report.verified.damage
    (equation,) = (one for one in report.verified.equations if one.name == "states")
    return {**dict(equation.left), **{name: n for name, n in equation.right if n}}


def test_voided_events_are_a_state_of_their_own(corrected: Store) -> None:
    # e1 to e6 came in; e2, e3 and e5 are void; e1, e4 and e6 wait for their invoice.
    assert states(corrected) == {"accepted": 6, "unbilled": 3, "voided": 3}


def test_what_was_billed_and_then_voided_is_still_to_be_taken_back(corrected: Store) -> None:
    closed(corrected, now_at=LATER_AT)
    assert states(corrected) == {"accepted": 6, "billed": 3, "voided": 3}
    correct(corrected, void("e4"), now_at=LATER_AT)
    # The invoice still bills three events, and the next one takes one of them back: 3 - 1 + 4.
    assert states(corrected) == {"accepted": 6, "billed": 3, "unbilled": -1, "voided": 4}
    # e4 had 4 tokens at 2 per million, less than a cent: the correction is exact all the same.
    assert [one.state for one in closed(corrected, now_at=LATER_AT + 1).periods] == [
        "invoiced",
        "nothing due",  # all that b had was voided before
    ]
    assert states(corrected) == {"accepted": 6, "billed": 2, "voided": 4}


def test_unpriced_events_that_are_voided_block_nothing(corrected: Store) -> None:
    take_in(corrected, usage("u1", 1, model="unknown"), usage("u2", 1, model="unknown"))
    assert states(corrected)["unpriced"] == 2
    correct(corrected, void("u1"))
    assert states(corrected) == {"accepted": 8, "unbilled": 3, "unpriced": 1, "voided": 4}
    correct(corrected, void("u2"))
    assert states(corrected) == {"accepted": 8, "unbilled": 3, "voided": 5}
    assert {one.state for one in closed(corrected, now_at=LATER_AT).periods} == {
        "invoiced",
        "nothing due",
    }


def test_an_event_has_one_state_after_a_close_that_was_blocked(corrected: Store) -> None:
    take_in(corrected, usage("u1", 1, model="unknown"))
    closed(corrected, now_at=LATER_AT)
    correct(corrected, void("u1"), now_at=LATER_AT)
    assert sum(states(corrected).values()) == 2 * 7


EVENT = "(SELECT seq FROM events WHERE id = '{0}')"
OF_E3 = f"WHERE event = {EVENT.format('e3')}"

DAMAGES: dict[str, tuple[tuple[str, ...], str]] = {
    "a step that was removed": ((f"DELETE FROM event_corrections {OF_E3}",), "correction cor_"),
    "a step of another account": (
        (f"UPDATE event_corrections SET account = 'b' {OF_E3}",),
        "is of account b, and its event of a",
    ),
    "a step in another epoch": (
        (f"UPDATE event_corrections SET epoch = 3 {OF_E3}",),
        "counts in epoch 3, and its correction in 2",
    ),
    "a step from before its event came": (
        (
            f"UPDATE events SET epoch = 9 WHERE seq = {EVENT.format('e3')}",
            "UPDATE event_ids SET epoch = 9 WHERE id = 'e3'",
        ),
        "counts in epoch 2, and its event came in 9",
    ),
    "a step of an event that is not there": (
        (f"UPDATE event_corrections SET event = 99 {OF_E3}",),
        "its event is not there",
    ),
    "a step whose correction is gone": (
        (
            "DELETE FROM corrections WHERE correction = "
            f"(SELECT correction FROM event_corrections {OF_E3})",
        ),
        "its correction is not there",
    ),
    "a correction of another account": (
        ("UPDATE corrections SET account = 'b' WHERE kind = 'amend'",),
        "is of account a, and its correction of b",
    ),
    "the first step of two": (
        (f"DELETE FROM event_corrections WHERE step = 1 AND event = {EVENT.format('e1')}",),
        "a step of its corrections is not there, and a later one is",
    ),
    "a correction that vanished with its step": (
        (
            "CREATE TABLE gone AS SELECT correction FROM corrections WHERE account = 'b'",
            "DELETE FROM event_corrections WHERE correction IN (SELECT correction FROM gone)",
            "DELETE FROM corrections WHERE correction IN (SELECT correction FROM gone)",
            "DROP TABLE gone",
        ),
        "was made, as the audit says, and is not there",
    ),
    "a correction that lost its only step": (
        ("DELETE FROM event_corrections WHERE account = 'b'",),
        "says 1 steps and has 0",
    ),
}


@pytest.mark.parametrize("planted", DAMAGES)
@pytest.mark.usefixtures("store_path")  # past the triggers of SQLite
def test_planted_damage_is_named(corrected: Store, planted: str) -> None:
    statements, said = DAMAGES[planted]
    damage(corrected, *statements)
    # Also where the totals were made to follow: rebuilt from what is left.
    for _ in range(2):
        report = verify(corrected)
        found = [
            f"{one.where} {one.sentence}"
            for one in report.verified.damage
            if one.kind == "changed_correction"
        ]
        assert not report.holds
        assert [one for one in found if said in one], found
        rebuild(corrected, accounts=["a", "b"], by="eve", now_at=LATER_AT)


def test_totals_that_did_not_follow_a_correction_are_named(corrected: Store) -> None:
    damage(corrected, "DELETE FROM usage_totals WHERE events < 0 AND account = 'b'")
    assert [(one.kind, one.where) for one in verify(corrected).verified.damage] == [
        ("event_state", "events"),
        ("total", "account b, input_tokens"),
        ("total", "account b, requests"),
    ]


def test_the_report_prints_the_equation(corrected: Store) -> None:
    equations = verify(corrected).as_json()["equations"]
    texts = [one["text"] for one in equations]
    assert (
        "accepted 6 = billed 0 + unbilled 3 + unpriced 0 + not billable 0 + waived 0 + voided 3"
        in texts
    )
    assert json.dumps(texts)


def test_an_account_of_voided_events_alone_adds_up(store: Store) -> None:
    take_in(store, usage("e1"))
    wanted: list[WantedCorrection] = [void("e1")]
    correct(store, *wanted)
    assert states(store) == {"accepted": 1, "voided": 1}

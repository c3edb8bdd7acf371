"""Events are voided and amended as facts: each correction has a verdict, and the totals follow."""

from __future__ import annotations

import json

import pytest

from billing.operations.correction import WantedCorrection
from billing.operations.verify import verify
from billing.store.audit import read_audit
from billing.store.corrections import find_events, last_steps, read_correction
from billing.store.deliveries import sum_deliveries
from billing.store.epochs import has_new_facts
from billing.store.store import Store
from billing.store.whole import count_all_events
from pricing_rules.period import MICROSECONDS
from tests.billing.operations.made_corrections import (
    NOON_AT,
    NOW_AT,
    amend,
    correct,
    counted,
    sealed,
    take_back,
    take_in,
    usage,
    verdicts,
    void,
)
from tests.billing.store.made_rows import ingest

MINUTE = 60 * MICROSECONDS


def test_a_voided_event_counts_nowhere_from_its_epoch_on(store: Store) -> None:
    take_in(store, usage("e1", 10), usage("e2", 7))
    sealed(store)
    (made,) = correct(store, void("e1"))
    assert (made.verdict, made.kind, made.source, made.id) == ("accepted", "void", "gw", "e1")
    # Epoch 1 stays: 10 + 7 in two events. Epoch 2 takes away 10 and one event.
    assert counted(store) == {
        (1, "requests"): 2,
        (1, "input_tokens"): 17,
        (2, "requests"): -1,
        (2, "input_tokens"): -10,
    }
    assert verify(store).holds


def test_a_void_in_the_epoch_of_its_event_leaves_nothing_of_it(store: Store) -> None:
    take_in(store, usage("e1", 10))
    correct(store, void("e1"))
    assert counted(store) == {}
    assert verify(store).holds


def test_an_amended_event_is_voided_and_another_counts_in_its_place(store: Store) -> None:
    take_in(store, usage("e1", 10))
    sealed(store)
    (made,) = correct(store, amend("e1", usage("e1-right", 4, model="n")))
    assert (made.verdict, made.kind) == ("accepted", "amend")
    # Epoch 2: -10 + 4 = -6 tokens, -1 + 1 = 0 events.
    assert counted(store) == {
        (1, "requests"): 1,
        (1, "input_tokens"): 10,
        (2, "input_tokens"): -6,
    }
    with store.read() as connection:
        keys = [("gw", "e1"), ("gw", "e1-right")]
        found = find_events(connection, owner="provider", keys=keys)
        old, new = (found[key] for key in keys)
        steps = last_steps(connection, events=[old.seq, new.seq])
        assert {seq: step.step for seq, step in steps.items()} == {old.seq: 1}
        assert (new.epoch, new.received_at) == (2, NOW_AT)
        # The new event came in, and is counted as such.
        sums = sum_deliveries(connection)
        assert (sums.received, sums.accepted) == (2, count_all_events(connection))
    assert verify(store).holds


def test_the_same_again_is_a_duplicate_and_names_the_first(store: Store) -> None:
    take_in(store, usage("e1"), usage("e2"))
    wanted = (void("e1"), amend("e2", usage("e3", 3)))
    first = correct(store, *wanted)
    before = counted(store)
    again = correct(store, *wanted, void("e1", reason="another word for it"))
    assert verdicts(again) == ["duplicate"] * 3
    assert [one.correction for one in again] == [
        first[0].correction,
        first[1].correction,
        first[0].correction,
    ]
    assert counted(store) == before


def test_what_is_void_already_for_another_reason_is_a_conflict(store: Store) -> None:
    take_in(store, usage("e1"), usage("e2"))
    first = correct(store, void("e1"), amend("e2", usage("e3", 3)))
    again = correct(
        store,
        amend("e1", usage("e4")),
        void("e2"),
        amend("e2", usage("e3", 4)),  # another content under the id
        amend("e2", usage("e5", 3)),
    )
    assert verdicts(again) == ["conflict"] * 4
    assert (again[0].pointer, again[0].reason) == (
        "/id",
        f"is void already by {first[0].correction} (kind void); revert that first",
    )
    assert f"by {first[1].correction} (kind amend)" in again[1].reason
    assert verify(store).holds


def test_what_a_reversal_took_back_comes_again_under_another_id(store: Store) -> None:
    take_in(store, usage("e1"))
    (first,) = correct(store, amend("e1", usage("e2", 3)))
    reversal = take_back(store, first.correction).reversal
    (again, other) = correct(store, void("e2"), amend("e1", usage("e3", 3)))
    assert (again.verdict, again.reason) == (
        "conflict",
        f"is void already by {reversal.correction} (kind reversal); send it with another id",
    )
    assert other.verdict == "accepted"
    assert verify(store).holds


def test_an_amendment_needs_a_free_id_and_keeps_the_account(store: Store) -> None:
    take_in(store, usage("e1"), usage("e2"), usage("e3", account="b"))
    corrected = correct(
        store,
        amend("e1", usage("e2")),
        amend("e1", usage("e3", account="a")),
        amend("e1", usage("e4", account="b")),
        amend("e1", usage("e1", 4)),
        amend("e1", usage("e1", source="other")),  # an id is of its source
        amend("e2", usage("e1", source="other")),
    )
    assert verdicts(corrected) == [
        "conflict",
        "conflict",
        "rejected",
        "rejected",
        "accepted",
        "conflict",
    ]
    assert [one.pointer for one in corrected] == [
        "/event/id",
        "/event/id",
        "/event/subject",
        "/event/id",
        "",
        "/event/id",
    ]
    assert verify(store).holds


@pytest.mark.parametrize(
    "occurred_at, verdict",
    [
        (NOW_AT + 15 * MINUTE, "accepted"),
        (NOW_AT + 15 * MINUTE + 1, "rejected"),
        (946_684_800 * MICROSECONDS, "accepted"),  # 2000-01-01
        (946_684_800 * MICROSECONDS - 1, "rejected"),
    ],
)
def test_an_amending_event_happened_when_events_happen(
    store: Store, occurred_at: int, verdict: str
) -> None:
    take_in(store, usage("e1"))
    (made,) = correct(store, amend("e1", usage("e2", occurred_at=occurred_at)))
    assert (made.verdict, made.pointer) == (verdict, "" if verdict == "accepted" else "/event/time")


def test_what_is_not_stored_is_not_corrected(store: Store) -> None:
    take_in(store, usage("e1"))
    take_in(store, usage("own"), owner="account:a")
    corrected = correct(
        store, void("e9"), void("own"), amend("e1", usage("e2")), void("e2"), void("e1")
    )
    assert verdicts(corrected) == ["rejected", "rejected", "accepted", "rejected", "conflict"]
    assert corrected[0].reason == 'there is no event "e9" of "gw"'
    assert corrected[3].reason == "comes in with this request; correct it with the next"
    assert verdicts(correct(store, void("own"), owner="account:a")) == ["accepted"]
    assert verify(store).holds


def test_two_corrections_of_one_event_in_a_request_are_one(store: Store) -> None:
    take_in(store, usage("e1"))
    corrected = correct(store, void("e1"), void("e1"))
    assert verdicts(corrected) == ["accepted", "duplicate"]
    assert corrected[0].correction == corrected[1].correction


def test_nothing_is_written_where_nothing_is_corrected(store: Store) -> None:
    take_in(store, usage("e1"))
    correct(store, void("e9"))
    with store.read() as connection:
        assert read_audit(connection, limit=10) == ()


def test_who_corrected_what_is_on_record_by_account(store: Store) -> None:
    take_in(store, usage("e1"), usage("e2"), usage("e3", account="b"))
    made = correct(store, void("e1"), void("e2"), void("e3"))
    with store.read() as connection:
        first, second = read_audit(connection, limit=10)
        kept = read_correction(connection, correction=made[0].correction)
    assert (first.command, first.subject, first.by) == ("event correct", "a", "dana")
    assert json.loads(first.detail) == {"corrections": [one.correction for one in made[:2]]}
    assert second.subject == "b"
    assert kept is not None
    assert (kept.kind, kept.account, kept.reason, kept.by) == ("void", "a", "sent twice", "dana")
    assert (kept.epoch, kept.recorded_at, kept.reverts) == (1, NOW_AT, None)


def test_a_voided_id_stays_taken(store: Store) -> None:
    take_in(store, usage("e1"))
    correct(store, void("e1"))
    again = ingest(store, rows=[usage("e1"), usage("e1", 11)])
    assert [one.kind for one in again] == ["duplicate", "conflict"]
    assert counted(store) == {}


def test_a_correction_is_something_to_seal(store: Store) -> None:
    take_in(store, usage("e1"))
    sealed(store)
    with store.read() as connection:
        assert not has_new_facts(connection)
    correct(store, void("e1"))
    with store.read() as connection:
        assert has_new_facts(connection)


def test_a_thousand_corrections_are_one_transaction(store: Store) -> None:
    take_in(store, *(usage(f"e{n}") for n in range(1_000)))
    sealed(store)
    wanted: list[WantedCorrection] = [
        void(f"e{n}") if n % 2 else amend(f"e{n}", usage(f"n{n}", occurred_at=NOON_AT + n))
        for n in range(1_000)
    ]
    assert set(verdicts(correct(store, *wanted))) == {"accepted"}
    # 1,000 taken away and 500 added, of 10 tokens each.
    assert counted(store)[2, "input_tokens"] == -5_000
    assert verify(store).holds


def test_an_event_can_be_voided_restored_and_voided_again(store: Store) -> None:
    take_in(store, usage("e1"))
    (first,) = correct(store, void("e1"))
    take_back(store, first.correction)
    (second,) = correct(store, void("e1"))
    assert (second.verdict, second.correction) == ("accepted", second.correction)
    assert second.correction != first.correction
    assert counted(store) == {}
    assert verify(store).holds

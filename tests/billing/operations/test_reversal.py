"""A correction is reverted once, by another, and only while its events were not corrected since."""

from __future__ import annotations

import pytest

from billing.operations.applied_backfill import revert_backfill
from billing.operations.corrected_events import correction_page, event_history, show_correction
from billing.operations.not_found import NotFoundError
from billing.operations.reversal import revert
from billing.operations.verify import verify
from billing.store.audit import read_audit
from billing.store.store import Store
from pricing_rules.document import DocumentError
from pricing_rules.period import Period
from tests.billing.operations.made_backfill import opened
from tests.billing.operations.made_corrections import (
    NOON_AT,
    NOW_AT,
    amend,
    correct,
    counted,
    sealed,
    state,
    take_back,
    take_in,
    usage,
    void,
)


def test_a_reverted_void_lets_the_event_count_again(store: Store) -> None:
    take_in(store, usage("e1", 10))
    sealed(store)
    (made,) = correct(store, void("e1"))
    sealed(store)
    reverted = take_back(store, made.correction)
    # Added in epoch 3 what epoch 2 took away; what is sealed stays.
    assert counted(store) == {
        (1, "requests"): 1,
        (1, "input_tokens"): 10,
        (2, "requests"): -1,
        (2, "input_tokens"): -10,
        (3, "requests"): 1,
        (3, "input_tokens"): 10,
    }
    reversal = reverted.reversal
    assert (reverted.new, reversal.kind, reversal.reverts) == (True, "reversal", made.correction)
    assert (reversal.epoch, reversal.account, reversal.reason) == (3, "a", "was right")
    shown = show_correction(store, correction=made.correction, account="a")
    assert shown.reverted_by == reversal.correction
    assert verify(store).holds


def test_a_reverted_amendment_swaps_both_events_back(store: Store) -> None:
    take_in(store, usage("e1", 10))
    (made,) = correct(store, amend("e1", usage("e2", 3)))
    take_back(store, made.correction)
    assert counted(store) == {(1, "requests"): 1, (1, "input_tokens"): 10}
    old, new = (
        event_history(store, owner="provider", source="gw", event_id=name) for name in ("e1", "e2")
    )
    assert (old.void, [step.step for step, _ in old.steps]) == (False, [1, 2])
    assert (new.void, [step.step for step, _ in new.steps]) == (True, [1])
    assert verify(store).holds


def test_a_correction_is_reverted_once(store: Store) -> None:
    take_in(store, usage("e1"))
    (made,) = correct(store, void("e1"))
    first = take_back(store, made.correction)
    before = counted(store)
    again = take_back(store, made.correction)
    assert (again.new, again.reversal) == (False, first.reversal)
    assert counted(store) == before
    with store.read() as connection:
        commands = [entry.command for entry in read_audit(connection, limit=10)]
    assert commands == ["event correct", "event revert"]


def test_a_reversal_stands(store: Store) -> None:
    take_in(store, usage("e1"))
    (made,) = correct(store, void("e1"))
    reversal = take_back(store, made.correction).reversal
    with pytest.raises(DocumentError, match="is a reversal, which stands; void or amend"):
        take_back(store, reversal.correction)


def test_a_correction_whose_event_was_corrected_since_is_not_reverted(store: Store) -> None:
    take_in(store, usage("e1"), usage("e2"))
    first, second = correct(store, void("e1"), amend("e2", usage("e3")))
    (later,) = correct(store, void("e3"))
    with pytest.raises(DocumentError, match=f'event "e3" of "gw" .* by {later.correction}'):
        take_back(store, second.correction)
    # Reverted itself, it has left the event as it found it.
    take_back(store, later.correction)
    take_back(store, second.correction)
    assert take_back(store, first.correction).new
    assert counted(store) == {(1, "requests"): 2, (1, "input_tokens"): 20}
    assert verify(store).holds


def test_of_two_voids_of_one_event_the_first_stays_reverted(store: Store) -> None:
    take_in(store, usage("e1"))
    (first,) = correct(store, void("e1"))
    take_back(store, first.correction)
    (second,) = correct(store, void("e1"))
    assert not take_back(store, first.correction).new
    assert counted(store) == {}
    take_back(store, second.correction)
    history = event_history(store, owner="provider", source="gw", event_id="e1")
    assert [made.kind for _, made in history.steps] == ["void", "reversal"] * 2
    assert not history.void
    assert verify(store).holds


def test_what_is_not_there_or_has_no_reason_is_refused(store: Store) -> None:
    with pytest.raises(NotFoundError, match="correction cor_9: does not exist"):
        take_back(store, "cor_9")
    with pytest.raises(DocumentError, match="reason: is empty"):
        revert(store, correction="cor_9", reason=" ", by="dana", now_at=NOW_AT)
    with pytest.raises(NotFoundError, match="event e1 of gw: is not stored"):
        event_history(store, owner="provider", source="gw", event_id="e1")
    take_in(store, usage("e1"))
    (made,) = correct(store, void("e1"))
    with pytest.raises(NotFoundError):
        show_correction(store, correction=made.correction, account="b")


@pytest.mark.parametrize("kind", ["void", "amend"])
def test_what_a_later_backfill_states_is_not_changed_by_a_reversal(store: Store, kind: str) -> None:
    take_in(store, usage("e1", 10), usage("e2", 5))
    (made,) = correct(store, void("e1") if kind == "void" else amend("e1", usage("e3", 3)))
    # The usage of October is exactly this, whether it was stored before or not.
    stated = (usage("e2", 5), usage("e3", 3))
    state(
        store, "bf_1", *stated, now_at=NOW_AT - 1
    )  # the clock went back: it is later all the same
    before = counted(store)
    said = (
        f'correction {made.correction}: cannot be reverted: its event "e1" of "gw" lies in the '
        "range that backfill bf_1 stated since; revert that first"
    )
    with pytest.raises(DocumentError) as refused:
        take_back(store, made.correction)
    assert (str(refused.value), counted(store)) == (said, before)
    store.beside(
        lambda connection: revert_backfill(
            connection, backfill="bf_1", reversal="cor_r", reason="r", by="dana", now_at=NOW_AT
        )
    )
    assert take_back(store, made.correction).new
    assert counted(store) == {(1, "requests"): 2, (1, "input_tokens"): 15}
    assert verify(store).holds


@pytest.mark.parametrize(
    "start, end, refused",
    [(-2, 0, False), (-2, 1, True), (0, 1, True), (0, 9, True), (1, 9, False)],
)
def test_a_later_backfill_forbids_a_reversal_where_its_range_holds_an_event_of_it(
    store: Store, start: int, end: int, refused: bool
) -> None:
    take_in(store, usage("e1"))
    (made,) = correct(store, amend("e1", usage("e2", occurred_at=NOON_AT + 1_000)))
    state(store, "bf_1", period=Period(start_at=NOON_AT + start, end_at=NOON_AT + end))
    if refused:
        with pytest.raises(DocumentError, match=r'its event "e1" .* backfill bf_1 stated since'):
            take_back(store, made.correction)
    else:
        assert take_back(store, made.correction).new
    assert verify(store).holds


def test_a_later_backfill_that_holds_only_what_came_in_place_forbids_the_reversal(
    store: Store,
) -> None:
    right = usage("e2", occurred_at=NOON_AT + 1_000)
    take_in(store, usage("e1"))
    (made,) = correct(store, amend("e1", right))
    period = Period(start_at=NOON_AT + 1_000, end_at=NOON_AT + 1_001)
    state(store, "bf_1", right, period=period)
    with pytest.raises(DocumentError, match=r'its event "e2" .* backfill bf_1 stated since'):
        take_back(store, made.correction)


def test_a_backfill_that_is_earlier_or_open_or_of_another_account_forbids_no_reversal(
    store: Store,
) -> None:
    take_in(store, usage("e1"), usage("e9", account="b"))
    state(store, "bf_1", usage("e1"))
    (made,) = correct(store, void("e1"))
    state(store, "bf_2", usage("e9", account="b"), account="b")
    opened(store, "bf_3")
    assert take_back(store, made.correction).new
    assert counted(store) == {(1, "requests"): 1, (1, "input_tokens"): 10}


@pytest.mark.parametrize(
    "reason, said",
    [
        ("x" * 2_001, "reason: string should have at most 2000 characters"),
        ("a\tb", "reason: must not hold the control or invisible character U[+]0009"),
        (" x", "reason: must not begin or end with a space"),
    ],
)
def test_a_reason_that_no_request_could_give_is_none(store: Store, reason: str, said: str) -> None:
    take_in(store, usage("e1"))
    (made,) = correct(store, void("e1"))
    with pytest.raises(DocumentError, match=said):
        revert(store, correction=made.correction, reason=reason, by="dana", now_at=NOW_AT)
    longest = revert(store, correction=made.correction, reason="x" * 2_000, by="d", now_at=NOW_AT)
    assert longest.new


def test_corrections_are_listed_of_an_account_that_has_a_name(store: Store) -> None:
    with pytest.raises(DocumentError, match="account: must not hold the control"):
        correction_page(store, account="a\n", limit=1, cursor=None)

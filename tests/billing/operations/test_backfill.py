"""Backfills: staged with verdicts, applied whole, reverted, and refused with one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from billing.operations.applied_backfill import apply_backfill, revert_backfill
from billing.operations.backfill import (
    backfill_detail,
    backfill_page,
    drop_staged,
    foresee_backfill,
    show_backfill,
    stage,
)
from billing.operations.correction import WantedCorrection, correct_events
from billing.operations.grid import AccountCuts
from billing.operations.not_found import NotFoundError
from billing.operations.reversal import revert_correction
from billing.operations.taken_in import OWNER, keep_totals
from billing.operations.verify import verify
from billing.store.audit import read_audit
from billing.store.backfills import read_new_staged
from billing.store.deliveries import append_delivery
from billing.store.epochs import seal
from billing.store.events import NewEvent, append_events
from billing.store.store import Connection, Store
from pricing_rules.document import DocumentError
from pricing_rules.period import parse_period
from tests.billing.operations.made_backfill import (
    applied,
    backfilled,
    changes,
    checked,
    counting,
    inputs,
    opened,
    reverted,
    staged,
    tokens,
)
from tests.billing.operations.made_ingest import NOW_AT
from tests.billing.operations.made_store import deliver, row_counts
from tests.billing.store.made_rows import delivery


def test_a_backfill_adds_keeps_and_voids(store: Store, tmp_path: Path) -> None:
    outside = inputs(9, 9, time="2026-11-01T00:00:00Z")
    deliver(store, tmp_path, [inputs(1), inputs(2, 20), inputs(3, 30), outside])
    shown = backfilled(store, [inputs(2, 20), inputs(4, 400)])
    # Of the staged e2 is stored and e4 is not; e1 and e3 are not staged; e9 is out of the range.
    assert (shown.state, shown.staged, changes(shown)) == ("applied", 2, (1, 1, 0, 2))
    assert counting(store) == {"e2": 20, "e4": 400, "e9": 9}
    assert tokens(store) == 20 + 400 + 9
    assert row_counts(store)["backfill_events"] == 0
    assert verify(store).holds


def test_a_reverted_backfill_leaves_what_was_before(store: Store, tmp_path: Path) -> None:
    deliver(store, tmp_path, [inputs(1), inputs(2, 20)])
    backfilled(store, [inputs(2, 20), inputs(4, 400)])
    shown = reverted(store)
    assert (shown.state, shown.reversal and shown.reversal.correction) == ("reverted", "rv_1")
    assert counting(store) == {"e1": 10, "e2": 20}
    assert tokens(store) == 30
    assert verify(store).holds


def test_what_was_voided_before_is_restored_and_voided_again_by_the_reversal(
    store: Store, tmp_path: Path
) -> None:
    deliver(store, tmp_path, [inputs(1), inputs(2, 20)])
    backfilled(store, [inputs(2, 20)])  # voids e1
    shown = backfilled(store, [inputs(1)], name="bf_2")  # restores e1, voids e2
    assert changes(shown) == (0, 0, 1, 1)
    assert counting(store) == {"e1": 10}
    reverted(store, name="bf_2")
    assert counting(store) == {"e2": 20}
    reverted(store, name="bf_1", reversal="rv_2")
    assert counting(store) == {"e1": 10, "e2": 20}
    assert (tokens(store), verify(store).holds) == (30, True)


def test_a_backfill_may_be_the_first_usage_of_an_account(store: Store) -> None:
    shown = backfilled(store, [inputs(1), inputs(2, 20)])
    assert (changes(shown), tokens(store)) == ((2, 0, 0, 0), 30)
    reverted(store)
    assert (tokens(store), counting(store), verify(store).holds) == (0, {}, True)


def test_a_backfill_of_nothing_voids_the_range(store: Store, tmp_path: Path) -> None:
    deliver(store, tmp_path, [inputs(1), inputs(2, 20, account="b")])
    assert changes(backfilled(store, [])) == (0, 0, 0, 1)
    assert (counting(store), verify(store).holds) == ({}, True)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_more_events_than_are_read_at_once_are_backfilled_and_reverted(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("billing.operations.applied_backfill._EVENTS_AT_ONCE", at_once)
    # All at the same moment, so that pages end inside of it; those of b lie between the numbers.
    void, voided = [inputs(n, n) for n in range(1, 8)], [inputs(n, n) for n in range(11, 18)]
    others = [inputs(n, n, account="b") for n in range(21, 24)]
    deliver(store, tmp_path, [*void, *others, *voided])
    backfilled(store, voided, name="bf_0")  # voids the first seven
    added = [inputs(n, n) for n in range(31, 38)]
    shown = backfilled(store, [*void, *added])
    assert changes(shown) == (7, 0, 7, 7)
    assert counting(store) == {f"e{n}": n for n in (*range(1, 8), *range(31, 38))}
    assert tokens(store) == 28 + 238
    deliver(store, tmp_path, [inputs(24, 24, account="b"), inputs(41, 41)])
    reverted(store)
    assert counting(store) == {f"e{n}": n for n in (*range(11, 18), 41)}
    assert (tokens(store), verify(store).holds) == (98 + 41, True)


def test_events_that_others_store_meanwhile_are_not_those_of_the_backfill(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (of_b,) = checked([inputs(9, 90, account="b")])

    def beside_another(connection: Connection, **asked: Any) -> tuple[NewEvent, ...]:
        if asked["after"] == ("gw", "e1"):  # as another writer does: its number is in the middle
            append_events(connection, owner=OWNER, rows=[of_b], epoch=1, received_at=NOW_AT)
            keep_totals(connection, events=[of_b], epoch=1, cuts=AccountCuts())
            counts = {"received": 1, "accepted": 1, "duplicate": 0, "conflict": 0, "rejected": 0}
            append_delivery(connection, delivery=delivery(name="b", **counts), refusals=())
        return read_new_staged(connection, **asked)

    monkeypatch.setattr("billing.operations.applied_backfill._EVENTS_AT_ONCE", 1)
    monkeypatch.setattr("billing.operations.applied_backfill.read_new_staged", beside_another)
    shown = backfilled(store, [inputs(1, 1), inputs(2, 2)])
    assert shown.applied is not None
    assert backfill_detail(shown.applied).added_events == ((1, 1), (3, 3))
    assert (tokens(store), verify(store).holds) == (3, True)
    reverted(store)
    assert (tokens(store), counting(store), verify(store).holds) == (0, {}, True)


def test_applied_again_it_is_shown_and_nothing_is_done(store: Store) -> None:
    first = backfilled(store, [inputs(1)])
    before = row_counts(store)
    assert applied(store, 1) == first
    assert applied(store, 7) == first
    assert row_counts(store) == before


def test_reverted_again_it_is_shown_and_nothing_is_done(store: Store) -> None:
    backfilled(store, [inputs(1)])
    first = reverted(store)
    before = row_counts(store)
    assert reverted(store, reversal="rv_2") == first
    assert row_counts(store) == before


def test_a_backfill_of_another_number_of_events_is_refused(store: Store) -> None:
    opened(store)
    staged(store, [inputs(1), inputs(2)])
    for count in (1, 3):
        with pytest.raises(DocumentError, match=f"2 events are staged, not {count}; stage those"):
            applied(store, count)
    assert changes(applied(store, 2)) == (2, 0, 0, 0)


def test_an_id_that_was_taken_meanwhile_refuses_the_whole(store: Store, tmp_path: Path) -> None:
    opened(store)
    staged(store, [inputs(1), inputs(2), inputs(3)])
    deliver(store, tmp_path, [inputs(2, 21), inputs(3, 31)])
    before = row_counts(store)
    sentence = 'the id "e2" of "gw" was taken by another content since it was staged'
    with pytest.raises(DocumentError, match=sentence):
        applied(store, 3)
    with pytest.raises(DocumentError, match=sentence), store.read() as connection:
        foresee_backfill(connection, backfill="bf_1")
    assert row_counts(store) == before
    assert counting(store) == {"e2": 21, "e3": 31}


def test_an_event_that_comes_in_after_the_backfill_counts(store: Store, tmp_path: Path) -> None:
    opened(store)
    staged(store, [inputs(1)])
    deliver(store, tmp_path, [inputs(2)])  # before it is applied: voided
    assert changes(applied(store, 1)) == (1, 0, 0, 1)
    deliver(store, tmp_path, [inputs(3)])
    assert set(counting(store)) == {"e1", "e3"}


def test_backfills_are_reverted_from_the_last_to_the_first(store: Store, tmp_path: Path) -> None:
    deliver(store, tmp_path, [inputs(1)])
    backfilled(store, [inputs(2)])
    for at, (name, events) in enumerate(
        [
            ("bf_2", [inputs(1), inputs(2)]),  # restores e1, keeps e2
            ("bf_3", [inputs(1)]),  # keeps e1, voids e2
        ]
    ):
        backfilled(store, events, name=name, now_at=NOW_AT + 1 + at)
    for name, later in (("bf_1", "bf_2"), ("bf_2", "bf_3")):
        with pytest.raises(DocumentError, match=f"was corrected since, by {later}; revert that"):
            reverted(store, name=name)
    for name, expected in (("bf_3", {"e1", "e2"}), ("bf_2", {"e2"}), ("bf_1", {"e1"})):
        reverted(store, name=name, reversal=f"of_{name}")
        assert set(counting(store)) == expected
    assert (tokens(store), verify(store).holds) == (10, True)


@pytest.mark.parametrize("later", [0, -1])
def test_backfills_have_the_order_in_which_they_were_applied_whatever_the_clock_said(
    store: Store, later: int
) -> None:
    backfilled(store, [inputs(1)])
    backfilled(store, [inputs(1), inputs(2)], name="bf_2", now_at=NOW_AT + later)  # keeps e1
    with pytest.raises(DocumentError, match="was corrected since, by bf_2; revert that first"):
        reverted(store)
    assert set(counting(store)) == {"e1", "e2"}
    reverted(store, name="bf_2")
    reverted(store, reversal="rv_2")
    assert (counting(store), verify(store).holds) == ({}, True)


def test_a_later_backfill_that_changed_nothing_rests_on_the_earlier_one(store: Store) -> None:
    first, second = (parse_period(f"2026-10-0{day}/2026-10-10", zone="UTC") for day in (1, 5))
    apart = parse_period("2026-10-10/2026-10-12", zone="UTC")
    before = parse_period("2026-09-20/2026-10-01", zone="UTC")
    event = inputs(1, time="2026-10-06T00:00:00Z")
    backfilled(store, [event], period=first)
    backfilled(store, [event], name="bf_2", period=second, now_at=NOW_AT + 1)
    backfilled(store, [], name="bf_3", period=apart, now_at=NOW_AT + 1)
    backfilled(store, [], name="bf_4", period=before, now_at=NOW_AT + 1)
    opened(store, "bf_5", account="b")
    applied(store, 0, name="bf_5", now_at=NOW_AT + 1)
    # bf_2 keeps what bf_1 added; bf_3 begins where bf_1 ends, bf_4 ends where it begins, and bf_5
    # is of another account.
    with pytest.raises(DocumentError, match="was corrected since, by bf_2"):
        reverted(store)
    reverted(store, name="bf_2")
    reverted(store, reversal="rv_2")
    assert counting(store) == {}


@pytest.mark.parametrize("event_id", ["e1", "e3"])
def test_a_void_in_force_refuses_the_reversal(store: Store, tmp_path: Path, event_id: str) -> None:
    deliver(store, tmp_path, [inputs(1)])
    backfilled(store, [], name="bf_0")
    backfilled(store, [inputs(1), inputs(2), inputs(3)])  # restores e1, adds the others
    void = WantedCorrection(source="gw", id=event_id, reason="sent twice")
    (made,) = store.beside(
        lambda c: correct_events(c, owner=OWNER, wanted=[void], by="me", now_at=NOW_AT)
    )
    with pytest.raises(DocumentError, match=f"since, by {made.correction}; revert that first"):
        reverted(store)
    store.beside(
        lambda c: revert_correction(
            c, correction=made.correction, reason="was not", by="me", now_at=NOW_AT
        )
    )
    reverted(store)
    assert (counting(store), tokens(store), verify(store).holds) == ({}, 0, True)


def test_a_backfill_is_not_reverted_as_another_correction_is(store: Store) -> None:
    backfilled(store, [inputs(1)])
    with pytest.raises(DocumentError, match="is a backfill"):
        store.beside(
            lambda c: revert_correction(c, correction="bf_1", reason="r", by="me", now_at=NOW_AT)
        )


def test_an_added_event_that_was_voided_since_refuses_the_reversal(store: Store) -> None:
    backfilled(store, [inputs(1), inputs(2)])
    backfilled(store, [inputs(1)], name="bf_2")  # voids e2
    with pytest.raises(DocumentError, match="by bf_2; revert that first"):
        reverted(store)


def test_what_is_open_is_not_reverted_and_what_is_applied_not_staged(store: Store) -> None:
    opened(store)
    with pytest.raises(DocumentError, match="was not applied, so that there is nothing to revert"):
        reverted(store)
    staged(store, [inputs(1)])
    applied(store, 1)
    with pytest.raises(DocumentError, match="was applied already; open another one"):
        staged(store, [inputs(2)])
    reverted(store)
    with pytest.raises(DocumentError, match="was applied and reverted; open another one"):
        applied(store, 1)


def test_a_backfill_that_was_never_opened_is_not_found(store: Store) -> None:
    with store.write() as connection:
        for refused in (
            lambda: show_backfill(connection, backfill="bf_9"),
            lambda: stage(connection, backfill="bf_9", events=()),
            lambda: foresee_backfill(connection, backfill="bf_9"),
            lambda: drop_staged(connection, backfill="bf_9", by="me", now_at=NOW_AT),
            lambda: apply_backfill(connection, backfill="bf_9", events=0, by="me", now_at=NOW_AT),
            lambda: revert_backfill(
                connection, backfill="bf_9", reversal="r", reason="r", by="me", now_at=NOW_AT
            ),
        ):
            with pytest.raises(NotFoundError, match="bf_9: was never opened"):
                refused()


def test_what_is_foreseen_is_what_is_done(store: Store, tmp_path: Path) -> None:
    deliver(store, tmp_path, [inputs(1), inputs(2, 20), inputs(3, 30)])
    backfilled(store, [inputs(2, 20), inputs(3, 30)], name="bf_0")  # voids e1
    opened(store)
    staged(store, [inputs(1), inputs(2, 20), inputs(4, 400), inputs(5, 500)])
    with store.read() as connection:
        foreseen = foresee_backfill(connection, backfill="bf_1")
    assert (foreseen.before, foreseen.after) == ({"input_tokens": 50}, {"input_tokens": 930})
    shown = applied(store, 4)
    assert foreseen.changes == shown.changes
    assert changes(shown) == (2, 1, 1, 1)
    assert sum(counting(store).values()) == 930


def test_everything_is_audited(store: Store) -> None:
    opened(store)
    staged(store, [inputs(1)])
    with store.write() as connection:
        drop_staged(connection, backfill="bf_1", by="dana", now_at=NOW_AT)
    staged(store, [inputs(1)])
    applied(store, 1)
    reverted(store)
    with store.read() as connection:
        told = [(one.command, one.subject, one.by) for one in read_audit(connection, limit=9)]
    verbs = ("open", "drop", "apply", "revert")
    assert told == [(f"backfill {verb}", "bf_1", "dana") for verb in verbs]


def test_what_a_backfill_changes_counts_in_the_current_epoch(store: Store, tmp_path: Path) -> None:
    deliver(store, tmp_path, [inputs(1)])
    with store.write() as connection:
        seal(connection, sealed_at=NOW_AT)
    shown = backfilled(store, [inputs(2, 7)])
    assert shown.applied is not None
    assert shown.applied.epoch == 2
    with store.write() as connection:
        seal(connection, sealed_at=NOW_AT + 1)
    later = reverted(store)
    assert later.reversal is not None
    assert later.reversal.epoch == 3
    with store.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT epoch, leaves, events FROM usage_totals ORDER BY epoch"
        ).all()
    # Epoch 2: e1 leaves and e2 comes, so that the number of requests is as it was.
    expected = [(1, 10, 1), (2, 7 - 10, 0), (3, 10 - 7, 0)]
    assert [tuple(row) for row in rows] == [
        (epoch, f'{{"input_tokens":{input_tokens}}}', requests)
        for epoch, input_tokens, requests in expected
    ]


def test_pages_show_each_backfill_once(store: Store) -> None:
    for number in range(5):
        opened(store, f"bf_{number}", account="ab"[number % 2])
    for account, names in (
        (None, ["bf_0", "bf_1", "bf_2", "bf_3", "bf_4"]),
        ("a", ["bf_0", "bf_2", "bf_4"]),
        ("c", []),
    ):
        found: list[str] = []
        cursor = None
        while True:
            page = backfill_page(store, account=account, limit=2, cursor=cursor)
            assert len(page.rows) <= 2
            found += [one.backfill.backfill for one in page.rows]
            if (cursor := page.cursor) is None:
                break
        assert found == names
    first = backfill_page(store, account=None, limit=2, cursor=None)
    with pytest.raises(DocumentError, match="belongs to another question"):
        backfill_page(store, account="a", limit=2, cursor=first.cursor)

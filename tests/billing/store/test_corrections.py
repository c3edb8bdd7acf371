"""Corrections and the steps of events are appended and read back, each step once."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest
from sqlalchemy.exc import IntegrityError

from billing.store.correction_details import CorrectionKind, read_detail
from billing.store.corrections import (
    Correction,
    EventStep,
    append_correction,
    append_steps,
    find_events,
    is_void,
    last_step_seq,
    last_steps,
    read_corrected,
    read_correction,
    read_corrections,
    read_event_steps,
    read_reversal,
    read_steps,
)
from billing.store.store import Store, StoreError
from pricing_rules.period import Period
from tests.billing.store.made_rows import correction, event, ingest, step


def add(store: Store, *corrections: Correction, steps: tuple[EventStep, ...] = ()) -> None:
    """Record corrections, then steps."""
    with store.write() as connection:
        for one in corrections:
            append_correction(connection, correction=one)
        append_steps(connection, steps=steps)


def seqs(store: Store, *ids: str, owner: str = "provider") -> tuple[int, ...]:
    """The numbers of events."""
    with store.read() as connection:
        found = find_events(connection, owner=owner, keys=[("gw", one) for one in ids])
    return tuple(found["gw", one].seq for one in ids)


@pytest.mark.parametrize("number, void", [(0, False), (1, True), (2, False), (3, True)])
def test_an_odd_number_of_steps_voids_an_event(number: int, void: bool) -> None:
    assert is_void(number) is void


def test_events_are_found_by_owner_source_and_id(store: Store) -> None:
    ingest(store, rows=[event("e1"), event("e2", source="other"), event("e3", units={"x": 2})])
    ingest(store, rows=[event("e1", occurred_at=7)], owner="account:acme")
    keys = [("gw", "e3"), ("other", "e2"), ("gw", "e2"), ("gw", "e3"), ("", "e1")]
    with store.read() as connection:
        found = find_events(connection, owner="provider", keys=keys)
        (own,) = find_events(connection, owner="account:acme", keys=[("gw", "e1")]).values()
        assert find_events(connection, owner="provider", keys=[]) == {}
    assert set(found) == {("gw", "e3"), ("other", "e2")}
    assert (found["gw", "e3"].units, found["gw", "e3"].owner) == ({"x": 2}, "provider")
    assert (own.occurred_at, own.owner) == (7, "account:acme")


def test_corrections_are_read_back_as_they_were_made(store: Store) -> None:
    first, second = correction("cor_1"), correction("cor_2", reverts="cor_1", epoch=2)
    add(store, first, second)
    with store.read() as connection:
        assert read_correction(connection, correction="cor_1") == first
        assert read_correction(connection, correction="cor_3") is None
        assert read_reversal(connection, correction="cor_1") == second
        assert read_reversal(connection, correction="cor_2") is None


def test_a_correction_is_reverted_once_by_one_that_is_there(store: Store) -> None:
    add(store, correction("cor_1"), correction("cor_2", reverts="cor_1"))
    for refused in (
        correction("cor_1"),
        correction("cor_3", reverts="cor_1"),
        correction("cor_3", reverts="cor_9"),
    ):
        with pytest.raises(IntegrityError):
            add(store, refused)


def test_the_last_step_says_where_an_event_stands(store: Store) -> None:
    ingest(store, rows=[event("e1"), event("e2"), event("e3")])
    one, two, three = seqs(store, "e1", "e2", "e3")
    taken = (step(one), step(two), step(one, number=2, of="cor_2"))
    add(store, correction("cor_1"), correction("cor_2"), steps=taken)
    with store.read() as connection:
        assert last_steps(connection, events=[one, two, three]) == {one: taken[2], two: taken[1]}
        assert last_steps(connection, events=[]) == {}
        assert read_event_steps(connection, event=one) == (taken[0], taken[2])
        assert read_steps(connection, correction="cor_1") == (taken[0], taken[1])
        assert last_step_seq(connection) == 3


def test_no_event_has_a_step_twice_or_one_of_nothing(store: Store) -> None:
    ingest(store, rows=[event("e1")])
    (one,) = seqs(store, "e1")
    add(store, correction(), steps=(step(one),))
    for refused in (step(one), step(one, number=0), step(one, number=2, of="cor_9"), step(99)):
        with pytest.raises((IntegrityError, StoreError)):
            add(store, steps=(refused,))


def test_corrected_events_come_in_the_order_of_their_moments(store: Store) -> None:
    rows = [
        event("e1", occurred_at=300),
        event("e2", occurred_at=100),
        event("e3", occurred_at=200),
        event("e4", account="other"),
    ]
    ingest(store, rows=rows)
    one, two, three, four = seqs(store, "e1", "e2", "e3", "e4")
    made = [correction("cor_1"), correction("cor_2", epoch=2)]
    steps = (
        step(one),
        step(two),
        step(three),
        step(one, number=2, epoch=2, of="cor_2"),
        step(four, account="other"),
    )
    add(store, *made, steps=steps)
    with store.read() as connection:
        found = list(read_corrected(connection, account="acme"))
        assert [(stored.id, one.step, one.epoch) for stored, one in found] == [
            ("e2", 1, 1),
            ("e3", 1, 1),
            ("e1", 1, 1),
            ("e1", 2, 2),
        ]
        assert [one for _, one in found] == [steps[1], steps[2], steps[0], steps[3]]
        # Half-open: 100 is in it and 300 is not.
        period = Period(start_at=100, end_at=300)
        within = read_corrected(connection, account="acme", period=period)
        assert [stored.id for stored, _ in within] == ["e2", "e3"]
        first = read_corrected(connection, account="acme", through_epoch=1)
        assert [stored.id for stored, _ in first] == ["e2", "e3", "e1"]


def test_a_list_is_paged_in_the_order_of_making_whatever_the_names(store: Store) -> None:
    add(store, *(correction(f"cor_{n}", account="ab"[n % 2]) for n in (3, 1, 2, 0)))
    with store.read() as connection:
        whole = read_corrections(connection, account=None, after=None, limit=9)
        assert [one.correction for one in whole] == ["cor_3", "cor_1", "cor_2", "cor_0"]
        after = whole[1].correction
        rest = read_corrections(connection, account=None, after=after, limit=1)
        assert [one.correction for one in rest] == ["cor_2"]
        of_b = read_corrections(connection, account="b", after=after, limit=9)
        assert of_b == ()
        of_a = read_corrections(connection, account="a", after=after, limit=9)
        assert [one.correction for one in of_a] == ["cor_2", "cor_0"]


def test_what_a_correction_of_no_kind_says_of_itself_cannot_be_read() -> None:
    kind = cast(CorrectionKind, "x")  # as an editor left it
    with pytest.raises(msgspec.DecodeError, match="there is no correction of kind x"):
        read_detail('{"steps":1}', kind=kind)

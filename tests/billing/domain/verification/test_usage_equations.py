"""Equations of usage: each is seen to hold, and each damage to be named with its place.

Invariant: what is off by one is found.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.invoice.invoice import Cover
from billing.domain.verification.equations import (
    Damage,
    Equation,
    Verified,
    compare,
    together,
)
from billing.domain.verification.usage import (
    STATES,
    DeliveryCounts,
    EventContent,
    EventState,
    cells_equal_events,
    contents_as_taken,
    counted_up,
    counts_by_unit,
    deliveries_add_up,
    events_have_ids,
    events_have_one_state,
    state_of,
    totals_equal_events,
)
from pricing_rules.usage.totals import Cell, UsageTotal
from tests.billing.domain.made_charges import OCTOBER, books
from tests.billing.domain.made_invoices import issued, used

DELIVERY = DeliveryCounts(
    name="a.csv:1",
    received=10,
    accepted=6,
    duplicate=1,
    conflict=1,
    rejected=2,
    refused={"conflict": 1, "rejected": 2, "duplicate": 1},
)


def texts(found: Verified) -> list[str]:
    return [equation.text() for equation in found.equations]


def covers() -> tuple[Cover, ...]:
    """October through epoch 1."""
    return issued([used(1)], books=books()).covers or ()


def test_an_equation_shows_both_sides_and_whether_it_holds() -> None:
    parts = (("accepted", 9_000), ("duplicate", 1))
    right = Equation(name="received", left=(("received", 9_001),), right=parts)
    assert (right.holds, right.text()) == (True, "received 9,001 = accepted 9,000 + duplicate 1")
    wrong = replace(right, left=(("received", 9_002),))
    assert (wrong.holds, wrong.text()) == (
        False, "received 9,002 is not accepted 9,000 + duplicate 1",
    )  # fmt: skip
    assert replace(right, left=()).text() == "0 is not accepted 9,000 + duplicate 1"
    assert Verified(equations=(right,)).holds
    assert not Verified(equations=(wrong,)).holds


def test_checks_are_taken_together_in_their_order() -> None:
    equation = Equation(name="e", left=(), right=())
    damage = Damage(kind="total", where="here", sentence="is off")
    both = together([Verified(equations=(equation,)), Verified(damage=(damage,))])
    assert both == Verified(equations=(equation,), damage=(damage,))
    assert not both.holds
    assert together([]).holds


COUNTS = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3))


@given(left=COUNTS, right=COUNTS)
def test_a_comparison_names_every_key_that_differs(
    left: dict[str, int], right: dict[str, int]
) -> None:
    found = compare(
        left, right=right, name="n", labels=("l", "r"), kind="total", where=lambda key: f"key {key}"
    )
    different = [key for key in "abcd" if left.get(key, 0) != right.get(key, 0)]
    assert [damage.where for damage in found.damage] == [f"key {key}" for key in different]
    assert found.holds == (not different)
    assert found.equations[0].holds == (sum(left.values()) == sum(right.values()))


def test_deliveries_that_add_up_are_shown_with_their_numbers() -> None:
    found = deliveries_add_up([DELIVERY, replace(DELIVERY, name="b.csv:1")], events=12)
    assert found.holds
    assert texts(found) == [
        "received 20 = accepted 12 + duplicate 2 + conflict 2 + rejected 4",
        "accepted 12 = events 12",
    ]
    assert deliveries_add_up([], events=0).holds


@pytest.mark.parametrize(
    "changed, sentences",
    [
        (
            {"received": 11},
            ["received 11 is not accepted 6 + duplicate 1 + conflict 1 + rejected 2"],
        ),
        (
            {"rejected": 3},
            [
                "received 10 is not accepted 6 + duplicate 1 + conflict 1 + rejected 3",
                "rejected 3 is not the 2 rows refused so",
            ],
        ),
        ({"refused": {"rejected": 2}}, ["conflict 1 is not the 0 rows refused so"]),
    ],
)
def test_a_counter_that_is_off_is_named_by_its_delivery(
    changed: dict[str, object], sentences: list[str]
) -> None:
    fields = {name: getattr(DELIVERY, name) for name in DeliveryCounts.__slots__} | changed
    found = deliveries_add_up([DeliveryCounts(**fields)], events=6)
    assert [damage.sentence for damage in found.damage] == sentences
    assert {(damage.kind, damage.where) for damage in found.damage} == {
        ("delivery_counter", "delivery a.csv:1")
    }


@pytest.mark.parametrize("events", [5, 7])
def test_events_that_no_delivery_brought_or_that_are_gone_are_counted(events: int) -> None:
    found = deliveries_add_up([DELIVERY], events=events)
    assert found.damage == (
        Damage(
            kind="delivery_counter",
            where="deliveries",
            sentence=f"accepted 6 is not the {events} events that are stored",
        ),
    )
    assert not found.equations[1].holds


def test_every_event_has_its_id_and_every_id_its_event() -> None:
    assert events_have_ids(ids=3, events=3, missing=[], extra=[]).holds
    found = events_have_ids(ids=3, events=3, missing=["gw/1"], extra=["gw/9"], changed=["gw/2"])
    assert [(damage.kind, damage.where) for damage in found.damage] == [
        ("missing_event", "event gw/1"), ("extra_event", "event gw/9"),
        ("changed_event", "event gw/2"),
    ]  # fmt: skip
    assert not found.holds  # although there are as many of the one as of the other
    assert texts(events_have_ids(ids=3, events=2, missing=["gw/1"], extra=[])) == [
        "event ids 3 is not events 2"
    ]


@pytest.mark.parametrize(
    "epoch, billable, rated, state",
    [
        (1, True, "priced", "billed"),
        (2, True, "priced", "unbilled"),
        (1, False, "priced", "not billable"),
        (1, False, "unpriced", "not billable"),
        (1, True, "unpriced", "unpriced"),
        (2, True, "waived", "waived"),
    ],
)
def test_an_event_has_one_state(
    epoch: int, billable: bool, rated: Literal["priced", "unpriced", "waived"], state: EventState
) -> None:
    start_at, end_at = OCTOBER.start_at, OCTOBER.end_at
    found = [
        state_of(at, epoch=epoch, billable=billable, rated=rated, covers=covers())
        for at in (start_at, end_at - 1)
    ]
    assert found == [state, state]
    outside = [
        state_of(at, epoch=1, billable=True, rated="priced", covers=covers())
        for at in (start_at - 1, end_at)
    ]
    assert outside == ["unbilled", "unbilled"]


def test_states_add_up_to_what_was_accepted() -> None:
    found = events_have_one_state({"billed": 5, "waived": 1}, accepted=6)
    assert found.holds
    assert texts(found) == [
        "accepted 6 = billed 5 + unbilled 0 + unpriced 0 + not billable 0 + waived 1 + voided 0"
    ]
    assert [label for label, _ in found.equations[0].right] == list(STATES)
    lost = events_have_one_state({"billed": 5}, accepted=6)
    assert [(damage.kind, damage.where) for damage in lost.damage] == [("event_state", "events")]


@pytest.mark.parametrize("count, holds", [(99, False), (100, True), (101, False)])
def test_a_total_that_is_off_by_one_is_named(count: int, holds: bool) -> None:
    totals = {("acme", "output_tokens"): count, ("acme", "requests"): 2}
    events = {("acme", "requests"): 2, ("acme", "output_tokens"): 100}
    found = totals_equal_events(totals, events=events)
    assert found.holds is holds
    named = Damage(
        kind="total",
        where="account acme, output_tokens",
        sentence=f"totals {count} is not events 100",
    )
    assert found.damage == (() if holds else (named,))


def test_what_is_stored_of_an_event_is_what_took_its_id() -> None:
    kept = [EventContent("gw/1", "d1", "d1"), EventContent("gw/2", "d2", "d2")]
    found = contents_as_taken(kept)
    assert found.holds
    assert [one.text() for one in found.equations] == ["digests 2 = events 2"]
    other = contents_as_taken([EventContent("gw/9", "d1", "d2"), *kept, EventContent("a", "", "x")])
    assert [(one.kind, one.where) for one in other.damage] == [
        ("changed_event", "event a"),
        ("changed_event", "event gw/9"),
    ]
    assert other.damage[0].sentence == "what is stored of it is not the content that took its id"
    assert other.equations[0].text() == "digests 2 is not events 4"


def test_totals_of_an_account_without_events_are_named() -> None:
    found = totals_equal_events({("acme", "requests"): 1}, events={("umbrella", "requests"): 1})
    assert [damage.where for damage in found.damage] == [
        "account acme, requests", "account umbrella, requests",
    ]  # fmt: skip
    assert found.equations[0].holds
    assert not found.holds


def total(
    events: int, leaves: dict[str, int], *, epoch: int = 1, windows: tuple[str, ...] = ()
) -> UsageTotal:
    cell = Cell(
        account="a",
        epoch=epoch,
        segment_start_at=0,
        size_class_tokens=0,
        model="m",
        service_tier="standard",
        region="",
        outcome="completed",
        dimensions=(),
        windows=windows,
    )
    return UsageTotal(cell=cell, events=events, leaves=leaves)


def test_totals_are_summed_by_unit_over_their_cells() -> None:
    some = [total(2, {"input_tokens": 7, "output_tokens": 1}), total(-1, {"input_tokens": -3})]
    # 2 - 1 requests, 7 - 3 in.
    assert counts_by_unit(some) == {
        ("a", "requests"): 1,
        ("a", "input_tokens"): 4,
        ("a", "output_tokens"): 1,
    }
    assert counts_by_unit([]) == {}


def test_counts_in_the_wrong_cell_are_named_on_both_sides() -> None:
    first, second = total(1, {"input_tokens": 5}), total(1, {"input_tokens": 5}, epoch=2)
    assert cells_equal_events([first, second], summed=[second, first]).holds
    moved = cells_equal_events([second], summed=[first]).damage
    place = "segment from 1970-01-01T00:00:00Z, m in standard"
    assert [(one.kind, one.where, one.sentence) for one in moved] == [
        (
            "total",
            f"account a, epoch 1, {place}",
            "totals none are not events requests 1, input_tokens 5",
        ),
        (
            "total",
            f"account a, epoch 2, {place}",
            "totals requests 1, input_tokens 5 are not events none",
        ),
    ]


def test_a_cell_is_named_with_its_windows() -> None:
    night = total(1, {}, windows=("night", "weekend"))
    (one,) = cells_equal_events([night], summed=[]).damage
    assert one.where.endswith("m in standard, in night and weekend")


def test_what_was_taken_away_is_rated_as_if_it_had_been_added() -> None:
    assert counted_up(total(-2, {"input_tokens": -7, "output_tokens": 1})) == total(
        2, {"input_tokens": 7, "output_tokens": 1}
    )
    # As many came as went: still there is something to rate.
    assert counted_up(total(0, {"input_tokens": -7})) == total(1, {"input_tokens": 7})

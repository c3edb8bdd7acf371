"""The grid and totals: one cell for each event, and sums that no order or batching changes.

Invariant: each cut is tried below, at and above.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import load_json
from pricing_rules.period import MICROSECONDS, CalendarCut, Period
from pricing_rules.usage.totals import (
    BILLABLE_OUTCOMES,
    Cell,
    Grid,
    UsageTotal,
    add_totals,
    negative,
    not_billable_events,
)
from pricing_rules.windows import NamedWindow, Window

GRID = Grid(instants_at=(100, 200), thresholds_tokens=(10, 50), dimensions=("effort", "project"))


HOUR = 3600 * MICROSECONDS
NIGHT = NamedWindow(
    name="night",
    window=load_json(
        Window, b'{"times":[{"start_time":"22:00","end_time":"06:00"}]}', name="window"
    ),
)
DAYS = CalendarCut(every="day", zone="Asia/Kolkata")  # a day starts there at 18:30 UTC


@pytest.mark.parametrize(
    "moment_at, windows",
    [
        (6 * HOUR - 1, (NIGHT.key,)),
        (6 * HOUR, ()),
        (22 * HOUR - 1, ()),
        (22 * HOUR, (NIGHT.key,)),
        (200 * 24 * HOUR, (NIGHT.key,)),
    ],
)
def test_a_moment_has_the_windows_in_force(moment_at: int, windows: tuple[str, ...]) -> None:
    assert Grid(windows=(NIGHT,)).windows_at(moment_at) == windows
    assert GRID.windows_at(moment_at) == ()


@pytest.mark.parametrize(
    "moment_at, segment_start_at",
    [
        (42 * HOUR, 18 * HOUR + HOUR // 2),
        (42 * HOUR + HOUR // 2 - 1, 18 * HOUR + HOUR // 2),
        (42 * HOUR + HOUR // 2, 42 * HOUR + HOUR // 2),
        (43 * HOUR - 1, 42 * HOUR + HOUR // 2),
        (43 * HOUR, 43 * HOUR),  # an instant of the grid inside the day
        (66 * HOUR + HOUR // 2, 66 * HOUR + HOUR // 2),
    ],
)
def test_a_day_of_the_grid_starts_a_segment_beside_its_instants(
    moment_at: int, segment_start_at: int
) -> None:
    grid = Grid(instants_at=(43 * HOUR,), calendar_cuts=(DAYS,))
    assert grid.segment_start_at(moment_at) == segment_start_at
    placed = grid.over([Period(start_at=40 * HOUR, end_at=70 * HOUR)])
    assert Grid(instants_at=placed.instants_at).segment_start_at(moment_at) == segment_start_at
    assert GRID.over([Period(start_at=0, end_at=1)]) is GRID


@pytest.mark.parametrize(
    "moment_at, segment_start_at",
    [(0, 0), (99, 0), (100, 100), (101, 100), (199, 100), (200, 200), (10**15, 200)],
)
def test_a_moment_falls_into_the_segment_that_starts_at_or_before_it(
    moment_at: int, segment_start_at: int
) -> None:
    assert GRID.segment_start_at(moment_at) == segment_start_at


@pytest.mark.parametrize(
    "request_tokens, size_class_tokens",
    [(0, 0), (9, 0), (10, 10), (11, 10), (49, 10), (50, 50), (51, 50)],
)
def test_a_request_falls_into_the_class_of_its_size(
    request_tokens: int, size_class_tokens: int
) -> None:
    assert GRID.size_class_tokens(request_tokens) == size_class_tokens


def test_a_grid_without_cuts_has_one_cell() -> None:
    grid = Grid()
    assert (grid.segment_start_at(5), grid.size_class_tokens(5), grid.kept({"a": "b"})) == (
        0,
        0,
        (),
    )


def test_declared_dimensions_are_kept_in_order_and_others_are_not() -> None:
    assert GRID.kept({"project": "x", "team": "t", "effort": "high"}) == (
        ("effort", "high"),
        ("project", "x"),
    )
    assert GRID.kept({"project": "x"}) == (("project", "x"),)


@pytest.mark.parametrize(
    "cuts",
    [
        {"instants_at": (2, 1)},
        {"instants_at": (1, 1)},
        {"thresholds_tokens": (5, 4)},
        {"dimensions": ("b", "a")},
        {"windows": (NIGHT, NIGHT)},
        {"calendar_cuts": (CalendarCut(every="month", zone="UTC"), DAYS)},
    ],
)
def test_cuts_are_sorted_and_without_repeats(cuts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sorted and without repeats"):
        Grid(**cuts)


def test_what_is_billable_is_a_stated_table() -> None:
    assert BILLABLE_OUTCOMES == {"completed": True, "cancelled": True, "failed": False}


def cell(account: str, *, epoch: int = 0) -> Cell:
    return Cell(
        account=account,
        epoch=epoch,
        segment_start_at=0,
        model="m",
        service_tier="standard",
        region="",
        size_class_tokens=0,
        outcome="completed",
        dimensions=(),
    )


def test_totals_of_one_cell_are_added_and_zero_leaves_left_out() -> None:
    parts = [
        UsageTotal(cell=cell("b"), events=1, leaves={"output_tokens": 1}),
        UsageTotal(cell=cell("a"), events=2, leaves={"output_tokens": 3, "input_tokens": 4}),
        UsageTotal(cell=cell("a"), events=5, leaves={"input_tokens": 6, "web_searches": 0}),
        UsageTotal(cell=cell("a", epoch=1), events=1, leaves={"input_tokens": 1}),
    ]
    found = add_totals(parts)
    assert [(t.cell.account, t.cell.epoch, t.events, dict(t.leaves)) for t in found] == [
        ("a", 0, 7, {"input_tokens": 10, "output_tokens": 3}),  # 2 + 5; 4 + 6
        ("a", 1, 1, {"input_tokens": 1}),
        ("b", 0, 1, {"output_tokens": 1}),
    ]


def test_events_that_are_not_billable_are_counted() -> None:
    failed = replace(cell("a"), outcome="failed")
    parts = [
        UsageTotal(cell=cell("a"), events=2, leaves={}),
        UsageTotal(cell=failed, events=3, leaves={"input_tokens": 1}),
        UsageTotal(cell=replace(failed, region="eu"), events=4, leaves={}),
    ]
    assert not_billable_events(parts) == 7  # 3 + 4
    assert not_billable_events([]) == 0


def test_a_compensating_total_takes_a_leaf_back_to_nothing() -> None:
    one = UsageTotal(cell=cell("a"), events=1, leaves={"input_tokens": 4})
    away = UsageTotal(cell=cell("a"), events=-1, leaves={"input_tokens": -4})
    assert negative(one) == away
    assert negative(away) == one
    assert add_totals([one, away]) == (UsageTotal(cell=cell("a"), events=0, leaves={}),)


TOTALS = st.builds(
    UsageTotal,
    cell=st.builds(cell, st.sampled_from("abc"), epoch=st.integers(0, 1)),
    events=st.integers(1, 10**12),
    leaves=st.dictionaries(
        st.sampled_from(["input_tokens", "output_tokens"]), st.integers(0, 10**24)
    ),
)


@given(totals=st.lists(TOTALS, max_size=8), split=st.integers(0, 8), data=st.data())
def test_neither_order_nor_batching_changes_a_sum(
    totals: list[UsageTotal], split: int, data: st.DataObject
) -> None:
    whole = add_totals(totals)
    assert add_totals(data.draw(st.permutations(totals))) == whole
    assert add_totals([*add_totals(totals[:split]), *add_totals(totals[split:])]) == whole
    assert sum(t.events for t in whole) == sum(t.events for t in totals)

"""The cuts of an account: those of all accounts, its billing periods, its agreement's versions."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.agreement.agreement import Agreement
from billing.domain.agreement.cuts import account_grid, book_grid
from pricing_rules.period import moment_text, parse_moment
from pricing_rules.usage.totals import Grid
from tests.billing.domain.made_charges import agreement, book

DAY = 86_400_000_000
SPAN = (parse_moment("2026-09-15T00:00:00Z"), parse_moment("2026-12-01T00:00:00Z"))


def cuts(grid: Grid) -> list[str]:
    return [moment_text(at) for at in grid.instants_at]


def at(*versions: Agreement, grid: Grid | None = None) -> Grid:
    return account_grid(grid or Grid(), versions=versions, start_at=SPAN[0], end_at=SPAN[1])


def test_without_an_agreement_months_start_on_the_first_in_utc() -> None:
    # The first cut is the start of the period that the span begins in; the end is outside.
    assert cuts(at()) == ["2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"]


def test_an_agreement_cuts_at_its_own_periods_and_at_its_start() -> None:
    agreed = agreement(
        {"anchor_day": 31, "zone": "Asia/Tokyo", "effective_from": "2026-10-10T00:00:00Z"}
    )
    # Tokyo is UTC+9, and September and November have no 31st.
    assert cuts(at(agreed)) == [
        "2026-08-30T15:00:00Z",
        "2026-09-29T15:00:00Z",
        "2026-10-10T00:00:00Z",
        "2026-10-30T15:00:00Z",
        "2026-11-29T15:00:00Z",
    ]


def test_every_version_cuts_all_of_the_span() -> None:
    first = agreement({"version": 1, "anchor_day": 5, "effective_from": "2026-09-01T00:00:00Z"})
    second = agreement({"version": 2, "anchor_day": 20, "effective_from": "2026-10-20T00:00:00Z"})
    united = set(at(first).instants_at) | set(at(second).instants_at)
    assert set(at(first, second).instants_at) == united
    assert at(first, second) == at(second, first)


def test_the_cuts_of_all_accounts_stay() -> None:
    of_all = Grid(instants_at=(3, SPAN[0] + 7), thresholds_tokens=(100,), dimensions=("team",))
    found = at(grid=of_all)
    assert {3, SPAN[0] + 7} < set(found.instants_at)
    assert (found.thresholds_tokens, found.dimensions) == ((100,), ("team",))


def test_what_recurs_in_a_book_cuts_beside_what_recurs_already() -> None:
    night = {"times": [{"start_time": "22:00", "end_time": "06:00"}]}
    rates = [
        {"unit": "output_tokens", "rate": "1"},
        {"unit": "output_tokens", "rate": "2", "when": {"window": "night"}},
    ]
    fields = {
        "rate_cards": [{"model": "m", "service_tier": "standard", "rates": rates}],
        "allowances": [
            {"id": "a", "units": ["output_tokens"], "quantity": 1, "reset": "day"},
        ],
    }
    first = book({**fields, "windows": {"night": night}})
    again = book({**fields, "windows": {"night": night, "unused": night}})
    other = book({**fields, "windows": {"night": {**night, "zone": "Asia/Tokyo"}}})
    found = book_grid(Grid(), books=[first])
    assert [one.name for one in found.windows] == ["night"]
    assert [(cut.every, cut.zone) for cut in found.calendar_cuts] == [("day", "UTC")]
    # The same definition adds nothing, another one under the same name is another window.
    assert book_grid(found, books=[again]) == found
    both = book_grid(found, books=[other])
    assert [one.window.zone for one in both.windows] in (
        ["UTC", "Asia/Tokyo"],
        ["Asia/Tokyo", "UTC"],
    )
    assert (at(grid=both).windows, at(grid=both).calendar_cuts) == (
        both.windows,
        found.calendar_cuts,
    )


def test_a_book_cuts_where_it_starts_and_where_its_rates_change() -> None:
    rates = [
        {"unit": "output_tokens", "rate": "1"},
        {"unit": "output_tokens", "rate": "2", "when": {"request_tokens_over": 1000}},
        {"unit": "output_tokens", "rate": "3", "when": {"dimensions": {"team": "red"}}},
    ]
    card = {"model": "m", "service_tier": "standard", "rates": rates}
    made = book({"rate_cards": [card], "dimensions": {"team": ["red"]}})
    before = Grid(instants_at=(5,), thresholds_tokens=(7,), dimensions=("env",))
    # Strictly over 1,000 is 1,001 and more.
    assert book_grid(before, books=[made]) == Grid(
        instants_at=(5, made.effective_from),
        thresholds_tokens=(7, 1001),
        dimensions=("env", "team"),
    )
    assert book_grid(before, books=[]) == before


ZONES = ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Apia", "Australia/Lord_Howe"]
FIRST_AT = parse_moment("2000-01-01T00:00:00Z")
MOMENTS = st.integers(FIRST_AT, parse_moment("2040-01-01T00:00:00Z"))


@st.composite
def versions(draw: st.DrawFn) -> list[Agreement]:
    starts = draw(st.lists(MOMENTS, max_size=3, unique=True))
    return [
        agreement(
            {
                "version": number,
                "effective_from": moment_text(start_at),
                "anchor_day": draw(st.integers(1, 31)),
                "zone": draw(st.sampled_from(ZONES)),
            }
        )
        for number, start_at in enumerate(starts, start=1)
    ]


@given(
    agreed=versions(),
    instants=st.sets(MOMENTS, max_size=4),
    start_at=MOMENTS,
    days=st.integers(1, 200),
    offset=st.floats(0, 1, exclude_max=True),
)
def test_segments_refine_both_grids_and_do_not_depend_on_the_span(
    agreed: list[Agreement], instants: set[int], start_at: int, days: int, offset: float
) -> None:
    of_all = Grid(instants_at=tuple(sorted(instants)))
    end_at = start_at + days * DAY
    found = account_grid(of_all, versions=agreed, start_at=start_at, end_at=end_at)
    edges = [start_at, *(cut for cut in found.instants_at if start_at < cut < end_at), end_at]
    anchors = [version.anchor for version in agreed]
    for first, after in pairwise(edges):
        last = after - 1
        # Both ends of a segment are in one segment of all accounts, in one period of each anchor,
        # and under the same versions.
        assert of_all.segment_start_at(first) == of_all.segment_start_at(last)
        assert all(anchor.period_at(first) == anchor.period_at(last) for anchor in anchors)
        assert all((v.effective_from <= first) == (v.effective_from <= last) for v in agreed)
    moment_at = start_at + int(offset * days * DAY)
    alone = account_grid(of_all, versions=agreed, start_at=moment_at, end_at=moment_at + 1)
    assert alone.segment_start_at(moment_at) == found.segment_start_at(moment_at)
    for anchor in anchors:
        assert found.segment_start_at(moment_at) >= anchor.period_at(moment_at).start_at


@pytest.mark.parametrize("day", [1, 31])
def test_a_period_start_itself_begins_its_segment(day: int) -> None:
    agreed = agreement({"anchor_day": day})
    period = agreed.anchor.period_at(SPAN[0])
    grid = at(agreed)
    # Below, at and above the boundary.
    assert grid.segment_start_at(period.end_at - 1) < period.end_at
    assert grid.segment_start_at(period.end_at) == period.end_at
    assert grid.segment_start_at(period.end_at + 1) == period.end_at

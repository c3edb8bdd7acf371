"""The grid that books need, and totals that lack one of its cuts.

Invariant: totals are refused exactly where rating them would charge two rates' usage at one.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.period import Period, parse_moment
from pricing_rules.prices.rating import grid_for, rate_totals
from tests.pricing_rules.prices.made_books import (
    MTOK,
    OCTOBER,
    SWITCH,
    conditional_book,
    in_force,
    ladder_book,
    total,
)

BEFORE = ladder_book(1, rates=("2", "1"), effective_from=OCTOBER)
AFTER = ladder_book(2, rates=("1.80", "0.90"), effective_from=SWITCH)
LADDERS = in_force(BEFORE, AFTER)
CONDITIONAL = conditional_book()


def test_the_grid_has_a_cut_at_every_price_change_and_threshold() -> None:
    grid = grid_for(in_force(CONDITIONAL), period=None)
    assert grid.instants_at == (parse_moment(OCTOBER),)
    assert grid.thresholds_tokens == (201, 500)
    assert grid.dimensions == ("effort",)


def test_the_grid_of_a_period_has_its_bounds_and_the_changes_inside() -> None:
    period = Period(
        start_at=parse_moment("2026-10-10T00:00:00Z"), end_at=parse_moment("2026-11-01T00:00:00Z")
    )
    grid = grid_for(LADDERS, period=period)
    assert grid.instants_at == (period.start_at, parse_moment(SWITCH), period.end_at)
    part = total({"input_tokens": 5 * MTOK}, grid=grid, at="2026-10-10T00:00:00Z")
    assert rate_totals([part], books=LADDERS, grid=grid).total_exact == 10  # 5 * 2


STALE = "usage totals: are stale: a price book cuts them further; rebuild them first"


def test_totals_that_lack_a_price_change_are_refused() -> None:
    grid = grid_for(in_force(BEFORE), period=None)
    part = total({"input_tokens": 5}, grid=grid, at="2026-10-20T00:00:00Z")
    with pytest.raises(DocumentError) as refused:
        rate_totals([part], books=LADDERS, grid=grid)
    assert str(refused.value) == STALE


def test_a_price_change_in_a_segment_without_usage_makes_nothing_stale() -> None:
    november = ladder_book(3, rates=("1", "1"), effective_from="2026-11-01T00:00:00Z")
    period = Period(start_at=parse_moment(OCTOBER), end_at=parse_moment("2026-11-01T00:00:00Z"))
    grid = grid_for(LADDERS, period=period)
    part = total({"input_tokens": MTOK}, grid=grid)
    later = ladder_book(4, rates=("9", "9"), effective_from="2026-12-01T00:00:00Z")
    books = in_force(BEFORE, AFTER, november, later)
    assert rate_totals([part], books=books, grid=grid).total_exact == 2


@pytest.mark.parametrize("lacking", ["thresholds_tokens", "dimensions"])
def test_totals_that_lack_a_threshold_or_a_dimension_are_refused(lacking: str) -> None:
    without: dict[str, Any] = {lacking: ()}
    grid = replace(grid_for(in_force(CONDITIONAL), period=None), **without)
    with pytest.raises(DocumentError) as refused:
        rate_totals([], books=in_force(CONDITIONAL), grid=grid)
    assert str(refused.value) == STALE


def test_cells_that_meet_one_band_of_a_ladder_are_one_part_of_the_charge() -> None:
    # Regions and cancelled requests are cells of their own, the ladder counts them together:
    # 4M + 4M + 2M of the third cell at 2, then 2M of it and 4M at 1: 10 * 2 + 6 * 1.
    grid = grid_for(in_force(BEFORE), period=None)
    parts = [
        total({"input_tokens": 4 * MTOK}, grid=grid, region=region, outcome=outcome)
        for region, outcome in (("eu", "completed"), ("eu", "cancelled"), ("us", "completed"))
    ]
    parts.append(total({"input_tokens": 4 * MTOK}, grid=grid))
    (charge,) = rate_totals(parts, books=in_force(BEFORE), grid=grid).charges
    assert [(b.quantity, str(b.rate), b.amount) for b in charge.bands] == [
        (10 * MTOK, "2", Fraction(20)),
        (6 * MTOK, "1", Fraction(6)),
    ]

"""Curves through knots: the monotone cubic and straight lines."""

from __future__ import annotations

import pytest

from pricing_rules.cost.interpolation import interval_at, linear, steffen, steffen_slopes


def test_steffen_gives_the_published_slopes_and_values() -> None:
    # secants -600/30 = -20 and -300/50 = -6; p = (-20 x 50 + -6 x 30)/80 = -14.75;
    # m1 = -2 x min(20, 6, 7.375) = -12; m0 = (3 x -20 + 12)/2 = -24; m2 = (3 x -6 + 12)/2 = -3
    x, y = [20.0, 50.0, 100.0], [1000.0, 400.0, 100.0]
    assert steffen_slopes(x, y=y) == pytest.approx((-24, -12, -3), abs=1e-9)
    assert steffen(35, x=x, y=y) == pytest.approx(655.0, abs=1e-9)
    assert steffen(75, x=x, y=y) == pytest.approx(193.75, abs=1e-9)


def test_steffen_is_flat_where_the_secants_change_sign_or_vanish() -> None:
    assert steffen_slopes([0, 1, 2], y=[0, 1, 0])[1] == 0
    assert steffen_slopes([0, 1, 2], y=[0, 0, 1])[1] == 0


def test_steffen_over_two_knots_is_their_straight_line() -> None:
    # (100 + 50)/2 half way
    assert steffen(15, x=[10, 20], y=[100, 50]) == pytest.approx(75)


def test_linear_is_the_straight_line_between_neighbours() -> None:
    # from 400 at 50 to 100 at 100: half way 250
    assert linear(75, x=[20, 50, 100], y=[1000, 400, 100]) == pytest.approx(250)


@pytest.mark.parametrize("at, index", [(20, 0), (49.9, 0), (50, 1), (50.1, 1), (100, 1)])
def test_a_knot_opens_the_interval_to_its_right_and_the_last_one_closes(
    at: float, index: int
) -> None:
    assert interval_at(at, x=[20, 50, 100]) == index

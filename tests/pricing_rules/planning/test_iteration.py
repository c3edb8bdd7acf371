"""How fast a cost falls, how old measurements are when they are sold by, and what is passed on."""

from __future__ import annotations

from datetime import date, timedelta
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.planning.iteration import (
    DatedCost,
    DatedTokens,
    cycle_time_days,
    improvement,
    pass_through,
)

START = date(2026, 1, 1)


def cost(days: int, usd_per_mtok: float) -> DatedCost:
    return DatedCost(measured_date=START + timedelta(days=days), usd_per_mtok=usd_per_mtok)


def test_from_60_to_41_67_cents_in_184_days_is_6_percent_a_month_and_halves_in_11_5() -> None:
    # ln(.60 / .4167) = .36458; 184 days are 6.0452 months: .0603 a month; ln 2 / .0603 = 11.49.
    found = improvement([cost(0, 0.60), cost(184, 0.4167)])
    assert found.per_month == pytest.approx(0.0603, abs=0.00005)
    assert found.halving_months == pytest.approx(11.5, abs=0.01)
    assert (found.days, found.dates) == (184, 2)


def test_the_order_of_the_costs_does_not_matter() -> None:
    costs = [cost(184, 0.4167), cost(0, 0.60)]
    assert improvement(costs) == improvement(costs[::-1])


def test_from_three_dates_on_it_is_the_line_of_least_squares() -> None:
    # Days 0, 60, 120 and ln c of 0, -1, -1: slope = sum(dx dy) / sum(dx^2)
    # = (-60 x 2/3 + 0 + 60 x -1/3) / 7,200 = -60 / 7,200 a day, x 30.4375 = -.25365 a month.
    found = improvement([cost(0, 1), cost(60, exp(-1)), cost(120, exp(-1))])
    assert found.per_month == pytest.approx(60 / 7200 * 365.25 / 12)


@given(st.floats(-0.5, 0.5), st.lists(st.integers(0, 2000), min_size=2, max_size=8, unique=True))
def test_a_cost_that_falls_evenly_gives_back_its_fall(per_month: float, days: list[int]) -> None:
    if max(days) - min(days) < 30:
        days = [*days, min(days) + 30 + len(days)]
    costs = [cost(n, 2 * exp(-per_month * n / (365.25 / 12))) for n in set(days)]
    found = improvement(costs)
    assert found.per_month == pytest.approx(per_month, abs=1e-9)
    if per_month > 1e-6:
        assert found.halving_months == pytest.approx(log(2) / per_month, rel=1e-3)


@pytest.mark.parametrize("usd", [0.60, 0.70])
def test_a_cost_that_does_not_fall_has_no_halving(usd: float) -> None:
    assert improvement([cost(0, 0.60), cost(60, usd)]).halving_months is None


@pytest.mark.parametrize("days, enough", [(29, False), (30, True), (31, True)])
def test_under_30_days_there_is_no_trend(days: int, enough: bool) -> None:
    costs = [cost(0, 2), cost(days, 1)]
    if enough:
        assert improvement(costs).days == days
    else:
        with pytest.raises(DocumentError, match="it is 29 of the 30 days"):
            improvement(costs)


@pytest.mark.parametrize(
    "costs, said",
    [
        ([], "a trend needs the costs of two dates"),
        ([cost(0, 1)], "a trend needs the costs of two dates"),
        ([cost(0, 1), cost(0, 2), cost(60, 1)], "2026-01-01 stands twice"),
        ([cost(0, 1), cost(60, 0)], "a trend needs costs above 0"),
    ],
)
def test_what_makes_no_trend_is_refused(costs: list[DatedCost], said: str) -> None:
    with pytest.raises(DocumentError, match=said):
        improvement(costs)


@pytest.mark.parametrize(
    "sold, days",
    [
        ([(10, 1)], 10),
        ([(10, 1), (30, 1)], 20),  # the half falls between the two
        ([(10, 1), (30, 1), (99, 1)], 30),
        ([(10, 60), (30, 1), (99, 50)], 10),  # 60 of 111 tokens are at 10 days
        ([(10, 50), (30, 1), (99, 60)], 99),
        ([(10, 1), (77, 0), (30, 1)], 20),  # who sold nothing does not count
    ],
)
def test_cycle_time_is_the_median_over_tokens(sold: list[tuple[int, int]], days: float) -> None:
    dated = [DatedTokens(days=age, tokens=tokens) for age, tokens in sold]
    assert cycle_time_days(dated) == days
    assert cycle_time_days(dated[::-1]) == days


def test_a_median_of_no_tokens_is_a_bug() -> None:
    with pytest.raises(ValueError, match="no tokens"):
        cycle_time_days([DatedTokens(days=1, tokens=0)])


@pytest.mark.parametrize(
    "new_rate, share",
    [
        (0.5, 1),  # halved as the cost was
        (1, 0),  # kept
        (0.5**0.5, 0.5),  # ln of the square root is half
        (0.25, 2),
        (2, -1),  # doubled while the cost was halved
    ],
)
def test_pass_through_is_the_share_of_a_change_that_reaches_the_rate(
    new_rate: float, share: float
) -> None:
    found = pass_through(1, new_rate=new_rate, old_cost_per_mtok=0.4, new_cost_per_mtok=0.2)
    assert found == pytest.approx(share)


@pytest.mark.parametrize(
    "old_rate, new_cost, said",
    [(0, 0.2, "above 0"), (1, 0, "above 0"), (1, 0.4, "did not change")],
)
def test_without_a_change_of_cost_or_a_rate_nothing_is_passed_on(
    old_rate: float, new_cost: float, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        pass_through(old_rate, new_rate=1, old_cost_per_mtok=0.4, new_cost_per_mtok=new_cost)

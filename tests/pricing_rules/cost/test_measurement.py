"""Frontiers, interpolation and the choice between repeated measurements."""

from __future__ import annotations

from dataclasses import replace
from math import nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.measurement import (
    Shape,
    Sweep,
    SweepReading,
    UnreachableShape,
    linear,
    steffen,
    steffen_slopes,
    sweeps_of,
)
from tests.pricing_rules.cost.made_points import SHAPE, made_point, made_setup, made_sweep

KNOTS = ((20.0, 1000.0), (50.0, 400.0), (100.0, 100.0))


def read(sweep: Sweep, promise: float | None) -> SweepReading:
    reading = sweep.read(promise, ttft_cap_ms=None, interpolate=steffen)
    assert isinstance(reading, SweepReading)
    return reading


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


@given(
    steps=st.lists(st.tuples(st.floats(0.5, 100), st.floats(0.5, 500)), min_size=2, max_size=8),
    where=st.floats(0, 1),
)
def test_a_reading_lies_between_its_two_knots_and_their_weights_give_it_back(
    steps: list[tuple[float, float]], where: float
) -> None:
    x, y, knots = 10.0, 10_000.0, []
    for dx, dy in steps:
        x, y = x + dx, y - dy
        knots.append((x, y))
    promise = knots[0][0] + where * (knots[-1][0] - knots[0][0])
    reading = read(made_sweep(*knots), min(promise, knots[-1][0]))
    values = [p.point.output_tokens_per_s_per_accelerator for p in reading.points]
    weighted = sum(p.weight * p.point.output_tokens_per_s_per_accelerator for p in reading.points)
    value = reading.output_tokens_per_s_per_accelerator
    assert min(values) - 1e-6 <= value <= max(values) + 1e-6
    assert weighted == pytest.approx(value, rel=1e-9)
    assert sum(p.weight for p in reading.points) == pytest.approx(1)


@pytest.mark.parametrize(
    "promise, status, output",
    [
        (19.0, "clamped", 1000.0),
        (20.0, "clamped", 1000.0),
        # just over the first knot: interpolated, and hardly less than the knot
        (nextafter(20.0, 21.0), "interpolated", 1000.0),
        (35.0, "interpolated", 655.0),
        (50.0, "interpolated", 400.0),
        (100.0, "interpolated", 100.0),
        (None, "best", 1000.0),
    ],
)
def test_a_promise_within_the_sweep_is_read(
    promise: float | None, status: str, output: float
) -> None:
    reading = read(made_sweep(*KNOTS), promise)
    assert reading.status == status
    assert reading.output_tokens_per_s_per_accelerator == pytest.approx(output)
    assert reading.promised_tokens_per_s == promise


def test_a_promise_at_a_knot_rests_on_that_knot_alone() -> None:
    reading = read(made_sweep(*KNOTS), 50.0)
    assert {p.point.concurrency: p.weight for p in reading.points} == pytest.approx({2: 1.0})


def test_a_promise_over_the_last_knot_is_unreachable_and_says_the_fastest() -> None:
    found = made_sweep(*KNOTS).read(nextafter(100.0, 101.0), ttft_cap_ms=None, interpolate=steffen)
    assert isinstance(found, UnreachableShape)
    assert found.fastest_tokens_per_s == 100.0


@pytest.mark.parametrize("cap_ms, kept", [(99.9, []), (100.0, [1]), (100.1, [1])])
def test_a_point_counts_at_its_ttft_cap_and_not_over_it(cap_ms: float, kept: list[int]) -> None:
    sweep = made_sweep((50.0, 400.0))
    assert [p.concurrency for p in sweep.frontier(ttft_cap_ms=cap_ms)] == kept


def test_no_point_under_the_cap_is_unreachable_with_no_fastest() -> None:
    found = made_sweep(*KNOTS).read(None, ttft_cap_ms=1.0, interpolate=steffen)
    assert isinstance(found, UnreachableShape)
    assert found.fastest_tokens_per_s is None


def test_the_frontier_drops_a_point_that_a_faster_one_matches() -> None:
    # 300 at 30 is matched by 300 at 40; 200 at 40 by 300 at 40; 350 at 20 stays
    sweep = made_sweep((40, 200), (40, 300), (30, 300), (20, 350), (50, 100))
    found = [
        (p.interactivity_tokens_per_s, p.output_tokens_per_s_per_accelerator)
        for p in sweep.frontier(ttft_cap_ms=None)
    ]
    assert found == [(20, 350), (40, 300), (50, 100)]


def test_the_newest_measurement_of_a_concurrency_stands() -> None:
    undated = made_point(50, output=900, measured_date=None, row=2)
    old = made_point(50, output=800, measured_date="2026-03-01", row=3)
    new = made_point(50, output=700, measured_date="2026-03-02", row=4)
    (sweep,) = sweeps_of([new, undated, old])
    assert sweep.points == (new,)
    assert sweep.superseded == (undated, old)


def test_of_one_day_the_lowest_throughput_stands_then_the_first_row() -> None:
    lucky = made_point(50, output=900, row=2)
    plain = made_point(50, output=800, row=4)
    first = made_point(50, output=800, row=3)
    (sweep,) = sweeps_of([plain, lucky, first])
    assert sweep.points == (first,)
    assert sweep.superseded == (lucky, plain)


def test_sweeps_are_by_set_up_and_shape() -> None:
    other_shape = Shape(input_tokens=8000, output_tokens=1000)
    points = [
        made_point(50, output=900, concurrency=4),
        made_point(60, output=700, concurrency=2),
        made_point(50, output=900, shape=other_shape),
        made_point(50, output=900, setup=made_setup(tp=2)),
    ]
    found = [(s.setup.accelerators, s.shape, len(s.points)) for s in sweeps_of(points)]
    assert found == [(1, SHAPE, 2), (1, other_shape, 1), (2, SHAPE, 1)]


def test_points_of_two_statistics_are_not_one_sweep() -> None:
    mean = made_point(50, output=900)
    with pytest.raises(ValueError, match="not one sweep"):
        sweeps_of([mean, replace(mean, statistic="p95", concurrency=2)])


def test_a_sweep_is_of_its_set_up_and_by_rising_concurrency() -> None:
    point = made_point(50, output=900)
    with pytest.raises(ValueError, match="not one sweep"):
        Sweep(setup=made_setup(tp=2), shape=SHAPE, points=(point,))
    with pytest.raises(ValueError, match="rising"):
        Sweep(setup=point.setup, shape=SHAPE, points=(point, point))
    with pytest.raises(ValueError, match="not one sweep"):
        Sweep(setup=point.setup, shape=SHAPE, points=())


def test_names_of_set_ups_and_shapes_read_well() -> None:
    assert SHAPE.text == "1000/1000"
    assert made_setup(tp=4).text == (
        "m fp8 on 4 h100_sxm, vllm (no version), tp4 pp1 dp1 moe_tp1 moe_ep1"
    )

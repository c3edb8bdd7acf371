"""Frontiers, interpolation and the choice between repeated measurements."""

from __future__ import annotations

from dataclasses import replace
from math import nextafter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.interpolation import steffen
from pricing_rules.cost.measurement import (
    Parallelism,
    Role,
    Shape,
    Sweep,
    SweepReading,
    UnreachableShape,
    sweeps_of,
)
from tests.pricing_rules.cost.made_points import (
    SHAPE,
    made_disaggregated,
    made_point,
    made_setup,
    made_sweep,
)

KNOTS = ((20.0, 1000.0), (50.0, 400.0), (100.0, 100.0))


def read(sweep: Sweep, promise: float | None) -> SweepReading:
    reading = sweep.read(promise, ttft_cap_ms=None, interpolate=steffen)
    assert isinstance(reading, SweepReading)
    return reading


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


@pytest.mark.parametrize("other", [{"statistic": "p95"}, {"length_factor": 0.9}])
def test_points_of_two_statistics_or_length_factors_are_two_sweeps(other: Any) -> None:
    point = made_point(50, output=900)
    twin = replace(point, **other)
    found = sweeps_of([point, twin])
    assert {sweep.points for sweep in found} == {(point,), (twin,)}
    assert {(s.statistic, s.length_factor) for s in found} == {
        (p.statistic, p.length_factor) for p in (point, twin)
    }
    with pytest.raises(ValueError, match="not one sweep"):
        Sweep(setup=point.setup, shape=SHAPE, points=(point, replace(twin, concurrency=2)))


def test_a_sweep_may_be_of_a_disaggregated_set_up() -> None:
    setup = made_disaggregated(prefill=1, decode=3)
    found = sweeps_of(
        [
            made_point(50, output=900, setup=setup, concurrency=2),
            made_point(60, output=700, setup=setup, concurrency=1),
            made_point(60, output=700, setup=made_setup()),
        ]
    )
    assert {(s.setup.accelerators, len(s.points)) for s in found} == {(4, 2), (1, 1)}


def test_a_role_has_the_accelerators_of_its_workers() -> None:
    # 3 workers of tp 4 x pp 2 x dp 2 = 16 are 48
    parallelism = Parallelism(tp=4, pp=2, dp=2, moe_tp=1, moe_ep=8)
    assert Role(workers=3, parallelism=parallelism).accelerators == 48


@pytest.mark.parametrize("power_w, kind", [(700.0, None), (None, "board")])
def test_watts_and_what_they_are_of_go_together(power_w: float | None, kind: Any) -> None:
    point = made_point(50, output=900)
    assert replace(point, power_w_per_accelerator=700.0, power_kind="it").power_kind == "it"
    with pytest.raises(ValueError, match="go together"):
        replace(point, power_w_per_accelerator=power_w, power_kind=kind)


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
    assert replace(made_setup(), speculative="mtp").text.endswith("moe_ep1, speculative mtp")
    pools = made_disaggregated(prefill=1, decode=3)
    assert pools.text == (
        "m fp8 on 1+3 h100_sxm, vllm (no version), "
        "prefill 1 worker of tp1 pp1 dp1 moe_tp1 moe_ep1, "
        "decode 3 workers of tp1 pp1 dp1 moe_tp1 moe_ep1"
    )
    assert replace(pools, speculative="mtp").text.endswith(", speculative mtp")

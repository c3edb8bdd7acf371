"""Shape fits, cover fits, the choice of a set-up and the hull."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.measurement import Shape, sweeps_of
from pricing_rules.cost.shape_fit import (
    FitRefusal,
    MeanShape,
    ShapeFit,
    choose_setup,
    fit_setups,
    fit_shapes,
    place_in_hull,
    usual_ttft_cap_ms,
)
from tests.pricing_rules.cost.made_points import (
    made_fit,
    made_outcome,
    made_point,
    made_setup,
    made_sweep,
)

LONG = Shape(input_tokens=8000, output_tokens=1000)
EVEN = MeanShape(fresh_input_tokens=1000, cache_read_tokens=0, output_tokens=1000)


def test_the_worked_example_holds() -> None:
    # 1,000 tokens at 2,000/s = 0.5 s and at 900/s = 1.1111 s: 1000a + 1000b = .5, 8000a + 1000b =
    # 1.1111, so 7000a = .6111 -> a = 87.3 us, b = 500 - 87.3 = 412.7 us
    fit = fit_shapes(
        [made_sweep((50, 2000)), made_sweep((50, 900), shape=LONG)],
        promised_tokens_per_s=None,
        cached_share=0.1,
    )
    assert isinstance(fit, ShapeFit)
    assert fit.used == "fit"
    assert fit.a_us_per_input_token == pytest.approx(87.3, abs=0.05)
    assert fit.b_us_per_output_token == pytest.approx(412.7, abs=0.05)
    assert fit.c_us_per_cached_token == pytest.approx(8.73, abs=0.005)
    assert [shape.residual_fit for shape in fit.shapes] == pytest.approx([0, 0], abs=1e-9)
    # 1000 fresh + 500 cached + 100 output: 87.3 + .5 x 8.73 + .1 x 412.7 ms = 132.9 ms
    request = MeanShape(fresh_input_tokens=1000, cache_read_tokens=500, output_tokens=100)
    assert fit.accelerator_s(request) == pytest.approx(0.1329, abs=5e-5)


def test_lengths_are_the_mean_ones() -> None:
    # 0.9 x 1000 tokens at 2,000/s and 900/s: the seconds shrink with the tokens, a and b stay
    points = [
        made_point(50, output=2000, length_factor=0.9),
        made_point(50, output=900, shape=LONG, length_factor=0.9),
    ]
    fit = fit_shapes(sweeps_of(points), promised_tokens_per_s=None, cached_share=0)
    assert isinstance(fit, ShapeFit)
    assert fit.shapes[0].accelerator_s_per_request == pytest.approx(0.45)
    assert fit.a_us_per_input_token == pytest.approx(87.3, abs=0.05)


@pytest.mark.parametrize(
    "input_tokens, cap_ms",
    [(1, 3000), (1024, 3000), (4608, 6500), (8192, 10_000), (100_000, 10_000)],
)
def test_the_usual_cap_on_ttft_rises_from_3_to_10_seconds(input_tokens: int, cap_ms: float) -> None:
    # 4,608 is half way between 1,024 and 8,192
    assert usual_ttft_cap_ms(input_tokens) == pytest.approx(cap_ms)


def test_the_cap_on_ttft_is_by_nominal_input_tokens() -> None:
    slow = made_point(50, output=900, shape=LONG, ttft_ms=9_000)
    quick = made_point(50, output=2000, ttft_ms=2_900)
    sweeps = sweeps_of([slow, quick])
    kept = fit_shapes(sweeps, promised_tokens_per_s=50, cached_share=0.1)
    assert isinstance(kept, ShapeFit)
    assert [s.reading.ttft_cap_ms for s in kept.shapes] == pytest.approx([3000, 9812.5])
    refused = fit_shapes(
        sweeps, promised_tokens_per_s=50, cached_share=0.1, ttft_cap_ms=lambda _tokens: 5_000
    )
    assert isinstance(refused, FitRefusal)
    assert [u.shape for u in refused.unreachable] == [LONG]


@pytest.mark.parametrize("twice_s, used", [(2.2008, "fit"), (2.2010, "cover")])
def test_the_cover_is_used_over_5_percent_under_estimate(twice_s: float, used: str) -> None:
    # Twice the tokens of 1k/1k in g s; the third shape sets the other direction and fits exactly.
    # With u = 2/g the best s minimises (s - 1)^2 + (s u - 1)^2, which leaves
    # s u - 1 = (u - 1)/(1 + u^2): -5 % at .05 u^2 + u - .95 = 0, u = .908712, g = 2.20092
    fit = made_fit([(1000, 1000, 1.0), (2000, 2000, twice_s), (1, 1000, 0.6)])
    assert min(shape.residual_fit for shape in fit.shapes) == pytest.approx(-0.05, abs=1e-4)
    assert fit.used == used


def test_a_cover_is_under_no_shape_and_says_its_overcharge() -> None:
    # a >= 0, b >= 0; 1 s at 1k/1k, 4 s at 2k/1k and 1 s at 1k/2k: no plane goes through all
    fit = made_fit([(1000, 1000, 1.0), (2000, 1000, 4.0), (1000, 2000, 1.0)])
    # The total of (tokens x a, b)/g is 1/1 + 2/4 + 1/1 = 2.5 per ms of a and 1/1 + 1/4 + 2/1 = 3.25
    # of b. Only 2a + b >= 4 binds: a = 2 alone costs 5, b = 4 alone 13.
    assert fit.used == "cover"
    assert fit.a_us_per_input_token == pytest.approx(2000)
    assert fit.b_us_per_output_token == pytest.approx(0, abs=1e-6)
    # 2 s for 1 s: overcharged by 100 %
    assert [s.residual_cover for s in fit.shapes] == pytest.approx([1, 1, 0], abs=1e-9)
    assert fit.overcharge_worst == pytest.approx(1)
    assert fit.overcharge_is_finding
    assert [s.fitted_accelerator_s_per_request for s in fit.shapes] == pytest.approx([2, 2, 4])


@pytest.mark.parametrize("worst, is_finding", [(0.49, False), (0.5, False), (0.51, True)])
def test_an_overcharge_above_half_is_a_finding(worst: float, is_finding: bool) -> None:
    fit = made_fit([(1000, 1000, 0.5), (8000, 1000, 1.0)])
    assert replace(fit, overcharge_worst=worst).overcharge_is_finding is is_finding


tokens = st.integers(1, 20_000)
seconds = st.floats(1e-4, 1e3)


@given(
    st.lists(st.tuples(tokens, tokens, seconds), min_size=2, max_size=6, unique_by=lambda s: s[:2])
)
def test_what_floors_use_is_never_over_5_percent_under_a_measured_shape(
    shapes: list[tuple[int, int, float]],
) -> None:
    fit = made_outcome(shapes)
    if isinstance(fit, FitRefusal):
        assert fit.kind == "one direction"
        return
    assert min(s.residual_cover for s in fit.shapes) >= -1e-12
    for shape in fit.shapes:
        charged = fit.accelerator_s(
            MeanShape(
                fresh_input_tokens=shape.mean_input_tokens,
                cache_read_tokens=0,
                output_tokens=shape.mean_output_tokens,
            )
        )
        assert charged >= 0.95 * shape.accelerator_s_per_request * (1 - 1e-12)
        assert charged == pytest.approx(shape.fitted_accelerator_s_per_request, rel=1e-9)


@given(a_us=st.floats(1, 1000), b_us=st.floats(1, 5000))
def test_shapes_that_lie_on_a_plane_give_it_back(a_us: float, b_us: float) -> None:
    shapes = [(1024, 1024), (1024, 8192), (8192, 1024)]
    fit = made_fit([(i, o, (a_us * i + b_us * o) / 1e6) for i, o in shapes])
    assert fit.used == "fit"
    assert fit.a_us_per_input_token == pytest.approx(a_us, rel=1e-6)
    assert fit.b_us_per_output_token == pytest.approx(b_us, rel=1e-6)


def test_an_unreachable_shape_refuses_the_promise_and_names_itself() -> None:
    refusal = made_outcome([(1000, 1000, 0.5), (8000, 1000, 1.0)], promised_tokens_per_s=50.1)
    assert isinstance(refusal, FitRefusal)
    assert refusal.kind == "unreachable"
    assert [(u.shape.text, u.fastest_tokens_per_s) for u in refusal.unreachable] == [
        ("1000/1000", 50),
        ("8000/1000", 50),
    ]


def test_shapes_of_one_ratio_cannot_part_input_from_output() -> None:
    refusal = made_outcome([(1000, 1000, 0.5), (2000, 2000, 1.0)])
    assert isinstance(refusal, FitRefusal)
    assert (refusal.kind, refusal.unreachable) == ("one direction", ())


def test_clamped_shapes_are_named() -> None:
    fit = fit_shapes(
        [made_sweep((20, 3000), (60, 1000)), made_sweep((55, 900), shape=LONG)],
        promised_tokens_per_s=50,
        cached_share=0.1,
    )
    assert isinstance(fit, ShapeFit)
    assert fit.clamped == (LONG,)


def test_a_fit_is_over_one_set_up_shape_and_statistic_and_a_share() -> None:
    sweep = made_sweep((50, 2000))
    other = made_sweep((50, 900), shape=LONG, setup=made_setup(tp=2))
    percentile = sweeps_of([replace(made_point(50, output=900, shape=LONG), statistic="p95")])[0]
    for wrong in ([sweep, other], [sweep, sweep], []):
        with pytest.raises(ValueError, match="one set-up"):
            fit_shapes(wrong, promised_tokens_per_s=None, cached_share=0.1)
    with pytest.raises(ValueError, match="never mix"):
        fit_shapes([sweep, percentile], promised_tokens_per_s=None, cached_share=0.1)
    for share in (-0.1, 1.1):
        with pytest.raises(ValueError, match="not between 0 and 1"):
            fit_shapes([sweep], promised_tokens_per_s=None, cached_share=share)


def test_set_ups_are_fitted_one_by_one() -> None:
    sweeps = [
        made_sweep((50, 900), shape=shape, setup=made_setup(tp=tp))
        for tp in (2, 1)
        for shape in (LONG, Shape(input_tokens=1000, output_tokens=1000))
    ]
    found = fit_setups(sweeps, promised_tokens_per_s=50, cached_share=0.1)
    assert [outcome.setup.accelerators for outcome in found] == [1, 2]


def test_the_set_up_is_the_cheapest_at_the_reference_shape() -> None:
    # At 1k/1k: .5 s against .6 s; at 8k/1k: 2.0 s against 1.0 s
    short = made_fit([(1000, 1000, 0.5), (8000, 1000, 2.0)], setup=made_setup(tp=1))
    long = made_fit([(1000, 1000, 0.6), (8000, 1000, 1.0)], setup=made_setup(tp=2))
    at_long = MeanShape(fresh_input_tokens=8000, cache_read_tokens=0, output_tokens=1000)
    choice = choose_setup([long, short], reference_shape=EVEN)
    assert (choice.chosen, choice.passed_over) == (short, (long,))
    assert choose_setup([long, short], reference_shape=at_long).chosen == long


def test_more_measured_shapes_come_before_a_lower_cost() -> None:
    cheap = made_fit([(1000, 1000, 0.1), (8000, 1000, 0.2)], setup=made_setup(tp=1))
    known = made_fit(
        [(1000, 1000, 0.5), (8000, 1000, 1.2), (1000, 8000, 3.3)], setup=made_setup(tp=2)
    )
    assert choose_setup([cheap, known], reference_shape=EVEN).chosen == known


def test_a_choice_among_refusals_is_none_and_keeps_them() -> None:
    refusal = made_outcome([(1000, 1000, 0.5)])
    assert isinstance(refusal, FitRefusal)
    choice = choose_setup([refusal], reference_shape=EVEN)
    assert (choice.chosen, choice.passed_over, choice.refused) == (None, (), (refusal,))


def test_set_ups_of_two_models_are_not_compared() -> None:
    fits = [
        made_fit([(1000, 1000, 0.5), (8000, 1000, 1.0)], setup=made_setup(model=model))
        for model in ("m", "n")
    ]
    with pytest.raises(ValueError, match="one model"):
        choose_setup(fits, reference_shape=EVEN)


@pytest.mark.parametrize(
    "fresh, cached, output, inside, nearest",
    [
        # The triangle (1000, 1000), (8000, 1000), (1000, 8000): its edge is input + output = 9000
        (2000, 0, 2000, True, "1000/1000"),
        (1000, 0, 1000, True, "1000/1000"),
        (4500, 0, 4500, True, "1000/8000"),
        (4501, 0, 4500, False, "8000/1000"),
        (999, 0, 2000, False, "1000/1000"),
        (1000, 6500, 1000, True, "8000/1000"),
        (500, 0, 4000, False, "1000/8000"),
        (0, 0, 0, False, "1000/1000"),
    ],
)
def test_a_mean_request_is_inside_the_measured_shapes_or_outside(
    fresh: float, cached: float, output: float, inside: bool, nearest: str
) -> None:
    fit = made_fit([(1000, 1000, 0.5), (8000, 1000, 1.2), (1000, 8000, 3.3)])
    request = MeanShape(fresh_input_tokens=fresh, cache_read_tokens=cached, output_tokens=output)
    verdict = place_in_hull(request, shapes=fit.shapes)
    assert (verdict.inside, verdict.nearest.text) == (inside, nearest)

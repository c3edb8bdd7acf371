"""Disaggregated set-ups: what their pools take, per token and over shapes, without a fit."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.coefficients import role_seconds
from pricing_rules.cost.measurement import Shape, sweeps_of
from pricing_rules.cost.shape_fit import (
    FitRefusal,
    MeanShape,
    ShapeFit,
    choose_setup,
    fit_setups,
    fit_shapes,
)
from pricing_rules.cost.unit_cost import PoolUnitCost, pool_unit_cost, unit_costs
from tests.pricing_rules.cost.made_points import (
    made_disaggregated,
    made_fit,
    made_hour,
    made_outcome,
    made_point,
    made_pool,
    made_setup,
    made_sweep,
)

POOLS = made_disaggregated(prefill=1, decode=3)
EVEN = MeanShape(fresh_input_tokens=1000, cache_read_tokens=0, output_tokens=1000)
LONG = MeanShape(fresh_input_tokens=8000, cache_read_tokens=0, output_tokens=1000)


def test_the_prefill_pool_is_what_input_takes_and_the_decode_pool_what_output_takes() -> None:
    # 2 accelerator-seconds on 1 + 3: .5 s for 1,000 input tokens, 1.5 s for 1,000 output tokens
    fit = made_fit([(1000, 1000, 2.0)], setup=POOLS)
    assert fit.used == "roles"
    assert fit.a_us_per_input_token == pytest.approx(500)
    assert fit.b_us_per_output_token == pytest.approx(1500)
    assert fit.c_us_per_cached_token == pytest.approx(50)
    assert fit.fit.a_us_per_input_token == pytest.approx(fit.cover.a_us_per_input_token)
    assert fit.accelerator_s(EVEN) == pytest.approx(2.0)
    assert fit.overcharge_worst == pytest.approx(0)
    # At 3.60 $/h a second is .001 $: 500 and 1,500 accelerator-seconds per million tokens
    costs = {cost.unit: cost.usd_per_mtok for cost in unit_costs(fit, hour=made_hour(3.6))}
    assert costs["input_tokens"] == pytest.approx(0.50)
    assert costs["output_tokens"] == pytest.approx(1.50)


def test_one_shape_is_enough_where_an_aggregated_set_up_needs_two() -> None:
    assert isinstance(made_outcome([(1000, 1000, 2.0)], setup=POOLS), ShapeFit)
    refusal = made_outcome([(1000, 1000, 2.0)], setup=made_setup(tp=4))
    assert isinstance(refusal, FitRefusal)
    assert refusal.kind == "one direction"


def test_over_shapes_each_role_is_covered_for_itself() -> None:
    # 1k/1k in 2 s: .5 and 1.5 s, a = 500, b = 1500 us. 8k/1k in 4 s: 1 and 3 s, a = 125, b = 3000.
    # The largest of each are 500 and 3000: 1k/1k is charged 3.5 s for 2, 8k/1k 7 s for 4.
    fit = made_fit([(1000, 1000, 2.0), (8000, 1000, 4.0)], setup=POOLS)
    assert fit.a_us_per_input_token == pytest.approx(500)
    assert fit.b_us_per_output_token == pytest.approx(3000)
    assert [s.residual_cover for s in fit.shapes] == pytest.approx([0.75, 0.75])
    assert [s.fitted_accelerator_s_per_request for s in fit.shapes] == pytest.approx([3.5, 7])
    assert fit.overcharge_is_finding
    # Least squares of input: u = .002 and .008 tokens/us, .010/.000068 = 147.06; of output
    # u = 1/1500 and 1/3000, .001/5.5556e-7 = 1800
    assert fit.fit.a_us_per_input_token == pytest.approx(147.06, abs=0.01)
    assert fit.fit.b_us_per_output_token == pytest.approx(1800)


@given(
    pools=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    shapes=st.lists(
        st.tuples(st.integers(1, 20_000), st.integers(1, 20_000), st.floats(1e-4, 1e3)),
        min_size=1,
        max_size=5,
        unique_by=lambda shape: shape[:2],
    ),
)
def test_the_roles_add_up_to_the_set_up_and_no_role_is_charged_less_than_it_took(
    pools: tuple[int, int], shapes: list[tuple[int, int, float]]
) -> None:
    setup = made_disaggregated(prefill=pools[0], decode=pools[1])
    fit = made_fit(shapes, setup=setup)
    assert fit.used == "roles"
    for shape in fit.shapes:
        took_s = shape.accelerator_s_per_request
        roles = role_seconds(setup, accelerator_s=took_s)
        assert roles.prefill_accelerator_s + roles.decode_accelerator_s == pytest.approx(took_s)
        # Seconds by pool are as their accelerators are.
        assert roles.prefill_accelerator_s * pools[1] == pytest.approx(
            roles.decode_accelerator_s * pools[0]
        )
        charged_in = fit.a_us_per_input_token * shape.mean_input_tokens / 1e6
        charged_out = fit.b_us_per_output_token * shape.mean_output_tokens / 1e6
        assert charged_in >= roles.prefill_accelerator_s * (1 - 1e-9)
        assert charged_out >= roles.decode_accelerator_s * (1 - 1e-9)
    if len(shapes) == 1:
        assert fit.shapes[0].fitted_accelerator_s_per_request == pytest.approx(shapes[0][2])


def test_the_split_by_role_is_published_throughput_per_pool() -> None:
    # Role-based allocation: $/h / input tokens per prefill accelerator, and the same for decode.
    # 500 output tokens/s per accelerator of 4 are 2,000 in all: 2,000 per second of 1 prefill
    # accelerator, 666.67 of each of 3 decode ones; 1e6/2000 = 500 us, 1e6/666.67 = 1500 us
    fit = fit_shapes([made_sweep((50, 500), setup=POOLS)], promised_tokens_per_s=50, cached_share=0)
    assert isinstance(fit, ShapeFit)
    assert fit.a_us_per_input_token == pytest.approx(1e6 / (500 * 4 / 1))
    assert fit.b_us_per_output_token == pytest.approx(1e6 / (500 * 4 / 3))


def test_a_disaggregated_sweep_is_interpolated_clamped_and_unreachable_like_any_other() -> None:
    # Half way between 50 at 400 and 100 at 100, over two knots: 250 tokens/s, 4 s per request
    sweep = made_sweep((50, 400), (100, 100), setup=POOLS)
    for promise, seconds, status in ((75, 4.0, "interpolated"), (20, 2.5, "clamped")):
        fit = fit_shapes([sweep], promised_tokens_per_s=promise, cached_share=0)
        assert isinstance(fit, ShapeFit)
        assert fit.accelerator_s(EVEN) == pytest.approx(seconds)
        assert [shape.reading.status for shape in fit.shapes] == [status]
    refusal = fit_shapes([sweep], promised_tokens_per_s=101, cached_share=0)
    assert isinstance(refusal, FitRefusal)
    assert refusal.kind == "unreachable"


def test_set_ups_of_both_types_are_fitted_one_by_one_and_by_statistic() -> None:
    points = [
        made_point(50, output=900, setup=setup, shape=Shape(input_tokens=i, output_tokens=1000))
        for setup in (made_setup(), POOLS)
        for i in (1000, 8000)
    ]
    slow_side = [replace(point, statistic="p95") for point in points]
    found = fit_setups(
        sweeps_of([*points, *slow_side]), promised_tokens_per_s=None, cached_share=0.1
    )
    assert {(one.setup, one.statistic, one.used) for one in found if isinstance(one, ShapeFit)} == {
        (setup, statistic, used)
        for setup, used in ((made_setup(), "fit"), (POOLS, "roles"))
        for statistic in ("mean", "p95")
    }
    with pytest.raises(ValueError, match="one statistic"):
        choose_setup(found, reference_shape=EVEN)


def test_one_shape_of_two_length_factors_is_two_shapes() -> None:
    # 2 s for 1,000 tokens each, and .9 x 2.5 s for 900: the same 500 and 1500 us, then 625 and 1875
    sweeps = sweeps_of(
        [
            made_point(50, output=500, setup=POOLS),
            made_point(50, output=400, setup=POOLS, length_factor=0.9),
        ]
    )
    fit = fit_shapes(sweeps, promised_tokens_per_s=None, cached_share=0)
    assert isinstance(fit, ShapeFit)
    assert [shape.mean_input_tokens for shape in fit.shapes] == [900, 1000]
    assert fit.b_us_per_output_token == pytest.approx(1875)


def roles_at(*shapes: tuple[int, int, float], prefill: int = 1) -> ShapeFit:
    return made_fit(shapes, setup=made_disaggregated(prefill=prefill, decode=3))


def test_pools_sized_for_another_ratio_come_after_those_measured_at_the_reference() -> None:
    # At 8k/1k the set-up measured at 1k/1k would take .1 x 8 + .3 s, which nobody measured
    flattering = roles_at((1000, 1000, 0.4))
    measured = roles_at((8000, 1000, 4.0), prefill=2)
    choice = choose_setup([flattering, measured], reference_shape=LONG)
    assert (choice.chosen, choice.passed_over) == (measured, (flattering,))
    assert choose_setup([flattering, measured], reference_shape=EVEN).chosen == flattering


@pytest.mark.parametrize(
    "inputs, between",
    [(999, False), (1000, True), (4000, True), (8000, True), (8001, False)],
)
def test_a_reference_between_the_measured_ratios_counts_as_measured(
    inputs: int, between: bool
) -> None:
    spanning = roles_at((1000, 1000, 20.0), (8000, 1000, 40.0))
    never = roles_at((100_000, 1000, 1.0), prefill=2)
    reference = MeanShape(fresh_input_tokens=inputs, cache_read_tokens=0, output_tokens=1000)
    chosen = choose_setup([spanning, never], reference_shape=reference).chosen
    assert chosen == (spanning if between else never)


def test_more_shapes_of_a_disaggregated_set_up_are_no_more_evidence() -> None:
    # 8k/1k alone in 4 s; with a 1k/1k run at low load beside it the cover makes 80 s of it
    tuned = roles_at((8000, 1000, 4.0))
    loaded = roles_at((8000, 1000, 4.0), (1000, 1000, 20.0), prefill=2)
    assert choose_setup([loaded, tuned], reference_shape=LONG).chosen == tuned


def test_a_fit_over_shapes_comes_before_a_disaggregated_set_up() -> None:
    aggregated = made_fit([(1000, 1000, 0.5), (8000, 1000, 5.0)])
    choice = choose_setup([roles_at((8000, 1000, 4.0)), aggregated], reference_shape=LONG)
    assert choice.chosen == aggregated


def test_a_pool_is_served_by_both_and_its_parts_add_up() -> None:
    # 8 h100 at 1 s per 1k/1k request make 8 requests/s at 3.60 $/h, 4 gb200 at 2 s make 2 at 7.20:
    # shares .8 and .2. Output takes .75 s (b = 750 us) and 1.5 s: .001 x 750 = .75 and
    # .002 x 1500 = 3.00 $/M, together .8 x .75 + .2 x 3 = 1.20; input .8 x .25 + .2 x 1 = .40
    aggregated = made_fit([(1000, 1000, 1.0), (8000, 1000, 2.75)])
    pools = made_fit([(1000, 1000, 2.0)], setup=made_disaggregated("gb200", prefill=1, decode=3))
    cost = pool_unit_cost(
        made_pool({"h100_sxm": 8, "gb200": 4}),
        hours={"h100_sxm": made_hour(3.6), "gb200": made_hour(7.2, hardware="gb200")},
        fits={"h100_sxm": aggregated, "gb200": pools},
        reference_shape=EVEN,
    )
    assert isinstance(cost, PoolUnitCost)
    assert cost.requests_per_s == pytest.approx(10)
    assert cost.unit("output_tokens").usd_per_mtok == pytest.approx(1.20)
    assert cost.unit("input_tokens").usd_per_mtok == pytest.approx(0.40)
    # An hour is 36,000 requests of 1,000 + 1,000 tokens: at .40 + 1.20 they are 57.60 $, which is
    # 8 x 3.60 + 4 x 7.20
    usd_per_request = sum(
        cost.unit(unit).usd_per_mtok for unit in ("input_tokens", "output_tokens")
    )
    assert cost.requests_per_s * 3600 * usd_per_request / 1000 == pytest.approx(57.60)

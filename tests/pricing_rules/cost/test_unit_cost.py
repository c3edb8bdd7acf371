"""Unit costs per hardware and per pool, and the published figures that they must reproduce."""

from __future__ import annotations

from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.shape_fit import FitRefusal, MeanShape
from pricing_rules.cost.unit_cost import (
    PoolUnitCost,
    UnreachablePool,
    pool_unit_cost,
    pool_usd_per_hour,
    unit_costs,
    usd_per_mtok,
)
from tests.pricing_rules.cost.made_points import (
    made_fit,
    made_hour,
    made_outcome,
    made_pool,
    made_setup,
)

REFERENCE = MeanShape(fresh_input_tokens=1000, cache_read_tokens=0, output_tokens=1000)


@pytest.mark.parametrize(
    "usd_per_hour, tokens_per_s, published, tolerance",
    [
        # A1: 1.41/(90 x .0036) = 4.352, published 4.20: 3.6 % off, 4 % allowed
        pytest.param(1.41, 90, 4.20, 4.20 * 0.04, id="A1"),
        # A2: 2.65/(6000 x .0036) = .1227
        pytest.param(2.65, 6000, 0.12, 0.005, id="A2"),
        # B: GLM-5 8k/1k on H200 at 1.41, dollars per Mtok of total tokens
        pytest.param(1.41, 347.9, 1.13, 0.01, id="B-H200-1"),
        pytest.param(1.41, 489.7, 0.80, 0.01, id="B-H200-2"),
        pytest.param(1.41, 675.9, 0.58, 0.01, id="B-H200-3"),
        pytest.param(1.41, 851.9, 0.46, 0.01, id="B-H200-4"),
        pytest.param(1.41, 847.2, 0.46, 0.01, id="B-H200-5"),
        # B: GLM-5 8k/1k FP8 on B200 at 1.95
        pytest.param(1.95, 417.0, 1.30, 0.01, id="B-B200-1"),
        pytest.param(1.95, 650.1, 0.83, 0.01, id="B-B200-2"),
        pytest.param(1.95, 952.7, 0.57, 0.01, id="B-B200-3"),
        pytest.param(1.95, 1296.8, 0.42, 0.01, id="B-B200-4"),
        pytest.param(1.95, 1619.3, 0.33, 0.01, id="B-B200-5"),
        pytest.param(1.95, 1929.5, 0.28, 0.01, id="B-B200-6"),
        pytest.param(1.95, 1947.3, 0.28, 0.01, id="B-B200-7"),
        # E: 16/h for a node of 8 and 22,300 output tokens/s: 16/80.28 = .1993
        pytest.param(16, 22_300, 0.20, 0.005, id="E"),
    ],
)
def test_published_costs_per_million_tokens_are_reproduced(
    usd_per_hour: float, tokens_per_s: float, published: float, tolerance: float
) -> None:
    found = usd_per_mtok(usd_per_hour, tokens_per_s=tokens_per_s)
    assert found == pytest.approx(published, abs=tolerance)


def test_a_day_of_a_pool_costs_what_was_published() -> None:
    # D1: 226.75 nodes x 8 = 1,814 accelerators x $2 x 24 h = $87,072
    pool = made_pool({"h800": 1814})
    hours = {"h800": made_hour(2.0, hardware="h800")}
    assert pool_usd_per_hour(pool, hours=hours) * 24 == 87_072


def test_microseconds_per_token_at_the_hour_give_the_cost_of_a_million() -> None:
    # a = 290, b = 2,537 us: 290 s x 1.17/3600 = .09425, 2,537 s -> .824525; c = .1 a -> .009425
    fit = made_fit([(1000, 1000, 2.827), (8000, 1000, 4.857)])
    costs = {cost.unit: cost for cost in unit_costs(fit, hour=made_hour(1.0, 0.17))}
    assert {unit: cost.usd_per_mtok for unit, cost in costs.items()} == pytest.approx(
        {"input_tokens": 0.09425, "cache_read_tokens": 0.009425, "output_tokens": 0.824525}
    )
    # The parts of the hour, 1.00 and .17, carry over: 290/3600 and 290 x .17/3600
    parts = {part.name: part.usd_per_mtok for part in costs["input_tokens"].parts}
    assert parts == pytest.approx({"part0": 0.0805556, "part1": 0.0136944}, abs=1e-7)


def test_a_pool_weighs_its_hardware_by_request_capacity() -> None:
    # h100: a = .1 s, b = .9 s per 1,000 -> 1.0 s a request; 30/1.0 = 30 requests/s at $1.00
    # b200: a = .1 s, b = .4 s -> .5 s; 10/.5 = 20 requests/s at $2.00. Shares .6 and .4.
    # output: h100 900 s/3600 x 1 = .25, b200 400 s/3600 x 2 = .2222: .6 x .25 + .4 x .2222 = .23889
    cost = made_pool_cost(h100=(0.1, 0.9), b200=(0.1, 0.4), counts=(30, 10))
    shares = {member.hardware: member.share_of_capacity for member in cost.hardware}
    assert shares == pytest.approx({"h100": 0.6, "b200": 0.4})
    assert cost.requests_per_s == pytest.approx(50)
    output = cost.unit("output_tokens")
    assert output.usd_per_mtok == pytest.approx(0.6 * 0.25 + 0.4 * 800 / 3600)
    parts = {part.name: part.usd_per_mtok for part in output.parts}
    assert parts == pytest.approx({"h100": 0.15, "b200": 0.4 * 800 / 3600})


def made_pool_cost(
    *, h100: tuple[float, float], b200: tuple[float, float], counts: tuple[int, int]
) -> PoolUnitCost:
    """A pool with (a, b) in ms per token on each of two kinds, at $1 and $2 an hour."""
    fits = {
        name: made_fit(
            [(1000, 1000, a + b), (8000, 1000, 8 * a + b)], setup=made_setup(hardware=name)
        )
        for name, (a, b) in (("h100", h100), ("b200", b200))
    }
    cost = pool_unit_cost(
        made_pool(dict(zip(("h100", "b200"), counts, strict=True))),
        hours={"h100": made_hour(1.0, hardware="h100"), "b200": made_hour(2.0, hardware="b200")},
        fits=fits,
        reference_shape=REFERENCE,
    )
    assert isinstance(cost, PoolUnitCost)
    return cost


times = st.tuples(st.floats(0.001, 10), st.floats(0.001, 10))


@given(h100=times, b200=times, counts=st.tuples(st.integers(1, 5000), st.integers(1, 5000)))
def test_the_parts_of_a_pool_add_up(
    h100: tuple[float, float], b200: tuple[float, float], counts: tuple[int, int]
) -> None:
    cost = made_pool_cost(h100=h100, b200=b200, counts=counts)
    assert fsum(h.share_of_capacity for h in cost.hardware) == pytest.approx(1)
    for unit in (*cost.units, *(u for h in cost.hardware for u in h.units)):
        assert unit.usd_per_mtok == fsum(part.usd_per_mtok for part in unit.parts)
    # An hour of reference requests at their unit costs is an hour of the pool.
    per_request = (
        cost.unit("input_tokens").usd_per_mtok * REFERENCE.fresh_input_tokens
        + cost.unit("output_tokens").usd_per_mtok * REFERENCE.output_tokens
    ) / 1e6
    hour = counts[0] * 1.0 + counts[1] * 2.0
    assert per_request * cost.requests_per_s * 3600 == pytest.approx(hour, rel=1e-9)


def made_refusal(hardware: str) -> FitRefusal:
    refusal = made_outcome(
        [(1000, 1000, 1.0), (8000, 1000, 2.0)],
        setup=made_setup(hardware=hardware),
        promised_tokens_per_s=75,
    )
    assert isinstance(refusal, FitRefusal)
    return refusal


def test_hardware_that_cannot_keep_the_promise_carries_no_share() -> None:
    fit = made_fit([(1000, 1000, 1.0), (8000, 1000, 2.0)], setup=made_setup(hardware="b200"))
    cost = pool_unit_cost(
        made_pool({"h100": 30, "b200": 10}),
        hours={"h100": made_hour(1.0), "b200": made_hour(2.0)},
        fits={"h100": made_refusal("h100"), "b200": fit},
        reference_shape=REFERENCE,
    )
    assert isinstance(cost, PoolUnitCost)
    assert [(h.hardware, h.share_of_capacity) for h in cost.hardware] == [("b200", 1.0)]
    assert [refusal.setup.hardware for refusal in cost.unable] == ["h100"]


def test_a_pool_of_which_nothing_keeps_the_promise_is_unreachable() -> None:
    found = pool_unit_cost(
        made_pool({"h100": 30}),
        hours={"h100": made_hour(1.0)},
        fits={"h100": made_refusal("h100")},
        reference_shape=REFERENCE,
    )
    assert found == UnreachablePool(pool="pool", unable=(made_refusal("h100"),))


def test_a_reference_shape_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no tokens"):
        pool_unit_cost(
            made_pool({"h100_sxm": 1}),
            hours={"h100_sxm": made_hour(1.0)},
            fits={"h100_sxm": made_fit([(1000, 1000, 1.0), (8000, 1000, 2.0)])},
            reference_shape=MeanShape(fresh_input_tokens=0, cache_read_tokens=0, output_tokens=0),
        )

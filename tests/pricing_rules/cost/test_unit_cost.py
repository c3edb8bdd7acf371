"""Unit costs per hardware and per pool."""

from __future__ import annotations

from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.factory import Amortisation
from pricing_rules.cost.shape_fit import FitRefusal, MeanShape
from pricing_rules.cost.unit_cost import (
    PoolUnitCost,
    UnreachablePool,
    pool_unit_cost,
    unit_costs,
)
from tests.pricing_rules.cost.made_points import (
    made_fit,
    made_hour,
    made_outcome,
    made_pool,
    made_setup,
)

REFERENCE = MeanShape(fresh_input_tokens=1000, cache_read_tokens=0, output_tokens=1000)


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


def test_a_pool_owes_the_making_of_its_model_on_every_token() -> None:
    # 1.0 s per 1,000 + 1,000 tokens at $1.00: output 900/3600 = .25 and input 100/3600; + .30 each.
    # A request of 2,000 tokens costs 1/3600 + 2,000 x .30/1e6 = .000277778 + .0006
    fit = made_fit([(1000, 1000, 1.0), (8000, 1000, 1.7)])
    cost = pool_unit_cost(
        made_pool({"h100_sxm": 1}),
        hours={"h100_sxm": made_hour(1.0)},
        fits={"h100_sxm": fit},
        reference_shape=REFERENCE,
        amortisation=Amortisation(usd_per_mtok=0.30, source="budget"),
    )
    assert isinstance(cost, PoolUnitCost)
    parts = {part.name: part.usd_per_mtok for part in cost.unit("output_tokens").parts}
    assert parts == pytest.approx({"h100_sxm": 0.25, "model_amortisation": 0.30})
    assert cost.unit("input_tokens").usd_per_mtok == pytest.approx(100 / 3600 + 0.30)
    assert cost.request_usd({"h100_sxm": 1.0}, tokens=2000) == pytest.approx(1 / 3600 + 0.0006)


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

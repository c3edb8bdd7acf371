"""How much of a pool usage leaves idle."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pricing_rules.cost.idle_time import (
    MICROSECONDS_PER_HOUR,
    PoolLoad,
    idle_accelerator_hours_per_week,
)
from pricing_rules.cost.shape_fit import MeanShape
from pricing_rules.cost.unit_cost import PoolUnitCost, pool_unit_cost
from tests.pricing_rules.cost.made_factory import factory
from tests.pricing_rules.cost.made_points import made_fit, made_hour, made_pool, made_setup

# 1,000 in and 1,000 out take 1 s of an h100, and .5 s of a b200.
SECOND = [(1000, 1000, 1.0), (8000, 1000, 1.7)]
HALF_SECOND = [(1000, 1000, 0.5), (8000, 1000, 0.85)]


def cost(**accelerators: int) -> PoolUnitCost:
    fits = {
        "h100_sxm": made_fit(SECOND, setup=made_setup("h100_sxm")),
        "b200_sxm": made_fit(HALF_SECOND, setup=made_setup("b200_sxm")),
    }
    found = pool_unit_cost(
        made_pool(accelerators),
        hours={name: made_hour(1.0, hardware=name) for name in fits},
        fits=fits,
        reference_shape=MeanShape(fresh_input_tokens=1000, cache_read_tokens=0, output_tokens=1000),
    )
    assert isinstance(found, PoolUnitCost)
    return found


def load(requests: int, *, hours: dict[int, int], **accelerators: int) -> PoolLoad:
    """``requests`` of 1,000 in and 1,000 out, so many events in each hour of the week."""
    return PoolLoad(
        cost=cost(**accelerators),
        tokens=MeanShape(
            fresh_input_tokens=1000 * requests,
            cache_read_tokens=0,
            output_tokens=1000 * requests,
        ),
        events_by_hour_of_week=[hours.get(hour, 0) for hour in range(168)],
    )


def idle(*loads: PoolLoad, weeks: int = 1, **accelerators: int) -> Decimal:
    return idle_accelerator_hours_per_week(
        made_pool(accelerators),
        factory=factory(),
        loads=loads,
        observed_microseconds=[weeks * MICROSECONDS_PER_HOUR] * 168,
    )


def test_without_usage_all_available_hours_are_idle() -> None:
    # 10 rented h100 for 168 hours; 10 owned b200 at an availability of .95
    assert idle(h100_sxm=10) == 1680
    assert idle(b200_sxm=10) == Decimal("1596")
    assert idle(h100_sxm=10, b200_sxm=10) == Decimal("3276")


def test_an_hour_that_is_over_full_lends_nothing_to_another() -> None:
    # 10 h100: 36,000 requests of 1 s are 10 accelerator-hours. In one hour they fill it exactly:
    # 1,670 left. Twice as many in that hour take no more; over two hours they take 20.
    assert idle(load(36_000, hours={0: 36_000}, h100_sxm=10), h100_sxm=10) == 1670
    assert idle(load(72_000, hours={0: 72_000}, h100_sxm=10), h100_sxm=10) == 1670
    assert idle(load(72_000, hours={0: 1, 1: 1}, h100_sxm=10), h100_sxm=10) == 1660


def test_loads_add_up_and_are_spread_over_the_weeks_observed() -> None:
    # Two loads of 5 and 3 accelerator-hours in one hour; over four weeks a quarter of each
    five, three = (load(n * 3600, hours={5: 7}, h100_sxm=10) for n in (5, 3))
    assert idle(five, three, h100_sxm=10) == 1680 - 8
    assert idle(five, three, weeks=4, h100_sxm=10) == 1680 - 2


def test_seconds_are_weighted_by_the_share_of_the_capacity() -> None:
    # 10 of each: 10 and 20 requests/s, so a request takes 1/3 x 1 + 2/3 x .5 = 2/3 s
    both = load(5400, hours={0: 1}, h100_sxm=10, b200_sxm=10)
    assert idle(both, h100_sxm=10, b200_sxm=10) == Decimal("3276") - 1


def test_an_hour_that_was_seen_twice_is_not_busier_than_one_that_was_seen_once() -> None:
    # 5 accelerator-hours in each of two hours, of which the first was seen twice: 2.5 and 5 a week
    found = idle_accelerator_hours_per_week(
        made_pool({"h100_sxm": 10}),
        factory=factory(),
        loads=[load(10 * 3600, hours={0: 1, 1: 1}, h100_sxm=10)],
        observed_microseconds=[2 * MICROSECONDS_PER_HOUR, *[MICROSECONDS_PER_HOUR] * 167],
    )
    assert found == Decimal("1672.5")


def test_usage_of_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="an hour that was never seen"):
        idle(weeks=0, h100_sxm=10)

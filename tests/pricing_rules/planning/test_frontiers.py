"""What measurements say: points with their frontier, the frontier rate, the trend of the cost."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from pricing_rules.cost.measurement import OperatingPoint
from pricing_rules.document import DocumentError
from pricing_rules.planning.frontiers import (
    ServedAs,
    cost_trends,
    frontier_points,
    frontier_rate,
    served_as,
)
from pricing_rules.planning.window_efficiency import measure
from tests.pricing_rules.cost.made_points import made_point, made_setup
from tests.pricing_rules.rules.made_documents import (
    LONG,
    SHORT,
    made_factory,
    made_points,
    made_policy,
    made_service_tier,
)


def served(*, ttft_ms: int | None = None, promise: int | None = 60) -> ServedAs:
    """The model ``m`` in ``standard`` on H100 at 1.80 USD an hour."""
    one = made_service_tier("standard", promise=promise)
    if ttft_ms is not None:
        one["promise"]["ttft_ms"] = ttft_ms
    policy = made_policy(service_tiers=[one])
    return served_as(made_factory(), model=policy.models[0], service_tier=policy.service_tiers[0])


def on_frontier(points: list[OperatingPoint]) -> list[tuple[float, bool]]:
    found = frontier_points(served(), points=points)
    return [(one.interactivity_tokens_per_s, one.on_frontier) for one in found]


def test_a_point_is_on_the_frontier_unless_one_as_fast_has_as_much_throughput() -> None:
    knots = [(20, 500), (40, 1000), (60, 1000), (80, 400), (80, 300)]
    points = [
        made_point(x, output=y, concurrency=i, setup=made_setup(tp=i))
        for i, (x, y) in enumerate(knots, start=1)
    ]
    expected = [(20, False), (40, False), (60, True), (80, False), (80, True)]
    assert on_frontier(points) == expected
    assert on_frontier(points[::-1]) == expected


def test_each_hardware_and_shape_has_a_frontier_of_its_own() -> None:
    policy = made_policy()
    two = served_as(
        made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": "3.60"}),
        model=policy.models[0],
        service_tier=policy.service_tiers[0],
    )
    points = (*made_points(), *made_points("b200_sxm"))
    found = frontier_points(two, points=points)
    assert all(one.on_frontier for one in found)
    order = [(one.shape, one.hardware) for one in found]
    assert order == sorted(order)
    # 1.80 an hour / (2 x 2,000 tokens/s x 3,600 / 1e6) = .125; twice the price, twice the cost.
    costs = {
        one.hardware: one.usd_per_mtok
        for one in found
        if (one.shape, one.interactivity_tokens_per_s) == (SHORT, 60)
    }
    assert costs == pytest.approx({"h100_sxm": 0.125, "b200_sxm": 0.25})


def test_points_of_another_model_precision_statistic_or_hardware_do_not_count() -> None:
    kept = made_point(60, output=1)
    others = [
        made_point(60, output=9, setup=made_setup(model="n")),
        made_point(60, output=9, setup=replace(made_setup(), precision="bf16")),
        made_point(60, output=9, setup=made_setup("a100_sxm")),
        replace(made_point(60, output=9), statistic="p95"),
    ]
    assert served().points([*others, kept]) == (kept,)


@pytest.mark.parametrize(
    "promised_ms, ttft_ms, counts",
    [
        (None, 3000, True),  # the usual cap at 1,000 input tokens
        (None, 3001, False),
        (500, 500, True),
        (500, 501, False),
        (9000, 3001, False),  # a promise does not make a queue a service
    ],
)
def test_points_over_the_cap_on_ttft_are_left_out(
    promised_ms: int | None, ttft_ms: float, counts: bool
) -> None:
    found = served(ttft_ms=promised_ms).points([made_point(60, output=1, ttft_ms=ttft_ms)])
    assert (len(found) == 1) is counts


def test_without_a_promise_the_usual_cap_holds() -> None:
    assert served(promise=None).ttft_cap_ms(SHORT) == 3000


def test_a_pool_that_the_factory_lacks_is_refused() -> None:
    one = made_service_tier("standard", promise=60)
    one["pool"] = "spare"
    policy = made_policy(service_tiers=[one])
    with pytest.raises(DocumentError, match='there is no pool "spare"'):
        served_as(made_factory(), model=policy.models[0], service_tier=policy.service_tiers[0])


def test_the_frontier_rate_is_one_over_b() -> None:
    # The worked fit: a = 87.3 and b = 412.7 microseconds, so r* = 1e6 / 412.7 = 2,423 and a fresh
    # token is 87.3 / 412.7 = .2115 output tokens; a cached one a tenth of that.
    card = measure(made_factory(), policy=made_policy(), points=made_points()).cards[0]
    found = frontier_rate(card.cost)
    assert found.tokens_per_s == pytest.approx(2423, abs=0.5)
    assert found.equivalents.fresh_input == pytest.approx(0.2115, abs=0.0001)
    assert found.equivalents.cache_read == pytest.approx(0.02115, abs=0.00001)
    assert "m fp8 on 1 h100_sxm" in found.source


def test_a_pool_makes_its_output_equivalents_at_the_mean_of_its_hardware() -> None:
    # 10 accelerators of each; b200 is twice as fast and serves 2/3 of the requests. A request takes
    # g and g/2 seconds: the pool's mean is g (1/3 + 1/2 x 2/3) = 2/3 g, so r* is 3/2 of H100's.
    points = (
        *made_points(),
        *(
            replace(
                point,
                output_tokens_per_s_per_accelerator=2 * point.output_tokens_per_s_per_accelerator,
            )
            for point in made_points("b200_sxm")
        ),
    )
    factory = made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": "1.80"})
    card = measure(factory, policy=made_policy(), points=points).cards[0]
    assert frontier_rate(card.cost).tokens_per_s == pytest.approx(1.5 * 2423, abs=1)


def test_a_trend_takes_the_best_that_was_measured_until_each_day() -> None:
    slow, fast = made_setup(tp=1), made_setup(tp=2)
    points = [
        made_point(60, output=1000, setup=slow, measured_date="2026-01-01"),
        made_point(60, output=2000, setup=fast, measured_date="2026-02-01"),
        made_point(60, output=1500, setup=slow, measured_date="2026-03-01", concurrency=2),
        made_point(60, output=9000, setup=made_setup(tp=4), measured_date=None),
    ]
    (trend,) = cost_trends(served(), points=points)
    # 1.80 / (2 x 1,000 x 3,600 / 1e6) = .25 for input and output together; then .125, and still.
    assert {one.measured_date.month: one.usd_per_mtok for one in trend.costs} == pytest.approx(
        {1: 0.25, 2: 0.125, 3: 0.125}
    )


def test_days_on_which_the_promise_was_not_kept_yet_are_left_out() -> None:
    points = [
        made_point(59, output=1000, measured_date="2026-01-01"),
        made_point(61, output=900, measured_date="2026-02-01", setup=made_setup(tp=2)),
    ]
    (trend,) = cost_trends(served(), points=points)
    assert [one.measured_date for one in trend.costs] == [date(2026, 2, 1)]
    assert cost_trends(served(), points=points[:1]) == ()


def test_trends_are_apart_by_shape() -> None:
    trends = cost_trends(served(), points=made_points())
    assert [one.shape for one in trends] == [SHORT, LONG]

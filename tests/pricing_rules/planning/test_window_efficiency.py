"""One window's efficiency: what is stated stands, what is not is computed, and says so."""

from __future__ import annotations

from typing import Any

import pytest

from pricing_rules.cost.factory import load_factory
from pricing_rules.document import DocumentError
from pricing_rules.planning.efficiency_document import EfficiencyDocument
from pricing_rules.planning.window_efficiency import Measured, measure, window_efficiency
from tests.pricing_rules.cost.made_factory import FACTORY, factory
from tests.pricing_rules.planning.made_planning import counted, made_window
from tests.pricing_rules.rules.made_documents import (
    figure,
    made_factory,
    made_points,
    made_policy,
    made_service_tier,
)

# With a = 87.3 and b = 412.7 us a fresh token counts .21153 output tokens.
GOOD = {"fresh_input_tokens": 10**9, "output_tokens": 10**9}
LOST = {"output_tokens": 10**8}

UNSTATED: dict[str, Any] = {
    "frontier_tokens_per_s": None,
    "usd_per_accelerator_hour": None,
    "energy": None,
    "peak": None,
}


def measured(**changed: Any) -> Measured:
    """10 H100 at 1.80 an hour, the worked fit, a promise of 60 tokens/s."""
    return measure(made_factory(), policy=made_policy(**changed), points=made_points())


def counted_window(**changed: Any) -> EfficiencyDocument:
    tokens = counted(good=GOOD, lost=LOST)
    return made_window(**{"tokens": tokens, "real_share": None, "good_share": None, **changed})


def test_stated_figures_give_the_worked_example_with_the_source_of_each() -> None:
    found = window_efficiency(made_window(), measured=None)
    assert found.efficiency.tokens_per_accelerator_s == pytest.approx(547.371)
    assert [factor.name for factor in found.factors] == [
        "frontier_rate",
        "availability",
        "busy_share",
        "real_share",
        "good_share",
    ]
    assert {factor.source for factor in found.factors} == {"made up (2026-10-01)"}
    # 1.44 kW x 100 x 24 h = 3.456 MWh
    assert found.efficiency.facility_mwh == pytest.approx(3.456)
    assert found.findings == ()


def test_what_is_not_stated_is_computed_from_measurements() -> None:
    found = window_efficiency(made_window(**UNSTATED), measured=measured())
    # r* = 1e6 / 412.7 = 2,423.07; x .95 x .55 x .90 x .97 = 1,105.3
    assert found.efficiency.factors.frontier_tokens_per_s == pytest.approx(2423.07, abs=0.5)
    assert found.efficiency.tokens_per_accelerator_s == pytest.approx(1105.3, abs=0.3)
    assert found.factors[0].source.startswith("shape fit at the promise: m fp8 on 1 h100_sxm")
    assert found.usd_per_owned_hour == pytest.approx(1.80)
    assert found.usd_source == "made: mean over the 10 accelerators of main"
    # Its power is not known, and no peak was stated.
    assert (found.efficiency.facility_mwh, found.efficiency.tokens_per_pflop) == (None, None)


def test_what_is_stated_stands_beside_measurements() -> None:
    alone = window_efficiency(made_window(), measured=None)
    assert window_efficiency(made_window(), measured=measured()).efficiency == alone.efficiency


def test_counted_tokens_are_weighed_by_the_shape_fit() -> None:
    # Good: 1e9 + .21153 x 1e9; made: 1e8 more. Over 100 x 86,400 s: TFE = 140.22.
    found = window_efficiency(counted_window(), measured=measured())
    good = 1e9 * (1 + 87.3 / 412.7)
    assert found.efficiency.good_tokens == pytest.approx(good, rel=1e-3)
    assert found.efficiency.factors.good_share == pytest.approx(good / (good + 1e8), rel=1e-3)
    assert found.efficiency.output_tokens_per_accelerator_s == pytest.approx(1e9 / 8_640_000)
    sources = {factor.name: factor.source for factor in found.factors}
    assert sources["real_share"] == sources["good_share"] == "made up (2026-10-02), counted"


def test_counts_without_what_was_lost_take_the_stated_good_share() -> None:
    window = counted_window(
        tokens=counted(good=GOOD),
        good_share=figure("0.97"),
        output_equivalents={"fresh_input": figure("0.2"), "cache_read": figure("0.02")},
    )
    found = window_efficiency(window, measured=None)
    # 1.2e9 good of 1.2e9 / .97 that were made.
    assert found.efficiency.good_tokens == pytest.approx(1.2e9)
    assert found.efficiency.factors.good_share == pytest.approx(0.97)
    sources = {factor.name: factor.source for factor in found.factors}
    assert sources["good_share"] == "made up (2026-10-01)"
    assert sources["real_share"] == "made up (2026-10-02), counted"


def test_what_is_neither_stated_nor_computed_is_named() -> None:
    with pytest.raises(DocumentError, match=r"^day frontier_tokens_per_s: is neither stated nor"):
        window_efficiency(made_window(frontier_tokens_per_s=None), measured=None)
    with pytest.raises(DocumentError, match=r"^day output_equivalents: is neither stated nor"):
        window_efficiency(counted_window(), measured=None)


def test_without_costs_and_power_there_are_no_such_figures() -> None:
    window = made_window(usd_per_accelerator_hour=None, energy=None)
    found = window_efficiency(window, measured=None)
    assert (found.usd_per_owned_hour, found.usd_source, found.energy_source) == (None, None, None)


@pytest.mark.parametrize(
    "energy, mwh, source",
    [
        ({"facility_mwh": figure("7.5")}, 7.5, "made up (2026-10-01)"),
        # 1.2 kW x 1.25 x 100 x 24 h = 3.6 MWh
        (
            {"it_kw_per_accelerator": figure("1.2"), "pue": figure("1.25")},
            3.6,
            "made up (2026-10-01); PUE made up (2026-10-01)",
        ),
    ],
)
def test_energy_comes_from_the_meter_or_from_mean_power(
    energy: dict[str, Any], mwh: float, source: str
) -> None:
    found = window_efficiency(made_window(energy=energy), measured=None)
    assert found.efficiency.facility_mwh == pytest.approx(mwh)
    assert found.energy_source == source


def owned_and_rented(*, hardware: str) -> Measured:
    """The factory of the cost tests with a pool of this hardware, measured alike."""
    paid = factory("{h100_sxm: 64, b200_sxm: 16}", new=hardware)
    policy = made_policy(changed={"models": [{"name": "gpt-oss-120b", "precision": "fp8"}]})
    points = tuple(
        point
        for name in ("h100_sxm", "b200_sxm")
        for point in made_points(name, model="gpt-oss-120b")
    )
    return measure(paid, policy=policy, points=points)


def test_an_owned_hour_is_paid_whether_it_is_available_or_not() -> None:
    window = made_window(model="gpt-oss-120b", **UNSTATED)
    # Owned, a year: 42,000 / 5 + 150 x 1.71 x 12 + .19 x 8,760 = 8,400 + 3,078 + 1,664.4
    # = 13,142.4, an hour 1.50027, whatever the availability; and 1.71 x 1.3 x .08 x .95 for energy.
    owned = window_efficiency(window, measured=owned_and_rented(hardware="{b200_sxm: 16}"))
    expected = 13_142.4 / 8760 + 1.71 * 1.3 * 0.08 * 0.95
    assert owned.usd_per_owned_hour == pytest.approx(expected)
    # Rated power 1.71 x 1.3 kW x 100 x 24 h.
    assert owned.efficiency.facility_mwh == pytest.approx(1.71 * 1.3 * 2.4)
    assert owned.energy_source == "made up: rated IT power x PUE, busy or idle"
    # With rented ones at 1.17 it is the mean over the pool, whose power is not all known.
    mixed = window_efficiency(
        window, measured=owned_and_rented(hardware="{h100_sxm: 48, b200_sxm: 16}")
    )
    assert mixed.usd_per_owned_hour == pytest.approx((48 * 1.17 + 16 * expected) / 64)
    assert mixed.efficiency.facility_mwh is None


def test_a_load_by_hour_weighs_electricity_as_floors_do() -> None:
    load = ", ".join('"1"' if hour < 24 else '"0"' for hour in range(168))
    by_hour = ", ".join('"0.20"' if hour < 24 else '"0.05"' for hour in range(168))
    text = FACTORY.decode()
    text = text.replace(
        'electricity_usd_per_kwh: {value: "0.08", source: supplier, source_date: "2026-01-01"}',
        f"electricity_usd_per_kwh_by_hour: {{values: [{by_hour}], source: exchange, "
        'source_date: "2026-10-01"}',
    ).replace(
        "{h100_sxm: 64, b200_sxm: 16}",
        f"{{b200_sxm: 16}}\n    load_by_hour: {{values: [{load}], source: meter, "
        'source_date: "2026-10-01"}',
    )
    policy = made_policy(changed={"models": [{"name": "gpt-oss-120b", "precision": "fp8"}]})
    points = made_points("b200_sxm", model="gpt-oss-120b")
    found = measure(load_factory(text.encode(), name="f"), policy=policy, points=points)
    window = made_window(model="gpt-oss-120b", **UNSTATED)
    # All is served on Mondays, at .20 a kWh.
    expected = 13_142.4 / 8760 + 1.71 * 1.3 * 0.20 * 0.95
    assert window_efficiency(window, measured=found).usd_per_owned_hour == pytest.approx(expected)


def test_a_real_rate_over_the_frontier_is_a_finding() -> None:
    window = made_window(
        frontier_tokens_per_s=figure("100"),
        output_equivalents={"fresh_input": figure("0.2"), "cache_read": figure("0.02")},
        tokens=counted(good=GOOD, lost={}),
        real_share=None,
        good_share=None,
    )
    # 1.2e9 tokens in 4,514,400 busy seconds are 265.8 a second, 2.66 times 100.
    (finding,) = window_efficiency(window, measured=None).findings
    assert finding.startswith("day: while busy it made 2.66 times its frontier rate")


def test_a_real_rate_at_the_frontier_is_no_finding() -> None:
    window = made_window(real_share=figure("1"))
    assert window_efficiency(window, measured=None).findings == ()


def test_hardware_that_serves_nothing_is_a_finding() -> None:
    paid = made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": "3.60"})
    found = measure(paid, policy=made_policy(), points=made_points())
    (finding,) = window_efficiency(made_window(**UNSTATED), measured=found).findings
    assert finding.startswith("b200_sxm serves none of m in standard: no measurement of it")


def test_a_promise_that_nothing_keeps_has_no_frontier_rate() -> None:
    service_tiers = [made_service_tier("standard", promise=500)]
    window = made_window(**UNSTATED)
    with pytest.raises(DocumentError, match=r"^day: m/standard has no rates: h100_sxm serves none"):
        window_efficiency(window, measured=measured(service_tiers=service_tiers))


def test_of_several_cards_the_one_of_the_document_counts() -> None:
    # At 120 tokens/s the made throughput is half: 1/b falls from 2,423 to 1,212.
    service_tiers = [
        made_service_tier("standard", promise=60),
        made_service_tier("priority", promise=120),
    ]
    window = made_window(service_tier="priority", **UNSTATED)
    found = window_efficiency(window, measured=measured(service_tiers=service_tiers))
    assert found.efficiency.factors.frontier_tokens_per_s == pytest.approx(1211.5, abs=0.5)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"model": "n"}, 'model: "n" is not in the policy; write one of m'),
        ({"service_tier": "flash"}, 'service_tier: "flash" is not in the policy; write one of st'),
    ],
)
def test_a_model_or_service_tier_that_the_policy_lacks_is_named(
    changed: dict[str, str], said: str
) -> None:
    with pytest.raises(DocumentError, match=said):
        window_efficiency(made_window(**UNSTATED, **changed), measured=measured())

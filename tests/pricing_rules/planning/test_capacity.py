"""Sharing a site's MW over service tiers: the Rubin example, duals, and a greedy as oracle."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.planning.capacity import Allocation, allocate
from pricing_rules.planning.capacity_plan import CapacityPlan, earned_usd_per_mtok
from pricing_rules.planning.capacity_report import capacity_report
from tests.pricing_rules.planning.made_planning import made_plan, served

SECONDS_PER_YEAR = 31_536_000
BILLION = 1e9

# A MW of each service tier sells in a year, in millions of USD:
# medium 3 x 1.6 x 31.536 = 151.3728, premium 45 x .2 x 31.536 = 283.824,
# high 6 x .7 x 31.536 = 132.4512, free 0.
MEDIUM, PREMIUM, HIGH = 151_372_800.0, 283_824_000.0, 132_451_200.0


def quarters() -> CapacityPlan:
    """The keynote's split: 250 MW for each service tier."""
    return made_plan(
        *(served(name, minimum_mw="250") for name in ("free", "medium", "high", "premium"))
    )


def by_demand() -> CapacityPlan:
    """100 MW promised to free; premium sells 20M tokens/s (100 MW), high 210M (300 MW)."""
    return made_plan(
        served("free", minimum_mw="100"),
        served("medium"),
        served("high", demand_tokens_per_s="210000000"),
        served("premium", demand_tokens_per_s="20000000"),
    )


def mw_of(found: Allocation) -> dict[str, float]:
    return {one.name: one.mw for one in found.service_tiers}


def break_even_of(found: Allocation) -> dict[str, float | None]:
    return {one.name: one.break_even_usd_per_mtok for one in found.service_tiers}


def test_a_quarter_of_a_rubin_site_for_each_service_tier_earns_141_9_billion() -> None:
    # 250 x (151.3728 + 132.4512 + 283.824) = 250 x 567.648 = 141,912 million.
    found = allocate(quarters())
    assert found.revenue_usd_per_year == pytest.approx(141.912 * BILLION)
    assert list(mw_of(found).values()) == pytest.approx([250] * 4)
    # The keynote claims 150: the sum is 5 % under it, within the 7 % that digitising leaves.
    assert found.revenue_usd_per_year / (150 * BILLION) == pytest.approx(0.946, abs=0.001)


def test_of_a_site_with_no_other_limit_premium_takes_all_that_free_leaves() -> None:
    # 750 x 283.824 = 212,868 million.
    found = allocate(
        made_plan(
            served("free", minimum_mw="250"), served("medium"), served("high"), served("premium")
        )
    )
    assert found.revenue_usd_per_year == pytest.approx(212.868 * BILLION)
    assert mw_of(found) == pytest.approx({"free": 250, "medium": 0, "high": 0, "premium": 750})


def test_with_demand_high_gets_nothing_and_breaks_even_at_6_86() -> None:
    # 800 x 151.3728 + 100 x 283.824 = 121,098.24 + 28,382.4 = 149,480.64 million.
    found = allocate(by_demand())
    assert found.revenue_usd_per_year == pytest.approx(149.48064 * BILLION)
    assert mw_of(found) == pytest.approx({"free": 100, "medium": 800, "high": 0, "premium": 100})
    # 6 x .70M < 3 x 1.60M; high would draw level at 3 x 1.6 / .7 = 6.857.
    high = found.service_tiers[2]
    assert not high.earns_its_power
    assert high.break_even_usd_per_mtok == pytest.approx(3 * 1.6 / 0.7)
    assert capacity_report(by_demand()).findings[1] == (
        "high does not earn its power; it would from 6.857 USD per million tokens on"
    )


def test_a_mw_more_of_site_is_worth_what_the_best_open_service_tier_earns() -> None:
    assert allocate(by_demand()).marginal_usd_per_mw_year == pytest.approx(MEDIUM)
    bigger = by_demand().model_dump(mode="json", by_alias=True, exclude_none=True)
    bigger["site_mw"]["value"] = "1001"
    more = allocate(CapacityPlan.model_validate_json(json.dumps(bigger)))
    gained = more.revenue_usd_per_year - allocate(by_demand()).revenue_usd_per_year
    assert gained == pytest.approx(MEDIUM)


def test_where_a_demand_just_fills_the_site_the_next_mw_is_worth_the_next_best_use() -> None:
    # Premium takes 900 MW of demand, free its 100: the site is full, the next MW is medium's.
    plan = made_plan(
        served("free", minimum_mw="100"),
        served("medium"),
        served("premium", demand_tokens_per_s="180000000"),
    )
    found = allocate(plan)
    assert mw_of(found) == pytest.approx({"free": 100, "medium": 0, "premium": 900})
    assert found.marginal_usd_per_mw_year == pytest.approx(MEDIUM)


@pytest.mark.parametrize(
    "rate, gets",
    [("6.85", 0), ("6.87", 300)],  # 300 MW is all that its demand takes
)
def test_under_its_break_even_high_gets_nothing_and_over_it_all_of_its_demand(
    rate: str, gets: int
) -> None:
    plan = made_plan(
        served("free", minimum_mw="100"),
        served("medium"),
        served("high", demand_tokens_per_s="210000000", rate_usd_per_mtok=rate),
        served("premium", demand_tokens_per_s="20000000"),
    )
    assert mw_of(allocate(plan))["high"] == pytest.approx(gets)


def test_who_earns_its_power_loses_its_last_mw_under_its_break_even() -> None:
    # Medium's last MW would go to high: 6 x .7 / 1.6 = 2.625. Premium's to medium: 3 x 1.6 / .2.
    found = break_even_of(allocate(by_demand()))
    assert found["medium"] == pytest.approx(2.625)
    assert found["premium"] == pytest.approx(24)
    # Free has its minimum and no more: its next MW would be medium's, 3 x 1.6 / 1.65.
    assert found["free"] == pytest.approx(2.90909, abs=1e-5)


def test_a_minimum_that_leaves_no_mw_is_judged_by_its_own_last_mw() -> None:
    # Every MW of the quarters is promised; medium's last one would go to premium.
    found = break_even_of(allocate(quarters()))
    assert found["medium"] == pytest.approx(283.824 / (1.6 * 31.536))  # 5.625
    earning = [one.name for one in allocate(quarters()).service_tiers if one.earns_its_power]
    assert earning == ["premium"]


def test_a_service_tier_under_its_floor_gets_its_minimum_and_no_more() -> None:
    plan = made_plan(
        served("premium", floor_usd_per_mtok="45.01", minimum_mw="10"),
        served("medium", floor_usd_per_mtok="3"),
    )
    found = allocate(plan)
    assert mw_of(found) == pytest.approx({"premium": 10, "medium": 990})
    assert [one.under_floor for one in found.service_tiers] == [True, False]
    assert [one.earns_its_power for one in found.service_tiers] == [False, True]
    assert capacity_report(plan).findings == (
        "premium sells under its floor, so it gets its minimum and no more",
    )


def test_power_that_no_demand_takes_stays_idle_and_is_worth_nothing() -> None:
    plan = made_plan(served("premium", demand_tokens_per_s="20000000"))
    found = allocate(plan)
    assert found.idle_mw == pytest.approx(900)
    assert found.marginal_usd_per_mw_year == 0
    assert found.service_tiers[0].at_demand
    # Nobody else wants its MW, so it keeps them at any rate.
    assert found.service_tiers[0].break_even_usd_per_mtok == 0
    assert capacity_report(plan).findings == (
        "900 MW stay idle: no demand that earns is left for them",
    )


def test_a_margin_counts_what_each_token_costs_and_skips_who_loses_on_it() -> None:
    # Medium earns (3 - 1) x 1.6 = 3.2 a MW-second, premium (45 - 40) x .2 = 1.0, high 6 - 7 < 0.
    plan = made_plan(
        served("medium", cost_usd_per_mtok="1", demand_tokens_per_s="160000000"),
        served("high", cost_usd_per_mtok="7"),
        served("premium", cost_usd_per_mtok="40"),
        objective="margin",
    )
    found = allocate(plan)
    assert mw_of(found) == pytest.approx({"medium": 100, "high": 0, "premium": 900})
    assert found.margin_usd_per_year == pytest.approx((100 * 3.2 + 900 * 1.0) * 31_536_000)
    assert found.objective_usd_per_year == pytest.approx(found.margin_usd_per_year)
    # High displaces premium: 1.0 / .7 over its cost of 7.
    assert break_even_of(found)["high"] == pytest.approx(7 + 1.0 / 0.7)


def test_a_margin_is_absent_where_a_served_service_tier_states_no_cost() -> None:
    plan = made_plan(served("medium", cost_usd_per_mtok="1", minimum_mw="10"), served("premium"))
    assert allocate(plan).margin_usd_per_year is None
    # High states none either, but serves nothing.
    plan = made_plan(served("premium", cost_usd_per_mtok="1"), served("high"))
    assert allocate(plan).margin_usd_per_year == pytest.approx(1000 * (45 - 1) * 0.2 * 31_536_000)


def test_a_minimum_share_of_a_model_class_has_its_price() -> None:
    # Open models (medium) must have 20 % of the site: 200 MW that premium would have sold better.
    plan = made_plan(
        served("medium", model_class="open"), served("premium"), classes={"open": "0.2"}
    )
    found = allocate(plan)
    (open_models,) = found.model_classes
    assert mw_of(found) == pytest.approx({"medium": 200, "premium": 800})
    assert open_models.shadow_usd_per_mw_year == pytest.approx(PREMIUM - MEDIUM)
    assert open_models.cost_usd_per_year == pytest.approx(200 * (PREMIUM - MEDIUM))
    assert found.diversity_usd_per_year == pytest.approx(200 * (PREMIUM - MEDIUM))
    assert capacity_report(plan).findings[-1] == (
        "the minimum share of open costs 26,490,240,000 USD a year"
    )


def test_a_share_that_is_kept_anyway_costs_nothing() -> None:
    plan = made_plan(
        served("medium"), served("premium", model_class="closed"), classes={"closed": "0.2"}
    )
    found = allocate(plan)
    assert found.diversity_usd_per_year == 0
    assert found.model_classes[0].shadow_usd_per_mw_year == 0
    assert capacity_report(plan).findings == (
        "medium does not earn its power; it would from 5.625 USD per million tokens on",
    )


def test_without_a_site_the_plan_is_what_all_demand_takes() -> None:
    plan = made_plan(
        served("free"),
        served("premium", demand_tokens_per_s="20000000"),
        served("high", demand_tokens_per_s="70000000"),
        site_mw=None,
    )
    found = allocate(plan)
    assert mw_of(found) == pytest.approx({"free": 0, "premium": 100, "high": 100})
    assert (found.idle_mw, found.marginal_usd_per_mw_year) == (None, None)
    report = capacity_report(plan)
    assert (report.site_mw, report.idle_mw) == (None, None)


def test_where_no_mw_can_move_no_rate_changes_that() -> None:
    # The class must have all of the site, and its one service tier has it: nothing can move.
    plan = made_plan(
        served("high", model_class="all"), served("premium"), classes={"all": "1"}, site_mw="10"
    )
    found = allocate(plan)
    assert break_even_of(found) == {"high": None, "premium": None}
    assert capacity_report(plan).findings[0] == (
        "premium gets its minimum and no more: the minima leave no MW to move"
    )


def test_a_plan_made_in_code_is_checked_as_one_that_is_read() -> None:
    plan = quarters()
    small = plan.site_mw.model_copy(update={"value": Decimal(999)})  # type: ignore[union-attr]
    with pytest.raises(DocumentError, match=r"^plan site_mw: the minima need 1000 MW"):
        allocate(plan.model_copy(update={"site_mw": small}))


# The greedy: minima first, then by what a MW earns, up to demand, until the site is full.


def greedy_usd_per_year(plan: CapacityPlan) -> float:
    assert plan.site_mw is not None
    left = float(plan.site_mw.value)
    total = 0.0
    order = []
    for one in plan.service_tiers:
        worth = float(earned_usd_per_mtok(one, plan=plan) * one.tokens_per_s_per_mw.value)
        least = float(one.least_mw)
        most = float("inf") if one.most_mw is None else float(one.most_mw)
        total += worth * least
        left -= least
        order.append((worth, most - least))
    for worth, room in sorted(order, reverse=True):
        taken = min(room, left) if worth > 0 else 0.0
        total += worth * taken
        left -= taken
    return total * SECONDS_PER_YEAR / 1e6


def test_the_greedy_finds_the_three_rubin_figures_too() -> None:
    assert greedy_usd_per_year(quarters()) == pytest.approx(141.912 * BILLION)
    assert greedy_usd_per_year(by_demand()) == pytest.approx(149.48064 * BILLION)


@st.composite
def plans(draw: st.DrawFn) -> CapacityPlan:
    """Two to six service tiers on 1,000 MW whose minima fit."""
    number = draw(st.integers(2, 6))
    objective = draw(st.sampled_from(["revenue", "margin"]))
    service_tiers = []
    for i in range(number):
        per_mw = draw(st.integers(1_000, 2_000_000))
        least = draw(st.integers(0, 1000 // number))
        figures = {
            "rate_usd_per_mtok": str(draw(st.integers(0, 200))),
            "tokens_per_s_per_mw": str(per_mw),
            "cost_usd_per_mtok": str(draw(st.integers(0, 100))),
            "minimum_mw": str(least),
        }
        if draw(st.booleans()):
            figures["demand_tokens_per_s"] = str(per_mw * draw(st.integers(least, 1200)))
        service_tiers.append(served(f"t{i}", **figures))
    return made_plan(*service_tiers, objective=objective)


@given(plans())
def test_it_earns_what_the_greedy_does_and_no_exchange_of_a_little_power_earns_more(
    plan: CapacityPlan,
) -> None:
    found = allocate(plan)
    expected = greedy_usd_per_year(plan)
    assert found.objective_usd_per_year == pytest.approx(expected, rel=1e-6, abs=1)
    # It keeps its limits.
    little_mw = 1e-3
    both = list(zip(found.service_tiers, plan.service_tiers, strict=True))
    assert sum(one.mw for one in found.service_tiers) <= 1000 + 1e-6
    for power, one in both:
        assert power.mw >= float(one.least_mw) - 1e-6
        assert one.most_mw is None or power.mw <= float(one.most_mw) + 1e-6
    # Whoever could give a little power to whom could take it would not earn more by it.
    givers = [power for power, one in both if power.mw > float(one.least_mw) + little_mw]
    takers = [
        power
        for power, one in both
        if one.most_mw is None or power.mw < float(one.most_mw) - little_mw
    ]
    for giver in givers:
        for taker in takers:
            assert taker.earned_usd_per_mw_year <= giver.earned_usd_per_mw_year * (1 + 1e-9) + 1e-3

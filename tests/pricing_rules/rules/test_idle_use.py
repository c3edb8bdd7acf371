"""Short_run service tiers against the idle time of their pool."""

from __future__ import annotations

from typing import Any

import pytest

from pricing_rules.prices.price_book import PriceBook
from pricing_rules.usage.mix import UsageMix
from tests.pricing_rules.rules.made_documents import (
    figure,
    finding_ids,
    made_factory,
    made_service_tier,
)
from tests.pricing_rules.rules.made_mixes import made_entry, made_mix, mixed_book


def night(
    expected: str, *, name: str = "night", idle: str | None = None, pool: str = "main"
) -> dict[str, Any]:
    use: dict[str, Any] = {"expected_accelerator_hours_per_week": figure(expected)}
    if idle is not None:
        use["idle_accelerator_hours_per_week"] = figure(idle)
    return {
        **made_service_tier(name, margin="0"),
        "pool": pool,
        "interruptible": True,
        "floor_kind": "short_run",
        "idle_use": use,
    }


def book(*service_tiers: dict[str, Any], mixes: tuple[UsageMix, ...] = ()) -> PriceBook:
    return mixed_book(
        *mixes,
        service_tiers=[made_service_tier("standard", promise=60), *service_tiers],
        factory=made_factory(service_tiers=["standard", "night", "dusk"], variable="0.01"),
    )


def idle(found: PriceBook) -> list[str]:
    return finding_ids(found, kind="idle_capacity")


def sentence(found: PriceBook, id_: str) -> str:
    return next(one.sentence for one in found.findings if one.id == id_)


@pytest.mark.parametrize("expected, over", [("99", False), ("100", False), ("100.1", True)])
def test_a_stated_forecast_bounds_the_expected_use(expected: str, over: bool) -> None:
    found = book(night(expected, idle="100"))
    assert idle(found) == (["idle_capacity:night"] if over else [])
    if over:
        assert sentence(found, "idle_capacity:night") == (
            "night has a short_run floor and is expected to take 100.1 accelerator-hours a week, "
            "of which 100 are forecast to be idle (made up (2026-10-01)); beyond them its floor "
            "is not what they cost"
        )


# 10 accelerators are 1,680 hours a week. Four weeks of 28,800 requests of .5 s are 4 accelerator-
# hours, one a week: 1,679 stay idle.
BUSY = made_entry(by_hour={9: 28_800})


@pytest.mark.parametrize("expected, over", [("1678", False), ("1679", False), ("1680", True)])
def test_the_usage_mix_forecasts_what_nobody_stated(expected: str, over: bool) -> None:
    found = book(night(expected), mixes=(made_mix(BUSY),))
    assert idle(found) == (["idle_capacity:night"] if over else [])
    if over:
        assert "of which 1679 are forecast to be idle (what the usage mix leaves of main)" in (
            sentence(found, "idle_capacity:night")
        )


def test_what_the_service_tier_took_before_is_no_load_of_others() -> None:
    own = made_entry(service_tier="night", by_hour={2: 28_800})
    assert idle(book(night("1680"), mixes=(made_mix(own),))) == []


def test_mixes_over_the_same_time_add_their_loads_and_not_their_weeks() -> None:
    # Twice one accelerator-hour a week over the same four weeks: 1,678 left. One after the other:
    # 1,679
    globex = made_entry(account="globex", by_hour={9: 28_800})
    same = (made_mix(BUSY), made_mix(globex))
    assert idle(book(night("1678"), mixes=same)) == []
    assert idle(book(night("1679"), mixes=same)) == ["idle_capacity:night"]
    later = made_mix(globex, start="2026-11-23T00:00:00Z", end="2026-12-21T00:00:00Z")
    assert idle(book(night("1679"), mixes=(made_mix(BUSY), later))) == []
    inside = made_mix(globex, start="2026-11-02T00:00:00Z", end="2026-11-09T00:00:00Z")
    assert idle(book(night("1678"), mixes=(made_mix(BUSY), inside))) == []
    assert idle(book(night("1679"), mixes=(made_mix(BUSY), inside))) == ["idle_capacity:night"]


def test_hours_that_the_mix_never_saw_are_not_idle() -> None:
    # A Monday alone, on which every hour is full: spread over a week it would leave 1,440 hours.
    full = made_entry(by_hour=dict.fromkeys(range(24), 72_000))
    monday = made_mix(full, start="2026-11-02T00:00:00Z", end="2026-11-03T00:00:00Z")
    assert "the usage mix saw none of 144 hours of the week; state" in sentence(
        book(night("1"), mixes=(monday,)), "idle_capacity:night"
    )
    rest = made_mix(start="2026-11-03T00:00:00Z", end="2026-11-09T00:00:00Z")
    assert idle(book(night("1440"), mixes=(monday, rest))) == []
    assert idle(book(night("1441"), mixes=(monday, rest))) == ["idle_capacity:night"]


@pytest.mark.parametrize(
    "expected, over",
    # From Monday 12:30 to the next Tuesday 12:30: hour 12 of Monday is seen half, then whole. So
    # 28,800 requests of .5 s, 4 accelerator-hours in it, are 4/1.5 = 2.667 a week: 1,677.333 left
    [("1677.333", False), ("1677.334", True)],
)
def test_an_hour_took_what_it_took_on_the_mean(expected: str, over: bool) -> None:
    served = made_entry(by_hour={12: 28_800})
    mix = made_mix(served, start="2026-11-02T12:30:00Z", end="2026-11-10T12:30:00Z")
    assert idle(book(night(expected), mixes=(mix,))) == (["idle_capacity:night"] if over else [])


def test_service_tiers_of_one_pool_share_its_idle_time() -> None:
    def both(dusk: str) -> list[str]:
        return idle(book(night("1000"), night(dusk, name="dusk"), mixes=(made_mix(BUSY),)))

    assert both("679") == []
    assert both("680") == ["idle_capacity:dusk", "idle_capacity:night"]


def test_a_forecast_that_nobody_made_is_a_finding() -> None:
    found = book(night("1"))
    assert sentence(found, "idle_capacity:night") == (
        "night has a short_run floor, and the idle time of its pool is not known: there is no "
        "usage mix; state idle_accelerator_hours_per_week"
    )
    # dusk is served in the pool and has no card in this policy, so its seconds are not known.
    unpriced = made_mix(made_entry(service_tier="dusk"))
    assert "m in dusk was served there without a cost" in sentence(
        book(night("1"), mixes=(unpriced,)), "idle_capacity:night"
    )
    elsewhere = made_mix(made_entry(model="other"))
    assert idle(book(night("1680"), mixes=(elsewhere,))) == []

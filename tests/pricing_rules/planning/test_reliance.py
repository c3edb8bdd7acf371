"""Ecosystem reliance: shares and concentration by vendor, and floors without one of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pricing_rules.cost.measurement import OperatingPoint
from pricing_rules.document import DocumentError
from pricing_rules.planning.reliance import CardWithout, reliance, without_vendor
from pricing_rules.planning.window_efficiency import Measured, measure
from tests.pricing_rules.rules.made_documents import (
    made_factory,
    made_points,
    made_policy,
    made_service_tier,
)

VENDORS = {"h100_sxm": "NVIDIA", "mi300x": "AMD"}
HOURS = {"h100_sxm": "1.80", "mi300x": "1.20"}


def slower(points: tuple[OperatingPoint, ...], *, share: float) -> tuple[OperatingPoint, ...]:
    """The same points with ``share`` of the throughput."""
    return tuple(
        replace(
            point,
            output_tokens_per_s_per_accelerator=share * point.output_tokens_per_s_per_accelerator,
        )
        for point in points
    )


def two_vendors(*, amd_share: float = 1.0) -> Measured:
    """10 H100 at 1.80 and 10 MI300X at 1.20 with a share of H100's throughput."""
    points = (*made_points(), *slower(made_points("mi300x"), share=amd_share))
    return measure(made_factory(usd_per_hour=HOURS), policy=made_policy(), points=points)


def without(vendor: str, *, measured: Measured, vendors: dict[str, str]) -> CardWithout:
    (found,) = without_vendor(
        measured.factory,
        policy=measured.policy,
        points=measured.points,
        cards=measured.cards,
        vendors=vendors,
        vendor=vendor,
    )
    return found


@pytest.mark.parametrize(
    "amd_share, nvidia, hhi",
    [
        (1.0, 0.5, 5000),  # two alike: 50^2 + 50^2
        (1 / 3, 0.75, 6250),  # 75^2 + 25^2
    ],
)
def test_shares_are_of_request_capacity(amd_share: float, nvidia: float, hhi: float) -> None:
    found = reliance(two_vendors(amd_share=amd_share).cards[0], vendors=VENDORS)
    shares = {one.vendor: one.share for one in found.shares}
    assert shares == pytest.approx({"AMD": 1 - nvidia, "NVIDIA": nvidia})
    assert found.hhi == pytest.approx(hhi)


def test_one_vendor_alone_is_10000() -> None:
    found = reliance(two_vendors().cards[0], vendors=dict.fromkeys(VENDORS, "NVIDIA"))
    assert {one.vendor: one.share for one in found.shares} == pytest.approx({"NVIDIA": 1})
    assert found.hhi == pytest.approx(10_000)


def test_the_larger_vendor_comes_first_and_equal_ones_by_name() -> None:
    alike = reliance(two_vendors().cards[0], vendors=VENDORS)
    assert [one.vendor for one in alike.shares] == ["AMD", "NVIDIA"]
    larger = reliance(two_vendors(amd_share=0.5).cards[0], vendors=VENDORS)
    assert [one.vendor for one in larger.shares] == ["NVIDIA", "AMD"]


def test_without_the_cheaper_vendor_floors_rise_and_half_of_the_capacity_goes() -> None:
    # Alike in throughput, an hour costs (1.80 + 1.20) / 2 = 1.50 with both and 1.80 without AMD.
    found = without("AMD", measured=two_vendors(), vendors=VENDORS)
    assert found.is_kept
    assert found.capacity_left == pytest.approx(0.5)
    for floor in found.floors:
        assert floor.after_usd_per_mtok is not None
        assert float(floor.after_usd_per_mtok / floor.before_usd_per_mtok) == pytest.approx(1.2)


def test_without_the_dearer_vendor_floors_fall() -> None:
    found = without("NVIDIA", measured=two_vendors(), vendors=VENDORS)
    assert found.floors[0].after_usd_per_mtok is not None
    ratio = found.floors[0].after_usd_per_mtok / found.floors[0].before_usd_per_mtok
    assert float(ratio) == pytest.approx(1.2 / 1.5)


def test_a_promise_that_one_vendor_alone_keeps_is_lost_without_it() -> None:
    # Only H100 was measured at 120 tokens/s; without NVIDIA nothing keeps the promise of 100.
    policy = made_policy(service_tiers=[made_service_tier("standard", promise=100)])
    amd = [p for p in made_points("mi300x") if p.interactivity_tokens_per_s < 100]
    measured = measure(
        made_factory(usd_per_hour=HOURS), policy=policy, points=(*made_points(), *amd)
    )
    found = without("NVIDIA", measured=measured, vendors=VENDORS)
    assert (found.is_kept, found.capacity_left) == (False, 0)
    assert {floor.after_usd_per_mtok for floor in found.floors} == {None}
    assert without("AMD", measured=measured, vendors=VENDORS).capacity_left == pytest.approx(1)


def test_without_the_only_vendor_of_a_pool_no_promise_is_kept() -> None:
    measured = measure(made_factory(), policy=made_policy(), points=made_points())
    found = without("NVIDIA", measured=measured, vendors=VENDORS)
    assert not found.is_kept


def test_a_vendor_that_makes_nothing_here_and_hardware_without_a_vendor_are_named() -> None:
    with pytest.raises(
        DocumentError, match='--without: no hardware of a pool is by "Intel"; write one of AMD, NV'
    ):
        without("Intel", measured=two_vendors(), vendors=VENDORS)
    with pytest.raises(
        DocumentError, match='vendors: no efficiency document says who makes "mi300x"'
    ):
        without("NVIDIA", measured=two_vendors(), vendors={"h100_sxm": "NVIDIA"})
    with pytest.raises(
        DocumentError, match='vendors: no efficiency document says who makes "h100_sxm"'
    ):
        reliance(two_vendors().cards[0], vendors={"mi300x": "AMD"})

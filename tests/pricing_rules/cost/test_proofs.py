"""Four proofs in plain numbers of what the cost module is for, as sums that a person can follow.

Accelerators cost $1.80 an hour, .0005 a second. A token of input takes 87.3 and one of output 412.7
microseconds (measured: 1k/1k at 2,000 and 8k/1k at 900 output tokens/s), unless a proof says else.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from pricing_rules.cost.allocators import AllocationBasis, ServedMix, allocation_for_pricing
from pricing_rules.cost.floor import FloorTerms, floor_of, quantise
from pricing_rules.cost.joining_charge import joining_charge
from pricing_rules.cost.shape_fit import MeanShape
from pricing_rules.cost.unit_cost import PoolUnitCost, pool_unit_cost, usd_per_mtok
from pricing_rules.cost.yield_test import RatesPerMtok, yield_of_measured, yield_of_mix
from tests.pricing_rules.cost.made_points import made_fit, made_hour, made_pool, made_setup
from tests.pricing_rules.rules.made_documents import finding_ids, made_rule
from tests.pricing_rules.rules.made_kinds import kinds, output_floor, owned_factory
from tests.pricing_rules.rules.made_mixes import made_entry, made_mix, mixed_book

ALL_BUSY = FloorTerms(
    utilization=Decimal(1),
    variable_usd_per_mtok=Decimal(0),
    minimum_margin=Decimal(0),
    revenue_share=Decimal(0),
)


def request(tokens_in: float, tokens_out: float) -> MeanShape:
    return MeanShape(fresh_input_tokens=tokens_in, cache_read_tokens=0, output_tokens=tokens_out)


def pool(*hardware: tuple[str, int, float, float]) -> PoolUnitCost:
    """Hardware of (name, accelerators, $/h, a's share): measured at 1k/1k, 8k/1k and 500/4,000."""
    fits, hours = {}, {}
    for name, _, usd_per_hour, times in hardware:
        a, b = 87.3e-6 * times, 412.7e-6 * times
        shapes = [(i, o, a * i + b * o) for i, o in ((1000, 1000), (8000, 1000), (500, 4000))]
        fits[name] = made_fit(shapes, setup=made_setup(name))
        hours[name] = made_hour(usd_per_hour, hardware=name)
    found = pool_unit_cost(
        made_pool({name: count for name, count, _, _ in hardware}),
        hours=hours,
        fits=fits,
        reference_shape=request(1000, 1000),
    )
    assert isinstance(found, PoolUnitCost)
    return found


def test_rates_that_add_up_on_one_shape_sell_reasoning_under_its_cost() -> None:
    # An hour of 1k/1k is 7,200 requests of .5 s, 7.2 Mtok each way, for $1.80. Output-equivalent
    # weighs .25 x 7.2 + 7.2 = 9.0: $.20 out and $.05 in, and that adds up: 7.2 x (.05 + .20) = 1.80
    mix = ServedMix(fresh_input_mtok=7.2, cache_read_mtok=0, output_mtok=7.2, pool_usd=1.80)
    split = allocation_for_pricing("output_equivalent", mix=mix, basis=AllocationBasis())
    assert split.usd_of(mix) == pytest.approx(1.80)
    rates = RatesPerMtok(
        input_usd=Fraction(quantise(split.usd_per_mtok["input_tokens"])),
        cache_read_usd=Fraction(0),
        output_usd=Fraction(quantise(split.usd_per_mtok["output_tokens"])),
    )
    assert (rates.input_usd, rates.output_usd) == (Fraction("0.05"), Fraction("0.2"))
    cost = pool(("h100", 1, 1.80, 1.0))

    def headroom(tokens_in: int, tokens_out: int) -> float:
        verdict = yield_of_measured(
            cost, request=request(tokens_in, tokens_out), terms=ALL_BUSY, rates=rates
        )
        assert verdict.earns_its_floor is (verdict.headroom_usd >= 0)
        return float(verdict.headroom_usd * 10**6)

    # In dollars per million requests, the allocator's own shape: 50 + 200 - .5 s x 500 = 0
    assert headroom(1000, 1000) == pytest.approx(0, abs=1e-6)
    # Long input pays: 400 + 200 - 1.1111 s x 500 = 44.45
    assert headroom(8000, 1000) == pytest.approx(44.45)
    # Reasoning, 500 in and 4,000 out: 25 + 800 = 825 for 1.69445 s, which are 847.225: caught
    assert headroom(500, 4000) == pytest.approx(-22.225)


def test_night_work_passes_within_the_idle_time_and_fails_an_hour_beyond() -> None:
    # Serving adds $.06 of energy an hour to idling, and .04 per Mtok: the floor of output is .0493
    # where the full one is .8703 (at a share of .05 that goes away).
    share = {"value": "0.05", "source": "fees", "source_date": "2026-10-01"}

    def book(expected: str, *, rate: str = "0.05") -> list[str]:
        use = {
            "expected_accelerator_hours_per_week": {
                "value": expected, "source": "plan", "source_date": "2026-10-01",
            },
        }  # fmt: skip
        made = mixed_book(
            # 10 accelerators, 1,680 hours a week, of which the day takes 840: 120,960,000
            # requests of .5 s in four weeks, in the hours from 06:00 to 18:00 UTC of every day.
            made_mix(
                made_entry(
                    service_tier="full",
                    by_hour={day * 24 + hour: 288_000 for day in range(7) for hour in range(6, 18)},
                )
            ),
            service_tiers=kinds(idle_use=use),
            rules=[
                made_rule(
                    "night",
                    when={"service_tiers": ["night"], "units": ["output_tokens"]},
                    then={"action": "set", "rate": rate},
                )
            ],
            factory=owned_factory(),
            changed={"revenue_share": share},
        )
        assert output_floor(made, service_tier="night") == "0.0493455862"
        assert output_floor(made, service_tier="full") == "0.870264549"
        return [
            id_
            for id_ in finding_ids(made)
            if id_.startswith(("idle_capacity", "under_floor", "yield:m/night"))
        ]

    assert book("840") == []
    assert book("841") == ["idle_capacity:night"]
    assert book("840", rate="0.049") == [
        "under_floor:m/night/output_tokens",
        "yield:m/night/measured",
    ]


def test_a_priority_service_tier_is_charged_with_what_the_others_lose() -> None:
    # 10 accelerators at 1.80 are $18 an hour. Alone the others serve 20,000 tokens/s: $.25 a Mtok.
    # Beside priority traffic of 1,000 tokens/s batches are smaller, and they serve 17,000: 15 % of
    # the hour, $2.70, is gone. Priority pays it: 2.70/3.6 Mtok = $.75; the others keep $.25.
    # Split by tokens alone, both would cost 18/64.8 = $.2778: the others' floor would rise by 11 %.
    charge = joining_charge(
        18.0,
        others_alone_tokens_per_s=20_000,
        others_beside_tokens_per_s=17_000,
        newcomer_tokens_per_s=1_000,
    )
    assert charge.lost_tokens_per_s == 3_000
    assert charge.usd_per_hour == pytest.approx(2.70)
    assert charge.newcomer_usd_per_mtok == pytest.approx(0.75)
    assert usd_per_mtok(18.0, tokens_per_s=18_000) == pytest.approx(0.2778, abs=0.0001)

    def floor(usd: float) -> Decimal:
        return floor_of(usd, unit="output_tokens", kind="full", terms=ALL_BUSY).usd_per_mtok

    alone = floor(usd_per_mtok(18.0, tokens_per_s=20_000))
    assert floor(charge.others_usd_per_mtok) == alone == Decimal("0.25")


def test_new_hardware_moves_a_floor_by_its_share_and_not_to_its_own_cost() -> None:
    # Old: 412.7 us x $h/3,600 = $.90 of output at $7.8507 an hour. New at a fifth of the request
    # capacity makes it for $.40. The pool's floor is .8 x .90 + .2 x .40 = $.80.
    usd_per_hour = 0.90 * 3600 / 412.7
    old = ("old", 80, usd_per_hour, 1.0)
    # Twice as fast, so 10 of it serve as many requests as 20 old ones: 20 of 100.
    new = ("new", 10, usd_per_hour * 2 * 0.40 / 0.90, 0.5)

    def floor(cost: PoolUnitCost) -> float:
        usd = cost.unit("output_tokens").usd_per_mtok
        return float(floor_of(usd, unit="o", kind="full", terms=ALL_BUSY).usd_per_mtok)

    both = pool(old, new)
    shares = {one.hardware: one.share_of_capacity for one in both.hardware}
    assert shares == pytest.approx({"old": 0.8, "new": 0.2})
    assert floor(pool(old)) == pytest.approx(0.90)
    assert floor(pool(new)) == pytest.approx(0.40)
    assert floor(both) == pytest.approx(0.80)
    # At $.79 a mix of 1k/1k that also pays its input falls short, at $.80 it does not.
    mean = request(1000, 1000)
    input_usd = Fraction(quantise(both.unit("input_tokens").usd_per_mtok))
    for rate, earns in (("0.79", False), ("0.80", True)):
        rates = RatesPerMtok(
            input_usd=input_usd, cache_read_usd=Fraction(0), output_usd=Fraction(rate)
        )
        verdict = yield_of_mix(both, request=mean, terms=ALL_BUSY, rates=rates)
        assert verdict.earns_its_floor is earns

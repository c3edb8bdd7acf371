"""Full, cash and short_run floors from a policy, and that a book explains each exactly."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.prices.explain import Step, explain_unit
from pricing_rules.prices.provenance import CardCost
from pricing_rules.rules.policy import Policy
from pricing_rules.usage.mix import UsageMix
from tests.pricing_rules.rules.made_documents import (
    figure,
    finding_ids,
    made_book,
    made_factory,
    made_policy,
    made_service_tier,
)
from tests.pricing_rules.rules.made_kinds import (
    IDLE_USE,
    cost_of,
    kinds,
    output_floor,
    owned_factory,
)
from tests.pricing_rules.rules.made_mixes import made_entry, made_mix, mixed_book

SHARE = {"revenue_share": figure("0.05")}


def test_each_kind_counts_its_own_costs() -> None:
    # b = 412.698413 us. Per Mtok of output and dollar an hour: 412.698413/3,600 = .114638448.
    # full:  (.306349206/.5 + .04)/(1 - .2 - .05) = .652698412/.75 = .870264549
    # cash:  ( .55 x .114638     /.5 + .04)/(1 - .05)         = .166102293/.95  = .174844519
    # night: ( .06 x .114638         + .04)/(1 - .05)         = .0468783069/.95 = .0493455862
    book = made_book(service_tiers=kinds(), factory=owned_factory(), changed=SHARE)
    assert output_floor(book, service_tier="full") == "0.870264549"
    assert output_floor(book, service_tier="cash") == "0.174844519"
    assert output_floor(book, service_tier="night") == "0.0493455862"
    # Half of the time is sold, and night pays for none of the other: rates at floors earn them.
    assert finding_ids(book, kind="yield") == []
    assert [one.part for one in cost_of(book, service_tier="night").hardware[0].parts] == [
        "energy_over_idle"
    ]
    assert cost_of(book, service_tier="cash").model_amortisation is None


def test_the_margin_displaced_is_charged_for_the_time_that_the_work_takes() -> None:
    # .34 more an hour: .40 x .114638448 = .0458553792; (.0458553792 + .04)/.95 = .09037408
    displaced = {**IDLE_USE, "displaced_margin_usd_per_accelerator_hour": figure("0.34")}
    book = made_book(
        service_tiers=kinds(idle_use=displaced), factory=owned_factory(), changed=SHARE
    )
    assert output_floor(book, service_tier="night") == "0.0903740834"
    parts = cost_of(book, service_tier="night").hardware[0].parts
    assert [(one.part, str(one.usd_per_hour)) for one in parts] == [
        ("energy_over_idle", "0.06"), ("margin_displaced", "0.34"),
    ]  # fmt: skip


def unit_costs_again(cost: CardCost) -> Iterator[Fraction]:
    """Unit costs from what the book shows: sum of share x $/h / 3600 x us, + amortisation."""
    for field in ("us_per_input_token", "us_per_cached_token", "us_per_output_token"):
        hours = sum(
            (
                Fraction(one.share_of_capacity)
                * sum(Fraction(part.usd_per_hour) for part in one.parts)
                / 3600
                * Fraction(getattr(one, field))
                for one in cost.hardware
            ),
            Fraction(0),
        )
        made = cost.model_amortisation
        yield hours + (Fraction(made.usd_per_mtok) if made else 0)


@pytest.mark.parametrize("service_tier", ["full", "cash", "night"])
def test_every_kind_can_be_computed_again_from_the_book(service_tier: str) -> None:
    book = made_book(service_tiers=kinds(), factory=owned_factory(), changed=SHARE)
    cost = cost_of(book, service_tier=service_tier)
    again = list(unit_costs_again(cost))
    assert [Fraction(one.unit_cost_per_mtok) for one in cost.floors] == pytest.approx(
        again, rel=1e-8
    )
    assert cost.variable is not None
    variable = sum(one.usd_per_mtok for one in cost.variable)
    for floor in cost.floors:
        assert floor.variable_per_mtok == variable
        kept = 1 - Fraction(floor.minimum_margin) - Fraction(floor.revenue_share)
        exact = (
            Fraction(floor.unit_cost_per_mtok) / Fraction(floor.utilization)
            + Fraction(floor.variable_per_mtok)
        ) / kept
        assert float(floor.floor) == pytest.approx(float(exact), rel=5e-9)


def sentences(step: Step) -> Iterator[str]:
    yield f"{step.kind}: {step.sentence}"
    for below in step.rests_on:
        yield from sentences(below)


def test_the_walk_names_what_each_kind_counts_and_where_it_comes_from() -> None:
    book = made_book(service_tiers=kinds(), factory=owned_factory(), changed=SHARE)

    def walk(service_tier: str) -> list[str]:
        step = explain_unit(book, model="m", service_tier=service_tier, unit="output_tokens")
        return list(sentences(step))

    full, cash, night = (walk(name) for name in ("full", "cash", "night"))
    assert "cost per Mtok: model_amortisation 0.1 USD per Mtok (made up (2026-10-01))" in full
    assert "cost per Mtok: licence 0.03 USD per Mtok (made up (2026-10-01))" in night
    assert not any("model_amortisation" in line or "hour: acc" in line for line in cash)
    assert any("100 % busy without capital and model amortisation in pool main" in x for x in cash)
    assert any("100 % busy over idling, with the margin displaced in pool" in x for x in night)
    assert "hour: energy_over_idle 0.06 USD/h (made up (2026-10-01))" in night
    assert any("promise: no promise, interruptible;" in line for line in night)


def test_an_interruptible_service_tier_takes_no_floor_from_one_that_is_not() -> None:
    # It keeps 60 tokens/s, where the others promise none, and is cheaper.
    stoppable = kinds(promise={"interactivity_tokens_per_s": 60, "statistic": "mean"})
    book = made_book(service_tiers=stoppable, factory=owned_factory(), changed=SHARE)
    assert output_floor(book, service_tier="night") == "0.0493455862"
    assert finding_ids(book, kind="running_maximum") == []
    # Where it is not interruptible, the slower ones raise it.
    fast = [*kinds()[:2], {**made_service_tier("night", margin="0", promise=60)}]
    raised = made_book(
        service_tiers=[*fast[:2], {**fast[2], "floor_kind": "cash"}],
        factory=owned_factory(),
        changed=SHARE,
    )
    assert "running_maximum:m/night/output_tokens" in finding_ids(raised)


@pytest.mark.parametrize(
    "changed, sentence",
    [
        (
            {"interruptible": False},
            '"night" has a short_run floor, which is for interruptible work; '
            "write interruptible: true or another floor_kind",
        ),
        ({"idle_use": None}, '"night": idle_use belongs to a short_run floor, and is needed there'),
        (
            {"floor_kind": "cash"},
            '"night": idle_use belongs to a short_run floor, and is needed there',
        ),
        ({"minimum_margin": "0.01"}, '"night": a short_run floor has no minimum margin; write "0"'),
    ],
)
def test_a_kind_that_does_not_fit_is_refused(changed: dict[str, Any], sentence: str) -> None:
    def policy() -> Policy:
        return made_policy(service_tiers=kinds(**changed))

    with pytest.raises(DocumentError) as caught:
        policy()
    assert sentence in str(caught.value)


def test_a_cash_service_tier_may_be_interruptible_too() -> None:
    policy = made_policy(service_tiers=kinds(floor_kind="full", idle_use=None))
    assert policy.service_tiers[2].interruptible


HOURLY = {
    "values": ["0.05"] * 12 + ["0.15"] * 12,
    "source": "exchange",
    "source_date": "2026-10-01",
}


@pytest.mark.parametrize(
    "load, mixes, usd_per_kwh",
    [
        # All hours alike: .10. A stated load of the first half of the day: .05, whatever the mix.
        (None, (), "0.1"),
        (
            ["1"] * 12 + ["0"] * 12,
            (made_mix(made_entry(service_tier="full", by_hour={20: 4})),),
            "0.05",
        ),
        # The mix: three events at 03:00 and one at 20:00 UTC: (3 x .05 + .15)/4 = .075
        (None, (made_mix(made_entry(service_tier="full", by_hour={3: 3, 20: 1})),), "0.075"),
        # Usage of another model says nothing of this pool.
        (None, (made_mix(made_entry(model="other", by_hour={20: 4})),), "0.1"),
    ],
)
def test_electricity_by_the_hour_is_weighed_by_the_load_of_the_pool(
    load: list[str] | None, mixes: tuple[UsageMix, ...], usd_per_kwh: str
) -> None:
    stated = {"values": load, "source": "meter", "source_date": "2026-10-01"}
    factory = owned_factory(
        owned={"electricity_usd_per_kwh": None, "electricity_usd_per_kwh_by_hour": HOURLY},
        pool={"load_by_hour": stated if load else None},
    )
    book = mixed_book(*mixes, service_tiers=kinds(), factory=factory)
    parts = cost_of(book, service_tier="full").hardware[0].parts
    assert {one.part: str(one.usd_per_hour) for one in parts}["electricity"] == usd_per_kwh


def test_a_factory_without_costs_per_million_has_none_in_the_book() -> None:
    # full: 1.80 x .114638448/.5/.75; nothing of v or of the making of a model
    factory = owned_factory(variable_usd_per_mtok={}, models={})
    book = made_book(service_tiers=kinds(), factory=factory, changed=SHARE)
    cost = cost_of(book, service_tier="full")
    assert (cost.variable, cost.model_amortisation) == (None, None)
    assert output_floor(book, service_tier="full") == "0.550264549"


def test_on_rented_accelerators_idle_hours_are_paid_for_and_serving_adds_nothing() -> None:
    # v alone: .01/(1 - .05); without v a short_run floor is nothing at all
    for variable, floor in (("0.01", "0.0105263158"), ("0", "0")):
        factory = made_factory(service_tiers=["full", "cash", "night"], variable=variable)
        book = made_book(service_tiers=kinds(), factory=factory, changed=SHARE)
        assert output_floor(book, service_tier="night") == floor
        assert finding_ids(book, kind="yield") == []

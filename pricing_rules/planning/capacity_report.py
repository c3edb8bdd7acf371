"""What ``tokenworks capacity plan`` prints: ``tokenworks.capacity-report/1``.

Invariant: every figure is a string of at most 9 significant digits, and what the plan could not say
(no cost, no limit, no rate that would change anything) is absent, never zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Literal

from pydantic import Field

from pricing_rules.cost.floor import quantise
from pricing_rules.document import Document, Name, Text
from pricing_rules.money import AmountText, decimal_text
from pricing_rules.planning.capacity import Allocation, ServiceTierPower, allocate
from pricing_rules.planning.capacity_plan import CapacityPlan


class AdvisedServiceTier(Document):
    """One service tier of the plan: its MW, what they earn, and the rate at which that changes.

    Under ``break_even_usd_per_mtok`` its MW would earn more elsewhere.
    """

    service_tier: Name
    mw: AmountText
    tokens_per_s: AmountText
    rate_usd_per_mtok: AmountText
    break_even_usd_per_mtok: AmountText | None = None
    earned_usd_per_mw_year: AmountText
    revenue_usd_per_year: AmountText
    margin_usd_per_year: AmountText | None = None
    earns_its_power: bool
    at_demand: bool
    under_floor: bool


class AdvisedModelClass(Document):
    """What the minimum share of one model class costs, by the last MW and in all."""

    model_class: Name
    minimum_mw: AmountText
    mw: AmountText
    shadow_usd_per_mw_year: AmountText
    cost_usd_per_year: AmountText


class CapacityReport(Document):
    """The best use of a site by a plan; it advises, and sets no rate. A year has 365 days.

    ``marginal_usd_per_mw_year`` is what one MW more of site would earn. ``diversity_usd_per_year``
    is what all minimum shares of model classes cost together. ``findings`` are sentences.
    """

    schema_: Literal["tokenworks.capacity-report/1"] = Field(alias="schema")
    plan: Name
    objective: Literal["revenue", "margin"]
    site_mw: AmountText | None = None
    idle_mw: AmountText | None = None
    objective_usd_per_year: AmountText
    revenue_usd_per_year: AmountText
    margin_usd_per_year: AmountText | None = None
    marginal_usd_per_mw_year: AmountText | None = None
    diversity_usd_per_year: AmountText
    service_tiers: tuple[AdvisedServiceTier, ...]
    model_classes: tuple[AdvisedModelClass, ...]
    findings: tuple[Text, ...]


def capacity_report(plan: CapacityPlan) -> CapacityReport:
    """Allocate the plan and report it. DocumentError for a plan that has no allocation."""
    found = allocate(plan)
    return CapacityReport(
        schema="tokenworks.capacity-report/1",
        plan=plan.name,
        objective=plan.objective,
        site_mw=plan.site_mw.value if plan.site_mw else None,
        idle_mw=_figure(found.idle_mw),
        objective_usd_per_year=quantise(found.objective_usd_per_year),
        revenue_usd_per_year=quantise(found.revenue_usd_per_year),
        margin_usd_per_year=_figure(found.margin_usd_per_year),
        marginal_usd_per_mw_year=_figure(found.marginal_usd_per_mw_year),
        diversity_usd_per_year=quantise(found.diversity_usd_per_year),
        service_tiers=tuple(
            _service_tier(power, rate=one.rate_usd_per_mtok.value)
            for power, one in zip(found.service_tiers, plan.service_tiers, strict=True)
        ),
        model_classes=tuple(
            AdvisedModelClass(
                model_class=one.name,
                minimum_mw=quantise(one.minimum_mw),
                mw=quantise(one.mw),
                shadow_usd_per_mw_year=quantise(one.shadow_usd_per_mw_year),
                cost_usd_per_year=quantise(one.cost_usd_per_year),
            )
            for one in found.model_classes
        ),
        findings=tuple(_findings(found)),
    )


def _service_tier(power: ServiceTierPower, *, rate: Decimal) -> AdvisedServiceTier:
    return AdvisedServiceTier(
        service_tier=power.name,
        mw=quantise(power.mw),
        tokens_per_s=quantise(power.tokens_per_s),
        rate_usd_per_mtok=rate,
        break_even_usd_per_mtok=_figure(power.break_even_usd_per_mtok),
        earned_usd_per_mw_year=quantise(power.earned_usd_per_mw_year),
        revenue_usd_per_year=quantise(power.revenue_usd_per_year),
        margin_usd_per_year=_figure(power.margin_usd_per_year),
        earns_its_power=power.earns_its_power,
        at_demand=power.at_demand,
        under_floor=power.under_floor,
    )


def _findings(found: Allocation) -> Iterator[str]:
    for one in found.service_tiers:
        if one.under_floor:
            yield f"{one.name} sells under its floor, so it gets its minimum and no more"
        elif not one.earns_its_power:
            rate = one.break_even_usd_per_mtok
            yield (
                f"{one.name} gets its minimum and no more: the minima leave no MW to move"
                if rate is None
                else f"{one.name} does not earn its power; it would from {quantise_text(rate)} USD "
                "per million tokens on"
            )
    if found.idle_mw is not None and quantise(found.idle_mw) >= Decimal("0.001"):
        yield f"{quantise_text(found.idle_mw)} MW stay idle: no demand that earns is left for them"
    for two in found.model_classes:
        if quantise(two.cost_usd_per_year) > 0:
            yield (
                f"the minimum share of {two.name} costs {quantise(two.cost_usd_per_year):,.0f} USD "
                "a year"
            )


def quantise_text(value: float) -> str:
    """A figure in a sentence: at most 4 significant digits."""
    return decimal_text(Decimal(f"{value:.4g}") + 0)


def _figure(value: float | None) -> Decimal | None:
    return None if value is None else quantise(value)

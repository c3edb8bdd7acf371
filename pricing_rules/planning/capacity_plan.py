"""The capacity plan as people write it: ``tokenworks.capacity/1``, a site and what it may serve.

Invariant: every figure has a source and a date; power has one denominator throughout, that of
``site_mw``; and a plan that no allocation can meet is named with the minima that exceed the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import Field

from pricing_rules.cost.figures import Figure, PositiveFigure, ShareFigure
from pricing_rules.document import Document, DocumentError, Name, Path, path_text, read_yaml
from pricing_rules.document import validate as validate_document
from pricing_rules.money import decimal_text

SECONDS_PER_YEAR: Final = 365 * 86_400
TOKENS_PER_MTOK: Final = 1_000_000


class ServiceTierToServe(Document):
    """One service tier at one point of its frontier.

    ``rate_usd_per_mtok``: what a million tokens sell for; ``tokens_per_s_per_mw``: those same
    tokens from one MW. ``demand_tokens_per_s``: at most so many are asked for; absent: any number.
    ``minimum_mw``: what was promised to it whatever it earns. ``cost_usd_per_mtok``: what a million
    more cost beside the power of the site (energy where it is not sunk, licence).
    ``floor_usd_per_mtok``: at a rate under it no power is advised beyond the minimum.
    ``model_class``: which of ``model_classes`` it counts for.
    """

    name: Name
    rate_usd_per_mtok: Figure
    tokens_per_s_per_mw: PositiveFigure
    demand_tokens_per_s: Figure | None = None
    minimum_mw: Figure | None = None
    cost_usd_per_mtok: Figure | None = None
    floor_usd_per_mtok: Figure | None = None
    model_class: Name | None = None

    @property
    def least_mw(self) -> Decimal:
        """The minimum, 0 where none is stated."""
        return self.minimum_mw.value if self.minimum_mw else Decimal(0)

    @property
    def is_under_floor(self) -> bool:
        """Whether its rate is under its floor, so that more of it is never advised."""
        floor = self.floor_usd_per_mtok
        return floor is not None and self.rate_usd_per_mtok.value < floor.value

    @property
    def most_mw(self) -> Decimal | None:
        """What its demand takes, or its minimum where it sells under its floor; None: any MW."""
        if self.is_under_floor:
            return self.least_mw
        if self.demand_tokens_per_s is None:
            return None
        return self.demand_tokens_per_s.value / self.tokens_per_s_per_mw.value


class ModelClass(Document):
    """Service tiers of one kind of model, which together get a share of the site at least."""

    name: Name
    minimum_share: ShareFigure


class CapacityPlan(Document):
    """``plan.yaml``: a site of ``site_mw`` and the service tiers that may share it.

    ``objective``: ``revenue`` where power and hardware are sunk, ``margin`` (revenue less
    ``cost_usd_per_mtok``) where each token still costs. Without ``site_mw`` the plan says what all
    demand would take. A year has 365 days. Money is in US dollars.
    """

    schema_: Literal["tokenworks.capacity/1"] = Field(alias="schema")
    name: Name
    objective: Literal["revenue", "margin"]
    site_mw: PositiveFigure | None = None
    service_tiers: Annotated[tuple[ServiceTierToServe, ...], Field(min_length=1)]
    model_classes: tuple[ModelClass, ...] = ()


def load_capacity_plan(data: bytes, *, name: str) -> CapacityPlan:
    """Read a capacity plan; DocumentError names the line and path of what is wrong.

    Refused too: a plan that nothing can meet (minima over the site, over a demand, or a model class
    that cannot reach its share), and one without a limit.
    """
    value, lines = read_yaml(data, name=name)
    plan = validate_document(CapacityPlan, value, name=name, lines=lines)
    for path, sentence in plan_faults(plan):
        raise DocumentError(f"{name}:{lines[path]} {path_text(path)}", sentence)
    return plan


def plan_faults(plan: CapacityPlan) -> Iterator[tuple[Path, str]]:
    """What makes a plan infeasible, unbounded or ambiguous: the path of each, and how to mend it.

    These are all: minima per service tier and shares per model class nest in the site, so that a
    plan without a fault here has an allocation.
    """
    yield from _name_faults(plan)
    yield from _missing_faults(plan)
    yield from _minimum_faults(plan)
    yield from _class_faults(plan)
    yield from _site_faults(plan)


def class_members(plan: CapacityPlan, *, model_class: str) -> tuple[ServiceTierToServe, ...]:
    """The service tiers of a model class."""
    return tuple(one for one in plan.service_tiers if one.model_class == model_class)


def class_minimum_mw(plan: CapacityPlan, *, model_class: ModelClass) -> Decimal:
    """The MW that a model class gets at least: its share of the site."""
    assert plan.site_mw, "checked by plan_faults"
    return model_class.minimum_share.value * plan.site_mw.value


def _name_faults(plan: CapacityPlan) -> Iterator[tuple[Path, str]]:
    for section, names in (
        ("service_tiers", [one.name for one in plan.service_tiers]),
        ("model_classes", [one.name for one in plan.model_classes]),
    ):
        for i, name in enumerate(names):
            if name in names[:i]:
                yield (section, i, "name"), f'"{name}" stands twice; keep one'
    classes = [one.name for one in plan.model_classes]
    for i, one in enumerate(plan.service_tiers):
        if one.model_class is not None and one.model_class not in classes:
            yield (
                ("service_tiers", i, "model_class"),
                f'"{one.model_class}" is not among model_classes; add it there with its minimum '
                "share, or remove it here",
            )


def _missing_faults(plan: CapacityPlan) -> Iterator[tuple[Path, str]]:
    if plan.objective == "margin":
        for i, one in enumerate(plan.service_tiers):
            if one.cost_usd_per_mtok is None:
                yield (
                    ("service_tiers", i),
                    f"{one.name} has no cost_usd_per_mtok, which the objective margin needs; "
                    "state it, or write the objective revenue",
                )
    if plan.site_mw is None:
        if plan.model_classes:
            sentence = "a share of the site needs site_mw; state it, or remove model_classes"
            yield ("model_classes",), sentence
        for i, one in enumerate(plan.service_tiers):
            if one.most_mw is None and earned_usd_per_mtok(one, plan=plan) > 0:
                yield (
                    ("service_tiers", i),
                    f"the plan has no limit: {one.name} earns on every further MW and its demand "
                    "is not stated; state site_mw or its demand_tokens_per_s",
                )


def earned_usd_per_mtok(one: ServiceTierToServe, *, plan: CapacityPlan) -> Decimal:
    """What a million tokens add to the objective: the rate, less the cost for a margin."""
    cost = one.cost_usd_per_mtok
    if plan.objective == "revenue" or cost is None:
        return one.rate_usd_per_mtok.value
    return one.rate_usd_per_mtok.value - cost.value


def _minimum_faults(plan: CapacityPlan) -> Iterator[tuple[Path, str]]:
    for i, one in enumerate(plan.service_tiers):
        if one.most_mw is not None and one.least_mw > one.most_mw:
            yield (
                ("service_tiers", i, "minimum_mw"),
                f"the minimum of {one.name}, {_mw(one.least_mw)}, is more than the "
                f"{_mw(one.most_mw)} that its demand takes; lower one or raise the other",
            )


def _class_faults(plan: CapacityPlan) -> Iterator[tuple[Path, str]]:
    if plan.site_mw is None:
        return
    for i, one in enumerate(plan.model_classes):
        members = class_members(plan, model_class=one.name)
        limits = [member.most_mw for member in members]
        known = [limit for limit in limits if limit is not None]
        least_mw = class_minimum_mw(plan, model_class=one)
        if len(known) == len(limits) and sum(known, Decimal(0)) < least_mw:
            takes = (
                f"all demand of {', '.join(member.name for member in members)} takes "
                f"{_mw(sum(known, Decimal(0)))}"
                if members
                else "no service tier names it as its model_class"
            )
            yield (
                ("model_classes", i, "minimum_share"),
                f"{one.name} must have {_mw(least_mw)}, but {takes}; lower the share",
            )


def _site_faults(plan: CapacityPlan) -> Iterator[tuple[Path, str]]:
    if plan.site_mw is None:
        return
    # A class takes its share or the minima of its members, whichever is more.
    needs: list[tuple[str, Decimal]] = [
        (one.name, one.least_mw) for one in plan.service_tiers if one.model_class is None
    ]
    for one in plan.model_classes:
        minima = [member.least_mw for member in class_members(plan, model_class=one.name)]
        share_mw = class_minimum_mw(plan, model_class=one)
        needs.append((f"model class {one.name}", max(sum(minima, Decimal(0)), share_mw)))
    total_mw = sum((mw for _, mw in needs), Decimal(0))
    if total_mw > plan.site_mw.value:
        listed = ", ".join(f"{name} {_mw(mw)}" for name, mw in needs if mw > 0)
        yield (
            ("site_mw",),
            f"the minima need {_mw(total_mw)} ({listed}) of a site of {_mw(plan.site_mw.value)}; "
            "lower one of them",
        )


def _mw(mw: Decimal) -> str:
    return f"{decimal_text(mw.quantize(Decimal('0.001')).normalize() + 0)} MW"

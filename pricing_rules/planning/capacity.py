"""Which service tiers should a site of fixed power serve? A linear programme, and what it teaches.

Invariant: an allocation keeps every minimum, demand and share, and no exchange of MW between two
service tiers that keeps them too would earn more. It advises; it never sets a rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf
from typing import Final

from scipy.optimize import linprog

from pricing_rules.document import DocumentError, path_text
from pricing_rules.planning.capacity_plan import (
    SECONDS_PER_YEAR,
    TOKENS_PER_MTOK,
    CapacityPlan,
    ServiceTierToServe,
    class_minimum_mw,
    earned_usd_per_mtok,
    plan_faults,
)

_STEP_SHARE: Final = 1e-4
"""The part of the site that is moved to see what it would earn elsewhere: 0.1 MW of 1 GW."""

Bounds = tuple[float, float | None]
"""The least and the most of a service tier, as shares; None: any."""

_SAME: Final = 1e-7
"""Two shares of the site this near are the same to the solver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTierPower:
    """What one service tier gets and earns.

    ``break_even_usd_per_mtok``: at this rate its MW earns as much as in its best other use: the
    last MW of one that got more than its minimum, the next one of others, and the last of the
    minimum where no further one can be had. None where no MW can move. ``earned_usd_per_mw_year``:
    what one MW of it adds to the objective. ``earns_its_power``: it got more than its minimum or
    all that its demand takes, or sells at its break-even at least.
    """

    name: str
    mw: float
    tokens_per_s: float
    revenue_usd_per_year: float
    margin_usd_per_year: float | None
    earned_usd_per_mw_year: float
    break_even_usd_per_mtok: float | None
    earns_its_power: bool
    at_demand: bool
    under_floor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelClassCost:
    """What the minimum share of a model class costs.

    ``shadow_usd_per_mw_year``: by what one MW more of minimum lowers the objective.
    ``cost_usd_per_year``: what the plan would earn more without this minimum.
    """

    name: str
    minimum_mw: float
    mw: float
    shadow_usd_per_mw_year: float
    cost_usd_per_year: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The best use of a site. ``objective_usd_per_year`` is its revenue or margin.

    ``marginal_usd_per_mw_year``: what one MW more of site would earn, 0 where power is idle; None
    without a site limit. ``margin_usd_per_year`` is None where a served service tier states no
    cost. ``diversity_usd_per_year``: what all minimum shares together cost.
    """

    objective_usd_per_year: float
    revenue_usd_per_year: float
    margin_usd_per_year: float | None
    idle_mw: float | None
    marginal_usd_per_mw_year: float | None
    diversity_usd_per_year: float
    service_tiers: tuple[ServiceTierPower, ...]
    model_classes: tuple[ModelClassCost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Solved:
    mw: tuple[float, ...]
    objective_usd_per_year: float
    site_usd_per_mw_year: float
    class_usd_per_mw_year: Mapping[str, float]
    bound_usd_per_mw_year: tuple[float, ...]


def allocate(plan: CapacityPlan) -> Allocation:
    """Maximise the plan's objective over the MW of each service tier (HiGHS, by SciPy).

    Max sum of w x m with w = earned rate x tokens/s/MW x seconds of a year, under sum m <= site,
    minimum <= m <= demand / (tokens/s/MW), and sum of m of a model class >= its share of the site.
    Figures beside the allocation are its dual values. Raises DocumentError with one sentence for a
    plan that nothing can meet, or without a limit.
    """
    for path, sentence in plan_faults(plan):
        raise DocumentError(f"plan {path_text(path)}", sentence)
    programme = _Programme(plan)
    best = programme.solve()
    # Where a demand just fills the site, the dual value would be that of the MW before.
    larger = programme.solve(site_share=1 + _STEP_SHARE)
    every = tuple(one.name for one in plan.model_classes)
    free = programme.solve(without_classes=every) if every else best
    served = tuple(
        _power(one, mw=mw, plan=plan, break_even=programme.break_even(i, best=best))
        for i, (one, mw) in enumerate(zip(plan.service_tiers, best.mw, strict=True))
    )
    margins = [one.margin_usd_per_year for one in served if one.mw > 0]
    known = [margin for margin in margins if margin is not None]
    site_mw = plan.site_mw
    return Allocation(
        objective_usd_per_year=best.objective_usd_per_year,
        revenue_usd_per_year=fsum(one.revenue_usd_per_year for one in served),
        margin_usd_per_year=fsum(known) if len(known) == len(margins) else None,
        idle_mw=max(0.0, float(site_mw.value) - fsum(best.mw)) if site_mw else None,
        marginal_usd_per_mw_year=larger.site_usd_per_mw_year if site_mw else None,
        diversity_usd_per_year=max(0.0, free.objective_usd_per_year - best.objective_usd_per_year),
        service_tiers=served,
        model_classes=tuple(
            ModelClassCost(
                name=one.name,
                minimum_mw=float(class_minimum_mw(plan, model_class=one)),
                mw=fsum(
                    power.mw
                    for power, member in zip(served, plan.service_tiers, strict=True)
                    if member.model_class == one.name
                ),
                shadow_usd_per_mw_year=best.class_usd_per_mw_year[one.name],
                cost_usd_per_year=max(
                    0.0,
                    programme.solve(without_classes=(one.name,)).objective_usd_per_year
                    - best.objective_usd_per_year,
                ),
            )
            for one in plan.model_classes
        ),
    )


def _power(
    one: ServiceTierToServe, *, mw: float, plan: CapacityPlan, break_even: float | None
) -> ServiceTierPower:
    per_mw = float(one.tokens_per_s_per_mw.value)
    sold = usd_per_mw_year(float(one.rate_usd_per_mtok.value), tokens_per_s_per_mw=per_mw) * mw
    cost = one.cost_usd_per_mtok
    spent = (
        None
        if cost is None
        else usd_per_mw_year(float(cost.value), tokens_per_s_per_mw=per_mw) * mw
    )
    demanded_mw = one.most_mw if not one.is_under_floor else None
    at_demand = demanded_mw is not None and mw >= float(demanded_mw) * (1 - _SAME)
    sells_over = break_even is not None and float(one.rate_usd_per_mtok.value) >= break_even
    return ServiceTierPower(
        name=one.name,
        mw=mw,
        tokens_per_s=mw * per_mw,
        revenue_usd_per_year=sold,
        margin_usd_per_year=None if spent is None else sold - spent,
        earned_usd_per_mw_year=usd_per_mw_year(
            float(earned_usd_per_mtok(one, plan=plan)), tokens_per_s_per_mw=per_mw
        ),
        break_even_usd_per_mtok=break_even,
        earns_its_power=not one.is_under_floor
        and (at_demand or sells_over or mw > float(one.least_mw) + _SAME * mw),
        at_demand=at_demand,
        under_floor=one.is_under_floor,
    )


def usd_per_mw_year(rate_usd_per_mtok: float, *, tokens_per_s_per_mw: float) -> float:
    """What one MW sells in a year of 365 days, always busy, at this rate."""
    return rate_usd_per_mtok * tokens_per_s_per_mw * SECONDS_PER_YEAR / TOKENS_PER_MTOK


class _Programme:
    """The linear programme in shares of ``scale_mw``, because tolerances are absolute."""

    def __init__(self, plan: CapacityPlan) -> None:
        self.plan = plan
        limits = [one.most_mw for one in plan.service_tiers]
        known = [float(limit) for limit in limits if limit is not None]
        self.scale_mw = float(plan.site_mw.value) if plan.site_mw else max(fsum(known), 1.0)
        self.weights = [
            usd_per_mw_year(
                float(earned_usd_per_mtok(one, plan=plan)),
                tokens_per_s_per_mw=float(one.tokens_per_s_per_mw.value),
            )
            for one in plan.service_tiers
        ]
        self.worth = max(*map(abs, self.weights), 1.0)
        self.bounds: list[Bounds] = [
            (
                float(one.least_mw) / self.scale_mw,
                None if one.most_mw is None else float(one.most_mw) / self.scale_mw,
            )
            for one in plan.service_tiers
        ]

    def solve(self, *, without_classes: Sequence[str] = (), site_share: float = 1.0) -> _Solved:
        """The best allocation, on ``site_share`` (1 or more) of the plan's site."""
        solved = self._solve(
            without_classes=without_classes, bounds=self.bounds, site_share=site_share
        )
        assert solved is not None, "plan_faults names every plan without an allocation"
        return solved

    def break_even(self, i: int, *, best: _Solved) -> float | None:
        """The rate of service tier ``i`` at which its power changes hands, None where none does."""
        low, high = self.bounds[i]
        share = best.mw[i] / self.scale_mw
        more = min(_STEP_SHARE, (inf if high is None else high - share) / 2)
        less = min(_STEP_SHARE, share / 2)
        # Its last MW where it has more than its minimum; else its next one, where one can be had.
        steps = (-less,) if share - low > _SAME else (more, -less)
        for step in steps:
            if abs(step) <= _SAME:
                continue
            at = share + step
            fixed = list(self.bounds)
            fixed[i] = (at, at)
            solved = self._solve(bounds=fixed)
            if solved is not None:
                return self._displaced_usd_per_mtok(i, solved=solved)
        return None

    def _displaced_usd_per_mtok(self, i: int, *, solved: _Solved) -> float:
        one = self.plan.service_tiers[i]
        # What the MW would earn elsewhere is the weight less what holding the share there costs.
        elsewhere_usd_per_mw_year = self.weights[i] - solved.bound_usd_per_mw_year[i]
        per_mtok = usd_per_mw_year(1.0, tokens_per_s_per_mw=float(one.tokens_per_s_per_mw.value))
        spent = one.rate_usd_per_mtok.value - earned_usd_per_mtok(one, plan=self.plan)
        return max(0.0, elsewhere_usd_per_mw_year / per_mtok + float(spent))

    def _solve(
        self,
        *,
        without_classes: Sequence[str] = (),
        bounds: Sequence[Bounds],
        site_share: float = 1.0,
    ) -> _Solved | None:
        plan = self.plan
        classes = [one for one in plan.model_classes if one.name not in without_classes]
        rows = [
            [-1.0 if member.model_class == one.name else 0.0 for member in plan.service_tiers]
            for one in classes
        ]
        minima = [float(class_minimum_mw(plan, model_class=one)) for one in classes]
        limits = [-mw / self.scale_mw for mw in minima]
        if plan.site_mw:
            rows.append([1.0] * len(plan.service_tiers))
            limits.append(site_share)
        found = linprog(
            [-weight / self.worth for weight in self.weights],
            A_ub=rows or None,
            b_ub=limits or None,
            bounds=list(bounds),
            method="highs",
        )
        if found.x is None:
            return None
        duals = [float(value) * self.worth for value in found.ineqlin.marginals]
        held = zip(found.lower.marginals, found.upper.marginals, strict=True)
        mw = tuple(max(0.0, float(share)) * self.scale_mw for share in found.x)
        return _Solved(
            mw=mw,
            objective_usd_per_year=fsum(w * m for w, m in zip(self.weights, mw, strict=True)),
            site_usd_per_mw_year=max(0.0, -duals[-1]) if plan.site_mw else 0.0,
            class_usd_per_mw_year={
                one.name: max(0.0, -dual) for one, dual in zip(classes, duals, strict=False)
            },
            bound_usd_per_mw_year=tuple(
                -(float(lower) + float(upper)) * self.worth for lower, upper in held
            ),
        )

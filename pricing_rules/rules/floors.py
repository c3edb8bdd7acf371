"""Floors for every model and service tier of a policy, from measured points and what the factory
pays.

Invariant: a service tier whose promise no hardware of its pool is measured to keep has no floor
and a finding, never a guess; and the order of points, hardware and models decides no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from pricing_rules.cost.accelerator_hour import AcceleratorHour, HourPart, accelerator_hour
from pricing_rules.cost.factory import Factory, Pool
from pricing_rules.cost.figures import Figure
from pricing_rules.cost.floor import (
    FloorTerms,
    ServiceTierFloor,
    StandingFloor,
    floor_of,
    quantise,
    running_maximum,
)
from pricing_rules.cost.measurement import OperatingPoint, Sweep, sweeps_of
from pricing_rules.cost.shape_fit import (
    FitRefusal,
    MeanShape,
    ShapeFit,
    TtftCap,
    choose_setup,
    fit_setups,
    usual_ttft_cap_ms,
)
from pricing_rules.cost.unit_cost import (
    TOKEN_UNITS,
    PoolUnitCost,
    TokenUnit,
    pool_unit_cost,
)
from pricing_rules.money import decimal_text
from pricing_rules.rules.policy import Policy
from pricing_rules.rules.service_tiers import PRECISION_BITS, ModelToPrice, Promise, ServiceTier
from pricing_rules.usage.mix import UsageMix

FindingKind = Literal[
    "unreachable_promise",
    "unmeasured",
    "not_served",
    "precision",
    "overcharge",
    "extrapolated",
    "stale",
    "running_maximum",
    "refused_rows",
    "under_floor",
    "cached_over_input",
    "service_tier_order",
    "rule_unmet",
    "subsidised",
    "service_tier_spread",
    "largest_change",
    "stale_market",
    "unreachable_rule",
    "floor_clash",
    "ambiguous_match",
    "unequal_rate",
    "yield",
    "unproven",
    "idle_capacity",
    "usage_window",
    "flagged",
]

UNREACHABLE: Final = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A finding on its way into the book: ``kind:about`` is its id."""

    kind: FindingKind
    about: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFloors:
    """What one rate card starts from: its pool's unit costs and the floor of each unit.

    Costs and ``terms`` are those that the kind of its floors counts; all its units share them.
    ``variable`` are the costs per Mtok that make v up, by name.
    """

    model: ModelToPrice
    service_tier: ServiceTier
    pool: Pool
    cost: PoolUnitCost
    terms: FloorTerms
    variable: Mapping[str, Figure]
    floors: Mapping[TokenUnit, StandingFloor]

    @property
    def about(self) -> str:
        """``model/service_tier``."""
        return f"{self.model.name}/{self.service_tier.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _CardCost:
    model: ModelToPrice
    service_tier: ServiceTier
    pool: Pool
    cost: PoolUnitCost


def floors_of(
    factory: Factory,
    *,
    policy: Policy,
    points: Iterable[OperatingPoint],
    mixes: Sequence[UsageMix] = (),
) -> tuple[tuple[CardFloors, ...], tuple[Found, ...]]:
    """The floors of each model in each service tier that can be kept, and what a person must know.

    Service tiers come from the slowest promise to the fastest, models as in the policy. ``mixes``
    weigh electricity that is priced by the hour, for pools that state no load of their own.
    """
    bench = _Bench(factory, policy=policy, points=points, mixes=mixes)
    cards: list[CardFloors] = []
    for model in policy.models:
        costs = [
            cost
            for service_tier in policy.by_promise()
            if (cost := bench.cost(model, service_tier=service_tier)) is not None
        ]
        cards.extend(_raised(costs, factory=factory, policy=policy, found=bench.found))
    return tuple(cards), tuple(bench.found)


class _Bench:
    """Reads sweeps once per model, hardware and statistic, and collects findings."""

    def __init__(
        self,
        factory: Factory,
        *,
        policy: Policy,
        points: Iterable[OperatingPoint],
        mixes: Sequence[UsageMix],
    ) -> None:
        self.factory = factory
        self.policy = policy
        self.mixes = mixes
        self.found: list[Found] = []
        wanted = {(model.name, model.precision) for model in policy.models}
        groups: dict[tuple[str, str, str, str], list[OperatingPoint]] = {}
        for point in points:
            setup = point.setup
            if (setup.model, setup.precision) in wanted:
                key = (setup.model, setup.precision, setup.hardware, point.statistic)
                groups.setdefault(key, []).append(point)
        self.sweeps: dict[tuple[str, str, str, str], tuple[Sweep, ...]] = {
            key: sweeps_of(members) for key, members in groups.items()
        }
        self.reference = MeanShape(
            fresh_input_tokens=policy.reference_shape.input_tokens,
            cache_read_tokens=0,
            output_tokens=policy.reference_shape.output_tokens,
        )

    def cost(self, model: ModelToPrice, *, service_tier: ServiceTier) -> _CardCost | None:
        about = f"{model.name}/{service_tier.name}"
        least = service_tier.minimum_precision
        if least and PRECISION_BITS[model.precision] < PRECISION_BITS[least]:
            sentence = f"{about} has no rates: {model.precision} is under the promised {least}"
            self.note("precision", about=about, sentence=sentence)
            return None
        pool = self.factory.pool(model.pool or service_tier.pool)
        if model.name not in pool.models or service_tier.name not in pool.service_tiers:
            sentence = f"{about} has no rates: the pool {pool.name} does not list both to serve"
            self.note("not_served", about=about, sentence=sentence)
            return None
        fits: dict[str, ShapeFit] = {}
        unable: dict[str, Found] = {}
        for hardware in sorted(pool.hardware):
            fit = self._fit(model, service_tier=service_tier, hardware=hardware)
            if isinstance(fit, ShapeFit):
                fits[hardware] = fit
            else:
                unable[hardware] = fit
        if not fits:
            kinds = {one.kind for one in unable.values()}
            kind: FindingKind = (
                "unreachable_promise" if "unreachable_promise" in kinds else "unmeasured"
            )
            reasons = "; ".join(one.sentence for one in unable.values())
            self.note(kind, about=about, sentence=f"{about} has no rates: {reasons}")
            return None
        self.found.extend(unable.values())
        able = pool.model_copy(
            update={"hardware": {name: pool.hardware[name] for name in sorted(fits)}}
        )
        cost = pool_unit_cost(
            able,
            hours=self._hours(able, service_tier=service_tier),
            fits=fits,
            reference_shape=self.reference,
            amortisation=(
                self.factory.amortisation_of(model.name)
                if service_tier.floor_kind == "full"
                else None
            ),
        )
        assert isinstance(cost, PoolUnitCost), "every hardware left in the pool has a fit"
        return _CardCost(model=model, service_tier=service_tier, pool=pool, cost=cost)

    def note(self, kind: FindingKind, *, about: str, sentence: str) -> None:
        self.found.append(Found(kind=kind, about=about, sentence=sentence))

    def _hours(self, pool: Pool, *, service_tier: ServiceTier) -> dict[str, AcceleratorHour]:
        """An hour of each hardware of the pool, with the parts that the floors count."""
        load = pool.load_by_hour.by_hour_of_week if pool.load_by_hour else self._load(pool)
        displaced = _displaced(service_tier)
        return {
            hardware: accelerator_hour(self.factory, hardware=hardware, load_by_hour=load).counted(
                service_tier.floor_kind, displaced=displaced
            )
            for hardware in pool.hardware
        }

    def _load(self, pool: Pool) -> tuple[Decimal, ...] | None:
        """Events of the mixes in the pool by hour of week; None where there are none."""
        by_hour = [
            entry.events_by_hour_of_week
            for mix in self.mixes
            for entry in mix.entries
            if entry.model in pool.models and entry.service_tier in pool.service_tiers
        ]
        weights = tuple(Decimal(sum(hour)) for hour in zip(*by_hour, strict=True))
        return weights if any(weights) else None

    def _fit(
        self, model: ModelToPrice, *, service_tier: ServiceTier, hardware: str
    ) -> ShapeFit | Found:
        about = f"{model.name}/{service_tier.name}/{hardware}"
        key = (model.name, model.precision, hardware, service_tier.statistic)
        if key not in self.sweeps:
            sentence = (
                f"{hardware} serves none of {model.name} in {service_tier.name}: no measurement of "
                f"it in {model.precision} with {service_tier.statistic} figures"
            )
            return Found(kind="unmeasured", about=about, sentence=sentence)
        share = Fraction(self.policy.cached_share.value)
        outcomes = fit_setups(
            self.sweeps[key],
            promised_tokens_per_s=service_tier.interactivity_tokens_per_s,
            # The cost module computes in floats; here a share is exact until it is handed over.
            cached_share=share.numerator / share.denominator,
            ttft_cap_ms=_ttft_cap(service_tier.promise),
        )
        choice = choose_setup(outcomes, reference_shape=self.reference)
        if choice.chosen is not None:
            return choice.chosen
        return Found(
            kind="unreachable_promise"
            if any(one.kind == UNREACHABLE for one in choice.refused)
            else "unmeasured",
            about=about,
            sentence=(
                f"{hardware} serves none of {model.name} in {service_tier.name}: "
                f"{_why_refused(choice.refused)}"
            ),
        )


def _displaced(service_tier: ServiceTier) -> HourPart | None:
    figure = (
        service_tier.idle_use.displaced_margin_usd_per_accelerator_hour
        if service_tier.idle_use
        else None
    )
    if figure is None:
        return None
    share = Fraction(figure.value)
    return HourPart(
        name="margin_displaced",
        usd_per_hour=share.numerator / share.denominator,
        source=figure.source_text,
    )


def _ttft_cap(promise: Promise | None) -> TtftCap:
    promised_ms = promise.ttft_ms if promise else None
    if promised_ms is None:
        return usual_ttft_cap_ms
    return lambda input_tokens: min(usual_ttft_cap_ms(input_tokens), promised_ms)


def _why_refused(refused: Iterable[FitRefusal]) -> str:
    """The set-up that came nearest: the one whose slowest shape is the fastest."""
    fastest: list[tuple[Decimal, str]] = []
    saturated = False
    for one in refused:
        reached = [shape.fastest_tokens_per_s for shape in one.unreachable]
        known = [quantise(value) for value in reached if value is not None]
        saturated = saturated or len(known) < len(reached)
        if known and len(known) == len(reached):
            fastest.append((min(known), one.setup.text))
    if fastest:
        best, setup = max(fastest)
        return f"its measured shapes all reach {best:.1f} tokens/s per user at most ({setup})"
    if saturated:
        return "no measured point keeps the promised TTFT"
    return "its measured shapes all have one ratio of input to output"


def _raised(
    costs: list[_CardCost], *, factory: Factory, policy: Policy, found: list[Found]
) -> Iterable[CardFloors]:
    standing = {
        unit: _standing(costs, unit=unit, factory=factory, policy=policy) for unit in TOKEN_UNITS
    }
    for one in costs:
        card = CardFloors(
            model=one.model,
            service_tier=one.service_tier,
            pool=one.pool,
            cost=one.cost,
            variable=factory.variable_of(one.model.name),
            terms=_terms(one, factory=factory, policy=policy).counted(one.service_tier.floor_kind),
            floors={unit: standing[unit][one.service_tier.name] for unit in TOKEN_UNITS},
        )
        for unit, floor in card.floors.items():
            if floor.raised_by is not None:
                sentence = (
                    f"the floor of {unit} of {card.about} is "
                    f"{decimal_text(policy.converted(floor.usd_per_mtok))}, that of the slower "
                    f"service tier {floor.raised_by}; its own is "
                    f"{decimal_text(policy.converted(floor.own.floor.usd_per_mtok))}"
                )
                about = f"{card.about}/{unit}"
                found.append(Found(kind="running_maximum", about=about, sentence=sentence))
        yield card


def _standing(
    costs: list[_CardCost], *, unit: TokenUnit, factory: Factory, policy: Policy
) -> dict[str, StandingFloor]:
    """The floors that hold for one unit, by service tier.

    An interruptible service tier promises less than one that is not, however fast it is, so it
    takes no floor from that.
    """
    own = [
        (
            one.service_tier.interruptible,
            ServiceTierFloor(
                service_tier=one.service_tier.name,
                promised_tokens_per_s=one.service_tier.interactivity_tokens_per_s,
                floor=floor_of(
                    one.cost.unit(unit).usd_per_mtok,
                    unit=unit,
                    kind=one.service_tier.floor_kind,
                    terms=_terms(one, factory=factory, policy=policy),
                ),
            ),
        )
        for one in costs
    ]
    every = running_maximum([floor for _, floor in own])
    stoppable = running_maximum([floor for interruptible, floor in own if interruptible])
    return {one.own.service_tier: one for one in (*every, *stoppable)}


def _terms(one: _CardCost, *, factory: Factory, policy: Policy) -> FloorTerms:
    figures = factory.variable_of(one.model.name).values()
    return FloorTerms(
        utilization=one.pool.utilization.value,
        variable_usd_per_mtok=sum((figure.value for figure in figures), Decimal(0)),
        minimum_margin=one.service_tier.minimum_margin,
        revenue_share=policy.revenue_share.value,
    )

"""What measurements say of a model in a service tier: frontiers, frontier rate, trends of cost.

Invariant: a point is shown with its hardware, its shape and its date, frontiers are per hardware
and shape, and statistics or precisions never mix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from math import fsum

from pricing_rules.cost.accelerator_hour import AcceleratorHour, accelerator_hour
from pricing_rules.cost.factory import Factory
from pricing_rules.cost.interpolation import steffen
from pricing_rules.cost.measurement import OperatingPoint, Shape, SweepReading, sweeps_of
from pricing_rules.cost.shape_fit import usual_ttft_cap_ms
from pricing_rules.cost.unit_cost import PoolUnitCost, usd_per_mtok
from pricing_rules.planning.efficiency import OutputEquivalents
from pricing_rules.planning.iteration import DatedCost
from pricing_rules.rules.service_tiers import ModelToPrice, ServiceTier


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierPoint:
    """One operating point as a chart shows it.

    ``usd_per_mtok`` is the cost of a million tokens, input and output together, at 100 % busy.
    ``on_frontier``: no point of its hardware and shape is as fast with as much throughput.
    """

    hardware: str
    shape: Shape
    interactivity_tokens_per_s: float
    output_tokens_per_s_per_accelerator: float
    usd_per_mtok: float
    on_frontier: bool
    measured_date: str | None
    setup: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTrend:
    """The cost at the promise on one hardware and shape, as of each day that it was measured on."""

    hardware: str
    shape: Shape
    costs: tuple[DatedCost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierRate:
    """r* of a pool at a promise, with what a token counts in output tokens, and where it is from.

    ``tokens_per_s``: output-equivalent tokens/s of one accelerator, 1/b; pools weigh a, b and c by
    each hardware's share of the request capacity.
    """

    tokens_per_s: float
    equivalents: OutputEquivalents
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedAs:
    """A model in a service tier, and the costs of an hour of the hardware that may serve it."""

    model: ModelToPrice
    service_tier: ServiceTier
    hours: dict[str, AcceleratorHour]

    def points(self, points: Iterable[OperatingPoint]) -> tuple[OperatingPoint, ...]:
        """Those of this model, precision, statistic and hardware, within the cap on TTFT."""
        return tuple(
            point
            for point in points
            if point.setup.model == self.model.name
            and point.setup.precision == self.model.precision
            and point.setup.hardware in self.hours
            and point.statistic == self.service_tier.statistic
            and point.ttft_ms <= self.ttft_cap_ms(point.shape)
        )

    def ttft_cap_ms(self, shape: Shape) -> float:
        """The longest TTFT that counts: the promised one, or the usual cap where that is less."""
        promise = self.service_tier.promise
        usual_ms = usual_ttft_cap_ms(shape.input_tokens)
        if promise is None or promise.ttft_ms is None:
            return usual_ms
        return min(usual_ms, promise.ttft_ms)


def served_as(factory: Factory, *, model: ModelToPrice, service_tier: ServiceTier) -> ServedAs:
    """A model in a service tier on the hardware of its pool.

    DocumentError for a pool that the factory does not have.
    """
    pool = factory.pool(model.pool or service_tier.pool)
    return ServedAs(
        model=model,
        service_tier=service_tier,
        hours={name: accelerator_hour(factory, hardware=name) for name in sorted(pool.hardware)},
    )


def frontier_points(
    served: ServedAs, *, points: Iterable[OperatingPoint]
) -> tuple[FrontierPoint, ...]:
    """The measured points of a model, each told whether it is on its hardware's frontier.

    Points over the cap on TTFT are left out: users wait in a queue there. Sorted by shape,
    hardware, interactivity.
    """
    groups: dict[tuple[Shape, str], list[OperatingPoint]] = {}
    for point in served.points(points):
        groups.setdefault((point.shape, point.setup.hardware), []).append(point)
    found: list[FrontierPoint] = []
    for (shape, hardware), members in sorted(groups.items(), key=lambda item: item[0]):
        hour = served.hours[hardware].usd_per_hour
        best = 0.0
        kept: list[FrontierPoint] = []
        for point in sorted(members, key=_fastest_first):
            output = point.output_tokens_per_s_per_accelerator
            kept.append(
                FrontierPoint(
                    hardware=hardware,
                    shape=shape,
                    interactivity_tokens_per_s=point.interactivity_tokens_per_s,
                    output_tokens_per_s_per_accelerator=output,
                    usd_per_mtok=usd_per_mtok(hour, tokens_per_s=_all_tokens_per_s(point)),
                    on_frontier=output > best,
                    measured_date=point.source.measured_date,
                    setup=point.setup.text,
                )
            )
            best = max(best, output)
        found.extend(reversed(kept))
    return tuple(found)


def cost_trends(served: ServedAs, *, points: Iterable[OperatingPoint]) -> tuple[CostTrend, ...]:
    """The least cost at the promise on each measured day, per hardware and shape.

    On a day counts what was measured until then; points without a date count for none. The price
    of hardware is today's throughout, so that a trend is of software and set-ups alone; a benchmark
    that began with few set-ups shows their search as well. Days on which the promise was not kept
    yet are left out.
    """
    groups: dict[tuple[Shape, str], list[OperatingPoint]] = {}
    for point in served.points(points):
        if point.source.measured_date is not None:
            groups.setdefault((point.shape, point.setup.hardware), []).append(point)
    trends = []
    for (shape, hardware), members in sorted(groups.items(), key=lambda item: item[0]):
        costs = tuple(_costs_by_day(members, served=served, hardware=hardware, shape=shape))
        if costs:
            trends.append(CostTrend(hardware=hardware, shape=shape, costs=costs))
    return tuple(trends)


def frontier_rate(cost: PoolUnitCost) -> FrontierRate:
    """r* and the output equivalents of a pool's unit costs.

    A request takes g = a fresh + c cached + b output, which is b times its output-equivalent
    tokens: an accelerator makes 1/b of them in a second.
    """

    def mean(us: Callable[[int], float]) -> float:
        return fsum(m.share_of_capacity * us(i) for i, m in enumerate(cost.hardware))

    fits = [member.fit for member in cost.hardware]
    b_us = mean(lambda i: fits[i].b_us_per_output_token)
    listed = "; ".join(sorted(fit.setup.text for fit in fits))
    return FrontierRate(
        tokens_per_s=1e6 / b_us,
        equivalents=OutputEquivalents(
            fresh_input=mean(lambda i: fits[i].a_us_per_input_token) / b_us,
            cache_read=mean(lambda i: fits[i].c_us_per_cached_token) / b_us,
        ),
        source=f"shape fit at the promise: {listed}",
    )


def _costs_by_day(
    members: Sequence[OperatingPoint], *, served: ServedAs, hardware: str, shape: Shape
) -> Iterator[DatedCost]:
    dated = [(point.source.measured_date or "", point) for point in members]
    hour = served.hours[hardware].usd_per_hour
    for day in sorted({measured for measured, _ in dated}):
        known = [point for measured, point in dated if measured <= day]
        rates = [
            reading.output_tokens_per_s_per_accelerator
            for sweep in sweeps_of(known)
            if isinstance(
                reading := sweep.read(
                    served.service_tier.interactivity_tokens_per_s,
                    ttft_cap_ms=served.ttft_cap_ms(shape),
                    interpolate=steffen,
                ),
                SweepReading,
            )
        ]
        if rates:
            both = (shape.input_tokens + shape.output_tokens) / shape.output_tokens
            yield DatedCost(
                measured_date=date.fromisoformat(day),
                usd_per_mtok=usd_per_mtok(hour, tokens_per_s=max(rates) * both),
            )


def _fastest_first(point: OperatingPoint) -> tuple[float, float, str]:
    return (
        -point.interactivity_tokens_per_s,
        -point.output_tokens_per_s_per_accelerator,
        point.setup.text,
    )


def _all_tokens_per_s(point: OperatingPoint) -> float:
    return point.input_tokens_per_s_per_accelerator + point.output_tokens_per_s_per_accelerator

"""The yield test: whether whole requests, at the rates asked, earn the floor of what they take.

A rate per unit rests on how joint cost was split over units; a request of another shape than the
split was made on can then cost more than it earns, though no rate is under its floor.

Invariant: a request that earns less than its floor does not pass, whatever allocator made its
rates; and what lies outside of the measured shapes is never called proven.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pricing_rules.cost.floor import FloorTerms, quantise
from pricing_rules.cost.measurement import Shape
from pricing_rules.cost.shape_fit import FittedShape, MeanShape, place_in_hull
from pricing_rules.cost.unit_cost import HardwareUnitCost, PoolUnitCost

SHORTFALL_ALLOWED: Final = Fraction(1, 10**8)
"""Figures leave the cost module with 9 digits, so a shortfall under this share is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatesPerMtok:
    """What a million tokens of each kind are sold at, in US dollars, exact."""

    input_usd: Fraction
    cache_read_usd: Fraction
    output_usd: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class YieldVerdict:
    """What requests earn at the rates, against the least that what they take must earn.

    ``outside``: the hardware of the pool that was measured at no such shape, each with its nearest
    measured one; where there is any, the floor is extrapolated and proves nothing.
    """

    request: MeanShape
    revenue_usd: Fraction
    floor_usd: Decimal
    outside: tuple[tuple[str, Shape], ...] = ()

    @property
    def headroom_usd(self) -> Fraction:
        """Revenue over the floor; below zero where they earn too little."""
        return self.revenue_usd - Fraction(self.floor_usd)

    @property
    def revenue_share(self) -> Fraction:
        """Revenue over the floor; 1 where the floor is 0."""
        floor = Fraction(self.floor_usd)
        return self.revenue_usd / floor if floor else Fraction(1)

    @property
    def earns_its_floor(self) -> bool:
        """Whether the revenue is the floor or more, to the 8 digits that both have."""
        return self.headroom_usd >= -SHORTFALL_ALLOWED * Fraction(self.floor_usd)

    @property
    def is_proof(self) -> bool:
        """Whether every hardware of the pool was measured around this shape."""
        return not self.outside


def measured_requests(cost: PoolUnitCost) -> tuple[MeanShape, ...]:
    """The mean requests that some hardware of a pool was measured at, by rising input, output."""
    return tuple(
        sorted(
            {_request(shape) for one in cost.hardware for shape in one.fit.shapes},
            key=lambda request: (request.fresh_input_tokens, request.output_tokens),
        )
    )


def yield_of_measured(
    cost: PoolUnitCost, *, request: MeanShape, terms: FloorTerms, rates: RatesPerMtok
) -> YieldVerdict:
    """One request of a measured shape: its accelerator-seconds as measured where a hardware was
    measured at it, else by that hardware's fit. ``terms`` are those that the floors count.
    """
    return _verdict(
        cost,
        request=request,
        accelerator_s={one.hardware: _measured_s(one, request=request) for one in cost.hardware},
        terms=terms,
        rates=rates,
    )


def yield_of_mix(
    cost: PoolUnitCost, *, request: MeanShape, terms: FloorTerms, rates: RatesPerMtok
) -> YieldVerdict:
    """The mean request of a usage mix, its accelerator-seconds by the fits that floors use."""
    return _verdict(
        cost,
        request=request,
        accelerator_s={one.hardware: one.fit.accelerator_s(request) for one in cost.hardware},
        terms=terms,
        rates=rates,
    )


def revenue_usd(request: MeanShape, *, rates: RatesPerMtok) -> Fraction:
    """What a request earns: sum of rate x tokens / 1,000,000, tokens to 9 digits."""
    return (
        rates.input_usd * Fraction(quantise(request.fresh_input_tokens))
        + rates.cache_read_usd * Fraction(quantise(request.cache_read_tokens))
        + rates.output_usd * Fraction(quantise(request.output_tokens))
    ) / 10**6


def _verdict(
    cost: PoolUnitCost,
    *,
    request: MeanShape,
    accelerator_s: dict[str, float],
    terms: FloorTerms,
    rates: RatesPerMtok,
) -> YieldVerdict:
    placed = [
        (one.hardware, place_in_hull(request, shapes=one.fit.shapes)) for one in cost.hardware
    ]
    tokens = request.fresh_input_tokens + request.cache_read_tokens + request.output_tokens
    busy_usd = Fraction(quantise(cost.request_usd(accelerator_s, tokens=tokens)))
    variable_usd = Fraction(terms.variable_usd_per_mtok) * Fraction(quantise(tokens)) / 10**6
    return YieldVerdict(
        request=request,
        revenue_usd=revenue_usd(request, rates=rates),
        floor_usd=quantise(float(terms.lowest(busy_usd, variable_usd=variable_usd))),
        outside=tuple((name, place.nearest) for name, place in placed if not place.inside),
    )


def _measured_s(one: HardwareUnitCost, *, request: MeanShape) -> float:
    found = [shape for shape in one.fit.shapes if _request(shape) == request]
    return found[0].accelerator_s_per_request if found else one.fit.accelerator_s(request)


def _request(shape: FittedShape) -> MeanShape:
    return MeanShape(
        fresh_input_tokens=shape.mean_input_tokens,
        cache_read_tokens=0.0,
        output_tokens=shape.mean_output_tokens,
    )

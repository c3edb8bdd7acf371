"""What one million of a unit costs us at 100 % busy: per hardware, and over a pool.

Invariant: parts add up. The parts of an accelerator-hour add up to each unit's cost, the shares of
a pool to 1, and requests of the reference shape at their unit costs to the cost of the pool's
hours, with what their tokens owe to the making of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum
from typing import Final, Literal

from pricing_rules.cost.accelerator_hour import AcceleratorHour
from pricing_rules.cost.factory import Amortisation, Pool
from pricing_rules.cost.shape_fit import FitRefusal, MeanShape, ShapeFit

SECONDS_PER_HOUR: Final = 3600

TokenUnit = Literal["input_tokens", "cache_read_tokens", "output_tokens"]
TOKEN_UNITS: Final[tuple[TokenUnit, ...]] = ("input_tokens", "cache_read_tokens", "output_tokens")
"""The units that a shape fit prices: fresh input, input read from cache, output."""

AMORTISATION: Final = "model_amortisation"
"""What the part of a unit cost is called that the making of the model has in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostPart:
    """One part of a unit cost."""

    name: str
    usd_per_mtok: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCost:
    """The cost of one million of a unit at 100 % busy; its parts add up to it.

    On one hardware the parts are those of the accelerator-hour; over a pool they are its hardware,
    and ``model_amortisation`` where the model has one.
    """

    unit: TokenUnit
    usd_per_mtok: float
    parts: tuple[CostPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareUnitCost:
    """One hardware of a pool: its unit costs, and its share of the pool's request capacity."""

    hardware: str
    accelerators: int
    share_of_capacity: float
    hour: AcceleratorHour
    fit: ShapeFit
    units: tuple[UnitCost, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUnitCost:
    """Unit costs of a pool, weighted by each hardware's requests/s at the reference shape.

    ``unable`` are the kinds of hardware in the pool that cannot keep the promise; they serve
    nothing of it, so they carry no share. ``amortisation`` is in the cost of every unit.
    """

    pool: str
    reference_shape: MeanShape
    requests_per_s: float
    hardware: tuple[HardwareUnitCost, ...]
    units: tuple[UnitCost, ...]
    unable: tuple[FitRefusal, ...]
    amortisation: Amortisation | None = None

    def request_usd(self, accelerator_s: Mapping[str, float], *, tokens: float) -> float:
        """What a request costs at 100 % busy: its seconds on each hardware by the hardware's share,
        and what its ``tokens`` owe to the making of the model.

        ``accelerator_s``: the accelerator-seconds that it takes, by hardware.
        """
        hours = fsum(
            one.share_of_capacity * one.hour.usd_per_hour / SECONDS_PER_HOUR
            * accelerator_s[one.hardware]
            for one in self.hardware
        )  # fmt: skip
        return hours + (self.amortisation.usd_per_mtok * tokens / 1e6 if self.amortisation else 0.0)

    def unit(self, name: TokenUnit) -> UnitCost:
        """The cost of one unit of the pool."""
        return next(cost for cost in self.units if cost.unit == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreachablePool:
    """A pool of which no hardware keeps the promise, with the reason of each."""

    pool: str
    unable: tuple[FitRefusal, ...]


def usd_per_mtok(usd_per_hour: float, *, tokens_per_s: float) -> float:
    """Dollars for a million tokens from the dollars of an hour and the tokens/s in it."""
    return usd_per_hour / (tokens_per_s * SECONDS_PER_HOUR / 1e6)


def unit_costs(fit: ShapeFit, *, hour: AcceleratorHour) -> tuple[UnitCost, ...]:
    """Cost per Mtok of each unit on one hardware: $/h / 3600 x a, c and b.

    x microseconds per token are x seconds per million tokens.
    """
    accelerator_s_per_mtok = (
        fit.a_us_per_input_token,
        fit.c_us_per_cached_token,
        fit.b_us_per_output_token,
    )
    return tuple(
        _unit_cost(
            unit,
            parts=tuple(
                CostPart(name=p.name, usd_per_mtok=p.usd_per_hour / SECONDS_PER_HOUR * seconds)
                for p in hour.parts
            ),
        )
        for unit, seconds in zip(TOKEN_UNITS, accelerator_s_per_mtok, strict=True)
    )


def pool_usd_per_hour(pool: Pool, *, hours: Mapping[str, AcceleratorHour]) -> float:
    """What all accelerators of a pool cost in one hour, busy or idle."""
    return fsum(n * hours[hardware].usd_per_hour for hardware, n in pool.hardware.items())


def pool_unit_cost(
    pool: Pool,
    *,
    hours: Mapping[str, AcceleratorHour],
    fits: Mapping[str, ShapeFit | FitRefusal],
    reference_shape: MeanShape,
    amortisation: Amortisation | None = None,
) -> PoolUnitCost | UnreachablePool:
    """Unit costs of a pool: K = sum of share x K of each hardware, + amortisation of the model.

    A hardware's share is its part of the requests/s that the pool can serve at ``reference_shape``:
    accelerators / g. ``hours`` and ``fits`` go by hardware and cover the pool; the fits are for the
    model and promise in question. Hardware that cannot keep the promise gets no share. Raises
    ValueError for a reference shape that takes no time.
    """
    unable: list[FitRefusal] = []
    able: dict[str, tuple[ShapeFit, float]] = {}
    for hardware, accelerators in pool.hardware.items():
        fit = fits[hardware]
        if isinstance(fit, FitRefusal):
            unable.append(fit)
            continue
        seconds = fit.accelerator_s(reference_shape)
        if seconds <= 0:
            raise ValueError("a request of the reference shape takes no time: it holds no tokens")
        able[hardware] = (fit, accelerators / seconds)
    if not able:
        return UnreachablePool(pool=pool.name, unable=tuple(unable))
    requests_per_s = fsum(capacity for _, capacity in able.values())
    members = tuple(
        HardwareUnitCost(
            hardware=hardware,
            accelerators=pool.hardware[hardware],
            share_of_capacity=capacity / requests_per_s,
            hour=hours[hardware],
            fit=fit,
            units=unit_costs(fit, hour=hours[hardware]),
        )
        for hardware, (fit, capacity) in able.items()
    )
    return PoolUnitCost(
        pool=pool.name,
        reference_shape=reference_shape,
        requests_per_s=requests_per_s,
        hardware=members,
        units=tuple(
            _unit_cost(
                unit,
                parts=(
                    *(
                        CostPart(
                            name=member.hardware,
                            usd_per_mtok=member.share_of_capacity * member.units[i].usd_per_mtok,
                        )
                        for member in members
                    ),
                    *_amortised(amortisation),
                ),
            )
            for i, unit in enumerate(TOKEN_UNITS)
        ),
        unable=tuple(unable),
        amortisation=amortisation,
    )


def _amortised(amortisation: Amortisation | None) -> tuple[CostPart, ...]:
    if amortisation is None:
        return ()
    return (CostPart(name=AMORTISATION, usd_per_mtok=amortisation.usd_per_mtok),)


def _unit_cost(unit: TokenUnit, *, parts: tuple[CostPart, ...]) -> UnitCost:
    return UnitCost(unit=unit, usd_per_mtok=fsum(part.usd_per_mtok for part in parts), parts=parts)

"""Operating points, sweeps and factories made up for the tests of the cost module.

Invariant: what a test does not name has one plain value, so that its sums show in the test.
"""

from __future__ import annotations

from collections.abc import Sequence

from pricing_rules.cost.accelerator_hour import AcceleratorHour, HourPart, PowerKw
from pricing_rules.cost.factory import Pool
from pricing_rules.cost.measurement import (
    AnySetup,
    DisaggregatedSetup,
    OperatingPoint,
    Parallelism,
    Role,
    Setup,
    Shape,
    Source,
    Sweep,
    sweeps_of,
)
from pricing_rules.cost.shape_fit import FitRefusal, ShapeFit, fit_shapes
from pricing_rules.document import validate

SHAPE = Shape(input_tokens=1000, output_tokens=1000)


def made_setup(hardware: str = "h100_sxm", *, tp: int = 1, model: str = "m") -> Setup:
    """A set-up of ``tp`` accelerators."""
    return Setup(
        model=model,
        hardware=hardware,
        framework="vllm",
        framework_version=None,
        precision="fp8",
        parallelism=Parallelism(tp=tp, pp=1, dp=1, moe_tp=1, moe_ep=1),
        accelerators=tp,
    )


def made_disaggregated(
    hardware: str = "h100_sxm", *, prefill: int, decode: int, model: str = "m"
) -> DisaggregatedSetup:
    """A set-up of so many workers of one accelerator in each pool."""
    alone = Parallelism(tp=1, pp=1, dp=1, moe_tp=1, moe_ep=1)
    return DisaggregatedSetup(
        model=model,
        hardware=hardware,
        framework="vllm",
        framework_version=None,
        precision="fp8",
        prefill=Role(workers=prefill, parallelism=alone),
        decode=Role(workers=decode, parallelism=alone),
    )


def made_point(
    interactivity_tokens_per_s: float,
    *,
    output: float,
    setup: AnySetup | None = None,
    shape: Shape = SHAPE,
    concurrency: int = 1,
    ttft_ms: float = 100.0,
    measured_date: str | None = "2026-03-01",
    row: int = 2,
    length_factor: float = 1.0,
) -> OperatingPoint:
    """A point with ``output`` tokens/s per accelerator."""
    return OperatingPoint(
        setup=setup or made_setup(),
        shape=shape,
        length_factor=length_factor,
        concurrency=concurrency,
        input_tokens_per_s_per_accelerator=output * shape.input_tokens / shape.output_tokens,
        output_tokens_per_s_per_accelerator=output,
        interactivity_tokens_per_s=interactivity_tokens_per_s,
        ttft_ms=ttft_ms,
        source=Source(
            file="made.csv", sha256="sha256:0", rows=(row,), measured_date=measured_date, note=""
        ),
    )


def made_sweep(
    *knots: tuple[float, float], setup: AnySetup | None = None, shape: Shape = SHAPE
) -> Sweep:
    """A sweep through (interactivity, output tokens/s per accelerator), at concurrency 1, 2, ..."""
    points = [
        made_point(x, output=y, setup=setup, shape=shape, concurrency=i)
        for i, (x, y) in enumerate(knots, start=1)
    ]
    return sweeps_of(points)[0]


def made_outcome(
    seconds: Sequence[tuple[int, int, float]],
    *,
    setup: AnySetup | None = None,
    promised_tokens_per_s: float | None = None,
    cached_share: float = 0.1,
) -> ShapeFit | FitRefusal:
    """The outcome over shapes of (input, output, accelerator-seconds), all at 50 tokens/s."""
    sweeps = [
        made_sweep(
            (50, tokens_out / g),
            setup=setup,
            shape=Shape(input_tokens=tokens_in, output_tokens=tokens_out),
        )
        for tokens_in, tokens_out, g in seconds
    ]
    return fit_shapes(
        sweeps, promised_tokens_per_s=promised_tokens_per_s, cached_share=cached_share
    )


def made_fit(
    seconds: Sequence[tuple[int, int, float]],
    *,
    setup: AnySetup | None = None,
    cached_share: float = 0.1,
) -> ShapeFit:
    """``made_outcome`` where it is a fit."""
    outcome = made_outcome(seconds, setup=setup, cached_share=cached_share)
    assert isinstance(outcome, ShapeFit)
    return outcome


def made_hour(*usd_per_hour: float, hardware: str = "h100_sxm") -> AcceleratorHour:
    """An hour with parts part0, part1, ..."""
    parts = tuple(
        HourPart(name=f"part{i}", usd_per_hour=usd, source="made up")
        for i, usd in enumerate(usd_per_hour)
    )
    power = PowerKw(board_kw=None, it_kw=None, facility_kw=None)
    return AcceleratorHour(hardware=hardware, parts=parts, power=power)


def made_pool(accelerators: dict[str, int]) -> Pool:
    """A pool of so many of each hardware."""
    return validate(
        Pool,
        {
            "name": "pool",
            "use": "shared",
            "hardware": accelerators,
            "models": ["m"],
            "service_tiers": ["standard"],
            "utilization": {"value": "0.5", "source": "made up", "source_date": "2026-10-01"},
        },
        name="pool",
        lines={},
    )

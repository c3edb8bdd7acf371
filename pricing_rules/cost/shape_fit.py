"""Accelerator-seconds per fresh, cached and output token, fitted over one set-up's shapes.

A disaggregated set-up needs no fit: its prefill pool is what input takes, its decode pool what
output takes. Its figures come as the same ``ShapeFit``, so that a pool may be served by either.

Invariant: a fit shows its residual at every measured shape; the cover, and what the roles take,
charge no measured shape less than it took. A promise that a measured shape cannot keep gives a
refusal, never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import Final, Literal

import numpy as np
from scipy.optimize import nnls

from pricing_rules.cost.coefficients import Coefficients, fit_and_cover
from pricing_rules.cost.interpolation import Interpolation, steffen
from pricing_rules.cost.measurement import (
    AnySetup,
    DisaggregatedSetup,
    Shape,
    Statistic,
    Sweep,
    SweepReading,
    UnreachableShape,
)

UNDER_ESTIMATE_LIMIT: Final = 0.05
"""Where the fit under-estimates a measured shape by more than this share, the cover fit is used."""

OVERCHARGE_FINDING: Final = 0.5
"""An overcharge of a measured shape above this share is a finding."""

UsedFit = Literal["fit", "cover", "roles"]
"""Whose coefficients a ``ShapeFit`` holds."""

TtftCap = Callable[[int], float]
"""The longest mean TTFT, in ms, that counts as serving a nominal number of input tokens."""

_HULL_TOLERANCE = 1e-9


def usual_ttft_cap_ms(input_tokens: int) -> float:
    """3,000 ms up to 1,024 input tokens, 10,000 ms from 8,192 on, and a straight line between.

    Points over the cap are saturated: users wait in a queue, and the throughput is nobody's
    service.
    """
    share = min(1.0, max(0.0, (input_tokens - 1024) / (8192 - 1024)))
    return 3_000 + share * 7_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanShape:
    """Tokens of a mean request of a mix: fresh input, input read from cache, and output."""

    fresh_input_tokens: float
    cache_read_tokens: float
    output_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedShape:
    """One measured shape in a fit: how it was read, what it took, and what the fits make of it.

    ``fitted_accelerator_s_per_request`` is by the coefficients in use. A residual is
    (fitted - measured) / measured: -0.13 is an under-estimate of 13 %.
    """

    reading: SweepReading
    mean_input_tokens: float
    mean_output_tokens: float
    accelerator_s_per_request: float
    fitted_accelerator_s_per_request: float
    residual_fit: float
    residual_cover: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeFit:
    """What a token of each kind takes on one set-up at one promise, in accelerator-microseconds.

    ``used`` says which coefficients a, b are: those of the least-squares ``fit``, or of the
    ``cover`` where the fit under-estimates a measured shape by more than ``UNDER_ESTIMATE_LIMIT``.
    ``roles`` are those of a disaggregated set-up: a is what its prefill pool takes per input token,
    b its decode pool per output token. They differ by shape, so each is the largest of the measured
    shapes, which is the cover of its role; over one shape they add up to it exactly.

    ``cached_share`` is the stated c/a. ``overcharge_worst`` is the largest residual of the used
    one.
    """

    setup: AnySetup
    promised_tokens_per_s: float | None
    used: UsedFit
    a_us_per_input_token: float
    b_us_per_output_token: float
    c_us_per_cached_token: float
    cached_share: float
    fit: Coefficients
    cover: Coefficients
    shapes: tuple[FittedShape, ...]
    overcharge_worst: float

    @property
    def statistic(self) -> Statistic:
        """What the interactivity and TTFT of its points are."""
        return self.shapes[0].reading.points[0].point.statistic

    @property
    def clamped(self) -> tuple[Shape, ...]:
        """Shapes that were not measured as slow as the promise; a slower point may be cheaper."""
        return tuple(s.reading.shape for s in self.shapes if s.reading.status == "clamped")

    @property
    def overcharge_is_finding(self) -> bool:
        """Whether a measured shape is charged over ``OVERCHARGE_FINDING`` more than it took."""
        return self.overcharge_worst > OVERCHARGE_FINDING

    def accelerator_s(self, request: MeanShape) -> float:
        """Accelerator-seconds of one request: g = a x fresh + c x cached + b x output."""
        return (
            self.a_us_per_input_token * request.fresh_input_tokens
            + self.c_us_per_cached_token * request.cache_read_tokens
            + self.b_us_per_output_token * request.output_tokens
        ) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRefusal:
    """Why one set-up has no fit at a promise.

    ``unreachable``: some measured shape cannot keep it, with the fastest it measured.
    ``one direction``: the shapes all have one ratio of input to output, so a and b do not separate
    (on a disaggregated set-up they always do).
    """

    setup: AnySetup
    promised_tokens_per_s: float | None
    kind: Literal["unreachable", "one direction"]
    unreachable: tuple[UnreachableShape, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupChoice:
    """The set-up that floors rest on, None where no candidate has a fit, and the others."""

    chosen: ShapeFit | None
    passed_over: tuple[ShapeFit, ...]
    refused: tuple[FitRefusal, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HullVerdict:
    """Whether a mean request lies among the measured shapes, and which of them is nearest to it."""

    inside: bool
    nearest: Shape


def fit_shapes(
    sweeps: Sequence[Sweep],
    *,
    promised_tokens_per_s: float | None,
    cached_share: float,
    ttft_cap_ms: TtftCap = usual_ttft_cap_ms,
    interpolate: Interpolation = steffen,
) -> ShapeFit | FitRefusal:
    """Fit a, b >= 0 of g = a x input + b x output over the sweeps of one set-up, one per shape.

    Sweeps of one nominal shape with two length factors are two shapes.
    g is the accelerator-seconds of a mean request at ``promised_tokens_per_s`` (None: at the best
    throughput). The fit is least squares on relative residuals; the cover is the a, b with the
    least total relative charge among those under no measured shape. ``cached_share`` (0 to 1) of a
    is what a cached token takes. On a disaggregated set-up a and b are those of its roles. Every
    measured shape must keep the promise; a promise kept only on short requests would be no promise.
    Raises ValueError for sweeps of two set-ups or statistics, or twice one shape.
    """
    setups = {sweep.setup for sweep in sweeps}
    shapes = {(sweep.shape, sweep.length_factor) for sweep in sweeps}
    if len(setups) != 1 or len(shapes) != len(sweeps):
        raise ValueError("a fit is over one set-up and each shape once")
    if len({sweep.statistic for sweep in sweeps}) != 1:
        raise ValueError("a fit is over one statistic; means and percentiles never mix")
    if not 0 <= cached_share <= 1:
        raise ValueError(f"cached_share {cached_share} is not between 0 and 1")
    setup = sweeps[0].setup
    readings: list[SweepReading] = []
    unreachable: list[UnreachableShape] = []
    for sweep in sorted(sweeps, key=lambda one: (one.shape, one.length_factor)):
        reading = sweep.read(
            promised_tokens_per_s,
            ttft_cap_ms=ttft_cap_ms(sweep.shape.input_tokens),
            interpolate=interpolate,
        )
        if isinstance(reading, UnreachableShape):
            unreachable.append(reading)
        else:
            readings.append(reading)
    separate = isinstance(setup, DisaggregatedSetup) or not _one_direction(
        [sweep.shape for sweep in sweeps]
    )
    if unreachable or not separate:
        return FitRefusal(
            setup=setup,
            promised_tokens_per_s=promised_tokens_per_s,
            kind="unreachable" if unreachable else "one direction",
            unreachable=tuple(unreachable),
        )
    return _fitted(
        readings,
        setup=setup,
        promised_tokens_per_s=promised_tokens_per_s,
        cached_share=cached_share,
    )


def fit_setups(
    sweeps: Iterable[Sweep],
    *,
    promised_tokens_per_s: float | None,
    cached_share: float,
    ttft_cap_ms: TtftCap = usual_ttft_cap_ms,
    interpolate: Interpolation = steffen,
) -> tuple[ShapeFit | FitRefusal, ...]:
    """``fit_shapes`` of every set-up and statistic among ``sweeps``, in order of their text."""
    groups: dict[tuple[AnySetup, Statistic], list[Sweep]] = {}
    for sweep in sweeps:
        groups.setdefault((sweep.setup, sweep.statistic), []).append(sweep)
    return tuple(
        fit_shapes(
            groups[group],
            promised_tokens_per_s=promised_tokens_per_s,
            cached_share=cached_share,
            ttft_cap_ms=ttft_cap_ms,
            interpolate=interpolate,
        )
        for group in sorted(groups, key=lambda one: (one[0].text, one[1]))
    )


def choose_setup(
    outcomes: Iterable[ShapeFit | FitRefusal], *, reference_shape: MeanShape
) -> SetupChoice:
    """One set-up per fit: the one to run, among candidates for one model on one kind of hardware.

    First those fitted over the most measured shapes, because a fit over fewer is weaker evidence
    and not a cheaper set-up. A second shape tells a disaggregated one nothing new, but its pools
    are sized for one ratio of input to output: it counts as one shape where the reference's ratio
    is among those that it was measured at, else as none. Then the one with the least
    accelerator-seconds at ``reference_shape``, by the coefficients that floors use, so that a fit
    that flatters itself gains nothing; ties go by the set-up's text. Raises ValueError for two
    models, kinds of hardware or statistics.
    """
    outcomes = tuple(outcomes)
    if len({(o.setup.model, o.setup.hardware) for o in outcomes}) > 1:
        raise ValueError("set-ups are chosen for one model on one kind of hardware")
    fits = [outcome for outcome in outcomes if isinstance(outcome, ShapeFit)]
    if len({fit.statistic for fit in fits}) > 1:
        raise ValueError("set-ups are chosen by one statistic; means and percentiles never mix")
    fits.sort(
        key=lambda fit: (
            -_evidence(fit, reference_shape=reference_shape),
            fit.accelerator_s(reference_shape),
            fit.setup.text,
        )
    )
    return SetupChoice(
        chosen=fits[0] if fits else None,
        passed_over=tuple(fits[1:]),
        refused=tuple(outcome for outcome in outcomes if isinstance(outcome, FitRefusal)),
    )


def place_in_hull(request: MeanShape, *, shapes: Sequence[FittedShape]) -> HullVerdict:
    """Whether ``request`` lies in the convex hull of the mean measured shapes, its edge included.

    Cached tokens count as input, which they are for a benchmark without a cache. The nearest shape
    is nearest by ratio: the least sum of squared logarithms of input and output tokens over its
    own. Outside, a cost is an extrapolation.
    """
    inputs = request.fresh_input_tokens + request.cache_read_tokens
    measured = np.array([(s.mean_input_tokens, s.mean_output_tokens, 1.0) for s in shapes]).T
    target = np.array([inputs, request.output_tokens, 1.0])
    scale = np.maximum(measured.max(axis=1), target)
    # Inside means: a mean of the measured shapes, with weights >= 0 that add to 1.
    _, distance = nnls(measured / scale[:, None], target / scale)
    nearest = min(
        shapes,
        key=lambda s: (
            log(max(inputs, 1.0) / s.mean_input_tokens) ** 2
            + log(max(request.output_tokens, 1.0) / s.mean_output_tokens) ** 2
        ),
    )
    return HullVerdict(inside=float(distance) <= _HULL_TOLERANCE, nearest=nearest.reading.shape)


def _evidence(fit: ShapeFit, *, reference_shape: MeanShape) -> int:
    """Measured shapes that speak for a fit."""
    if fit.used != "roles":
        return len(fit.shapes)
    inputs = reference_shape.fresh_input_tokens + reference_shape.cache_read_tokens
    # Signs of measured ratio - reference ratio, multiplied out.
    over = [
        one.reading.shape.input_tokens * reference_shape.output_tokens
        - inputs * one.reading.shape.output_tokens
        for one in fit.shapes
    ]
    return int(min(over) <= 0 <= max(over))


def _one_direction(shapes: Sequence[Shape]) -> bool:
    first = shapes[0]
    return all(
        shape.input_tokens * first.output_tokens == first.input_tokens * shape.output_tokens
        for shape in shapes
    )


def _fitted(
    readings: Sequence[SweepReading],
    *,
    setup: AnySetup,
    promised_tokens_per_s: float | None,
    cached_share: float,
) -> ShapeFit:
    points = [reading.points[0].point for reading in readings]
    tokens = np.array([(p.mean_input_tokens, p.mean_output_tokens) for p in points])
    measured_s = np.array(
        [
            point.mean_output_tokens / reading.output_tokens_per_s_per_accelerator
            for point, reading in zip(points, readings, strict=True)
        ]
    )
    fit, cover = fit_and_cover(setup, tokens=tokens, measured_s=measured_s)
    # Each row is one shape's tokens over its measured time: fitted/measured = per_us @ (a, b).
    per_us = tokens / (measured_s[:, None] * 1e6)
    residuals_fit, residuals_cover = (
        per_us @ (one.a_us_per_input_token, one.b_us_per_output_token) - 1 for one in (fit, cover)
    )
    used = _used(setup, least_residual=float(residuals_fit.min()))
    best, residuals_used = (fit, residuals_fit) if used == "fit" else (cover, residuals_cover)
    shapes = tuple(
        FittedShape(
            reading=readings[i],
            mean_input_tokens=points[i].mean_input_tokens,
            mean_output_tokens=points[i].mean_output_tokens,
            accelerator_s_per_request=float(measured_s[i]),
            fitted_accelerator_s_per_request=float(measured_s[i] * (1 + residuals_used[i])),
            residual_fit=float(residuals_fit[i]),
            residual_cover=float(residuals_cover[i]),
        )
        for i in range(len(readings))
    )
    return ShapeFit(
        setup=setup,
        promised_tokens_per_s=promised_tokens_per_s,
        used=used,
        a_us_per_input_token=best.a_us_per_input_token,
        b_us_per_output_token=best.b_us_per_output_token,
        c_us_per_cached_token=best.a_us_per_input_token * cached_share,
        cached_share=cached_share,
        fit=fit,
        cover=cover,
        shapes=shapes,
        overcharge_worst=float(residuals_used.max()),
    )


def _used(setup: AnySetup, *, least_residual: float) -> UsedFit:
    if isinstance(setup, DisaggregatedSetup):
        return "roles"
    return "cover" if least_residual < -UNDER_ESTIMATE_LIMIT else "fit"

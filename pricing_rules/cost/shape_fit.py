"""Accelerator-seconds per fresh, cached and output token, fitted over one set-up's shapes.

Invariant: a fit shows its residual at every measured shape; the cover fit charges no measured shape
less than it took. A promise that a measured shape cannot keep gives a refusal, never a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, nnls

from pricing_rules.cost.measurement import (
    Interpolation,
    Setup,
    Shape,
    Sweep,
    SweepReading,
    UnreachableShape,
    steffen,
)

UNDER_ESTIMATE_LIMIT: Final = 0.05
"""Where the fit under-estimates a measured shape by more than this share, the cover fit is used."""

OVERCHARGE_FINDING: Final = 0.5
"""An overcharge of a measured shape above this share is a finding."""

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
class Coefficients:
    """Microseconds of one accelerator per fresh input token (a) and per output token (b)."""

    a_us_per_input_token: float
    b_us_per_output_token: float


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
    ``cached_share`` is the stated c/a. ``overcharge_worst`` is the largest residual of the used
    one.
    """

    setup: Setup
    promised_tokens_per_s: float | None
    used: Literal["fit", "cover"]
    a_us_per_input_token: float
    b_us_per_output_token: float
    c_us_per_cached_token: float
    cached_share: float
    fit: Coefficients
    cover: Coefficients
    shapes: tuple[FittedShape, ...]
    overcharge_worst: float

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
    ``one direction``: the shapes all have one ratio of input to output, so a and b do not separate.
    """

    setup: Setup
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

    g is the accelerator-seconds of a mean request at ``promised_tokens_per_s`` (None: at the best
    throughput). The fit is least squares on relative residuals; the cover is the a, b with the
    least total relative charge among those under no measured shape. ``cached_share`` (0 to 1) of a
    is what a cached token takes. Every measured shape must keep the promise; a promise kept only on
    short requests would be no promise. Raises ValueError for sweeps of two set-ups or twice one
    shape.
    """
    setups = {sweep.setup for sweep in sweeps}
    if len(setups) != 1 or len({sweep.shape for sweep in sweeps}) != len(sweeps):
        raise ValueError("a fit is over one set-up and each shape once")
    if len({point.statistic for sweep in sweeps for point in sweep.points}) != 1:
        raise ValueError("a fit is over one statistic; means and percentiles never mix")
    if not 0 <= cached_share <= 1:
        raise ValueError(f"cached_share {cached_share} is not between 0 and 1")
    setup = sweeps[0].setup
    readings: list[SweepReading] = []
    unreachable: list[UnreachableShape] = []
    for sweep in sorted(sweeps, key=lambda one: one.shape):
        reading = sweep.read(
            promised_tokens_per_s,
            ttft_cap_ms=ttft_cap_ms(sweep.shape.input_tokens),
            interpolate=interpolate,
        )
        if isinstance(reading, UnreachableShape):
            unreachable.append(reading)
        else:
            readings.append(reading)
    if unreachable or _one_direction([sweep.shape for sweep in sweeps]):
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
    """``fit_shapes`` of every set-up among ``sweeps``, in order of their text."""
    by_setup: dict[Setup, list[Sweep]] = {}
    for sweep in sweeps:
        by_setup.setdefault(sweep.setup, []).append(sweep)
    return tuple(
        fit_shapes(
            by_setup[setup],
            promised_tokens_per_s=promised_tokens_per_s,
            cached_share=cached_share,
            ttft_cap_ms=ttft_cap_ms,
            interpolate=interpolate,
        )
        for setup in sorted(by_setup, key=lambda one: one.text)
    )


def choose_setup(
    outcomes: Iterable[ShapeFit | FitRefusal], *, reference_shape: MeanShape
) -> SetupChoice:
    """One set-up per fit: the one to run, among candidates for one model on one kind of hardware.

    First those fitted over the most measured shapes, because a fit over fewer is weaker evidence
    and not a cheaper set-up; of them the one with the least accelerator-seconds at
    ``reference_shape``, by the coefficients that floors use, so that a fit that flatters itself
    gains nothing; ties go by the set-up's text. Raises ValueError for two models or kinds of
    hardware.
    """
    outcomes = tuple(outcomes)
    if len({(o.setup.model, o.setup.hardware) for o in outcomes}) > 1:
        raise ValueError("set-ups are chosen for one model on one kind of hardware")
    fits = sorted(
        (outcome for outcome in outcomes if isinstance(outcome, ShapeFit)),
        key=lambda fit: (-len(fit.shapes), fit.accelerator_s(reference_shape), fit.setup.text),
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


def _one_direction(shapes: Sequence[Shape]) -> bool:
    first = shapes[0]
    return all(
        shape.input_tokens * first.output_tokens == first.input_tokens * shape.output_tokens
        for shape in shapes
    )


def _fitted(
    readings: Sequence[SweepReading],
    *,
    setup: Setup,
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
    # Each row is one shape's tokens over its measured time: fitted/measured = per_us @ (a, b).
    per_us = tokens / (measured_s[:, None] * 1e6)
    fit = nnls(per_us, np.ones(len(readings)))[0]
    cover = _cover(per_us)
    residuals_fit, residuals_cover = per_us @ fit - 1, per_us @ cover - 1
    used: Literal["fit", "cover"] = (
        "cover" if residuals_fit.min() < -UNDER_ESTIMATE_LIMIT else "fit"
    )
    a, b = (float(value) for value in (cover if used == "cover" else fit))
    residuals_used = residuals_cover if used == "cover" else residuals_fit
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
        a_us_per_input_token=a,
        b_us_per_output_token=b,
        c_us_per_cached_token=a * cached_share,
        cached_share=cached_share,
        fit=_coefficients(fit),
        cover=_coefficients(cover),
        shapes=shapes,
        overcharge_worst=float(residuals_used.max()),
    )


def _cover(per_us: NDArray[np.float64]) -> NDArray[np.float64]:
    """The a, b >= 0 of least total relative charge with every row of ``per_us @ (a, b)`` >= 1."""
    # Columns are scaled to 1, because the solver's tolerances are absolute.
    scale = per_us.max(axis=0)
    scaled = per_us / scale
    found = linprog(scaled.sum(axis=0), A_ub=-scaled, b_ub=-np.ones(len(scaled)), method="highs")
    assert found.x is not None, f"a cover always exists, but: {found.message}"
    cover: NDArray[np.float64] = np.maximum(found.x, 0.0) / scale
    # The solver may stay within its tolerance under a bound; a cover is never under.
    lowest = float((per_us @ cover).min())
    return cover / lowest if lowest < 1 else cover


def _coefficients(pair: NDArray[np.float64]) -> Coefficients:
    return Coefficients(a_us_per_input_token=float(pair[0]), b_us_per_output_token=float(pair[1]))

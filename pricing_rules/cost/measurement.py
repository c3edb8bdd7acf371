"""Operating points, their sweeps, and what a sweep says at a promised interactivity.

Invariant: a sweep holds one set-up and one shape, and nothing is read beyond its measured points: a
promise at or under its slowest frontier point is clamped to it, one over its fastest is
unreachable.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import copysign
from typing import Literal, Protocol

ReadingStatus = Literal["interpolated", "clamped", "best"]
"""How a sweep was read: between two points, at its slowest one, or with no promise to keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a measurement stands: the file, its ``sha256:`` digest and its lines (header = line 1).

    ``measured_date`` is an ISO date, or None where the file does not say when it was measured.
    """

    file: str
    sha256: str
    rows: tuple[int, ...]
    measured_date: str | None
    note: str


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Shape:
    """A workload shape: nominal tokens of one request (ISL and OSL)."""

    input_tokens: int
    output_tokens: int

    @property
    def text(self) -> str:
        """``8192/1024``: input, then output tokens."""
        return f"{self.input_tokens}/{self.output_tokens}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Parallelism:
    """How a model is spread: tensor, pipeline and attention-data parallelism, and the experts'."""

    tp: int
    pp: int
    dp: int
    moe_tp: int
    moe_ep: int

    @property
    def text(self) -> str:
        """``tp4 pp1 dp1 moe_tp1 moe_ep4``."""
        return f"tp{self.tp} pp{self.pp} dp{self.dp} moe_tp{self.moe_tp} moe_ep{self.moe_ep}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One way of serving one model, all in one place (aggregated): what a sweep keeps constant."""

    model: str
    hardware: str
    framework: str
    framework_version: str | None
    precision: str
    parallelism: Parallelism
    accelerators: int

    @property
    def text(self) -> str:
        """The set-up on one line; two set-ups never share it."""
        return (
            f"{self.model} {self.precision} on {self.accelerators} {self.hardware}, "
            f"{self.framework} {self.framework_version or '(no version)'}, {self.parallelism.text}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """One measured point of one set-up at one shape and concurrency.

    ``length_factor`` is the mean length of a request over its nominal length (0.9 where a benchmark
    samples lengths). ``interactivity_tokens_per_s`` is output tokens/s that one user sees
    (1000/TPOT in ms). ``statistic`` says what TTFT and interactivity are; points of two statistics
    never mix.
    """

    setup: Setup
    shape: Shape
    length_factor: float
    concurrency: int
    input_tokens_per_s_per_accelerator: float
    output_tokens_per_s_per_accelerator: float
    interactivity_tokens_per_s: float
    ttft_ms: float
    statistic: Literal["mean", "p50", "p95"] = "mean"
    source: Source
    flags: tuple[str, ...] = ()

    @property
    def mean_input_tokens(self) -> float:
        """Input tokens of a mean request."""
        return self.shape.input_tokens * self.length_factor

    @property
    def mean_output_tokens(self) -> float:
        """Output tokens of a mean request."""
        return self.shape.output_tokens * self.length_factor


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedPoint:
    """A point and its share of a reading; the shares of one reading add to 1."""

    point: OperatingPoint
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepReading:
    """What a sweep yields at a promise (None: no promise, the frontier's best throughput).

    The weighted throughputs of ``points`` add up to ``output_tokens_per_s_per_accelerator``.
    """

    shape: Shape
    promised_tokens_per_s: float | None
    ttft_cap_ms: float | None
    status: ReadingStatus
    output_tokens_per_s_per_accelerator: float
    points: tuple[WeightedPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreachableShape:
    """A shape at which a sweep cannot keep a promise, and the fastest that it measured.

    ``fastest_tokens_per_s`` is None where no point keeps the cap on TTFT.
    """

    shape: Shape
    promised_tokens_per_s: float | None
    ttft_cap_ms: float | None
    fastest_tokens_per_s: float | None


class Interpolation(Protocol):
    """A curve through the knots ``(x, y)``, read at ``at`` between the first and the last."""

    def __call__(self, at: float, *, x: Sequence[float], y: Sequence[float]) -> float:
        """The value at ``at``; ``x`` rises strictly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The operating points of one set-up at one shape, by rising concurrency, one per concurrency.

    ``superseded`` are older measurements of a concurrency that was measured again. Raises
    ValueError for points of two set-ups, shapes, statistics or length factors: they are not one
    sweep.
    """

    setup: Setup
    shape: Shape
    points: tuple[OperatingPoint, ...]
    superseded: tuple[OperatingPoint, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse what is not one sweep."""
        kinds = {(p.setup, p.shape, p.statistic, p.length_factor) for p in self.points}
        if len(kinds) != 1 or (self.setup, self.shape) not in {kind[:2] for kind in kinds}:
            raise ValueError(f"not one sweep: {self.setup.text} at {self.shape.text}")
        steps = [point.concurrency for point in self.points]
        if any(left >= right for left, right in pairwise(steps)):
            raise ValueError(f"not one point per concurrency, rising: {steps}")

    def frontier(self, *, ttft_cap_ms: float | None) -> tuple[OperatingPoint, ...]:
        """The Pareto frontier in (interactivity, output tokens/s), by rising interactivity.

        A point stays only if none at its interactivity or faster has at least its throughput, and
        if its TTFT is at most ``ttft_cap_ms``.
        """
        kept: list[OperatingPoint] = []
        allowed = [p for p in self.points if ttft_cap_ms is None or p.ttft_ms <= ttft_cap_ms]
        for point in sorted(
            allowed,
            key=lambda p: (-p.interactivity_tokens_per_s, -p.output_tokens_per_s_per_accelerator),
        ):
            best = kept[-1].output_tokens_per_s_per_accelerator if kept else 0.0
            if point.output_tokens_per_s_per_accelerator > best:
                kept.append(point)
        return tuple(reversed(kept))

    def read(
        self,
        promised_tokens_per_s: float | None,
        *,
        ttft_cap_ms: float | None,
        interpolate: Interpolation,
    ) -> SweepReading | UnreachableShape:
        """The throughput that keeps the promise: never extrapolated.

        At or under the frontier's first knot it is clamped to it, over the last knot the promise is
        unreachable; with no promise it is the frontier's best throughput.
        """
        knots = self.frontier(ttft_cap_ms=ttft_cap_ms)
        fastest = knots[-1].interactivity_tokens_per_s if knots else None
        if fastest is None or (
            promised_tokens_per_s is not None and promised_tokens_per_s > fastest
        ):
            return UnreachableShape(
                shape=self.shape,
                promised_tokens_per_s=promised_tokens_per_s,
                ttft_cap_ms=ttft_cap_ms,
                fastest_tokens_per_s=fastest,
            )
        status, value, points = _read_knots(
            knots, promised_tokens_per_s=promised_tokens_per_s, interpolate=interpolate
        )
        return SweepReading(
            shape=self.shape,
            promised_tokens_per_s=promised_tokens_per_s,
            ttft_cap_ms=ttft_cap_ms,
            status=status,
            output_tokens_per_s_per_accelerator=value,
            points=points,
        )


def sweeps_of(points: Iterable[OperatingPoint]) -> tuple[Sweep, ...]:
    """The sweeps that ``points`` make, by set-up and shape.

    Of several measurements of one concurrency the newest stands (no date counts as oldest), and of
    one day's the one with the lowest throughput: the best of repeated runs would be luck, not
    capacity. Points of another statistic or length factor make a ValueError, because nothing may
    mix them.
    """
    groups: dict[tuple[Setup, Shape], list[OperatingPoint]] = defaultdict(list)
    for point in points:
        groups[point.setup, point.shape].append(point)
    found = []
    for (setup, shape), members in groups.items():
        standing: dict[int, OperatingPoint] = {}
        superseded: list[OperatingPoint] = []
        for point in sorted(members, key=_standing_order):
            if point.concurrency in standing:
                superseded.append(standing[point.concurrency])
            standing[point.concurrency] = point
        by_concurrency = tuple(standing[step] for step in sorted(standing))
        found.append(
            Sweep(setup=setup, shape=shape, points=by_concurrency, superseded=tuple(superseded))
        )
    return tuple(sorted(found, key=lambda sweep: (sweep.setup.text, sweep.shape)))


def steffen_slopes(x: Sequence[float], *, y: Sequence[float]) -> tuple[float, ...]:
    """The slopes of the monotone cubic of M. Steffen (1990) at two or more knots, ``x`` rising.

    Inner knots: (sgn s0 + sgn s1) min(|s0|, |s1|, |p|/2), p = (s0 h1 + s1 h0)/(h0 + h1); the ends
    continue their neighbour: (3 s - m)/2.
    """
    widths = [right - left for left, right in pairwise(x)]
    secants = [(right - left) / h for (left, right), h in zip(pairwise(y), widths, strict=True)]
    inner = []
    for (s0, s1), (h0, h1) in zip(pairwise(secants), pairwise(widths), strict=True):
        parabola = (s0 * h1 + s1 * h0) / (h0 + h1)
        direction = (copysign(1.0, s0) if s0 else 0.0) + (copysign(1.0, s1) if s1 else 0.0)
        inner.append(direction * min(abs(s0), abs(s1), abs(parabola) / 2))
    if not inner:
        return (secants[0], secants[0])
    first, last = (3 * secants[0] - inner[0]) / 2, (3 * secants[-1] - inner[-1]) / 2
    return (first, *inner, last)


def steffen(at: float, *, x: Sequence[float], y: Sequence[float]) -> float:
    """Steffen's monotone cubic: a Hermite cubic per interval, which never overshoots a knot."""
    slopes = steffen_slopes(x, y=y)
    i = _interval(at, x=x)
    width = x[i + 1] - x[i]
    t = (at - x[i]) / width
    return (
        (1 + 2 * t) * (1 - t) ** 2 * y[i]
        + t * (1 - t) ** 2 * width * slopes[i]
        + t * t * (3 - 2 * t) * y[i + 1]
        + t * t * (t - 1) * width * slopes[i + 1]
    )


def linear(at: float, *, x: Sequence[float], y: Sequence[float]) -> float:
    """Straight lines between the knots: to compare with tables that were made so."""
    i = _interval(at, x=x)
    return y[i] + (at - x[i]) / (x[i + 1] - x[i]) * (y[i + 1] - y[i])


def _standing_order(point: OperatingPoint) -> tuple[str, float, tuple[int, ...]]:
    """The last one stands: newest, then lowest throughput, then first in the file."""
    rows = tuple(-row for row in point.source.rows)
    return (point.source.measured_date or "", -point.output_tokens_per_s_per_accelerator, rows)


def _interval(at: float, *, x: Sequence[float]) -> int:
    return min(bisect_right(x, at) - 1, len(x) - 2)


def _read_knots(
    knots: Sequence[OperatingPoint],
    *,
    promised_tokens_per_s: float | None,
    interpolate: Interpolation,
) -> tuple[ReadingStatus, float, tuple[WeightedPoint, ...]]:
    slowest = knots[0]
    best = slowest.output_tokens_per_s_per_accelerator
    alone = (WeightedPoint(point=slowest, weight=1.0),)
    if promised_tokens_per_s is None:
        return "best", best, alone
    if promised_tokens_per_s <= slowest.interactivity_tokens_per_s:
        return "clamped", best, alone
    x = [knot.interactivity_tokens_per_s for knot in knots]
    y = [knot.output_tokens_per_s_per_accelerator for knot in knots]
    value = interpolate(promised_tokens_per_s, x=x, y=y)
    i = _interval(promised_tokens_per_s, x=x)
    # The curve is monotone between two knots, so the value is a mean of the two.
    right = (y[i] - value) / (y[i] - y[i + 1])
    weighted = ((knots[i], 1 - right), (knots[i + 1], right))
    points = tuple(WeightedPoint(point=p, weight=w) for p, w in weighted if w > 0)
    return "interpolated", value, points

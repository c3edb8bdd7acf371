"""Operating points, their sweeps, and what a sweep says at a promised interactivity.

Aggregated and disaggregated serving are different types (``Setup``, ``DisaggregatedSetup``): the
accelerators of one serve both phases, the other has a pool for each.

Invariant: a sweep holds one set-up, one shape and one statistic, and nothing is read beyond its
measured points: a promise at or under its slowest frontier point is clamped to it, one over its
fastest is unreachable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from pricing_rules.cost.interpolation import Interpolation, interval_at

ReadingStatus = Literal["interpolated", "clamped", "best"]
"""How a sweep was read: between two points, at its slowest one, or with no promise to keep."""

Statistic = Literal["mean", "p50", "p95"]
"""What TTFT and interactivity of a point are; points of two statistics never mix."""

PowerKind = Literal["board", "it", "facility"]
"""Where power was measured: the accelerator's board, the server, the meter (PUE included)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a measurement stands: the file, its ``sha256:`` digest and its lines (header = line 1).

    In a file that is one list the rows are places in it, from 1.
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
    """One way of serving one model, all in one place (aggregated): what a sweep keeps constant.

    ``speculative`` is the method of speculative decoding (``mtp``), None where there is none.
    """

    model: str
    hardware: str
    framework: str
    framework_version: str | None
    precision: str
    parallelism: Parallelism
    accelerators: int
    speculative: str | None = None

    @property
    def text(self) -> str:
        """The set-up on one line; two set-ups never share it."""
        return (
            f"{self.model} {self.precision} on {self.accelerators} {self.hardware}, "
            f"{self.framework} {self.framework_version or '(no version)'}, {self.parallelism.text}"
            f"{_speculative_text(self.speculative)}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """One pool of a disaggregated set-up: so many workers, each spread in one way."""

    workers: int
    parallelism: Parallelism

    @property
    def accelerators(self) -> int:
        """workers x tp x pp x dp."""
        spread = self.parallelism
        return self.workers * spread.tp * spread.pp * spread.dp

    @property
    def text(self) -> str:
        """``4 workers of tp8 pp1 dp1 moe_tp1 moe_ep8``."""
        workers = "worker" if self.workers == 1 else "workers"
        return f"{self.workers} {workers} of {self.parallelism.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DisaggregatedSetup:
    """One way of serving one model with a pool for the input and another for the output.

    Both pools are of one hardware. ``speculative`` is the method of speculative decoding.
    """

    model: str
    hardware: str
    framework: str
    framework_version: str | None
    precision: str
    prefill: Role
    decode: Role
    speculative: str | None = None

    @property
    def accelerators(self) -> int:
        """Those of both pools."""
        return self.prefill.accelerators + self.decode.accelerators

    @property
    def text(self) -> str:
        """The set-up on one line; two set-ups never share it."""
        return (
            f"{self.model} {self.precision} on {self.prefill.accelerators}+"
            f"{self.decode.accelerators} {self.hardware}, "
            f"{self.framework} {self.framework_version or '(no version)'}, "
            f"prefill {self.prefill.text}, decode {self.decode.text}"
            f"{_speculative_text(self.speculative)}"
        )


AnySetup = Setup | DisaggregatedSetup


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """One measured point of one set-up at one shape and concurrency.

    ``length_factor`` is the mean length of a request over its nominal length (0.9 where a benchmark
    samples lengths). ``interactivity_tokens_per_s`` is output tokens/s that one user sees
    (1000/TPOT in ms). ``statistic`` says what TTFT and interactivity are.

    Throughput is per accelerator of the whole set-up, both pools of a disaggregated one counted:
    the one figure that compares across the two ways of serving. Power, where measured, is a mean
    over the same accelerators; ValueError for watts without their kind, or the reverse.
    """

    setup: AnySetup
    shape: Shape
    length_factor: float
    concurrency: int
    input_tokens_per_s_per_accelerator: float
    output_tokens_per_s_per_accelerator: float
    interactivity_tokens_per_s: float
    ttft_ms: float
    statistic: Statistic = "mean"
    power_w_per_accelerator: float | None = None
    power_kind: PowerKind | None = None
    source: Source
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse watts that do not say where they were measured."""
        if (self.power_w_per_accelerator is None) != (self.power_kind is None):
            raise ValueError("power and its kind go together")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The operating points of one set-up at one shape, by rising concurrency, one per concurrency.

    ``superseded`` are older measurements of a concurrency that was measured again. Raises
    ValueError for points of two set-ups, shapes, statistics or length factors: they are not one
    sweep.
    """

    setup: AnySetup
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

    @property
    def statistic(self) -> Statistic:
        """What TTFT and interactivity of all its points are."""
        return self.points[0].statistic

    @property
    def length_factor(self) -> float:
        """The mean over the nominal length of a request, at all its points."""
        return self.points[0].length_factor

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
    """The sweeps that ``points`` make, by set-up, shape, statistic and length factor.

    Of several measurements of one concurrency the newest stands (no date counts as oldest), and of
    one day's the one with the lowest throughput: the best of repeated runs would be luck, not
    capacity. Points of two statistics or length factors are of two sweeps, so nothing mixes them.
    """
    groups: dict[tuple[AnySetup, Shape, Statistic, float], list[OperatingPoint]] = defaultdict(list)
    for point in points:
        groups[point.setup, point.shape, point.statistic, point.length_factor].append(point)
    found = []
    for (setup, shape, _, _), members in groups.items():
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
    return tuple(sorted(found, key=lambda s: (s.setup.text, s.shape, s.statistic, s.length_factor)))


def _speculative_text(method: str | None) -> str:
    return f", speculative {method}" if method else ""


def _standing_order(point: OperatingPoint) -> tuple[str, float, tuple[int, ...]]:
    """The last one stands: newest, then lowest throughput, then first in the file."""
    rows = tuple(-row for row in point.source.rows)
    return (point.source.measured_date or "", -point.output_tokens_per_s_per_accelerator, rows)


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
    i = interval_at(promised_tokens_per_s, x=x)
    # The curve is monotone between two knots, so the value is a mean of the two.
    right = (y[i] - value) / (y[i] - y[i + 1])
    weighted = ((knots[i], 1 - right), (knots[i + 1], right))
    points = tuple(WeightedPoint(point=p, weight=w) for p, w in weighted if w > 0)
    return "interpolated", value, points

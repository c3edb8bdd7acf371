"""From a run of a serving benchmark, and what a person states of it, to operating points.

Such a benchmark sees a server from outside: it knows tokens and times, and never on how many
accelerators, of what kind, in which precision. A person must state those; nothing is guessed.

Invariant: a run gives a point per statistic that it holds, or is refused with the reason; what a
person stated is flagged on the point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pricing_rules.cost.measurement import (
    AnySetup,
    DisaggregatedSetup,
    OperatingPoint,
    Parallelism,
    PowerKind,
    Setup,
    Shape,
    Source,
    Statistic,
)
from pricing_rules.cost.readers.inferencex import AGREEMENT, PLAUSIBLE
from pricing_rules.cost.readers.measurements import POWER_REFUSED_FLAG, RefusedRow, RowError
from pricing_rules.cost.readers.stated_facts import FACTS, StatedFacts
from pricing_rules.document import DocumentError

LENGTH_TOLERANCE: Final = 0.05
"""How far mean lengths may be from those that a person states, as a share of the latter."""

TELEMETRY_ACCELERATORS_FLAG: Final = "accelerators_from_telemetry"
"""The accelerators are those that telemetry saw, which may be more than those that served."""

MEASURED_CONCURRENCY_FLAG: Final = "concurrency_measured"
"""The load was set as a rate; the concurrency is the mean number of requests under way."""

CACHED_INPUT_FLAG: Final = "cached_input"
"""Some input came from a prefix cache; the point looks cheaper than fresh input is."""

FAILED_REQUESTS_FLAG: Final = "failed_requests"
"""Some requests failed; the throughput is that of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """TTFT and time per output token of one statistic."""

    statistic: Statistic
    ttft_ms: float
    tpot_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardPower:
    """The watts of all boards that telemetry saw, and how many they are."""

    accelerators: int
    total_w: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRun:
    """One run of a serving benchmark as its file tells it; tokens/s are of the whole server.

    ``request_ms`` is a whole request (mean, or median where that is all), None where the file has
    neither. ``note`` is what a reader of the point should know of the run.
    """

    row: int
    model: str | None
    concurrency: int | None
    is_concurrency_measured: bool = False
    measured_date: str | None
    requests_per_s: float
    input_tokens_per_s: float
    output_tokens_per_s: float
    mean_input_tokens: float
    mean_output_tokens: float
    timings: tuple[Timing, ...]
    request_ms: float | None
    power: BoardPower | None = None
    is_speculative: bool = False
    has_cached_input: bool = False
    failed_requests: int = 0
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRuns:
    """The runs of a file, and those of its lines that hold none."""

    runs: tuple[ServingRun, ...]
    refused: tuple[RefusedRow, ...]


def lacking(run: ServingRun, *, stated: StatedFacts) -> tuple[str, ...]:
    """The keys of ``FACTS`` that neither the run nor the person says."""
    disaggregated = stated.prefill is not None and stated.decode is not None
    accelerators = stated.accelerators or (run.power.accelerators if run.power else None)
    held = {
        "model": run.model,
        "accelerators": disaggregated or accelerators,
        # One accelerator is spread in one way only.
        "parallelism": disaggregated or accelerators == 1,
        "speculative": not run.is_speculative,
        "concurrency": run.concurrency,
        "measured_date": run.measured_date,
    }
    given = stated.given()
    return tuple(fact for fact in FACTS if fact not in given and not held.get(fact))


def points_of(
    run: ServingRun, *, stated: StatedFacts, file: str, sha256: str
) -> tuple[OperatingPoint, ...]:
    """The operating points of a run that lacks nothing, one per statistic.

    Raises RowError where the run is not plausible: its concurrency is not within half and double of
    requests/s x seconds per request (Little's law), or its mean lengths are more than 5 % from the
    stated ones. Raises DocumentError where what is stated contradicts itself or the file.
    """
    _check_stated(run, stated=stated, file=file)
    setup = _setup(run, stated=stated)
    shape, factor = _lengths(run, stated=stated)
    if not run.timings:
        raise RowError("statistic missing", "it has no TTFT and TPOT of one statistic")
    if run.mean_output_tokens < 2:
        raise RowError("unreadable", "its output is too short for a time per output token")
    concurrency = run.concurrency or stated.concurrency or 0
    _check_little(run, concurrency=concurrency)
    power_w = _power_w(run, accelerators=setup.accelerators)
    kind: PowerKind | None = None if power_w is None else "board"
    source = Source(
        file=file,
        sha256=sha256,
        rows=(run.row,),
        measured_date=run.measured_date or stated.measured_date,
        note=run.note,
    )
    return tuple(
        OperatingPoint(
            setup=setup,
            shape=shape,
            length_factor=factor,
            concurrency=concurrency,
            input_tokens_per_s_per_accelerator=run.input_tokens_per_s / setup.accelerators,
            output_tokens_per_s_per_accelerator=run.output_tokens_per_s / setup.accelerators,
            interactivity_tokens_per_s=1000 / timing.tpot_ms,
            ttft_ms=timing.ttft_ms,
            statistic=timing.statistic,
            power_w_per_accelerator=power_w,
            power_kind=kind,
            source=source,
            flags=tuple(_flags(run, stated=stated, power_w=power_w)),
        )
        for timing in run.timings
    )


def agree(what: str, *, value: float, other: str, is_: float) -> None:
    """Raises RowError where two figures that must be one differ by more than 1 %."""
    if abs(value - is_) > AGREEMENT * max(value, is_):
        raise RowError("implausible", f"{what} is {value:.6g}, but {other} is {is_:.6g}")


def _check_stated(run: ServingRun, *, stated: StatedFacts, file: str) -> None:
    for fact, held in (("concurrency", run.concurrency), ("measured_date", run.measured_date)):
        said = getattr(stated, fact)
        if held is not None and said not in (None, held):
            raise DocumentError(
                f"{file}:{run.row}",
                f"says itself that {FACTS[fact]} is {held}, not {said}; leave that out",
            )
    if (stated.prefill is None) != (stated.decode is None):
        raise DocumentError(file, "prefill and decode pools are stated together or not at all")
    if stated.prefill is not None and stated.parallelism is not None:
        raise DocumentError(file, "parallelism is of aggregated serving, pools of disaggregated")
    if (stated.input_tokens is None) != (stated.output_tokens is None):
        raise DocumentError(file, "input and output tokens are stated together or not at all")
    if stated.length_factor is not None and stated.input_tokens is None:
        raise DocumentError(file, "a length factor needs the nominal input and output tokens")


def _setup(run: ServingRun, *, stated: StatedFacts) -> AnySetup:
    same = {
        "model": stated.model or (run.model or "").rsplit("/", 1)[-1],
        "hardware": stated.hardware or "",
        "framework": stated.framework or "",
        "precision": stated.precision or "",
    }
    version, speculative = stated.framework_version, stated.speculative
    seen = run.power.accelerators if run.power else 1
    if stated.prefill is not None and stated.decode is not None:
        setup: AnySetup = DisaggregatedSetup(
            **same,
            framework_version=version,
            prefill=stated.prefill,
            decode=stated.decode,
            speculative=speculative,
        )
        accelerators = stated.accelerators or setup.accelerators
    else:
        spread = stated.parallelism or Parallelism(tp=1, pp=1, dp=1, moe_tp=1, moe_ep=1)
        accelerators = stated.accelerators or seen
        setup = Setup(
            **same,
            framework_version=version,
            parallelism=spread,
            accelerators=spread.tp * spread.pp * spread.dp,
            speculative=speculative,
        )
    if setup.accelerators != accelerators:
        raise DocumentError(
            "accelerators",
            f"{accelerators} stated or seen, but the model is spread over {setup.accelerators}",
        )
    return setup


def _lengths(run: ServingRun, *, stated: StatedFacts) -> tuple[Shape, float]:
    """The shape and its length factor: the stated ones where the means fit, else the means."""
    if stated.input_tokens is None or stated.output_tokens is None:
        # Means that are no whole numbers make a shape of their own only by their rounding.
        return Shape(
            input_tokens=max(1, round(run.mean_input_tokens)),
            output_tokens=max(1, round(run.mean_output_tokens)),
        ), 1.0
    factor = stated.length_factor or 1.0
    for what, mean, nominal in (
        ("input", run.mean_input_tokens, stated.input_tokens),
        ("output", run.mean_output_tokens, stated.output_tokens),
    ):
        expected = nominal * factor
        if abs(mean - expected) > LENGTH_TOLERANCE * expected:
            raise RowError(
                "lengths differ",
                f"its mean {what} is {mean:.6g} tokens, {mean / nominal:.3g} of the stated "
                f"{nominal}, not {factor:g}",
            )
    return Shape(input_tokens=stated.input_tokens, output_tokens=stated.output_tokens), factor


def _check_little(run: ServingRun, *, concurrency: int) -> None:
    first = run.timings[0]
    derived_ms = first.ttft_ms + (run.mean_output_tokens - 1) * first.tpot_ms
    under_way = run.requests_per_s * (run.request_ms or derived_ms) / 1000
    if not PLAUSIBLE[0] <= concurrency / under_way <= PLAUSIBLE[1]:
        raise RowError(
            "implausible",
            f"by Little's law {under_way:.4g} requests are under way, not {concurrency}",
        )


def _power_w(run: ServingRun, *, accelerators: int) -> float | None:
    """Watts per board, where telemetry saw those accelerators and no others."""
    if run.power is None or run.power.accelerators != accelerators:
        return None
    return run.power.total_w / accelerators


def _flags(run: ServingRun, *, stated: StatedFacts, power_w: float | None) -> Iterator[str]:
    held = {"concurrency": run.concurrency, "measured_date": run.measured_date}
    yield from stated.flags(held)
    if stated.prefill is None and stated.accelerators is None:
        yield TELEMETRY_ACCELERATORS_FLAG
    if run.is_concurrency_measured:
        yield MEASURED_CONCURRENCY_FLAG
    if run.has_cached_input:
        yield CACHED_INPUT_FLAG
    if run.failed_requests:
        yield FAILED_REQUESTS_FLAG
    if run.power is not None and power_w is None:
        yield POWER_REFUSED_FLAG

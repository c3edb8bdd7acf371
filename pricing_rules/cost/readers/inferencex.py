"""Reads benchmark rows of InferenceX: flat ones of its CI and those of its API with ``metrics``.

Times are in seconds whatever their size, and what a figure per GPU is divided by depends on how
the model was served; power means one thing or another by its schema version.

Invariant: every row of the file is in exactly one place: one operating point, or refused with its
place and the reason. Throughput is the published one; Little's law only checks it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pricing_rules.cost.measurement import (
    AnySetup,
    DisaggregatedSetup,
    OperatingPoint,
    Parallelism,
    PowerKind,
    Role,
    Setup,
    Shape,
    Source,
    Statistic,
)
from pricing_rules.cost.readers.inferencex_row import InferencexRow
from pricing_rules.cost.readers.measurements import (
    POWER_REFUSED_FLAG,
    SAMPLED_LENGTH_FACTOR,
    SUSPECT_ACCELERATORS_FLAG,
    Measurements,
    RefusedRow,
    RowError,
    calendar_date,
)
from pricing_rules.document import DocumentError, JsonValue, bytes_digest, read_json

AGREEMENT: Final = 0.01
"""Two figures of one row that must be one may differ by this share."""

PLAUSIBLE: Final = (0.5, 2.0)
"""Throughput by Little's law over the published one, for a row to count."""

_PREFIXES: Final[Mapping[Statistic, str]] = {"mean": "mean", "p50": "median"}
_POWER: Final = ("avg_power_w", "prefill_avg_power_w", "decode_avg_power_w")
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ].*)?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Throughput:
    """Tokens/s per accelerator of the whole set-up."""

    input_tokens_per_s: float
    output_tokens_per_s: float

    @property
    def tokens_per_s(self) -> float:
        return self.input_tokens_per_s + self.output_tokens_per_s


@dataclass(frozen=True, slots=True, kw_only=True)
class _Timing:
    """Of one statistic, in seconds."""

    ttft_s: float
    tpot_s: float
    request_s: float


def read_inferencex(
    data: bytes,
    *,
    name: str,
    statistic: Statistic = "mean",
    models: Mapping[str, str] | None = None,
    hardware: Mapping[str, str] | None = None,
) -> Measurements:
    """Operating points of InferenceX rows: a JSON list, one object, or an object per line.

    A row is named by its place in the list, an object per line by its line, both from 1.
    ``statistic`` chooses TTFT and interactivity: ``mean``, or ``p50`` for the medians. ``models``
    and ``hardware`` give the names that we use for those of the file (``h200`` is ``h200_sxm``
    elsewhere); a model's path is else called by its last part.

    Accelerators are tp x pp where one pool serves both phases: its prefill and decode counts are
    the same ones, and tp x ep, which the API writes there, counts too many. Where Little's law fits
    another written count better than tp, the row is refused; where it does not, the point is
    flagged ``suspect_accelerators``. Disaggregated rows add their two pools, and their input and
    output throughput are per accelerator of their own pool.

    Refused are rows whose total is not input + output, whose watts over throughput are not their
    joules per token, or whose interactivity is not 1/TPOT, beyond 1 %; and rows whose throughput
    is not within half and double of concurrency x (ISL + OSL) x 0.9 / end-to-end seconds. Watts are
    those of the boards. Without a ``power_metric_schema_version``, or where ``power_valid`` is 0,
    they are left out and the point says ``power_refused``.

    Raises DocumentError where the file is not such JSON, and for p95, which the format lacks.
    """
    if statistic not in _PREFIXES:
        raise DocumentError(name, f"InferenceX rows have no {statistic}; ask for mean or p50")
    digest = bytes_digest(data)
    points: list[OperatingPoint] = []
    refused: list[RefusedRow] = []
    for place, value in _rows(data, name=name):
        try:
            if isinstance(value, DocumentError):
                raise RowError("unreadable", value.sentence)
            row = InferencexRow(value)
            setup = _setup(row, models=models or {}, hardware=hardware or {})
            source = _source(row, file=name, sha256=digest, place=place)
            points.append(_point(row, setup=setup, source=source, statistic=statistic))
        except RowError as error:
            refused.append(RefusedRow(row=place, kind=error.kind, reason=str(error)))
    return Measurements(points=tuple(points), refused=tuple(refused))


def _rows(data: bytes, *, name: str) -> Iterator[tuple[int, JsonValue | DocumentError]]:
    """Each row with its place; of several lines, each that is not JSON is an error of its own."""
    lines = [(i, line) for i, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    if len(lines) > 1 and _is_object(lines[0][1]):
        for i, line in lines:
            try:
                yield i, read_json(line, name=name)
            except DocumentError as error:
                yield i, error
        return
    value = read_json(data, name=name)
    if value == []:
        raise DocumentError(name, "the list holds no rows")
    yield from enumerate(value if isinstance(value, list) else [value], start=1)


def _is_object(line: bytes) -> bool:
    """Whether a line is an object by itself: then the file has one per line."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _setup(
    row: InferencexRow, *, models: Mapping[str, str], hardware: Mapping[str, str]
) -> AnySetup:
    model, box = row.text("model"), row.text("hw", "hardware")
    model = models.get(model) or model.rsplit("/", 1)[-1]
    box = hardware.get(box, box)
    framework, precision = row.text("framework"), row.text("precision", kind="precision missing")
    version = (row.text_or_none("image") or "").rpartition(":")[2] or None
    speculative = row.text_or_none("spec_decoding", "spec_method")
    speculative = None if speculative in ("none", "false") else speculative
    if row.truth("disagg"):
        if row.text_or_none("prefill_hw") != row.text_or_none("decode_hw"):
            raise RowError(
                "unreadable", "its pools are of two kinds of hardware, which have no one cost"
            )
        return DisaggregatedSetup(
            model=model,
            hardware=box,
            framework=framework,
            framework_version=version,
            precision=precision,
            prefill=_role(row, role="prefill"),
            decode=_role(row, role="decode"),
            speculative=speculative,
        )
    parallelism = _parallelism(row, prefix="" if row.has("tp") else "decode_")
    return Setup(
        model=model,
        hardware=box,
        framework=framework,
        framework_version=version,
        precision=precision,
        parallelism=parallelism,
        accelerators=parallelism.tp * parallelism.dp * parallelism.pp,
        speculative=speculative,
    )


def _parallelism(row: InferencexRow, *, prefix: str) -> Parallelism:
    """Attention is spread over ``tp`` ranks as data where ``dp_attention``, else as tensors."""
    width, ep = row.count(f"{prefix}tp"), row.count_or_one(f"{prefix}ep")
    if row.count_or_one(f"{prefix}pcp_size", "pcp_size") > 1:
        raise RowError("suspect accelerators", "context parallelism (pcp_size) is not read")
    if ep > width or width % ep:
        raise RowError(
            "suspect accelerators", f"experts over {ep} ranks do not divide {prefix}tp {width}"
        )
    spread_as_data = row.truth(f"{prefix}dp_attention")
    return Parallelism(
        tp=1 if spread_as_data else width,
        pp=row.count_or_one(f"{prefix}pp", "pp"),
        dp=width if spread_as_data else 1,
        moe_tp=width // ep,
        moe_ep=ep,
    )


def _role(row: InferencexRow, *, role: str) -> Role:
    accelerators = row.count(f"num_{role}_gpu", kind="accelerator count unknown")
    worker = Role(workers=1, parallelism=_parallelism(row, prefix=f"{role}_"))
    workers = row.count_or_none(f"{role}_num_workers") or accelerators // worker.accelerators
    if workers * worker.accelerators != accelerators:
        raise RowError(
            "suspect accelerators",
            f"num_{role}_gpu is {accelerators}, but {workers} workers of {worker.accelerators} "
            f"are {workers * worker.accelerators}",
        )
    return Role(workers=workers, parallelism=worker.parallelism)


def _source(row: InferencexRow, *, file: str, sha256: str, place: int) -> Source:
    date = row.text_or_none("date")
    found = _DATE.match(date) if date else None
    if date and not found:
        raise RowError("unreadable", f'date "{date:.30}" is not an ISO date')
    stated = (row.text_or_none("run_url"), row.text_or_none("image"))
    return Source(
        file=file,
        sha256=sha256,
        rows=(place,),
        measured_date=calendar_date(found[1]) if found else None,
        note="; ".join(part for part in ("InferenceX", *stated) if part),
    )


def _point(
    row: InferencexRow, *, setup: AnySetup, source: Source, statistic: Statistic
) -> OperatingPoint:
    shape = Shape(input_tokens=row.count("isl"), output_tokens=row.count("osl"))
    concurrency = row.count("conc", kind="concurrency missing")
    timing = _timing(row, shape=shape, statistic=statistic)
    throughput = _throughput(row, setup=setup)
    tokens = (shape.input_tokens + shape.output_tokens) * SAMPLED_LENGTH_FACTOR
    ratio = concurrency * tokens / timing.request_s / setup.accelerators / throughput.tokens_per_s
    flags = _count_flags(row, setup=setup, ratio=ratio)
    if not PLAUSIBLE[0] <= ratio <= PLAUSIBLE[1]:
        raise RowError(
            "implausible",
            f"by Little's law its throughput is {ratio:.3g} times the published "
            f"{throughput.tokens_per_s:.6g} tokens/s per accelerator",
        )
    power_w = _power_w(row, setup=setup, throughput=throughput)
    unused = power_w is None and any(row.has(key) for key in _POWER)
    kind: PowerKind | None = None if power_w is None else "board"
    return OperatingPoint(
        setup=setup,
        shape=shape,
        length_factor=SAMPLED_LENGTH_FACTOR,
        concurrency=concurrency,
        input_tokens_per_s_per_accelerator=throughput.input_tokens_per_s,
        output_tokens_per_s_per_accelerator=throughput.output_tokens_per_s,
        interactivity_tokens_per_s=1 / timing.tpot_s,
        ttft_ms=timing.ttft_s * 1000,
        statistic=statistic,
        power_w_per_accelerator=power_w,
        power_kind=kind,
        source=source,
        flags=(*flags, POWER_REFUSED_FLAG) if unused else flags,
    )


def _timing(row: InferencexRow, *, shape: Shape, statistic: Statistic) -> _Timing:
    prefix = _PREFIXES[statistic]
    if not (row.has(f"{prefix}_ttft") and row.has(f"{prefix}_tpot")):
        raise RowError(
            "statistic missing", f"the row has no {prefix}_ttft and {prefix}_tpot; ask for another"
        )
    ttft_s, tpot_s = row.positive(f"{prefix}_ttft"), row.positive(f"{prefix}_tpot")
    interactivity = row.positive_or_none(f"{prefix}_intvty")
    if interactivity is not None:
        _agree("interactivity", interactivity, other="1/TPOT", is_=1 / tpot_s)
    # Of the mean and the median, the mean is the one that Little's law is about.
    whole_s = row.positive_or_none("mean_e2el", f"{prefix}_e2el")
    output_tokens = shape.output_tokens * SAMPLED_LENGTH_FACTOR
    return _Timing(
        ttft_s=ttft_s,
        tpot_s=tpot_s,
        request_s=whole_s or ttft_s + max(0.0, output_tokens - 1) * tpot_s,
    )


def _throughput(row: InferencexRow, *, setup: AnySetup) -> _Throughput:
    total = row.positive("tput_per_gpu")
    shares = _pool_shares(setup)
    output = row.positive("output_tput_per_gpu") * shares[1]
    published = row.positive_or_none("input_tput_per_gpu")
    # Older rows hold the total and the output only.
    inputs = total - output if published is None else published * shares[0]
    if inputs <= 0:
        raise RowError("implausible", "the total throughput leaves none for the input")
    _agree("total throughput", total, other="input + output", is_=inputs + output)
    return _Throughput(input_tokens_per_s=inputs, output_tokens_per_s=output)


def _pool_shares(setup: AnySetup) -> tuple[float, float]:
    """What input and output throughput are per: shares of all accelerators."""
    if isinstance(setup, Setup):
        return 1.0, 1.0
    return (
        setup.prefill.accelerators / setup.accelerators,
        setup.decode.accelerators / setup.accelerators,
    )


def _count_flags(row: InferencexRow, *, setup: AnySetup, ratio: float) -> tuple[str, ...]:
    """Little's law decides between tp and the other counts that an aggregated row holds."""
    if not isinstance(setup, Setup):
        return ()
    counts = {setup.accelerators * setup.parallelism.moe_ep}
    counts |= {row.count_or_none(f"num_{role}_gpu") or 0 for role in ("prefill", "decode")}
    others = sorted(counts - {setup.accelerators, 0})
    for other in others:
        if _distance(ratio * setup.accelerators / other) < _distance(ratio):
            raise RowError(
                "suspect accelerators",
                f"tp makes {setup.accelerators} accelerators, but Little's law fits {other} better",
            )
    return (SUSPECT_ACCELERATORS_FLAG,) if others else ()


def _distance(ratio: float) -> float:
    """How far a ratio is from 1, by factors."""
    return max(ratio, 1 / ratio)


def _power_w(row: InferencexRow, *, setup: AnySetup, throughput: _Throughput) -> float | None:
    """Mean watts of a board over the whole set-up, checked against joules per token."""
    version = row.count_or_none("power_metric_schema_version", "power_schema_version")
    if version not in (1, 2) or (row.has("power_valid") and row.count_or_none("power_valid") != 1):
        return None
    whole_w = row.positive_or_none("avg_power_w")
    per_input, per_output = throughput.input_tokens_per_s, throughput.output_tokens_per_s
    joules = {"joules_per_input_token": per_input, "joules_per_output_token": per_output}
    if version == 1 and isinstance(setup, DisaggregatedSetup):
        # Figures of a role are of its own accelerators; of the whole there is no mean but ours.
        prefill_w, decode_w = (row.positive_or_none(key) for key in _POWER[1:])
        if prefill_w is None or decode_w is None:
            return None
        shares = _pool_shares(setup)
        watts = (prefill_w * shares[0], decode_w * shares[1])
        for (key, tokens_per_s), role_w in zip(joules.items(), watts, strict=True):
            _agree_joules(row, key=key, watts=role_w, tokens_per_s=tokens_per_s)
        return sum(watts)
    if whole_w is not None:
        joules["joules_per_total_token"] = throughput.tokens_per_s
        for key, tokens_per_s in joules.items():
            _agree_joules(row, key=key, watts=whole_w, tokens_per_s=tokens_per_s)
    return whole_w


def _agree_joules(row: InferencexRow, *, key: str, watts: float, tokens_per_s: float) -> None:
    joules = row.positive_or_none(key)
    if joules is not None:
        _agree("watts over throughput", watts / tokens_per_s, other=key, is_=joules)


def _agree(what: str, value: float, *, other: str, is_: float) -> None:
    if abs(value - is_) > AGREEMENT * max(value, is_):
        raise RowError("implausible", f"{what} is {value:.6g}, but {other} is {is_:.6g}")

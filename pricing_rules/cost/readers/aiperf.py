"""Reads what AIPerf exports: ``profile_export_aiperf.json``, one run with a unit on each metric.

Invariant: a metric is read by its unit, and one in a unit that is not known here refuses the run.
Boards are counted by their id, because AIPerf counts one twice that it reaches by two names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pricing_rules.cost.measurement import Statistic
from pricing_rules.cost.readers.measurements import RefusedRow, RowError
from pricing_rules.cost.readers.run_fields import RunFields
from pricing_rules.cost.readers.serving_run import (
    BoardPower,
    ServingRun,
    ServingRuns,
    Timing,
    agree,
)
from pricing_rules.cost.readers.stated_facts import iso_date
from pricing_rules.document import read_json

_MS: Final = {"ms": 1.0, "sec": 1000.0, "s": 1000.0, "us": 1e-3, "ns": 1e-6}
_TOKENS: Final = {"tokens": 1.0}
_TOKENS_PER_S: Final = {"tokens/sec": 1.0, "tokens/s": 1.0}
_TOKENS_PER_S_PER_USER: Final = {"tokens/sec/user": 1.0, "tokens/s/user": 1.0}
_REQUESTS_PER_S: Final = {"requests/sec": 1.0, "requests/s": 1.0}
_W: Final = {"W": 1.0, "mW": 1e-3, "kW": 1e3}
_J: Final = {"J": 1.0, "mJ": 1e-3, "kJ": 1e3, "MJ": 1e6}
_J_PER_TOKEN: Final = {"mJ/token": 1e-3, "J/token": 1.0}
_STATISTICS: Final[tuple[tuple[Statistic, str], ...]] = (
    ("mean", "avg"),
    ("p50", "p50"),
    ("p95", "p95"),
)


def read_aiperf(data: bytes, *, name: str) -> ServingRuns:
    """The run of an AIPerf export.

    It names the model, the date and the concurrency (the measured mean, where the load was a
    rate). With telemetry it holds watts per board, and so counts the accelerators that it saw.
    Joules per token are checked against watts over throughput, and interactivity against 1000/ITL
    at the median: the mean of rates is not the rate of the mean.

    Raises DocumentError where the file is not strict JSON.
    """
    value = read_json(data, name=name)
    try:
        return ServingRuns(runs=(_run(RunFields(value)),), refused=())
    except RowError as error:
        refused = RefusedRow(row=1, kind=error.kind, reason=str(error))
        return ServingRuns(runs=(), refused=(refused,))


def _run(run: RunFields) -> ServingRun:
    if run.truth("was_cancelled"):
        raise RowError("run incomplete", "the run was cancelled")
    outputs = _positive(run, metric="output_token_throughput", units=_TOKENS_PER_S)
    requests = _positive(run, metric="request_throughput", units=_REQUESTS_PER_S)
    mean_input = _positive(run, metric="input_sequence_length", units=_TOKENS)
    mean_output = _positive(run, metric="output_sequence_length", units=_TOKENS)
    inputs = _metric(run, metric="input_token_throughput", units=_TOKENS_PER_S)
    inputs = requests * mean_input if inputs is None else inputs
    agree("input throughput", value=inputs, other="requests x length", is_=requests * mean_input)
    agree("output throughput", value=outputs, other="requests x length", is_=requests * mean_output)
    total = _metric(run, metric="total_token_throughput", units=_TOKENS_PER_S)
    if total is not None:
        agree("total throughput", value=total, other="input + output", is_=inputs + outputs)
    _check_interactivity(run)
    _check_energy(run, output_tokens_per_s=outputs)
    concurrency, measured = _concurrency(run)
    cached = _metric(run, metric="usage_prompt_cache_read_tokens", units=_TOKENS)
    version = run.text_or_none("aiperf_version")
    share = f"; cached input {cached / mean_input:.1%}" if cached else ""
    return ServingRun(
        row=1,
        model=_model(run.inside("input_config")),
        concurrency=concurrency,
        is_concurrency_measured=measured,
        measured_date=_date(run.text_or_none("start_time")),
        requests_per_s=requests,
        input_tokens_per_s=inputs,
        output_tokens_per_s=outputs,
        mean_input_tokens=mean_input,
        mean_output_tokens=mean_output,
        timings=_timings(run),
        request_ms=_metric(run, metric="request_latency", units=_MS),
        power=_power(run),
        has_cached_input=cached is not None,
        failed_requests=int(run.inside("error_request_count").positive_or_none("avg") or 0),
        note=f"AIPerf {version or '(no version)'}{share}",
    )


def _timings(run: RunFields) -> tuple[Timing, ...]:
    found = []
    for statistic, key in _STATISTICS:
        ttft_ms = _metric(run, metric="time_to_first_token", units=_MS, key=key)
        tpot_ms = _metric(run, metric="inter_token_latency", units=_MS, key=key)
        if ttft_ms is not None and tpot_ms is not None:
            found.append(Timing(statistic=statistic, ttft_ms=ttft_ms, tpot_ms=tpot_ms))
    return tuple(found)


def _concurrency(run: RunFields) -> tuple[int | None, bool]:
    """The bound that was set, else the measured mean; and whether it is the latter."""
    settings = run.inside("input_config")
    # Older exports have one block of load settings, newer ones a list of phases.
    bound = settings.inside("loadgen").count_or_none("concurrency")
    for phase in settings.objects("phases"):
        if phase.text_or_none("kind") == "profiling":
            bound = phase.count_or_none("concurrency") or bound
    if bound:
        return bound, False
    measured = _metric(run, metric="effective_concurrency", units={"requests": 1.0})
    return (None, False) if measured is None else (max(1, round(measured)), True)


def _model(settings: RunFields) -> str | None:
    names = [one.text_or_none("name") for one in settings.inside("models").objects("items")]
    names = names or list(settings.inside("endpoint").texts("model_names"))
    if len(names) > 1:
        raise RowError("unreadable", f"it mixes {len(names)} models, whose cost is not one")
    return names[0] if names else None


def _date(text: str | None) -> str | None:
    try:
        return iso_date(text[:10]) if text else None
    except ValueError as error:
        raise RowError("unreadable", f"start_time {error}") from None


def _power(run: RunFields) -> BoardPower | None:
    """Watts of each board once, by its id."""
    watts: dict[str, float] = {}
    for endpoint in run.inside("telemetry_data").objects("endpoints"):
        for board in endpoint.objects("gpus"):
            mean_w = _metric(board.inside("metrics"), metric="nvidia_power_usage", units=_W)
            board_id = board.text_or_none("gpu_uuid")
            if board_id is None:
                raise RowError("unreadable", "telemetry holds a board without its gpu_uuid")
            if mean_w is not None:
                watts.setdefault(board_id, mean_w)
    return BoardPower(accelerators=len(watts), total_w=sum(watts.values())) if watts else None


def _check_interactivity(run: RunFields) -> None:
    rate = _metric(
        run, metric="output_token_throughput_per_user", units=_TOKENS_PER_S_PER_USER, key="p50"
    )
    tpot_ms = _metric(run, metric="inter_token_latency", units=_MS, key="p50")
    if rate is not None and tpot_ms is not None:
        agree("median interactivity", value=rate, other="1000/ITL", is_=1000 / tpot_ms)


def _check_energy(run: RunFields, *, output_tokens_per_s: float) -> None:
    power_w = _metric(run, metric="nvidia_total_gpu_power", units=_W)
    joules = _metric(run, metric="nvidia_energy_per_output_token", units=_J_PER_TOKEN)
    if power_w is not None and joules is not None:
        is_ = power_w / output_tokens_per_s
        agree("joules per output token", value=joules, other="watts over throughput", is_=is_)
    energy_j = _metric(run, metric="nvidia_total_gpu_energy", units=_J)
    total = _metric(run, metric="total_osl", units=_TOKENS)
    if joules is not None and energy_j is not None and total is not None:
        is_ = energy_j / total
        agree("joules per output token", value=joules, other="joules over tokens", is_=is_)


def _positive(run: RunFields, *, metric: str, units: Mapping[str, float]) -> float:
    found = _metric(run, metric=metric, units=units)
    if found is None:
        raise RowError("unreadable", f"{metric}.avg is missing")
    return found


def _metric(
    run: RunFields, *, metric: str, units: Mapping[str, float], key: str = "avg"
) -> float | None:
    """A statistic of a metric in the unit that has the factor 1; None where it is missing or 0."""
    fields = run.inside(metric)
    if not fields.has(key) or fields.is_zero(key):
        return None
    unit = fields.text_or_none("unit") or ""
    if unit not in units:
        raise RowError("unreadable", f'{metric} is in "{unit}", not in {" or ".join(units)}')
    return fields.positive(key) * units[unit]

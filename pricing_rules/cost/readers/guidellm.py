"""Reads what GuideLLM writes: ``benchmarks.json``, a benchmark per load.

Invariant: only requests that succeeded count. A whole request is in seconds while its neighbours
are in milliseconds, and the time per output token is ``inter_token_latency_ms``: what GuideLLM
calls ``time_per_output_token_ms`` holds the time to the first token too.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from pricing_rules.cost.measurement import Statistic
from pricing_rules.cost.readers.measurements import RefusedRow, RowError
from pricing_rules.cost.readers.run_fields import RunFields
from pricing_rules.cost.readers.serving_run import ServingRun, ServingRuns, Timing, agree
from pricing_rules.document import DocumentError, read_json

VERSION: Final = 2
"""The ``metadata.version`` that is read."""


def read_guidellm(data: bytes, *, name: str) -> ServingRuns:
    """The benchmarks of a GuideLLM report, each by its place in the list, from 1.

    The concurrency is the number of streams; where the load was set as a rate, the measured mean.
    Raises DocumentError where the file is not strict JSON, or of another version than ``VERSION``.
    """
    value = read_json(data, name=name)
    try:
        report = RunFields(value)
        metadata = report.inside("metadata")
        version, tool = metadata.count_or_none("version"), metadata.text_or_none("guidellm_version")
        benchmarks = report.objects("benchmarks")
    except RowError as error:
        raise DocumentError(name, str(error)) from None
    if version != VERSION:
        raise DocumentError(
            name, f"its metadata.version is {version}; only version {VERSION} of GuideLLM is read"
        )
    if not benchmarks:
        raise DocumentError(name, "the report holds no benchmarks")
    runs, refused = [], []
    for row, benchmark in enumerate(benchmarks, start=1):
        try:
            runs.append(_run(benchmark, row=row, tool=f"GuideLLM {tool or '(no version)'}"))
        except RowError as error:
            refused.append(RefusedRow(row=row, kind=error.kind, reason=str(error)))
    return ServingRuns(runs=tuple(runs), refused=tuple(refused))


def _run(benchmark: RunFields, *, row: int, tool: str) -> ServingRun:
    metrics = benchmark.inside("metrics")
    counts = metrics.inside("request_totals")
    if not counts.count_or_none("successful"):
        raise RowError("run incomplete", "no request succeeded")
    inputs = _mean(metrics, metric="prompt_tokens_per_second")
    outputs = _mean(metrics, metric="output_tokens_per_second")
    total = _mean(metrics, metric="tokens_per_second")
    agree("tokens_per_second", value=total, other="input + output", is_=inputs + outputs)
    requests = _mean(metrics, metric="requests_per_second")
    mean_output = _mean(metrics, metric="output_token_count")
    agree("output throughput", value=outputs, other="requests x length", is_=requests * mean_output)
    settings = benchmark.inside("config")
    strategy = settings.inside("strategy")
    kind = strategy.text_or_none("type_") or ""
    bound = strategy.count_or_none("streams") or (1 if kind == "synchronous" else None)
    measured = None if bound else _mean(metrics, metric="request_concurrency")
    finished = benchmark.inside("requests").objects("successful")
    cached = sum(
        one.inside("input_metrics").count_or_none("cached_tokens") or 0 for one in finished
    )
    return ServingRun(
        row=row,
        model=settings.inside("backend").text_or_none("model"),
        concurrency=max(1, round(measured)) if measured else bound,
        is_concurrency_measured=measured is not None,
        measured_date=_date(benchmark.positive_or_none("start_time")),
        requests_per_s=requests,
        input_tokens_per_s=inputs,
        output_tokens_per_s=outputs,
        mean_input_tokens=_mean(metrics, metric="prompt_token_count"),
        mean_output_tokens=mean_output,
        timings=_timings(metrics),
        request_ms=_mean(metrics, metric="request_latency") * 1000,
        has_cached_input=cached > 0,
        failed_requests=counts.count_or_none("errored") or 0,
        note=f"{tool}; {kind} load" if kind else tool,
    )


def _timings(metrics: RunFields) -> tuple[Timing, ...]:
    ttft = metrics.inside("time_to_first_token_ms", "successful")
    tpot = metrics.inside("inter_token_latency_ms", "successful")
    places: tuple[tuple[Statistic, tuple[str, ...], str], ...] = (
        ("mean", (), "mean"),
        ("p50", (), "median"),
        ("p95", ("percentiles",), "p95"),
    )
    found = []
    for statistic, inside, key in places:
        ttft_ms = _figure(ttft.inside(*inside), key=key)
        tpot_ms = _figure(tpot.inside(*inside), key=key)
        if ttft_ms is not None and tpot_ms is not None:
            found.append(Timing(statistic=statistic, ttft_ms=ttft_ms, tpot_ms=tpot_ms))
    return tuple(found)


def _mean(metrics: RunFields, *, metric: str) -> float:
    return metrics.inside(metric, "successful").positive("mean")


def _figure(figures: RunFields, *, key: str) -> float | None:
    """A figure above 0; GuideLLM writes 0 for what it did not see."""
    return None if figures.is_zero(key) else figures.positive_or_none(key)


def _date(start_s: float | None) -> str | None:
    if start_s is None:
        return None
    try:
        return datetime.fromtimestamp(start_s, tz=UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        raise RowError("unreadable", f"start_time {start_s:g} is no time in seconds") from None

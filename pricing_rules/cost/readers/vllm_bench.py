"""Reads what ``vllm bench serve`` writes: a run as one JSON object, or one appended per line.

Invariant: whether a time is in seconds or milliseconds is decided by the suffix of its key, never
by its size: older files hold ``median_ttft`` in seconds, newer ones ``median_ttft_ms``.
"""

from __future__ import annotations

import json
import re
from typing import Final

from pricing_rules.cost.measurement import Statistic
from pricing_rules.cost.readers.measurements import RefusedRow, RowError
from pricing_rules.cost.readers.run_fields import RunFields
from pricing_rules.cost.readers.serving_run import ServingRun, ServingRuns, Timing, agree
from pricing_rules.cost.readers.stated_facts import iso_date
from pricing_rules.document import DocumentError, read_json

_PREFIXES: Final[tuple[tuple[Statistic, tuple[str, ...]], ...]] = (
    ("mean", ("mean",)),
    ("p50", ("median", "p50")),
    ("p95", ("p95",)),
)
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})-\d{6}\Z")
_NOTED: Final = (
    "num_prompts",
    "request_rate",
    "burstiness",
    "request_goodput",
    "spec_decode_acceptance_length",
)


def read_vllm_bench(data: bytes, *, name: str) -> ServingRuns:
    """The runs of a result file of ``vllm bench serve``, of its older spelling too.

    Tokens/s are those of the completed requests. The file names the model and the date, and holds
    the concurrency where the run had a bound on it; percentiles are those that the run asked for.
    Its backend is the protocol of the client, not what served the model; that it decoded
    speculatively the run says, but not by which method.

    Raises DocumentError where a file of one run is not strict JSON.
    """
    lines = [(row, line) for row, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    appended = len(lines) > 1 and _is_object(lines[0][1])
    runs, refused = [], []
    for row, text in lines if appended else [(1, data)]:
        try:
            runs.append(_run(RunFields(read_json(text, name=name)), row=row))
        except RowError as error:
            refused.append(RefusedRow(row=row, kind=error.kind, reason=str(error)))
        except DocumentError as error:
            if not appended:
                raise
            refused.append(RefusedRow(row=row, kind="unreadable", reason=error.sentence))
    return ServingRuns(runs=tuple(runs), refused=tuple(refused))


def timings_of(run: RunFields) -> tuple[Timing, ...]:
    """TTFT and TPOT of each statistic that a flat run holds both of."""
    found = []
    for statistic, prefixes in _PREFIXES:
        ttft_ms = run.milliseconds_or_none(*(f"{prefix}_ttft" for prefix in prefixes))
        tpot_ms = run.milliseconds_or_none(*(f"{prefix}_tpot" for prefix in prefixes))
        if ttft_ms is not None and tpot_ms is not None:
            found.append(Timing(statistic=statistic, ttft_ms=ttft_ms, tpot_ms=tpot_ms))
    return tuple(found)


def note_of(run: RunFields, *, tool: str, keys: tuple[str, ...]) -> str:
    """The tool, and what a flat run says in these fields; ``"inf"`` and numbers alike."""
    return "; ".join([tool, *(f"{key}={run.shown(key)}" for key in keys if run.has(key))])


def _is_object(line: bytes) -> bool:
    """Whether a line is an object by itself: then the file has one per line."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _run(run: RunFields, *, row: int) -> ServingRun:
    completed, duration_s = run.count("completed"), run.positive("duration")
    inputs, outputs = run.count("total_input_tokens"), run.count("total_output_tokens")
    input_per_s, output_per_s = inputs / duration_s, run.positive("output_throughput")
    requests_per_s = run.positive("request_throughput")
    for what, value, other, is_ in (
        ("output_throughput", output_per_s, "output tokens / duration", outputs / duration_s),
        ("request_throughput", requests_per_s, "completed / duration", completed / duration_s),
        (
            "total_token_throughput",
            run.positive_or_none("total_token_throughput"),
            "input + output",
            input_per_s + output_per_s,
        ),
        (
            "input_throughput",
            run.positive_or_none("input_throughput"),
            "input tokens / duration",
            input_per_s,
        ),
    ):
        if value is not None:
            agree(what, value=value, other=other, is_=is_)
    # One old release wrote the key with the colon in it.
    goodput = ("request_goodput:",) if run.has("request_goodput:") else ()
    return ServingRun(
        row=row,
        model=run.text_or_none("model_id"),
        concurrency=run.count_or_none("max_concurrency") or None,
        measured_date=_date(run.text_or_none("date")),
        requests_per_s=requests_per_s,
        input_tokens_per_s=input_per_s,
        output_tokens_per_s=output_per_s,
        mean_input_tokens=inputs / completed,
        mean_output_tokens=outputs / completed,
        timings=timings_of(run),
        request_ms=run.milliseconds_or_none("mean_e2el", "median_e2el", "p50_e2el"),
        is_speculative=run.has("spec_decode_acceptance_length"),
        failed_requests=run.count_or_none("failed") or 0,
        note=note_of(run, tool="vllm bench serve", keys=(*_NOTED, *goodput)),
    )


def _date(text: str | None) -> str | None:
    if text is None:
        return None
    found = _DATE.match(text)
    if found:
        try:
            return iso_date("-".join(found.groups()))
        except ValueError:
            pass
    raise RowError("unreadable", f'date "{text:.30}" is not written as 20260213-120009')

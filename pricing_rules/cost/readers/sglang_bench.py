"""Reads what SGLang's serving benchmark writes: a run per line, appended to one file.

Invariant: every line is a run or refused with its number. Tokens are those that the server counted,
not those of ``total_output_tokens_retokenized``.
"""

from __future__ import annotations

import re
from typing import Final

from pricing_rules.cost.readers.measurements import RefusedRow, RowError
from pricing_rules.cost.readers.run_fields import RunFields
from pricing_rules.cost.readers.serving_run import ServingRun, ServingRuns, agree
from pricing_rules.cost.readers.vllm_bench import note_of, timings_of
from pricing_rules.document import DocumentError, read_json

_NOTED: Final = (
    "tag",
    "backend",
    "dataset_name",
    "request_rate",
    "random_range_ratio",
    "accept_length",
    "total_output_tokens_retokenized",
)
# Its writer is not strict: an unbounded rate stands in the file as a bare Infinity.
_UNBOUNDED = re.compile(rb'("request_rate"\s*:\s*)Infinity\b')


def read_sglang_bench(data: bytes, *, name: str) -> ServingRuns:
    """The runs of a file of SGLang's ``bench_serving``, one per line.

    Its total throughput is input + output; older files leave it out. Without a bound on the
    concurrency it is the measured mean. An ``accept_length`` says that the server decoded
    speculatively; by which method, a person must state. Neither the model (but for a
    ``server_info``) nor the date is in the file.

    Raises DocumentError where the file has no line.
    """
    runs, refused = [], []
    for row, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            strict = _UNBOUNDED.sub(rb'\1"inf"', line)
            runs.append(_run(RunFields(read_json(strict, name=name)), row=row))
        except RowError as error:
            refused.append(RefusedRow(row=row, kind=error.kind, reason=str(error)))
        except DocumentError as error:
            refused.append(RefusedRow(row=row, kind="unreadable", reason=error.sentence))
    if not runs and not refused:
        raise DocumentError(name, "the file is empty")
    return ServingRuns(runs=tuple(runs), refused=tuple(refused))


def _run(run: RunFields, *, row: int) -> ServingRun:
    completed = run.count("completed")
    inputs, outputs = run.count("total_input_tokens"), run.count("total_output_tokens")
    duration_s = run.positive("duration")
    input_per_s, output_per_s = run.positive("input_throughput"), run.positive("output_throughput")
    agree(
        "input_throughput",
        value=input_per_s,
        other="input tokens / duration",
        is_=inputs / duration_s,
    )
    agree(
        "output_throughput",
        value=output_per_s,
        other="output tokens / duration",
        is_=outputs / duration_s,
    )
    total_per_s = run.positive_or_none("total_throughput")
    if total_per_s is not None:
        is_ = input_per_s + output_per_s
        agree("total_throughput", value=total_per_s, other="input + output", is_=is_)
    bound = run.count_or_none("max_concurrency") or None
    measured = None if bound else run.positive_or_none("concurrency")
    return ServingRun(
        row=row,
        model=run.inside("server_info").text_or_none("model_path"),
        concurrency=max(1, round(measured)) if measured else bound,
        is_concurrency_measured=measured is not None,
        measured_date=None,
        requests_per_s=run.positive("request_throughput"),
        input_tokens_per_s=input_per_s,
        output_tokens_per_s=output_per_s,
        mean_input_tokens=inputs / completed,
        mean_output_tokens=outputs / completed,
        timings=timings_of(run),
        request_ms=run.milliseconds_or_none("mean_e2e_latency", "median_e2e_latency"),
        is_speculative=(run.positive_or_none("accept_length") or 1.0) > 1,
        note=note_of(run, tool="sglang bench_serving", keys=_NOTED),
    )

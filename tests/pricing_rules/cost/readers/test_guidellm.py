"""The reader of GuideLLM: successful requests only, and its two times per output token."""

from __future__ import annotations

import json

import pytest

from pricing_rules.cost.readers.guidellm import read_guidellm
from pricing_rules.cost.readers.measurements import RefusedRow
from pricing_rules.cost.readers.serving_run import ServingRun
from pricing_rules.document import DocumentError
from tests.pricing_rules.cost.readers.made_runs import Json, recorded, recorded_json


def report() -> tuple[Json, Json]:
    """The recorded report of two loads, and its first benchmark, to change."""
    value = recorded_json("guidellm_concurrent.json")
    return value, value["benchmarks"][0]


def first_of(value: Json) -> ServingRun:
    return read_guidellm(json.dumps(value).encode(), name="g.json").runs[0]


def refusal_of(value: Json) -> RefusedRow:
    (row,) = read_guidellm(json.dumps(value).encode(), name="g.json").refused
    return row


def test_the_benchmarks_of_a_true_report_are_read_each_by_its_place() -> None:
    found = read_guidellm(recorded("guidellm_concurrent.json"), name="g.json")
    assert found.refused == ()
    assert [(run.row, run.concurrency) for run in found.runs] == [(1, 2), (2, 4)]
    run = found.runs[1]
    # 20 requests of 256 in and 64 out in 3.0332 s
    assert run.requests_per_s == pytest.approx(20 / 3.0332, rel=1e-3)
    assert run.output_tokens_per_s == pytest.approx(1280 / 3.0332, rel=1e-3)
    assert run.input_tokens_per_s == pytest.approx(5120 / 3.0332, rel=1e-3)
    assert (run.mean_input_tokens, run.mean_output_tokens) == (256.0, 64.0)
    assert (run.model, run.measured_date) == ("tiny-model", "2026-11-26")
    assert [timing.statistic for timing in run.timings] == ["mean", "p50", "p95"]
    assert run.note == "GuideLLM 0.8.1; concurrent load"
    assert run.has_cached_input  # 64 of 256 tokens, as each request says


def test_a_whole_request_is_in_seconds_while_its_neighbours_are_in_milliseconds() -> None:
    run = read_guidellm(recorded("guidellm_concurrent.json"), name="g.json").runs[1]
    assert run.request_ms == pytest.approx(596.108)  # the file says 0.596108


def test_the_time_per_output_token_leaves_the_first_token_out() -> None:
    _, benchmark = report()
    (run, _) = read_guidellm(recorded("guidellm_concurrent.json"), name="g.json").runs
    mean = run.timings[0]
    metrics = benchmark["metrics"]
    theirs = metrics["time_per_output_token_ms"]["successful"]["mean"]
    # theirs is the whole request over its tokens: (TTFT + 63 x ITL) / 64
    assert theirs == pytest.approx((mean.ttft_ms + 63 * mean.tpot_ms) / 64, rel=1e-3)
    assert mean.tpot_ms == metrics["inter_token_latency_ms"]["successful"]["mean"]
    assert mean.tpot_ms < theirs


def test_only_what_succeeded_counts_never_the_total() -> None:
    value, benchmark = report()
    before = first_of(value)
    for metric in benchmark["metrics"].values():
        metric["total"] = {"mean": 1e6, "median": 1e6}
        metric["errored"] = {"mean": 1e6}
    benchmark["metrics"]["request_totals"]["errored"] = 5
    after = first_of(value)
    assert after.timings == before.timings
    assert after.output_tokens_per_s == before.output_tokens_per_s
    assert (before.failed_requests, after.failed_requests) == (0, 5)


def test_a_load_by_rate_has_the_measured_concurrency() -> None:
    (run,) = read_guidellm(recorded("guidellm_rate5.json"), name="g.json").runs
    # 4.46 requests/s of .576 s each: 2.57 under way
    assert (run.concurrency, run.is_concurrency_measured) == (3, True)
    assert run.note == "GuideLLM 0.8.1; constant load"


def test_a_synchronous_load_is_one_at_a_time() -> None:
    value, benchmark = report()
    benchmark["config"]["strategy"] = {"type_": "synchronous"}
    assert first_of(value).concurrency == 1
    assert not first_of(value).is_concurrency_measured


def test_what_the_file_leaves_out_is_not_made_up() -> None:
    value, benchmark = report()
    del value["metadata"]["guidellm_version"], benchmark["start_time"], benchmark["requests"]
    benchmark["config"] = {}
    benchmark["metrics"]["inter_token_latency_ms"]["successful"]["percentiles"]["p95"] = 0.0
    run = first_of(value)
    assert (run.model, run.measured_date, run.note) == (None, None, "GuideLLM (no version)")
    assert not run.has_cached_input
    assert [timing.statistic for timing in run.timings] == ["mean", "p50"]


def test_a_benchmark_in_which_nothing_succeeded_is_refused_and_the_other_is_read() -> None:
    value, benchmark = report()
    benchmark["metrics"]["request_totals"]["successful"] = 0
    found = read_guidellm(json.dumps(value).encode(), name="g.json")
    assert [run.row for run in found.runs] == [2]
    assert (found.refused[0].row, found.refused[0].reason) == (1, "no request succeeded")


@pytest.mark.parametrize(
    "metric, mean, said",
    [
        ("tokens_per_second", 1000.0, "tokens_per_second is 1000, but input + output is 1119"),
        ("requests_per_second", 7.0, "output throughput is 223.892, but requests x length is 448"),
        ("request_latency", 0.0, "metrics.request_latency.successful.mean is not a number from"),
    ],
)
def test_what_is_wrong_in_a_benchmark_is_named(metric: str, mean: float, said: str) -> None:
    value, benchmark = report()
    benchmark["metrics"][metric]["successful"]["mean"] = mean
    assert said in refusal_of(value).reason


def test_a_start_that_is_no_time_is_refused() -> None:
    value, benchmark = report()
    benchmark["start_time"] = 1e12
    assert refusal_of(value).reason == "start_time 1e+12 is no time in seconds"


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"metadata": {"version": 3}}, "metadata.version is 3; only version 2"),
        ({"metadata": {}}, "metadata.version is None; only version 2"),
        ({"metadata": 7}, "metadata is not an object"),
        ({"benchmarks": []}, "holds no benchmarks"),
        ({"benchmarks": [1]}, "is not an object of fields"),
    ],
)
def test_another_report_is_refused_whole(fields: dict[str, Json], said: str) -> None:
    value, _ = report()
    with pytest.raises(DocumentError, match=said):
        read_guidellm(json.dumps(value | fields).encode(), name="g.json")

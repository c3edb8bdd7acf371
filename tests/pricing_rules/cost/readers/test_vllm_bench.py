"""The reader of ``vllm bench serve``, in the spelling of today and in the older one."""

from __future__ import annotations

import json

import pytest

from pricing_rules.cost.readers.measurements import RefusedRow
from pricing_rules.cost.readers.serving_run import ServingRun, points_of
from pricing_rules.cost.readers.vllm_bench import read_vllm_bench
from pricing_rules.document import DocumentError
from tests.pricing_rules.cost.readers.made_runs import (
    SHARED,
    Json,
    made_facts,
    recorded,
    recorded_json,
)


def run_of(data: bytes) -> ServingRun:
    found = read_vllm_bench(data, name="run.json")
    assert found.refused == ()
    (run,) = found.runs
    return run


def changed(**fields: Json) -> bytes:
    """The recorded run at 2 at once with other fields; None takes one out."""
    return json.dumps(recorded_json("vllm_concurrency2.json") | fields).encode()


def refused(**fields: Json) -> RefusedRow:
    found = read_vllm_bench(changed(**fields), name="run.json")
    assert found.runs == ()
    (row,) = found.refused
    return row


def test_a_true_run_of_today_is_read() -> None:
    # 20 requests of 5,136 tokens in and 1,280 out, in 5.5548 s
    run = run_of(recorded("vllm_concurrency2.json"))
    assert (run.model, run.concurrency, run.measured_date) == ("tiny-model", 2, "2026-11-26")
    assert run.requests_per_s == pytest.approx(20 / 5.554843)
    assert run.input_tokens_per_s == pytest.approx(5136 / 5.554843)
    assert run.output_tokens_per_s == pytest.approx(1280 / 5.554843)
    assert (run.mean_input_tokens, run.mean_output_tokens) == (256.8, 64.0)
    assert run.request_ms == pytest.approx(554.8775)
    by_statistic = {t.statistic: (round(t.ttft_ms, 2), round(t.tpot_ms, 3)) for t in run.timings}
    assert by_statistic == {"mean": (36.92, 8.222), "p50": (36.71, 8.216), "p95": (37.78, 8.275)}
    assert run.note == (
        "vllm bench serve; num_prompts=20; request_rate=inf; burstiness=1.0; "
        "request_goodput=3.6004616280028925"
    )


def test_a_run_by_rate_holds_no_concurrency() -> None:
    run = run_of(recorded("vllm_rate5.json"))
    assert run.concurrency is None
    assert "request_rate=5.0" in run.note
    # the flags of that run asked for no p95 and no end-to-end time
    assert [timing.statistic for timing in run.timings] == ["mean", "p50"]
    assert run.request_ms is None


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not beside this repository")
@pytest.mark.parametrize("concurrency", [4, 8, 16, 32, 48, 64])
def test_the_older_spelling_of_true_files_is_in_seconds(concurrency: int) -> None:
    name = f"inferencex_glm5_fp8_tp8_isl8192_osl128_conc{concurrency}.json"
    data = (SHARED / name).read_bytes()
    raw = json.loads(data)
    run = run_of(data)
    (timing,) = run.timings  # medians alone: no means, and p99 is no statistic of ours
    assert timing.statistic == "p50"
    assert timing.ttft_ms == raw["median_ttft"] * 1000
    assert timing.tpot_ms == raw["median_tpot"] * 1000
    assert run.request_ms == raw["median_e2el"] * 1000
    assert (run.mean_input_tokens, run.mean_output_tokens) == (8192.0, 128.0)
    (point,) = points_of(run, stated=made_facts(), file=name, sha256="sha256:0")
    assert point.concurrency == concurrency
    assert point.output_tokens_per_s_per_accelerator == raw["output_throughput"] / 8
    assert point.source.measured_date == "2026-02-13"


@pytest.mark.parametrize("key", ["request_goodput", "request_goodput:"])
def test_the_goodput_of_one_old_release_is_read_under_its_key(key: str) -> None:
    run = run_of(changed(**{"request_goodput": None, key: 3.5}))
    assert run.note.endswith(f"{key}=3.5")


def test_true_runs_that_were_appended_are_read_each_by_its_line() -> None:
    found = read_vllm_bench(recorded("vllm_appended.json"), name="run.json")
    assert found.refused == ()
    assert [(run.row, run.concurrency) for run in found.runs] == [(1, 2), (2, 4)]
    first, second = recorded("vllm_appended.json").splitlines()
    wrong = b"\n".join([first, b"{broken", second, b'{"completed": 0}', b""])
    found = read_vllm_bench(wrong, name="run.json")
    assert [run.row for run in found.runs] == [1, 3]
    assert [(row.row, row.kind) for row in found.refused] == [(2, "unreadable"), (4, "unreadable")]


def test_a_run_says_that_it_decoded_speculatively() -> None:
    assert not run_of(changed()).is_speculative
    run = run_of(changed(spec_decode_acceptance_length=2.4))
    assert run.is_speculative
    assert run.note.endswith("spec_decode_acceptance_length=2.4")


def test_failed_requests_are_counted() -> None:
    assert run_of(changed(failed=None)).failed_requests == 0
    assert run_of(changed(failed=3)).failed_requests == 3


@pytest.mark.parametrize(
    "fields, kind, said",
    [
        ({"completed": 0}, "unreadable", "completed is missing or 0"),
        ({"duration": 0}, "unreadable", "duration is not a number from 1e-09"),
        ({"duration": None}, "unreadable", "duration is missing"),
        ({"output_throughput": 200}, "implausible", "output_throughput is 200, but output tokens"),
        ({"request_throughput": 4}, "implausible", "request_throughput is 4, but completed"),
        ({"total_token_throughput": 1200}, "implausible", "is 1200, but input + output is 1155.03"),
        ({"input_throughput": 900}, "implausible", "input_throughput is 900, but input tokens"),
        ({"mean_ttft_ms": -1}, "unreadable", "mean_ttft_ms is not a number from 1e-09"),
        ({"mean_tpot_ms": "8.2"}, "unreadable", "mean_tpot_ms is not a number"),
        ({"date": "26.11.2026"}, "unreadable", 'date "26.11.2026" is not written as'),
        ({"date": "20261399-120000"}, "unreadable", 'date "20261399-120000" is not written as'),
    ],
)
def test_what_is_wrong_in_a_run_is_named(fields: dict[str, Json], kind: str, said: str) -> None:
    row = refused(**fields)
    assert (row.row, row.kind) == (1, kind)
    assert said in row.reason


def test_what_the_file_leaves_out_is_not_made_up() -> None:
    run = run_of(changed(date=None, model_id=None, total_token_throughput=None))
    assert (run.model, run.measured_date) == (None, None)


def test_a_file_that_is_not_strict_json_is_refused_whole() -> None:
    with pytest.raises(DocumentError, match="NaN is not a number"):
        read_vllm_bench(b'{"duration": NaN}', name="run.json")
    assert read_vllm_bench(b"[]", name="run.json").refused[0].reason == (
        "the run is not an object of fields"
    )

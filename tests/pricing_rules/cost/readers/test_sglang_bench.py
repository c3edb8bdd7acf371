"""The reader of SGLang's serving benchmark: many runs in one file, some of them wrong."""

from __future__ import annotations

import json

import pytest

from pricing_rules.cost.readers.sglang_bench import read_sglang_bench
from pricing_rules.document import DocumentError
from tests.pricing_rules.cost.readers.made_runs import Json, recorded

LINES = recorded("sglang_two_runs.jsonl").splitlines()


def changed(**fields: Json) -> bytes:
    """The first recorded run with other fields."""
    return json.dumps(json.loads(LINES[0]) | fields).encode()


def test_true_runs_that_were_appended_are_read_each_by_its_line() -> None:
    # 1,280 tokens out in 5.75095 s at 2 at once, and in 2.92002 s at 4
    found = read_sglang_bench(recorded("sglang_two_runs.jsonl"), name="sglang.jsonl")
    assert found.refused == ()
    assert [(run.row, run.concurrency) for run in found.runs] == [(1, 2), (2, 4)]
    first, second = found.runs
    assert first.output_tokens_per_s == pytest.approx(1280 / 5.7509506)
    assert second.output_tokens_per_s == pytest.approx(1280 / 2.9200201)
    assert (first.mean_input_tokens, first.mean_output_tokens) == (256.0, 64.0)
    assert [timing.statistic for timing in first.timings] == ["mean", "p50", "p95"]
    assert first.request_ms == pytest.approx(571.907)
    assert (first.model, first.measured_date) == (None, None)


def test_its_unbounded_rate_is_a_bare_infinity_that_no_other_field_may_hold() -> None:
    assert b'"request_rate": Infinity' in LINES[0]
    (run,) = read_sglang_bench(LINES[0], name="s").runs
    assert "request_rate=inf" in run.note
    found = read_sglang_bench(changed(mean_ttft_ms=float("inf")), name="s")
    assert found.runs == ()
    assert found.refused[0].reason.startswith("Infinity is not a number that JSON knows")


def test_tokens_are_those_of_the_server_not_the_retokenized_ones() -> None:
    (run,) = read_sglang_bench(LINES[0], name="s").runs
    assert "total_output_tokens_retokenized=1340" in run.note
    assert run.mean_output_tokens == 1280 / 20


def test_older_files_leave_the_total_out() -> None:
    assert read_sglang_bench(changed(total_throughput=None), name="s").runs


def test_without_a_bound_the_concurrency_is_the_measured_mean() -> None:
    (run,) = read_sglang_bench(changed(max_concurrency=None, concurrency=1.9889), name="s").runs
    assert (run.concurrency, run.is_concurrency_measured) == (2, True)
    (low,) = read_sglang_bench(changed(max_concurrency=None, concurrency=0.2), name="s").runs
    assert low.concurrency == 1
    (none,) = read_sglang_bench(changed(max_concurrency=None, concurrency=None), name="s").runs
    assert (none.concurrency, none.is_concurrency_measured) == (None, False)


@pytest.mark.parametrize("accept, speculative", [(None, False), (1.0, False), (1.01, True)])
def test_an_accept_length_over_one_says_that_it_decoded_speculatively(
    accept: float | None, speculative: bool
) -> None:
    (run,) = read_sglang_bench(changed(accept_length=accept), name="s").runs
    assert run.is_speculative == speculative


def test_the_model_comes_from_the_server_where_it_said_it() -> None:
    (run,) = read_sglang_bench(changed(server_info={"model_path": "vendor/m"}), name="s").runs
    assert run.model == "vendor/m"


def test_a_wrong_line_is_refused_by_its_number_and_the_others_are_read() -> None:
    data = b"\n".join([LINES[0], b"", b"{broken", changed(completed=0), LINES[1], b""])
    found = read_sglang_bench(data, name="s")
    assert [run.row for run in found.runs] == [1, 5]
    assert [(row.row, row.kind) for row in found.refused] == [(3, "unreadable"), (4, "unreadable")]
    assert "this is not JSON" in found.refused[0].reason
    assert found.refused[1].reason == "completed is missing or 0"


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"input_throughput": 800}, "input_throughput is 800, but input tokens / duration is"),
        ({"output_throughput": 200}, "output_throughput is 200, but output tokens / duration is"),
        ({"total_throughput": 1000}, "total_throughput is 1000, but input + output is 1112.86"),
    ],
)
def test_figures_that_must_be_one_are_checked(fields: dict[str, Json], said: str) -> None:
    (row,) = read_sglang_bench(changed(**fields), name="s").refused
    assert row.kind == "implausible"
    assert said in row.reason


def test_a_file_without_a_line_is_refused() -> None:
    with pytest.raises(DocumentError, match="the file is empty"):
        read_sglang_bench(b"\n \n", name="s")

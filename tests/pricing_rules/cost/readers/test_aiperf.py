"""The reader of AIPerf: a unit on each metric, and boards that it may count twice."""

from __future__ import annotations

import json

import pytest

from pricing_rules.cost.readers.aiperf import read_aiperf
from pricing_rules.cost.readers.measurements import RefusedRow
from pricing_rules.cost.readers.serving_run import BoardPower, ServingRun
from tests.pricing_rules.cost.readers.made_runs import Json, recorded, recorded_json


def run_of(value: Json) -> ServingRun:
    found = read_aiperf(json.dumps(value).encode(), name="aiperf.json")
    assert found.refused == ()
    (run,) = found.runs
    return run


def refusal_of(value: Json) -> RefusedRow:
    found = read_aiperf(json.dumps(value).encode(), name="aiperf.json")
    assert found.runs == ()
    (row,) = found.refused
    return row


def changed(metric: str, **fields: Json) -> Json:
    """The recorded run with telemetry, one of its metrics with other fields."""
    value = recorded_json("aiperf_telemetry.json")
    value[metric] = value.get(metric, {}) | fields
    return value


def test_a_true_run_is_read() -> None:
    # 60 requests of 256 in and 64 out in 8.6405 s
    (run,) = read_aiperf(recorded("aiperf_concurrency2.json"), name="aiperf.json").runs
    assert (run.model, run.concurrency, run.measured_date) == ("tiny-model", 2, "2026-11-26")
    assert not run.is_concurrency_measured
    assert (run.mean_input_tokens, run.mean_output_tokens) == (256.0, 64.0)
    assert run.output_tokens_per_s == pytest.approx(run.requests_per_s * 64)
    assert run.input_tokens_per_s == pytest.approx(run.requests_per_s * 256)
    assert [timing.statistic for timing in run.timings] == ["mean", "p50", "p95"]
    assert run.power is None
    assert run.note == "AIPerf 0.13.0; cached input 25.0%"
    assert run.has_cached_input


def test_a_run_by_rate_has_the_measured_concurrency() -> None:
    (run,) = read_aiperf(recorded("aiperf_rate5.json"), name="aiperf.json").runs
    # 4.78 requests/s of .573 s each: 2.74 under way
    assert (run.concurrency, run.is_concurrency_measured) == (3, True)


def test_a_board_that_telemetry_reached_by_two_names_counts_once() -> None:
    value = recorded_json("aiperf_telemetry.json")
    assert len(value["telemetry_data"]["endpoints"]) == 2
    assert value["nvidia_total_gpu_power"]["avg"] == 2420.0  # AIPerf's own: 2 x (600 + 610)
    assert run_of(value).power == BoardPower(accelerators=2, total_w=1210.0)


def test_a_board_without_its_watts_is_left_out() -> None:
    value = recorded_json("aiperf_telemetry.json")
    for endpoint in value["telemetry_data"]["endpoints"].values():
        for board in endpoint["gpus"].values():
            del board["metrics"]["nvidia_power_usage"]
    assert run_of(value).power is None


def test_watts_are_read_by_their_unit() -> None:
    value = recorded_json("aiperf_telemetry.json")
    for endpoint in value["telemetry_data"]["endpoints"].values():
        for board in endpoint["gpus"].values():
            board["metrics"]["nvidia_power_usage"] = {"unit": "kW", "avg": 0.7}
    assert run_of(value).power == BoardPower(accelerators=2, total_w=1400.0)


def test_times_are_read_by_their_unit() -> None:
    value = recorded_json("aiperf_concurrency2.json")
    del value["inter_token_latency"]
    value["inter_token_latency"] = {"unit": "us", "avg": 8500.0}
    (timing,) = run_of(value).timings
    assert timing.tpot_ms == pytest.approx(8.5)


def test_the_older_settings_are_read_too() -> None:
    value = recorded_json("aiperf_concurrency2.json")
    value["input_config"] = {
        "endpoint": {"model_names": ["vendor/m"]},
        "loadgen": {"concurrency": 2},
    }
    run = run_of(value)
    assert (run.model, run.concurrency) == ("vendor/m", 2)


def test_the_load_of_the_warm_up_is_not_that_of_the_run() -> None:
    value = recorded_json("aiperf_concurrency2.json")
    value["input_config"]["phases"].insert(0, {"kind": "warmup", "concurrency": 64})
    assert run_of(value).concurrency == 2


def test_what_the_file_leaves_out_is_not_made_up() -> None:
    value = recorded_json("aiperf_concurrency2.json")
    for key in (
        "input_config",
        "effective_concurrency",
        "start_time",
        "aiperf_version",
        "input_token_throughput",
        "total_token_throughput",
        "output_token_throughput_per_user",
        "usage_prompt_cache_read_tokens",
    ):
        del value[key]
    run = run_of(value)
    assert (run.model, run.concurrency, run.measured_date) == (None, None, None)
    assert run.note == "AIPerf (no version)"
    assert not run.has_cached_input
    assert run.input_tokens_per_s == pytest.approx(run.requests_per_s * 256)


def test_failed_requests_are_counted() -> None:
    assert run_of(changed("error_request_count", unit="requests", avg=3.0)).failed_requests == 3


@pytest.mark.parametrize(
    "metric, fields, kind, said",
    [
        (
            "time_to_first_token",
            {"unit": "minutes"},
            "unreadable",
            'time_to_first_token is in "minutes", not in ms or sec',
        ),
        ("time_to_first_token", {"unit": None}, "unreadable", 'is in "", not in ms'),
        ("request_throughput", {"avg": None}, "unreadable", "request_throughput.avg is missing"),
        ("request_throughput", {"avg": 0}, "unreadable", "request_throughput.avg is missing"),
        ("output_token_throughput", {"avg": 500}, "implausible", "output throughput is 500, but"),
        ("input_token_throughput", {"avg": 2000}, "implausible", "input throughput is 2000, but"),
        ("total_token_throughput", {"avg": 2000}, "implausible", "total throughput is 2000, but"),
        (
            "output_token_throughput_per_user",
            {"p50": 130},
            "implausible",
            "median interactivity is 130, but 1000/ITL is 117.5",
        ),
        (
            "nvidia_total_gpu_power",
            {"avg": 1210},
            "implausible",
            "joules per output token is 5.45386, but watts over throughput is 2.7226",
        ),
        (
            "nvidia_total_gpu_energy",
            {"unit": "MJ"},
            "implausible",
            "but joules over tokens is 5.45386e+06",
        ),
        (
            "nvidia_energy_per_output_token",
            {"unit": "J/token"},
            "implausible",
            "joules per output token is 5453.86, but",
        ),
    ],
)
def test_what_is_wrong_in_a_run_is_named(
    metric: str, fields: dict[str, Json], kind: str, said: str
) -> None:
    row = refusal_of(changed(metric, **fields))
    assert (row.row, row.kind) == (1, kind)
    assert said in row.reason


def test_energy_is_checked_as_far_as_the_file_tells_it() -> None:
    value = recorded_json("aiperf_telemetry.json")
    whole = run_of(value)
    del value["nvidia_total_gpu_energy"]
    assert run_of(value) == whole
    del value["nvidia_energy_per_output_token"]
    assert run_of(value) == whole


def test_a_cancelled_run_is_refused() -> None:
    row = refusal_of(recorded_json("aiperf_concurrency2.json") | {"was_cancelled": True})
    assert (row.kind, row.reason) == ("run incomplete", "the run was cancelled")


def test_a_run_over_two_models_is_refused() -> None:
    value = recorded_json("aiperf_concurrency2.json")
    value["input_config"]["models"]["items"].append({"name": "other"})
    assert "it mixes 2 models" in refusal_of(value).reason


def test_a_start_that_is_no_date_is_refused() -> None:
    value = recorded_json("aiperf_concurrency2.json") | {"start_time": "yesterday"}
    assert refusal_of(value).reason.startswith('start_time "yesterday" is not a date')


def test_a_board_without_an_id_is_refused() -> None:
    value = recorded_json("aiperf_telemetry.json")
    del value["telemetry_data"]["endpoints"]["localhost:9400"]["gpus"]["gpu_0"]["gpu_uuid"]
    assert refusal_of(value).reason == "telemetry holds a board without its gpu_uuid"

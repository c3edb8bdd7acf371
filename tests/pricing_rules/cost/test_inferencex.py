"""The reader of InferenceX rows: both shapes of them, each trap, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.measurement import DisaggregatedSetup, Setup
from pricing_rules.cost.readers.inferencex import read_inferencex
from pricing_rules.document import DocumentError, bytes_digest
from tests.pricing_rules.cost.made_inferencex import (
    API,
    FIGURES,
    FLAT,
    POOLS,
    metered,
    one,
    read,
    refusal,
)


def test_a_flat_row_of_the_ci_gives_a_point() -> None:
    point = one(FLAT)
    setup = point.setup
    assert isinstance(setup, Setup)
    assert setup.text == (
        "DeepSeek-R1 fp8 on 8 h200, sglang v0.5.8-cu130, tp8 pp1 dp1 moe_tp8 moe_ep1"
    )
    assert (point.input_tokens_per_s_per_accelerator, point.concurrency) == (720, 16)
    assert point.output_tokens_per_s_per_accelerator == 90
    # .02 s per token are 50 tokens/s for a user; 1.2 s are 1,200 ms
    assert (point.interactivity_tokens_per_s, point.ttft_ms) == (50, 1200)
    assert (point.statistic, point.length_factor, point.flags) == ("mean", 0.9, ())
    assert (point.power_w_per_accelerator, point.power_kind) == (None, None)
    assert point.source.measured_date is None


def test_a_row_of_the_api_gives_the_same_point_with_its_date_and_run() -> None:
    data = json.dumps([FLAT, API]).encode()
    found = read_inferencex(
        data, name="rows.json", models={"dsr1": "DeepSeek-R1"}, hardware={"h200": "h200_sxm"}
    )
    point = found.points[1]
    assert isinstance(point.setup, Setup)
    assert (point.setup.model, point.setup.hardware) == ("DeepSeek-R1", "h200_sxm")
    assert point.setup.speculative == "mtp"
    assert point.output_tokens_per_s_per_accelerator == 90
    assert point.source.rows == (2,)
    assert point.source.sha256 == bytes_digest(data)
    assert point.source.measured_date == "2026-09-08"
    assert "https://example.com/runs/1" in point.source.note


@pytest.mark.parametrize("text", ["2026-09-08", "2026-09-08T17:44:42Z", "2026-09-08 17:44:42"])
def test_the_day_of_a_measurement_is_kept(text: str) -> None:
    assert one(API | {"date": text}).source.measured_date == "2026-09-08"


def test_the_medians_are_chosen_by_the_caller() -> None:
    # 1/.016 = 62.5
    point = one(FLAT, statistic="p50")
    assert (point.interactivity_tokens_per_s, point.ttft_ms) == (62.5, 1000)
    assert point.statistic == "p50"


def test_p95_is_refused_because_the_format_lacks_it() -> None:
    with pytest.raises(DocumentError, match="no p95; ask for mean or p50"):
        read(FLAT, statistic="p95")


def test_a_row_without_the_chosen_statistic_is_refused() -> None:
    kind, reason = refusal({k: v for k, v in FLAT.items() if not k.startswith("mean")})
    assert (kind, "mean_ttft" in reason) == ("statistic missing", True)


def test_prefill_and_decode_counts_of_an_aggregated_row_are_the_same_accelerators() -> None:
    assert one(API).setup.accelerators == 8


@pytest.mark.parametrize("place", ["metrics", "row"])
def test_pipeline_stages_multiply_the_accelerators(place: str) -> None:
    # 8 x 2 = 16: the same total is 405 for each; its 64 / 2 = 32 at a time
    halves = API["metrics"] | {
        "tput_per_gpu": 405.0,
        "output_tput_per_gpu": 45.0,
        "input_tput_per_gpu": 360.0,
    }
    staged = {"metrics": halves | {"pp": 2}} if place == "metrics" else {"metrics": halves, "pp": 2}
    point = one(API | {"num_prefill_gpu": 16, "num_decode_gpu": 16} | staged)
    assert point.setup.accelerators == 16
    assert point.flags == ()


def test_experts_that_inflate_the_written_count_leave_a_flag_where_littles_law_is_for_tp() -> None:
    # tp 8 x ep 8 = 64 is written; 829.44/810 = 1.024 fits 8, and 64 would make it .128
    row = API | {"decode_ep": 8, "num_prefill_gpu": 64, "num_decode_gpu": 64}
    point = one(row)
    assert point.setup.accelerators == 8
    assert point.flags == ("suspect_accelerators",)


def test_a_count_that_littles_law_fits_better_than_tp_refuses_the_row() -> None:
    # If 16 ran, 810 is half of what 8 need: 829.44 x 8/16 = 414.72 for a published 414
    row = metered(
        API | {"decode_ep": 2, "num_prefill_gpu": 16, "num_decode_gpu": 16},
        tput_per_gpu=414.0,
        output_tput_per_gpu=46.0,
        input_tput_per_gpu=368.0,
    )
    kind, reason = refusal(row)
    assert kind == "suspect accelerators"
    assert "tp makes 8 accelerators, but Little's law fits 16 better" in reason


@pytest.mark.parametrize(
    "total, plausible", [(414.0, False), (415.0, True), (1658.0, True), (1659.0, False)]
)
def test_throughput_by_littles_law_is_within_half_and_double(total: float, plausible: bool) -> None:
    # 829.44 / 2 = 414.72 and 829.44 x 2 = 1,658.88
    row = metered(
        API, tput_per_gpu=total, output_tput_per_gpu=total / 9, input_tput_per_gpu=total * 8 / 9
    )
    found = read(row)
    assert bool(found.points) is plausible
    if not plausible:
        assert found.refused[0].kind == "implausible"
        assert "by Little's law" in found.refused[0].reason


def test_without_end_to_end_seconds_ttft_and_tpot_make_them() -> None:
    # 1.2 + (921.6 - 1) x .02 = 19.612 s: 829.44 x 20/19.612 = 845.8, 1.044 times 810
    without = {k: v for k, v in FLAT.items() if not k.endswith("e2el")}
    assert one(without).output_tokens_per_s_per_accelerator == 90
    assert refusal(without | {"mean_tpot": 0.002, "mean_intvty": 500.0})[0] == "implausible"


def test_pools_of_a_disaggregated_row_are_added_and_each_figure_has_its_own() -> None:
    # 8 x 2,880 = 23,040 in and 24 x 120 = 2,880 out, over 32: 720 and 90
    point = one(API | POOLS)
    setup = point.setup
    assert isinstance(setup, DisaggregatedSetup)
    assert (setup.prefill.accelerators, setup.decode.accelerators) == (8, 24)
    assert setup.prefill.text == "2 workers of tp4 pp1 dp1 moe_tp4 moe_ep1"
    assert setup.decode.text == "1 worker of tp1 pp1 dp24 moe_tp1 moe_ep24"
    assert point.input_tokens_per_s_per_accelerator == pytest.approx(720)
    assert point.output_tokens_per_s_per_accelerator == pytest.approx(90)


def test_workers_that_are_not_written_follow_from_the_accelerators() -> None:
    setup = one(API | POOLS | {"prefill_num_workers": 0}).setup
    assert isinstance(setup, DisaggregatedSetup)
    assert setup.prefill.workers == 2


@pytest.mark.parametrize("total, agrees", [(793.0, True), (792.0, True), (791.0, False)])
def test_the_total_is_input_and_output_within_1_percent(total: float, agrees: bool) -> None:
    # 720 + 80 = 800, and 1 % of it is 8
    found = read(metered(API, tput_per_gpu=total, output_tput_per_gpu=80.0))
    assert bool(found.points) is agrees
    if not agrees:
        assert "total throughput is 791, but input + output is 800" in found.refused[0].reason


def test_an_older_row_has_its_input_from_the_total() -> None:
    older = {k: v for k, v in FLAT.items() if k != "input_tput_per_gpu"}
    assert one(older).input_tokens_per_s_per_accelerator == 720
    kind, reason = refusal(older | {"output_tput_per_gpu": 810.0})
    assert (kind, "none for the input" in reason) == ("implausible", True)


@pytest.mark.parametrize("interactivity, agrees", [(50.5, True), (50.6, False)])
def test_interactivity_is_one_over_tpot(interactivity: float, agrees: bool) -> None:
    # 1 % of 50.5 is .505
    assert bool(read(FLAT | {"mean_intvty": interactivity}).points) is agrees


@pytest.mark.parametrize(
    "cells, kind, reason",
    [
        ({"precision": None}, "precision missing", "precision is missing"),
        ({"conc": 0}, "concurrency missing", "conc is missing or 0"),
        ({"num_decode_gpu": 0}, "accelerator count unknown", "num_decode_gpu is missing or 0"),
        (
            {"num_decode_gpu": 25},
            "suspect accelerators",
            "num_decode_gpu is 25, but 1 workers of 24 are 24",
        ),
        ({"decode_ep": 5}, "suspect accelerators", "experts over 5 ranks do not divide"),
        ({"decode_ep": 48}, "suspect accelerators", "experts over 48 ranks do not divide"),
        ({"pcp_size": 2}, "suspect accelerators", "context parallelism (pcp_size) is not read"),
        ({"prefill_hw": "h200", "decode_hw": "h100"}, "unreadable", "two kinds of hardware"),
        ({"model": 7}, "unreadable", "model is not a text"),
        ({"hardware": ""}, "unreadable", "hw is missing"),
        ({"disagg": None}, "unreadable", "disagg is neither true nor false"),
        ({"disagg": 1}, "unreadable", "disagg is neither true nor false"),
        ({"prefill_dp_attention": "yes"}, "unreadable", "prefill_dp_attention is neither"),
        ({"isl": None}, "unreadable", "isl is missing or 0"),
        ({"osl": 1024.0}, "unreadable", "osl is not a whole number"),
        ({"conc": True}, "unreadable", "conc is not a whole number"),
        ({"conc": -1}, "unreadable", "conc is not a whole number"),
        ({"conc": 10**13}, "unreadable", "conc is not a whole number"),
        ({"date": "20260908"}, "unreadable", 'date "20260908" is not an ISO date'),
        ({"date": "2026-02-30"}, "unreadable", '"2026-02-30" is not a day of the calendar'),
        ({"metrics": [1]}, "unreadable", "metrics is not an object"),
        ({"mean_ttft": 1.2}, "unreadable", "mean_ttft stands both in the row and in its metrics"),
        ({"metrics": FIGURES | {"mean_ttft": "1.2"}}, "unreadable", "mean_ttft is not a number"),
        ({"metrics": FIGURES | {"mean_tpot": 0}}, "unreadable", "mean_tpot is not a number from"),
        ({"metrics": FIGURES | {"mean_tpot": True}}, "unreadable", "mean_tpot is not a number"),
        ({"metrics": FIGURES | {"mean_tpot": 1e300}}, "unreadable", "mean_tpot is not a number"),
        ({"metrics": FIGURES | {"tput_per_gpu": None}}, "unreadable", "tput_per_gpu is missing"),
        ({"metrics": None}, "statistic missing", "no mean_ttft and mean_tpot"),
    ],
)
def test_a_row_that_no_cost_may_rest_on_is_refused_and_the_others_are_kept(
    cells: dict[str, Any], kind: str, reason: str
) -> None:
    found = read(FLAT, API | POOLS | cells, API)
    assert [point.source.rows for point in found.points] == [(1,), (3,)]
    assert [(row.row, row.kind) for row in found.refused] == [(2, kind)]
    assert reason in found.refused[0].reason


anything = (
    st.none()
    | st.booleans()
    | st.text(max_size=8)
    | st.integers(-(10**18), 10**18)
    | st.lists(st.none())
)


@given(
    row=st.sampled_from([FLAT, API, API | POOLS]),
    cells=st.dictionaries(
        st.sampled_from(sorted({*FLAT, *API, *POOLS, "pp", "pcp_size", "avg_power_w"})),
        anything | st.floats(allow_nan=False, allow_infinity=False),
        min_size=1,
        max_size=4,
    ),
)
def test_whatever_a_row_holds_it_is_a_point_or_refused(
    row: dict[str, Any], cells: dict[str, Any]
) -> None:
    found = read_inferencex((json.dumps([row | cells])).encode(), name="rows.json")
    assert len(found.points) + len(found.refused) == 1
    for point in found.points:
        assert 0 < point.output_tokens_per_s_per_accelerator < float("inf")
        assert 0 < point.interactivity_tokens_per_s < float("inf")


def test_all_errors_of_a_file_come_together() -> None:
    found = read(FLAT | {"conc": 0}, 7, FLAT, FLAT | {"isl": None})
    assert [(row.row, row.kind) for row in found.refused] == [
        (1, "concurrency missing"),
        (2, "unreadable"),
        (4, "unreadable"),
    ]


@pytest.mark.parametrize("text", ["none", "false", "", None])
def test_no_speculative_decoding_has_several_names(text: str | None) -> None:
    setup = one(FLAT | {"spec_decoding": text, "image": None}).setup
    assert (setup.speculative, setup.framework_version) == (None, None)


def test_a_list_an_object_and_objects_by_line_are_read_alike() -> None:
    lines = json.dumps(FLAT) + "\n\n" + json.dumps(API) + "\n"
    for data, rows in (
        (json.dumps([FLAT, API], indent=1), [(1,), (2,)]),
        (json.dumps(FLAT), [(1,)]),
        (json.dumps(FLAT, indent=2), [(1,)]),
        (lines, [(1,), (3,)]),
        (lines.replace("\n", "\r\n"), [(1,), (3,)]),
    ):
        found = read_inferencex(data.encode(), name="rows.json")
        assert [point.source.rows for point in found.points] == rows


def test_a_line_that_is_not_json_is_a_refused_row() -> None:
    data = "\n".join([json.dumps(FLAT), "{", '{"a": NaN}', json.dumps(API)])
    found = read_inferencex(data.encode(), name="rows.jsonl")
    assert [point.source.rows for point in found.points] == [(1,), (4,)]
    assert [(row.row, row.kind) for row in found.refused] == [(2, "unreadable"), (3, "unreadable")]
    assert "NaN is not a number" in found.refused[1].reason


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "empty"),
        (b"[]", "the list holds no rows"),
        (b"hw,conc\nh200,16\n", "not JSON"),
        (b"\xff\n\xff", "not UTF-8"),
        (b'{"a":' * 100_000 + b"\n1", "nested deeper"),
        (b'[{"conc": NaN}]', "NaN is not a number"),
    ],
)
def test_a_file_that_is_not_json_is_refused_whole(data: bytes, sentence: str) -> None:
    with pytest.raises(DocumentError, match=sentence):
        read_inferencex(data, name="rows.json")

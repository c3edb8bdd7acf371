"""The reader of silicon_sample.csv: what it derives, merges and refuses."""

from __future__ import annotations

import csv
import io

import pytest

from pricing_rules.cost.measurement import OperatingPoint
from pricing_rules.cost.readers.aiconfigurator import Measurements, read_silicon_sample
from pricing_rules.document import DocumentError, bytes_digest

ROW = {
    "id": "one",
    "silicon_data_source": "db-dump/x; silicon_concurrency=16; measured=2026-03-01T00:00:00.000Z",
    "backend": "vllm",
    "backend_version": "0.18.0",
    "model_path": "openai/gpt-oss-120b",
    "system": "h100_sxm",
    "precision": "fp4",
    "mode": "agg",
    "isl": "8192",
    "osl": "1024",
    "batch_size": "16",
    "tp_size": "4",
    "pp_size": "1",
    "attention_dp_size": "1",
    "moe_tp_size": "4",
    "moe_ep_size": "1",
    "prefill_tp_size": "",
    "silicon_ttft_ms": "500.0",
    "silicon_tpot_ms": "20.0",
}


def text_of(*rows: dict[str, str]) -> str:
    """A file of rows, each the row above with some cells changed."""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(ROW), lineterminator="\n")
    writer.writeheader()
    writer.writerows(ROW | row for row in rows)
    return out.getvalue()


def read(*rows: dict[str, str], models: dict[str, str] | None = None) -> Measurements:
    return read_silicon_sample(text_of(*rows).encode(), name="sample.csv", models=models)


def one(**cells: str) -> OperatingPoint:
    (point,) = read(cells).points
    return point


def test_throughput_follows_from_littles_law() -> None:
    # L_out = .9 x 1024 = 921.6; a request takes .5 s + 920.6 x .02 s = 18.912 s; 16 at a time make
    # .846024 requests/s, .211506 per accelerator of 4: x 921.6 = 194.924 output tokens/s,
    # x .9 x 8192 = 1559.39 input tokens/s; 1000/20 = 50 tokens/s for a user
    point = one()
    assert point.setup.accelerators == 4
    assert point.output_tokens_per_s_per_accelerator == pytest.approx(194.924, abs=1e-3)
    assert point.input_tokens_per_s_per_accelerator == pytest.approx(1559.39, abs=1e-2)
    assert point.interactivity_tokens_per_s == 50
    assert (point.concurrency, point.ttft_ms, point.length_factor) == (16, 500.0, 0.9)
    assert (point.statistic, point.flags) == ("mean", ("derived",))
    # Little's law, backwards: requests in the system = requests/s x seconds
    requests_per_s = 4 * point.output_tokens_per_s_per_accelerator / point.mean_output_tokens
    assert requests_per_s * 18.912 == pytest.approx(16)


def test_a_point_names_its_file_rows_digest_and_date() -> None:
    text = text_of({})
    (point,) = read_silicon_sample(text.encode(), name="sample.csv").points
    assert point.source.file == "sample.csv"
    assert point.source.sha256 == bytes_digest(text.encode())
    assert point.source.rows == (2,)
    assert point.source.measured_date == "2026-03-01"
    assert point.source.note == ROW["silicon_data_source"]


def test_a_model_is_called_by_the_last_part_of_its_path_or_as_told() -> None:
    assert one().setup.model == "gpt-oss-120b"
    found = read({}, models={"openai/gpt-oss-120b": "oss"})
    assert found.points[0].setup.model == "oss"


def test_the_folder_of_a_source_file_is_left_out() -> None:
    point = one(silicon_data_source="source_file=/a/b/c.csv; silicon_concurrency=16")
    assert point.source.note == "source_file=c.csv; silicon_concurrency=16"
    assert point.source.measured_date is None


@pytest.mark.parametrize("dp", ["", "0", "1"])
def test_a_blank_or_zero_attention_dp_is_one(dp: str) -> None:
    setup = one(attention_dp_size=dp).setup
    assert (setup.parallelism.dp, setup.accelerators) == (1, 4)


def test_attention_dp_multiplies_the_accelerators_and_divides_the_batch() -> None:
    # tp 4 x dp 2 = 8 accelerators, experts over 8; 16 requests over 2 ranks are a batch of 8
    point = one(attention_dp_size="2", moe_tp_size="1", moe_ep_size="8", batch_size="8")
    assert point.setup.accelerators == 8


def test_twins_become_one_point_with_all_rows() -> None:
    undated = {"silicon_data_source": "source_file=d.csv; silicon_concurrency=16"}
    # The same double, written with 16 and with 17 digits.
    longer = {"silicon_tpot_ms": "20.000000000000004"}
    found = read({}, undated, longer)
    assert len(found.points) == 1
    assert found.points[0].source.rows == (2, 3, 4)
    assert found.points[0].source.measured_date == "2026-03-01"


def test_twins_without_a_date_have_none() -> None:
    undated = {"silicon_data_source": "source_file=d.csv; silicon_concurrency=16"}
    assert read(undated, undated).points[0].source.measured_date is None


@pytest.mark.parametrize(
    "other",
    [
        {"silicon_tpot_ms": "20.00001"},
        {"silicon_ttft_ms": "500.00001"},
        {"tp_size": "2", "moe_tp_size": "2"},
        {"backend_version": ""},
        {"osl": "8192"},
        {"silicon_data_source": "x; silicon_concurrency=32", "batch_size": "32"},
    ],
)
def test_what_differs_is_no_twin(other: dict[str, str]) -> None:
    assert len(read({}, other).points) == 2


def test_two_paths_of_one_model_have_twins() -> None:
    models = {"a/DeepSeek-V3": "DeepSeek-R1"}
    found = read({"model_path": "a/DeepSeek-V3"}, {"model_path": "b/DeepSeek-R1"}, models=models)
    assert [point.source.rows for point in found.points] == [(2, 3)]


@pytest.mark.parametrize(
    "cells, kind, reason",
    [
        ({"mode": "disagg"}, "disaggregated", "not read by this version"),
        ({"silicon_data_source": "x"}, "concurrency missing", "no silicon_concurrency"),
        ({"precision": ""}, "precision missing", "precision is blank"),
        (
            {"tp_size": "8", "moe_tp_size": "4", "moe_ep_size": "2"},
            "suspect accelerators",
            "spread both ways",
        ),
        (
            {"tp_size": "16", "moe_tp_size": "16"},
            "suspect accelerators",
            "16 accelerators, but one h100_sxm box holds 8",
        ),
        ({"moe_tp_size": "2"}, "suspect accelerators", "spread over 2, but tp x dp is 4"),
        ({"batch_size": "8"}, "suspect concurrency", "batch_size 8 is not concurrency 16 / dp 1"),
        ({"mode": "other"}, "unreadable", "not agg or disagg"),
        ({"model_path": " "}, "unreadable", "model_path is blank"),
        ({"tp_size": "0"}, "unreadable", 'tp_size "0" is not a positive whole number'),
        ({"isl": "1.5"}, "unreadable", "isl"),
        ({"osl": "1"}, "unreadable", "too short"),
        ({"silicon_data_source": "silicon_concurrency=many"}, "unreadable", "is no count"),
        ({"silicon_ttft_ms": "nan"}, "unreadable", "silicon_ttft_ms"),
        ({"silicon_tpot_ms": "0"}, "unreadable", "silicon_tpot_ms"),
        ({"silicon_tpot_ms": "-1"}, "unreadable", "silicon_tpot_ms"),
        ({"silicon_tpot_ms": "1e999"}, "unreadable", "silicon_tpot_ms"),
    ],
)
def test_a_row_that_no_cost_may_rest_on_is_refused_and_the_others_are_kept(
    cells: dict[str, str], kind: str, reason: str
) -> None:
    found = read({}, cells, {"silicon_tpot_ms": "30"})
    assert [point.source.rows for point in found.points] == [(2,), (4,)]
    assert [(row.row, row.kind) for row in found.refused] == [(3, kind)]
    assert reason in found.refused[0].reason
    assert found.refused_counts() == {kind: 1}


@pytest.mark.parametrize("tp, refused", [("4", 0), ("8", 0), ("16", 1)])
def test_an_hgx_box_holds_eight(tp: str, refused: int) -> None:
    assert len(read({"tp_size": tp, "moe_tp_size": tp}).refused) == refused


def test_a_rack_may_hold_more_than_eight() -> None:
    assert one(system="gb200", tp_size="16", moe_tp_size="16").setup.accelerators == 16


def test_a_dense_model_has_no_experts_to_count() -> None:
    assert one(moe_tp_size="1", moe_ep_size="1").setup.accelerators == 4
    assert one(moe_tp_size="0", moe_ep_size="").setup.accelerators == 4


def test_a_short_or_blank_line_is_a_refused_row() -> None:
    text = text_of({}) + "short,row\n\n" + text_of({"silicon_tpot_ms": "30"}).split("\n")[1] + "\n"
    found = read_silicon_sample(text.encode(), name="sample.csv")
    assert [row.row for row in found.refused] == [3, 4]
    assert [point.source.rows for point in found.points] == [(2,), (5,)]


def test_windows_line_ends_count_the_same() -> None:
    text = text_of({}, {"mode": "disagg"}).replace("\n", "\r\n")
    found = read_silicon_sample(text.encode(), name="sample.csv")
    assert [row.row for row in found.refused] == [3]
    assert found.points[0].source.rows == (2,)


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "not a CSV file"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"a,b\n1,2\n", "the column silicon_data_source is missing"),
        (text_of({}, {"id": 'a "b"\nc'}).encode(), "line break"),
        (text_of({}).replace("\none", "\nzero,one").encode(), "more cells than the header"),
        ((text_of({}) + "," * 30 + "\n").encode(), "not a CSV file"),
        ((text_of({}) + '"open\n').encode(), "not a CSV file"),
    ],
)
def test_a_file_that_is_not_the_sample_is_refused_whole(data: bytes, sentence: str) -> None:
    with pytest.raises(DocumentError) as error:
        read_silicon_sample(data, name="sample.csv")
    assert error.value.where == "sample.csv"
    assert sentence in error.value.sentence

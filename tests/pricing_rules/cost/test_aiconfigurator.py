"""The reader of silicon_sample.csv: what it derives, merges and refuses."""

from __future__ import annotations

import csv
import io

import pytest

from pricing_rules.cost.measurement import DisaggregatedSetup, OperatingPoint, Setup
from pricing_rules.cost.readers.aiconfigurator import StatedAccelerators, read_silicon_sample
from pricing_rules.cost.readers.measurements import Measurements
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
    **{
        f"{role}_{column}": ""
        for role in ("prefill", "decode")
        for column in (
            "batch_size",
            "num_workers",
            "tp_size",
            "pp_size",
            "attention_dp_size",
            "moe_tp_size",
            "moe_ep_size",
        )
    },
    "silicon_ttft_ms": "500.0",
    "silicon_tpot_ms": "20.0",
}

POOLS = {
    "mode": "disagg",
    "batch_size": "",
    "tp_size": "",
    "pp_size": "",
    "attention_dp_size": "",
    "moe_tp_size": "",
    "moe_ep_size": "",
    "prefill_batch_size": "1",
    "prefill_num_workers": "2",
    "prefill_tp_size": "4",
    "prefill_pp_size": "1",
    "prefill_attention_dp_size": "1",
    "prefill_moe_tp_size": "4",
    "prefill_moe_ep_size": "1",
    "decode_batch_size": "2",
    "decode_num_workers": "1",
    "decode_tp_size": "3",
    "decode_pp_size": "1",
    "decode_attention_dp_size": "8",
    "decode_moe_tp_size": "1",
    "decode_moe_ep_size": "24",
}
"""What makes the row above a disaggregated one: 2 x 4 accelerators for input, 3 x 8 for output."""

UNCOUNTED = POOLS | {
    "prefill_batch_size": "",
    "prefill_num_workers": "",
    "decode_batch_size": "",
    "decode_num_workers": "",
}
"""The same without the numbers of workers."""


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


def test_a_disaggregated_row_counts_both_pools() -> None:
    # .846024 requests/s as above, on 8 + 24 accelerators: .846024 x 921.6 = 779.7 output tokens/s,
    # 24.365 for each of 32 and 32.487 for each of 24; .846024 x 7372.8 = 6237.6 input tokens/s,
    # 194.92 for each of 32 and 779.7 for each of 8
    point = one(**POOLS)
    setup = point.setup
    assert isinstance(setup, DisaggregatedSetup)
    assert (setup.prefill.accelerators, setup.decode.accelerators) == (8, 24)
    assert (setup.prefill.workers, setup.decode.workers) == (2, 1)
    assert point.output_tokens_per_s_per_accelerator * 32 / 24 == pytest.approx(32.487, abs=1e-3)
    assert point.input_tokens_per_s_per_accelerator * 32 / 8 == pytest.approx(779.7, abs=0.05)
    total = point.input_tokens_per_s_per_accelerator + point.output_tokens_per_s_per_accelerator
    assert total == pytest.approx((779.695 + 6237.56) / 32, rel=1e-5)
    assert point.flags == ("derived",)


def test_accelerators_that_a_row_does_not_say_may_be_stated() -> None:
    text = text_of(UNCOUNTED | {"id": "known"}, UNCOUNTED | {"id": "unknown"}).encode()
    stated = {"known": StatedAccelerators(prefill=12, decode=48)}
    found = read_silicon_sample(text, name="sample.csv", accelerators=stated)
    (point,) = found.points
    assert isinstance(point.setup, DisaggregatedSetup)
    assert (point.setup.prefill.workers, point.setup.decode.workers) == (3, 2)
    assert point.flags == ("derived", "accelerators_stated")
    assert [(row.row, row.kind) for row in found.refused] == [(3, "accelerator count unknown")]
    assert 'state the accelerators of "unknown"' in found.refused[0].reason


@pytest.mark.parametrize("prefill", [0, 6])
def test_stated_accelerators_are_whole_workers(prefill: int) -> None:
    stated = {"one": StatedAccelerators(prefill=prefill, decode=24)}
    text = text_of(UNCOUNTED).encode()
    (row,) = read_silicon_sample(text, name="sample.csv", accelerators=stated).refused
    assert row.kind == "suspect accelerators"
    assert f"{prefill} prefill accelerators are stated, but one worker takes 4" in row.reason


@pytest.mark.parametrize("cells", [{}, POOLS])
def test_accelerators_are_not_stated_for_a_row_that_says_them(cells: dict[str, str]) -> None:
    stated = {"one": StatedAccelerators(prefill=8, decode=24)}
    with pytest.raises(DocumentError) as error:
        read_silicon_sample(text_of(cells).encode(), name="sample.csv", accelerators=stated)
    assert 'stated for "one", which is no disaggregated row without workers' in str(error.value)


def test_a_batch_of_a_row_without_workers_is_checked_where_it_stands() -> None:
    # 24 accelerators of 3 x 8 are one worker: 16 requests over 8 ranks are a batch of 2
    stated = {"one": StatedAccelerators(prefill=8, decode=24)}
    for batch, kinds in (("2", []), ("3", ["suspect concurrency"])):
        text = text_of(UNCOUNTED | {"decode_batch_size": batch}).encode()
        found = read_silicon_sample(text, name="sample.csv", accelerators=stated)
        assert [row.kind for row in found.refused] == kinds


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
    assert isinstance(setup, Setup)
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
        (UNCOUNTED, "accelerator count unknown", 'state the accelerators of "one"'),
        (POOLS | {"decode_num_workers": ""}, "accelerator count unknown", "no number of workers"),
        (
            POOLS | {"decode_moe_ep_size": "8"},
            "suspect accelerators",
            "spread over 8, but tp x dp is 24",
        ),
        (
            POOLS | {"decode_batch_size": "16"},
            "suspect concurrency",
            "decode_batch_size 16 is not concurrency 16 / decode workers x dp 8",
        ),
        (POOLS | {"prefill_tp_size": ""}, "unreadable", 'prefill_tp_size "" is not'),
        (POOLS | {"prefill_num_workers": "x"}, "unreadable", 'prefill_num_workers "x" is not'),
        (POOLS | {"precision": ""}, "precision missing", "precision is blank"),
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
        (
            {"silicon_data_source": "silicon_concurrency=16; measured=2026-02-30"},
            "unreadable",
            "is not a day",
        ),
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
    text = text_of({}, UNCOUNTED).replace("\n", "\r\n")
    found = read_silicon_sample(text.encode(), name="sample.csv")
    assert [row.row for row in found.refused] == [3]
    assert found.points[0].source.rows == (2,)


def test_a_byte_order_mark_is_no_part_of_the_header() -> None:
    marked = read_silicon_sample(b"\xef\xbb\xbf" + text_of({}).encode(), name="sample.csv")
    plain = read_silicon_sample(text_of({}).encode(), name="sample.csv")
    assert [point.source.rows for point in marked.points] == [(2,)]
    assert marked.points[0].setup == plain.points[0].setup


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "not a CSV file"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"a,b\n1,2\n", "the column id is missing"),
        (text_of({}, {"id": 'a "b"\nc'}).encode(), "line break"),
        (text_of({}).replace("\none", "\nzero,one").encode(), "more cells than the header"),
        ((text_of({}) + "," * 60 + "\n").encode(), "not a CSV file"),
        ((text_of({}) + '"open\n').encode(), "not a CSV file"),
    ],
)
def test_a_file_that_is_not_the_sample_is_refused_whole(data: bytes, sentence: str) -> None:
    with pytest.raises(DocumentError) as error:
        read_silicon_sample(data, name="sample.csv")
    assert error.value.where == "sample.csv"
    assert sentence in error.value.sentence

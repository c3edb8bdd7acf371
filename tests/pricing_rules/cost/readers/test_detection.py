"""Which format a file is of, and the one way to read any of them."""

from __future__ import annotations

import json

import pytest

from pricing_rules.cost.readers.detection import FORMATS, Format, LackingFacts, format_of, read_any
from pricing_rules.cost.readers.measurement_file import measurement_lines
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.cost.readers.stated_facts import StatedFacts
from pricing_rules.document import DocumentError, bytes_digest
from tests.pricing_rules.cost.readers.made_runs import Json, made_facts, recorded
from tests.pricing_rules.cost.test_aiconfigurator import text_of

ROW: dict[str, Json] = {
    "hw": "h200",
    "conc": 4,
    "model": "vendor/m",
    "framework": "vllm",
    "precision": "fp8",
    "spec_decoding": "none",
    "disagg": False,
    "isl": 1000,
    "osl": 100,
    "tp": 1,
    "ep": 1,
    "dp_attention": False,
    # 4 x .9 x 1,100 / 3.6 s = 1,100 tokens/s, of them 100 out
    "tput_per_gpu": 1100.0,
    "output_tput_per_gpu": 100.0,
    "mean_ttft": 0.04,
    "mean_tpot": 0.04,
    "mean_e2el": 3.6,
    "median_ttft": 0.03,
    "median_tpot": 0.04,
}
ONE = made_facts(accelerators=1, parallelism=None)
POINTS = read_any(
    recorded("vllm_concurrency2.json"), name="v.json", format_name="vllm", stated=ONE, renamed={}
).points


def inferencex(*rows: dict[str, Json]) -> bytes:
    return json.dumps([ROW | row for row in rows]).encode()


def read(
    data: bytes,
    *,
    format_name: Format,
    stated: StatedFacts | None = None,
    renamed: dict[str, str] | None = None,
) -> Measurements:
    facts = stated or StatedFacts()
    return read_any(data, name="f", format_name=format_name, stated=facts, renamed=renamed or {})


@pytest.mark.parametrize(
    "data, format_name",
    [
        (recorded("vllm_concurrency2.json"), "vllm"),
        (recorded("vllm_rate5.json"), "vllm"),
        (recorded("vllm_appended.json"), "vllm"),
        (recorded("sglang_two_runs.jsonl"), "sglang"),
        (recorded("sglang_two_runs.jsonl").splitlines()[0], "sglang"),
        (recorded("aiperf_concurrency2.json"), "aiperf"),
        (recorded("aiperf_telemetry.json"), "aiperf"),
        (recorded("guidellm_concurrent.json"), "guidellm"),
        (inferencex({}), "inferencex"),
        (json.dumps(ROW).encode(), "inferencex"),
        (text_of({}).encode(), "aiconfigurator"),
        (measurement_lines(POINTS), "measurements"),
        (b"\n" + measurement_lines(POINTS[:1]), "measurements"),
    ],
)
def test_a_format_is_known_by_its_content(data: bytes, format_name: Format) -> None:
    assert format_of(data, name="file") == format_name
    assert format_name in FORMATS


@pytest.mark.parametrize(
    "data", [b"hello", b"{}", b"[]", b"[1]", b"{broken", b'{"duration": 1}', b"[" * 100_000]
)
def test_another_content_is_refused_with_the_formats_that_are_read(data: bytes) -> None:
    with pytest.raises(
        DocumentError, match=r"is of no format that is read here \(aiconfigurator, "
    ):
        format_of(data, name="file")


@pytest.mark.parametrize("data", [b"", b" \n"])
def test_an_empty_file_is_refused_as_one(data: bytes) -> None:
    with pytest.raises(DocumentError, match="file: the file is empty"):
        format_of(data, name="file")


@pytest.mark.parametrize(
    "name, format_name, points",
    [
        ("vllm_concurrency2.json", "vllm", 3),
        ("sglang_two_runs.jsonl", "sglang", 6),
        ("aiperf_concurrency2.json", "aiperf", 3),
        ("guidellm_concurrent.json", "guidellm", 6),
    ],
)
def test_true_files_become_points_with_their_digest(
    name: str, format_name: Format, points: int
) -> None:
    facts = {} if format_name != "sglang" else {"model": "m", "measured_date": "2026-11-26"}
    stated = made_facts(accelerators=1, parallelism=None, **facts)
    found = read(recorded(name), format_name=format_name, stated=stated)
    assert found.refused == ()
    assert len(found.points) == points
    assert {point.source.sha256 for point in found.points} == {bytes_digest(recorded(name))}


def test_all_that_the_runs_of_a_file_lack_is_raised_at_once() -> None:
    with pytest.raises(LackingFacts) as lacking:
        read(recorded("sglang_two_runs.jsonl"), format_name="sglang")
    assert lacking.value.facts == (
        "model",
        "hardware",
        "accelerators",
        "parallelism",
        "precision",
        "framework",
        "measured_date",
    )
    assert str(lacking.value).startswith("f: lacks model, hardware, accelerators, ")


def test_a_run_that_is_not_plausible_is_refused_beside_those_that_are() -> None:
    lines = recorded("sglang_two_runs.jsonl").splitlines()
    wrong = json.dumps(json.loads(lines[0]) | {"max_concurrency": 64}).encode()
    stated = made_facts(accelerators=1, parallelism=None, model="m", measured_date="2026-11-26")
    data = b"\n".join([b"{broken", wrong, lines[1]])
    found = read(data, format_name="sglang", stated=stated)
    assert {point.source.rows for point in found.points} == {(3,)}
    assert [(row.row, row.kind) for row in found.refused] == [
        (1, "unreadable"),
        (2, "implausible"),
    ]


def test_a_file_that_holds_its_own_facts_refuses_stated_ones() -> None:
    for data, format_name in (
        (inferencex({}), "inferencex"),
        (text_of({}).encode(), "aiconfigurator"),
        (measurement_lines(POINTS), "measurements"),
    ):
        with pytest.raises(DocumentError, match=f"{format_name} files hold their own hardware"):
            read(data, format_name=format_name, stated=made_facts())  # type: ignore[arg-type]


def test_a_measurement_file_is_read_back() -> None:
    assert read(measurement_lines(POINTS), format_name="measurements").points == POINTS


def test_an_aiconfigurator_file_calls_models_by_our_names() -> None:
    renamed = {"openai/gpt-oss-120b": "oss"}
    found = read(text_of({}).encode(), format_name="aiconfigurator", renamed=renamed)
    assert [point.setup.model for point in found.points] == ["oss"]


def test_an_inferencex_row_gives_a_mean_and_a_median_point() -> None:
    renamed = {"vendor/m": "M", "h200": "h200_sxm"}
    found = read(inferencex({}), format_name="inferencex", renamed=renamed)
    assert found.refused == ()
    assert [(p.statistic, p.ttft_ms) for p in found.points] == [("mean", 40.0), ("p50", 30.0)]
    assert {(p.setup.model, p.setup.hardware) for p in found.points} == {("M", "h200_sxm")}


def test_an_inferencex_row_with_one_of_the_two_is_read_and_one_with_none_is_refused() -> None:
    without_mean = {"mean_ttft": None, "mean_tpot": None}
    without_any = without_mean | {"median_ttft": None}
    found = read(inferencex(without_mean, without_any, {}), format_name="inferencex")
    assert [(p.source.rows, p.statistic) for p in found.points] == [
        ((3,), "mean"),
        ((1,), "p50"),
        ((3,), "p50"),
    ]
    assert [(row.row, row.kind) for row in found.refused] == [(2, "statistic missing")]


def test_an_inferencex_row_that_one_statistic_refuses_gives_no_point_of_the_other() -> None:
    # the median interactivity of 50 is not 1 / .04 s = 25
    found = read(inferencex({"median_intvty": 50.0}), format_name="inferencex")
    assert found.points == ()
    assert [(row.row, row.kind) for row in found.refused] == [(1, "implausible")]

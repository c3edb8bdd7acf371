"""Importing benchmarks of real tools into a measurement file, deriving from it, and telemetry.

Invariant: an import adds all the points of its files or leaves the measurement file as it was.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from billing.operations.measurement import read_all_measurements, read_measurements
from tests.journeys.made_files import Json, Ran, tokenworks
from tests.pricing_rules.cost.readers.made_runs import RECORDED, SHARED, recorded_json

ONE = ("--hardware", "h100_sxm", "--precision", "fp8", "--framework", "vllm", "--accelerators", "1")
VLLM = RECORDED / "vllm_concurrency2.json"
SGLANG = RECORDED / "sglang_two_runs.jsonl"
GUIDELLM = RECORDED / "guidellm_concurrent.json"
AIPERF = RECORDED / "aiperf_telemetry.json"
HALF_A_DAY = ("--before-at", "2026-10-01T00:00:00Z", "--after-at", "2026-10-01T12:00:00Z")


def _import(
    *files: str | Path, out: Path, flags: tuple[str, ...] = ONE, shape: str = "json"
) -> Ran:
    return tokenworks("measure", "import", *files, "--out", out, *flags, "--format", shape)


def _lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "measurements.jsonl"


# Importing.


def test_files_of_four_tools_are_told_apart_and_become_points_of_one_form(out: Path) -> None:
    for file, flags, points in (
        (VLLM, ONE, 3),
        (GUIDELLM, ONE, 6),
        (SGLANG, (*ONE, "--model", "tiny-model", "--measured-date", "2026-11-26"), 6),
        (AIPERF, ("--parallelism", "tp2", *ONE[:6]), 3),
    ):
        ran = _import(file, out=out, flags=flags)
        assert (ran.code, ran.err) == (0, "")
        assert len(ran.json["points"]) == points
    lines = _lines(out)
    assert len(lines) == 18
    assert {line["schema"] for line in lines} == {"tokenworks.operating-point/1"}
    assert {line["setup"]["model"] for line in lines} == {"tiny-model"}
    assert {line["source"]["file"] for line in lines} == {
        file.name for file in (VLLM, GUIDELLM, SGLANG, AIPERF)
    }
    # one server of one kind: all tools saw about the same, 1000 / 8.3 ms at 2 at once
    pair = [line for line in lines if line["concurrency"] == 2 and line["statistic"] == "mean"]
    assert len(pair) == 3
    for line in pair:
        assert line["interactivity_tokens_per_s"] == pytest.approx(120, rel=0.02)
        assert line["output_tokens_per_s_per_accelerator"] == pytest.approx(226, rel=0.02)
    # two boards of 600 and 610 W, though AIPerf counted them twice
    assert {line.get("power_w_per_accelerator") for line in lines} == {None, 605.0}


def test_all_that_files_lack_is_asked_for_in_one_sentence_with_its_flags(out: Path) -> None:
    ran = _import(SGLANG, VLLM, out=out, flags=())
    assert ran.sentence == (
        "sglang_two_runs.jsonl, vllm_concurrency2.json lack the model (--model); the hardware "
        "(--hardware); the number of accelerators (--accelerators); how the model is spread over "
        "them (--parallelism, or --prefill and --decode); the precision (--precision); the serving "
        "framework (--framework); the date of the measurement (--measured-date): state what is "
        "true of the run"
    )
    assert not out.exists()
    ran = _import(*[RECORDED / "vllm_rate5.json"] * 5, out=out)
    assert ran.sentence == (
        "vllm_rate5.json, vllm_rate5.json, vllm_rate5.json and 2 more lack the concurrency "
        "(--concurrency): state what is true of the run"
    )
    ran = _import(VLLM, out=out, flags=("--parallelism", "tp1", *ONE[:6]))
    assert "lacks the number of accelerators (--accelerators): state" in ran.sentence


def test_the_same_file_twice_adds_nothing(out: Path, tmp_path: Path) -> None:
    assert _import(VLLM, out=out).json["files"][0]["points_added"] == 3
    before = out.read_bytes()
    copy = tmp_path / "copy.json"
    copy.write_bytes(VLLM.read_bytes())
    for files in ((VLLM,), (VLLM, VLLM), (copy,)):
        ran = _import(*files, out=out)
        assert ran.code == 0
        assert ran.json["files"][0]["points_added"] == 0
        assert ran.json["files"][0]["points_standing"] == 3
        assert out.read_bytes() == before


def test_a_file_named_twice_at_once_is_added_once(out: Path) -> None:
    ran = _import(VLLM, VLLM, out=out)
    assert [one["points_added"] for one in ran.json["files"]] == [3, 0]
    assert len(_lines(out)) == 3


def test_an_import_adds_to_what_stands_and_changes_none_of_it(out: Path) -> None:
    _import(VLLM, out=out)
    before = out.read_bytes()
    out.write_bytes(before.rstrip(b"\n"))  # as an editor may leave it
    assert _import(GUIDELLM, out=out).code == 0
    assert out.read_bytes().startswith(before)
    assert len(_lines(out)) == 9


def test_the_same_measurement_with_other_facts_is_refused(out: Path) -> None:
    _import(VLLM, out=out)
    before = out.read_bytes()
    flags = ("--parallelism", "tp2", *ONE[:6], "--accelerators", "2")
    sentence = _import(GUIDELLM, VLLM, out=out, flags=flags).sentence
    assert sentence.startswith("vllm_concurrency2.json:1: stands already, from vllm_concurrency2")
    assert "on 1 h100_sxm" in sentence
    assert out.read_bytes() == before


def test_one_file_that_is_none_keeps_all_from_being_added(out: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"hello": 1}')
    sentence = _import(VLLM, tmp_path / "other.json", out=out).sentence
    assert sentence.startswith("other.json: is of no format that is read here (aiconfigurator, inf")
    assert not out.exists()
    assert "cannot be read" in _import(VLLM, tmp_path / "absent.json", out=out).sentence
    assert not out.exists()


def test_a_row_that_is_not_plausible_is_named_and_the_others_are_added(
    out: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(recorded_json(VLLM.name) | {"max_concurrency": 64}))
    ran = _import(wrong, GUIDELLM, out=out)
    assert ran.code == 1
    assert ran.json["files"][0]["refused"] == [
        {
            "row": 1,
            "kind": "implausible",
            "reason": "by Little's law 1.998 requests are under way, not 64",
        }
    ]
    assert ran.err.startswith("tokenworks: wrong.json:1: implausible: by Little's law 1.998")
    assert len(_lines(out)) == 6
    assert _import(wrong, out=out).code == 1
    assert len(_lines(out)) == 6


def test_a_format_may_be_said_and_a_wrong_one_is_noticed(out: Path) -> None:
    assert _import(VLLM, out=out, flags=("--format-of", "vllm", *ONE)).code == 0
    ran = _import(VLLM, out=out, flags=("--format-of", "guidellm", *ONE))
    assert "metadata.version is None; only version 2" in ran.sentence


def test_lengths_that_were_sampled_take_a_nominal_shape_and_its_factor(out: Path) -> None:
    # true means 256.8 and 64; nominal 285 and 71 at .9 are 256.5 and 63.9
    shape = ("--input-tokens", "285", "--output-tokens", "71", "--length-factor", "0.9")
    assert _import(VLLM, out=out, flags=(*ONE, *shape)).code == 0
    assert {line["length_factor"] for line in _lines(out)} == {0.9}
    assert _lines(out)[0]["shape"] == {"input_tokens": 285, "output_tokens": 71}
    ran = _import(GUIDELLM, out=out, flags=(*ONE, "--input-tokens", "512", "--output-tokens", "64"))
    assert ran.code == 1
    assert "lengths differ: its mean input is 256 tokens, 0.5 of the stated 512, not 1" in ran.err


def test_disaggregated_serving_is_stated_by_its_two_pools(out: Path) -> None:
    flags = (*ONE[:6], "--prefill", "2xtp4", "--decode", "1xtp8", "--speculative", "mtp")
    ran = _import(VLLM, out=out, flags=flags)
    assert (ran.code, ran.json["points"][0]["accelerators"]) == (0, 16)
    setup = _lines(out)[0]["setup"]
    assert setup["prefill"]["workers"] == 2
    assert setup["decode"]["parallelism"]["tp"] == 8
    assert setup["speculative"] == "mtp"


@pytest.mark.parametrize(
    "flags, said",
    [
        (("--parallelism", "8"), '"8" is no spread of accelerators; write it as tp8 pp1 dp1'),
        (("--prefill", "tp8"), '"tp8" is no pool of workers; write it as 4xtp8'),
        (("--measured-date", "26.11."), '"26.11." is not a date; write it as 2026-02-13'),
        (("--rename", "h200"), 'must be THEIRS=OURS, not "h200"'),
        (("--rename", "h200=x"), 'no model or hardware of these files is called "h200"'),
        (("--concurrency", "3"), "says itself that the concurrency is 2, not 3; leave that out"),
    ],
)
def test_a_wrong_statement_is_one_sentence(out: Path, flags: tuple[str, ...], said: str) -> None:
    assert said in _import(VLLM, out=out, flags=(*ONE, *flags)).sentence
    assert not out.exists()


def test_the_table_counts_flags_and_csv_holds_them(out: Path, tmp_path: Path) -> None:
    ran = _import(GUIDELLM, out=out, shape="table")
    assert "Added points" in ran.text
    assert "guidellm_concurrent.json (guidellm): 6 new, 0 known, 0 refused" in ran.err
    assert "flag accelerators_stated: 6 points" in ran.err
    assert "flag cached_input: 6 points" in ran.err
    ran = _import(GUIDELLM, out=tmp_path / "again.jsonl", shape="csv")
    rows = list(csv.DictReader(io.StringIO(ran.text)))
    assert [row["statistic"] for row in rows] == ["mean", "p50", "p95"] * 2
    assert "accelerators_stated" in rows[0]["flags"]


def test_figures_leave_as_decimals_of_nine_digits(out: Path) -> None:
    point = _import(VLLM, out=out).json["points"][0]
    assert point["output_tokens_per_s_per_accelerator"] == "230.429544"
    assert (point["row"], point["shape"], point["concurrency"]) == ("1", "257/64", 2)


@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not beside this repository")
def test_true_files_in_the_older_spelling_make_a_sweep_of_medians(out: Path) -> None:
    flags = ("--hardware", "h200_sxm", "--precision", "fp8", "--framework", "sglang")
    files = sorted(SHARED.glob("inferencex_glm5_*.json"))
    assert len(files) == 6
    ran = _import(*files, out=out, flags=(*flags, "--accelerators", "8", "--parallelism", "tp8"))
    assert ran.code == 0
    lines = sorted(_lines(out), key=lambda line: int(line["concurrency"]))
    assert [line["concurrency"] for line in lines] == [4, 8, 16, 32, 48, 64]
    assert {(line["statistic"], line["shape"]["input_tokens"]) for line in lines} == {("p50", 8192)}
    assert {line["source"]["measured_date"] for line in lines} == {"2026-02-13"}
    # the first: 39.7 ms per token is 25.2 tokens/s for a user
    assert lines[0]["interactivity_tokens_per_s"] == pytest.approx(25.18, abs=0.01)


def test_the_published_schema_names_the_fields_of_a_line(out: Path) -> None:
    _import(VLLM, out=out)
    schema = tokenworks("schema", "operating-point").json
    line = _lines(out)[0]
    assert line.keys() <= schema["properties"].keys()
    assert set(schema["required"]) <= line.keys()
    assert schema["additionalProperties"] is False


# Deriving from measurement files.


@pytest.mark.usefixtures("measured")
def test_prices_from_an_imported_file_are_those_from_its_origin(documents: Path, out: Path) -> None:
    ran = _import("aiconfigurator", out=out, flags=(), shape="table")
    assert ran.code == 1  # the rows that no cost may rest on, each named
    assert "more points (--format json shows all)" in ran.err
    books = [
        _derived(documents, *places)
        for places in (
            ["aiconfigurator"],
            [str(out)],
            [str(out), "aiconfigurator", "aiconfigurator"],
        )
    ]
    assert books[0]["rate_cards"] == books[1]["rate_cards"] == books[2]["rate_cards"]
    named = [
        [one["name"] for one in book["derived_from"] if one["role"] == "measurement"]
        for book in books
    ]
    assert [len(one) for one in named] == [1, 1, 2]
    assert named[1] == ["measurements.jsonl"]


def _derived(documents: Path, *places: str) -> Json:
    path = documents / "candidate.json"
    ran = tokenworks(
        *("price", "derive", "--factory", documents / "factory.yaml"),
        *("--policy", documents / "policy-demo.yaml"),
        *(word for place in places for word in ("--measurements", place)),
        *("--number", "1", "--effective-from", "2026-12-01T00:00:00Z", "--out", path),
        *("--format", "json"),
    )
    assert ran.code == 0, ran.err
    return json.loads(path.read_bytes())


def test_a_file_that_does_not_say_all_has_to_be_imported_first(documents: Path) -> None:
    ran = tokenworks(
        *("price", "derive", "--factory", documents / "factory.yaml"),
        *("--policy", documents / "policy-demo.yaml", "--measurements", VLLM, "--number", "1"),
        *("--effective-from", "2026-12-01T00:00:00Z", "--out", documents / "candidate.json"),
    )
    assert ran.sentence == (
        "vllm_concurrency2.json: is a vllm file, which does not say all that a cost needs; make a "
        "measurement file of it with `tokenworks measure import`"
    )


# Telemetry.


def _scraped(folder: Path, name: str, *, tokens: int, millijoules: int) -> list[Path]:
    served, drawn = folder / f"vllm-{name}.txt", folder / f"dcgm-{name}.txt"
    served.write_text(
        f'vllm:prompt_tokens_total{{model_name="m"}} {2 * tokens}\n'
        f'vllm:generation_tokens_total{{model_name="m"}} {tokens}\n'
    )
    drawn.write_text(
        "# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter\n"
        f'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{{UUID="GPU-1",modelName="H100"}} {millijoules}\n'
    )
    return [served, drawn]


def _window(before: list[Path], after: list[Path], *flags: str, shape: str = "json") -> Ran:
    return tokenworks(
        *("measure", "window"),
        *(word for path in before for word in ("--before", path)),
        *(word for path in after for word in ("--after", path)),
        *flags,
        *("--format", shape),
    )


def test_tokens_and_energy_of_a_window_stand_side_by_side(tmp_path: Path) -> None:
    # 43,200 tokens out in 12 hours of 43,200 s, and 30,240,000 J in them: 700 W
    before = _scraped(tmp_path, "before", tokens=100, millijoules=5_000)
    after = _scraped(tmp_path, "after", tokens=43_300, millijoules=30_240_005_000)
    ran = _window(before, after, *HALF_A_DAY)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {
        "schema": "tokenworks.window/1",
        "tokens": [
            {
                "model": "m",
                "start_at": "2026-10-01T00:00:00Z",
                "end_at": "2026-10-01T12:00:00Z",
                "seconds": "43200",
                "input_tokens": 86_400,
                "cached_input_tokens": None,
                "output_tokens": 43_200,
                "requests": None,
                "ttft_ms_mean": None,
                "tpot_ms_mean": None,
                "dropped_intervals": 0,
            }
        ],
        "energy": [
            {
                "accelerator": "GPU-1",
                "hardware": "H100",
                "start_at": "2026-10-01T00:00:00Z",
                "end_at": "2026-10-01T12:00:00Z",
                "seconds": "43200",
                "joules": "30240000",
                "dropped_intervals": 0,
                "power_w": "700",
            }
        ],
    }
    rows = list(csv.DictReader(io.StringIO(_window(before, after, *HALF_A_DAY, shape="csv").text)))
    assert [(row["name"], row["output_tokens"], row["power_w"]) for row in rows] == [
        ("m", "43200", ""),
        ("GPU-1", "", "700"),
    ]


def test_a_window_without_its_moments_or_with_a_restart_says_nothing(tmp_path: Path) -> None:
    before = _scraped(tmp_path, "before", tokens=100, millijoules=5_000)
    after = _scraped(tmp_path, "after", tokens=50, millijoules=6_000)
    sentence = _window(before, after).sentence
    assert sentence.startswith("--before-at, --after-at: a scrape does not say when it was made")
    sentence = _window(before, after, *HALF_A_DAY).sentence
    assert "counters of m fell, came or went since vllm-before.txt, dcgm-before.txt" in sentence


def test_a_text_of_neither_exporter_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("up 1\n")
    sentence = _window([other], [other], *HALF_A_DAY).sentence
    assert sentence == (
        "other.txt: holds neither token counters of vLLM nor energy counters of DCGM"
    )


@pytest.mark.usefixtures("measured")
def test_a_file_that_is_given_under_two_names_counts_once(tmp_path: Path) -> None:
    _, sample = read_measurements("aiconfigurator")
    names = [str(tmp_path / name) for name in ("first.csv", "second.csv")]
    for name in names:
        # Rows 33 and 34 are refused: 16 accelerators, where a box holds 8.
        Path(name).write_bytes(b"".join(sample.splitlines(keepends=True)[:35]))
    files, once = read_all_measurements(names[:1])
    assert once.points
    assert once.refused
    assert read_all_measurements(names) == (files, once)

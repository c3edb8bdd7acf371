"""The measurement file: what is written is read back to the last digit, or refused by its line."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.measurement import (
    AnySetup,
    DisaggregatedSetup,
    OperatingPoint,
    Parallelism,
    Role,
    Setup,
    Shape,
    Source,
)
from pricing_rules.cost.readers.measurement_file import (
    measurement_lines,
    new_points,
    read_measurement_file,
)
from pricing_rules.document import DocumentError
from tests.pricing_rules.cost.made_points import made_point, made_setup
from tests.pricing_rules.cost.readers.made_runs import Json

SHA = "sha256:" + "a" * 64
POINT = replace(
    made_point(50.0, output=1000.0),
    source=Source(file="run.json", sha256=SHA, rows=(1,), measured_date="2026-02-13", note=""),
)

_counts = st.integers(1, 10**6)
_names = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20)
_figures = st.floats(1e-9, 1e12)
_spreads = st.builds(
    Parallelism, tp=_counts, pp=_counts, dp=_counts, moe_tp=_counts, moe_ep=_counts
)
_roles = st.builds(Role, workers=_counts, parallelism=_spreads)
_setups: st.SearchStrategy[AnySetup] = st.one_of(
    st.builds(
        Setup,
        model=_names,
        hardware=_names,
        framework=_names,
        framework_version=st.none() | _names,
        precision=_names,
        parallelism=_spreads,
        accelerators=_counts,
        speculative=st.none() | _names,
    ),
    st.builds(
        DisaggregatedSetup,
        model=_names,
        hardware=_names,
        framework=_names,
        framework_version=st.none() | _names,
        precision=_names,
        prefill=_roles,
        decode=_roles,
        speculative=st.none() | _names,
    ),
)


@st.composite
def points(draw: st.DrawFn) -> OperatingPoint:
    """Any operating point that a reader may make."""
    power_w = draw(st.none() | _figures)
    return OperatingPoint(
        setup=draw(_setups),
        shape=Shape(input_tokens=draw(_counts), output_tokens=draw(_counts)),
        length_factor=draw(_figures),
        concurrency=draw(_counts),
        input_tokens_per_s_per_accelerator=draw(_figures),
        output_tokens_per_s_per_accelerator=draw(_figures),
        interactivity_tokens_per_s=draw(_figures),
        ttft_ms=draw(_figures),
        statistic=draw(st.sampled_from(["mean", "p50", "p95"])),
        power_w_per_accelerator=power_w,
        power_kind=None if power_w is None else draw(st.sampled_from(["board", "it", "facility"])),
        source=Source(
            file=draw(_names),
            sha256=SHA,
            rows=tuple(draw(st.lists(_counts, min_size=1, max_size=3))),
            measured_date=draw(st.none() | st.dates().map(lambda day: day.isoformat())),
            note=draw(st.text(max_size=20).filter(lambda text: text.isprintable())),
        ),
        flags=tuple(draw(st.lists(_names, max_size=2))),
    )


@given(st.lists(points(), min_size=1, max_size=5, unique=True))
def test_what_is_written_is_read_back_to_the_last_digit(made: list[OperatingPoint]) -> None:
    found = read_measurement_file(measurement_lines(made), name="m.jsonl")
    assert list(found.points) == made
    assert found.refused == ()
    assert measurement_lines(found.points) == measurement_lines(made)


def test_a_line_is_plain_json_with_its_schema() -> None:
    line = measurement_lines([POINT])
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "schema": "tokenworks.operating-point/1",
        "setup": {
            "model": "m",
            "hardware": "h100_sxm",
            "framework": "vllm",
            "precision": "fp8",
            "parallelism": {"tp": 1, "pp": 1, "dp": 1, "moe_tp": 1, "moe_ep": 1},
            "accelerators": 1,
        },
        "shape": {"input_tokens": 1000, "output_tokens": 1000},
        "length_factor": 1.0,
        "concurrency": 1,
        "input_tokens_per_s_per_accelerator": 1000.0,
        "output_tokens_per_s_per_accelerator": 1000.0,
        "interactivity_tokens_per_s": 50.0,
        "ttft_ms": 100.0,
        "statistic": "mean",
        "source": {
            "file": "run.json",
            "sha256": SHA,
            "rows": [1],
            "measured_date": "2026-02-13",
            "note": "",
        },
    }


def test_a_line_that_stands_twice_is_one_point_and_blank_lines_are_none() -> None:
    line = measurement_lines([POINT])
    assert read_measurement_file(line + b"\n" + line, name="m.jsonl").points == (POINT,)


def _changed(path: tuple[str, ...], value: Json) -> bytes:
    """The line of the point with one value changed; None takes it out."""
    line = json.loads(measurement_lines([POINT]))
    at = line
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    if value is None:
        del at[path[-1]]
    return json.dumps(line).encode()


POOL = {"workers": 1, "parallelism": {"tp": 1, "pp": 1, "dp": 1, "moe_tp": 1, "moe_ep": 1}}


@pytest.mark.parametrize(
    "path, value, said",
    [
        (("schema",), "tokenworks.operating-point/2", "schema: input should be"),
        (("ttft_ms",), 0, "ttft_ms: input should be greater than or equal to 0.000000001"),
        (("ttft_ms",), "100", "ttft_ms: input should be a valid number"),
        (("concurrency",), 1.5, "concurrency: must be a whole number"),
        (("statistic",), "p99", "statistic: input should be 'mean', 'p50' or 'p95'"),
        (("power_w_per_accelerator",), 700.0, "power_w_per_accelerator and power_kind go together"),
        (("power_kind",), "board", "power_w_per_accelerator and power_kind go together"),
        (("speed",), 1, "speed: unknown field"),
        (("setup", "accelerators"), None, "setup: a set-up has either parallelism and accelerator"),
        (("setup", "prefill"), POOL, "setup: a set-up has either parallelism and accelerators or"),
        (("setup", "model"), None, "setup.model: missing field; add it"),
        (("source", "rows"), [], "source.rows: must hold at least 1, and holds 0"),
        (("source", "sha256"), "sha256:0", "source.sha256: string should match pattern"),
        (("source", "measured_date"), "2026-02-30", '"2026-02-30" is not a date; write it as'),
        (("source", "measured_date"), "13.02.2026", "source.measured_date: string should match"),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_path(
    path: tuple[str, ...], value: Json, said: str
) -> None:
    data = measurement_lines([POINT]) + _changed(path, value)
    with pytest.raises(DocumentError) as refused:
        read_measurement_file(data, name="m.jsonl")
    assert str(refused.value).startswith("m.jsonl:2")
    assert said in str(refused.value)


def test_pools_alone_make_a_disaggregated_set_up_and_one_of_them_makes_none() -> None:
    line = json.loads(measurement_lines([POINT]))
    del line["setup"]["parallelism"], line["setup"]["accelerators"]
    line["setup"] |= {"prefill": POOL, "decode": POOL}
    (point,) = read_measurement_file(json.dumps(line).encode(), name="m.jsonl").points
    assert isinstance(point.setup, DisaggregatedSetup)
    assert point.setup.accelerators == 2
    del line["setup"]["decode"]
    with pytest.raises(DocumentError, match="a prefill and a decode pool"):
        read_measurement_file(json.dumps(line).encode(), name="m.jsonl")


def test_a_file_without_a_point_is_refused() -> None:
    with pytest.raises(DocumentError, match="the file holds no operating points"):
        read_measurement_file(b"\n\n", name="m.jsonl")


def test_what_could_not_be_read_back_is_not_written() -> None:
    wrong = replace(POINT, setup=replace(POINT.setup, model="a\x07b"))
    with pytest.raises(DocumentError, match=r"run.json:1 setup.model: must not hold the control"):
        measurement_lines([wrong])


def test_a_measurement_that_stands_already_is_not_new() -> None:
    other = replace(POINT, statistic="p95")
    assert new_points([POINT, other, POINT], standing=[POINT]) == (other,)
    assert new_points([POINT, POINT], standing=[]) == (POINT,)


def test_a_copy_of_a_file_under_another_name_is_the_file() -> None:
    copy = replace(POINT, source=replace(POINT.source, file="copy.json"))
    assert new_points([copy], standing=[POINT]) == ()


def test_a_measurement_that_stands_with_other_facts_is_refused() -> None:
    other = replace(POINT, setup=made_setup(tp=8))
    with pytest.raises(DocumentError) as refused:
        new_points([other], standing=[POINT])
    assert str(refused.value) == (
        "run.json:1: stands already, from run.json, as m fp8 on 1 h100_sxm, vllm (no version), "
        "tp1 pp1 dp1 moe_tp1 moe_ep1 at 1000/1000; take it out there, or write to another file"
    )

"""What the measured sample of the installed aiconfigurator supports, figure by figure."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from pricing_rules.cost.interpolation import Interpolation, linear, steffen
from pricing_rules.cost.measurement import DisaggregatedSetup, Sweep, sweeps_of
from pricing_rules.cost.readers.aiconfigurator import read_silicon_sample
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.cost.shape_fit import (
    FitRefusal,
    MeanShape,
    SetupChoice,
    ShapeFit,
    choose_setup,
    fit_setups,
    place_in_hull,
)
from pricing_rules.cost.unit_cost import unit_costs
from tests.pricing_rules.cost.made_points import made_hour

SHA256 = "sha256:4240bfaf555b6f8b2c62512074e5efbb7791cdbb0344b068408f397588499adb"
PRECISIONS = {"MiniMax-M2.5": "fp8", "gpt-oss-120b": "fp4", "Llama-3.1-70B": "fp8"}
USD_PER_HOUR = {"h100_sxm": 1.17, "h200_sxm": 1.22, "b200_sxm": 1.73}
REFERENCE = MeanShape(fresh_input_tokens=8192, cache_read_tokens=0, output_tokens=1024)


@dataclass(frozen=True, slots=True)
class Published:
    """A row of a table computed independently in November 2026: straight lines, 50 tokens/s."""

    model: str
    hardware: str
    a_us: int
    b_us: int
    usd_in: float
    usd_out: float
    worst: float


TABLE = [
    Published("MiniMax-M2.5", "h100_sxm", 290, 2537, 0.094, 0.825, -0.13),
    Published("MiniMax-M2.5", "h200_sxm", 296, 1567, 0.100, 0.531, -0.01),
    Published("MiniMax-M2.5", "b200_sxm", 146, 1307, 0.070, 0.628, -0.05),
    Published("gpt-oss-120b", "h100_sxm", 65, 425, 0.021, 0.138, -0.04),
    Published("gpt-oss-120b", "h200_sxm", 42, 341, 0.014, 0.116, -0.18),
    Published("gpt-oss-120b", "b200_sxm", 10, 96, 0.005, 0.046, 0.0),
    Published("Llama-3.1-70B", "h100_sxm", 477, 1107, 0.155, 0.360, -0.38),
    Published("Llama-3.1-70B", "h200_sxm", 284, 468, 0.096, 0.159, -0.17),
    Published("Llama-3.1-70B", "b200_sxm", 136, 237, 0.065, 0.114, -0.25),
]
each_row = pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.model}-{row.hardware}")


@cache
def measurements() -> Measurements:
    """The sample as read, or a skip where the package or its version is another."""
    found = importlib.util.find_spec("aiconfigurator_core")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package aiconfigurator_core is not installed")
    file = Path(found.submodule_search_locations[0]) / "systems" / "silicon_sample.csv"
    if not file.is_file():
        pytest.skip("the installed aiconfigurator_core has no systems/silicon_sample.csv")
    read = read_silicon_sample(file.read_bytes(), name="silicon_sample.csv")
    if read.points[0].source.sha256 != SHA256:
        pytest.skip("the installed aiconfigurator_core holds another silicon_sample.csv")
    return read


@cache
def sweeps() -> tuple[Sweep, ...]:
    return sweeps_of(measurements().points)


def choice(
    model: str,
    *,
    hardware: str,
    promise: float | None = 50,
    interpolate: Interpolation = steffen,
) -> SetupChoice:
    wanted = (model, hardware, PRECISIONS[model])
    outcomes = fit_setups(
        [s for s in sweeps() if (s.setup.model, s.setup.hardware, s.setup.precision) == wanted],
        promised_tokens_per_s=promise,
        cached_share=0.1,
        interpolate=interpolate,
    )
    return choose_setup(outcomes, reference_shape=REFERENCE)


def chosen(
    model: str,
    *,
    hardware: str,
    promise: float | None = 50,
    interpolate: Interpolation = steffen,
) -> ShapeFit:
    found = choice(model, hardware=hardware, promise=promise, interpolate=interpolate).chosen
    assert found is not None
    return found


def test_every_row_is_in_a_point_or_refused() -> None:
    found = measurements()
    rows = [row for point in found.points for row in point.source.rows]
    rows += [refused.row for refused in found.refused]
    assert sorted(rows) == list(range(2, 5223))
    assert len(found.points) == 2454 + 267
    # 274 of the 1,602 disaggregated rows say their workers, and 7 of those lack the concurrency.
    assert found.refused_counts() == {
        "accelerator count unknown": 1328,
        "suspect accelerators": 415,
        "precision missing": 366,
        "concurrency missing": 12 + 7,
        "suspect concurrency": 12,
    }


@each_row
def test_the_published_fits_are_reproduced_to_rounding(row: Published) -> None:
    found = chosen(row.model, hardware=row.hardware, interpolate=linear)
    a_us, b_us = found.fit.a_us_per_input_token, found.fit.b_us_per_output_token
    assert len(found.shapes) == 3
    # One figure of the eighteen is off by one: 424.46 for gpt-oss on H100, published as 425.
    assert round(a_us) == row.a_us
    assert b_us == pytest.approx(row.b_us, abs=0.55)
    assert min(s.residual_fit for s in found.shapes) == pytest.approx(row.worst, abs=0.0051)
    usd_per_s = USD_PER_HOUR[row.hardware] / 3600
    assert (round(a_us * usd_per_s, 3), round(b_us * usd_per_s, 3)) == (row.usd_in, row.usd_out)
    assert found.used == ("cover" if row.worst < -0.05 else "fit")


@each_row
def test_the_monotone_cubic_is_within_5_percent_of_the_straight_lines(row: Published) -> None:
    # Largest: MiniMax on B200, 140.5/1356.8 against 145.9/1306.6, -3.7 % and +3.8 %
    by_lines = chosen(row.model, hardware=row.hardware, interpolate=linear)
    by_cubic = chosen(row.model, hardware=row.hardware)
    assert by_cubic.setup == by_lines.setup
    for cubic, lines in (
        (by_cubic.fit.a_us_per_input_token, by_lines.fit.a_us_per_input_token),
        (by_cubic.fit.b_us_per_output_token, by_lines.fit.b_us_per_output_token),
    ):
        assert cubic == pytest.approx(lines, rel=0.05)


def test_llama_on_h100_is_covered_at_an_overcharge_that_is_a_finding() -> None:
    # Published: .160 in, .596 out, its worst shape overcharged by 88 %
    found = chosen("Llama-3.1-70B", hardware="h100_sxm", interpolate=linear)
    costs = {c.unit: c.usd_per_mtok for c in unit_costs(found, hour=made_hour(1.17))}
    assert costs["input_tokens"] == pytest.approx(0.160, abs=5e-4)
    assert costs["output_tokens"] == pytest.approx(0.596, abs=5e-4)
    assert found.overcharge_worst == pytest.approx(0.88, abs=0.005)
    assert found.overcharge_is_finding


def test_minimax_is_bracketed_by_its_sweeps_and_the_others_clamp_a_shape_or_two() -> None:
    for row in TABLE:
        clamped = chosen(row.model, hardware=row.hardware).clamped
        assert len(clamped) in ((0,) if row.model == "MiniMax-M2.5" else (1, 2))


@pytest.mark.parametrize(
    "model, hardware", [("MiniMax-M2.5", "h100_sxm"), ("Llama-3.1-70B", "h100_sxm")]
)
def test_100_tokens_per_s_is_unreachable_for_some_and_says_so(model: str, hardware: str) -> None:
    found = choice(model, hardware=hardware, promise=100)
    assert found.chosen is None
    assert found.refused
    for refusal in found.refused:
        assert isinstance(refusal, FitRefusal)
        assert refusal.kind == "unreachable"
        for shape in refusal.unreachable:
            assert shape.fastest_tokens_per_s is None or shape.fastest_tokens_per_s < 100


def test_no_promise_and_a_promise_of_20_cost_minimax_the_same() -> None:
    for hardware in USD_PER_HOUR:
        free = chosen("MiniMax-M2.5", hardware=hardware, promise=None)
        slow = chosen("MiniMax-M2.5", hardware=hardware, promise=20)
        assert (slow.a_us_per_input_token, slow.b_us_per_output_token) == pytest.approx(
            (free.a_us_per_input_token, free.b_us_per_output_token)
        )


def test_saturated_points_never_reach_a_fit() -> None:
    # Lines 4212 to 4220: concurrency 512 with a TTFT of 20 to 462 s
    saturated = set(range(4212, 4221))
    for promise in (None, 20.0, 50.0):
        found = choice("gpt-oss-120b", hardware="h100_sxm", promise=promise)
        assert found.chosen is not None
        for fit in (found.chosen, *found.passed_over):
            for shape in fit.shapes:
                for weighted in shape.reading.points:
                    assert not saturated & set(weighted.point.source.rows)


def test_reasoning_traffic_lies_outside_the_measured_shapes() -> None:
    found = chosen("MiniMax-M2.5", hardware="h200_sxm")
    request = MeanShape(fresh_input_tokens=500, cache_read_tokens=0, output_tokens=4000)
    verdict = place_in_hull(request, shapes=found.shapes)
    assert (verdict.inside, verdict.nearest.text) == (False, "1024/8192")


def disaggregated() -> tuple[Sweep, ...]:
    return tuple(s for s in sweeps() if isinstance(s.setup, DisaggregatedSetup))


def test_each_disaggregated_row_that_says_its_workers_is_one_point() -> None:
    points = [p for p in measurements().points if isinstance(p.setup, DisaggregatedSetup)]
    assert len(points) == sum(len(point.source.rows) for point in points) == 267
    assert len({point.setup for point in points}) == 111
    assert {point.flags for point in points} == {("derived",)}


@pytest.mark.parametrize("promise, able", [(None, 82), (30, 71), (50, 57), (75, 35), (100, 25)])
def test_so_many_disaggregated_set_ups_keep_a_promise_without_a_fit(
    promise: float | None, able: int
) -> None:
    outcomes = fit_setups(disaggregated(), promised_tokens_per_s=promise, cached_share=0.1)
    fits = [outcome for outcome in outcomes if isinstance(outcome, ShapeFit)]
    assert (len(outcomes), len(fits)) == (111, able)
    for fit in fits:
        assert fit.used == "roles"
        assert min(shape.residual_cover for shape in fit.shapes) >= -1e-12
        if len(fit.shapes) == 1:
            assert fit.overcharge_worst == pytest.approx(0, abs=1e-9)


def test_a_real_disaggregated_point_is_as_its_row_says() -> None:
    # A GB200 row: 4 + 32 accelerators, concurrency 4, TTFT 195.513 ms, TPOT 5.31683 ms. 921.6
    # tokens take .195513 + 920.6 x .00531683 = 5.09019 s; 4 at a time are .785825 requests/s, of
    # 921.6 tokens each: 724.216 tokens/s, 22.632 per decode accelerator and, of input, 181.054 per
    # prefill one
    (point,) = (
        p
        for p in measurements().points
        if p.setup.model == "Kimi-K2.5"
        and (p.concurrency, p.shape.text) == (4, "1024/1024")
        and abs(p.ttft_ms - 195.51323120103916) < 1e-9
    )
    setup = point.setup
    assert isinstance(setup, DisaggregatedSetup)
    assert (setup.prefill.accelerators, setup.decode.accelerators) == (4, 32)
    whole = point.output_tokens_per_s_per_accelerator * setup.accelerators
    assert whole == pytest.approx(724.216, abs=0.01)
    assert whole / setup.decode.accelerators == pytest.approx(22.632, abs=1e-3)
    fed = point.input_tokens_per_s_per_accelerator * setup.accelerators
    assert fed / setup.prefill.accelerators == pytest.approx(181.054, abs=5e-3)


def test_a_disaggregated_set_up_is_chosen_where_nothing_else_is_measured() -> None:
    # GB300 has no aggregated rows of DeepSeek-V3 in fp8. One set-up has three shapes there, and at
    # one of them its prefill pool idles: its cover would take 565 s of a request. 40 + 32
    # accelerators are measured at the reference shape and take 1.63 s.
    outcomes = fit_setups(
        [
            s
            for s in sweeps()
            if (s.setup.model, s.setup.hardware, s.setup.precision)
            == ("DeepSeek-V3", "gb300", "fp8")
        ],
        promised_tokens_per_s=50,
        cached_share=0.1,
    )
    choice = choose_setup(outcomes, reference_shape=REFERENCE)
    assert choice.chosen is not None
    assert choice.chosen.setup.text.startswith("DeepSeek-V3 fp8 on 40+32 gb300, sglang")
    assert [shape.reading.shape.text for shape in choice.chosen.shapes] == ["8192/1024"]
    assert choice.chosen.accelerator_s(REFERENCE) == pytest.approx(1.63, abs=0.01)
    (broad,) = (fit for fit in choice.passed_over if len(fit.shapes) == 3)
    assert broad.accelerator_s(REFERENCE) == pytest.approx(565, abs=1)

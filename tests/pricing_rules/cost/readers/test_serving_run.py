"""From a run and what is stated of it to points: what it lacks, what is not plausible."""

from __future__ import annotations

from typing import Any

import pytest

from pricing_rules.cost.measurement import DisaggregatedSetup, OperatingPoint, Setup, Shape
from pricing_rules.cost.readers.measurements import RowError
from pricing_rules.cost.readers.serving_run import (
    BoardPower,
    ServingRun,
    Timing,
    agree,
    lacking,
    points_of,
)
from pricing_rules.cost.readers.stated_facts import FACTS, StatedFacts, parse_role
from pricing_rules.document import DocumentError
from tests.pricing_rules.cost.readers.made_runs import TP8, made_facts, made_run

SHA = "sha256:" + "0" * 64


def read(run: ServingRun, *, stated: StatedFacts | None = None) -> tuple[OperatingPoint, ...]:
    return points_of(run, stated=stated or made_facts(), file="run.json", sha256=SHA)


def refusal(run: ServingRun, *, stated: StatedFacts | None = None) -> tuple[str, str]:
    with pytest.raises(RowError) as refused:
        read(run, stated=stated)
    return refused.value.kind, str(refused.value)


def test_throughput_is_that_of_the_server_over_the_stated_accelerators() -> None:
    # 1,000 in and 100 out a second on 8: 125 and 12.5 each; 1000 / 40 ms = 25 tokens/s per user
    (point,) = read(made_run())
    assert isinstance(point.setup, Setup)
    assert point.setup.text == (
        "m fp8 on 8 h200_sxm, vllm (no version), tp8 pp1 dp1 moe_tp1 moe_ep1"
    )
    assert point.input_tokens_per_s_per_accelerator == 125.0
    assert point.output_tokens_per_s_per_accelerator == 12.5
    assert (point.interactivity_tokens_per_s, point.ttft_ms) == (25.0, 40.0)
    assert (point.shape, point.length_factor) == (Shape(input_tokens=1000, output_tokens=100), 1.0)
    assert point.source.file == "run.json"
    assert (point.source.sha256, point.source.rows) == (SHA, (1,))
    assert (point.source.measured_date, point.source.note) == ("2026-02-13", "made up")


def test_a_run_gives_a_point_per_statistic() -> None:
    timings = (
        Timing(statistic="mean", ttft_ms=40.0, tpot_ms=40.0),
        Timing(statistic="p95", ttft_ms=90.0, tpot_ms=50.0),
    )
    mean, slow = read(made_run(timings=timings))
    assert (mean.statistic, slow.statistic) == ("mean", "p95")
    assert (slow.interactivity_tokens_per_s, slow.ttft_ms) == (20.0, 90.0)  # 1000 / 50
    assert mean.output_tokens_per_s_per_accelerator == slow.output_tokens_per_s_per_accelerator


def test_a_run_without_a_pair_of_times_is_refused() -> None:
    assert refusal(made_run(timings=()))[0] == "statistic missing"


def test_all_that_a_run_lacks_is_named_at_once() -> None:
    bare = made_run(model=None, concurrency=None, measured_date=None, is_speculative=True)
    assert lacking(bare, stated=StatedFacts()) == tuple(FACTS)
    assert lacking(bare, stated=made_facts()) == (
        "model",
        "speculative",
        "concurrency",
        "measured_date",
    )
    assert lacking(made_run(), stated=made_facts()) == ()


def test_an_accelerator_count_is_never_guessed() -> None:
    assert "accelerators" in lacking(made_run(), stated=made_facts(accelerators=None))


def test_one_accelerator_is_spread_in_one_way_only() -> None:
    stated = made_facts(accelerators=1, parallelism=None)
    assert lacking(made_run(), stated=stated) == ()
    (point,) = read(made_run(), stated=stated)
    assert point.setup.accelerators == 1
    assert lacking(made_run(), stated=made_facts(parallelism=None)) == ("parallelism",)


def test_pools_say_the_accelerators_and_how_they_are_spread() -> None:
    # 4 x 8 + 1 x 16 = 48 accelerators; 100 / 48 tokens/s each
    stated = made_facts(
        accelerators=None,
        parallelism=None,
        prefill=parse_role("4xtp8"),
        decode=parse_role("1xtp16"),
        speculative="mtp",
    )
    assert lacking(made_run(), stated=stated) == ()
    (point,) = read(made_run(), stated=stated)
    assert isinstance(point.setup, DisaggregatedSetup)
    assert point.setup.accelerators == 48
    assert point.output_tokens_per_s_per_accelerator == pytest.approx(100 / 48)
    assert point.flags == (
        "hardware_stated",
        "precision_stated",
        "framework_stated",
        "speculative_stated",
        "pools_stated",
    )


@pytest.mark.parametrize(
    "stated, said",
    [
        ({"accelerators": 4}, "4 stated or seen, but the model is spread over 8"),
        ({"concurrency": 5}, "says itself that the concurrency is 4, not 5"),
        ({"measured_date": "2026-02-14"}, "is 2026-02-13, not 2026-02-14"),
        ({"prefill": parse_role("1xtp8")}, "are stated together or not at all"),
        ({"prefill": parse_role("1xtp4"), "decode": parse_role("1xtp4")}, "of aggregated serving"),
        (
            {"parallelism": None, "prefill": parse_role("1xtp4"), "decode": parse_role("1xtp8")},
            "8 stated or seen, but the model is spread over 12",
        ),
        ({"input_tokens": 1000}, "input and output tokens are stated together"),
        ({"length_factor": 0.9}, "needs the nominal input and output tokens"),
    ],
)
def test_what_is_stated_may_not_contradict_itself_or_the_file(
    stated: dict[str, Any], said: str
) -> None:
    with pytest.raises(DocumentError, match=said):
        read(made_run(), stated=made_facts(**stated))


def test_what_the_file_says_may_be_stated_too_and_is_not_flagged() -> None:
    (point,) = read(made_run(), stated=made_facts(concurrency=4, measured_date="2026-02-13"))
    assert not {"concurrency_stated", "measured_date_stated"} & set(point.flags)


def test_what_is_stated_is_flagged() -> None:
    run = made_run(concurrency=None, measured_date=None)
    (point,) = read(run, stated=made_facts(concurrency=4, measured_date="2026-02-13"))
    assert point.concurrency == 4
    assert point.source.measured_date == "2026-02-13"
    assert point.flags[-2:] == ("concurrency_stated", "measured_date_stated")


@pytest.mark.parametrize(
    "concurrency, kept",
    [(1, False), (2, True), (4, True), (8, True), (9, False)],  # of 4 that are under way
)
def test_littles_law_holds_within_half_and_double(concurrency: int, kept: bool) -> None:
    run = made_run(concurrency=concurrency)
    if kept:
        assert read(run)
    else:
        kind, reason = refusal(run)
        assert kind == "implausible"
        assert reason == f"by Little's law 4 requests are under way, not {concurrency}"


def test_without_a_time_per_request_littles_law_takes_ttft_and_tpot() -> None:
    # 40 + 99 x 40 = 4,000 ms again
    assert read(made_run(request_ms=None, concurrency=8))
    assert refusal(made_run(request_ms=None, concurrency=9))[0] == "implausible"


def test_lengths_that_nobody_states_are_the_rounded_means() -> None:
    (point,) = read(made_run(mean_input_tokens=1000.4, mean_output_tokens=99.6))
    assert point.shape == Shape(input_tokens=1000, output_tokens=100)
    assert point.length_factor == 1.0


@pytest.mark.parametrize("mean", [854.0, 855.0, 900.0, 945.0, 946.0])
def test_sampled_lengths_may_be_five_percent_from_the_stated_factor(mean: float) -> None:
    # 1,000 x .9 = 900, and 5 % of it is 45; the output is 100 x .9 as it should be
    run = made_run(mean_input_tokens=mean, mean_output_tokens=90.0)
    stated = made_facts(input_tokens=1000, output_tokens=100, length_factor=0.9)
    if 855 <= mean <= 945:
        (point,) = read(run, stated=stated)
        assert (point.shape.input_tokens, point.length_factor) == (1000, 0.9)
    else:
        kind, reason = refusal(run, stated=stated)
        assert kind == "lengths differ"
        assert f"its mean input is {mean:g} tokens" in reason


def test_stated_lengths_without_a_factor_are_the_means_themselves() -> None:
    stated = made_facts(input_tokens=1000, output_tokens=100)
    assert read(made_run(), stated=stated)[0].length_factor == 1.0
    assert refusal(made_run(mean_output_tokens=90.0), stated=stated)[0] == "lengths differ"


@pytest.mark.parametrize("mean, kept", [(1.9, False), (2.0, True), (2.1, True)])
def test_an_output_of_less_than_two_tokens_has_no_time_per_token(mean: float, kept: bool) -> None:
    run = made_run(mean_output_tokens=mean)
    if kept:
        assert read(run)
    else:
        assert refusal(run) == (
            "unreadable",
            "its output is too short for a time per output token",
        )


def test_watts_count_where_telemetry_saw_just_those_accelerators() -> None:
    # 8 boards draw 4,800 W: 600 W each
    (point,) = read(made_run(power=BoardPower(accelerators=8, total_w=4800.0)))
    assert (point.power_w_per_accelerator, point.power_kind) == (600.0, "board")
    (other,) = read(made_run(power=BoardPower(accelerators=16, total_w=9000.0)))
    assert (other.power_w_per_accelerator, other.power_kind) == (None, None)
    assert other.flags[-1] == "power_refused"


def test_accelerators_that_telemetry_saw_are_flagged_as_such() -> None:
    run = made_run(power=BoardPower(accelerators=8, total_w=4800.0))
    stated = made_facts(accelerators=None)
    assert lacking(run, stated=stated) == ()
    (point,) = read(run, stated=stated)
    assert "accelerators_from_telemetry" in point.flags
    assert point.setup.accelerators == 8


def test_accelerators_that_telemetry_saw_must_be_those_of_the_spread() -> None:
    run = made_run(power=BoardPower(accelerators=16, total_w=9600.0))
    with pytest.raises(DocumentError, match="16 stated or seen, but the model is spread over 8"):
        read(run, stated=made_facts(accelerators=None, parallelism=TP8))


def test_what_makes_a_run_look_better_than_it_is_is_flagged() -> None:
    run = made_run(is_concurrency_measured=True, has_cached_input=True, failed_requests=3)
    (point,) = read(run)
    assert point.flags[-3:] == ("concurrency_measured", "cached_input", "failed_requests")


@pytest.mark.parametrize(
    "value, kept", [(98.9, False), (99.0, True), (101.0, True), (102.0, False)]
)
def test_two_figures_that_must_be_one_may_differ_by_one_percent(value: float, kept: bool) -> None:
    # 1 % of the larger: 100 - 99 = 1 <= 1, 101 - 100 = 1 <= 1.01, 102 - 100 = 2 > 1.02
    if kept:
        agree("a", value=value, other="b", is_=100.0)
    else:
        with pytest.raises(RowError, match=f"a is {value:g}, but b is 100"):
            agree("a", value=value, other="b", is_=100.0)

"""The benchmark runner writes figures in one form, and the timer takes the median."""

from __future__ import annotations

import json

import pytest

from tests.bench.__main__ import bench_names, figure_line, main
from tests.bench.timing import measure


def test_a_figure_with_a_peer_has_a_ratio() -> None:
    figure = {"metric": "totals", "value": 6, "unit": "s", "peer": "other", "peer_value": 4}
    assert json.loads(figure_line(figure, bench="rating")) == {
        "bench": "rating",
        "metric": "totals",
        "value": 6,
        "unit": "s",
        "peer": "other",
        "peer_value": 4,
        "ratio": 1.5,  # 6 / 4
    }


def test_a_figure_without_a_peer_has_no_ratio() -> None:
    line = json.loads(figure_line({"metric": "quote", "value": 3, "unit": "us"}, bench="quote"))
    assert (line["peer"], line["peer_value"], line["ratio"]) == (None, None, None)


@pytest.mark.parametrize(
    "figure",
    [
        {"metric": "quote", "value": 3},
        {"metric": "quote", "value": 3, "unit": "us", "peer": "other"},
        {"metric": "quote", "value": 3, "unit": "us", "speed": 1},
    ],
)
def test_a_figure_of_another_form_is_refused(figure: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"quote: a figure has metric"):
        figure_line(figure, bench="quote")


def test_an_unknown_benchmark_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["never_written"]) == 1
    assert "never_written" in capsys.readouterr().err


def test_benchmarks_are_found_by_the_name_of_their_module() -> None:
    assert "timing" not in bench_names()


def test_the_timer_calls_once_more_than_it_counts() -> None:
    calls: list[int] = []
    assert measure(lambda: calls.append(1), repeat=3) >= 0
    assert len(calls) == 4


def test_the_timer_refuses_to_count_nothing() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        measure(lambda: None, repeat=0)

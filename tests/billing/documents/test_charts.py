"""Charts are pictures of the figures that they are given: SVG and PNG, labelled, the same twice."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from billing.documents.charts import (
    COLOURS,
    MARKS,
    Row,
    cost_chart,
    frontier_chart,
    history_chart,
    picture,
    series_scales,
)
from billing.documents.efficiency_charts import efficiency_charts
from pricing_rules.planning.efficiency_report import efficiency_report
from pricing_rules.planning.window_efficiency import measure
from tests.pricing_rules.planning.made_planning import made_window
from tests.pricing_rules.rules.made_documents import (
    figure,
    made_factory,
    made_points,
    made_policy,
    made_service_tier,
)

PNG = b"\x89PNG\r\n\x1a\n"


def row(hardware: str, x: float, y: float, *, on_frontier: bool = True) -> Row:
    return {
        "shape": "1,000 in, 1,000 out",
        "hardware": hardware,
        "interactivity": x,
        "throughput": y,
        "usd_per_mtok": 100 / y,
        "on_frontier": on_frontier,
    }


ROWS = [
    row("h100_sxm", 20, 3000),
    row("h100_sxm", 60, 1000),
    row("h100_sxm", 50, 500, on_frontier=False),
    row("mi300x", 20, 2500),
    row("mi300x", 80, 900),
]


def texts(svg: bytes) -> set[str]:
    """Every text that stands in a picture."""
    return {
        "".join(node.itertext()) for node in ET.fromstring(svg).iter() if node.tag.endswith("text")
    }


@pytest.mark.parametrize(
    "chart, axis",
    [
        (frontier_chart, "output tokens/s per accelerator"),
        (cost_chart, "USD per million tokens, input and output"),
    ],
)
def test_a_chart_says_what_it_shows_and_in_which_units(chart: object, axis: str) -> None:
    assert callable(chart)
    made = picture(chart(ROWS, title="m in standard", subtitle="fp8, mean", promise=50))
    assert made.png.startswith(PNG)
    shown = texts(made.svg)
    assert {"m in standard", "fp8, mean", axis, "output tokens/s of one user"} <= shown
    assert {"1,000 in, 1,000 out", "h100_sxm", "mi300x", "promise: 50"} <= shown


def test_without_a_promise_no_promise_is_drawn() -> None:
    made = picture(frontier_chart(ROWS, title="t", subtitle="s", promise=None))
    assert not [text for text in texts(made.svg) if text.startswith("promise")]


def test_the_same_figures_give_the_same_picture() -> None:
    first, second = (
        picture(frontier_chart(ROWS, title="t", subtitle="s", promise=50)) for _ in range(2)
    )
    assert first == second


def test_series_differ_in_colour_and_mark_and_only_the_house_font_is_named() -> None:
    svg = picture(frontier_chart(ROWS, title="t", subtitle="s", promise=50)).svg.decode()
    assert COLOURS[0].lower() in svg.lower()
    assert COLOURS[1].lower() in svg.lower()
    families = {part.split('"')[0] for part in svg.split('font-family="')[1:]}
    assert families == {"Noto Sans"}


def test_42_series_differ_in_their_colour_or_their_mark() -> None:
    colour, mark = series_scales([f"s{i}" for i in range(42)])
    pairs = set(zip(colour.to_dict()["range"], mark.to_dict()["range"], strict=True))
    assert len(pairs) == len(COLOURS) * len(MARKS) == 42


def test_a_history_has_a_line_per_series_and_its_dates() -> None:
    rows: list[Row] = [
        {"panel": "p", "series": name, "date": day, "value": value}
        for name, day, value in (
            ("real", "2026-10-01", 0.9),
            ("real", "2026-11-01", 0.8),
            ("benchmark", "2026-10-01", 0.4),
            ("benchmark", "2026-11-01", 0.4),
        )
    ]
    made = picture(
        history_chart(rows, title="Cost", subtitle="s", y_title="USD", x_title="end of window")
    )
    assert {"Cost", "USD", "end of window", "real", "benchmark", "01 Nov 2026"} <= texts(made.svg)


@pytest.mark.parametrize("text", ["a < b & 'c' \"d\"", "価格 ≤ 5", "<script>x</script>"])
def test_a_title_is_text_and_never_markup(text: str) -> None:
    assert text in texts(picture(frontier_chart(ROWS, title=text, subtitle="s", promise=1)).svg)


# What an efficiency report draws.


def test_a_report_with_measurements_draws_frontier_and_cost() -> None:
    measured = measure(made_factory(), policy=made_policy(), points=made_points())
    report = efficiency_report([made_window()], measured=measured, books=None, without=None)
    drawn = efficiency_charts(report, measured=measured)
    # One date of measurement and one window: there is no history.
    assert list(drawn) == ["frontier-m-standard", "cost-m-standard"]
    assert "m in standard: throughput against interactivity" in texts(
        drawn["frontier-m-standard"].svg
    )
    assert "promise: 60" in texts(drawn["cost-m-standard"].svg)


def test_a_report_without_measurements_and_dates_draws_nothing() -> None:
    report = efficiency_report([made_window()], measured=None, books=None, without=None)
    assert efficiency_charts(report, measured=None) == {}


def test_histories_are_of_costs_by_date_and_of_windows_of_one_service() -> None:
    costs = [
        {"measured_date": day, "usd_per_mtok": usd, "source": "made up"}
        for day, usd in (("2026-01-01", "0.60"), ("2026-07-04", "0.4167"))
    ]
    windows = [
        made_window(cost_history=costs),
        made_window(name="next day", end_at="2026-10-03T00:00:00Z", busy_share=figure("0.6")),
        made_window(name="alone", service_tier="batch"),
        made_window(name="beside it", service_tier="batch", accelerators=200),
        made_window(name="free", service_tier="free", usd_per_accelerator_hour=None),
        made_window(
            name="free too",
            service_tier="free",
            usd_per_accelerator_hour=None,
            end_at="2026-10-03T00:00:00Z",
        ),
    ]
    report = efficiency_report(windows, measured=None, books=None, without=None)
    drawn = efficiency_charts(report, measured=None)
    assert list(drawn) == ["iteration-m-standard", "efficiency-history", "cost-history"]
    shown = texts(drawn["iteration-m-standard"].svg)
    assert {"stated costs", windows[0].name} <= shown
    assert "as the cost_history of each document states it" in shown
    assert "m in free" in texts(drawn["efficiency-history"].svg)
    shown = texts(drawn["cost-history"].svg)
    assert {"m in standard", "full cost of good tokens", "benchmark alone, 100 % busy"} <= shown
    assert not {"m in batch", "m in free"} & shown


def test_a_pool_without_a_measured_point_has_no_frontier_to_draw() -> None:
    service_tiers = [made_service_tier("standard", promise=60, statistic="p95")]
    measured = measure(
        made_factory(), policy=made_policy(service_tiers=service_tiers), points=made_points()
    )
    report = efficiency_report([made_window()], measured=None, books=None, without=None)
    assert efficiency_charts(report, measured=measured) == {}


def test_trends_of_measurements_have_a_panel_for_each_shape() -> None:
    points = (
        *made_points(measured_date="2026-01-01"),
        *made_points(measured_date="2026-03-01", first_row=50),
    )
    measured = measure(made_factory(), policy=made_policy(), points=points)
    report = efficiency_report([made_window()], measured=measured, books=None, without=None)
    drawn = efficiency_charts(report, measured=measured)
    shown = texts(drawn["iteration-m-standard"].svg)
    assert {"1,000 in, 1,000 out", "8,000 in, 1,000 out", "h100_sxm"} <= shown


def test_a_file_is_named_by_plain_characters(tmp_path: Path) -> None:
    measured = measure(
        made_factory(models=["a/b c"]),
        policy=made_policy(changed={"models": [{"name": "a/b c", "precision": "fp8"}]}),
        points=made_points(model="a/b c"),
    )
    report = efficiency_report(
        [made_window(model="a/b c")], measured=measured, books=None, without=None
    )
    names = list(efficiency_charts(report, measured=measured))
    assert names == ["frontier-a-b-c-standard", "cost-a-b-c-standard"]
    (tmp_path / names[0]).touch()


def test_services_whose_names_differ_in_signs_alone_have_a_file_each() -> None:
    costs = [
        {"measured_date": day, "usd_per_mtok": "0.60", "source": "made up"}
        for day in ("2026-01-01", "2026-07-04")
    ]
    windows = [
        made_window(name=str(number), model=model, cost_history=costs)
        for number, model in enumerate(("a/b", "a-b", "a b"))
    ]
    report = efficiency_report(windows, measured=None, books=None, without=None)
    drawn = efficiency_charts(report, measured=None)
    assert list(drawn) == [
        "iteration-a-b-standard",
        "iteration-a-b-standard-2",
        "iteration-a-b-standard-3",
    ]
    assert "a/b in standard: cost at the promise by day of measurement" in texts(
        drawn["iteration-a-b-standard"].svg
    )


def test_windows_of_one_day_are_told_apart_by_the_hour() -> None:
    windows = [
        made_window(
            name=f"until {hour}",
            start_at=f"2026-10-01T{hour - 1:02}:00:00Z",
            end_at=f"2026-10-01T{hour:02}:00:00Z",
        )
        for hour in (6, 12, 18)
    ]
    report = efficiency_report(windows, measured=None, books=None, without=None)
    drawn = efficiency_charts(report, measured=None)
    assert "01 Oct 12:00" in texts(drawn["efficiency-history"].svg)


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Tokyo"])
def test_a_history_shows_the_same_days_in_every_zone(zone: str) -> None:
    drawing = (
        "import sys; from billing.documents.charts import history_chart, picture; "
        "rows = [{'panel': 'p', 'series': 's', 'date': d, 'value': 1} "
        "for d in ('2026-02-01', '2026-08-04')]; "
        "chart = history_chart(rows, title='t', subtitle='s', y_title='y', x_title='x'); "
        "sys.stdout.buffer.write(picture(chart).svg)"
    )
    drawn = [
        subprocess.run(
            [sys.executable, "-c", drawing],
            env={**os.environ, "TZ": name},
            capture_output=True,
            check=True,
        ).stdout
        for name in ("UTC", zone)
    ]
    assert drawn[0] == drawn[1]
    assert b"04 Aug 2026" in drawn[0]

"""Charts as pictures: SVG and PNG of the same chart, without a browser and without the network.

Invariant: a chart shows figures that the pure core computed and computes none; axes name their
units, series differ in colour, in mark and in their label, and only the fonts beside this file are
used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import altair as alt
import vl_convert

FONT: Final = "Noto Sans"

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, which people with any colour vision tell apart (yellow left out)."""

MARKS: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
"""The mark of each series beside its colour, so that a grey print can be read too. One fewer than
the colours: 42 series differ in one of the two.
"""

INK: Final = "#222222"
GRID: Final = "#E3E3E3"

_PIXELS_PER_POINT = 2
_PANELS_IN_A_ROW = 3
_PANEL_HEIGHT = 280
_DECADES = [step * 10**power for power in range(-6, 5) for step in (1, 2, 5)]
_SVG_IDS = re.compile(r'(id="|href="#|url\(#)')
_FONTS = Path(__file__).parent / "fonts"

vl_convert.register_font_directory(str(_FONTS))

Row = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One chart in both forms."""

    svg: bytes
    png: bytes


def picture(chart: alt.Chart | alt.LayerChart | alt.FacetChart | alt.VConcatChart) -> Picture:
    """The chart in the house's style, as SVG and as PNG at twice its size."""
    spec = themed(chart).to_dict()
    svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    png = vl_convert.vegalite_to_png(spec, scale=_PIXELS_PER_POINT, allowed_base_urls=[])
    return Picture(svg=svg.encode(), png=bytes(png))


def inline_svg(chart: Any, *, prefix: str) -> str:
    """The chart as an SVG element; its ids begin with the prefix, for a page has several."""
    svg: str = vl_convert.vegalite_to_svg(themed(chart).to_dict(), allowed_base_urls=[])
    return _SVG_IDS.sub(rf"\1{prefix}-", svg)


def number_axis() -> alt.Axis:
    """An axis of numbers with three digits, and no more ticks than can be read."""
    return alt.Axis(format=",.3~r", tickCount=6, labelOverlap=True)


def themed(chart: Any) -> Any:
    """The chart with the fonts, colours and lines that all charts of the house have."""
    return chart.configure(
        background="white",
        font=FONT,
        padding=16,
        axis=alt.AxisConfig(
            labelColor=INK,
            titleColor=INK,
            gridColor=GRID,
            domainColor=INK,
            tickColor=INK,
            labelFontSize=11,
            titleFontSize=12,
            titleFontWeight="normal",
            titlePadding=8,
        ),
        legend=alt.LegendConfig(
            labelColor=INK,
            titleColor=INK,
            labelFontSize=11,
            titleFontSize=12,
            symbolSize=80,
            symbolOpacity=1,
        ),
        title=alt.TitleConfig(
            color=INK,
            fontSize=15,
            fontWeight=600,
            subtitleColor="#555555",
            subtitleFontSize=12,
            anchor="start",
            offset=12,
        ),
        header=alt.HeaderConfig(labelColor=INK, labelFontSize=12, labelFontWeight=600, title=None),
        view=alt.ViewConfig(stroke=None),
    )


def series_scales(names: Sequence[str]) -> tuple[alt.Scale, alt.Scale]:
    """The colour and the mark of each series, by its place in ``names``."""
    domain = list(names)
    return (
        alt.Scale(domain=domain, range=list(islice(cycle(COLOURS), len(domain)))),
        alt.Scale(domain=domain, range=list(islice(cycle(MARKS), len(domain)))),
    )


def frontier_chart(
    points: Sequence[Row], *, title: str, subtitle: str, promise: float | None
) -> alt.FacetChart:
    """Throughput per accelerator against interactivity: each measured point, frontiers, promise.

    A row has ``shape``, ``hardware``, ``interactivity``, ``throughput`` and ``on_frontier``.
    """
    return _scatter(
        points,
        y=alt.Y(
            "throughput:Q", title="output tokens/s per accelerator", axis=alt.Axis(format=",.0f")
        ),
        title=title,
        subtitle=subtitle,
        promise=promise,
    )


def cost_chart(
    points: Sequence[Row], *, title: str, subtitle: str, promise: float | None
) -> alt.FacetChart:
    """Cost of a million tokens against interactivity, on a logarithmic axis.

    A row has ``shape``, ``hardware``, ``interactivity``, ``usd_per_mtok`` and ``on_frontier``.
    """
    return _scatter(
        points,
        y=alt.Y(
            "usd_per_mtok:Q",
            title="USD per million tokens, input and output",
            scale=alt.Scale(type="log", nice=False, padding=12),
            axis=alt.Axis(format="$~r", values=_DECADES),
        ),
        title=title,
        subtitle=subtitle,
        promise=promise,
    )


def history_chart(
    rows: Sequence[Row], *, title: str, subtitle: str, y_title: str, x_title: str
) -> alt.FacetChart:
    """Figures over dates, a panel for each ``panel`` and a line for each ``series``.

    A row has ``panel``, ``series``, ``date`` (ISO; a day or a moment, UTC) and ``value``. Axes of
    values begin at zero; the time of day is shown where one day has several moments.
    """
    dates = {str(row["date"]) for row in rows}
    by_day = len({date[:10] for date in dates}) == len(dates)
    colour, mark = series_scales(sorted({str(row["series"]) for row in rows}))
    x = alt.X(
        "date:T",
        title=x_title,
        # Not "time": that would draw the days of the machine's zone.
        scale=alt.Scale(type="utc", padding=12),
        axis=alt.Axis(
            format="%d %b %Y" if by_day else "%d %b %H:%M",
            tickCount=4,
            labelAngle=0,
            labelOverlap=True,
            labelSeparation=12,
        ),
    )
    from_zero = alt.Scale(zero=True, nice=6)
    y = alt.Y("value:Q", title=y_title, scale=from_zero, axis=alt.Axis(tickCount=6))
    legend = alt.Legend(title=None, orient="bottom", columns=3, labelLimit=0)
    series = alt.Color("series:N", scale=colour, legend=legend)
    chart = alt.Chart()
    layers = (
        chart.mark_line(strokeWidth=2).encode(x=x, y=y, color=series),
        chart.mark_point(filled=True, size=60, opacity=1).encode(
            x=x, y=y, color=series, shape=alt.Shape("series:N", scale=mark, legend=legend)
        ),
    )
    return _panels(layers, rows=rows, by="panel", title=title, subtitle=subtitle)


def _scatter(
    points: Sequence[Row],
    *,
    y: alt.Y,
    title: str,
    subtitle: str,
    promise: float | None,
) -> alt.FacetChart:
    names = sorted({str(row["hardware"]) for row in points})
    colour, mark = series_scales(names)
    x = alt.X(
        "interactivity:Q",
        title="output tokens/s of one user",
        axis=alt.Axis(format=",.0f", tickCount=6),
    )
    legend = alt.Legend(title="hardware, with its frontier", orient="bottom", labelLimit=0)
    series = alt.Color("hardware:N", scale=colour, legend=legend)
    chart = alt.Chart()
    frontier = chart.transform_filter("datum.on_frontier")
    layers: list[alt.Chart] = [
        chart.transform_filter("!datum.on_frontier")
        .mark_point(filled=True, size=14, opacity=0.35)
        .encode(x=x, y=y, color=series),
        frontier.mark_line(strokeWidth=2).encode(x=x, y=y, color=series),
        frontier.mark_point(filled=True, size=55, opacity=1).encode(
            x=x, y=y, color=series, shape=alt.Shape("hardware:N", scale=mark, legend=legend)
        ),
    ]
    if promise is not None:
        at = alt.X("mean(promise):Q")
        layers += [
            chart.mark_rule(color=INK, strokeDash=[4, 4], strokeWidth=1.2).encode(x=at),
            chart.mark_text(align="left", dx=5, color=INK, fontSize=11).encode(
                x=at, y=alt.value(8), text=alt.value(f"promise: {promise:g}")
            ),
        ]
    rows = [{**row, "promise": promise} for row in points]
    return _panels(layers, rows=rows, by="shape", title=title, subtitle=subtitle)


def _panels(
    layers: Sequence[alt.Chart], *, rows: Sequence[Row], by: str, title: str, subtitle: str
) -> alt.FacetChart:
    """The layers in panels, one for each value of ``by`` in the order of the rows."""
    order = list(dict.fromkeys(str(row[by]) for row in rows))
    panel = alt.Facet(f"{by}:N", sort=order, title=None, header=alt.Header(labelPadding=8))
    data = alt.InlineData(values=[dict(row) for row in rows])
    chart: alt.FacetChart = (
        alt.layer(*layers, data=data)
        .properties(width=300, height=_PANEL_HEIGHT)
        .facet(facet=panel, columns=_PANELS_IN_A_ROW)
        .resolve_scale(x="independent", y="independent")
        .properties(title=alt.TitleParams(text=title, subtitle=subtitle))
    )
    return chart

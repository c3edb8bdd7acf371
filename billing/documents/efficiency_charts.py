"""The charts of an efficiency report: frontiers, cost, and their histories.

Invariant: what a chart shows stands in the report or in its measurements, by the same figures; a
history of one date is no history and is not drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from billing.documents.charts import (
    Picture,
    Row,
    cost_chart,
    frontier_chart,
    history_chart,
    picture,
)
from pricing_rules.planning.efficiency_report import EfficiencyReport
from pricing_rules.planning.frontiers import FrontierPoint, ServedAs, frontier_points
from pricing_rules.planning.window_efficiency import Measured

_STATED: Final = "stated costs"
_STATED_ALONE: Final = "as the cost_history of each document states it"
_MEASURED: Final = (
    "at 100 % busy and today's price of hardware; each measured point is the best set-up of those "
    "known on that day"
)
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def efficiency_charts(
    report: EfficiencyReport, *, measured: Measured | None
) -> Mapping[str, Picture]:
    """Pictures by the name of their file, without its suffix.

    ``frontier-MODEL-SERVICE_TIER`` and ``cost-...`` need measurements, ``iteration-...`` costs of
    two dates, ``efficiency-history`` and ``cost-history`` two windows of one service.
    """
    pictures: dict[str, Picture] = {}
    for name, drawn in _drawn(report, measured=measured):
        # Services whose names differ in signs alone, as a/b and a-b do, have a file each.
        number, free = 1, name
        while free in pictures:
            number += 1
            free = f"{name}-{number}"
        pictures[free] = drawn
    return pictures


def _drawn(report: EfficiencyReport, *, measured: Measured | None) -> Iterator[tuple[str, Picture]]:
    for model, service_tier in dict.fromkeys((w.model, w.service_tier) for w in report.windows):
        about = _UNSAFE.sub("-", f"{model}-{service_tier}")
        if measured is not None:
            served = measured.served_as(model=model, service_tier=service_tier)
            points = frontier_points(served, points=measured.points)
            yield from _frontiers(about, served=served, points=points)
        rows = [
            _iteration_row(one.about, date=cost.measured_date.isoformat(), value=cost.usd_per_mtok)
            for one in report.iteration
            if (one.model, one.service_tier) == (model, service_tier)
            for cost in one.costs
        ]
        panels = {row["panel"] for row in rows}
        if len({row["date"] for row in rows}) > 1:
            yield (
                f"iteration-{about}",
                picture(
                    history_chart(
                        rows,
                        title=f"{model} in {service_tier}: cost at the promise by day of "
                        "measurement",
                        subtitle=_STATED_ALONE if panels == {_STATED} else _MEASURED,
                        y_title="USD per million tokens",
                        x_title="measured",
                    )
                ),
            )
    yield from _histories(report)


def _frontiers(
    about: str, *, served: ServedAs, points: tuple[FrontierPoint, ...]
) -> Iterator[tuple[str, Picture]]:
    name = f"{served.model.name} in {served.service_tier.name}"
    subtitle = (
        f"{served.model.precision}, {served.service_tier.statistic} figures; small faint points "
        "are measured off the frontier"
    )
    rows = [_frontier_row(point) for point in points]
    promised = served.service_tier.interactivity_tokens_per_s
    if not rows:
        return
    yield (
        f"frontier-{about}",
        picture(
            frontier_chart(
                rows,
                title=f"{name}: throughput against interactivity",
                subtitle=subtitle,
                promise=promised,
            )
        ),
    )
    yield (
        f"cost-{about}",
        picture(
            cost_chart(
                rows,
                title=f"{name}: cost at 100 % busy against interactivity",
                subtitle=subtitle,
                promise=promised,
            )
        ),
    )


def _histories(report: EfficiencyReport) -> Iterator[tuple[str, Picture]]:
    """By the end of each window; services whose windows all end at once are left out."""
    ends: dict[tuple[str, str], set[str]] = {}
    for window in report.windows:
        ends.setdefault((window.model, window.service_tier), set()).add(window.end_at)
    made: list[Row] = []
    cost: list[Row] = []
    for window in report.windows:
        if len(ends[window.model, window.service_tier]) < 2:
            continue
        row = {
            "panel": f"{window.model} in {window.service_tier}",
            "date": window.end_at,
        }
        made.append(
            {
                **row,
                "series": "token factory efficiency",
                "value": float(window.tokens_per_accelerator_s),
            }
        )
        for series, usd in (
            ("full cost of good tokens", window.usd_per_mtok),
            ("benchmark alone, 100 % busy", window.benchmark_usd_per_mtok),
        ):
            if usd is not None:
                cost.append({**row, "series": series, "value": float(usd)})
    for name, rows, title, y_title in (
        (
            "efficiency-history",
            made,
            "Token factory efficiency by window",
            "good tokens per owned accelerator-second",
        ),
        ("cost-history", cost, "Cost by window", "USD per million good tokens"),
    ):
        if rows:
            chart = history_chart(
                rows,
                title=title,
                subtitle="output-equivalent tokens delivered within the promise",
                y_title=y_title,
                x_title="end of window",
            )
            yield name, picture(chart)


def _frontier_row(point: FrontierPoint) -> Row:
    shape = point.shape
    return {
        "shape": f"{shape.input_tokens:,} in, {shape.output_tokens:,} out",
        "hardware": point.hardware,
        "interactivity": point.interactivity_tokens_per_s,
        "throughput": point.output_tokens_per_s_per_accelerator,
        "usd_per_mtok": point.usd_per_mtok,
        "on_frontier": point.on_frontier,
    }


def _iteration_row(about: str, *, date: str, value: object) -> Row:
    """A panel for each measured shape, a line for each hardware; stated costs have their own."""
    hardware, _, shape = about.partition(" ")
    inputs, _, outputs = shape.partition("/")
    measured = inputs.isdigit() and outputs.isdigit()
    return {
        "panel": f"{int(inputs):,} in, {int(outputs):,} out" if measured else _STATED,
        "series": hardware if measured else about.removeprefix("cost_history of "),
        "date": date,
        "value": float(str(value)),
    }

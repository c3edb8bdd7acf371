"""``tokenworks efficiency``: good tokens over owned accelerators, power, peak compute and cost.

Invariant: every factor that is printed names its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.cli.output import format_option, print_rows, readable, say
from billing.operations.efficiency import report_efficiency
from pricing_rules.document import dump
from pricing_rules.money import decimal_text

if TYPE_CHECKING:
    from pricing_rules.planning.efficiency_report import (
        BooksFigures,
        EfficiencyReport,
        IterationFigures,
        RelianceFigures,
        WindowFigures,
    )

COLUMNS = ("about", "figure", "value", "unit", "source")

Line = tuple[str, Decimal | int | str | None, str, str | None]
"""A figure, its value, its unit and its source."""


@click.group("efficiency")
def command() -> None:
    """Report what a factory made of its accelerators."""


@command.command("report")
@click.argument("documents", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--factory", type=click.Path(path_type=Path), help="factory.yaml, for cost and r*.")
@click.option("--policy", type=click.Path(path_type=Path), help="policy.yaml, for the promises.")
@click.option(
    "--measurements",
    multiple=True,
    help="A measurement file, a silicon_sample.csv, or 'aiconfigurator' for the one of the "
    "installed package; repeatable.",
)
@click.option(
    "--books",
    type=click.Path(path_type=Path),
    nargs=2,
    help="An older and a newer price book: pass-through, cycle time, cost of stale floors.",
)
@click.option("--without", metavar="VENDOR", help="What the loss of this hardware vendor does.")
@click.option(
    "--charts", type=click.Path(path_type=Path), help="A folder for charts as SVG and PNG."
)
@format_option
def report_command(
    *,
    documents: Sequence[Path],
    factory: Path | None,
    policy: Path | None,
    measurements: Sequence[str],
    books: tuple[Path, Path] | None,
    without: str | None,
    charts: Path | None,
    shape: str,
) -> None:
    """Report token factory efficiency of windows, one document each.

    With --factory, --policy and --measurements, what a document leaves out (the frontier rate, what
    a token counts in output tokens, cost, power) is computed, and so are the trend of the cost and
    the reliance on hardware vendors.

    Example: tokenworks efficiency report october.yaml --factory factory.yaml --policy policy.yaml
    --measurements aiconfigurator --without AMD --charts charts --format json
    """
    reported = report_efficiency(
        documents,
        factory=factory,
        policy=policy,
        measurements=measurements,
        books=books or None,
        without=without,
        charts=charts,
    )
    rows = [
        {
            "about": about,
            "figure": figure,
            "value": _shown(value, shape=shape),
            "unit": unit,
            "source": source or "",
        }
        for about, lines in _lines(reported.report)
        for figure, value, unit, source in lines
        if value is not None
    ]
    print_rows(rows, columns=COLUMNS, shape=shape, document=dump(reported.report))
    if shape == "table":
        for finding in reported.report.findings:
            say(f"finding: {finding}")
    if charts is not None:
        say(f"wrote {len(reported.charts)} chart files in {charts}")


def _lines(report: EfficiencyReport) -> Iterator[tuple[str, list[Line]]]:
    for window in report.windows:
        yield window.name, _window(window)
    for trend in report.iteration:
        yield f"{trend.model}/{trend.service_tier} {trend.about}", _trend(trend)
    for one in report.reliance:
        yield f"{one.model}/{one.service_tier}", _reliance(one)
    if report.books is not None:
        yield from _books(report.books)


def _window(one: WindowFigures) -> list[Line]:
    factors: list[Line] = [(f.factor, f.value, f.unit, f.source) for f in one.factors]
    precision = f"tokens/PFLOP, dense {one.precision}"
    return [
        *factors,
        (
            "token_factory_efficiency",
            one.tokens_per_accelerator_s,
            "good output-equivalent tokens per owned accelerator-second",
            None,
        ),
        (
            "output_only",
            one.output_tokens_per_accelerator_s,
            "good output tokens per owned accelerator-second",
            None,
        ),
        ("good_tokens", one.good_tokens, "output-equivalent tokens", None),
        ("energy", one.facility_mwh, "MWh at the meter", one.facility_mwh_source),
        ("tokens_per_mwh", one.tokens_per_mwh, "tokens/MWh", None),
        ("tokens_per_pflop", one.tokens_per_pflop, precision, None),
        (
            "accelerator_hour",
            one.usd_per_accelerator_hour,
            "USD per owned hour",
            one.usd_per_accelerator_hour_source,
        ),
        ("full_cost", one.usd_total, "USD", None),
        ("cost", one.usd_per_mtok, "USD per million good tokens", None),
        ("benchmark_cost", one.benchmark_usd_per_mtok, "USD per million, 100 % busy", None),
    ]


def _trend(one: IterationFigures) -> list[Line]:
    if one.reason is not None:
        return [("improvement", "none", "", one.reason)]
    over = f"{len(one.costs)} dates over {one.days} days"
    return [
        ("improvement", one.improvement_per_month, "ln(c0/c1) a month", over),
        ("halving", one.halving_months, "months", None),
    ]


def _reliance(one: RelianceFigures) -> list[Line]:
    lines: list[Line] = [
        (f"share_of_{share.vendor}", share.share, "share of request capacity", None)
        for share in one.shares
    ]
    lines.append(("hhi", one.hhi, "0 to 10,000", None))
    if one.without is not None:
        lost = one.without
        kept = "kept" if lost.promise_is_kept else "not kept"
        lines.append((f"promise_without_{lost.vendor}", kept, "", None))
        lines.append((f"capacity_without_{lost.vendor}", lost.capacity_left, "share left", None))
        for floor in lost.floors:
            before = f"{decimal_text(floor.before_usd_per_mtok)} with it"
            after = floor.after_usd_per_mtok
            name = f"floor_without_{lost.vendor}"
            value = "none" if after is None else after
            lines.append((name, value, f"USD per million {floor.unit}", before))
    return lines


def _books(books: BooksFigures) -> Iterator[tuple[str, list[Line]]]:
    name = f"{books.series} {books.old_number} to {books.new_number}"
    yield name, [("cycle_time", books.cycle_days, "days, token-weighted median", None)]
    for card in books.cards:
        passed = "none" if card.pass_through is None else card.pass_through
        yield (
            f"{name}, {card.model}/{card.service_tier}",
            [
                ("pass_through", passed, "change of ln rate / change of ln cost", card.reason),
                ("cycle_time", card.cycle_days, "days", None),
                ("staleness", card.staleness, f"{books.currency} over the windows", None),
            ],
        )


def _shown(value: Decimal | int | str | None, *, shape: str) -> str:
    if not isinstance(value, Decimal):
        return str(value)
    return decimal_text(value) if shape == "csv" else readable(value)

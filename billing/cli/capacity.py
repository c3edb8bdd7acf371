"""``tokenworks capacity``: which service tiers should a site of fixed power serve?

Invariant: it advises; it never sets a rate.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.cli.output import format_option, print_rows, readable, say
from billing.operations.capacity import plan_capacity
from pricing_rules.document import dump

if TYPE_CHECKING:
    from pricing_rules.planning.capacity_report import AdvisedServiceTier, CapacityReport

COLUMNS = (
    "service_tier", "mw", "tokens_per_s", "rate_usd_per_mtok", "break_even_usd_per_mtok",
    "earns_its_power", "earned_usd_per_mw_year", "revenue_usd_per_year", "margin_usd_per_year",
)  # fmt: skip


@click.group("capacity")
def command() -> None:
    """Plan what a site of fixed power should serve."""


@command.command("plan")
@click.argument("plan", type=click.Path(path_type=Path))
@format_option
def plan_command(*, plan: Path, shape: str) -> None:
    """Share a site's MW over service tiers, and say what each MW is worth.

    Prints MW, revenue and the break-even rate of each service tier; on stderr the worth of one MW
    more, what the minimum shares of model classes cost, and who does not earn their power.

    Example: tokenworks capacity plan plan.yaml --format json
    """
    report = plan_capacity(plan)
    rows = [_row(one, shape=shape) for one in report.service_tiers]
    title = f"{report.plan}: {_millions(report.revenue_usd_per_year)} of revenue a year"
    if report.margin_usd_per_year is not None:
        title += f", {_millions(report.margin_usd_per_year)} of margin"
    print_rows(rows, columns=COLUMNS, shape=shape, document=dump(report), title=title)
    if shape == "table":
        _say_worth(report)


def _row(one: AdvisedServiceTier, *, shape: str) -> dict[str, object]:
    plain = dump(one)
    if shape == "table":
        plain = {
            name: readable(value) if isinstance(value := getattr(one, name), Decimal) else value
            for name in plain
        }
    return {column: plain.get(column, "") for column in COLUMNS}


def _say_worth(report: CapacityReport) -> None:
    if report.marginal_usd_per_mw_year is not None:
        say(f"one MW more would earn {_millions(report.marginal_usd_per_mw_year)} a year")
    for one in report.model_classes:
        say(
            f"model class {one.model_class}: {readable(one.mw)} MW of at least "
            f"{readable(one.minimum_mw)}; its last MW costs "
            f"{_millions(one.shadow_usd_per_mw_year)} a year, all of them "
            f"{_millions(one.cost_usd_per_year)}"
        )
    for finding in report.findings:
        say(f"finding: {finding}")


def _millions(usd: Decimal) -> str:
    return f"{usd / 1_000_000:,.1f} million USD"

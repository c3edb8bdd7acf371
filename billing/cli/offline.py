"""What the commands that need files alone share: their options, and how they name refused rows.

Invariant: the same option means the same in each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from billing.cli.output import print_refused
from pricing_rules.period import BillingAnchor, Period, parse_month, parse_period

price_books_option = click.option(
    "--price-book",
    "price_books",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="A price book; repeat it for a price change inside the period.",
)

usage_option = click.option(
    "--usage",
    type=click.Path(path_type=Path),
    required=True,
    help="CloudEvents JSON lines (.jsonl), CSV or Parquet.",
)

usages_option = click.option(
    "--usage",
    "usages",
    type=click.Path(path_type=Path),
    multiple=True,
    help="CloudEvents JSON lines (.jsonl), CSV or Parquet; repeat it: several files are one usage.",
)

usage_period_option = click.option(
    "--period",
    callback=lambda ctx, param, value: None if value is None else usage_period(value),
    metavar="PERIOD",
    help="A month such as 2026-10 (UTC), or START/END, half-open. Without it: all of the usage.",
)


def usage_period(text: str) -> Period:
    """``2026-10``, a month in UTC, or ``START/END``; DocumentError for any other text."""
    if "/" in text:
        return parse_period(text, zone="UTC")
    year, month = parse_month(text)
    return BillingAnchor(day=1, zone="UTC").starting_in(year, month=month)


def print_refused_usage(refused: Sequence[tuple[str, int, str]]) -> None:
    """Name refused rows (file, row, reason) on stderr, file by file."""
    for name in dict.fromkeys(file for file, _, _ in refused):
        print_refused(name, refused=[(row, why) for file, row, why in refused if file == name])

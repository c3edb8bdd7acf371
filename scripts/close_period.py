"""Close a month: the job that a scheduler runs after the end of each month.

Invariant: safe to run again and twice at once. It exits with 0 where all is invoiced, 1 where some
accounts are blocked (each is named), 2 where nothing was done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import click

from billing.cli.clock import now_at
from billing.operations.close import DEFAULT_SERIES, close
from billing.store.store import open_store
from pricing_rules.document import DocumentError


def main(arguments: Sequence[str]) -> int:
    """Run the job with these arguments and give its exit code."""
    parser = argparse.ArgumentParser(description="Invoice the billing periods of a month.")
    parser.add_argument(
        "--store", required=True, help="a SQLite file, or postgresql://USER@HOST/DATABASE"
    )
    parser.add_argument("--period", required=True, help="the month, such as 2026-10")
    parser.add_argument("--by", required=True, help="who runs it, for the audit")
    parser.add_argument("--series", default=DEFAULT_SERIES, help="the number series")
    parser.add_argument("--now", help="the moment to take for now; without it: the clock")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    flags = parser.parse_args(arguments)
    try:
        moment_at = now_at(flags.now)
    except ValueError as error:
        click.echo(f"close_period: --now: {error}", err=True)
        return 2
    try:
        with open_store(flags.store) as store:
            report = close(
                store,
                month=flags.period,
                series=flags.series,
                by=flags.by,
                now_at=moment_at,
                dry_run=flags.dry_run,
            )
    except DocumentError as error:
        click.echo(f"close_period: {error}", err=True)
        return 2
    for one in report.blocked:
        for sentence in one.blocked_by:
            click.echo(f"close_period: {one.account}: {sentence}", err=True)
    for sentence in report.open_usage:
        click.echo(f"close_period: not invoiced: {sentence}", err=True)
    click.echo(report.summary())
    return 1 if report.blocked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Derive prices anew: the job that a scheduler runs after measurements came in. It never publishes.

Invariant: one run, safe to run again and twice at once. Where a floor or a rate moved it writes a
candidate and a report, each whole, the candidate first; where nothing moved it writes nothing. It
exits with 0 where no rate of the book in force is under its floor, with 1 where some are (each is
named), with 2 where nothing was done.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from billing.operations.rederive import derive_anew, write_derived_anew
from pricing_rules.document import DocumentError
from pricing_rules.period import parse_moment


def main(arguments: Sequence[str]) -> int:
    """Run the job with these arguments and give its exit code."""
    flags = _parser().parse_args(arguments)
    try:
        effective_from = parse_moment(flags.effective_from)
    except ValueError as error:
        return _fail(f"--effective-from: {error}")
    try:
        found = derive_anew(
            flags.book,
            factory=flags.factory,
            policy=flags.policy,
            measurements=flags.measurements,
            number=flags.number,
            effective_from=effective_from,
            mixes=flags.usage_mix,
            markets=flags.market,
        )
        written = write_derived_anew(found, candidate=flags.out, report=flags.report)
    except DocumentError as error:
        return _fail(str(error))
    for one in found.between.breaches:
        click.echo(f"rederive_prices: {one.sentence()}", err=True)
    if not found.between.moved:
        click.echo(f"nothing moved since number {found.current.number}")
    else:
        files = f"wrote {', '.join(map(str, written))}" if written else "nothing new to write"
        click.echo(
            f"{len(found.between.moves)} floors moved, {len(found.between.diff.rates)} rates "
            f"would change, {len(found.between.breaches)} are under their floors; {files}"
        )
    return 1 if found.between.breaches else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Derive a candidate after new measurements.")
    parser.add_argument("--book", type=Path, required=True, help="the book in force")
    parser.add_argument("--factory", type=Path, required=True, help="factory.yaml")
    parser.add_argument("--policy", type=Path, required=True, help="policy.yaml")
    parser.add_argument("--measurements", action="append", required=True, help="repeatable")
    parser.add_argument("--usage-mix", action="append", default=[], type=Path, help="repeatable")
    parser.add_argument("--market", action="append", default=[], type=Path, help="repeatable")
    parser.add_argument("--number", type=int, required=True, help="of the candidate")
    parser.add_argument("--effective-from", required=True, help="RFC 3339 moment")
    parser.add_argument("--out", type=Path, required=True, help="the candidate")
    parser.add_argument("--report", type=Path, required=True, help="the report, JSON")
    return parser


def _fail(sentence: str) -> int:
    click.echo(f"rederive_prices: {sentence}", err=True)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

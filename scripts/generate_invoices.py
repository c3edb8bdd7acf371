"""Write the invoices of a month as files: PDF and JSON, each under its number.

Invariant: safe to run again and twice at once, because what is written never changes: the same
bytes are left, others are refused. It exits with 0 where all is written, 2 where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from billing.operations.stored_invoice import write_invoices
from billing.store.store import open_store
from pricing_rules.document import DocumentError


def main(arguments: Sequence[str]) -> int:
    """Run the job with these arguments and give its exit code."""
    parser = argparse.ArgumentParser(description="Write the invoices of a month as PDF and JSON.")
    parser.add_argument(
        "--store", required=True, help="a SQLite file, or postgresql://USER@HOST/DATABASE"
    )
    parser.add_argument("--period", required=True, help="the month, such as 2026-10")
    parser.add_argument("--out", required=True, type=Path, help="the folder; made if new")
    parser.add_argument("--issuer", help="only those of this issuer, where there are several")
    parser.add_argument("--dry-run", action="store_true", help="name the files, write none")
    flags = parser.parse_args(arguments)
    try:
        with open_store(flags.store) as store:
            written = write_invoices(
                store,
                month=flags.period,
                folder=flags.out,
                issuer=flags.issuer,
                dry_run=flags.dry_run,
            )
    except DocumentError as error:
        click.echo(f"generate_invoices: {error}", err=True)
        return 2
    for one in written:
        click.echo(f"{one.number} {one.account}: {', '.join(str(path) for path in one.files)}")
    verb = "would write" if flags.dry_run else "wrote"
    click.echo(f"{verb} {len(written):,} invoices of {flags.period} to {flags.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

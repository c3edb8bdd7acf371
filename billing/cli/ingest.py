"""``tokenworks ingest``: usage files into a store.

Invariant: exit code 0 means that every row is in the store, once; 1 that some rows or files are
not, each named; 2 that nothing was stored. Run again, it goes on where it was stopped.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_refused, print_rows, printable, say
from billing.cli.stored import by_option, opened, store_option
from billing.engines.event_checks import check_name
from billing.intake.assignment import Assignment, Weighted
from billing.operations.ingest import BATCH_ROWS, IngestReport, ingest
from billing.operations.usage_file import Trace
from billing.store.store import StoreError
from pricing_rules.document import DocumentError
from pricing_rules.period import parse_moment

_WEIGHT = re.compile("[1-9][0-9]{0,8}")

COLUMNS = (
    "file",
    "received",
    "accepted",
    "duplicate",
    "conflict",
    "rejected",
    "batches",
    "delivered_before",
)


@click.command("ingest")
@click.argument(
    "files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True
)
@store_option
@click.option(
    "--batch-rows",
    type=click.IntRange(1, 1_000_000),
    default=BATCH_ROWS,
    show_default=True,
    help="Rows of one transaction; keep it when a file that was stopped is run again.",
)
@click.option(
    "--trace",
    type=click.Choice(["azure", "mooncake"]),
    help="The files are a public trace, which names nobody: say who sent it, below.",
)
@click.option("--starting-at", metavar="MOMENT", help="When the first request of a trace happens.")
@click.option("--account", "accounts", multiple=True, metavar="NAME=WEIGHT", help="Repeatable.")
@click.option("--model", "models", multiple=True, metavar="NAME=WEIGHT", help="Repeatable.")
@click.option(
    "--service-tier", "service_tiers", multiple=True, metavar="NAME=WEIGHT", help="Repeatable."
)
@by_option
@now_option
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    files: tuple[Path, ...],
    store: str,
    batch_rows: int,
    trace: Literal["azure", "mooncake"] | None,
    starting_at: str | None,
    accounts: tuple[str, ...],
    models: tuple[str, ...],
    service_tiers: tuple[str, ...],
    by: str,
    now_at: int,
    shape: str,
) -> None:
    """Store the events of usage files: CloudEvents JSON lines (.jsonl), CSV or Parquet.

    An event is stored once: the same one again, from whichever file, is a duplicate, and another
    content under its id a conflict, which is refused. A batch of a file that is stored is not
    stored again, so that a run that was stopped is simply run again.

    Example: tokenworks ingest october.parquet late.jsonl --store billing.db --by dana
    """
    assigned = _trace(
        trace,
        starting_at=starting_at,
        accounts=accounts,
        models=models,
        service_tiers=service_tiers,
    )
    reports: list[IngestReport] = []
    failed: list[str] = []
    rows_done = 0
    with opened(store) as found, rare_collections():
        for path in files:
            with _rows_shown(path.name) as show:

                def progress(rows: int, show: Callable[[int], None] = show) -> None:
                    nonlocal rows_done
                    rows_done += rows
                    show(rows)

                try:
                    report = ingest(
                        path,
                        store=found,
                        now_at=now_at,
                        by=by,
                        trace=assigned,
                        batch_rows=batch_rows,
                        progress=progress,
                    )
                except StoreError as error:
                    failed.append(str(error))
                    break
                except DocumentError as error:
                    failed.append(str(error))
                    continue
            reports.append(report)
    _print(reports, failed=failed, shape=shape)
    refused = any(report.refusals for report in reports)
    nothing = bool(failed) and not reports and not rows_done
    ctx.exit(2 if nothing else 1 if failed or refused else 0)


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let Python look for garbage rarely inside: a batch makes many records and no cycles, and
    looking through them all costs a quarter of the time.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _print(reports: Sequence[IngestReport], *, failed: Sequence[str], shape: str) -> None:
    rows = [{column: getattr(report, column) for column in COLUMNS} for report in reports]
    document = {
        "schema": "tokenworks.ingest/1",
        "files": [
            {
                **row,
                "digest": report.digest,
                "refused": [
                    {"row": one.row, "verdict": one.verdict, "reason": one.reason}
                    for one in report.refusals
                ],
            }
            for row, report in zip(rows, reports, strict=True)
        ],
        "failed": list(failed),
    }
    if reports or shape == "json":
        print_rows(rows, columns=COLUMNS, shape=shape, document=document, title="Ingested")
    for report in reports:
        if report.already_delivered:
            say(f"{report.file}: already delivered; nothing was stored again")
        print_refused(report.file, refused=[(one.row, one.reason) for one in report.refusals])
    for sentence in failed:
        say(f"tokenworks: {printable(' '.join(sentence.split()))}")


@contextmanager
def _rows_shown(name: str) -> Iterator[Callable[[int], None]]:
    """What shows, where stderr is a terminal, how many rows are done."""
    if not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{name}: reading") as status:

        def show(rows: int) -> None:
            status.update(f"{name}: {rows:,} rows")

        yield show


def _trace(
    kind: Literal["azure", "mooncake"] | None,
    *,
    starting_at: str | None,
    accounts: Sequence[str],
    models: Sequence[str],
    service_tiers: Sequence[str],
) -> Trace | None:
    """The trace that the options describe; each of them is needed for one, and for nothing else."""
    given = {
        "--starting-at": starting_at,
        "--account": accounts,
        "--model": models,
        "--service-tier": service_tiers,
    }
    if kind is None:
        unused = [flag for flag, value in given.items() if value]
        if unused:
            raise DocumentError(unused[0], "is for a trace; give --trace, or leave it out")
        return None
    missing = [flag for flag, value in given.items() if not value]
    if missing or starting_at is None:
        raise DocumentError(missing[0], f"is missing; a trace of {kind} needs it")
    try:
        moment_at = parse_moment(starting_at)
    except ValueError as error:
        raise DocumentError("--starting-at", str(error)) from None
    assignment = Assignment(
        accounts=_weighted(accounts, flag="--account"),
        models=_weighted(models, flag="--model"),
        service_tiers=_weighted(service_tiers, flag="--service-tier"),
    )
    return Trace(kind=kind, starting_at=moment_at, assignment=assignment)


def _weighted(texts: Sequence[str], *, flag: str) -> Weighted:
    found = []
    for text in texts:
        name, equals, weight = text.rpartition("=")
        if (
            not equals
            or not name
            or not weight.isascii()
            or not weight.isdigit()
            or not int(weight)
        ):
            raise DocumentError(flag, f'must be NAME=WEIGHT such as acme=3, not "{text:.60}"')
        check_name(name, where=flag)
        found.append((name, int(weight)))
    return tuple(found)

"""``tokenworks ingest``: usage files into a store.

Invariant: exit code 0 means that every row is in the store, once; 1 that some rows or files are
not, each named; 2 that nothing was stored. Run again, it goes on where it was stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import click

from billing.cli.clock import now_option
from billing.cli.garbage import rare_collections
from billing.cli.output import format_option, print_refused, print_rows, printable, say
from billing.cli.stored import by_option, opened, rows_shown, store_option
from billing.cli.trace import described_trace, trace_options
from billing.operations.ingest import BATCH_ROWS, IngestReport, ingest
from billing.store.store import StoreError
from pricing_rules.document import DocumentError

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
@trace_options
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
    assigned = described_trace(
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
            with rows_shown(path.name) as show:

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

"""``tokenworks backfill``: the usage of an account in a range is stated anew, and that reverted.

Invariant: exit code 0 means that all was done; 1 that rows of the file were refused, each named,
and nothing was applied; 2 that nothing was done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from billing.cli.clock import now_option
from billing.cli.garbage import rare_collections
from billing.cli.offline import usage_period
from billing.cli.output import format_option, print_refused, print_rows, say
from billing.cli.stored import by_option, opened, rows_shown, store_option
from billing.operations.applied_backfill import apply_backfill, revert_backfill
from billing.operations.backfill import (
    ForeseenBackfill,
    ShownBackfill,
    backfill_page,
    drop_staged,
    show_backfill,
)
from billing.operations.backfill_file import (
    LoadedBackfill,
    NewBackfill,
    load_backfill,
    try_backfill,
)
from billing.operations.correction_record import new_name
from pricing_rules.document import JsonValue
from pricing_rules.period import Period
from pricing_rules.usage.units import REQUESTS

COLUMNS = (
    "backfill", "account", "start_at", "end_at", "state", "staged", "added", "kept", "restored",
    "voided",
)  # fmt: skip
SUM_COLUMNS = ("unit", "before", "after", "change")
_AT_ONCE = 1_000


@click.group("backfill")
def command() -> None:
    """State the usage of an account in a range anew, and revert that."""


def _period(ctx: click.Context, param: click.Parameter, value: str) -> Period:
    return usage_period(value)


@command.command("load")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--account", required=True, help="Whose usage it is.")
@click.option(
    "--period",
    callback=_period,
    metavar="PERIOD",
    required=True,
    help="A month such as 2026-10 (UTC), or START/END, half-open.",
)
@click.option("--reason", required=True, help="Why the usage is stated anew.")
@click.option("--dry-run", is_flag=True, help="Store nothing, show what would be done.")
@store_option
@by_option
@now_option
@format_option
@click.pass_context
def load(
    ctx: click.Context,
    *,
    file: Path,
    account: str,
    period: Period,
    reason: str,
    dry_run: bool,
    store: str,
    by: str,
    now_at: int,
    shape: str,
) -> None:
    """Make the events of a file those of an account in a period: CloudEvents, CSV or Parquet.

    New events come in, those that are stored with the same content are kept, and all others of the
    account in the period are voided, in one transaction. Where a row is refused, nothing is done.
    What was invoiced is corrected on the next invoice of the account.

    Example: tokenworks backfill load october.csv --account acme --period 2026-10
    --reason 'the meter was wrong' --by dana --store billing.db
    """
    wanted = NewBackfill(
        backfill=new_name("bf", now_at=now_at, number=0),
        account=account,
        period=period,
        reason=reason,
        by=by,
        now_at=now_at,
    )
    do = try_backfill if dry_run else load_backfill
    with opened(store) as found, rare_collections(), rows_shown(file.name) as show_rows:
        loaded = do(file, store=found, wanted=wanted, progress=show_rows)
    _print_loaded(loaded, name=file.name, shape=shape)
    ctx.exit(1 if loaded.refusals else 0)


@command.command("list")
@click.option("--account", help="Of this account. Without it: of all.")
@store_option
@format_option
def list_backfills(*, account: str | None, store: str, shape: str) -> None:
    """List backfills in the order in which they were opened.

    Example: tokenworks backfill list --account acme --store billing.db
    """
    rows: list[Mapping[str, object]] = []
    with opened(store) as found:
        cursor = None
        while True:
            page = backfill_page(found, account=account, limit=_AT_ONCE, cursor=cursor)
            rows += [one.as_json() for one in page.rows]
            cursor = page.cursor
            if cursor is None:
                break
    document = {"schema": "tokenworks.backfills/1", "backfills": rows}
    print_rows(rows, columns=COLUMNS, shape=shape, document=document, title="Backfills")


@command.command("show")
@click.argument("backfill")
@store_option
@format_option
def show(*, backfill: str, store: str, shape: str) -> None:
    """Show a backfill: whether it is open, applied or reverted, and what it did.

    Example: tokenworks backfill show bf_0123456789abcdef0123456789abcdef --store billing.db
    """
    with opened(store) as found, found.read() as connection:
        shown = show_backfill(connection, backfill=backfill)
    _print([shown], shape=shape, title="Backfill")


@command.command("apply")
@click.argument("backfill")
@click.option(
    "--events", type=click.IntRange(min=0), required=True, help="How many events are staged."
)
@store_option
@by_option
@now_option
@format_option
def apply_staged(
    *, backfill: str, events: int, store: str, by: str, now_at: int, shape: str
) -> None:
    """Apply a backfill that was staged over HTTP, whole.

    Example: tokenworks backfill apply bf_0123456789abcdef0123456789abcdef --events 30000 --by dana
    --store billing.db
    """
    with opened(store) as found:
        shown = found.beside(
            lambda connection: apply_backfill(
                connection, backfill=backfill, events=events, by=by, now_at=now_at
            )
        )
    _print([shown], shape=shape, title="Applied")


@command.command("drop")
@click.argument("backfill")
@store_option
@by_option
@now_option
@format_option
def drop(*, backfill: str, store: str, by: str, now_at: int, shape: str) -> None:
    """Forget what is staged for an open backfill.

    Example: tokenworks backfill drop bf_0123456789abcdef0123456789abcdef --by dana
    --store billing.db
    """
    with opened(store) as found:
        shown = found.beside(
            lambda connection: drop_staged(connection, backfill=backfill, by=by, now_at=now_at)
        )
    _print([shown], shape=shape, title="Dropped")


@command.command("revert")
@click.argument("backfill")
@click.option("--reason", required=True, help="Why it is reverted.")
@store_option
@by_option
@now_option
@format_option
def revert(*, backfill: str, reason: str, store: str, by: str, now_at: int, shape: str) -> None:
    """Take back what a backfill did, whole; what later corrections rest on is refused.

    Example: tokenworks backfill revert bf_0123456789abcdef0123456789abcdef
    --reason 'the meter was right' --by dana --store billing.db
    """
    reversal = new_name("cor", now_at=now_at, number=0)
    with opened(store) as found:
        shown = found.beside(
            lambda connection: revert_backfill(
                connection,
                backfill=backfill,
                reversal=reversal,
                reason=reason,
                by=by,
                now_at=now_at,
            )
        )
    _print([shown], shape=shape, title="Reverted")


def _print(shown: Sequence[ShownBackfill], *, shape: str, title: str) -> None:
    rows = [one.as_json() for one in shown]
    document = {"schema": "tokenworks.backfill/1", **rows[0]}
    print_rows(rows, columns=COLUMNS, shape=shape, document=document, title=title)


def _print_loaded(loaded: LoadedBackfill, *, name: str, shape: str) -> None:
    shown, foreseen = loaded.shown, loaded.foreseen
    document: dict[str, JsonValue] = {
        "schema": "tokenworks.backfill-load/1",
        "file": name,
        "received": loaded.received,
        "duplicate": loaded.duplicate,
        "backfill": None if shown is None else shown.as_json(),
        "foreseen": None if foreseen is None else _foreseen(foreseen),
        "refused": [
            {"row": one.row, "verdict": one.verdict, "reason": one.reason}
            for one in loaded.refusals
        ],
    }
    if foreseen is not None:
        title = f"{foreseen.backfill.account} would have"
        rows = _sums(foreseen)
        print_rows(rows, columns=SUM_COLUMNS, shape=shape, document=document, title=title)
    else:
        title = "Applied" if shown is not None and shown.applied else "Not applied"
        rows = [] if shown is None else [shown.as_json()]
        print_rows(rows, columns=COLUMNS, shape=shape, document=document, title=title)
    if foreseen is not None and shape == "table":
        done = foreseen.changes
        say(
            f"of {foreseen.staged:,} events {done.added:,} would be added, {done.kept:,} kept and "
            f"{done.restored:,} restored; {done.voided:,} others would be voided"
        )
    print_refused(name, refused=[(one.row, one.reason) for one in loaded.refusals])
    if loaded.refusals:
        say("nothing was applied; mend these rows and run it again")


def _foreseen(one: ForeseenBackfill) -> dict[str, JsonValue]:
    changes = one.changes
    return {
        "staged": one.staged,
        "added": changes.added,
        "kept": changes.kept,
        "restored": changes.restored,
        "voided": changes.voided,
        "sums": [dict(row) for row in _sums(one)],
    }


def _sums(one: ForeseenBackfill) -> list[dict[str, JsonValue]]:
    """What counts in the range before and after, by leaf, and the events themselves."""
    changes = one.changes
    before = {REQUESTS: changes.kept + changes.voided, **one.before}
    after = {REQUESTS: one.staged, **one.after}
    return [
        {
            "unit": unit,
            "before": before.get(unit, 0),
            "after": after.get(unit, 0),
            "change": after.get(unit, 0) - before.get(unit, 0),
        }
        for unit in dict.fromkeys([*before, *after])
    ]

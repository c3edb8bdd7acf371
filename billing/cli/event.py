"""``tokenworks event``: look at one event, void or amend it, and revert that.

Invariant: nothing is edited: each correction is a fact with a name, a reason and who made it.
"""

from __future__ import annotations

from pathlib import Path

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_rows
from billing.cli.stored import by_option, opened, store_option
from billing.operations.corrected_events import EventHistory, correction_page, event_history
from billing.operations.correction import Corrected
from billing.operations.correction_request import correct_one
from billing.operations.reversal import revert as revert_stored
from billing.operations.taken_in import owner_of
from billing.store.corrections import Correction, is_void
from pricing_rules.period import moment_text

COLUMNS = ("correction", "kind", "account", "reason", "by", "reverts", "epoch", "recorded_at")
_STEPS = ("step", "counts", "epoch", "correction", "kind", "reason", "by", "recorded_at")
_AT_ONCE = 1_000

owner_option = click.option(
    "--owner-account", help="The account whose key the event came with. Without it: the provider's."
)
reason_option = click.option("--reason", required=True, help="Why; it is kept.")


@click.group("event")
def command() -> None:
    """Show, void and amend usage events, and revert that."""


@command.command("show")
@click.argument("source")
@click.argument("event_id", metavar="ID")
@owner_option
@store_option
@format_option
def show(*, source: str, event_id: str, owner_account: str | None, store: str, shape: str) -> None:
    """Show an event, and every correction of it.

    Example: tokenworks event show gw-eu-1 resp-7f3 --store billing.db
    """
    with opened(store) as found:
        history = event_history(
            found, owner=owner_of(owner_account), source=source, event_id=event_id
        )
    rows: list[dict[str, object]] = [
        {
            "step": step.step,
            "counts": not is_void(step.step),
            "epoch": step.epoch,
            "correction": made.correction,
            "kind": made.kind,
            "reason": made.reason,
            "by": made.by,
            "recorded_at": moment_text(made.recorded_at),
        }
        for step, made in history.steps
    ]
    state = "is void" if history.void else "counts"
    event = history.event
    title = (
        f"Event {event.id} of {event.source} ({event.account}, {event.model}, "
        f"{moment_text(event.occurred_at)}) {state}"
    )
    document = {**_event(history), "steps": rows}
    print_rows(rows, columns=_STEPS, shape=shape, document=document, title=title)


@command.command("void")
@click.argument("source")
@click.argument("event_id", metavar="ID")
@owner_option
@reason_option
@store_option
@by_option
@now_option
@format_option
def void(
    *,
    source: str,
    event_id: str,
    owner_account: str | None,
    reason: str,
    store: str,
    by: str,
    now_at: int,
    shape: str,
) -> None:
    """Let an event count nowhere from now on; its id stays taken.

    What was invoiced for it is credited on the next invoice of the account.

    Example: tokenworks event void gw-eu-1 resp-7f3 --reason 'sent twice' --by dana
    --store billing.db
    """
    with opened(store) as found:
        made = correct_one(
            found,
            owner_account=owner_account,
            source=source,
            event_id=event_id,
            reason=reason,
            amended_by=None,
            by=by,
            now_at=now_at,
        )
    _print(made, shape=shape)


@command.command("amend")
@click.argument("source")
@click.argument("event_id", metavar="ID")
@click.option(
    "--event",
    "file",
    required=True,
    type=click.Path(path_type=Path),
    help="The event that counts in its place, as JSON, with an id of its own.",
)
@owner_option
@reason_option
@store_option
@by_option
@now_option
@format_option
def amend(
    *,
    source: str,
    event_id: str,
    file: Path,
    owner_account: str | None,
    reason: str,
    store: str,
    by: str,
    now_at: int,
    shape: str,
) -> None:
    """Let another event of the account count in the place of one.

    Example: tokenworks event amend gw-eu-1 resp-7f3 --event right.json --reason 'wrong model'
    --by dana --store billing.db
    """
    with opened(store) as found:
        made = correct_one(
            found,
            owner_account=owner_account,
            source=source,
            event_id=event_id,
            reason=reason,
            amended_by=file,
            by=by,
            now_at=now_at,
        )
    _print(made, shape=shape)


@command.command("revert")
@click.argument("correction")
@reason_option
@store_option
@by_option
@now_option
@format_option
def revert(*, correction: str, reason: str, store: str, by: str, now_at: int, shape: str) -> None:
    """Take back a void or an amendment; what it voided counts again.

    Example: tokenworks event revert cor_7f3a --reason 'it was right' --by dana --store billing.db
    """
    with opened(store) as found:
        reverted = revert_stored(found, correction=correction, reason=reason, by=by, now_at=now_at)
    row = {**_row(reverted.reversal), "new": reverted.new}
    print_rows([row], columns=(*COLUMNS, "new"), shape=shape, document=row, title="Reverted")


@command.command("corrections")
@click.option("--account", help="Only those of this account.")
@store_option
@format_option
def corrections(*, account: str | None, store: str, shape: str) -> None:
    """List corrections in the order in which they were made.

    Example: tokenworks event corrections --account acme --store billing.db
    """
    rows: list[dict[str, object]] = []
    with opened(store) as found:
        page = correction_page(found, account=account, limit=_AT_ONCE, cursor=None)
        rows += map(_row, page.rows)
        while page.cursor is not None:
            page = correction_page(found, account=account, limit=_AT_ONCE, cursor=page.cursor)
            rows += map(_row, page.rows)
    print_rows(rows, columns=COLUMNS, shape=shape, document=rows, title="Corrections")


def _print(made: Corrected, *, shape: str) -> None:
    row = {
        "verdict": made.verdict,
        "kind": made.kind,
        "source": made.source,
        "id": made.id,
        "correction": made.correction,
    }
    print_rows([row], columns=tuple(row), shape=shape, document=row, title="Corrected")


def _row(made: Correction) -> dict[str, object]:
    return {
        "correction": made.correction,
        "kind": made.kind,
        "account": made.account,
        "reason": made.reason,
        "by": made.by,
        "reverts": made.reverts,
        "epoch": made.epoch,
        "recorded_at": moment_text(made.recorded_at),
    }


def _event(history: EventHistory) -> dict[str, object]:
    event = history.event
    return {
        "source": event.source,
        "id": event.id,
        "owner": event.owner,
        "account": event.account,
        "occurred_at": moment_text(event.occurred_at),
        "model": event.model,
        "service_tier": event.service_tier,
        "region": event.region,
        "request_tokens": event.request_tokens,
        "outcome": event.outcome,
        "dimensions": dict(event.dimensions),
        "units": dict(event.units),
        "epoch": event.epoch,
        "received_at": moment_text(event.received_at),
        "void": history.void,
    }

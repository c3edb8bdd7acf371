"""Named points between the steps of a command: tests stop the process at each of them.

Invariant: without a hook, reaching a point does nothing; a name that is not in ``POINTS`` is a bug.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

STORE_POINTS = (
    "write.begun",
    "write.uncommitted",
    "write.committed",
    "events.looked_up",
    "events.ids_appended",
    "events.appended",
    "correction.appended",
    "correction.steps_appended",
    "backfill.appended",
    "backfill.events_staged",
    "backfill.events_removed",
    "totals.added",
    "totals.removed",
    "totals.replaced",
    "grid.appended",
    "grid.account_set",
    "price_book.appended",
    "agreement.appended",
    "epoch.sealed",
    "delivery.appended",
    "delivery.refusals_appended",
    "invoice.numbered",
    "invoice.appended",
    "invoice.lines_appended",
    "ledger.transaction_appended",
    "ledger.entries_appended",
    "waiver.appended",
    "webhook.endpoint_appended",
    "webhook.secret_appended",
    "webhook.retired",
    "webhook.message_appended",
    "webhook.sendings_appended",
    "webhook.attempt_begun",
    "webhook.attempt_settled",
    "webhook.asked_anew",
    "api_key.appended",
    "api_key.revoked",
    "command_answer.appended",
    "audit.appended",
)
"""Reached by the functions of this room."""

OPERATION_POINTS = (
    "ingest.started",
    "ingest.batch_read",
    "ingest.epoch_read",
    "ingest.batch_done",
    "ingest.done",
    "backfill.events_stored",
    "close.started",
    "close.sealed",
    "close.account_started",
    "close.account_rebuilt",
    "close.account_rated",
    "close.account_documented",
    "close.account_done",
    "close.done",
    "webhook.answered",
)
"""For the operations to reach, between their calls of this room."""

POINTS = STORE_POINTS + OPERATION_POINTS
"""Every point, in no order."""

_hooks: list[Callable[[str], None]] = []


def reach(name: str) -> None:
    """Say that the point of this name is reached; hooks may then end the process, or raise."""
    if name not in POINTS:
        raise ValueError(f'"{name}" is not a point; add it to POINTS')
    for hook in _hooks:
        hook(name)


@contextmanager
def hooked(hook: Callable[[str], None]) -> Iterator[None]:
    """Call ``hook`` with the name of each point that is reached inside."""
    _hooks.append(hook)
    try:
        yield
    finally:
        _hooks.remove(hook)

"""Reverting a correction: what it voided counts again, and what it added does not.

Invariant: a reversal is a correction of its own, in the current epoch; a correction is reverted
once at most, and only while none of its events was corrected since, so that nothing comes to count
twice; nor while a later backfill in force states a range that holds one of them, so that the usage
of the range stays what that stated.
"""

from __future__ import annotations

from dataclasses import dataclass

from billing.operations.announcement import announce_corrections
from billing.operations.correction import hold_corrections, keep_corrected, next_step
from billing.operations.correction_record import (
    REVERTED,
    audit_corrections,
    new_name,
)
from billing.operations.grid import AccountCuts
from billing.operations.not_found import NotFoundError
from billing.operations.stated import stated_text
from billing.store.backfill_changes import later_backfill
from billing.store.correction_details import BackfillDetail, ReversalDetail
from billing.store.corrections import (
    Correction,
    append_correction,
    append_steps,
    corrected_since,
    find_events,
    last_steps,
    read_correction,
    read_reversal,
    read_steps,
)
from billing.store.epochs import current_epoch
from billing.store.events import StoredEvent
from billing.store.store import Connection, Store
from pricing_rules.document import DocumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Reverted:
    """The reversal of a correction; ``new``: it was reverted now and not before."""

    reversal: Correction
    new: bool


def revert(store: Store, *, correction: str, reason: str, by: str, now_at: int) -> Reverted:
    """``revert_correction`` in a transaction of its own."""
    return store.beside(
        lambda connection: revert_correction(
            connection, correction=correction, reason=reason, by=by, now_at=now_at
        )
    )


def revert_correction(
    connection: Connection, *, correction: str, reason: str, by: str, now_at: int
) -> Reverted:
    """Take back a void or an amendment: what it voided counts again, and what it added does not.

    One that was reverted before stays as it was. To be run in a transaction that writes, beside
    others; it is safe to repeat. NotFoundError where there is no such correction; DocumentError
    where the reason is none, where it is of another kind, where one of its events was corrected
    since, and where a later backfill in force states a range that holds one.
    """
    reason = stated_text("reason", text=reason)
    first = read_correction(connection, correction=correction)
    if first is None:
        raise NotFoundError(
            f"correction {correction:.60}",
            "does not exist; tokenworks event corrections lists them",
        )
    hold_corrections(connection)
    before = read_reversal(connection, correction=correction)
    if before is not None:
        return Reverted(reversal=before, new=False)
    where = f"correction {correction}"
    detail = first.detail
    if isinstance(detail, ReversalDetail):
        raise DocumentError(where, "is a reversal, which stands; void or amend the events anew")
    if isinstance(detail, BackfillDetail):
        raise DocumentError(where, "is a backfill; revert it as one")
    identities = [one for one in (detail.event, detail.amended_by) if one is not None]
    keys = [(one.source, one.id) for one in identities]
    found = find_events(connection, owner=detail.owner, keys=keys)
    events = [found[key] for key in keys]
    last = last_steps(connection, events=[event.seq for event in events])
    taken = {step.event for step in read_steps(connection, correction=correction)}
    for event in events:
        _refuse_later(connection, event=event, correction=correction)
    reversal = Correction(
        correction=new_name("cor", now_at=now_at, number=0),
        kind="reversal",
        account=first.account,
        reason=reason,
        by=by,
        reverts=correction,
        detail=ReversalDetail(steps=len(events)),
        epoch=current_epoch(connection),
        recorded_at=now_at,
    )
    append_correction(connection, correction=reversal)
    append_steps(
        connection,
        steps=[next_step(event, last=last.get(event.seq), correction=reversal) for event in events],
    )
    cuts = AccountCuts()
    restored = [event for event in events if event.seq in taken]
    added = [event for event in events if event.seq not in taken]
    keep_corrected(connection, events=restored, sign=1, epoch=reversal.epoch, cuts=cuts)
    keep_corrected(connection, events=added, sign=-1, epoch=reversal.epoch, cuts=cuts)
    audit_corrections(connection, command=REVERTED, corrections=[reversal])
    announce_corrections(connection, corrections=[reversal])
    return Reverted(reversal=reversal, new=True)


def _refuse_later(connection: Connection, *, event: StoredEvent, correction: str) -> None:
    """DocumentError where what a correction made of an event is no longer its own to take back."""
    where = f"correction {correction}"
    said = f'cannot be reverted: its event "{event.id}" of "{event.source}"'
    since = corrected_since(connection, event=event.seq, correction=correction)
    if since is not None:
        raise DocumentError(where, f"{said} was corrected since by {since}; revert that first")
    backfill = later_backfill(
        connection, correction=correction, account=event.account, occurred_at=event.occurred_at
    )
    if backfill is not None:
        raise DocumentError(
            where,
            f"{said} lies in the range that backfill {backfill} stated since; revert that first",
        )

"""Backfills applied and reverted: each in one transaction, each a correction that says what it did.

Invariant: after a backfill was applied, the events of its account that count in its range are those
that were staged, and no others are touched; after it was reverted, those that it turned are as they
were, and what came in since counts. What it changes is added to the totals of the current epoch, so
that no sealed epoch is touched.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from billing.operations.announcement import announce, announce_corrections, usage_subject
from billing.operations.backfill import (
    ShownBackfill,
    backfill_detail,
    refuse_taken,
    show_backfill,
)
from billing.operations.correction import hold_corrections, keep_corrected
from billing.operations.grid import AccountCuts, newest_versions
from billing.operations.stated import stated_text
from billing.operations.taken_in import OWNER
from billing.store.audit import append_audit
from billing.store.backfill_changes import (
    Runs,
    count_range,
    later_correction,
    read_numbered,
    read_range,
    read_stepped,
)
from billing.store.backfills import Backfill, event_seqs, read_new_staged, remove_staged
from billing.store.correction_details import BackfillDetail, ReversalDetail
from billing.store.corrections import (
    Correction,
    EventStep,
    append_correction,
    append_steps,
    is_void,
)
from billing.store.deliveries import Delivery, append_delivery
from billing.store.epochs import current_epoch
from billing.store.events import StoredEvent, append_events
from billing.store.grid import account_grid, append_account_grids
from billing.store.locks import hold_account, lock_name
from billing.store.points import reach
from billing.store.store import Connection
from pricing_rules.document import DocumentError
from pricing_rules.period import moment_text

BACKFILL_APPLIED, BACKFILL_REVERTED = "backfill apply", "backfill revert"
"""As what the audit knows these commands; its rows name the correction that was made."""

_EVENTS_AT_ONCE = 10_000


def apply_backfill(
    connection: Connection, *, backfill: str, events: int, by: str, now_at: int
) -> ShownBackfill:
    """Make the staged events those of the account in the range, whole, in this transaction.

    Staged events that are new are stored, and come in at ``now_at``; those that were voided are
    restored; what counts in the range and is not staged is voided. ``events``: how many are staged,
    as the caller knows it, so that a part that never arrived is not taken for usage that never was.
    A backfill that was applied before is shown as it stands, and nothing is done.

    NotFoundError where there is none. DocumentError where it was reverted, where another number of
    events is staged, and where one of their ids was taken by another content meanwhile.
    """
    lock_name(connection, name=f"backfill {backfill}")
    shown = show_backfill(connection, backfill=backfill)
    if shown.state == "reverted":
        raise DocumentError(f"backfill {backfill}", "was applied and reverted; open another one")
    if shown.state == "applied":
        return shown
    if shown.staged != events:
        raise DocumentError(
            "events",
            f"{shown.staged:,} events are staged, not {events:,}; stage those that are missing, or "
            "drop what is staged and begin anew",
            path=("events",),
        )
    one = shown.backfill
    hold_corrections(connection)
    epoch = current_epoch(connection)
    runs = _append_new(connection, backfill=one, epoch=epoch, now_at=now_at)
    refuse_taken(connection, backfill=backfill)
    reach("backfill.events_stored")
    _hold(connection, account=one.account)
    correction = _correction(
        connection, backfill=one, staged=events, runs=runs, epoch=epoch, by=by, now_at=now_at
    )
    append_correction(connection, correction=correction)
    cuts = AccountCuts()
    for part in _numbered(connection, runs=runs):
        added = [event for event, _ in part]
        keep_corrected(connection, events=added, sign=1, epoch=epoch, cuts=cuts)
    _change(connection, backfill=one, which="staged void", correction=correction, cuts=cuts)
    _change(connection, backfill=one, which="unstaged counting", correction=correction, cuts=cuts)
    _record(connection, correction=correction)
    remove_staged(connection, backfill=backfill)
    announce(
        connection,
        kind="backfill.applied",
        account=one.account,
        subject=usage_subject(one.account),
        data={
            "account": one.account,
            "backfill": backfill,
            "start_at": moment_text(one.start_at),
            "end_at": moment_text(one.end_at),
            "epoch": epoch,
        },
        now_at=now_at,
    )
    return show_backfill(connection, backfill=backfill)


def revert_backfill(
    connection: Connection, *, backfill: str, reversal: str, reason: str, by: str, now_at: int
) -> ShownBackfill:
    """Take back what a backfill did, as a correction of the name ``reversal``.

    What it added is voided, what it voided is restored, and what it restored is voided. A backfill
    that was reverted before is shown as it stands, and nothing is done. NotFoundError where there
    is none; DocumentError where the reason is none, where it was never applied, and where a
    correction in force came after it: of one of its events, or a backfill of time in its range.
    """
    stated_text("reason", text=reason)
    lock_name(connection, name=f"backfill {backfill}")
    shown = show_backfill(connection, backfill=backfill)
    if shown.state == "reverted":
        return shown
    if shown.applied is None or shown.changes is None:
        raise DocumentError(
            f"backfill {backfill}", "was not applied, so that there is nothing to revert"
        )
    account = shown.backfill.account
    hold_corrections(connection)
    hold_account(connection, account=account)
    runs = backfill_detail(shown.applied).added_events
    later = later_correction(connection, backfill=shown.backfill, added=runs)
    if later is not None:
        raise DocumentError(
            f"backfill {backfill}",
            f"what it did was corrected since, by {later}; revert that first",
        )
    changes = shown.changes
    voided = changes.added + changes.restored
    correction = Correction(
        correction=reversal,
        kind="reversal",
        account=account,
        reason=reason,
        by=by,
        reverts=backfill,
        detail=ReversalDetail(
            steps=voided + changes.voided, restored=changes.voided, voided=voided
        ),
        epoch=current_epoch(connection),
        recorded_at=now_at,
    )
    append_correction(connection, correction=correction)
    cuts = AccountCuts()
    for part in _numbered(connection, runs=runs):
        _step(connection, part=part, correction=correction, cuts=cuts)
    after_event = 0
    while touched := read_stepped(
        connection, correction=backfill, after_event=after_event, limit=_EVENTS_AT_ONCE
    ):
        _step(connection, part=touched, correction=correction, cuts=cuts)
        after_event = touched[-1][0].seq
    _record_reversal(connection, correction=correction, backfill=backfill)
    return show_backfill(connection, backfill=backfill)


def _record_reversal(connection: Connection, *, correction: Correction, backfill: str) -> None:
    append_audit(
        connection,
        command=BACKFILL_REVERTED,
        subject=backfill,
        by=correction.by,
        detail={"corrections": [correction.correction], "reason": correction.reason},
        recorded_at=correction.recorded_at,
    )
    announce_corrections(connection, corrections=[correction])


def _append_new(
    connection: Connection, *, backfill: Backfill, epoch: int, now_at: int
) -> tuple[tuple[int, int], ...]:
    """Store the staged events that are not, and give their numbers.

    They are stored in the order of ids, before the account is held: ids come first in the order of
    locks.
    """
    seqs: list[int] = []
    after: tuple[str, str] | None = None
    while part := read_new_staged(
        connection, backfill=backfill, owner=OWNER, after=after, limit=_EVENTS_AT_ONCE
    ):
        verdicts = append_events(
            connection, owner=OWNER, rows=part, epoch=epoch, received_at=now_at
        )
        keys = [(event.source, event.id) for event in part]
        new = [key for key, one in zip(keys, verdicts, strict=True) if one.kind == "accepted"]
        seqs += event_seqs(connection, owner=OWNER, keys=new)
        after = keys[-1]
    return _runs(seqs)


def _runs(seqs: Iterable[int]) -> tuple[tuple[int, int], ...]:
    runs: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if runs and runs[-1][1] == seq - 1:
            runs[-1] = (runs[-1][0], seq)
        else:
            runs.append((seq, seq))
    return tuple(runs)


def _hold(connection: Connection, *, account: str) -> None:
    """Hold the account alone, from its first usage on."""
    if account_grid(connection, account=account) is None:
        grids = [newest_versions(connection, account=account)]
        append_account_grids(connection, grids=grids)
    hold_account(connection, account=account)


def _correction(
    connection: Connection,
    *,
    backfill: Backfill,
    staged: int,
    runs: tuple[tuple[int, int], ...],
    epoch: int,
    by: str,
    now_at: int,
) -> Correction:
    counts = count_range(connection, backfill=backfill)
    added = sum(last - first + 1 for first, last in runs)
    return Correction(
        correction=backfill.backfill,
        kind="backfill",
        account=backfill.account,
        reason=backfill.reason,
        by=by,
        reverts=None,
        detail=BackfillDetail(
            staged=staged,
            added=added,
            kept=counts.staged_counting - added,
            restored=counts.staged_void,
            voided=counts.unstaged_counting,
            steps=counts.staged_void + counts.unstaged_counting,
            added_events=runs,
        ),
        epoch=epoch,
        recorded_at=now_at,
    )


def _numbered(connection: Connection, *, runs: Runs) -> Iterator[list[tuple[StoredEvent, int]]]:
    """The events of these numbers with their last steps, some thousands at a time.

    Events of others may lie between them.
    """
    if not runs:
        return
    firsts = [first for first, _ in runs]
    after_seq, last_seq = firsts[0] - 1, runs[-1][1]
    while part := read_numbered(
        connection, after_seq=after_seq, last_seq=last_seq, limit=_EVENTS_AT_ONCE
    ):
        after_seq = part[-1][0].seq
        within = [
            (event, last)
            for event, last in part
            if event.seq <= runs[bisect_right(firsts, event.seq) - 1][1]
        ]
        if within:
            yield within


def _change(
    connection: Connection,
    *,
    backfill: Backfill,
    which: Literal["staged void", "unstaged counting"],
    correction: Correction,
    cuts: AccountCuts,
) -> None:
    after = backfill.start_at, 0
    while part := read_range(
        connection, backfill=backfill, which=which, after=after, limit=_EVENTS_AT_ONCE
    ):
        _step(connection, part=part, correction=correction, cuts=cuts)
        last = part[-1][0]
        after = last.occurred_at, last.seq


def _step(
    connection: Connection,
    *,
    part: Sequence[tuple[StoredEvent, int]],
    correction: Correction,
    cuts: AccountCuts,
) -> None:
    """Take the next step of each event, which comes with its last one; totals follow."""
    append_steps(
        connection,
        steps=[
            EventStep(
                event=event.seq,
                step=last + 1,
                account=correction.account,
                epoch=correction.epoch,
                correction=correction.correction,
            )
            for event, last in part
        ],
    )
    signs: tuple[tuple[Literal[-1, 1], bool], ...] = ((1, True), (-1, False))
    for sign, was_void in signs:
        events = [event for event, last in part if is_void(last) == was_void]
        if events:
            keep_corrected(connection, events=events, sign=sign, epoch=correction.epoch, cuts=cuts)


def _record(connection: Connection, *, correction: Correction) -> None:
    """The counters of the staged events, as of any delivery, and the audit."""
    detail = backfill_detail(correction)
    name = correction.correction
    delivery = Delivery(
        delivery=f"backfill:{name}",
        file=f"backfill {name}",
        first_row=1,
        received=detail.staged,
        accepted=detail.added,
        duplicate=detail.staged - detail.added,
        conflict=0,
        rejected=0,
        received_at=correction.recorded_at,
    )
    append_delivery(connection, delivery=delivery, refusals=())
    append_audit(
        connection,
        command=BACKFILL_APPLIED,
        subject=name,
        by=correction.by,
        detail={"corrections": [name]},
        recorded_at=correction.recorded_at,
    )

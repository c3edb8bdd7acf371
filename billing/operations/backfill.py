"""Backfills: the usage of an account in a range is stated anew, staged first, then applied whole.

A backfill says: what account A used in [start, end) is exactly these events. They are staged over
as many requests as they need and count nowhere until they are applied (``applied_backfill``).

Invariant: what is staged is of the account and in the range of its backfill, and nothing is staged
once that was applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from billing.operations.cursor import Page, Word, cut_page, read_cursor
from billing.operations.not_found import NotFoundError
from billing.operations.stated import stated_name, stated_text
from billing.operations.taken_in import FIRST_EVENT_AT, OWNER
from billing.store.audit import append_audit
from billing.store.backfill_changes import count_range, first_taken, sum_range, sum_staged
from billing.store.backfills import (
    Backfill,
    StagingVerdict,
    append_backfill,
    count_staged,
    read_backfill,
    read_backfills,
    remove_staged,
    stage_events,
)
from billing.store.correction_details import BackfillDetail
from billing.store.corrections import Correction, read_correction, read_reversal
from billing.store.events import NewEvent, VerdictKind
from billing.store.locks import lock_name
from billing.store.store import Connection, Store
from pricing_rules.document import DocumentError
from pricing_rules.period import Period, moment_text

BackfillState = Literal["open", "applied", "reverted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What applying a backfill does, in events: ``added`` + ``kept`` + ``restored`` are staged.

    ``added``: were not stored before. ``kept``: were, and go on counting. ``restored``: were
    stored, and void. ``voided``: counted in the range and are not staged.
    """

    added: int
    kept: int
    restored: int
    voided: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBackfill:
    """A backfill as it stands. ``changes`` and ``epoch`` (in which they count): None while open.

    ``staged``: how many events were, when it was applied. ``reversal``: the correction that
    reverted it.
    """

    backfill: Backfill
    state: BackfillState
    staged: int
    changes: Changes | None
    applied: Correction | None
    reversal: Correction | None

    def as_json(self) -> dict[str, Any]:
        """The backfill as the service and the command show it; moments are texts."""
        one, changes = self.backfill, self.changes
        applied, reversal = self.applied, self.reversal
        return {
            "backfill": one.backfill,
            "account": one.account,
            "start_at": moment_text(one.start_at),
            "end_at": moment_text(one.end_at),
            "reason": one.reason,
            "by": one.by,
            "opened_at": moment_text(one.opened_at),
            "state": self.state,
            "staged": self.staged,
            "added": changes and changes.added,
            "kept": changes and changes.kept,
            "restored": changes and changes.restored,
            "voided": changes and changes.voided,
            "epoch": applied and applied.epoch,
            "applied_at": applied and moment_text(applied.recorded_at),
            "reverted_at": reversal and moment_text(reversal.recorded_at),
            "reversal": reversal and reversal.correction,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedEvent:
    """What became of an event that came to be staged: ``accepted`` is staged, and why not else.

    ``pointer``: the JSON pointer of what is wrong with it.
    """

    kind: VerdictKind | Literal["rejected"]
    pointer: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeseenBackfill:
    """What applying would do now, and what counts in the range before and after it, by leaf."""

    backfill: Backfill
    staged: int
    changes: Changes
    before: dict[str, int]
    after: dict[str, int]


class _Place(msgspec.Struct, array_like=True):
    """Where a page of backfills ends."""

    backfill: Word


def backfill_detail(correction: Correction) -> BackfillDetail:
    """The detail of a correction of kind backfill."""
    assert isinstance(correction.detail, BackfillDetail), "its kind says so"
    return correction.detail


def open_backfill(
    connection: Connection,
    *,
    backfill: str,
    account: str,
    period: Period,
    reason: str,
    by: str,
    now_at: int,
) -> ShownBackfill:
    """Open a backfill of the usage of an account in a period, under a name that is free.

    DocumentError as from ``checked_backfill``.
    """
    one = checked_backfill(
        backfill, account=account, period=period, reason=reason, by=by, now_at=now_at
    )
    # One at a time, to the end of its transaction: who pages by their order misses none.
    lock_name(connection, name="backfills opened")
    append_backfill(connection, backfill=one)
    append_audit(
        connection,
        command="backfill open",
        subject=backfill,
        by=by,
        detail={
            "account": account,
            "start_at": moment_text(one.start_at),
            "end_at": moment_text(one.end_at),
            "reason": reason,
        },
        recorded_at=now_at,
    )
    return show_backfill(connection, backfill=backfill)


def checked_backfill(
    backfill: str, *, account: str, period: Period, reason: str, by: str, now_at: int
) -> Backfill:
    """A backfill that may be opened. DocumentError where the account is no name or the reason no
    text, where nobody is named, and where no event can be as early as the period starts.
    """
    stated_name("account", text=account)
    stated_text("reason", text=reason)
    stated_text("by", text=by)
    if period.start_at < FIRST_EVENT_AT:
        raise DocumentError(
            "start_at",
            f"{moment_text(period.start_at)} lies before {moment_text(FIRST_EVENT_AT)}, and no "
            "event does; start then",
            path=("start_at",),
        )
    return Backfill(
        backfill=backfill,
        account=account,
        start_at=period.start_at,
        end_at=period.end_at,
        reason=reason,
        by=by,
        opened_at=now_at,
    )


def stage(
    connection: Connection, *, backfill: str, events: Sequence[NewEvent]
) -> tuple[StagedEvent, ...]:
    """Stage checked events for an open backfill, with a verdict for each, in their order.

    Rejected: of another account, outside of the range, or without a moment of its own. Duplicate:
    staged before with this content. Conflict: its id is staged, or stored, with another content.
    An event that is stored with the same content is staged, and goes on counting when the backfill
    is applied. NotFoundError, and DocumentError where the backfill was applied.
    """
    lock_name(connection, name=f"backfill {backfill}")
    one = _open_one(connection, backfill=backfill)
    unfit = [_unfit(event, backfill=one) for event in events]
    fit = [event for event, why in zip(events, unfit, strict=True) if why is None]
    verdicts = iter(stage_events(connection, backfill=one, owner=OWNER, events=fit))
    return tuple(_staged(next(verdicts)) if why is None else why for why in unfit)


def drop_staged(connection: Connection, *, backfill: str, by: str, now_at: int) -> ShownBackfill:
    """Forget what is staged for an open backfill: it may be staged anew.

    NotFoundError, and DocumentError where the backfill was applied.
    """
    lock_name(connection, name=f"backfill {backfill}")
    _open_one(connection, backfill=backfill)
    append_audit(
        connection,
        command="backfill drop",
        subject=backfill,
        by=by,
        detail={"staged": remove_staged(connection, backfill=backfill)},
        recorded_at=now_at,
    )
    return show_backfill(connection, backfill=backfill)


def show_backfill(connection: Connection, *, backfill: str) -> ShownBackfill:
    """A backfill as it stands. NotFoundError where none of this name was opened."""
    found = read_backfill(connection, backfill=backfill)
    if found is None:
        raise NotFoundError(f"backfill {backfill:.60}", "was never opened; check its name")
    return _shown(connection, backfill=found)


def backfill_page(
    store: Store, *, account: str | None, limit: int, cursor: str | None
) -> Page[ShownBackfill]:
    """At most ``limit`` backfills of an account, or of all, in the order in which they were opened;
    the first ones where ``cursor`` is None. One that is opened meanwhile is on a later page.
    DocumentError where the account is no name, and where the cursor is not one of this question.
    """
    if account is not None:
        stated_name("account", text=account)
    question = "backfills" if account is None else f"backfills of {account}"
    at = read_cursor(_Place, text=cursor, question=question)
    after = None if at is None else at.backfill
    with store.read() as connection:
        found = read_backfills(connection, account=account, after=after, limit=limit + 1)
        page = cut_page(
            found,
            limit=limit,
            question=question,
            place=lambda one: _Place(backfill=one.backfill),
        )
        shown = tuple(_shown(connection, backfill=one) for one in page.rows)
        return Page(rows=shown, cursor=page.cursor)


def foresee_backfill(connection: Connection, *, backfill: str) -> ForeseenBackfill:
    """What applying an open backfill would do now.

    NotFoundError, and DocumentError where it was applied, or would be refused.
    """
    one = _open_one(connection, backfill=backfill)
    refuse_taken(connection, backfill=backfill)
    staged = count_staged(connection, backfill=backfill)
    counts = count_range(connection, backfill=one)
    kept, restored = counts.staged_counting, counts.staged_void
    return ForeseenBackfill(
        backfill=one,
        staged=staged,
        changes=Changes(
            added=staged - kept - restored,
            kept=kept,
            restored=restored,
            voided=counts.unstaged_counting,
        ),
        before=sum_range(connection, backfill=one),
        after=sum_staged(connection, backfill=one),
    )


def refuse_taken(connection: Connection, *, backfill: str) -> None:
    """DocumentError where the id of a staged event was meanwhile taken by other content."""
    taken = first_taken(connection, backfill=backfill)
    if taken is not None:
        source, event_id = taken
        raise DocumentError(
            f"backfill {backfill}",
            f'the id "{event_id}" of "{source}" was taken by another content since it was staged; '
            "drop what is staged, and give that event an id of its own",
        )


def _open_one(connection: Connection, *, backfill: str) -> Backfill:
    shown = show_backfill(connection, backfill=backfill)
    if shown.state != "open":
        raise DocumentError(f"backfill {backfill}", "was applied already; open another one")
    return shown.backfill


def _shown(connection: Connection, *, backfill: Backfill) -> ShownBackfill:
    name = backfill.backfill
    applied = read_correction(connection, correction=name)
    if applied is None:
        return ShownBackfill(
            backfill=backfill,
            state="open",
            staged=count_staged(connection, backfill=name),
            changes=None,
            applied=None,
            reversal=None,
        )
    detail = backfill_detail(applied)
    reversal = read_reversal(connection, correction=name)
    return ShownBackfill(
        backfill=backfill,
        state="applied" if reversal is None else "reverted",
        staged=detail.staged,
        changes=Changes(
            added=detail.added,
            kept=detail.kept,
            restored=detail.restored,
            voided=detail.voided,
        ),
        applied=applied,
        reversal=reversal,
    )


def _unfit(event: NewEvent, *, backfill: Backfill) -> StagedEvent | None:
    """Why an event cannot be one of a backfill; None where it can."""
    if event.account != backfill.account:
        reason = f'is not "{backfill.account}", whose usage this backfill states; send it elsewhere'
        return StagedEvent(kind="rejected", pointer="/subject", reason=reason)
    if event.timed_by != "event":
        reason = "is missing; in a backfill each event says when it happened"
        return StagedEvent(kind="rejected", pointer="/time", reason=reason)
    if not backfill.start_at <= event.occurred_at < backfill.end_at:
        reason = (
            f"{moment_text(event.occurred_at)} lies outside of this backfill, which is from "
            f"{moment_text(backfill.start_at)} to {moment_text(backfill.end_at)}"
        )
        return StagedEvent(kind="rejected", pointer="/time", reason=reason)
    return None


def _staged(verdict: StagingVerdict) -> StagedEvent:
    reason = {
        "": "",
        "staged": "its id is staged with another content, which stands",
        "stored": "its id is taken by another content in the store; give it an id of its own",
    }[verdict.against]
    return StagedEvent(kind=verdict.kind, reason=reason)

"""Looking at corrections: one, a page of them, and what became of an event.

Invariant: nothing is written here; what is not the asker's to see is not there.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from billing.operations.cursor import Page, Word, cut_page, read_cursor
from billing.operations.not_found import NotFoundError
from billing.operations.stated import stated_name
from billing.store.corrections import (
    Correction,
    EventStep,
    find_events,
    is_void,
    read_correction,
    read_corrections,
    read_event_steps,
    read_reversal,
)
from billing.store.events import StoredEvent
from billing.store.store import Connection, Store
from pricing_rules.document import content_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCorrection:
    """A correction, and the one that reverted it."""

    correction: Correction
    reverted_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHistory:
    """An event and the steps of its corrections, each with its correction, in their order."""

    event: StoredEvent
    steps: tuple[tuple[EventStep, Correction], ...]

    @property
    def void(self) -> bool:
        """Whether it counts nowhere."""
        return is_void(self.steps[-1][0].step if self.steps else 0)


class _Place(msgspec.Struct, array_like=True):
    """Where a page of corrections ends."""

    correction: Word


def correction_page(
    store: Store, *, account: str | None, limit: int, cursor: str | None
) -> Page[Correction]:
    """One page of at most ``limit`` corrections of an account, or of all where it is None, in the
    order in which they were made.

    One that is made meanwhile is on a later page. DocumentError where the account is no name, and
    where the cursor is of another question.
    """
    if account is not None:
        stated_name("account", text=account)
    question = content_digest(["corrections", account])
    at = read_cursor(_Place, text=cursor, question=question)
    with store.read() as connection:
        found = read_corrections(
            connection,
            account=account,
            after=None if at is None else at.correction,
            limit=limit + 1,
        )
    return cut_page(
        found,
        limit=limit,
        question=question,
        place=lambda one: _Place(correction=one.correction),
    )


def show_correction(store: Store, *, correction: str, account: str | None) -> ShownCorrection:
    """One correction. ``account``: only one of this account; None: of any.

    NotFoundError where there is none.
    """
    with store.read() as connection:
        found = read_correction(connection, correction=correction)
        if found is None or account not in (None, found.account):
            raise NotFoundError(f"correction {correction:.60}", "does not exist; check its name")
        reversal = read_reversal(connection, correction=correction)
    return ShownCorrection(
        correction=found, reverted_by=None if reversal is None else reversal.correction
    )


def event_history(store: Store, *, owner: str, source: str, event_id: str) -> EventHistory:
    """A stored event with all that corrected it. NotFoundError where there is none."""
    with store.read() as connection:
        found = find_events(connection, owner=owner, keys=[(source, event_id)])
        event = found.get((source, event_id))
        if event is None:
            raise NotFoundError(
                f"event {event_id:.200} of {source:.200}", "is not stored; check source and id"
            )
        steps = read_event_steps(connection, event=event.seq)
        return EventHistory(
            event=event, steps=tuple((step, _of(connection, step=step)) for step in steps)
        )


def _of(connection: Connection, *, step: EventStep) -> Correction:
    found = read_correction(connection, correction=step.correction)
    if found is None:
        raise AssertionError(f"a step names the correction {step.correction}, which is not there")
    return found

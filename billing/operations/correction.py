"""Corrections of events: voided and amended; each is a fact that names what it corrects.

Invariant: events and totals of sealed epochs are never touched. What a correction takes away or
adds is added with its sign to the current epoch, in the cell in which the event was counted, in the
transaction of the correction and of its audit row.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from billing.engines.event_sums import sum_events
from billing.operations.announcement import announce_corrections
from billing.operations.correction_record import (
    CORRECTED,
    audit_corrections,
    new_name,
)
from billing.operations.grid import AccountCuts
from billing.operations.taken_in import FIRST_EVENT_AT, keep_totals, last_event_at, out_of_time
from billing.store.correction_details import CorrectedIdentity, EventDetail
from billing.store.corrections import (
    Correction,
    EventStep,
    append_correction,
    append_steps,
    find_events,
    is_void,
    last_steps,
    read_correction,
)
from billing.store.deliveries import Delivery, append_delivery
from billing.store.epochs import current_epoch
from billing.store.events import NewEvent, StoredEvent, append_events
from billing.store.grid import read_account_grids
from billing.store.locks import hold_account, lock_name
from billing.store.store import Connection, StoreConflictError
from billing.store.usage_totals import add_totals
from pricing_rules.period import Period
from pricing_rules.usage.totals import negative

CorrectionVerdict = Literal["accepted", "duplicate", "conflict", "rejected"]

_Key = tuple[str, str]
"""The source and the id of an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedCorrection:
    """That the event of this source and id is to be voided.

    ``event``: the one that takes its place, where it is amended.
    """

    source: str
    id: str
    reason: str
    event: NewEvent | None = None

    @property
    def kind(self) -> Literal["void", "amend"]:
        """What it is called."""
        return "void" if self.event is None else "amend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """What became of a correction that was asked for.

    ``correction``: its name, where it was made, now or before. ``reason`` and ``pointer`` (a JSON
    pointer into what was asked for): why it was not.
    """

    verdict: CorrectionVerdict
    kind: str
    source: str
    id: str
    correction: str = ""
    reason: str = ""
    pointer: str = ""


def correct_events(
    connection: Connection,
    *,
    owner: str,
    wanted: Sequence[WantedCorrection | Corrected],
    by: str,
    now_at: int,
) -> tuple[Corrected, ...]:
    """Void or amend events, and say for each correction what became of it, in their order.

    ``owner``: whose identities the events have. ``wanted``: what is a ``Corrected`` was refused
    already and stays so. An event that is void already by the same is a duplicate, by another a
    conflict, and so is an amendment whose new id is taken. To be run in a transaction that writes,
    beside others; it is safe to repeat.
    """
    asked = [one for one in wanted if isinstance(one, WantedCorrection)]
    keys = [(one.source, one.id) for one in asked]
    new_keys = [(one.event.source, one.event.id) for one in asked if one.event is not None]
    found = find_events(connection, owner=owner, keys=[*keys, *new_keys])
    events = [found[key] for key in keys if key in found]
    hold_corrections(connection)
    run = _Run(
        connection=connection,
        owner=owner,
        by=by,
        now_at=now_at,
        epoch=current_epoch(connection),
        found=found,
        last=last_steps(connection, events=sorted({event.seq for event in events})),
    )
    corrected = tuple(
        run.correct(one) if isinstance(one, WantedCorrection) else one for one in wanted
    )
    run.keep()
    return corrected


def hold_corrections(connection: Connection) -> None:
    """Let one at a time correct events, to the end of its transaction; before any other lock of
    ids or accounts is taken.

    One for all accounts: who pages by the order of corrections misses none.
    """
    lock_name(connection, name="corrections")


def keep_corrected(
    connection: Connection,
    *,
    events: Sequence[StoredEvent],
    sign: Literal[-1, 1],
    epoch: int,
    cuts: AccountCuts,
) -> None:
    """Add stored events to the totals of the current epoch (``sign`` 1), or take them from it (-1).

    Their accounts are held alone from here on, and each is cut as its totals were built, so that a
    voided event leaves the cell that it is in.
    """
    accounts = sorted({event.account for event in events})
    for account in accounts:
        hold_account(connection, account=account)
    built = read_account_grids(connection, accounts=accounts)
    for account in accounts:
        of_account = [event for event in events if event.account == account]
        moments = [event.occurred_at for event in of_account]
        span = Period(start_at=min(moments), end_at=max(moments) + 1)
        grid = cuts.grid(connection, versions=built[account], span=span)
        summed = sum_events(of_account, epoch=epoch, grids={account: grid})
        signed = [one if sign == 1 else negative(one) for one in summed]
        add_totals(connection, totals=signed)


@dataclass(slots=True, kw_only=True)
class _Run:
    """The corrections of one request: decided one by one, and kept together."""

    connection: Connection
    owner: str
    by: str
    now_at: int
    epoch: int
    found: dict[_Key, StoredEvent]
    last: dict[int, EventStep]
    made: dict[str, Correction] = field(default_factory=dict)
    steps: list[EventStep] = field(default_factory=list)
    voided: list[StoredEvent] = field(default_factory=list)
    added: dict[_Key, NewEvent] = field(default_factory=dict)

    def correct(self, wanted: WantedCorrection) -> Corrected:
        """Decide on one, after those before it."""
        key = (wanted.source, wanted.id)
        event = self.found.get(key)
        if event is None:
            if key in self.added:
                sentence = "comes in with this request; correct it with the next"
            else:
                sentence = f'there is no event "{wanted.id}" of "{wanted.source}"'
            return _refused(wanted, verdict="rejected", pointer="/id", reason=sentence)
        last = self.last.get(event.seq)
        if last is not None and is_void(last.step):
            return self._void_before(wanted, by=self._correction(last.correction))
        refused = self._unfit(wanted, event=event)
        if refused is not None:
            return refused
        correction = self._correct(wanted, event=event, last=last)
        return Corrected(
            verdict="accepted",
            kind=wanted.kind,
            source=wanted.source,
            id=wanted.id,
            correction=correction.correction,
        )

    def keep(self) -> None:
        """Append what was decided, and let the totals follow."""
        if not self.made:
            return
        connection = self.connection
        new = list(self.added.values())
        if new:
            verdicts = append_events(
                connection, owner=self.owner, rows=new, epoch=self.epoch, received_at=self.now_at
            )
            if any(verdict.kind != "accepted" for verdict in verdicts):
                # Their ids were free: another took one meanwhile. Done again, it is seen.
                raise StoreConflictError("events", "an id was taken meanwhile; try again")
        for correction in self.made.values():
            append_correction(connection, correction=correction)
        append_steps(connection, steps=self.steps)
        cuts = AccountCuts()
        keep_corrected(connection, events=self.voided, sign=-1, epoch=self.epoch, cuts=cuts)
        if new:
            keep_totals(connection, events=new, epoch=self.epoch, cuts=cuts)
            append_delivery(connection, delivery=self._delivery(len(new)), refusals=())
        audit_corrections(connection, command=CORRECTED, corrections=list(self.made.values()))
        announce_corrections(connection, corrections=list(self.made.values()))

    def _correct(
        self, wanted: WantedCorrection, *, event: StoredEvent, last: EventStep | None
    ) -> Correction:
        new = wanted.event
        if new is not None:
            self.added[new.source, new.id] = new
        correction = Correction(
            correction=new_name("cor", now_at=self.now_at, number=len(self.made)),
            kind=wanted.kind,
            account=event.account,
            reason=wanted.reason,
            by=self.by,
            reverts=None,
            detail=EventDetail(
                owner=self.owner,
                event=CorrectedIdentity(source=event.source, id=event.id),
                amended_by=_identity(new),
                steps=1,
            ),
            epoch=self.epoch,
            recorded_at=self.now_at,
        )
        self.made[correction.correction] = correction
        step = self.last[event.seq] = next_step(event, last=last, correction=correction)
        self.steps.append(step)
        self.voided.append(event)
        return correction

    def _correction(self, name: str) -> Correction:
        found = self.made.get(name) or read_correction(self.connection, correction=name)
        if found is None:
            raise AssertionError(f"a step names the correction {name}, which is not there")
        return found

    def _void_before(self, wanted: WantedCorrection, *, by: Correction) -> Corrected:
        """The verdict on an event that is void already."""
        as_wanted = isinstance(by.detail, EventDetail) and (
            by.detail.amended_by == _identity(wanted.event)
        )
        if as_wanted and by.kind == wanted.kind:
            return Corrected(
                verdict="duplicate",
                kind=wanted.kind,
                source=wanted.source,
                id=wanted.id,
                correction=by.correction,
            )
        # A reversal stands: what it took back comes again as another event.
        mend = "send it with another id" if by.kind == "reversal" else "revert that first"
        reason = f"is void already by {by.correction} (kind {by.kind}); {mend}"
        return _refused(wanted, verdict="conflict", pointer="/id", reason=reason)

    def _unfit(self, wanted: WantedCorrection, *, event: StoredEvent) -> Corrected | None:
        """The verdict where the new event cannot take the place of the old one."""
        new = wanted.event
        if new is None:
            return None
        if (new.source, new.id) == (event.source, event.id):
            reason = "is the id of the event that it amends; give the new one an id of its own"
            return _refused(wanted, verdict="rejected", pointer="/event/id", reason=reason)
        if new.account != event.account:
            reason = "is another account than that of the event; an amendment keeps the account"
            return _refused(wanted, verdict="rejected", pointer="/event/subject", reason=reason)
        if not FIRST_EVENT_AT <= new.occurred_at <= last_event_at(self.now_at):
            reason = out_of_time(new.occurred_at, now_at=self.now_at)
            return _refused(wanted, verdict="rejected", pointer="/event/time", reason=reason)
        if (new.source, new.id) in self.found or (new.source, new.id) in self.added:
            reason = "is taken by another event, for ever; give the new one an id of its own"
            return _refused(wanted, verdict="conflict", pointer="/event/id", reason=reason)
        return None

    def _delivery(self, events: int) -> Delivery:
        return Delivery(
            delivery=f"correction:{uuid.uuid4().hex}",
            file="/v1/corrections",
            first_row=1,
            received=events,
            accepted=events,
            duplicate=0,
            conflict=0,
            rejected=0,
            received_at=self.now_at,
        )


def next_step(event: StoredEvent, *, last: EventStep | None, correction: Correction) -> EventStep:
    """The step of an event that follows its last one."""
    return EventStep(
        event=event.seq,
        step=1 if last is None else last.step + 1,
        account=event.account,
        epoch=correction.epoch,
        correction=correction.correction,
    )


def _refused(
    wanted: WantedCorrection, *, verdict: CorrectionVerdict, pointer: str, reason: str
) -> Corrected:
    return Corrected(
        verdict=verdict,
        kind=wanted.kind,
        source=wanted.source,
        id=wanted.id,
        reason=reason,
        pointer=pointer,
    )


def _identity(event: NewEvent | None) -> CorrectedIdentity | None:
    if event is None:
        return None
    return CorrectedIdentity(source=event.source, id=event.id, payload_digest=event.payload_digest)

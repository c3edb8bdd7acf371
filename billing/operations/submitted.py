"""What a request submits: its events as the writer takes them.

Invariant: a key that belongs to an account submits events of that account alone, and their
identities are its own: it can neither bill another nor take an id away from the provider.
"""

from __future__ import annotations

from billing.intake.event_request import RefusedEvent, RequestForm, read_event_request
from billing.operations.new_events import sent_event
from billing.operations.taken_in import FIRST_EVENT_AT, last_event_at, out_of_time, owner_of
from billing.operations.writer import Submission
from billing.store.events import NewEvent


def submission(
    body: bytes, *, form: RequestForm, request: str, account: str, now_at: int
) -> Submission:
    """The events of a body. ``account``: whose key sends it, "" where it is the provider's.

    Events that are too far from now, or of another account, are refused like those that are none.
    DocumentError where the body as a whole is not of its form, or holds too many events.
    """
    found = read_event_request(body, form=form)
    latest_at = last_event_at(now_at)
    rows: list[int] = []
    events: list[NewEvent] = []
    refused = list(found.refused)
    for row, sent in zip(found.rows, found.events, strict=True):
        event = sent_event(sent, received_at=now_at)
        if account and event.account != account:
            reason = "is not the account of this key; send it with another"
            refused.append(_refused(event, row=row, pointer="/subject", reason=reason))
        elif not FIRST_EVENT_AT <= event.occurred_at <= latest_at:
            reason = out_of_time(event.occurred_at, now_at=now_at)
            refused.append(_refused(event, row=row, pointer="/time", reason=reason))
        else:
            rows.append(row)
            events.append(event)
    return Submission(
        request=request,
        owner=owner_of(account),
        rows=rows,
        events=events,
        refused=refused,
    )


def _refused(event: NewEvent, *, row: int, pointer: str, reason: str) -> RefusedEvent:
    return RefusedEvent(row=row, source=event.source, id=event.id, pointer=pointer, reason=reason)

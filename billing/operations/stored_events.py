"""Looking at stored events and accounts: a page at a time, or by name.

Invariant: the pages of one question, put together, are the events that were stored when its first
page was read: none is lost and none comes twice, whatever is stored meanwhile (I47).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from billing.operations.cursor import Moment, Word, read_cursor, write_cursor
from billing.operations.taken_in import OWNER, owner_of
from billing.store.accounts import KnownAccount, read_account, read_accounts
from billing.store.corrections import find_events, is_void, last_steps
from billing.store.event_pages import read_event_page
from billing.store.events import StoredEvent, last_event_seq
from billing.store.store import Connection, Store
from pricing_rules.document import content_digest
from pricing_rules.period import Period


class _EventPlace(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Where a page of events ends; ``through_seq``: where all pages do."""

    through_seq: Moment
    occurred_at: Moment
    seq: Moment


class _AccountPlace(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Where a page of accounts ends."""

    account: Word


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEvent:
    """A stored event; ``void``: whether a correction took it out, as the store is now."""

    event: StoredEvent
    void: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Some events by the moment at which they occurred, and the cursor of the next page."""

    events: tuple[ShownEvent, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage:
    """Some accounts by name, and the cursor of the next page; None on the last."""

    accounts: tuple[KnownAccount, ...]
    cursor: str | None


def event_page(
    store: Store, *, account: str, period: Period | None, limit: int, cursor: str | None
) -> EventPage:
    """One page of at most ``limit`` events of an account, the first where ``cursor`` is None.

    ``period``: only of events that occurred in it. DocumentError where the cursor is none of this
    question.
    """
    span = None if period is None else [period.start_at, period.end_at]
    question = content_digest([account, span])
    at = None if cursor is None else read_cursor(_EventPlace, text=cursor, question=question)
    with store.read() as connection:
        through_seq = last_event_seq(connection) if at is None else at.through_seq
        found = read_event_page(
            connection,
            account=account,
            period=period,
            through_seq=through_seq,
            after=None if at is None else (at.occurred_at, at.seq),
            limit=limit + 1,
        )
        events = _shown(connection, events=found[:limit])
    if len(found) <= limit:
        return EventPage(events=events, cursor=None)
    last = events[-1].event
    place = _EventPlace(through_seq=through_seq, occurred_at=last.occurred_at, seq=last.seq)
    return EventPage(events=events, cursor=write_cursor(place, question=question))


def named_events(
    store: Store, *, account: str, source: str, event_id: str
) -> tuple[ShownEvent, ...]:
    """The events of an account under a source and an id: the provider's, and the account's own."""
    key = (source, event_id)
    with store.read() as connection:
        found = [
            event
            for owner in (OWNER, owner_of(account))
            for event in find_events(connection, owner=owner, keys=[key]).values()
            if event.account == account
        ]
        return _shown(connection, events=found)


def account_page(store: Store, *, limit: int, cursor: str | None) -> AccountPage:
    """One page of at most ``limit`` accounts by name, the first where ``cursor`` is None.

    An account that is new meanwhile is on a later page where its name lies there.
    """
    at = None if cursor is None else read_cursor(_AccountPlace, text=cursor, question="accounts")
    with store.read() as connection:
        found = read_accounts(connection, after=None if at is None else at.account, limit=limit + 1)
    if len(found) <= limit:
        return AccountPage(accounts=found, cursor=None)
    page = found[:limit]
    place = _AccountPlace(account=page[-1].account)
    return AccountPage(accounts=page, cursor=write_cursor(place, question="accounts"))


def known_account(store: Store, *, account: str) -> KnownAccount | None:
    """An account that has usage, an agreement or a key; None where the store has nothing of it."""
    with store.read() as connection:
        return read_account(connection, account=account)


def _shown(connection: Connection, *, events: Sequence[StoredEvent]) -> tuple[ShownEvent, ...]:
    steps = last_steps(connection, events=[event.seq for event in events])
    return tuple(
        ShownEvent(event=event, void=event.seq in steps and is_void(steps[event.seq].step))
        for event in events
    )

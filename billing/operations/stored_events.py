"""Looking at stored events and accounts: a page at a time, or by name.

Invariant: the pages of one question, put together, are the events that were stored when its first
page was read: none is lost and none comes twice, whatever is stored meanwhile (I47).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from billing.operations.cursor import Moment, Page, Word, cut_page, read_cursor, read_page
from billing.operations.not_found import NotFoundError
from billing.operations.taken_in import OWNER, owner_of
from billing.store.accounts import KnownAccount, read_account, read_accounts
from billing.store.corrections import find_events, is_void, last_steps
from billing.store.event_pages import read_event_page
from billing.store.events import StoredEvent
from billing.store.numbering import Numbers
from billing.store.store import Connection, Store
from pricing_rules.document import content_digest
from pricing_rules.period import Period

_ACCOUNTS = "accounts"


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


def event_page(
    store: Store, *, account: str, period: Period | None, limit: int, cursor: str | None
) -> Page[ShownEvent]:
    """One page of at most ``limit`` events of an account by the moment at which they occurred, the
    first where ``cursor`` is None.

    ``period``: only of events that occurred in it. DocumentError where the cursor is none of this
    question.
    """
    span = None if period is None else [period.start_at, period.end_at]
    question = content_digest([account, span])
    at = read_cursor(_EventPlace, text=cursor, question=question)

    def read(connection: Connection, through: Numbers) -> Page[ShownEvent]:
        found = read_event_page(
            connection,
            account=account,
            period=period,
            through_seq=through.event,
            after=None if at is None else (at.occurred_at, at.seq),
            limit=limit + 1,
        )
        page = cut_page(
            found,
            limit=limit,
            question=question,
            place=lambda one: _EventPlace(
                through_seq=through.event, occurred_at=one.occurred_at, seq=one.seq
            ),
        )
        return Page(rows=_shown(connection, events=page.rows), cursor=page.cursor)

    through = None if at is None else Numbers(event=at.through_seq, step=0)
    return read_page(store, through=through, read=read)


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


def account_page(store: Store, *, limit: int, cursor: str | None) -> Page[KnownAccount]:
    """One page of at most ``limit`` accounts by name, the first where ``cursor`` is None.

    An account that is new meanwhile is on a later page where its name lies there.
    """
    at = read_cursor(_AccountPlace, text=cursor, question=_ACCOUNTS)
    with store.read() as connection:
        found = read_accounts(connection, after=None if at is None else at.account, limit=limit + 1)
    return cut_page(
        found,
        limit=limit,
        question=_ACCOUNTS,
        place=lambda one: _AccountPlace(account=one.account),
    )


def known_account(connection: Connection, *, account: str) -> KnownAccount:
    """An account that has usage, an agreement or a key. NotFoundError where the store has nothing
    of it.
    """
    found = read_account(connection, account=account)
    if found is None:
        raise NotFoundError(
            f"account {account:.60}", "has no usage, agreement or key; check its name"
        )
    return found


def _shown(connection: Connection, *, events: Sequence[StoredEvent]) -> tuple[ShownEvent, ...]:
    steps = last_steps(connection, events=[event.seq for event in events])
    return tuple(
        ShownEvent(event=event, void=event.seq in steps and is_void(steps[event.seq].step))
        for event in events
    )

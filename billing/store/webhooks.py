"""Webhooks: endpoints and their secrets, messages, and the state of each message at each endpoint.

Invariant: a message is pending at every endpoint that wanted it when its fact was stored, and is
settled there once for each time that it was asked for: an attempt that is no longer the last one
settles nothing. Of one endpoint and subject only the oldest pending message is ever due.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Select, func, insert, select, update

from billing.store.points import reach
from billing.store.rows import append_record, columns_of, read_records, select_records
from billing.store.tables import (
    WEBHOOK_ENDPOINTS,
    WEBHOOK_MESSAGES,
    WEBHOOK_RETIREMENTS,
    WEBHOOK_SECRETS,
    WEBHOOK_SENDINGS,
)

SendingState = Literal["pending", "delivered", "given_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where messages go. ``kinds``: those that it wants, as a JSON array; ``account``: whose
    messages it gets, "" for those of all.
    """

    endpoint: str
    url: str
    kinds: str
    account: str
    by: str
    made_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEndpoint:
    """An endpoint, and when and why it was retired."""

    endpoint: Endpoint
    retired_at: int | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """That an endpoint gets no more messages."""

    endpoint: str
    reason: str
    by: str
    retired_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """The secret of an endpoint from ``made_at`` on; those before it sign, too, until
    ``former_until_at``.
    """

    endpoint: str
    number: int
    secret: str
    former_until_at: int
    by: str
    made_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is told of a fact; ``data`` is canonical JSON. Order is kept within a ``subject``."""

    message: str
    kind: str
    account: str
    subject: str
    data: str
    recorded_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """A message at an endpoint. ``message_seq``: its place in the order of messages.

    ``attempts``: all that were begun; ``tries``: those since it was last asked for; ``next_at``:
    from when on another may begin, while it is pending. ``status`` and ``error``: what the last
    attempt that ended was told.
    """

    endpoint: str
    message_seq: int
    message: Message
    state: SendingState
    attempts: int
    tries: int
    next_at: int
    status: int | None
    error: str
    settled_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many messages wait at endpoints, and since when the oldest does; None where none does."""

    pending: int
    oldest_at: int | None


def append_endpoint(connection: Connection, *, endpoint: Endpoint) -> None:
    """Store an endpoint; its name must be free."""
    append_record(connection, table=WEBHOOK_ENDPOINTS, record=endpoint)
    reach("webhook.endpoint_appended")


def append_secret(connection: Connection, *, secret: Secret) -> None:
    """Store a secret of an endpoint, numbered after its last."""
    append_record(connection, table=WEBHOOK_SECRETS, record=secret)
    reach("webhook.secret_appended")


def append_retirement(connection: Connection, *, retirement: Retirement) -> None:
    """Retire an endpoint that was not retired yet, and give up what is pending there."""
    append_record(connection, table=WEBHOOK_RETIREMENTS, record=retirement)
    reach("webhook.retired")
    give_up_retired(connection, now_at=retirement.retired_at)


def append_message(connection: Connection, *, message: Message, endpoints: Sequence[str]) -> None:
    """Store a message, pending at these endpoints."""
    columns = columns_of(Message, table=WEBHOOK_MESSAGES)
    values = {column.name: getattr(message, column.name) for column in columns}
    statement = insert(WEBHOOK_MESSAGES).values(**values).returning(WEBHOOK_MESSAGES.c.seq)
    seq = connection.execute(statement).scalar_one()
    reach("webhook.message_appended")
    waiting = {
        "message": seq,
        "subject": message.subject,
        "state": "pending",
        "attempts": 0,
        "tries": 0,
        "next_at": message.recorded_at,
        "status": None,
        "error": "",
        "settled_at": None,
    }
    rows = [{"endpoint": endpoint, **waiting} for endpoint in sorted(endpoints)]
    connection.execute(insert(WEBHOOK_SENDINGS), rows)
    reach("webhook.sendings_appended")


def read_endpoint(connection: Connection, *, endpoint: str) -> StoredEndpoint | None:
    """One endpoint; None where there is none of this name."""
    query = _endpoints().where(WEBHOOK_ENDPOINTS.c.endpoint == endpoint)
    return next(iter(_stored(connection, query=query)), None)


def read_endpoints(
    connection: Connection, *, after: tuple[int, str] | None = None, limit: int | None = None
) -> tuple[StoredEndpoint, ...]:
    """Endpoints by (made_at, endpoint), from after a key on; without ``limit``, all."""
    columns = WEBHOOK_ENDPOINTS.c
    query = _endpoints().order_by(columns.made_at, columns.endpoint)
    if after is not None:
        made_at, name = after
        query = query.where(
            (columns.made_at > made_at) | ((columns.made_at == made_at) & (columns.endpoint > name))
        )
    return _stored(connection, query=query.limit(limit))


def wanting(connection: Connection, *, kind: str, account: str) -> tuple[str, ...]:
    """The names of the endpoints that want messages of a kind about an account, in order."""
    columns = WEBHOOK_ENDPOINTS.c
    query = _endpoints().where(columns.account.in_(("", account)))
    query = query.where(WEBHOOK_RETIREMENTS.c.retired_at.is_(None)).order_by(columns.endpoint)
    return tuple(
        one.endpoint.endpoint
        for one in _stored(connection, query=query)
        if kind in json.loads(one.endpoint.kinds)
    )


def read_secrets(connection: Connection, *, endpoint: str) -> tuple[Secret, ...]:
    """All secrets of an endpoint, the newest first."""
    query = select_records(Secret, table=WEBHOOK_SECRETS)
    query = query.where(WEBHOOK_SECRETS.c.endpoint == endpoint)
    query = query.order_by(WEBHOOK_SECRETS.c.number.desc())
    return read_records(connection, query=query, record=Secret)


def read_due(
    connection: Connection, *, now_at: int, limit: int, of_endpoint: int
) -> tuple[Sending, ...]:
    """At most ``limit`` messages of which an attempt may begin, the longest due first.

    ``of_endpoint``: at most so many of one endpoint, so that none keeps the others waiting.
    """
    sendings, before = WEBHOOK_SENDINGS.c, WEBHOOK_SENDINGS.alias("before")
    earlier = (
        select(before.c.message)
        .where(
            before.c.endpoint == sendings.endpoint,
            before.c.subject == sendings.subject,
            before.c.state == "pending",
            before.c.message < sendings.message,
        )
        .exists()
    )
    due = (
        select(
            sendings.endpoint,
            sendings.message,
            sendings.next_at,
            func.row_number()
            .over(partition_by=sendings.endpoint, order_by=(sendings.next_at, sendings.message))
            .label("place"),
        )
        .where(sendings.state == "pending", sendings.next_at <= now_at, ~earlier)
        .subquery()
    )
    query = _sendings().join(
        due, (due.c.endpoint == sendings.endpoint) & (due.c.message == sendings.message)
    )
    query = query.where(due.c.place <= of_endpoint)
    query = query.order_by(sendings.next_at, sendings.message, sendings.endpoint).limit(limit)
    return _read_sendings(connection, query=query)


def begin_attempt(connection: Connection, *, sending: Sending, until_at: int) -> bool:
    """Begin an attempt that nobody else begins before ``until_at``; False where another did."""
    begun = connection.execute(
        _of_attempt(sending).values(
            attempts=sending.attempts + 1, tries=sending.tries + 1, next_at=until_at
        )
    )
    reach("webhook.attempt_begun")
    return begun.rowcount == 1


def settle_attempt(
    connection: Connection,
    *,
    sending: Sending,
    state: SendingState,
    status: int | None,
    error: str,
    at: int,
) -> bool:
    """Record how the attempt ended that ``sending`` was given for; False where another has begun
    meanwhile, or the message was settled.

    ``at``: the moment at which it was settled, or from when on the next attempt may begin.
    """
    settled = {"settled_at": at} if state != "pending" else {"next_at": at}
    ended = connection.execute(
        _of_attempt(sending).values(state=state, status=status, error=error, **settled)
    )
    reach("webhook.attempt_settled")
    return ended.rowcount == 1


def send_anew(connection: Connection, *, sending: Sending, now_at: int) -> None:
    """Make a message pending at its endpoint, due now, with all its tries before it."""
    of_sending = update(WEBHOOK_SENDINGS).where(
        WEBHOOK_SENDINGS.c.endpoint == sending.endpoint,
        WEBHOOK_SENDINGS.c.message == sending.message_seq,
    )
    connection.execute(of_sending.values(state="pending", tries=0, next_at=now_at, settled_at=None))
    reach("webhook.asked_anew")


def give_up_retired(connection: Connection, *, now_at: int) -> None:
    """Give up what is pending at retired endpoints."""
    columns = WEBHOOK_SENDINGS.c
    retired = select(WEBHOOK_RETIREMENTS.c.endpoint)
    connection.execute(
        update(WEBHOOK_SENDINGS)
        .where(columns.state == "pending", columns.endpoint.in_(retired))
        .values(state="given_up", settled_at=now_at)
    )


def read_sendings(
    connection: Connection,
    *,
    endpoint: str,
    state: SendingState | None,
    after: int | None,
    limit: int,
) -> tuple[Sending, ...]:
    """At most ``limit`` messages of an endpoint in their order, from after this place on."""
    columns = WEBHOOK_SENDINGS.c
    query = _sendings().where(columns.endpoint == endpoint)
    if state is not None:
        query = query.where(columns.state == state)
    if after is not None:
        query = query.where(columns.message > after)
    return _read_sendings(connection, query=query.order_by(columns.message).limit(limit))


def read_sending(connection: Connection, *, endpoint: str, message: str) -> Sending | None:
    """A message at an endpoint; None where it was never to go there."""
    query = _sendings().where(WEBHOOK_SENDINGS.c.endpoint == endpoint)
    query = query.where(WEBHOOK_MESSAGES.c.message == message)
    return next(iter(_read_sendings(connection, query=query)), None)


def read_backlog(connection: Connection) -> Backlog:
    """What is pending at all endpoints."""
    query = select(func.count(), func.min(WEBHOOK_MESSAGES.c.recorded_at))
    query = query.select_from(WEBHOOK_SENDINGS).join(
        WEBHOOK_MESSAGES, WEBHOOK_MESSAGES.c.seq == WEBHOOK_SENDINGS.c.message
    )
    row = connection.execute(query.where(WEBHOOK_SENDINGS.c.state == "pending")).one()
    return Backlog(pending=row[0], oldest_at=row[1])


def _of_attempt(sending: Sending) -> Any:
    """The statement that changes a row while the attempt of ``sending`` is its last."""
    columns = WEBHOOK_SENDINGS.c
    return update(WEBHOOK_SENDINGS).where(
        columns.endpoint == sending.endpoint,
        columns.message == sending.message_seq,
        columns.state == "pending",
        columns.attempts == sending.attempts,
    )


def _endpoints() -> Select[Any]:
    query = select(
        *columns_of(Endpoint, table=WEBHOOK_ENDPOINTS),
        WEBHOOK_RETIREMENTS.c.retired_at,
        WEBHOOK_RETIREMENTS.c.reason,
    )
    return query.select_from(WEBHOOK_ENDPOINTS).outerjoin(
        WEBHOOK_RETIREMENTS, WEBHOOK_RETIREMENTS.c.endpoint == WEBHOOK_ENDPOINTS.c.endpoint
    )


def _stored(connection: Connection, *, query: Select[Any]) -> tuple[StoredEndpoint, ...]:
    found = []
    for row in connection.execute(query):
        *values, retired_at, reason = row
        endpoint = Endpoint(**dict(zip(Endpoint.__slots__, values, strict=True)))
        found.append(StoredEndpoint(endpoint=endpoint, retired_at=retired_at, reason=reason))
    return tuple(found)


def _sendings() -> Select[Any]:
    columns = WEBHOOK_SENDINGS.c
    query = select(
        columns.endpoint,
        columns.message.label("message_seq"),
        columns.state,
        columns.attempts,
        columns.tries,
        columns.next_at,
        columns.status,
        columns.error,
        columns.settled_at,
        *columns_of(Message, table=WEBHOOK_MESSAGES),
    )
    return query.select_from(WEBHOOK_SENDINGS).join(
        WEBHOOK_MESSAGES, WEBHOOK_MESSAGES.c.seq == columns.message
    )


def _read_sendings(connection: Connection, *, query: Select[Any]) -> tuple[Sending, ...]:
    found = []
    for row in connection.execute(query):
        fields = dict(row._mapping)
        message = Message(**{name: fields.pop(name) for name in Message.__slots__})
        found.append(Sending(message=message, **fields))
    return tuple(found)

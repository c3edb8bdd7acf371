"""The tables of webhooks: endpoints, their secrets, messages, and what became of each message.

A message is stored in the transaction of the fact that it tells, with one row of
``webhook_sendings`` for each endpoint that wants it.

Invariant: as in ``billing.store.tables``, which names them all; all but ``webhook_sendings`` are
facts. A secret is kept as it is, because each message is signed with it.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint, column
from sqlmodel import Field

from billing.store.table_parts import KEYED, STRICT, StoredRow, Whole, Words, at_least, named

STATES = ("pending", "delivered", "given_up")


class WebhookEndpointRow(StoredRow, table=True):
    """Where messages go: a URL, the kinds that it wants, of one account or ("") of all."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        *named("endpoint", "url", "kinds", "by"),
        *at_least(0, "made_at"),
        STRICT,
    )

    endpoint: str = Field(primary_key=True, sa_type=Words)
    url: str = Field(sa_type=Words)
    kinds: str = Field(sa_type=Words)
    account: str = Field(sa_type=Words)
    by: str = Field(sa_type=Words)
    made_at: int = Field(sa_type=Whole)


class WebhookRetirementRow(StoredRow, table=True):
    """That an endpoint gets no more messages, from when, and why."""

    __tablename__ = "webhook_retirements"
    __table_args__ = (
        ForeignKeyConstraint(["endpoint"], ["webhook_endpoints.endpoint"]),
        *named("endpoint", "reason", "by"),
        *at_least(0, "retired_at"),
        STRICT,
    )

    endpoint: str = Field(primary_key=True, sa_type=Words)
    reason: str = Field(sa_type=Words)
    by: str = Field(sa_type=Words)
    retired_at: int = Field(sa_type=Whole)


class WebhookSecretRow(StoredRow, table=True):
    """A secret of an endpoint; those before it sign, too, until ``former_until_at``."""

    __tablename__ = "webhook_secrets"
    __table_args__ = (
        ForeignKeyConstraint(["endpoint"], ["webhook_endpoints.endpoint"]),
        *named("endpoint", "secret", "by"),
        *at_least(1, "number"),
        *at_least(0, "former_until_at", "made_at"),
        KEYED,
    )

    endpoint: str = Field(primary_key=True, sa_type=Words)
    number: int = Field(primary_key=True, sa_type=Whole)
    secret: str = Field(sa_type=Words)
    former_until_at: int = Field(sa_type=Whole)
    by: str = Field(sa_type=Words)
    made_at: int = Field(sa_type=Whole)


class WebhookMessageRow(StoredRow, table=True):
    """What is told of a fact; messages of one ``subject`` arrive in the order of ``seq``."""

    __tablename__ = "webhook_messages"
    __table_args__ = (
        UniqueConstraint("message"),
        *named("message", "kind", "subject", "data"),
        *at_least(0, "recorded_at"),
        STRICT,
    )

    seq: int = Field(primary_key=True, sa_type=Whole)
    message: str = Field(sa_type=Words)
    kind: str = Field(sa_type=Words)
    account: str = Field(sa_type=Words)
    subject: str = Field(sa_type=Words)
    data: str = Field(sa_type=Words)
    recorded_at: int = Field(sa_type=Whole)


class WebhookSendingRow(StoredRow, table=True):
    """What became of a message at an endpoint.

    ``attempts`` counts all that were begun and only grows: who began the last one settles it.
    ``tries``: those since it was last asked for. ``next_at``: when the next may begin.
    """

    __tablename__ = "webhook_sendings"
    __table_args__ = (
        ForeignKeyConstraint(["endpoint"], ["webhook_endpoints.endpoint"]),
        ForeignKeyConstraint(["message"], ["webhook_messages.seq"]),
        Index(None, "state", "next_at"),
        Index(None, "endpoint", "subject", "state", "message"),
        *named("endpoint", "subject"),
        CheckConstraint(column("state").in_(STATES), name="state_known"),
        CheckConstraint(
            (column("state") == "pending") == column("settled_at").is_(None), name="settled_once"
        ),
        *at_least(1, "message"),
        *at_least(0, "attempts", "tries", "next_at", "settled_at"),
        KEYED,
    )

    endpoint: str = Field(primary_key=True, sa_type=Words)
    message: int = Field(primary_key=True, sa_type=Whole)
    subject: str = Field(sa_type=Words)
    state: str = Field(sa_type=Words)
    attempts: int = Field(sa_type=Whole)
    tries: int = Field(sa_type=Whole)
    next_at: int = Field(sa_type=Whole)
    status: int | None = Field(sa_type=Whole)
    error: str = Field(sa_type=Words)
    settled_at: int | None = Field(sa_type=Whole)

"""Announcing a fact to the webhook endpoints that want to know of it.

Invariant: a message is stored in the transaction of its fact, so that there is one exactly where
the fact took effect; messages of one subject are numbered in the order in which they are committed.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from billing.store.corrections import Correction
from billing.store.locks import lock_name
from billing.store.store import Connection
from billing.store.webhooks import Message, append_message, wanting
from billing.webhooks.messages import message_data
from pricing_rules.document import JsonValue, canonical_json

_CORRECTED = "event.corrected"


def announce(
    connection: Connection,
    *,
    kind: str,
    account: str,
    subject: str,
    data: Mapping[str, JsonValue],
    now_at: int,
) -> None:
    """Store a message for each endpoint that wants it; call it last in the transaction.

    ``account``: whom it is about, "" for the whole deployment. ``subject``: of what it is, such as
    ``invoices/acme``: an endpoint gets the messages of one subject in their order. ``data``: as the
    kind has it in ``billing.webhooks.messages``. Where no endpoint wants it, nothing is stored.
    """
    message = _message(kind, account=account, subject=subject, data=data, now_at=now_at)
    endpoints = wanting(connection, kind=kind, account=account)
    _append(connection, message=message, endpoints=endpoints)


def announce_corrections(connection: Connection, *, corrections: Sequence[Correction]) -> None:
    """Announce corrections of events, in the order of their accounts; call it last, too."""
    wanted = {
        account: wanting(connection, kind=_CORRECTED, account=account)
        for account in sorted({one.account for one in corrections})
    }
    for one in sorted(corrections, key=lambda each: each.account):
        if not wanted[one.account]:
            continue
        data: dict[str, JsonValue] = {
            "account": one.account,
            "correction": one.correction,
            "correction_kind": one.kind,
            "epoch": one.epoch,
        }
        message = _message(
            _CORRECTED,
            account=one.account,
            subject=usage_subject(one.account),
            data=data if one.reverts is None else {**data, "reverts": one.reverts},
            now_at=one.recorded_at,
        )
        _append(connection, message=message, endpoints=wanted[one.account])


def _message(
    kind: str, *, account: str, subject: str, data: Mapping[str, JsonValue], now_at: int
) -> Message:
    return Message(
        message=f"msg_{secrets.token_hex(16)}",
        kind=kind,
        account=account,
        subject=subject,
        data=canonical_json(message_data(kind, data=data)).decode(),
        recorded_at=now_at,
    )


def _append(connection: Connection, *, message: Message, endpoints: Sequence[str]) -> None:
    if endpoints:
        # Held to the commit: what is numbered later is committed later.
        lock_name(connection, name=f"webhook subject {message.subject}")
        append_message(connection, message=message, endpoints=endpoints)


def usage_subject(account: str) -> str:
    """The subject of all that happens to the usage events of an account."""
    return f"usage/{account}"

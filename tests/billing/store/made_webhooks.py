"""Rows of webhooks for tests of the store.

Invariant: what a test does not name is the same everywhere.
"""

from __future__ import annotations

from billing.store.store import Connection
from billing.store.webhooks import (
    Endpoint,
    Message,
    Retirement,
    Secret,
    append_endpoint,
    append_message,
    append_retirement,
    append_secret,
    begin_attempt,
    read_sendings,
    send_anew,
    settle_attempt,
)


def endpoint(
    name: str = "whe_1", *, account: str = "", kinds: str = '["epoch.sealed"]', made_at: int = 1_000
) -> Endpoint:
    """An endpoint."""
    return Endpoint(
        endpoint=name,
        url="https://example.com/hooks",
        kinds=kinds,
        account=account,
        by="dana",
        made_at=made_at,
    )


def secret(number: int = 1, *, of: str = "whe_1", former_until_at: int = 0) -> Secret:
    """A secret of an endpoint."""
    return Secret(
        endpoint=of,
        number=number,
        secret="whsec_AAAA",
        former_until_at=former_until_at,
        by="dana",
        made_at=1_000,
    )


def message(
    name: str = "msg_1", *, subject: str = "epochs", account: str = "", recorded_at: int = 2_000
) -> Message:
    """A message about an epoch."""
    return Message(
        message=name,
        kind="epoch.sealed",
        account=account,
        subject=subject,
        data="{}",
        recorded_at=recorded_at,
    )


def fill_webhooks(connection: Connection) -> None:
    """An endpoint with a secret; a message that was sent to it, asked for anew, and given up when
    the endpoint was retired.
    """
    append_endpoint(connection, endpoint=endpoint())
    append_secret(connection, secret=secret())
    append_message(connection, message=message(), endpoints=["whe_1"])
    (waiting,) = read_sendings(connection, endpoint="whe_1", state=None, after=None, limit=1)
    begin_attempt(connection, sending=waiting, until_at=3_000)
    (begun,) = read_sendings(connection, endpoint="whe_1", state=None, after=None, limit=1)
    settle_attempt(connection, sending=begun, state="delivered", status=200, error="", at=2_500)
    send_anew(connection, sending=begun, now_at=3_000)
    append_retirement(
        connection,
        retirement=Retirement(endpoint="whe_1", reason="moved", by="dana", retired_at=4_000),
    )

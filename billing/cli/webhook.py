"""``tokenworks webhook``: endpoints of others that are told what came to be.

Invariant: a secret is shown when it is made, and never again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_rows, say
from billing.cli.stored import by_option, opened, store_option
from pricing_rules.period import moment_text

if TYPE_CHECKING:
    from billing.operations.webhook import MadeEndpoint
    from billing.operations.webhook_sending import Attempted
    from billing.store.webhooks import Endpoint, Sending, SendingState

COLUMNS = ("endpoint", "url", "kinds", "account", "made_at", "retired_at")
MESSAGE_COLUMNS = (
    *("message", "kind", "subject", "recorded_at", "state", "attempts", "next_at", "status"),
    "error",
)
ATTEMPT_COLUMNS = ("endpoint", "message", "attempt", "became", "status", "error")

_PAGE = 1_000

former_option = click.option(
    "--former-seconds",
    type=int,
    default=86_400,
    show_default=True,
    help="For how long the secrets before sign, too; 0: no longer.",
)


@click.group("webhook")
def command() -> None:
    """Make endpoints, see what became of their messages, and send them."""


@command.command("add")
@click.argument("url")
@store_option
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    required=True,
    help="A kind of message that it gets, such as invoice.finalized; may be repeated.",
)
@click.option("--account", default="", help="Whose messages it gets. Without it: those of all.")
@by_option
@now_option
@format_option
def add(
    *,
    url: str,
    store: str,
    kinds: Sequence[str],
    account: str,
    by: str,
    now_at: int,
    shape: str,
) -> None:
    """Make an endpoint and show its secret, this once.

    It gets what happens from now on: epoch.sealed, invoice.finalized, price_book.published,
    agreement.accepted, event.corrected, backfill.applied. Messages are signed as Standard Webhooks
    says.

    Example: tokenworks webhook add https://example.com/hooks --kind invoice.finalized --by dana
    --store billing.db
    """
    from billing.operations.webhook import make_endpoint, reach_of
    from billing.settings import read_settings

    reach = reach_of(read_settings(os.environ))
    with opened(store) as found, found.write() as connection:
        made = make_endpoint(
            connection, url=url, kinds=kinds, account=account, reach=reach, by=by, now_at=now_at
        )
    _show_secret(made, shape=shape)


@command.command("list")
@store_option
@format_option
def list_endpoints(*, store: str, shape: str) -> None:
    """List the endpoints that were made, without their secrets.

    Example: tokenworks webhook list --store billing.db
    """
    from billing.store.webhooks import read_endpoints

    with opened(store) as found, found.read() as connection:
        rows = [_row(one.endpoint, retired_at=one.retired_at) for one in read_endpoints(connection)]
    print_rows(
        [_shown(row) for row in rows],
        columns=COLUMNS,
        shape=shape,
        document=rows,
        title="Webhook endpoints",
    )


@command.command("retire")
@click.argument("endpoint")
@store_option
@click.option("--reason", required=True, help="Why it is retired.")
@by_option
@now_option
@format_option
def retire(*, endpoint: str, store: str, reason: str, by: str, now_at: int, shape: str) -> None:
    """Send an endpoint nothing more; what waits for it is given up.

    Example: tokenworks webhook retire whe_0123456789abcdef01234567 --reason moved --by dana
    --store billing.db
    """
    from billing.operations.webhook import retire_endpoint

    with opened(store) as found, found.write() as connection:
        retired = retire_endpoint(
            connection, endpoint=endpoint, reason=reason, by=by, now_at=now_at
        )
    row = _row(retired.endpoint, retired_at=retired.retired_at)
    print_rows([_shown(row)], columns=COLUMNS, shape=shape, document=row, title="Retired")


@command.command("rotate")
@click.argument("endpoint")
@store_option
@former_option
@by_option
@now_option
@format_option
def rotate(
    *, endpoint: str, store: str, former_seconds: int, by: str, now_at: int, shape: str
) -> None:
    """Give an endpoint a new secret and show it, this once.

    Example: tokenworks webhook rotate whe_0123456789abcdef01234567 --by dana --store billing.db
    """
    from billing.operations.webhook import rotate_secret

    with opened(store) as found, found.write() as connection:
        made = rotate_secret(
            connection, endpoint=endpoint, former_s=former_seconds, by=by, now_at=now_at
        )
    _show_secret(made, shape=shape)


@command.command("messages")
@click.argument("endpoint")
@store_option
@click.option(
    "--state",
    type=click.Choice(["pending", "delivered", "given_up"]),
    help="Those in one state. Without it: all.",
)
@format_option
def messages(*, endpoint: str, store: str, state: SendingState | None, shape: str) -> None:
    """List the messages of an endpoint in their order, and what became of each.

    Example: tokenworks webhook messages whe_0123456789abcdef01234567 --store billing.db
    """
    from billing.operations.webhook import sending_page

    rows: list[dict[str, object]] = []
    cursor: str | None = None
    with opened(store) as found, found.read() as connection:
        while True:
            page = sending_page(
                connection, endpoint=endpoint, state=state, limit=_PAGE, cursor=cursor
            )
            rows += [_message_row(one) for one in page.rows]
            if (cursor := page.cursor) is None:
                break
    print_rows(rows, columns=MESSAGE_COLUMNS, shape=shape, document=rows, title="Messages")


@command.command("send-again")
@click.argument("endpoint")
@click.argument("message")
@store_option
@by_option
@now_option
@format_option
def again(*, endpoint: str, message: str, store: str, by: str, now_at: int, shape: str) -> None:
    """Send a message again, whatever became of it; later ones of its subject wait for it.

    Example: tokenworks webhook send-again whe_0123456789abcdef01234567
    msg_0123456789abcdef0123456789abcdef --by dana --store billing.db
    """
    from billing.operations.webhook import send_again

    with opened(store) as found, found.write() as connection:
        asked = send_again(connection, endpoint=endpoint, message=message, by=by, now_at=now_at)
    row = _message_row(asked)
    print_rows([row], columns=MESSAGE_COLUMNS, shape=shape, document=row, title="To be sent")


@command.command("send")
@store_option
@now_option
@format_option
def send(*, store: str, now_at: int, shape: str) -> int:
    """Send what is due, once, and list the attempts; a running service does so all the time.

    Exit code 1 where a message was not taken: it is sent again when it is due next.

    Example: tokenworks webhook send --store billing.db
    """
    from billing.operations.webhook import reach_of
    from billing.operations.webhook_sending import WebhookSender
    from billing.settings import read_settings
    from billing.webhooks.posting import Poster

    poster = Poster(reach=reach_of(read_settings(os.environ)))
    attempts: list[Attempted] = []
    started_s = time.monotonic()

    def clock() -> int:
        # It goes on: receivers refuse what is signed with a moment long ago.
        return now_at + int((time.monotonic() - started_s) * 1_000_000)

    with opened(store) as found:
        WebhookSender(store=found, poster=poster, clock=clock, tell=attempts.append).drain()
    rows = [asdict(one) for one in sorted(attempts, key=lambda one: (one.endpoint, one.message))]
    print_rows(rows, columns=ATTEMPT_COLUMNS, shape=shape, document=rows, title="Attempts")
    return 1 if any(one.became in ("failed", "given_up") for one in attempts) else 0


def _show_secret(made: MadeEndpoint, *, shape: str) -> None:
    row = {**_row(made.endpoint, retired_at=None), "secret": made.secret}
    print_rows([row], columns=("endpoint", "secret"), shape=shape, document=row)
    if shape == "table":
        say("keep the secret: it is not shown again")


def _row(endpoint: Endpoint, *, retired_at: int | None) -> dict[str, object]:
    return {
        "endpoint": endpoint.endpoint,
        "url": endpoint.url,
        "kinds": json.loads(endpoint.kinds),
        "account": endpoint.account,
        "made_at": moment_text(endpoint.made_at),
        "retired_at": None if retired_at is None else moment_text(retired_at),
    }


def _shown(row: Mapping[str, object]) -> dict[str, object]:
    """A row for a table or CSV: its kinds in one cell."""
    kinds = row["kinds"]
    return {**row, "kinds": ", ".join(kinds) if isinstance(kinds, list) else kinds}


def _message_row(sending: Sending) -> dict[str, object]:
    pending = sending.state == "pending"
    return {
        "message": sending.message.message,
        "kind": sending.message.kind,
        "subject": sending.message.subject,
        "recorded_at": moment_text(sending.message.recorded_at),
        "state": sending.state,
        "attempts": sending.attempts,
        "next_at": moment_text(sending.next_at) if pending else None,
        "status": sending.status,
        "error": sending.error,
    }

"""``tokenworks spool``: what the client of a gateway has on its disk, when the gateway is gone.

Invariant: an event leaves a spool only when the service has answered for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.cli.output import format_option, print_refused, print_rows, say
from billing.cli.stored import progress
from billing.operations.files import read_file
from pricing_rules.document import DocumentError, read_json
from pricing_rules.period import moment_text

if TYPE_CHECKING:
    from billing.client.spool import RefusedEvent, Spool

COLUMNS = ("spool", "waiting", "refused", "oldest_at")
SENT_COLUMNS = ("spool", "accepted", "duplicate", "refused", "waiting")
REFUSED_COLUMNS = ("id", "source", "account", "verdict", "pointer", "reason", "refused_at")

_POLL_S = 0.05

file_argument = click.argument("file", type=click.Path(path_type=Path))


@click.group("spool")
def command() -> None:
    """Show and send what a gateway left in its spool."""


@command.command("show")
@file_argument
@format_option
def show(*, file: Path, shape: str) -> None:
    """How many events of a spool wait for the service, since when, and how many it refused.

    Example: tokenworks spool show /var/lib/gateway/usage.db
    """
    with _opened(file) as spool:
        waiting, refused = spool.counts()
        oldest_at = spool.oldest_recorded_at()
    row = {
        "spool": str(file),
        "waiting": waiting,
        "refused": refused,
        "oldest_at": None if oldest_at is None else moment_text(oldest_at),
    }
    print_rows([row], columns=COLUMNS, shape=shape, document=row, title="Spool")


@command.command("refused")
@file_argument
@format_option
def refused(*, file: Path, shape: str) -> None:
    """The events of a spool that the service refused, each with the reason; JSON has them whole.

    Example: tokenworks spool refused /var/lib/gateway/usage.db
    """
    with _opened(file) as spool:
        rows = [_refused_row(one) for one in spool.refused()]
    print_rows(rows, columns=REFUSED_COLUMNS, shape=shape, document=rows, title="Refused")


@command.command("send")
@file_argument
@click.option("--url", required=True, help="The address of the service.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    required=True,
    help="A file with an API key that may send events, and nothing else.",
)
@click.option("--retry-refused", is_flag=True, help="Send those again that were refused, too.")
@click.option(
    "--timeout-s",
    type=click.IntRange(1, 86_400),
    default=300,
    show_default=True,
    help="For how long to try.",
)
@format_option
@click.pass_context
def send(
    ctx: click.Context,
    *,
    file: Path,
    url: str,
    key_file: Path,
    retry_refused: bool,
    timeout_s: int,
    shape: str,
) -> None:
    """Send what waits in a spool, when the gateway that it belongs to will not run again.

    It exits with 1 where events were refused, or still wait when the time is over.

    Example: tokenworks spool send /var/lib/gateway/usage.db --url https://billing.example
    --key-file key.txt
    """
    from billing.client.delivery import Delivery
    from billing.client.sender import Pace, Sender

    key = read_file(key_file).decode("utf-8", errors="replace").strip()
    try:
        delivery = Delivery(url=url, key=key, answer_timeout_s=40.0)
    except ValueError as error:
        raise DocumentError("", str(error)) from None
    pace = Pace(batch_events=1_000, batch_bytes=2**20, linger_s=_POLL_S, longest_wait_s=10.0)
    with _opened(file) as spool, progress("send") as show_progress:
        if not spool.may_send():
            raise DocumentError(str(file), "is sent by a gateway that runs; let it, or stop it")
        if retry_refused:
            spool.retry_refused()
        before, set_aside = spool.counts()
        sender = Sender(spool, delivery=delivery, pace=pace)
        deadline_s = time.monotonic() + timeout_s
        sender.start()
        while (waiting := spool.counts()[0]) and time.monotonic() < deadline_s:
            show_progress(before - waiting, before)
            time.sleep(_POLL_S)
        sender.stop(timeout_s=1.0)
        waiting = spool.counts()[0]
        new = [_refused_row(one) for one in spool.refused()[set_aside:]]
    row = {
        "spool": str(file),
        "accepted": sender.sent.accepted,
        "duplicate": sender.sent.duplicate,
        "refused": len(new),
        "waiting": waiting,
    }
    print_rows([row], columns=SENT_COLUMNS, shape=shape, document=row, title="Sent")
    print_refused(
        str(file),
        refused=[(place, f"{one['id']}: {one['reason']}") for place, one in enumerate(new, 1)],
    )
    if waiting:
        say(f"tokenworks: {waiting:,} events still wait; send them later")
    ctx.exit(1 if waiting or new else 0)


@contextmanager
def _opened(file: Path) -> Iterator[Spool]:
    from billing.client.spool import Spool, SpoolError

    if not file.is_file() or not file.stat().st_size:  # an empty one would become a spool
        raise DocumentError(str(file), "is not a spool; name the file of a gateway's client")
    try:
        spool = Spool(file, max_events=0)
        try:
            yield spool
        finally:
            spool.close()
    except SpoolError as error:
        raise DocumentError("", str(error)) from None


def _refused_row(one: RefusedEvent) -> dict[str, object]:
    event = read_json(one.text, name="event")
    named = event if isinstance(event, dict) else {}
    return {
        "id": named.get("id"),
        "source": named.get("source"),
        "account": named.get("subject"),
        "verdict": one.verdict,
        "pointer": one.pointer,
        "reason": one.reason,
        "refused_at": moment_text(one.refused_at),
        "event": event,
    }

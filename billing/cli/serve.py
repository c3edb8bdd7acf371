"""``tokenworks serve``: the HTTP service on a store.

Invariant: it serves only where the store is at this version's revision and can be written; told to
stop, it answers what it began and exits with 0.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from billing.cli.clock import now_at
from billing.cli.garbage import rare_collections, short_turns
from billing.cli.output import format_option, print_rows
from billing.cli.stored import opened, store_option
from pricing_rules.document import DocumentError

if TYPE_CHECKING:
    import socket

COLUMNS = ("url", "store")


@click.command("serve")
@store_option
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="The port to listen on; 0: any that is free.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that serve; a SQLite store has one.",
)
@format_option
def command(*, store: str, host: str, port: int, workers: int, shape: str) -> None:
    """Take usage events in over HTTP, and answer what accounts have used.

    POST /v1/events stores CloudEvents, GET /v1/accounts/ACCOUNT/usage sums them; /openapi.json
    describes all of it. Requests need a key: see tokenworks key make. Settings are read from
    TOKENWORKS_... variables. SIGTERM stops it when what it began is answered.

    Example: tokenworks serve --store billing.db --port 8080
    """
    # Imported now: help needs none of it.
    from billing.api.server import listening, serve
    from billing.log import set_up_log
    from billing.settings import read_settings

    if workers > 1:
        raise DocumentError(
            "--workers", "one process serves a store, with one writer; leave --workers out"
        )
    settings = read_settings(os.environ)
    set_up_log(settings.log_level)
    with (
        opened(store) as found,
        rare_collections(),
        short_turns(),
        listening(host=host, port=port) as listener,
    ):
        row = {"url": _url(listener), "store": found.where}
        print_rows([row], columns=COLUMNS, shape=shape, document=row, title="Serving")
        sys.stdout.flush()
        serve(found, settings=settings, listener=listener, clock=lambda: now_at(None))


def _url(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

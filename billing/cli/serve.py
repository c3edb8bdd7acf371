"""``tokenworks serve``: the HTTP service on a store.

Invariant: it serves only where the store is at this version's revision and can be written; told to
stop, it answers what it began and exits with 0. Several workers serve a store in PostgreSQL alone.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from billing.cli.clock import now_at
from billing.cli.garbage import rare_collections, short_turns
from billing.cli.output import format_option, print_rows
from billing.cli.stored import opened, store_option
from pricing_rules.document import DocumentError

if TYPE_CHECKING:
    import socket

    from billing.api.workers import Worker

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
    help="Processes that serve; a SQLite store has one. Each grants its share of a key's requests "
    "a second, rounded up.",
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
    from billing.api.workers import keep_workers
    from billing.log import set_up_log
    from billing.settings import read_settings

    if workers > 1:
        _check_shared(store)
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
        if workers == 1:
            serve(found, settings=settings, listener=listener, clock=_clock)
        else:
            found.close()  # each worker opens it for itself
            keep_workers(workers, listener=listener, work=partial(_work, store=store))


def _work(worker: Worker, *, store: str) -> None:
    """What each of several workers does; its settings are those that its parent checked."""
    from billing.api.server import serve_as_worker
    from billing.log import set_up_log
    from billing.settings import read_settings

    settings = read_settings(os.environ)
    set_up_log(settings.log_level, pid=os.getpid())
    with opened(store) as found, rare_collections(), short_turns():
        serve_as_worker(found, settings=settings, clock=_clock, worker=worker)


def _check_shared(store: str) -> None:
    from billing.store.place import find_place
    from billing.store.sqlite import SqliteFile

    if isinstance(find_place(store), SqliteFile):
        raise DocumentError(
            "--workers",
            "one process serves a store in a SQLite file, which has one writer; leave --workers "
            "out, or keep the store in PostgreSQL",
        )


def _clock() -> int:
    return now_at(None)


def _url(listener: socket.socket) -> str:
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

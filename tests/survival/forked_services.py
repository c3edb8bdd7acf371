"""Services that are killed: a process that has imported all of it, and forks one service at a time.

``python -m tests.survival.forked_services`` reads one order per line of stdin (see ``Order``), and
says on stdout, a line each: the process id of the service, where it listens (as ``tokenworks serve
--format csv`` does), which points it reached (where it ended by itself), and what ended it.

Invariant: the process that forks has opened no store and started no thread; what it forks runs
``tokenworks serve`` as the command does.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy.dialects.sqlite

# Here once, not in each service that is forked.
import uvloop  # noqa: F401

with suppress(ImportError):
    import psycopg  # noqa: F401
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

import billing.api.server
import billing.cli.serve  # noqa: F401
from billing.cli.main import run
from billing.store import postgresql, sqlite
from billing.store.points import hooked
from tests.survival.failing_disk import Plan
from tests.survival.planted_bugs import PLANTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Serve a store, and end as a power cut would when a point is reached for the ``nth`` time.

    ``point``: "" where nothing but the outside ends it. ``after``: a point that must have been
    reached before, "" for none. ``bug``: what is planted, "" for nothing.
    ``busy_timeout_s``: how long it waits for a lock. ``disk``: a ``Plan`` of a disk that fails.
    ``files``: how many files and sockets it may have open, 0 for as many as the system lets it.
    """

    store: str
    point: str = ""
    nth: int = 1
    after: str = ""
    bug: str = ""
    busy_timeout_s: float = 10.0
    disk: Mapping[str, Any] | None = None
    files: int = 0


def main() -> None:
    """Fork a service for each order, and say what became of it."""
    gc.freeze()  # what a child never looks at, it never copies
    for line in sys.stdin:
        order = Order(**json.loads(line))
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = _serve(order)
            except BaseException:
                traceback.print_exc()  # the end below would say nothing of it
                raise
            finally:
                sys.stdout.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        print(json.dumps({"killed_by": killed_by, "code": os.waitstatus_to_exitcode(status)}))
        sys.stdout.flush()


def _serve(order: Order) -> int:
    print(json.dumps({"pid": os.getpid()}), flush=True)
    reached: Counter[str] = Counter()
    counted: Counter[str] = Counter()

    def kill(name: str) -> None:
        reached[name] += 1
        counted[name] += not order.after or order.after in reached
        if name == order.point and counted[name] == order.nth:
            os.kill(os.getpid(), signal.SIGKILL)

    sqlite.BUSY_TIMEOUT_S = postgresql.BUSY_TIMEOUT_S = order.busy_timeout_s
    if order.files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (order.files, order.files))
    if order.disk is not None:
        Plan(**order.disk).begin()
    if order.bug:
        PLANTED[order.bug]()
    with hooked(kill):
        code = run(["serve", "--store", order.store, "--port", "0", "--format", "csv"])
    print(json.dumps({"reached": reached}))
    return code


if __name__ == "__main__":
    main()

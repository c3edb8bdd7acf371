"""What workers of the tests do: each is a process of its own, which must be able to import it.

Invariant: none outlives its parent, and none needs a store.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from billing.api.workers import Worker
from pricing_rules.document import DocumentError


def serve(worker: Worker) -> None:
    """Serve until the parent closes the line."""
    worker.line.send_bytes(b"serving")
    worker.line.poll(None)


def end_badly(worker: Worker) -> None:
    """Serve, and end with an exit code when told to stop."""
    serve(worker)
    sys.exit(3)


def hold_on(worker: Worker) -> None:
    """Serve; the first goes on until a SIGINT comes."""
    signal.signal(signal.SIGINT, lambda number, frame: sys.exit())
    serve(worker)
    while worker.number == 1 and os.getppid() == worker.parent:
        time.sleep(0.01)  # a signal just before signal.pause() would never be seen


def refuse(worker: Worker) -> None:
    """Find no store."""
    raise DocumentError("store", "is gone; bring it back")


def break_down(worker: Worker) -> None:
    """Have a bug."""
    raise RuntimeError


def refuse_the_second(worker: Worker) -> None:
    """The first serves, the second finds no store."""
    if worker.number == 1:
        serve(worker)
    else:
        refuse(worker)

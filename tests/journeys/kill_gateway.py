"""A gateway in a process of its own: it records under load, and ends at a point where told to.

``python -m tests.journeys.kill_gateway FOLDER PREFIX EVENTS URL KEY [POINT OCCURRENCE]`` records
from four threads into ``FOLDER/spool.db``, the ids that it tries into ``tried`` and those for
which ``record`` returned into ``recorded``. Invariant: an id is in ``tried`` before, and in
``recorded`` only after.
"""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from billing.client import UsageClient
from billing.client.delivery import Delivery
from billing.client.spool import Spool

THREADS = 4

POINTS: dict[str, tuple[type, str, bool]] = {
    "before an event is on the disk": (Spool, "_commit", False),
    "after an event is on the disk": (Spool, "_commit", True),
    "before a batch is sent": (Delivery, "post", False),
    "after a batch was answered": (Delivery, "post", True),
    "before a batch is settled": (Spool, "settle", False),
    "after a batch was settled": (Spool, "settle", True),
}
"""Point -> whose method it stands at, and whether after it."""


def kill_at(point: str, *, occurrence: int) -> None:
    """End this process as a power cut of it would, when a point is reached for that time."""
    owner, name, after = POINTS[point]
    method: Callable[..., Any] = getattr(owner, name)
    reached = 0

    def reach() -> None:
        nonlocal reached
        reached += 1
        if reached == occurrence:
            os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(method)
    def killing(*arguments: Any, **named: Any) -> Any:
        if not after:
            reach()
        result = method(*arguments, **named)
        if after:
            reach()
        return result

    setattr(owner, name, killing)


def work(client: UsageClient, *, folder: Path, prefix: str, events: int) -> None:
    """Record events; each line of both files is one write, which a kill leaves whole."""
    tried, recorded = (
        os.open(folder / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for name in ("tried", "recorded")
    )
    for number in range(events):
        name = f"{prefix}-{number}"
        os.write(tried, f"{name}\n".encode())
        client.record(
            account="a",
            model="m",
            service_tier="standard",
            units={"input_tokens": number + 1},
            id=name,
            occurred_at=1_791_000_000_000_000 + number,
        )
        os.write(recorded, f"{name}\n".encode())
        time.sleep(0.002)


def main(folder: Path, *, prefix: str, events: int, url: str, key: str) -> None:
    """Record, send, and end when all was answered for."""
    client = UsageClient(
        url=url,
        key=key,
        spool=folder / "spool.db",
        source="gw",
        batch_events=20,
        linger_s=0.01,
        longest_wait_s=0.1,
    )
    threads = [
        threading.Thread(
            target=work,
            args=(client,),
            kwargs={"folder": folder, "prefix": f"{prefix}-{n}", "events": events},
        )
        for n in range(THREADS)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    answered = client.flush(timeout_s=60)
    client.close()
    sys.exit(0 if answered else 1)


if __name__ == "__main__":
    logging.disable()
    if len(sys.argv) > 6:
        kill_at(sys.argv[6], occurrence=int(sys.argv[7]))
    main(
        Path(sys.argv[1]),
        prefix=sys.argv[2],
        events=int(sys.argv[3]),
        url=sys.argv[4],
        key=sys.argv[5],
    )

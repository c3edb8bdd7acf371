"""Processes that fork one child for each order, as the tests talk to them.

Invariant: an order is one line of JSON, and its answer the number of the signal that ended the
child, or 0.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from billing.store.points import hooked
from tests.house.tree import REPOSITORY

Give = Callable[[object], int]


@contextmanager
def giving_orders(module: str, *, environment: Mapping[str, str]) -> Iterator[Give]:
    """A process of a module, and what gives it an order and waits for the end of the child."""
    with subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
    ) as process:

        def give(order: object) -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        try:
            yield give
        finally:
            process.kill()


def fork_for_each_order(work: Callable[[dict[str, object]], None]) -> None:
    """The other side: do the work of each line of stdin in a child, and say what ended that."""
    gc.freeze()  # what a child never looks at, it never copies
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                work(json.loads(line))
                code = 0
            except BaseException:
                traceback.print_exc()  # the end below would say nothing of it
                raise
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or not os.waitstatus_to_exitcode(status)
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, flush=True)


@contextmanager
def killed_at(point: str, *, nth: int) -> Iterator[None]:
    """End this process, as a power cut would, when the point is reached for the nth time."""
    reached = 0

    def kill(name: str) -> None:
        nonlocal reached
        reached += name == point
        if name == point and reached == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    with hooked(kill):
        yield

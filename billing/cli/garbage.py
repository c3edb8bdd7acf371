"""How Python runs a command that makes many records, or has several threads.

Invariant: what was set before is set again afterwards.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def rare_collections() -> Iterator[None]:
    """Let Python look for garbage rarely inside: a batch makes many records and no cycles, and
    looking through them all costs a quarter of the time.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def short_turns() -> Iterator[None]:
    """Let threads take turns ten times as often inside.

    A thread that writes gives its turn away at each row; while another computes, it would wait for
    the next one for longer than the whole commit takes.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(before)

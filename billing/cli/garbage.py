"""How often Python looks for garbage while a command makes many records.

Invariant: what was set before is set again afterwards.
"""

from __future__ import annotations

import gc
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

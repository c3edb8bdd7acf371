"""Time one call: the median of repeated runs, on a clock that never goes back.

Invariant: one run before the measured ones pays for imports and caches, and is not counted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def measure(call: Callable[[], object], *, repeat: int = 5) -> float:
    """The median seconds of ``repeat`` calls, after one that is not counted."""
    if repeat < 1:
        raise ValueError(f"repeat must be at least 1, not {repeat}")
    call()
    seconds = []
    for _ in range(repeat):
        started_s = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started_s)
    return statistics.median(seconds)

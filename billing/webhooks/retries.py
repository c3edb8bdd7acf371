"""When a message is sent again.

Invariant: attempts stop; no pause is shorter than the schedule of Standard Webhooks says, nor than
the receiver asked for, up to a day; and none is longer than a day and a fifth.
"""

from __future__ import annotations

PAUSES_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""After each attempt that failed, before the next: 5 s, 5 min, 30 min, 2, 5, 10, 14, 20, 24 h."""

MOST_TRIES = len(PAUSES_S) + 1

LONGEST_WAIT_S = 86_400
"""The longest that a receiver may make us wait (Retry-After)."""

_JITTER_PARTS = 5


def pause_microseconds(tries: int, *, retry_after_s: int, drawn: float) -> int | None:
    """How long to wait after the attempt that was number ``tries``; None: it was the last.

    ``retry_after_s``: what the receiver asked for, else 0. ``drawn``: a random number in [0, 1),
    by which up to a fifth is added, so that what failed together does not come back together.
    """
    if tries >= MOST_TRIES:
        return None
    pause_s = max(PAUSES_S[tries - 1], min(retry_after_s, LONGEST_WAIT_S))
    return int(pause_s * 1_000_000 * (1 + drawn / _JITTER_PARTS))

"""A generated trace in the format of the Azure LLM inference trace 2023.

Its two kinds of request follow the published traces (Azure/AzurePublicDataset, CC-BY-4.0) in their
mean counts: code, 8,819 rows with 18,059,974 context and 245,896 generated tokens; conversation,
19,366 rows with 22,361,870 and 4,088,665. No row of theirs is copied.

Invariant: a seed and a number of events give the same bytes on every machine: draws are of integers
only.
"""

from __future__ import annotations

import random
from datetime import datetime, timedelta

_HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
_FIRST_AT = datetime(2023, 11, 16, 18, 0, 0)  # noqa: DTZ001 - the format has no zone
_TICKS_PER_SECOND = 10_000_000
_MEAN_GAP_TICKS = 1_277_000
"""About one hour for the 28,185 rows of both traces: 3,600 s / 28,185 = 0.1277 s."""

_CODE_ROWS, _CODE_CONTEXT, _CODE_GENERATED = 8_819, 18_059_974, 245_896
_TALK_ROWS, _TALK_CONTEXT, _TALK_GENERATED = 19_366, 22_361_870, 4_088_665


def generated_trace(*, seed: int, events: int) -> bytes:
    """``events`` requests as CSV with CRLF line ends, code and conversation mixed as published."""
    draw = random.Random(seed)
    lines = [_HEADER]
    ticks = 0
    for _ in range(events):
        if draw.randrange(_CODE_ROWS + _TALK_ROWS) < _CODE_ROWS:
            context_tokens = _around(_CODE_CONTEXT, rows=_CODE_ROWS, draw=draw)
            generated_tokens = _around(_CODE_GENERATED, rows=_CODE_ROWS, draw=draw)
        else:
            context_tokens = _around(_TALK_CONTEXT, rows=_TALK_ROWS, draw=draw)
            generated_tokens = _around(_TALK_GENERATED, rows=_TALK_ROWS, draw=draw)
        ticks += draw.randrange(2 * _MEAN_GAP_TICKS)
        lines.append(f"{_stamp(ticks)},{context_tokens},{generated_tokens}")
    return "\r\n".join(lines).encode()


def _around(total: int, *, rows: int, draw: random.Random) -> int:
    """A count of at least 1 whose mean is total / rows, most of them below it.

    The lesser of two even draws below 3 n has the mean n, and a tail of up to three times it. With
    n = total - rows spread over ``rows``, adding 1 restores the mean.
    """
    span = 3 * (total - rows)
    return 1 + _rounded(min(draw.randrange(span), draw.randrange(span)), rows=rows)


def _rounded(part: int, *, rows: int) -> int:
    return (2 * part + rows) // (2 * rows)


def _stamp(ticks: int) -> str:
    seconds, rest = divmod(ticks, _TICKS_PER_SECOND)
    moment = _FIRST_AT + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest:07d}"

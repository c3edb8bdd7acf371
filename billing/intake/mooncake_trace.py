"""The Mooncake conversation trace (kvcache-ai/Mooncake) as usage events, with cached input.

Each request names the 512-token blocks of its prompt by hash. With a prefix cache that never
forgets, the tokens of its leading blocks that were seen before are cached input. Invariant: the
same bytes, start and assignment give the same events, and cached input never exceeds input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa

from billing.intake.assignment import Assignment
from billing.intake.event_table import EventRows
from pricing_rules.document import DocumentError, JsonValue, read_json
from pricing_rules.period import checked_moment
from pricing_rules.usage.event_columns import Verdict
from pricing_rules.usage.units import scaled_count

SOURCE = "mooncake-trace"
BLOCK_TOKENS = 512
"""Tokens of one prefix block (the trace's README)."""

_KEYS = {"timestamp", "input_length", "output_length", "hash_ids"}
_MICROSECONDS_PER_MS = 1_000


def read_mooncake_trace(
    data: bytes, *, name: str, starting_at: int, assignment: Assignment
) -> tuple[pa.Table, tuple[Verdict, ...]]:
    """Read a trace into (table in canonical columns, verdicts of the lines that are no request).

    ``row`` is the line number, from 1. A ``timestamp`` is in milliseconds after ``starting_at``
    (microseconds since 1970 UTC). The id is ``<first 16 hex digits of the file's SHA-256>:<row>``;
    ``cache_read_tokens`` are part of ``input_tokens``. Blocks count as seen from the line that
    first names them on, in file order. DocumentError where the file is empty.
    """
    if not data.strip():
        raise DocumentError(name, "the file is empty")
    file_id = hashlib.sha256(data).hexdigest()[:16]
    seen: set[int] = set()
    rows, verdicts = EventRows(), []
    for row, line in enumerate(data.removesuffix(b"\n").split(b"\n"), start=1):
        try:
            timestamp_ms, input_tokens, output_tokens, blocks = _request(line, name=f"row {row}")
            occurred_at = starting_at + timestamp_ms * _MICROSECONDS_PER_MS
            checked_moment(occurred_at, text=str(occurred_at))
        except ValueError as error:
            verdicts.append(Verdict(row=row, reason=str(error)))
            continue
        cached = min(_leading(blocks, seen=seen) * BLOCK_TOKENS, input_tokens)
        seen.update(blocks)
        event_id = f"{file_id}:{row}"
        account, model, service_tier = assignment.of(event_id)
        origin = (row, event_id, SOURCE, account, occurred_at, model, service_tier)
        rows.fixed.append((*origin, "", input_tokens, "completed"))
        rows.units.append(
            {
                "input_tokens": input_tokens,
                "cache_read_tokens": cached,
                "output_tokens": output_tokens,
            }
        )
        rows.dimensions.append({})
    return rows.table(), tuple(verdicts)


def _request(line: bytes, *, name: str) -> tuple[int, int, int, tuple[int, ...]]:
    """Milliseconds, input tokens, output tokens and blocks; ValueError says what is wrong."""
    value: JsonValue = read_json(line, name=name)
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise DocumentError(name, f"must be an object with {', '.join(sorted(_KEYS))}")
    blocks = value["hash_ids"]
    if not isinstance(blocks, list) or not all(_whole(block) for block in blocks):
        raise DocumentError(f"{name} hash_ids", "must be a list of whole numbers")
    if not _whole(value["timestamp"]):
        raise DocumentError(f"{name} timestamp", "must be a whole number of milliseconds")
    counts = []
    for key, unit in (("input_length", "input_tokens"), ("output_length", "output_tokens")):
        try:
            counts.append(scaled_count(unit, count=value[key]))
        except ValueError as error:
            raise DocumentError(f"{name} {key}", str(error)) from None
    return value["timestamp"], counts[0], counts[1], tuple(blocks)


def _whole(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _leading(blocks: Sequence[int], *, seen: set[int]) -> int:
    """How many leading blocks were seen before."""
    for count, block in enumerate(blocks):
        if block not in seen:
            return count
    return len(blocks)

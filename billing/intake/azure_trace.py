"""The Azure LLM inference trace (Azure/AzurePublicDataset) as usage events.

The trace says when a request came and how many tokens it had, not whose it was: accounts, models
and service tiers are assigned. Invariant: the same bytes, start and assignment give the same
events, and the assignment of a row depends on nothing but its id.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date
from functools import lru_cache

import pyarrow as pa

from billing.intake.assignment import Assignment
from billing.intake.event_table import EventRows
from pricing_rules.document import DocumentError
from pricing_rules.period import checked_moment
from pricing_rules.usage.event_columns import Verdict
from pricing_rules.usage.units import scaled_count

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
SOURCE = "azure-llm-inference-trace"

_TICKS_PER_SECOND = 10_000_000
_TICKS_PER_MICROSECOND = 10
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}) ([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,7}))?"
)
_COUNT = re.compile(r"0|[1-9][0-9]{0,12}")


def read_azure_trace(
    data: bytes, *, name: str, starting_at: int, assignment: Assignment
) -> tuple[pa.Table, tuple[Verdict, ...]]:
    """Read a trace into (table in canonical columns, verdicts of the lines that are no request).

    ``row`` is the line number (the header is line 1). The earliest request happens at
    ``starting_at`` (microseconds since 1970 UTC), and the others keep their distance to it; what is
    finer than a microsecond is cut off. The id is ``<first 16 hex digits of the file's
    SHA-256>:<row>``, ContextTokens are input_tokens and GeneratedTokens output_tokens.
    DocumentError where the file is empty, not UTF-8 or has another header.
    """
    verdicts: list[Verdict] = []
    requests: list[tuple[int, int, int, int]] = []
    for row, line in enumerate(_lines(data, name=name), start=2):
        try:
            requests.append((row, *_request(line)))
        except ValueError as error:
            verdicts.append(Verdict(row=row, reason=f"row {row} {error}"))
    earliest_ticks = min((ticks for _, ticks, _, _ in requests), default=0)
    file_id = hashlib.sha256(data).hexdigest()[:16]
    rows = EventRows()
    for row, ticks, input_tokens, output_tokens in requests:
        event_id = f"{file_id}:{row}"
        account, model, service_tier = assignment.of(event_id)
        occurred_at = starting_at + (ticks - earliest_ticks) // _TICKS_PER_MICROSECOND
        try:
            checked_moment(occurred_at, text=str(occurred_at))
        except ValueError as error:
            verdicts.append(Verdict(row=row, reason=f"row {row} TIMESTAMP: {error}"))
            continue
        origin = (row, event_id, SOURCE, account, occurred_at, model, service_tier)
        rows.fixed.append((*origin, "", input_tokens, "completed"))
        rows.units.append({"input_tokens": input_tokens, "output_tokens": output_tokens})
        rows.dimensions.append({})
    return rows.table(), tuple(sorted(verdicts, key=lambda verdict: verdict.row))


def _lines(data: bytes, *, name: str) -> list[str]:
    """The lines after the header, without their ends; a final line end opens no line."""
    if not data.strip():
        raise DocumentError(name, "the file is empty")
    try:
        lines = [line.removesuffix("\r") for line in data.decode("utf-8").split("\n")]
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError(f"{name}:{line}", f"byte {error.start} is not UTF-8") from None
    if lines[0] != HEADER:
        raise DocumentError(f"{name}:1", f'the header must be "{HEADER}", not "{lines[0]:.60}"')
    if not lines[-1]:
        lines.pop()
    return lines[1:]


def _request(line: str) -> tuple[int, int, int]:
    """Ticks of 100 ns since year 1, input tokens, output tokens; ValueError says what is wrong."""
    if not line:
        raise ValueError("is blank; remove it")
    cells = line.split(",")
    if len(cells) != 3:
        raise ValueError(f"has {len(cells)} cells where the header has 3")
    return (
        _ticks(cells[0]),
        _count(cells[1], column="ContextTokens", unit="input_tokens"),
        _count(cells[2], column="GeneratedTokens", unit="output_tokens"),
    )


def _ticks(text: str) -> int:
    found = _MOMENT.fullmatch(text)
    if not found:
        shape = "2023-11-16 18:17:03.9799600"
        raise ValueError(f'TIMESTAMP: must be a moment such as {shape}, not "{text:.40}"')
    day, hour, minute, second, fraction = found.groups()
    seconds = _days(day) * 86_400 + int(hour) * 3_600 + int(minute) * 60 + int(second)
    return seconds * _TICKS_PER_SECOND + int((fraction or "0").ljust(7, "0"))


@lru_cache(maxsize=1024)
def _days(day: str) -> int:
    try:
        return date.fromisoformat(day).toordinal()
    except ValueError:
        raise ValueError(f'TIMESTAMP: "{day}" is not a date that exists') from None


def _count(text: str, *, column: str, unit: str) -> int:
    if not _COUNT.fullmatch(text):
        raise ValueError(f'{column}: must be a whole number, not "{text:.40}"')
    try:
        return scaled_count(unit, count=int(text))
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None

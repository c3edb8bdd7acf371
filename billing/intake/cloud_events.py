"""Usage events as CloudEvents JSON lines.

Invariant: a line is accepted exactly when ``load_json(UsageEvent, line)`` accepts it, and with the
same values. The quick reader below only ever takes a line of which it is certain; every other line
goes to that strict reader, whose sentence is the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
import pyarrow as pa
from msgspec import UNSET, UnsetType

from billing.intake.event_table import EventRows
from pricing_rules.document import DocumentError, load_json
from pricing_rules.period import parse_moment
from pricing_rules.usage.event import UsageEvent, read_counts
from pricing_rules.usage.event_columns import Verdict
from pricing_rules.usage.units import MAX_COUNT

_INT64 = range(-(2**63), 2**63)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_Event = tuple[str, str, str, int, str, str, str, int, str]
"""The fixed columns after ``row``."""

EventRead = tuple[_Event, Mapping[str, int], Mapping[str, str]]


class _QuickData(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    model: str
    service_tier: str
    units: dict[str, int | str]
    region: str | UnsetType = UNSET
    request_tokens: int | UnsetType | None = UNSET
    outcome: Literal["completed", "cancelled", "failed"] | UnsetType = UNSET
    dimensions: dict[str, str] | UnsetType = UNSET
    attributes: dict[str, str | int | bool] | UnsetType = UNSET


class _QuickEvent(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    specversion: Literal["1.0"]
    id: str
    source: str
    type: Literal["tokenworks.usage.v1"]
    subject: str
    time: str
    data: _QuickData
    datacontenttype: Literal["application/json"] | UnsetType | None = UNSET
    dataschema: str | UnsetType | None = UNSET


_DECODER = msgspec.json.Decoder(_QuickEvent)


def read_cloud_events(data: bytes, *, name: str) -> tuple[pa.Table, tuple[Verdict, ...]]:
    """Read JSON lines of ``tokenworks.usage.v1`` events into (table in canonical columns,
    verdicts).

    ``row`` is the 1-based line number. A line that is no event, a blank one too, has a verdict of
    one sentence that names the line, and the other lines are kept. DocumentError where the file as
    a whole is empty or begins with a byte order mark.
    """
    if not data.strip():
        raise DocumentError(name, "the file is empty")
    if data.startswith(_BYTE_ORDER_MARK):
        raise DocumentError(name, "begins with a byte order mark; save it as UTF-8 without BOM")
    rows, verdicts = EventRows(), []
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            verdicts.append(Verdict(row=row, reason=f"line {row}: is blank; remove it"))
            continue
        try:
            fixed, units, dimensions = read_cloud_event(line, name=f"line {row}")
        except DocumentError as error:
            verdicts.append(Verdict(row=row, reason=str(error)))
            continue
        rows.fixed.append((row, *fixed))
        rows.units.append(units)
        rows.dimensions.append(dimensions)
    return rows.table(), tuple(verdicts)


def read_cloud_event(text: bytes, *, name: str) -> EventRead:
    """One event as JSON: its fixed columns after ``row``, its units and its dimensions.

    DocumentError, naming ``name`` and the path, where it is none.
    """
    return _quick(text) or _strict(text, name=name)


def _strict(line: bytes, *, name: str) -> EventRead:
    """The reference: what it accepts is an event, and what it refuses is not."""
    event = load_json(UsageEvent, line, name=name)
    data = event.data
    fixed = (
        event.id,
        event.source,
        event.subject,
        event.time,
        data.model,
        data.service_tier,
        data.region,
        data.size_tokens,
        data.outcome,
    )
    return fixed, data.units, data.dimensions


def _quick(line: bytes) -> EventRead | None:
    """An event that the reference accepts too, or None where that is not certain from here."""
    # Without escapes, other alphabets and DEL, no text can hold a control or invisible character:
    # the decoder refuses those below a space. What is left to check of a name is its length and its
    # outer spaces.
    if b"\\" in line or b"\x7f" in line or not line.isascii():
        return None
    try:
        event = _DECODER.decode(line)
        data = event.data
        units = read_counts(data.units)
        occurred_at = parse_moment(event.time)
    except ValueError:
        return None
    texts = [event.id, event.source, event.subject, data.model, data.service_tier]
    colons, keys = event.time.count(":"), 10 + len(data.units)
    region = ""
    if data.region is not UNSET:
        keys += 1
        region = data.region
        if region:
            texts.append(region)
    size_tokens = units.get("input_tokens", 0)
    if data.request_tokens is not UNSET:
        keys += 1
        if data.request_tokens is not None:
            size_tokens = data.request_tokens
    dimensions: dict[str, str] = {}
    if data.dimensions is not UNSET:
        dimensions = data.dimensions
        keys += 1 + len(dimensions)
        texts += dimensions
        texts += dimensions.values()
    if data.attributes is not UNSET:
        keys += 1 + len(data.attributes)
        texts += data.attributes
        for value in data.attributes.values():
            if isinstance(value, str):
                colons += value.count(":")
            elif value not in _INT64:
                return None
    if event.dataschema is not UNSET:
        keys += 1
        if event.dataschema is not None:
            texts.append(event.dataschema)
    keys += (data.outcome is not UNSET) + (event.datacontenttype is not UNSET)
    for text in texts:
        if not 0 < len(text) <= 200 or text[0] == " " or text[-1] == " ":
            return None
        colons += text.count(":")
    # Each key has one colon. More colons than keys and texts account for: a key stood twice, and
    # one was lost.
    if line.count(b":") != keys + colons or not 0 <= size_tokens <= MAX_COUNT:
        return None
    outcome = "completed" if data.outcome is UNSET else data.outcome
    fixed = (
        event.id,
        event.source,
        event.subject,
        occurred_at,
        data.model,
        data.service_tier,
        region,
        size_tokens,
        outcome,
    )
    return fixed, units, dimensions

"""Usage events as CloudEvents JSON lines.

Invariant: a line is accepted exactly when ``load_event(line)`` accepts it, and with the same
values. The quick reader below only ever takes a line of which it is certain; every other line
goes to that strict reader, whose sentence is the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, cast

import msgspec
import pyarrow as pa
from msgspec import UNSET, UnsetType

from billing.intake.event_table import EventRows
from pricing_rules.document import DocumentError
from pricing_rules.period import MICROSECONDS, parse_moment
from pricing_rules.usage.event import MAX_EVENT_BYTES, load_event, read_counts
from pricing_rules.usage.event_columns import Verdict
from pricing_rules.usage.leaves import split_leaves
from pricing_rules.usage.units import MAX_COUNT, REPORTED_UNITS, UNITS

_INT64 = range(-(2**63), 2**63)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_Fixed = tuple[str, str, str, int, str, str, str, int, str]
"""The fixed columns after ``row``."""

EventRead = tuple[_Fixed, Mapping[str, int], Mapping[str, str]]

SentEvent = tuple[
    tuple[str, str, str, int | None, str, str, str, int, str],
    Mapping[str, int],
    Mapping[str, str],
    Mapping[str, int],
]
"""The fixed columns after ``row``, inclusive counts, dimensions and leaves of an event; its moment
is None where it states none.
"""

_COUNTED_BY_ONE = frozenset(name for name in REPORTED_UNITS if UNITS[name].scale == 1)


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
    data: _QuickData
    time: str | UnsetType | None = UNSET
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
    """One event of a file as JSON: its fixed columns after ``row``, its units and its dimensions.

    DocumentError, naming ``name`` and the path, where it is none, and where it states no moment.
    """
    fixed, units, dimensions, _ = read_sent_event(text, name=name)
    if fixed[3] is None:
        raise DocumentError(
            f"{name} time".lstrip(),
            "is missing; state it: only an event that is sent to the service has a moment of "
            "receipt to stand in for it",
            path=("time",),
        )
    return cast("_Fixed", fixed), units, dimensions


def read_sent_event(text: bytes, *, name: str) -> SentEvent:
    """One event as JSON, with its moment or without one.

    DocumentError, naming ``name`` and the path, where it is none.
    """
    return _quick(text) or _strict(text, name=name)


def _strict(line: bytes, *, name: str) -> SentEvent:
    """The reference: what it accepts is an event, and what it refuses is not."""
    event = load_event(line, name=name)
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
    return fixed, data.units, data.dimensions, split_leaves(data.units)


def _quick(line: bytes) -> SentEvent | None:
    """An event that the reference accepts too, or None where that is not certain from here."""
    # Without escapes, other alphabets and DEL, no text can hold a control or invisible character:
    # the decoder refuses those below a space. What is left to check of a name is its length and its
    # outer spaces.
    if len(line) > MAX_EVENT_BYTES or b"\\" in line or b"\x7f" in line or not line.isascii():
        return None
    try:
        event = _DECODER.decode(line)
        data = event.data
        units = _counts(data.units)
        leaves = split_leaves(units)
        stated = event.time
        occurred_at = None if stated is UNSET or stated is None else _moment(stated)
    except ValueError:
        return None
    names = [event.source, event.subject, data.model, data.service_tier]
    # How many texts and keys the line must have.
    texts = _TEXTS_OF_ALL + len(data.units)
    if units is not data.units:  # some may have come as texts
        texts += sum(isinstance(count, str) for count in data.units.values())
    if event.time is not UNSET:
        texts += 1 if event.time is None else 2
    region = ""
    if data.region is not UNSET:
        texts += 2
        region = data.region
        if region:
            names.append(region)
    size_tokens = data.request_tokens
    texts += size_tokens is not UNSET
    if size_tokens is UNSET or size_tokens is None:
        size_tokens = units.get("input_tokens", 0)
    texts += 0 if data.outcome is UNSET else 2
    dimensions: dict[str, str] = {}
    if data.dimensions is not UNSET:
        dimensions = data.dimensions
        texts += 1 + 2 * len(dimensions)
        names += (*dimensions, *dimensions.values())
    if data.attributes is not UNSET:
        texts += 1 + len(data.attributes)
        names += data.attributes
        values = data.attributes.values()
        texts += sum(isinstance(value, str) for value in values)
        if not all(isinstance(value, str) or value in _INT64 for value in values):
            return None
    if event.datacontenttype is not UNSET:
        texts += 1 if event.datacontenttype is None else 2
    if event.dataschema is not UNSET:
        texts += 1 if event.dataschema is None else 2
        if event.dataschema is not None:
            names.append(event.dataschema)
    # Each has two quotes, and none inside. More of them: a key stood twice, and one was lost.
    if line.count(b'"') != 2 * texts or not 0 <= size_tokens <= MAX_COUNT:
        return None
    if not (_is_name(event.id) and all(map(_is_known_name, names))):
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
    return fixed, units, dimensions, leaves


_TEXTS_OF_ALL = 16
"""Keys and texts of every event: without its time, and without what is in its units."""


def _is_name(text: str) -> bool:
    return 0 < len(text) <= 200 and text[0] != " " and text[-1] != " "


_is_known_name = lru_cache(maxsize=16_384)(_is_name)
"""As ``_is_name``, for those that come again and again."""


def _counts(counts: dict[str, int | str]) -> dict[str, int]:
    """Counts at the units' scale: the same dictionary where they are already."""
    for name, count in counts.items():
        if name not in _COUNTED_BY_ONE or type(count) is not int or not 0 <= count <= MAX_COUNT:
            return read_counts(counts)
    return cast("dict[str, int]", counts)


def _moment(text: str) -> int:
    """As ``parse_moment``, of an ASCII text."""
    seconds, fraction = text[17:19], text[20:-1]
    if text[16:17] != ":" or not seconds.isdigit() or seconds > "59" or text[-1:] != "Z":
        return parse_moment(text)
    moment_at = _minute_at(text[:16]) + int(seconds) * MICROSECONDS
    if len(text) == 20:
        return moment_at
    if text[19] != "." or len(fraction) > 12 or not fraction.isdigit():
        return parse_moment(text)
    return moment_at + int(fraction[:6].ljust(6, "0"))


@lru_cache(maxsize=4_096)
def _minute_at(text: str) -> int:
    return parse_moment(f"{text}:00Z")

"""Payloads of others in a file, converted to usage events in a file.

Invariant: a line becomes its events or is refused with its number, and the events are written
whole or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from billing.intake.conversion import Origin, event_line
from billing.intake.payload_fields import PayloadError
from billing.intake.payload_readers import PAYLOAD_READERS
from billing.operations.files import read_file, write_file
from pricing_rules.document import Document, DocumentError, JsonValue, dump, load_json, validate
from pricing_rules.usage.event import UsageEvent


class PayloadLine(Document):
    """One line: what a provider or a proxy sent, and what the gateway knows of the request."""

    payload: JsonValue
    origin: Origin = Origin()


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedPayload:
    """What of a line is no event: the line, the JSON pointer in the payload, and why."""

    row: int
    pointer: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmappedNumber:
    """A number that no unit counts: the line, the JSON pointer in the payload, and its text."""

    row: int
    pointer: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedUsage:
    """The events of a file of payloads, in order of its lines, and what did not become one.

    ``flags``: how many payloads have each word for what is assumed or missing.
    """

    lines: int
    events: tuple[UsageEvent, ...]
    refused: tuple[RefusedPayload, ...]
    unmapped: tuple[UnmappedNumber, ...]
    flags: Mapping[str, int]


def convert_usage(path: Path, *, sent_by: str, origin: Origin) -> ConvertedUsage:
    """Convert a file of JSON lines, each with a ``payload`` and an ``origin``.

    ``sent_by``: a name of ``PAYLOAD_READERS``. ``origin``: what the lines leave open.
    DocumentError where the file cannot be read, and where no line becomes an event.
    """
    events: list[UsageEvent] = []
    refused: list[RefusedPayload] = []
    unmapped: list[UnmappedNumber] = []
    flags: Counter[str] = Counter()
    content = read_file(path)
    if not content.strip():
        raise DocumentError(path.name, "the file is empty")
    lines = content.removesuffix(b"\n").split(b"\n")
    for row, data in enumerate(lines, start=1):
        if not data.strip():
            refused.append(RefusedPayload(row=row, pointer="", reason="is blank; remove it"))
            continue
        try:
            line = load_json(PayloadLine, data, name=f"line {row}")
            known = _completed(line.origin, by=origin)
            found = PAYLOAD_READERS[sent_by](line.payload, origin=known)
        except PayloadError as error:
            refused.append(RefusedPayload(row=row, pointer=error.pointer, reason=error.sentence))
            continue
        except DocumentError as error:
            refused.append(RefusedPayload(row=row, pointer="", reason=error.sentence))
            continue
        events.extend(found.events)
        refused.extend(
            RefusedPayload(row=row, pointer=one.pointer, reason=one.sentence)
            for one in found.refused
        )
        unmapped.extend(
            UnmappedNumber(row=row, pointer=one.pointer, value=one.value) for one in found.unmapped
        )
        flags.update(found.flags)
    if not events:
        first = refused[0]
        raise DocumentError(
            path.name,
            f"holds no payload that becomes an event: all {len(refused):,} are refused, the first "
            f"(line {first.row}{first.pointer and ' ' + first.pointer}) because {first.reason}",
        )
    return ConvertedUsage(
        lines=len(lines),
        events=tuple(events),
        refused=tuple(refused),
        unmapped=tuple(unmapped),
        flags=dict(sorted(flags.items())),
    )


def write_converted(converted: ConvertedUsage, *, path: Path) -> None:
    """Write the events as a usage file of JSON lines."""
    write_file(path, data=b"".join(event_line(event) + b"\n" for event in converted.events))


def _completed(origin: Origin, *, by: Origin) -> Origin:
    stated, more = dump(origin), dump(by)
    dimensions = {**more["dimensions"], **stated["dimensions"]}
    merged = {**more, **stated, "dimensions": dimensions}
    return validate(Origin, merged, name="origin", lines={})

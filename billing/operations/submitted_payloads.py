"""What a request submits in the shapes of others: each becomes an event of ours, and is taken in as
one.

Invariant: what an event of another shape becomes has the same content, the same bounds and the same
verdict as if it had come as an event of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import msgspec
from msgspec.structs import replace

from billing.intake.conversion import (
    TIME_IS_RECEIPT,
    Conversion,
    Origin,
    event_line,
    shown_pointers,
)
from billing.intake.event_request import RefusedEvent, RequestForm
from billing.intake.meter_request import (
    MeterShape,
    is_openmeter,
    lago_texts,
    read_meter_event,
)
from billing.intake.otlp_traces import SOURCE, Encoding, SpanKind, read_otlp_traces
from billing.intake.payload_fields import PayloadError
from billing.operations.submitted import submission
from billing.operations.taken_in import owner_of
from billing.operations.writer import Submission
from pricing_rules.document import JsonValue, validate
from pricing_rules.period import moment_text

BodyForm = RequestForm | Literal["json"]
"""How a body holds events; ``json``: as its shape says, one CloudEvent, a batch, or Lago's."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What is assumed or missing of an event, and the JSON pointers, into it as it came, of the
    first numbers that no unit counts.
    """

    flags: tuple[str, ...]
    unmapped: tuple[str, ...]


_NO_NOTES: Mapping[int, Note] = MappingProxyType({})


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """A submission, and what was noted of its events, by row."""

    submission: Submission
    notes: Mapping[int, Note] = _NO_NOTES


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends a request, and when. ``account``: whose key it is, "" where it is the provider's.

    ``service_tier`` and ``region``: of what states none. ``account_attribute``: of spans.
    """

    request: str
    account: str
    now_at: int
    service_tier: str
    region: str
    account_attribute: str

    @property
    def origin(self) -> Origin:
        """What is known of each payload."""
        known: dict[str, JsonValue] = {
            "account": self.account or None,
            "service_tier": self.service_tier,
            "region": self.region or None,
            "received_at": moment_text(self.now_at),
        }
        return validate(Origin, known, name="", lines={})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A payload that was read: its place, its identity, and what it became."""

    row: int
    source: str
    id: str
    found: Conversion | PayloadError


def submitted_events(body: bytes, *, form: BodyForm, sender: Sender) -> Submitted:
    """The events of a body: ours, and those that have the shape of OpenMeter or Lago.

    DocumentError where the body as a whole is not of its form, or holds too many events.
    """
    if form == "json":
        if (texts := lago_texts(body)) is not None:
            reads = _read_all(enumerate(texts, start=1), shape="lago", sender=sender)
            return _submitted(reads, sender=sender)
        form = "batch" if body.lstrip().startswith(b"[") else "event"
    taken = submission(
        body,
        form=form,
        request=sender.request,
        account=sender.account,
        now_at=sender.now_at,
    )
    foreign = [(one.row, one.text) for one in taken.refused if one.text and is_openmeter(one.text)]
    if not foreign:
        return Submitted(submission=taken)
    more = _submitted(_read_all(foreign, shape="openmeter", sender=sender), sender=sender)
    rows = {row for row, _ in foreign}
    refused = [one for one in taken.refused if one.row not in rows]
    return replace(
        more,
        submission=replace(
            taken,
            rows=[*taken.rows, *more.submission.rows],
            events=[*taken.events, *more.submission.events],
            refused=[*refused, *more.submission.refused],
        ),
    )


def submitted_traces(
    body: bytes, *, encoding: Encoding, sender: Sender
) -> tuple[Submitted | None, Mapping[SpanKind, int]]:
    """The spans with usage of an OTLP export request, None where it has none, and how many spans
    there are of each kind.

    DocumentError where the body is no such request, or holds too many spans.
    """
    traces = read_otlp_traces(
        body,
        encoding=encoding,
        origin=sender.origin,
        account_attribute=sender.account_attribute,
    )
    reads = [
        _Read(row=row, source=SOURCE, id=one.id, found=one.found)
        for row, one in enumerate(traces.spans, start=1)
    ]
    return _submitted(reads, sender=sender) if reads else None, traces.kinds


def _read_all(
    texts: Iterable[tuple[int, bytes]], *, shape: MeterShape, sender: Sender
) -> list[_Read]:
    origin = sender.origin
    found = []
    for row, text in texts:
        read = read_meter_event(text, shape=shape, origin=origin)
        found.append(_Read(row=row, source=read.source, id=read.id, found=read.found))
    return found


def _submitted(reads: Sequence[_Read], *, sender: Sender) -> Submitted:
    lines: list[bytes] = []
    rows: list[int] = []
    refused: list[RefusedEvent] = []
    notes: dict[int, Note] = {}
    for one in reads:
        if isinstance(one.found, PayloadError):
            refused.append(
                RefusedEvent(
                    row=one.row,
                    source=one.source,
                    id=one.id,
                    pointer=one.found.pointer,
                    reason=one.found.sentence,
                )
            )
            continue
        lines.append(_line(one.found))
        rows.append(one.row)
        notes[one.row] = Note(flags=one.found.flags, unmapped=shown_pointers(one.found.unmapped))
    if not lines:
        owner = owner_of(sender.account)
        taken = Submission(request=sender.request, owner=owner, rows=(), events=(), refused=refused)
        return Submitted(submission=taken)
    taken = submission(
        b"\n".join(lines),
        form="lines",
        request=sender.request,
        account=sender.account,
        now_at=sender.now_at,
    )
    refused += [replace(one, row=rows[one.row - 1], text=b"") for one in taken.refused]
    placed = [rows[row - 1] for row in taken.rows]
    return Submitted(submission=replace(taken, rows=placed, refused=refused), notes=notes)


def _line(found: Conversion) -> bytes:
    """The one event of a payload as a line; without a time where it stated none."""
    (event,) = found.events
    if TIME_IS_RECEIPT in found.flags:
        event = event.model_copy(update={"time": None})
    return event_line(event)

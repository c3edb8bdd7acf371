"""The events of one request: one CloudEvent, a batch of them, or JSON lines.

Invariant: each event is read alone, by the reader of files, so that whether it is accepted depends
neither on its neighbours nor on the form in which it was sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from billing.intake.cloud_events import SentEvent, read_sent_event
from pricing_rules.document import DocumentError, json_pointer

RequestForm = Literal["event", "batch", "lines"]
"""One CloudEvent, a JSON array of them, or one on each line."""

MAX_EVENTS = 10_000
"""Events of one request."""

_MAX_COMMAS = 64 * MAX_EVENTS
"""An array of more elements than this is not taken apart only to be counted."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class TooManyEventsError(DocumentError):
    """A request with more events than one may have."""


class RefusedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Why an event of a request is refused: the JSON pointer of what is wrong, and a sentence.

    ``row``: its place in the request, from 1. ``source`` and ``id``: "" where they are not known.
    ``text``: the event as it came, where it was not read: it may be of another shape.
    """

    row: int
    source: str
    id: str
    pointer: str
    reason: str
    text: bytes = b""


class EventRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The events of a request that are events, with their places, from 1, and the others."""

    rows: Sequence[int]
    events: Sequence[SentEvent]
    refused: Sequence[RefusedEvent]

    @property
    def received(self) -> int:
        """How many there are in all."""
        return len(self.rows) + len(self.refused)


class _Identity(msgspec.Struct):
    source: str = ""
    id: str = ""


_read_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_identity = msgspec.json.Decoder(_Identity).decode


def read_event_request(body: bytes, *, form: RequestForm) -> EventRequest:
    """Read the body of a request; what is no event is refused, and the others are kept.

    DocumentError where the body as a whole is not of its form or holds no event;
    TooManyEventsError where it holds more than ``MAX_EVENTS``.
    """
    rows: list[int] = []
    events: list[SentEvent] = []
    refused: list[RefusedEvent] = []
    for row, text in enumerate(_texts(body, form=form), start=1):
        try:
            if not text.strip():
                raise DocumentError("event", "is blank; leave it out")
            events.append(read_sent_event(text, name="event"))
        except DocumentError as error:
            refused.append(_refused(text, row=row, error=error))
        else:
            rows.append(row)
    return EventRequest(rows=rows, events=events, refused=refused)


def _texts(body: bytes, *, form: RequestForm) -> Sequence[bytes]:
    """The JSON text of each event."""
    if not body.strip():
        raise DocumentError("body", "is empty; send at least one event")
    if body.startswith(_BYTE_ORDER_MARK):
        raise DocumentError("body", "begins with a byte order mark; send UTF-8 without one")
    if form == "event":
        return [body]
    texts = _lines(body) if form == "lines" else _elements(body)
    if not texts:
        raise DocumentError("body", "is empty; send at least one event")
    return texts


def _lines(body: bytes) -> list[bytes]:
    # Counted first: a body of line ends alone is not taken apart.
    count = body.count(b"\n") + (not body.endswith(b"\n"))
    if count > MAX_EVENTS:
        raise _too_many(count)
    lines = body.split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _elements(body: bytes) -> list[bytes]:
    if body.count(b",") > _MAX_COMMAS:
        raise _too_many(None)
    try:
        found = _read_batch(body)
    except msgspec.ValidationError:
        raise DocumentError("body", "must be a JSON array of events") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DocumentError("body", f"is not JSON ({error})") from None
    except RecursionError:
        raise DocumentError("body", "is nested too deeply") from None
    if len(found) > MAX_EVENTS:
        raise _too_many(len(found))
    return [bytes(one) for one in found]


def _too_many(count: int | None) -> TooManyEventsError:
    said = "too many" if count is None else f"{count:,}"
    return TooManyEventsError(
        "body", f"holds {said} events; send at most {MAX_EVENTS:,} in one request"
    )


def _refused(text: bytes, *, row: int, error: DocumentError) -> RefusedEvent:
    try:
        named = _read_identity(text)
    except (ValueError, RecursionError):
        named = _Identity()
    return RefusedEvent(
        row=row,
        source=named.source[:200],
        id=named.id[:200],
        pointer=json_pointer(error.path),
        reason=error.sentence,
        text=text,
    )

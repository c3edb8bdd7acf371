"""Which events of a request have the shape of another meter, and what they become.

A CloudEvent whose ``type`` is not ours, and whose ``data`` has no ``units``, is OpenMeter's; a JSON
object with an ``event`` or with ``events`` is Lago's; every other event is ours. Invariant: each
event is read alone, by the one reader of its shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from billing.intake.conversion import Conversion, Origin
from billing.intake.event_request import MAX_EVENTS, TooManyEventsError
from billing.intake.meter_events import read_lago_events, read_openmeter_event
from billing.intake.payload_fields import PayloadError, Unmapped
from pricing_rules.document import DocumentError
from pricing_rules.usage.event import check_event_bytes

MeterShape = Literal["openmeter", "lago"]

OUR_TYPES = "tokenworks."
"""How the ``type`` of every event of ours begins, so that a misspelled one is told what is right.
"""

_WRAPPER = "/event"

_MAX_COMMAS = 64 * MAX_EVENTS
"""A list of more elements than this is not taken apart only to be counted."""


class _Data(msgspec.Struct):
    units: msgspec.Raw = msgspec.Raw()


class _Typed(msgspec.Struct):
    type: str = ""
    data: _Data | None = None


class _Wrapped(msgspec.Struct):
    event: msgspec.Raw = msgspec.Raw()
    events: msgspec.Raw = msgspec.Raw()


class _OpenMeterIds(msgspec.Struct):
    source: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()


class _LagoIds(msgspec.Struct):
    source: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="code")
    id: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="transaction_id")


_read_typed = msgspec.json.Decoder(_Typed).decode
_read_wrapped = msgspec.json.Decoder(_Wrapped).decode
_read_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_read_ids: Mapping[MeterShape, Callable[[bytes], _OpenMeterIds | _LagoIds]] = {
    "openmeter": msgspec.json.Decoder(_OpenMeterIds).decode,
    "lago": msgspec.json.Decoder(_LagoIds).decode,
}
_read_text = msgspec.json.Decoder(str).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterEvent:
    """What an event of another meter became; the pointer of a refusal is into the event.

    ``source`` and ``id``: its identity, "" where it states none.
    """

    source: str
    id: str
    found: Conversion | PayloadError


def is_openmeter(text: bytes) -> bool:
    """Whether an event that was not read as ours has the shape of OpenMeter."""
    try:
        event = _read_typed(text)
    except (ValueError, RecursionError):
        return False
    ours = event.type.startswith(OUR_TYPES) or (event.data is not None and bytes(event.data.units))
    return bool(event.type) and not ours


def lago_texts(body: bytes) -> Sequence[bytes] | None:
    """The JSON text of each event of a Lago-shaped body; None where it is of another shape.

    DocumentError where ``events`` is no list of events, TooManyEventsError where it has more than
    ``MAX_EVENTS``.
    """
    try:
        wrapped = _read_wrapped(body)
    except (ValueError, RecursionError):
        return None
    if one := bytes(wrapped.event):
        return (one,)
    if not (several := bytes(wrapped.events)):
        return None
    if several.count(b",") > _MAX_COMMAS:
        raise TooManyEventsError("body", f"holds too many events; send at most {MAX_EVENTS:,}")
    try:
        found = _read_list(several)
    except ValueError:
        raise DocumentError("body", "must be a list of events", path=("events",)) from None
    if not found:
        raise DocumentError("body", "is empty; send at least one event", path=("events",))
    if len(found) > MAX_EVENTS:
        raise TooManyEventsError(
            "body", f"holds {len(found):,} events; send at most {MAX_EVENTS:,} in one request"
        )
    return tuple(map(bytes, found))


def read_meter_event(text: bytes, *, shape: MeterShape, origin: Origin) -> MeterEvent:
    """Read one event of another meter.

    ``origin``: the account whose key sends it, which goes before the one that the event states; the
    service tier and region, of which such an event knows nothing; and when it was received.
    """
    source, event_id = _identity(text, shape=shape)
    found: Conversion | PayloadError
    try:
        check_event_bytes(text, name="")
        if shape == "openmeter":
            found = read_openmeter_event(text, origin=origin)
        else:
            found = _without_wrapper(read_lago_events(b'{"event":%b}' % text, origin=origin))
    except DocumentError as error:
        found = PayloadError("", sentence=error.sentence)
    except PayloadError as error:
        found = PayloadError(error.pointer.removeprefix(_WRAPPER), sentence=error.sentence)
    return MeterEvent(source=source, id=event_id, found=found)


def _without_wrapper(found: Conversion) -> Conversion:
    """With pointers into the event itself."""
    unmapped = tuple(
        Unmapped(pointer=one.pointer.removeprefix(_WRAPPER), value=one.value)
        for one in found.unmapped
    )
    return replace(found, unmapped=unmapped)


def _identity(text: bytes, *, shape: MeterShape) -> tuple[str, str]:
    try:
        found = _read_ids[shape](text)
    except (ValueError, RecursionError):
        return "", ""
    return _text(found.source), _text(found.id)


def _text(stated: msgspec.Raw) -> str:
    try:
        return _read_text(stated)[:200]
    except ValueError:
        return ""

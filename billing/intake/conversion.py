"""From what a payload says was served to usage events.

Invariant: what a payload states of the model, service tier and region that served a request
stands; the gateway fills in what it leaves open, and says whose request it was. Every event that
comes out is one that ``UsageEvent`` accepts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from billing.intake.payload_fields import Fields, PayloadError, Reading, Unmapped, shown
from billing.intake.served_words import BATCH, STANDARD, our_service_tier
from pricing_rules.document import Document, DocumentError, JsonValue, Name, dump, validate
from pricing_rules.period import MICROSECONDS, MomentText, checked_moment, moment_text
from pricing_rules.usage.event import EVENT_TYPE, Outcome, UsageEvent, read_counts
from pricing_rules.usage.units import UNITS

TIME_IS_RECEIPT = "time_is_received_at"
"""The flag of an event that states no moment, so that it is that at which it was received."""

SHOWN_UNMAPPED = 20
"""How many numbers without a unit an event names; the conversion names every one."""

_SHOWN_CHARACTERS = 200
"""Of a pointer to one: a name in a payload may be as long as the payload."""

_UNIX_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,20})?\Z")


class Origin(Document):
    """What the gateway knows about a request.

    ``account``: who asked. ``id`` and ``source``: the event's identity, the same when it is sent
    again. ``time``: its price moment; ``received_at`` stands in where neither the gateway nor the
    payload has one. ``service_tier``, ``region`` and ``model``: what served it, where the payload
    does not say. ``outcome``: where the gateway knows better, as when a client went away.
    """

    account: Name | None = None
    id: Name | None = None
    source: Name | None = None
    time: MomentText | None = None
    received_at: MomentText | None = None
    service_tier: Name | None = None
    region: Name | None = None
    model: Name | None = None
    outcome: Outcome | None = None
    dimensions: dict[Name, Name] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a payload says was served; None where it does not say.

    ``units``: inclusive counts, a text where there is a fraction. ``usage_pointer``: where they
    stand in the payload. ``part``: what is added to the id of an event that is one of several of a
    request.
    """

    units: Mapping[str, int | str]
    outcome: Outcome
    usage_pointer: str
    model: str | None
    service_tier: str | None = None
    region: str | None = None
    request_tokens: int | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str | None] = field(default_factory=dict)
    part: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What a payload became: events, the numbers that no unit counts, what was assumed or
    missing, and, where a payload is a batch, what of it was refused.
    """

    events: tuple[UsageEvent, ...]
    unmapped: tuple[Unmapped, ...] = ()
    flags: tuple[str, ...] = ()
    refused: tuple[PayloadError, ...] = ()


def converted(origin: Origin, *, served: Sequence[Served], reading: Reading) -> Conversion:
    """The events of what was served; PayloadError where the counts contradict one another, or
    where nobody says what an event must say.
    """
    return Conversion(
        events=tuple(_event(origin, served=one, reading=reading) for one in served),
        unmapped=tuple(reading.unmapped),
        flags=tuple(reading.flags),
    )


def filled(origin: Origin, *, known: Mapping[str, JsonValue]) -> Origin:
    """The origin with what a payload itself knows of it, where the gateway leaves it open."""
    stated = dump(origin)
    more = {key: one for key, one in known.items() if one is not None and key not in stated}
    try:
        return validate(Origin, {**stated, **more}, name="", lines={})
    except DocumentError as error:
        raise PayloadError("", sentence=str(error)) from None


def event_line(event: UsageEvent) -> bytes:
    """An event as one line of a usage file, without the end of the line.

    Counts of units that are counted in fractions are written as steps of their scale: 2.5 s is
    ``"2500/1000"``.
    """
    stated = dump(event)
    stated["data"]["units"] = {
        unit: count if UNITS[unit].scale == 1 else f"{count}/{UNITS[unit].scale}"
        for unit, count in event.data.units.items()
    }
    return json.dumps(stated, ensure_ascii=False, separators=(",", ":")).encode()


def shown_pointers(unmapped: Sequence[Unmapped]) -> tuple[str, ...]:
    """Where the first ``SHOWN_UNMAPPED`` of them stand, cut to what one can look at."""
    return tuple(one.pointer[:_SHOWN_CHARACTERS] for one in unmapped[:SHOWN_UNMAPPED])


def put(units: dict[str, int], *, unit: str, count: int | None) -> None:
    """Count a unit where its count is stated: absent is not zero."""
    if count is not None:
        units[unit] = count


def check_total(fields: Fields, *, key: str, parts: Mapping[str, int]) -> None:
    """Refuse a stated total that is not the sum of its parts; an absent one says nothing."""
    stated = fields.total(key)
    if stated is not None and stated != sum(parts.values()):
        sums = " + ".join(f"{name} {count}" for name, count in parts.items())
        sentence = f"is {stated}, and its parts ({sums}) are {sum(parts.values())}"
        raise fields.refused(key, sentence=sentence)


def failed_without_usage(chunks: Sequence[Fields], *, model: str | None, word: str) -> Served:
    """A request that failed before anything was counted."""
    return Served(
        units={},
        outcome="failed",
        usage_pointer=chunks[-1].pointer,
        model=model,
        attributes={"finish_reason": word},
    )


def unix_moment(fields: Fields, *, key: str) -> str | None:
    """Unix seconds with a fraction, as a number or its text, as the text of a moment.

    Digits beyond microseconds are cut off. None where they are absent.
    """
    stated = fields.get(key)
    if stated is None:
        return None
    text = stated if isinstance(stated, str) else plain_number(stated)
    try:
        if not _UNIX_SECONDS.match(text):
            raise ValueError(f"must be Unix seconds such as 1795341600.123, not {shown(stated)}")
        moment_at = int(Decimal(text) * MICROSECONDS)
        return moment_text(checked_moment(moment_at, text=text))
    except ValueError as error:
        raise fields.refused(key, sentence=str(error)) from None


def plain_number(value: JsonValue) -> str:
    """A number without an exponent; "" for what is none, or lies beyond 10^12."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10**12:
        return ""
    return format(Decimal(repr(value)), "f")


def _event(origin: Origin, *, served: Served, reading: Reading) -> UsageEvent:
    pointer = served.usage_pointer
    try:
        read_counts(dict(served.units))
    except ValueError as error:
        raise PayloadError(pointer, sentence=str(error)) from None
    needed = {
        "account": origin.account,
        "id": origin.id,
        "source": origin.source,
        "time": origin.time if origin.time is not None else origin.received_at,
        "model": served.model or origin.model,
        "service_tier": _service_tier(origin, stated=our_service_tier(served.service_tier)),
    }
    if missing := [name for name, value in needed.items() if value is None]:
        sentence = f"nobody says the {missing[0]} of this request; the gateway must"
        raise PayloadError(pointer, sentence=sentence)
    if origin.time is None:
        reading.flag(TIME_IS_RECEIPT)
    data = {
        "model": needed["model"],
        "service_tier": needed["service_tier"],
        "region": served.region or origin.region or "",
        "units": dict(served.units),
        "outcome": origin.outcome or served.outcome,
        "dimensions": {**served.dimensions, **origin.dimensions},
        "attributes": _attributes(served, reading=reading),
    }
    if served.request_tokens is not None:
        data["request_tokens"] = served.request_tokens
    event = {
        "specversion": "1.0",
        "type": EVENT_TYPE,
        "id": f"{origin.id}{served.part}",
        "source": origin.source,
        "subject": origin.account,
        "time": moment_text(int(str(needed["time"]))),
        "data": data,
    }
    try:
        return validate(UsageEvent, event, name="", lines={})
    except DocumentError as error:
        raise PayloadError(pointer, sentence=str(error)) from None


def _service_tier(origin: Origin, *, stated: str | None) -> str | None:
    # The answers of a batch call themselves standard: only who sent the batch knows.
    if stated is None or (stated == STANDARD and origin.service_tier == BATCH):
        return origin.service_tier
    return stated


def _attributes(served: Served, *, reading: Reading) -> dict[str, str]:
    found = {key: value for key, value in served.attributes.items() if value}
    if reading.flags:
        found["flags"] = " ".join(reading.flags)
    if reading.unmapped:
        pointers = shown_pointers(reading.unmapped)
        values = (one.value for one in reading.unmapped)
        names = [f"{pointer}={value}" for pointer, value in zip(pointers, values, strict=False)]
        more = len(reading.unmapped) - len(names)
        found["unmapped"] = " ".join(names) + (f" and {more} more" if more else "")
    return found

"""Events in the shapes of OpenMeter and of Lago, such as LiteLLM's callbacks for them post.

Both tell of prompt and completion tokens alone: cached, cache-write and reasoning tokens are not
in them, so all input is fresh, and the events are flagged ``no_cache_details``. Invariant: the
identity and the account are those that the event states, unless the gateway says who it was.
"""

from __future__ import annotations

import re

from billing.intake.conversion import (
    Conversion,
    Origin,
    Served,
    converted,
    filled,
    unix_moment,
)
from billing.intake.openai_chat import chat_units, without_zero_total
from billing.intake.payload_fields import Fields, Payload, PayloadError, Reading, one_object, shown
from pricing_rules.usage.units import MAX_COUNT

MAX_BATCH = 100
"""Events in one Lago-shaped batch."""

TOKEN_TYPES = {"input": "input_tokens", "system": "input_tokens", "output": "output_tokens"}
"""``type`` of an event of one class of tokens -> the unit that it counts."""

_COUNT_TEXT = re.compile(r"(0|[1-9][0-9]{0,12})\Z")
_RANDOM_ID = re.compile(
    "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE
)


def read_openmeter_event(payload: Payload, *, origin: Origin) -> Conversion:
    """The event of one OpenMeter-shaped CloudEvent: of a request (``prompt_tokens``, ...), or of
    one class of its tokens (``tokens`` and ``type``), flagged ``one_class_of_tokens`` since its
    size is not that of the request.

    ``subject`` is the account where the gateway states none: a client can forge it, unless the
    proxy sets it from the key (``OPENMETER_TRUST_REQUEST_USER=false``).
    """
    reading = Reading()
    event = one_object(payload, reading=reading)
    if event.text("specversion") != "1.0":
        sentence = f'must be "1.0", not {shown(event.get("specversion"))}'
        raise event.refused("specversion", sentence=sentence)
    data = event.inside("data")
    if data is None:
        raise event.refused("data", sentence="is missing; without it nothing can be counted")
    origin = filled(
        origin,
        known={
            "account": event.text("subject"),
            "id": event.text("id"),
            "source": event.text("source"),
            "time": event.text("time"),
        },
    )
    return converted(origin, served=(_served(data, reading=reading),), reading=reading)


def read_lago_events(payload: Payload, *, origin: Origin) -> Conversion:
    """The events of a Lago-shaped ``event``, or of a batch of ``events``, each with its own
    verdict: what is refused is in ``refused``, and does not hold back the others.

    ``transaction_id`` is the id and ``code`` the source, where the gateway states none; the
    account is ``external_subscription_id``. LiteLLM makes up a random id each time that it sends
    one, so that a repeated event cannot be known again: such ids are flagged ``random_id``. It
    sends no ``timestamp`` either: the event then takes the moment at which it was received.
    """
    envelope = one_object(payload, reading=Reading())
    if (event := envelope.inside("event")) is not None:
        return _lago(event, origin=origin)
    events = envelope.each("events")
    if not 0 < len(events) <= MAX_BATCH:
        sentence = f"must be an event, or 1 to {MAX_BATCH} events in a list named events"
        raise PayloadError("", sentence=sentence)
    read: list[Conversion] = []
    refused: list[PayloadError] = []
    for one in events:
        try:
            read.append(_lago(one, origin=origin))
        except PayloadError as error:
            refused.append(error)
    return Conversion(
        events=tuple(event for one in read for event in one.events),
        unmapped=tuple(number for one in read for number in one.unmapped),
        flags=tuple(dict.fromkeys(flag for one in read for flag in one.flags)),
        refused=tuple(refused),
    )


def _lago(event: Fields, *, origin: Origin) -> Conversion:
    reading = Reading()
    event_id = event.text("transaction_id")
    if event_id is not None and _RANDOM_ID.fullmatch(event_id):
        reading.flag("random_id")
    properties = event.inside("properties")
    if properties is None:
        raise event.refused("properties", sentence="is missing; without it nothing can be counted")
    origin = filled(
        origin,
        known={
            "account": event.text("external_subscription_id"),
            "id": event_id,
            "source": event.text("code"),
            "time": unix_moment(event, key="timestamp"),
        },
    )
    return converted(origin, served=(_served(properties, reading=reading),), reading=reading)


def _served(data: Fields, *, reading: Reading) -> Served:
    data = without_zero_total(data, reading=reading)
    # What somebody else made of the money is no count.
    data.known("cost", "response_cost")
    units = _units(data, reading=reading)
    reading.unmapped.extend(data.unread())
    return Served(
        units=units, outcome="completed", usage_pointer=data.pointer, model=data.text("model")
    )


def _units(data: Fields, *, reading: Reading) -> dict[str, int]:
    if "tokens" not in data.value:
        return chat_units(data, reading=reading)
    kind, count = data.text("type"), data.get("tokens")
    unit = TOKEN_TYPES.get(kind or "")
    if unit is None:
        sentence = f"must be one of {', '.join(TOKEN_TYPES)}, not {shown(kind)}"
        raise data.refused("type", sentence=sentence)
    if isinstance(count, str) and _COUNT_TEXT.match(count):
        count = int(count)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MAX_COUNT:
        sentence = f"must be a whole number from 0 to {MAX_COUNT}, not {shown(count)}"
        raise data.refused("tokens", sentence=sentence)
    reading.flag("no_cache_details")
    reading.flag("one_class_of_tokens")
    return {unit: count}

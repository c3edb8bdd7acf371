"""An event of a request is read by the one reader of its shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.intake.conversion import Conversion
from billing.intake.event_request import TooManyEventsError
from billing.intake.meter_request import (
    MeterShape,
    is_openmeter,
    lago_texts,
    read_meter_event,
)
from billing.intake.payload_fields import PayloadError
from pricing_rules.document import DocumentError
from pricing_rules.usage.event import MAX_EVENT_BYTES
from tests.billing.intake.vectors_of import Vector, origin_with, vectors

Json = Any

OWN = ("id", "source", "time")
VECTORS = [one for one in vectors() if one.reader in ("openmeter", "lago")]


def openmeter(**fields: Json) -> Json:
    tokens = {"model": "m", "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {
        "specversion": "1.0",
        "type": "litellm_tokens",
        "id": "c1",
        "source": "proxy",
        "subject": "acme",
        "time": "2026-11-22T10:00:00Z",
        "data": tokens,
        **fields,
    }


def lago(**fields: Json) -> Json:
    tokens = {"model": "m", "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return {
        "transaction_id": "t1",
        "external_subscription_id": "acme",
        "code": "tokens",
        "timestamp": 1795341600,
        "properties": tokens,
        **fields,
    }


def read_alone(reader: str, *, payload: Json, origin: Json) -> Conversion | PayloadError:
    said = {"payload": payload, "origin": origin}
    try:
        return Vector(reader=reader, source="", said=said).read()
    except PayloadError as error:
        return error


def text(value: Json) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "event, is_one",
    [
        (openmeter(), True),
        (openmeter(type="prompt"), True),
        (openmeter(data=None), True),
        (openmeter(data={}), True),
        (openmeter(type="tokenworks.usage.v1"), False),
        (openmeter(type="tokenworks.usage.v2"), False),  # of ours, and refused as such
        (openmeter(data={"units": {"input_tokens": 1}}), False),  # ours under a wrong type
        (openmeter(type=""), False),
        (openmeter(type=None), False),
        ({"id": "x"}, False),
        ([openmeter()], False),
        (openmeter(data=7), False),
        (7, False),
    ],
)
def test_another_type_without_units_is_openmeters(event: Json, is_one: bool) -> None:
    assert is_openmeter(text(event)) == is_one


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"type":"\xff"}'])
def test_what_is_no_json_has_no_shape_of_another(body: bytes) -> None:
    assert not is_openmeter(body)
    assert lago_texts(body) is None


def test_an_object_with_event_or_events_is_lagos() -> None:
    assert lago_texts(text({"event": lago()})) == (text(lago()),)
    two = [lago(), lago(transaction_id="t2")]
    assert lago_texts(text({"events": two})) == tuple(map(text, two))
    assert lago_texts(text({"event": lago(), "events": two})) == (text(lago()),)
    others: list[Json] = [openmeter(), [lago()], lago(), {}]
    for other in others:
        assert lago_texts(text(other)) is None


@pytest.mark.parametrize(
    "events, said",
    [([], "is empty"), ({}, "must be a list"), ("x", "must be a list"), (None, "must be a list")],
)
def test_events_that_are_no_list_are_refused(events: Json, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        lago_texts(text({"events": events}))
    assert said in caught.value.sentence
    assert caught.value.path == ("events",)


def test_ten_thousand_events_are_taken_and_one_more_is_not() -> None:
    assert len(lago_texts(b'{"events":[%b]}' % b",".join([b"1"] * 10_000)) or ()) == 10_000
    with pytest.raises(TooManyEventsError, match="10,001 events"):
        lago_texts(b'{"events":[%b]}' % b",".join([b"1"] * 10_001))
    with pytest.raises(TooManyEventsError, match="too many events"):
        lago_texts(b'{"events":[%b]}' % b",".join([b"1"] * 640_002))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda one: one.name)
def test_an_event_becomes_what_its_reader_makes_of_it(vector: Vector) -> None:
    payload, origin = vector.said["payload"], vector.said["origin"]
    stated = {"received_at": "2026-11-22T10:05:00Z", **origin}
    events = payload.get("events", [payload.get("event")]) if vector.reader == "lago" else [payload]
    shape: MeterShape = "lago" if vector.reader == "lago" else "openmeter"
    for event in events:
        if not isinstance(event, dict):
            continue
        read = read_meter_event(text(event), shape=shape, origin=origin_with(**stated))
        alone = {"event": event} if shape == "lago" else event
        expected = read_alone(vector.reader, payload=alone, origin=stated)
        if isinstance(expected, PayloadError):
            assert isinstance(read.found, PayloadError)
            pointer = expected.pointer.removeprefix("/event")
            assert (read.found.pointer, read.found.sentence) == (pointer, expected.sentence)
            continue
        assert isinstance(read.found, Conversion)
        assert (read.found.events, read.found.flags) == (expected.events, expected.flags)
        (one,) = read.found.events
        assert (read.source, read.id) == (one.source, one.id)


@pytest.mark.parametrize(
    "event, shape, source, event_id",
    [
        (openmeter(source="s", id="i"), "openmeter", "s", "i"),
        (openmeter(source=1, id=None), "openmeter", "", ""),
        (openmeter(source="s" * 300, id="i"), "openmeter", "s" * 200, "i"),
        (lago(code="s", transaction_id="i"), "lago", "s", "i"),
        (7, "lago", "", ""),
    ],
)
def test_the_identity_of_a_refused_event_is_told_as_far_as_it_is_known(
    event: Json, shape: MeterShape, source: str, event_id: str
) -> None:
    read = read_meter_event(text(event), shape=shape, origin=origin_with(account=None))
    assert (read.source, read.id) == (source, event_id)


def test_pointers_lead_into_the_event_itself() -> None:
    origin = origin_with(**dict.fromkeys(OWN), account=None, service_tier="standard")
    wrong = lago(properties={"model": "m", "prompt_tokens": -1})
    read = read_meter_event(text(wrong), shape="lago", origin=origin)
    assert isinstance(read.found, PayloadError)
    assert read.found.pointer == "/properties/prompt_tokens"
    more = lago(properties={"model": "m", "prompt_tokens": 1, "cached": 3})
    read = read_meter_event(text(more), shape="lago", origin=origin)
    assert isinstance(read.found, Conversion)
    assert [one.pointer for one in read.found.unmapped] == ["/properties/cached"]


@pytest.mark.parametrize("shape, event", [("openmeter", openmeter()), ("lago", lago())])
@pytest.mark.parametrize("more", [-1, 0, 1])
def test_an_event_of_another_meter_has_64_kib_at_most(
    shape: MeterShape, event: Json, more: int
) -> None:
    padded = text(event)[:-1] + b" " * (MAX_EVENT_BYTES + more - len(text(event))) + b"}"
    assert len(padded) == MAX_EVENT_BYTES + more
    origin = origin_with(service_tier="standard", id=None, source=None)
    read = read_meter_event(padded, shape=shape, origin=origin)
    assert read.id in ("c1", "t1")  # also where it is refused
    if more > 0:
        assert isinstance(read.found, PayloadError)
        assert (read.found.pointer, read.found.sentence) == (
            "",
            "has 65,537 bytes, and an event at most 65,536; leave out attributes",
        )
    else:
        assert isinstance(read.found, Conversion), read.found

"""Every vector becomes exactly the events, or the refusal, that it names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.intake.payload_fields import PayloadError
from billing.intake.payload_readers import PAYLOAD_READERS
from tests.billing.intake.vectors_of import FILES, Vector, plain, vectors

VECTORS = list(vectors())
ENVELOPE = ("id", "source", "subject", "time")
DATA = {"region": "", "outcome": "completed", "dimensions": {}}


def named(vector: Vector) -> str:
    """The name of a vector, for the report of the tests."""
    return vector.name


def shown(event: dict[str, Any], *, said: dict[str, Any]) -> dict[str, Any]:
    """An event as a vector says it: of its envelope and its attributes, those that are named."""
    data = event["data"]
    found = {**data, **{key: event[key] for key in ENVELOPE if key in said}}
    found["attributes"] = {key: data["attributes"].get(key) for key in said.get("attributes", {})}
    return found


@pytest.mark.parametrize("vector", [one for one in VECTORS if "events" in one.said], ids=named)
def test_a_payload_becomes_these_events(vector: Vector) -> None:
    conversion = vector.read()
    said = vector.said["events"]
    events = plain(conversion)
    assert len(events) == len(said)
    for event, expected in zip(events, said, strict=True):
        assert shown(event, said=expected) == {**DATA, "attributes": {}, **expected}
    assert list(conversion.flags) == vector.said.get("flags", [])
    unmapped = [[one.pointer, one.value] for one in conversion.unmapped]
    assert unmapped == vector.said.get("unmapped", [])
    refused = [[one.pointer, one.sentence] for one in conversion.refused]
    assert refused == vector.said.get("refused_parts", [])


@pytest.mark.parametrize("vector", [one for one in VECTORS if "refused" in one.said], ids=named)
def test_a_payload_is_refused_with_its_place_and_reason(vector: Vector) -> None:
    with pytest.raises(PayloadError) as caught:
        vector.read()
    expected = vector.said["refused"]
    assert (caught.value.pointer, caught.value.sentence) == (
        expected["pointer"],
        expected["reason"],
    )


@pytest.mark.parametrize("vector", VECTORS, ids=named)
def test_bytes_are_read_as_the_object_is(vector: Vector) -> None:
    data = json.dumps(vector.said["payload"]).encode()
    said = {**vector.said, "payload": data}
    read = Vector(reader=vector.reader, source=vector.source, said=said)
    if "events" in said:
        found, expected = read.read(), vector.read()
        assert (found.events, found.unmapped) == (expected.events, expected.unmapped)
        assert [str(one) for one in found.refused] == [str(one) for one in expected.refused]
    else:
        with pytest.raises(PayloadError) as caught:
            read.read()
        assert caught.value.pointer == said["refused"]["pointer"]


def test_every_reader_has_vectors_of_events_and_of_refusals() -> None:
    for reader in PAYLOAD_READERS:
        found = [one.said for one in VECTORS if one.reader == reader]
        assert len(found) >= 7, reader
        assert sum("events" in one for one in found) >= 3, reader
        assert any("refused" in one for one in found), reader


def test_every_file_says_where_its_payloads_are_documented() -> None:
    assert len(FILES) == len(PAYLOAD_READERS)
    for path in FILES:
        assert json.loads(path.read_bytes())["source"]

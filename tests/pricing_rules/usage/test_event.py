"""The usage event: what it accepts, and each fault of its numbers and texts (86 to 100).

Invariant: every refusal names the field; none takes long, whatever stands in a number.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from pricing_rules.document import DocumentError, dump, load_json
from pricing_rules.period import parse_moment
from pricing_rules.usage.event import (
    EVENT_TYPE,
    MAX_EVENT_BYTES,
    UsageEvent,
    load_event,
    read_counts,
)

DATA: dict[str, Any] = {
    "model": "m",
    "service_tier": "standard",
    "units": {"input_tokens": 1000, "cache_read_tokens": 600, "audio_seconds": "2.5"},
}
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "req-1",
    "source": "gateway",
    "type": "tokenworks.usage.v1",
    "subject": "acme",
    "time": "2026-10-01T02:00:00+02:00",
    "data": DATA,
}


def read(value: Any) -> UsageEvent:
    return load_json(UsageEvent, json.dumps(value).encode(), name="event")


def with_data(changes: dict[str, Any]) -> dict[str, Any]:
    return {**EVENT, "data": {**DATA, **changes}}


def refused(value: Any) -> str:
    with pytest.raises(DocumentError) as error:
        read(value)
    return str(error.value)


def test_an_event_is_read_with_its_counts_at_scale() -> None:
    event = read(EVENT)
    assert event.type == EVENT_TYPE
    assert event.time == parse_moment("2026-10-01T00:00:00Z")
    assert event.data.units == {
        "input_tokens": 1000,
        "cache_read_tokens": 600,
        "audio_seconds": 2500,
    }
    assert (event.data.region, event.data.outcome, event.data.dimensions) == ("", "completed", {})


def test_the_size_of_a_request_is_its_input_unless_it_says_so() -> None:
    assert read(EVENT).data.size_tokens == 1000
    assert read(with_data({"request_tokens": 5})).data.size_tokens == 5
    assert read(with_data({"request_tokens": 0})).data.size_tokens == 0
    assert read(with_data({"units": {"output_tokens": 5}})).data.size_tokens == 0


def test_attributes_are_flat() -> None:
    kept = {"cluster": "a", "attempt": 2, "streamed": True}
    assert read(with_data({"attributes": kept})).data.attributes == kept
    others: tuple[Any, ...] = (None, [], {}, 1.5)
    for value in others:
        assert refused(with_data({"attributes": {"prompt": value}})) == (
            "event: the attribute prompt must be a string, a whole number or true/false"
        )


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type", "subject"])
def test_each_field_of_the_envelope_is_required(missing: str) -> None:
    value = {key: kept for key, kept in EVENT.items() if key != missing}
    assert refused(value) == f"event {missing}: missing field; add it"


def test_an_event_may_leave_its_moment_to_who_receives_it() -> None:
    value = {key: kept for key, kept in EVENT.items() if key != "time"}
    assert read(value).time is None
    assert read({**value, "time": None}).time is None
    assert refused({**value, "time": ""}).startswith("event time: must be a moment such as")
    assert "time" not in dump(read(value))
    assert dump(read(EVENT))["time"] == "2026-10-01T00:00:00Z"


@pytest.mark.parametrize("count", ["0", "-0", str(2**31), str(10**12)])
def test_counts_up_to_the_limit_are_read_exactly(count: str) -> None:
    line = json.dumps(with_data({"units": {"input_tokens": 77}})).replace("77", count)
    event = load_json(UsageEvent, line.encode(), name="event")
    assert event.data.units["input_tokens"] == int(count)


@pytest.mark.parametrize(
    "count",
    [
        *("-1", str(10**12 + 1), str(2**53 + 1), str(2**63 - 1), str(2**63), str(10**30)),
        *("9" * 4300, "9" * 5000, "true", "1.0", "1.5", '"5"', "null", "[]", "{}"),
        *("NaN", "Infinity", "-Infinity", "1e400", "1e999999999", "1e2000000", "0e999999999"),
        *("1e-999999999", "sNaN", "1_000", "0x10", "01", '"١٢"', '" 12 "'),
    ],
)
def test_anything_else_is_no_count(count: str) -> None:
    line = json.dumps(with_data({"units": {"input_tokens": 77}})).replace("77", count)
    with pytest.raises(DocumentError, match=r"^event"):
        load_json(UsageEvent, line.encode(), name="event")


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"units": []}, 'event data.units: must be an object such as {"input_tokens": 1200}'),
        (
            {"units": {"x": 1}},
            'event data.units: "x" is not a unit; tokenworks schema usage-event lists them',
        ),
        (
            {"units": {"input_tokens": 5, "cache_read_tokens": 6}},
            "event data.units: input_tokens (5) is less than what it contains "
            "(cache_read_tokens: 6 together)",
        ),
        ({"outcome": "ok"}, "event data.outcome: input should be 'completed', 'cancelled' or"),
        ({"prompt": "secret"}, "event data.prompt: unknown field; remove it or check its spelling"),
        ({"request_tokens": 10**12 + 1}, "event data.request_tokens: input should be less than"),
        ({"dimensions": {"": "x"}}, "event data.dimensions"),
        ({"region": "\u200b"}, "event data.region: must not hold the control or invisible"),
    ],
)
def test_data_that_cannot_be_meant_is_refused(changes: dict[str, Any], sentence: str) -> None:
    assert refused(with_data(changes)).startswith(sentence)


# Faults 49, 99 and 100: texts that are no id.
@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * 201,
        "a\x00b",
        "a\nb",
        "a\u202eb",
        "a\u200bb",
        "\ufeffa",
        " a",
        "a ",
        "a\x7f",
        5,
        None,
    ],
)
def test_what_is_no_name_is_refused(text: Any) -> None:
    assert refused({**EVENT, "id": text}).startswith("event id: ")


def test_ids_are_compared_byte_for_byte() -> None:
    # é as one character and as e with an accent are two ids, as are a and A.
    ids = ["caf\u00e9", "cafe\u0301", "a", "A", "\u0430"]
    assert len({read({**EVENT, "id": text}).id for text in ids}) == len(ids)


def test_a_key_that_stands_twice_is_refused() -> None:
    line = json.dumps(EVENT).replace('"id": "req-1"', '"id": "req-1", "id": "req-2"')
    with pytest.raises(DocumentError, match='the key "id" stands twice in one object; keep one'):
        load_json(UsageEvent, line.encode(), name="event")


def test_a_lone_surrogate_is_refused() -> None:
    assert (
        refused({**EVENT, "id": "\ud800"})
        == "event: holds a lone surrogate, which no text can hold"
    )


def test_counts_are_read_without_an_event_too() -> None:
    assert read_counts({"output_tokens": 3}) == {"output_tokens": 3}


@pytest.mark.parametrize("more", [-1, 0])
def test_an_event_of_up_to_64_kib_is_read(more: int) -> None:
    text = json.dumps(EVENT).encode()
    padded = text + b" " * (MAX_EVENT_BYTES + more - len(text))
    assert load_event(padded, name="event") == read(EVENT)


def test_a_longer_event_is_refused_before_it_is_parsed() -> None:
    assert MAX_EVENT_BYTES == 64 * 1024
    with pytest.raises(DocumentError) as error:
        load_event(b"{" * (MAX_EVENT_BYTES + 1), name="event")
    said = "event: has 65,537 bytes, and an event at most 65,536; leave out attributes"
    assert str(error.value) == said

"""How a payload is read: whole, as a stream, as bytes; and what is said of what cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.intake.payload_fields import PayloadError, Reading, read_chunks, shown
from tests.billing.intake.vectors_of import origin_with, read

CHUNKS: list[dict[str, Any]] = [
    {"model": "m", "choices": [{"index": 0, "finish_reason": None}], "usage": None},
    {"model": "m", "choices": [{"index": 0, "finish_reason": "stop"}], "usage": None},
    {"model": "m", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}},
]


def sent(*chunks: Any, end: bytes = b"data: [DONE]\n\n", line_end: bytes = b"\n") -> bytes:
    """A stream of server-sent events."""
    lines = b"".join(b"data: " + json.dumps(one).encode() + line_end * 2 for one in chunks)
    return lines + end


def refusal(payload: Any) -> PayloadError:
    with pytest.raises(PayloadError) as caught:
        read("openai-chat", payload=payload, service_tier="standard")
    return caught.value


@pytest.mark.parametrize(
    "data",
    [
        sent(*CHUNKS),
        sent(*CHUNKS, line_end=b"\r\n"),
        b": a comment\n\n" + sent(*CHUNKS),
        b"event: message\nid: 7\n" + sent(*CHUNKS),
        sent(*CHUNKS, end=b""),
    ],
    ids=["as sent", "with CRLF", "after a comment", "with names", "without the last line"],
)
def test_a_stream_is_read_as_it_was_received(data: bytes) -> None:
    found = read("openai-chat", payload=data, service_tier="standard")
    assert found == read("openai-chat", payload=CHUNKS, service_tier="standard")
    assert found.events[0].data.units == {"input_tokens": 10, "output_tokens": 5}


def test_half_a_line_at_the_end_of_a_cut_stream_is_left_out_and_flagged() -> None:
    usage = {**CHUNKS[0], "usage": {"prompt_tokens": 10, "completion_tokens": 3}}
    found = read(
        "openai-chat", payload=sent(usage, end=b'data: {"model": "m", "cho'), service_tier="s"
    )
    assert found.events[0].data.outcome == "cancelled"
    assert found.flags == ("half_line_left_out", "no_cache_details", "stream_cut")


def test_half_a_line_inside_of_a_stream_is_refused() -> None:
    data = sent(CHUNKS[0], end=b'data: {"model": "m", "cho\n\n') + sent(CHUNKS[2])
    assert refusal(data).sentence.startswith("line 3 of the stream:1:")


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "payload: the file is empty"),
        (b"{", "payload:1:2: this is not JSON"),
        (b'{"usage": {"prompt_tokens": 1, "prompt_tokens": 2}}', "stands twice in one object"),
        (b'{"usage": {"prompt_tokens": NaN}}', "NaN is not a number that JSON knows"),
        (b'{"usage": {"prompt_tokens": 1e400}}', "is out of range"),
        (b'{"usage": {"prompt_tokens": ' + b"9" * 4300 + b"}}", "4300 digits"),
        (b'\xef\xbb\xbf{"usage": {}}', "byte order mark"),
        (b'{"usage": "\\ud800"}', "lone surrogate"),
        (b'"usage"', 'must be an object or a list of a stream\'s chunks, not "usage"'),
        (b"data: [DONE]\n\n", "must be an object or a list of a stream's chunks, not a list"),
    ],
)
def test_bytes_that_are_no_payload_are_refused_with_one_sentence(
    data: bytes, sentence: str
) -> None:
    error = refusal(data)
    assert error.pointer == ""
    assert sentence in error.sentence


def test_numbers_spelled_as_floats_are_no_counts() -> None:
    for spelled in (b"1e3", b"5.0", b"1E2"):
        data = b'{"usage": {"prompt_tokens": ' + spelled + b', "completion_tokens": 1}}'
        assert refusal(data).pointer == "/usage/prompt_tokens"


def test_minus_zero_is_zero() -> None:
    data = b'{"model": "m", "usage": {"prompt_tokens": -0, "completion_tokens": 1}}'
    (event,) = read("openai-chat", payload=data, service_tier="standard").events
    assert event.data.units["input_tokens"] == 0


def test_a_pointer_escapes_what_a_name_may_hold() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "a/b~c": {"d/e": 3}}
    found = read("openai-chat", payload={"model": "m", "usage": usage}, service_tier="standard")
    assert found.unmapped[0].pointer == "/usage/a~1b~0c/d~1e"


def test_an_event_names_twenty_numbers_without_a_unit_and_how_many_more_there_are() -> None:
    for numbers, said in ((20, "/usage/x19=1"), (21, "/usage/x19=1 and 1 more")):
        usage = {"prompt_tokens": 1, "completion_tokens": 1, **{f"x{i}": 1 for i in range(numbers)}}
        found = read("openai-chat", payload={"model": "m", "usage": usage}, service_tier="s")
        assert len(found.unmapped) == numbers
        assert found.events[0].data.attributes["unmapped"].endswith(said)


@pytest.mark.parametrize(
    "value, text",
    [
        (10**30 - 1, str(10**30 - 1)),
        (10**30, "a number beyond all bounds"),
        pytest.param(-(10**5000), "a number beyond all bounds", id="5,000 digits"),
        ({}, "an object"),
        ([], "a list"),
        (None, "null"),
        (True, "true"),
        (0.5, "0.5"),
        ("x" * 100, '"' + "x" * 39),
        (b"bytes", "\"b'bytes'\""),
    ],
)
def test_a_sentence_shows_a_value_in_short(value: Any, text: str) -> None:
    assert shown(value) == text


def test_the_chunks_of_a_stream_have_their_place_as_a_pointer() -> None:
    chunks = read_chunks([{}, {}], reading=Reading())
    assert [one.pointer for one in chunks] == ["/0", "/1"]
    assert read_chunks({}, reading=Reading())[0].pointer == ""


@pytest.mark.parametrize("missing", ["account", "id", "source", "time"])
def test_what_nobody_says_is_named(missing: str) -> None:
    payload = {"model": "m", "service_tier": "default", "usage": CHUNKS[2]["usage"]}
    with pytest.raises(PayloadError, match=f"nobody says the {missing} of this request"):
        read("openai-chat", payload=payload, **{missing: None})


def test_the_id_of_a_part_is_bounded_as_every_id() -> None:
    iterations = [
        {"type": "message", "input_tokens": 1, "output_tokens": 1},
        {"type": "compaction", "input_tokens": 1, "output_tokens": 1},
    ]
    usage = {"input_tokens": 1, "output_tokens": 1, "iterations": iterations}
    message = {"model": "m", "usage": {**usage, "service_tier": "standard"}}
    # 198 characters and "#1" are 200, the longest id there is; 199 are one too many.
    events = read("anthropic-messages", payload=message, id="i" * 198).events
    assert [len(one.id) for one in events] == [198, 200]
    with pytest.raises(PayloadError, match="id: string should have at most 200 characters"):
        read("anthropic-messages", payload=message, id="i" * 199)


def test_the_dimensions_of_the_gateway_go_before_those_of_the_payload() -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "speed": "fast", "service_tier": "standard"}
    message = {"model": "m", "usage": usage}
    stated = {"speed": "fast", "team": "red"}
    (event,) = read("anthropic-messages", payload=message, dimensions={"team": "red"}).events
    assert event.data.dimensions == stated


def test_an_origin_is_a_strict_document() -> None:
    with pytest.raises(ValueError, match="unknown field"):
        origin_with(acount="a")


def test_a_lago_batch_has_at_most_a_hundred_events() -> None:
    one = {
        "transaction_id": "t",
        "external_subscription_id": "a",
        "code": "c",
        "timestamp": "1795341600",
        "properties": {"model": "m", "tokens": 1, "type": "input"},
    }
    assert len(read("lago", payload={"events": [one] * 100}, service_tier="s").events) == 100
    with pytest.raises(PayloadError, match="1 to 100 events"):
        read("lago", payload={"events": [one] * 101}, service_tier="s")


@pytest.mark.parametrize(
    "stated, text",
    [
        ("0", "1970-01-01T00:00:00Z"),
        ("1795341600.9999999", "2026-11-22T10:00:00.999999Z"),
        (1795341600.999999, "2026-11-22T10:00:00.999999Z"),
        ("1795341600.1234567", "2026-11-22T10:00:00.123456Z"),
        ("7258118399.999999", "2199-12-31T23:59:59.999999Z"),
    ],
)
def test_unix_seconds_are_cut_at_microseconds(stated: Any, text: str) -> None:
    event = {
        "transaction_id": "t",
        "external_subscription_id": "a",
        "code": "c",
        "timestamp": stated,
        "properties": {"model": "m", "tokens": 1, "type": "input"},
    }
    found = read("lago", payload={"event": event}, service_tier="s", time=None).events[0]
    assert found.model_dump(mode="json")["time"] == text


@pytest.mark.parametrize(
    "stated",
    [
        "7258118400",
        7258118400,
        1e300,
        pytest.param(10**5000, id="5,000 digits"),
        -1,
        "-1",
        "",
        [],
        {},
    ],
)
def test_a_moment_beyond_2199_or_no_moment_is_refused(stated: Any) -> None:
    event = {"timestamp": stated, "properties": {"model": "m", "tokens": 1, "type": "input"}}
    with pytest.raises(PayloadError) as caught:
        read("lago", payload={"event": event}, service_tier="s", time=None)
    assert caught.value.pointer == "/event/timestamp"

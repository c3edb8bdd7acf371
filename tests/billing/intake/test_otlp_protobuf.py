"""A span in protobuf is the event that it is in JSON, and no request in protobuf does harm."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from billing.intake.conversion import Conversion
from billing.intake.event_request import TooManyEventsError
from billing.intake.otel_spans import FINISH, MODELS, SERVICE_TIERS, TOTALS, UNIT_NAMES
from billing.intake.otlp_protobuf import (
    MAX_PARTS,
    UNCOUNTED_BYTES,
    check_parts,
    spans_in_protobuf,
    traces_response,
)
from billing.intake.otlp_traces import ACCOUNT, STATED, SUMS, SpanRead, TracesRead
from pricing_rules.document import DocumentError, dump
from tests.billing.intake.test_otlp_traces import (
    ENDED,
    SPAN,
    TOKENS,
    TRACE,
    attributes_with_lists,
    event,
    export,
    read,
    span,
)
from tests.billing.intake.vectors_of import Vector, vectors

Json = Any


def in_protobuf(body: bytes) -> bytes:
    """A request in JSON as one in protobuf, by the library's own reading of JSON; but for ids,
    which OTLP writes in hex and protobuf in base64.
    """
    document = json.loads(body)
    for group in document["resourceSpans"]:
        for scope in group["scopeSpans"]:
            for one in scope["spans"]:
                for key in ("traceId", "spanId"):
                    if key in one:
                        one[key] = base64.b64encode(bytes.fromhex(one[key])).decode()
    return bytes(ParseDict(document, ExportTraceServiceRequest()).SerializeToString())


def became(found: TracesRead) -> Json:
    return [_became(one) for one in found.spans], dict(found.kinds)


def _became(one: SpanRead) -> Json:
    if not isinstance(one.found, Conversion):
        return one.id, one.found.pointer, one.found.sentence
    found = one.found
    return one.id, [dump(event) for event in found.events], found.unmapped, found.flags


def check_same(body: bytes) -> TracesRead:
    """It is read the same in both encodings."""
    found = read(in_protobuf(body), encoding="protobuf")
    assert became(found) == became(read(body))
    return found


SPANS = [
    one
    for one in vectors()
    if one.reader == "otel-span"
    and "attributes" in one.said["payload"]
    and '"1_0"' not in json.dumps(one.said)  # which the library takes for 10
]


@pytest.mark.parametrize("vector", SPANS, ids=lambda one: one.name)
def test_every_span_of_the_vectors_is_read_the_same(vector: Vector) -> None:
    stated = vector.said["payload"]["attributes"]
    written = attributes_with_lists(stated) if isinstance(stated, dict) else stated
    own = {**span(), **vector.said["payload"], "traceId": TRACE, "spanId": SPAN}
    body = export({**own, "attributes": written})
    try:
        in_protobuf(body)
    except ParseError:  # a text that is a number, which protobuf cannot state
        assert "refused" in vector.said
        return
    check_same(body)


@pytest.mark.parametrize(
    "value",
    [
        {"stringValue": "7"},
        {"intValue": "7"},
        {"intValue": 7},
        {"intValue": "-9223372036854775808"},
        {"intValue": "9223372036854775807"},
        {"boolValue": True},
        {"doubleValue": 7},
        {"doubleValue": 7.0},
        {"doubleValue": "7"},
        {"doubleValue": "NaN"},
        {"doubleValue": "-Infinity"},
        {"doubleValue": 1.5e300},
        {"bytesValue": "AA=="},
        {"arrayValue": {"values": [{"intValue": "7"}]}},
        {"arrayValue": {}},
        {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "7"}}]}},
        {},
    ],
)
@pytest.mark.parametrize(
    "name", ["gen_ai.usage.output_tokens", "gen_ai.usage.dream_tokens", FINISH[0], MODELS[0]]
)
def test_a_value_of_any_kind_is_read_the_same(name: str, value: Json) -> None:
    one = span()
    one["attributes"].append({"key": name, "value": value})
    check_same(export(one))


@pytest.mark.parametrize(
    "fields",
    [
        {"traceId": "", "spanId": SPAN},
        {"traceId": "5b8e"},
        {"traceId": "0" * 32},
        {"spanId": "eee19b7ec3c1b174ff"},
        {"traceId": TRACE.upper(), "spanId": SPAN.upper()},
        {"endTimeUnixNano": "18446744073709551615"},
        {"endTimeUnixNano": int(ENDED)},
        {"status": {}},
        {"status": {"code": 1}},
        {"status": {"code": "STATUS_CODE_ERROR"}},
        {"attributes": [{"key": "gen_ai.usage.input_tokens"}]},
        {"attributes": [*span()["attributes"], {"value": {"intValue": "1"}}]},
        {"attributes": span()["attributes"] * 2},
        {"events": [{"name": "e"}], "links": [{"traceId": "AA=="}], "kind": 3, "flags": 1},
    ],
)
def test_a_span_of_any_kind_is_read_the_same(fields: Mapping[str, Json]) -> None:
    check_same(export(span(**fields)))


def test_an_end_that_is_not_stated_is_0_in_protobuf_and_refused_in_both() -> None:
    body = export(span(endTimeUnixNano="0"))
    (found,), (written,) = read(in_protobuf(body), encoding="protobuf").spans, read(body).spans
    assert _became(found)[1] == _became(written)[1] == "/endTimeUnixNano"


NAMES = [
    *(name for names in UNIT_NAMES.values() for name in names),
    *(*TOTALS, *MODELS, *SERVICE_TIERS, *FINISH, *SUMS, *STATED.values(), ACCOUNT),
    *("gen_ai.operation.name", "error.type", "gen_ai.usage.dream_tokens", "gen_ai.response.id"),
]
WORDS = ["m", "acme", "chat", "invoke_agent", "LLM", "stop", "priority", "eu", "", "10", "é\0"]


def values() -> st.SearchStrategy[Json]:
    plain = st.one_of(
        st.sampled_from(WORDS).map(lambda one: {"stringValue": one}),
        st.integers(0, 20).map(lambda one: {"intValue": str(one)}),
        st.integers(-(2**63), 2**63 - 1).map(lambda one: {"intValue": one}),
        st.floats(allow_nan=False, allow_infinity=False).map(lambda one: {"doubleValue": one}),
        st.integers(-(2**70), 2**70).map(lambda one: {"doubleValue": one}),
        st.booleans().map(lambda one: {"boolValue": one}),
        st.just({}),
    )
    lists = st.lists(plain, max_size=3).map(lambda found: {"arrayValue": {"values": found}})
    return plain | lists


def spans() -> st.SearchStrategy[Json]:
    some = st.lists(st.tuples(st.sampled_from(NAMES), values()), max_size=6)
    return st.fixed_dictionaries(
        {
            "traceId": st.sampled_from([TRACE, TRACE.upper(), "0" * 32, "5b"]),
            "spanId": st.binary(min_size=7, max_size=8).map(bytes.hex),
            "attributes": st.tuples(some, st.booleans()).map(
                lambda found: [
                    *(span()["attributes"] if found[1] else []),
                    *({"key": key, "value": value} for key, value in found[0]),
                ]
            ),
        },
        optional={
            "endTimeUnixNano": st.integers(1, 2**64 - 1).map(str) | st.just(ENDED),
            "status": st.sampled_from([{}, {"code": 1}, {"code": 2}, {"code": "STATUS_CODE_OK"}]),
        },
    )


@settings(max_examples=200)
@given(st.lists(spans(), max_size=3), st.booleans())
def test_whatever_a_span_states_it_is_read_the_same(found: list[Json], stated: bool) -> None:
    check_same(export(*found, resource=None if stated else {}))


@settings(max_examples=200)
@given(st.data())
def test_any_bytes_are_a_request_or_refused(data: st.DataObject) -> None:
    good = in_protobuf(export(span(), span({})))
    changed = st.tuples(st.integers(0, len(good)), st.binary(max_size=4)).map(
        lambda found: good[: found[0]] + found[1] + good[found[0] + 1 :]
    )
    body = data.draw(st.binary(max_size=200) | changed)
    try:
        ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        with pytest.raises(DocumentError, match="is no ExportTraceServiceRequest in protobuf"):
            read(body, encoding="protobuf")
    else:
        read(body, encoding="protobuf")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"\x0a",
        b"\x0a\x05",
        b"\x0a" + b"\xff" * 11,
        in_protobuf(export(span()))[:-1],
        b"\x0a\x06\x12\x04\x12\x02\x4a\x05",  # an attribute that ends after its request
        in_protobuf(export(span())).replace(b"gen_ai", b"\xff\xff\xff\xff\xff\xff", 1),
        b"\x0a\x08\x0a\x06\x0a\x04\x12\x02\x2a\x09",
    ],
)
@pytest.mark.parametrize("filling", [0, UNCOUNTED_BYTES], ids=["small", "large"])
def test_bytes_that_are_no_request_are_refused(body: bytes, filling: int) -> None:
    with pytest.raises(DocumentError, match="is no ExportTraceServiceRequest in protobuf"):
        list(spans_in_protobuf(part(99, b"x" * filling) + body))


def part(number: int, content: bytes) -> bytes:
    """A field of a message in protobuf: number and type, size, content."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    low, rest = number & 127, number >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def in_span(content: bytes) -> bytes:
    return part(1, part(2, part(2, content)))


def in_value(content: bytes) -> bytes:
    return in_span(part(9, part(2, content)))


def test_no_request_of_more_parts_than_can_be_is_taken_apart() -> None:
    # A group, a scope and a span hold the others: 3 + 639,997 are the bound.
    at = in_span(part(11, b"") * (MAX_PARTS - 3))
    assert read(at, encoding="protobuf").kinds["other"] == 1
    with pytest.raises(TooManyEventsError, match="holds too many spans; export fewer at once"):
        read(in_span(part(11, b"") * (MAX_PARTS - 2)), encoding="protobuf")


EMPTY_PARTS: Mapping[str, tuple[Callable[[bytes], bytes], int]] = {
    "groups": (lambda many: many, 1),
    "entities": (lambda many: part(1, part(1, many)), 3),
    "scopes": (lambda many: part(1, many), 2),
    "spans": (lambda many: part(1, part(2, many)), 2),
    "attributes": (in_span, 9),
    "events": (in_span, 11),
    "links": (in_span, 13),
    "values": (lambda many: in_value(part(5, many)), 1),
    "keys": (lambda many: in_value(part(6, many)), 1),
}


@pytest.mark.parametrize("name", EMPTY_PARTS)
def test_empty_parts_of_every_kind_are_counted(name: str) -> None:
    around, number = EMPTY_PARTS[name]
    body = around(part(number, b"") * 50)
    parts = parts_of(ExportTraceServiceRequest.FromString(body))
    assert parts >= 50
    check_parts(body, most=parts)
    with pytest.raises(TooManyEventsError):
        check_parts(body, most=parts - 1)


def parts_of(message: Json) -> int:
    """The messages inside of one, as the library has them."""
    found = 0
    for field, value in message.ListFields():
        if field.message_type is not None:
            each = value if field.is_repeated else [value]
            found += sum(1 + parts_of(one) for one in each)
    return found


@settings(max_examples=50)
@given(st.lists(spans(), max_size=3))
def test_as_many_parts_are_counted_as_the_library_makes(found: list[Json]) -> None:
    body = in_protobuf(export(*found))
    parts = parts_of(ExportTraceServiceRequest.FromString(body))
    check_parts(body, most=parts)
    with pytest.raises(TooManyEventsError):
        check_parts(body, most=parts - 1)


def test_what_is_not_known_or_no_part_is_passed_over_when_parts_are_counted() -> None:
    many = b"".join(
        (
            part(99, b"x" * UNCOUNTED_BYTES),
            b"\x98\x06\x01",  # 99, a number
            b"\x99\x06" + b"8" * 8,
            b"\x9d\x06" + b"4" * 4,
            b"\x9b\x06\x08\x01\x9c\x06",  # 99, a group of the old kind
        )
    )
    body = many + in_protobuf(export(span()))
    assert event(read(body, encoding="protobuf").spans[0])["id"] == f"{TRACE}-{SPAN}"


def test_deep_values_are_refused_and_not_followed() -> None:
    deep = b""
    for _ in range(5_000):
        deep = part(5, part(1, deep))
    with pytest.raises(DocumentError, match="is no ExportTraceServiceRequest"):
        list(spans_in_protobuf(in_value(deep)))


@pytest.mark.parametrize("body", [b"", part(1, b""), part(1, part(2, b"")), part(99, b"x")])
def test_a_request_without_spans_is_one_of_nothing(body: bytes) -> None:
    found = read(body, encoding="protobuf")
    assert (found.spans, set(found.kinds.values())) == ((), {0})


def test_an_answer_with_nothing_to_say_is_empty() -> None:
    assert traces_response(rejected_spans=0, error_message="") == b""
    said = ExportTraceServiceResponse.FromString(
        traces_response(rejected_spans=2, error_message="the first x")
    ).partial_success
    assert (said.rejected_spans, said.error_message) == (2, "the first x")
    warned = traces_response(rejected_spans=0, error_message="x")
    assert ExportTraceServiceResponse.FromString(warned).HasField("partial_success")


def test_the_texts_of_a_resource_are_those_of_its_spans() -> None:
    body = export(span({**TOKENS, ACCOUNT: 7}), resource={ACCOUNT: "acme", "n": 1})
    ((_, resource),) = spans_in_protobuf(in_protobuf(body))
    assert resource == {ACCOUNT: "acme", "n": ""}
    assert event(check_same(body).spans[0])["subject"] == "acme"

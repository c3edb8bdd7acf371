"""Of an export request the spans that counted tokens of their own become events, and no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.intake.conversion import Conversion, Origin
from billing.intake.event_request import TooManyEventsError
from billing.intake.otlp_traces import (
    ACCOUNT,
    INFERENCE,
    MAX_ATTRIBUTES,
    SUMS,
    Encoding,
    SpanRead,
    TracesRead,
    read_otlp_traces,
)
from billing.intake.payload_fields import PayloadError
from pricing_rules.document import DocumentError, dump
from tests.billing.intake.vectors_of import Vector, vectors

Json = Any

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
ENDED = "1793520000123456789"  # 2026-11-01T08:00:00.123456789Z
TOKENS = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 10}


def attributes(stated: Json) -> Json:
    kinds = {str: "stringValue", int: "intValue", bool: "boolValue"}
    return [
        {"key": key, "value": {kinds[type(one)]: str(one) if type(one) is int else one}}
        for key, one in stated.items()
    ]


def span(stated: Json = TOKENS, **fields: Json) -> Json:
    own = {"traceId": TRACE, "spanId": SPAN, "name": "chat m", "endTimeUnixNano": ENDED}
    return {**own, "attributes": attributes(stated), **fields}


def export(*spans: Json, resource: Json = None) -> bytes:
    found = {"attributes": attributes({ACCOUNT: "acme"} if resource is None else resource)}
    return json.dumps(
        {"resourceSpans": [{"resource": found, "scopeSpans": [{"spans": list(spans)}]}]}
    ).encode()


def read(body: bytes, *, encoding: Encoding = "json", **origin: Json) -> TracesRead:
    known = Origin(**{"service_tier": "standard", **origin})
    return read_otlp_traces(body, encoding=encoding, origin=known, account_attribute=ACCOUNT)


def event(found: SpanRead) -> Json:
    assert isinstance(found.found, Conversion), found.found
    (one,) = found.found.events
    return dump(one)


def refused(found: TracesRead) -> list[str]:
    return [str(one.found) for one in found.spans if isinstance(one.found, PayloadError)]


def test_a_span_with_usage_is_an_event_of_its_trace_and_its_end() -> None:
    (one,) = read(export(span())).spans
    found = event(one)
    assert (found["source"], found["id"], found["subject"]) == ("otlp", f"{TRACE}-{SPAN}", "acme")
    assert found["time"] == "2026-11-01T08:00:00.123456Z"  # cut, never rounded
    assert found["data"]["units"] == {"input_tokens": 10}
    assert (found["data"]["service_tier"], found["data"]["region"]) == ("standard", "")


def test_ids_are_the_same_in_capitals_and_times_as_numbers() -> None:
    capitals = span(traceId=TRACE.upper(), spanId=SPAN.upper(), endTimeUnixNano=int(ENDED))
    first, second = map(event, read(export(span(), capitals)).spans)
    assert first == second


def test_what_a_span_states_goes_before_its_resource_and_that_before_the_default() -> None:
    resource = {ACCOUNT: "acme", "tokenworks.region": "eu", "tokenworks.service_tier": "batch"}
    plain, own, served = read(
        export(
            span(),
            span({**TOKENS, ACCOUNT: "other", "tokenworks.region": "us"}),
            span({**TOKENS, "openai.response.service_tier": "priority"}),
            resource=resource,
        )
    ).spans
    said = [
        (found["subject"], found["data"]["region"], found["data"]["service_tier"])
        for found in map(event, (plain, own, served))
    ]
    # What served stands before what the span says of its origin.
    assert said == [("acme", "eu", "batch"), ("other", "us", "batch"), ("acme", "eu", "priority")]


def test_the_attribute_of_the_account_is_the_readers_choice() -> None:
    body = export(span({**TOKENS, "metadata.team": "t1", ACCOUNT: "x"}), resource={})
    found = read_otlp_traces(
        body,
        encoding="json",
        origin=Origin(service_tier="standard"),
        account_attribute="metadata.team",
    )
    assert event(found.spans[0])["subject"] == "t1"


def test_the_account_of_the_key_stands_and_no_span_contradicts_it() -> None:
    body = export(span(), span({**TOKENS, ACCOUNT: "acme"}), resource={})
    assert [event(one)["subject"] for one in read(body, account="acme").spans] == ["acme"] * 2
    assert refused(read(export(span()), account="other")) == [
        "/attributes: state an account that is not the one of this key; send it with another"
    ]


@pytest.mark.parametrize("stated", [{}, {ACCOUNT: ""}, {ACCOUNT: 7}, {"user.id": "acme"}])
def test_a_span_that_names_no_account_is_refused(stated: Json) -> None:
    (said,) = refused(read(export(span({**TOKENS, **stated}), resource={})))
    assert said.startswith("/attributes: state no tokenworks.account; set it on the span")


@pytest.mark.parametrize(
    "stated, kind",
    [
        ({}, "other"),
        ({"http.request.method": "GET"}, "other"),
        ({"gen_ai.usage.input_tokens": 1}, "usage"),
        ({"gen_ai.usage.prompt_tokens": 1}, "usage"),
        ({"llm.token_count.prompt": 1}, "usage"),
        ({"gen_ai.usage.input_tokens": 1, "gen_ai.operation.name": "acompletion"}, "usage"),
        ({"gen_ai.usage.input_tokens": 1, "openinference.span.kind": "LLM"}, "usage"),
        *(({"gen_ai.operation.name": one}, "uncounted") for one in INFERENCE),
        *(({"gen_ai.operation.name": one, "error.type": "x"}, "usage") for one in INFERENCE),
        *(
            ({"gen_ai.usage.input_tokens": 1, name: one}, "sum_of_others")
            for name, values in SUMS.items()
            for one in values
        ),
        ({"gen_ai.operation.name": "execute_tool"}, "other"),
        ({"gen_ai.operation.name": "execute_tool", "error.type": "x"}, "other"),
        ({"error.type": "x"}, "other"),
    ],
)
def test_every_span_has_one_kind(stated: Json, kind: str) -> None:
    found = read(export(span(stated)))
    assert {name: count for name, count in found.kinds.items() if count} == {kind: 1}
    assert len(found.spans) == (kind == "usage")


def test_an_agent_and_the_inference_below_it_are_counted_once() -> None:
    agent = span({**TOKENS, "gen_ai.operation.name": "invoke_agent"}, spanId="a" * 16)
    chat = span({**TOKENS, "gen_ai.operation.name": "chat"}, parentSpanId="a" * 16)
    found = read(export(agent, chat))
    assert [event(one)["id"] for one in found.spans] == [f"{TRACE}-{SPAN}"]


def test_an_inference_that_failed_is_an_event_without_counts() -> None:
    stated = {"gen_ai.request.model": "m", "gen_ai.operation.name": "chat"}
    (one,) = read(export(span(stated, status={"code": 2}))).spans
    found = event(one)
    assert (found["data"]["outcome"], found["data"]["units"]) == ("failed", {})
    assert read(export(span(stated, status={"code": 1}))).kinds["uncounted"] == 1


SPANS = [one for one in vectors() if one.reader == "otel-span" and "events" in one.said]


@pytest.mark.parametrize("vector", SPANS, ids=lambda one: one.name)
def test_a_span_counts_the_same_as_offline(vector: Vector) -> None:
    stated = vector.said["payload"]["attributes"]
    written = stated if isinstance(stated, list) else attributes_with_lists(stated)
    payload = {**span(), **vector.said["payload"], "traceId": TRACE, "spanId": SPAN}
    found = read(export({**payload, "attributes": written}))
    if found.kinds["other"]:  # a failed span that says nothing of inference
        assert vector.said["events"][0]["units"] == {}
        return
    own, (expected,) = event(found.spans[0])["data"], (dump(one) for one in vector.read().events)
    assert own["units"] == expected["data"]["units"]
    assert own["outcome"] == expected["data"]["outcome"]


def attributes_with_lists(stated: Json) -> Json:
    lists = {key: one for key, one in stated.items() if isinstance(one, list)}
    plain = {key: one for key, one in stated.items() if isinstance(one, str | int)}
    return attributes(plain) + [
        {"key": key, "value": {"arrayValue": {"values": [{"stringValue": word} for word in one]}}}
        for key, one in lists.items()
    ]


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"traceId": "5b8e"}, "/traceId: must be 32 hexadecimal digits"),
        ({"traceId": "0" * 32}, "/traceId: must be 32 hexadecimal digits that are not all 0"),
        ({"traceId": "W47/95gDgQPSabYzgT/GDA=="}, "/traceId: must be 32 hexadecimal digits"),
        ({"spanId": None}, "/spanId: must be 16 hexadecimal digits"),
        ({"spanId": "0" * 16}, "/spanId: must be 16 hexadecimal digits that are not all 0"),
        ({"endTimeUnixNano": None}, "/endTimeUnixNano: must be nanoseconds since 1970, not null"),
        ({"endTimeUnixNano": "0"}, "/endTimeUnixNano: must be nanoseconds since 1970"),
        ({"endTimeUnixNano": "1e18"}, "/endTimeUnixNano: must be nanoseconds"),
        ({"endTimeUnixNano": True}, "/endTimeUnixNano: must be nanoseconds"),
        ({"endTimeUnixNano": -1}, "/endTimeUnixNano: must be nanoseconds"),
        ({"endTimeUnixNano": "9" * 20}, "/endTimeUnixNano: must lie between 1970 and 2199"),
        ({"attributes": 7}, "is no span of OTLP"),
        ({"status": 7}, "is no span of OTLP"),
        ({"attributes": [{"key": "gen_ai.usage.x", "value": {"intValue": "1"}}]}, "/attributes: "),
    ],
)
def test_a_span_that_is_none_is_refused_alone(fields: Json, said: str) -> None:
    found = read(export(span(**fields), span(spanId="b" * 16)))
    (reason,) = refused(found)
    assert reason.startswith(said)
    assert event(found.spans[1])["id"] == f"{TRACE}-{'b' * 16}"
    assert found.kinds["usage"] == 2


@pytest.mark.parametrize("count", [MAX_ATTRIBUTES - 1, MAX_ATTRIBUTES, MAX_ATTRIBUTES + 1])
def test_a_span_has_10_000_attributes_at_most(count: int) -> None:
    many = span({**TOKENS, **{f"k{number}": True for number in range(count - len(TOKENS))}})
    found = read(export(many, span(spanId="b" * 16)))
    assert event(found.spans[1])["id"] == f"{TRACE}-{'b' * 16}"
    if count > 10_000:
        said = "/attributes: are 10,001, and a span has at most 10,000; leave some out"
        assert refused(found) == [said]
    else:
        assert event(found.spans[0])["data"]["units"] == {"input_tokens": 10}


def test_a_span_that_states_an_empty_text_has_that_of_its_resource() -> None:
    stated = {ACCOUNT: "acme", "tokenworks.region": "eu", "tokenworks.service_tier": "priority"}
    own = span({**TOKENS, ACCOUNT: "", "tokenworks.region": "us"})
    found = event(read(export(own, resource=stated)).spans[0])
    data = found["data"]
    assert (found["subject"], data["region"], data["service_tier"]) == ("acme", "us", "priority")


def test_a_key_that_stands_twice_in_a_span_is_refused() -> None:
    body = export(span()).replace(b'"name"', b'"spanId": "eee19b7ec3c1b175", "name"')
    (said,) = refused(read(body))
    assert 'the key "spanId" stands twice' in said


def test_an_account_that_is_no_name_is_refused() -> None:
    (said,) = refused(read(export(span({**TOKENS, ACCOUNT: " a"}))))
    assert said.startswith("/attributes: account: must not begin or end with a space")


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"resourceSpans":null}',
        b'{"resourceSpans":[]}',
        b'{"resourceSpans":[{}]}',
        b'{"resourceSpans":[{"resource":null,"scopeSpans":null}]}',
        b'{"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{"name":"x"}}]}]}',
        b'{"resourceSpans":[{"scopeSpans":[{"spans":null}]}],"more":1}',
    ],
)
def test_a_request_without_spans_is_one_of_nothing(body: bytes) -> None:
    found = read(body)
    assert found.spans == ()
    assert set(found.kinds.values()) == {0}


@pytest.mark.parametrize(
    "body, said",
    [
        (b"", "is not JSON"),
        (b"\x0a\x05", "is not JSON"),
        (b"[]", "is no ExportTraceServiceRequest"),
        (b'{"resourceSpans":7}', "is no ExportTraceServiceRequest"),
        (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{]}]}]}', "is not JSON"),
        (b'{"resourceSpans":' + b"[" * 100_000, ""),
        (b'{"resourceSpans":[{"resource":{"attributes":[{"key":"\xff"}]}}]}', "is not JSON"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read(body)
    assert said in caught.value.sentence


def test_ten_thousand_spans_with_usage_are_taken_and_one_more_is_not() -> None:
    other = span({})
    assert read(export(*[other] * 10_001)).kinds["other"] == 10_001  # they are not events
    wrong = b'{"attributes":7}'
    before, after = export(other).split(json.dumps(other).encode())
    assert len(read(before + b",".join([wrong] * 10_000) + after).spans) == 10_000
    with pytest.raises(TooManyEventsError, match="more than 10,000 spans with usage"):
        read(before + b",".join([wrong] * 10_001) + after)
    with pytest.raises(TooManyEventsError, match="too many spans"):
        read(before + b",".join([b"1"] * 640_010) + after)

"""OTLP in protobuf: an export request taken apart into its spans, and the answer to one.

Invariant: a span in protobuf is given as the JSON text that OTLP has for it, so that it is read by
the reader of JSON and becomes the same event. No request is taken apart before it is known that
its parts are few enough: an empty span has two bytes on the wire and more than eighty in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from billing.intake.event_request import MAX_EVENTS, TooManyEventsError
from pricing_rules.document import DocumentError

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

MAX_PARTS = 64 * MAX_EVENTS
"""Spans, attributes, values and other parts of one request."""

UNCOUNTED_BYTES = 2**20
"""The parts of a smaller request are not counted: there is no harm in as many as it can hold."""

_VARINT_BITS = 70

_encode = msgspec.json.Encoder().encode

_Inside = dict[int, Any]
"""The fields of a message that are messages, by number -> what is inside of them."""


def spans_in_protobuf(body: bytes) -> Iterator[tuple[bytes, Mapping[str, str]]]:
    """The JSON text of each span of an ``ExportTraceServiceRequest``, and the texts of its
    resource, "" where an attribute is no text. Of a span only what usage is read from.

    DocumentError where the body is no such request, TooManyEventsError where it has more than
    ``MAX_PARTS`` parts.
    """
    from google.protobuf.message import DecodeError
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    if len(body) > UNCOUNTED_BYTES:
        check_parts(body, most=MAX_PARTS)
    try:
        export = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        sentence = "is no ExportTraceServiceRequest in protobuf; send what its Content-Type says"
        raise DocumentError("body", sentence) from None
    for group in export.resource_spans:
        resource = {one.key: one.value.string_value for one in group.resource.attributes}
        for scope in group.scope_spans:
            for span in scope.spans:
                yield _json_span(span), resource


def traces_response(*, rejected_spans: int, error_message: str) -> bytes:
    """An ``ExportTraceServiceResponse``: empty where there is nothing to say."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTracePartialSuccess,
        ExportTraceServiceResponse,
    )

    response = ExportTraceServiceResponse()
    if rejected_spans or error_message:
        response.partial_success.CopyFrom(
            ExportTracePartialSuccess(rejected_spans=rejected_spans, error_message=error_message)
        )
    return bytes(response.SerializeToString())


def _json_span(span: Span) -> bytes:
    stated: dict[str, Any] = {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex(),
        "attributes": [_attribute(one) for one in span.attributes],
    }
    if span.end_time_unix_nano:
        stated["endTimeUnixNano"] = str(span.end_time_unix_nano)
    if span.HasField("status"):
        stated["status"] = {"code": span.status.code}
    return _encode(stated)


def _attribute(one: KeyValue) -> dict[str, Any]:
    return {"key": one.key, "value": _value(one.value) if one.HasField("value") else None}


def _value(value: AnyValue) -> dict[str, Any]:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return {"stringValue": value.string_value}
    if kind == "int_value":
        return {"intValue": str(value.int_value)}
    if kind == "double_value":
        return {"doubleValue": repr(value.double_value)}  # a text: JSON has no NaN
    if kind == "bool_value":
        return {"boolValue": value.bool_value}
    if kind == "array_value":
        return {"arrayValue": {"values": [_value(one) for one in value.array_value.values]}}
    return {}  # neither a map nor bytes are usage


@cache
def _inside() -> _Inside:
    """What is inside of a request, as the library knows it."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    known: dict[str, _Inside] = {}

    def of(message: Any) -> _Inside:
        if message.full_name not in known:
            known[message.full_name] = found = {}
            for one in message.fields:
                if one.message_type is not None:
                    found[one.number] = of(one.message_type)
        return known[message.full_name]

    return of(ExportTraceServiceRequest.DESCRIPTOR)


def check_parts(body: bytes, *, most: int) -> None:
    """Refuse a request of more than ``most`` parts, with TooManyEventsError.

    Where it is malformed the rest is not counted, and is not taken apart either.
    """
    inside = _inside()
    count = at = 0
    end = len(body)
    open_parts: list[tuple[_Inside, int]] = []
    try:
        while True:
            while at >= end:
                if not open_parts:
                    return
                inside, end = open_parts.pop()
            tag, at = _varint(body, at=at)
            size = {0: 0, 1: 8, 5: 4}.get(tag & 7, 0)
            if tag & 7 in (0, 2):
                number, at = _varint(body, at=at)
                size = number if tag & 7 else 0
            if tag & 7 == 2 and (part := inside.get(tag >> 3)) is not None:
                count += 1
                if count > most:
                    raise TooManyEventsError("body", "holds too many spans; export fewer at once")
                open_parts.append((inside, end))
                inside, end = part, at + size
            else:
                at += size
    except IndexError:
        return


def _varint(body: bytes, *, at: int) -> tuple[int, int]:
    """A number in base 128, and where it ends; IndexError where it does not."""
    value = 0
    for shift in range(0, _VARINT_BITS, 7):
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise IndexError

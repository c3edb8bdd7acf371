"""What is published of the routes that take in usage: events, and spans.

Invariant: every media type that such a route reads is there, with the shape of its body.
"""

from __future__ import annotations

from typing import Any

import msgspec

from billing.api.events import FORMS, EventsResult
from billing.api.otlp import ENCODINGS, TracesResult
from billing.intake.event_request import MAX_EVENTS
from billing.intake.meter_events import TOKEN_TYPES
from pricing_rules.usage.event import MAX_EVENT_BYTES, UsageEvent
from pricing_rules.usage.units import MAX_COUNT

_REF = "#/components/schemas/{name}"

_COUNT = {"type": "integer", "minimum": 0, "maximum": MAX_COUNT}
_COUNT_OR_NULL = {**_COUNT, "type": ["integer", "null"]}
_WORD = {"type": "string", "minLength": 1, "maxLength": 200}

_TOKENS: dict[str, Any] = {
    "description": "Tokens of a request, or of one class of them; nothing of what was cached",
    "anyOf": [
        {
            "type": "object",
            "required": ["model", "prompt_tokens"],
            "properties": {
                "model": _WORD,
                "prompt_tokens": _COUNT,
                "completion_tokens": _COUNT_OR_NULL,
                "total_tokens": _COUNT_OR_NULL,
            },
        },
        {
            "type": "object",
            "required": ["model", "tokens", "type"],
            "properties": {
                "model": _WORD,
                "tokens": {"anyOf": [_COUNT, {"type": "string", "pattern": "^(0|[1-9][0-9]*)$"}]},
                "type": {"enum": list(TOKEN_TYPES)},
            },
        },
    ],
}

_OPENMETER_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "A CloudEvent as OpenMeter takes it. subject is the account, unless the key "
    "belongs to one; without a time it happened when it was received.",
    "required": ["specversion", "id", "source", "type", "subject", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _WORD,
        "source": _WORD,
        "type": {"type": "string", "minLength": 1, "not": {"pattern": "^tokenworks\\."}},
        "subject": _WORD,
        "time": {"type": ["string", "null"], "format": "date-time"},
        "data": _TOKENS,
    },
}

_LAGO_EVENT: dict[str, Any] = {
    "type": "object",
    "description": "An event as Lago takes it. external_subscription_id is the account, unless "
    "the key belongs to one; without a timestamp it happened when it was received.",
    "required": ["transaction_id", "external_subscription_id", "code", "properties"],
    "properties": {
        "transaction_id": _WORD,
        "external_subscription_id": _WORD,
        "code": _WORD,
        "timestamp": {"type": ["string", "number", "null"], "description": "Unix seconds"},
        "properties": _TOKENS,
    },
}

_TRACES: dict[str, Any] = {
    "type": "object",
    "description": "ExportTraceServiceRequest of OTLP. A span with gen_ai.usage attributes "
    "is an event; its account is the attribute tokenworks.account of it or of its resource, unless "
    "the key belongs to one.",
    "properties": {"resourceSpans": {"type": ["array", "null"], "items": {"type": "object"}}},
}


def posted_schemas() -> dict[str, Any]:
    """The schemas that the operations below refer to, by name."""
    event = UsageEvent.model_json_schema(ref_template=_REF.replace("{name}", "{model}"))
    schemas: dict[str, Any] = event.pop("$defs", {})
    schemas |= {
        "UsageEvent": event,
        "OpenMeterEvent": _OPENMETER_EVENT,
        "LagoEvent": _LAGO_EVENT,
        "Traces": _TRACES,
    }
    _, results = msgspec.json.schema_components([EventsResult, TracesResult], ref_template=_REF)
    return schemas | results


def events_operation(path: str) -> dict[str, Any]:
    """The operation of a path of ``EVENT_PATHS``."""
    one = {"anyOf": [_ref("UsageEvent"), _ref("OpenMeterEvent")]}
    batch = {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_EVENTS}
    lago = {**batch, "items": _ref("LagoEvent")}
    schemas: dict[str, Any] = {
        "event": one,
        "batch": batch,
        "lines": {"type": "string", "description": "An event on each line"},
        "json": {
            "anyOf": [
                *one["anyOf"],
                batch,
                {
                    "type": "object",
                    "required": ["event"],
                    "properties": {"event": _ref("LagoEvent")},
                },
                {"type": "object", "required": ["events"], "properties": {"events": lago}},
            ]
        },
    }
    result = _json("EventsResult")
    return {
        "summary": "Store usage events",
        "description": "Each event has its own verdict. What is accepted is on disk before the "
        f"answer; the same events again are duplicates. One event has {MAX_EVENT_BYTES:,} bytes at "
        "most; attributes are not kept. The body may be gzip. Events in the shapes "
        "of OpenMeter and of Lago are taken, too, and say in flags what they lack.",
        "operationId": "post" + path.replace("/", "_"),
        "requestBody": {
            "required": True,
            "content": {
                media_type: {"schema": schemas[form]} for media_type, form in FORMS.items()
            },
        },
        "responses": {
            "200": {"description": "All events are stored, now or before", "content": result},
            "207": {"description": "Some events were refused", "content": result},
        },
    }


def staging_operation(path: str) -> dict[str, Any]:
    """The operation that stages events for a backfill: the bodies and verdicts of events."""
    backfill = {"name": "backfill", "in": "path", "required": True, "schema": _WORD}
    result = _json("EventsResult")
    return {
        **events_operation(path),
        "summary": "Stage events for a backfill",
        "description": "Each event has its own verdict: accepted is staged. It must be of the "
        "account and in the range of the backfill, which must be open, and say when it happened. "
        "Its id may be that of a stored event with the same content, which is then kept.",
        "operationId": "post_backfill_events",
        "parameters": [backfill],
        "responses": {
            "200": {"description": "All events are staged, now or before", "content": result},
            "207": {"description": "Some events were refused", "content": result},
            "404": {},
        },
    }


def traces_operation() -> dict[str, Any]:
    """The operation that takes spans."""
    return {
        "summary": "Store the usage in spans",
        "description": "OTLP/HTTP in JSON or protobuf, answered in the same. Spans without usage, "
        "and those of agents that repeat what the spans below them count, are ignored; "
        "partialSuccess says what was rejected. The body may be gzip.",
        "operationId": "post_traces",
        "requestBody": {"required": True, "content": _encoded("Traces")},
        "responses": {
            "200": {
                "description": "What was not rejected is stored",
                "content": _encoded("TracesResult"),
            }
        },
    }


def _encoded(name: str) -> dict[str, Any]:
    """A message of OTLP, by media type."""
    schemas = {"json": _ref(name), "protobuf": {"type": "string", "format": "binary"}}
    return {media_type: {"schema": schemas[encoding]} for media_type, encoding in ENCODINGS.items()}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REF.format(name=name)}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}

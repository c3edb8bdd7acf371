"""The OpenAPI 3.1 document of the service.

Invariant: each operation says which keys it lets in, as the table of scopes does, and which
problems it may answer with.
"""

from __future__ import annotations

import importlib.metadata
import json
from typing import Any

import msgspec
from fastapi import FastAPI

from billing.api.access import SCOPES
from billing.api.events import FORMS, EventsResult
from billing.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA
from pricing_rules.usage.event import UsageEvent

_REF = "#/components/schemas/{name}"

_PROBLEMS = {
    "400": "The request, or every event in it, is refused",
    "401": "No key that is in force",
    "403": "The key may not do this",
    "404": "Nothing here that the key may see",
    "405": "Another method",
    "408": "The body did not arrive in time",
    "409": "Every event conflicts with one that is stored",
    "413": "The body, or the number of its events, is too large",
    "415": "Another media type or encoding",
    "429": "Too many requests with this key; see Retry-After",
    "500": "A fault of ours",
    "503": "Nothing was stored and it may succeed later; see Retry-After",
}
_OF_ALL = ("405", "500", "503")
_OF_KEYS = ("401", "403", "429")
_OF_EVENTS = ("400", "408", "409", "413", "415")


def openapi_document(app: FastAPI) -> bytes:
    """The document as JSON: what FastAPI knows of its routes, and the others."""
    app.openapi_version = "3.1.0"
    app.version = importlib.metadata.version("tokenworks")
    document = app.openapi()
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM_SCHEMA
    schemas |= _event_schemas()
    for path in ("/v1/events", "/api/v1/events"):
        document["paths"][path] = {"post": _post_events(path)}
    document["paths"]["/openapi.json"] = {"get": _get_openapi()}
    document["paths"]["/metrics"]["get"]["responses"]["200"]["content"] = {
        "text/plain": {"schema": {"type": "string"}}
    }
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key: tw_..."}
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            _complete(operation, method=method.upper(), path=path)
    return json.dumps(document, ensure_ascii=False).encode()


def _complete(operation: dict[str, Any], *, method: str, path: str) -> None:
    """Scopes and problems of an operation."""
    scopes = SCOPES[method, path]
    operation["x-scopes"] = list(scopes)
    operation["security"] = [{"key": []}] if scopes else []
    responses = operation["responses"]
    has_input = responses.pop("422", None) is not None
    codes = [*_OF_ALL, *(_OF_KEYS if scopes else ())]
    codes += _OF_EVENTS if path.endswith("/events") else ()
    codes += ("400", "404") if has_input else ()
    for code in sorted(codes):
        responses[code] = {
            "description": _PROBLEMS[code],
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
        }


def _event_schemas() -> dict[str, Any]:
    event = UsageEvent.model_json_schema(ref_template=_REF.replace("{name}", "{model}"))
    schemas: dict[str, Any] = event.pop("$defs", {})
    schemas["UsageEvent"] = event
    _, results = msgspec.json.schema_components([EventsResult], ref_template=_REF)
    return schemas | results


def _post_events(path: str) -> dict[str, Any]:
    one = {"$ref": _REF.format(name="UsageEvent")}
    content: dict[str, Any] = {}
    for media_type, form in FORMS.items():
        schema: dict[str, Any] = one
        if form == "batch":
            schema = {"type": "array", "items": one, "minItems": 1, "maxItems": 10_000}
        if form == "lines":
            schema = {"type": "string", "description": "A UsageEvent on each line"}
        content[media_type] = {"schema": schema}
    result = {"application/json": {"schema": {"$ref": _REF.format(name="EventsResult")}}}
    return {
        "summary": "Store usage events",
        "description": "Each event has its own verdict. What is accepted is on disk before the "
        "answer; the same events again are duplicates. The body may be gzip.",
        "operationId": "post_events" + path.removesuffix("/v1/events").replace("/", "_"),
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "All events are stored, now or before", "content": result},
            "207": {"description": "Some events were refused", "content": result},
        },
    }


def _get_openapi() -> dict[str, Any]:
    schema = {"application/json": {"schema": {"type": "object"}}}
    return {
        "summary": "This document",
        "operationId": "get_openapi",
        "responses": {"200": {"description": "OpenAPI 3.1", "content": schema}},
    }

"""The OpenAPI 3.1 document of the service.

Invariant: each operation says which keys it lets in, as the table of scopes does, and which
problems it may answer with.
"""

from __future__ import annotations

import importlib.metadata
import json
from typing import Any

from fastapi import FastAPI

from billing.api.access import SCOPES
from billing.api.backfills import STAGING
from billing.api.commands import FORM
from billing.api.events import EVENT_PATHS
from billing.api.otlp import PATH as TRACES_PATH
from billing.api.posted import (
    events_operation,
    posted_schemas,
    staging_operation,
    traces_operation,
)
from billing.api.problems import MEDIA_TYPE, PROBLEM_SCHEMA
from billing.api.webhook_messages import webhook_documents

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
    "422": "The idempotency key was used for another request, or a total would be beyond 64 bits",
    "429": "Too many requests with this key; see Retry-After",
    "500": "A fault of ours",
    "503": "Nothing was stored and it may succeed later; see Retry-After",
}
_OF_ALL = ("405", "500", "503")
_OF_KEYS = ("401", "403", "429")
_OF_EVENTS = ("400", "408", "409", "413", "415", "422")
_OF_COMMANDS = ("400", "408", "413", "415", "422")

_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "With the same key and the same request the answer is the same and nothing is "
    "done twice, for ever; with another request it is 422. What was refused keeps no answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}
_REPLAYED = {
    "Idempotent-Replayed": {
        "description": "That the answer was given before, and nothing was done now",
        "schema": {"type": "string", "const": "true"},
    }
}


def openapi_document(app: FastAPI) -> bytes:
    """The document as JSON: what FastAPI knows of its routes, and the others."""
    app.openapi_version = "3.1.0"
    app.version = importlib.metadata.version("tokenworks")
    document = app.openapi()
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = PROBLEM_SCHEMA
    schemas |= posted_schemas()
    document["webhooks"], message_schemas = webhook_documents()
    schemas |= message_schemas
    for path in EVENT_PATHS:
        document["paths"].setdefault(path, {})["post"] = events_operation(path)
    document["paths"][TRACES_PATH] = {"post": traces_operation()}
    document["paths"][STAGING] = {"post": staging_operation(STAGING)}
    document["paths"]["/openapi.json"] = {"get": _get_openapi()}
    document["paths"]["/metrics"]["get"]["responses"]["200"]["content"] = {
        "text/plain": {"schema": {"type": "string"}}
    }
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "An API key: tw_..."}
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if FORM in operation:
                # What is published already stays: on its way here, a form loses defaults of null.
                for name, schema in _command(operation).items():
                    schemas.setdefault(name, schema)
            _complete(operation, method=method.upper(), path=path)
    return json.dumps(document, ensure_ascii=False).encode()


def _command(operation: dict[str, Any]) -> dict[str, Any]:
    """Complete a command: its body and its idempotency key. Gives the schemas of the body."""
    form: dict[str, Any] = operation.pop(FORM)
    schemas: dict[str, Any] = form.pop("$defs", {})
    content = {"application/json": {"schema": {"$ref": _REF.format(name=form["title"])}}}
    operation["requestBody"] = {"required": True, "content": content}
    operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
    responses = operation["responses"]
    for code in [code for code in responses if code.startswith("2")]:
        responses[code]["headers"] = _REPLAYED
    if responses.pop("422", None) is not None:
        responses["404"] = {}
    responses |= {code: {} for code in _OF_COMMANDS}
    return {**schemas, form["title"]: form}


def _complete(operation: dict[str, Any], *, method: str, path: str) -> None:
    """Scopes and problems of an operation; those that it names itself are described, too."""
    scopes = SCOPES[method, path]
    operation["x-scopes"] = list(scopes)
    operation["security"] = [{"key": []}] if scopes else []
    responses = operation["responses"]
    has_input = "requestBody" not in operation and responses.pop("422", None) is not None
    codes = {*_OF_ALL, *(_OF_KEYS if scopes else ()), *(set(responses) & set(_PROBLEMS))}
    takes_events = method == "POST" and path in (*EVENT_PATHS, TRACES_PATH, STAGING)
    codes |= {*_OF_EVENTS} if takes_events else set()
    codes |= {"400", "404"} if has_input else set()
    for code in sorted(codes):
        responses[code] = {
            "description": _PROBLEMS[code],
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}},
        }


def _get_openapi() -> dict[str, Any]:
    schema = {"application/json": {"schema": {"type": "object"}}}
    return {
        "summary": "This document",
        "operationId": "get_openapi",
        "responses": {"200": {"description": "OpenAPI 3.1", "content": schema}},
    }

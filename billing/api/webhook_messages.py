"""What the OpenAPI document says of the messages that we send.

Invariant: each kind of message is published with the schema that it is held to when it is
announced.
"""

from __future__ import annotations

from typing import Any

from billing.webhooks.messages import KINDS
from pricing_rules.document import Document

_REF = "#/components/schemas/{model}"

_HEADERS = {
    "webhook-id": "The id of the message, the same at each attempt; take each once",
    "webhook-timestamp": "When this attempt was made: seconds since 1970 UTC",
    "webhook-signature": "v1 signatures (Standard Webhooks), separated by spaces: one for each "
    "secret that signs now",
}


def webhook_documents() -> tuple[dict[str, Any], dict[str, Any]]:
    """The ``webhooks`` of the document by kind, and the schemas that they refer to."""
    webhooks: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for kind, form in KINDS.items():
        schema = form.model_json_schema(ref_template=_REF, mode="serialization")
        schemas |= schema.pop("$defs", {})
        schemas[form.__name__] = schema
        webhooks[kind] = {"post": _message(kind, form=form)}
    return webhooks, schemas


def _message(kind: str, *, form: type[Document]) -> dict[str, Any]:
    body = {
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"const": kind},
            "timestamp": {
                "type": "string",
                "format": "date-time",
                "description": "When it was stored; not when it is sent",
            },
            "data": {"$ref": _REF.format(model=form.__name__)},
        },
    }
    return {
        "summary": (form.__doc__ or "").split(":")[0].split(".")[0].strip(),
        "operationId": f"receive_{kind.replace('.', '_')}",
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": said,
                "schema": {"type": "string"},
            }
            for name, said in _HEADERS.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "2XX": {"description": "Taken. The body of the answer is not looked at"},
            "410": {"description": "No more messages are wanted: the endpoint is retired"},
            "default": {"description": "Not taken: it is sent again later, in order"},
        },
    }

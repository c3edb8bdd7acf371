"""The readers of payloads, by the name that a user gives to where one comes from.

Invariant: each takes a payload and what the gateway knows of its origin, and gives events or
raises ``PayloadError``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from billing.intake.anthropic_messages import read_anthropic_messages
from billing.intake.bedrock_converse import read_bedrock_converse
from billing.intake.conversion import Conversion, Origin
from billing.intake.gemini import read_gemini
from billing.intake.litellm_calls import read_litellm_call
from billing.intake.meter_events import read_lago_events, read_openmeter_event
from billing.intake.openai_chat import read_open_server, read_openai_chat
from billing.intake.openai_responses import read_openai_responses
from billing.intake.otel_spans import read_otel_span
from billing.intake.payload_fields import Payload


class PayloadReader(Protocol):
    """How every reader is called."""

    def __call__(self, payload: Payload, /, *, origin: Origin) -> Conversion: ...


PAYLOAD_READERS: Mapping[str, PayloadReader] = {
    "openai-chat": read_openai_chat,
    "openai-responses": read_openai_responses,
    "anthropic-messages": read_anthropic_messages,
    "gemini": read_gemini,
    "bedrock-converse": read_bedrock_converse,
    "vllm": read_open_server,
    "sglang": read_open_server,
    "otel-span": read_otel_span,
    "openmeter": read_openmeter_event,
    "lago": read_lago_events,
    "litellm": read_litellm_call,
}
"""Where a payload comes from -> its reader."""

"""Spans of OpenTelemetry with the GenAI conventions, under their present and their older names.

Containment: ``gen_ai.usage.input_tokens`` includes what was cached. Spans are sampled and lossy,
so their events are flagged ``sampled_source``: they are never the only source of a bill.
Invariant: two names for one number state the same, or the span is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from billing.intake.conversion import Conversion, Origin, Served, check_total, converted
from billing.intake.payload_fields import (
    Fields,
    Payload,
    PayloadError,
    Reading,
    Unmapped,
    one_object,
    shown,
)
from billing.intake.served_words import OPENAI_FINISH, outcome_of
from pricing_rules.document import DocumentError, JsonValue, read_json
from pricing_rules.usage.event import Outcome

UNIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "input_tokens": (
        "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
        "llm.token_count.completion", "llm.usage.completion_tokens",
    ),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens", "llm.token_count.prompt_details.cache_write",
    ),
    "output_reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "input_audio_tokens": (
        "gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio",
    ),
    "output_audio_tokens": (
        "gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio",
    ),
    **{
        f"{direction}_{modality}_tokens": (f"gen_ai.usage.{modality}.{direction}_tokens",)
        for direction in ("input", "output")
        for modality in ("image", "video")
    },
    **{
        f"cache_{modality}_read_tokens": (f"gen_ai.usage.{modality}.cache_read.input_tokens",)
        for modality in ("audio", "image", "video")
    },
}  # fmt: skip
"""Unit -> the names of its span attribute, the present one first."""

TOTALS = ("llm.token_count.total", "llm.usage.total_tokens", "gen_ai.usage.total_tokens")
MODELS = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name")
SERVICE_TIERS = ("openai.response.service_tier", "gen_ai.openai.response.service_tier")
ERROR_STATUS = (2, "STATUS_CODE_ERROR", "ERROR")
"""How the status of a span says that it ended in an error."""

FINISH = ("gen_ai.response.finish_reasons", "llm.response.finish_reason")

_USAGE = ("gen_ai.usage.", "llm.token_count.", "llm.usage.")
_INT64 = re.compile(r"-?[0-9]{1,19}\Z")


def read_otel_span(payload: Payload, *, origin: Origin) -> Conversion:
    """The event of one span, as OTLP JSON (a list of attributes) or with an object of attributes.

    ``gen_ai.request.model`` is taken where no response model is stated. A span with an error
    status or an ``error.type`` is failed. The gateway gives the identity; a span's own ids are
    attributes.
    """
    reading = Reading(flags=["sampled_source"])
    span = one_object(payload, reading=reading)
    found = _attributes(span)
    units = {
        unit: count
        for unit, names in UNIT_NAMES.items()
        if (count := _count(found, names=names)) is not None
    }
    failed = "error.type" in found.value or _has_error_status(span)
    if "input_tokens" not in units and "output_tokens" not in units and not failed:
        sentence = "no gen_ai.usage attribute is there, so nobody knows what was served"
        raise PayloadError(found.pointer, sentence=sentence)
    parts = {name: units.get(name, 0) for name in ("input_tokens", "output_tokens")}
    for name in TOTALS:
        check_total(found, key=name, parts=parts)
    reading.unmapped.extend(_unmapped(found))
    words = _words(found)
    outcome = outcome_of(words, table={**OPENAI_FINISH, **_OTHER_FINISH}, reading=reading)
    served = Served(
        units=units,
        outcome="failed" if failed else outcome or "completed",
        usage_pointer=found.pointer,
        model=_first_text(found, names=MODELS),
        service_tier=_first_text(found, names=SERVICE_TIERS),
        attributes={
            "response_id": found.text("gen_ai.response.id"),
            "trace_id": span.text("traceId"),
            "span_id": span.text("spanId"),
            "finish_reason": " ".join(words),
        },
    )
    return converted(origin, served=(served,), reading=reading)


_OTHER_FINISH: Mapping[str, Outcome] = {
    "end_turn": "completed", "max_tokens": "completed", "stop_sequence": "completed",
    "tool_use": "completed", "tool_call": "completed", "refusal": "cancelled",
}  # fmt: skip


def _attributes(span: Fields) -> Fields:
    """The span's attributes by name; OTLP writes 64-bit numbers as texts."""
    stated = span.get("attributes")
    pointer = span.at("attributes")
    if isinstance(stated, Mapping):
        return Fields(stated, pointer=pointer)
    found: dict[str, JsonValue] = {}
    for one in span.each("attributes"):
        key, value = one.text("key"), one.inside("value")
        if key is None or value is None:
            raise PayloadError(one.pointer, sentence="must have a key and a value")
        if key in found:
            raise PayloadError(one.pointer, sentence=f'states "{key:.60}" a second time')
        found[key] = _value(value)
    return Fields(found, pointer=pointer)


def _value(value: Fields) -> JsonValue:
    whole = value.get("intValue")
    if whole is not None:
        if isinstance(whole, str) and _INT64.match(whole):
            return int(whole)
        return whole
    if (items := value.inside("arrayValue")) is not None:
        return [_value(one) for one in items.each("values")]
    for key in ("stringValue", "boolValue"):
        if value.value.get(key) is not None:
            return value.get(key)
    return _double(value.get("doubleValue"))


def _double(stated: JsonValue) -> JsonValue:
    """A number of 64 bits with a fraction, which JSON may write without one, or as a text."""
    if isinstance(stated, str | int) and not isinstance(stated, bool):
        try:
            return float(stated)
        except (ValueError, OverflowError):
            return stated
    return stated


def _count(found: Fields, *, names: tuple[str, ...]) -> int | None:
    stated = {name: count for name in names if (count := found.count(name)) is not None}
    if len(set(stated.values())) > 1:
        first, second = [f"{name} {count}" for name, count in stated.items()][:2]
        sentence = f"{first} and {second} are two numbers for one thing; send one"
        raise PayloadError(found.pointer, sentence=sentence)
    return next(iter(stated.values()), None)


def _first_text(found: Fields, *, names: tuple[str, ...]) -> str | None:
    return next((text for name in names if (text := found.text(name)) is not None), None)


def _words(found: Fields) -> tuple[str, ...]:
    for name in FINISH:
        stated = _listed(found.get(name))
        words = stated if isinstance(stated, list | tuple) else [stated]
        if stated is not None and not all(isinstance(word, str) for word in words):
            raise found.refused(name, sentence=f"must be texts, not {shown(stated)}")
        if stated is not None:
            return tuple(words)
    return ()


def _listed(stated: JsonValue) -> JsonValue:
    """A list that stands in a text, as LiteLLM writes it."""
    if not isinstance(stated, str) or not stated.startswith("["):
        return stated
    try:
        return read_json(stated.encode(), name="")
    except (DocumentError, UnicodeEncodeError):
        return stated


def is_usage(name: str) -> bool:
    """Whether an attribute of this name counts what was served."""
    return name.startswith(_USAGE)


def _has_error_status(span: Fields) -> bool:
    status = span.inside("status")
    return status is not None and status.get("code") in ERROR_STATUS


def _unmapped(found: Fields) -> Iterator[Unmapped]:
    """Numbers of usage that no unit counts; a span's other attributes are not usage."""
    text_parts = {
        found.at(f"gen_ai.usage.text.{rest}")
        for rest in ("input_tokens", "output_tokens", "cache_read.input_tokens")
    }
    prefixes = tuple(found.at(prefix) for prefix in _USAGE)
    for one in found.unread():
        if one.pointer.startswith(prefixes) and one.pointer not in text_parts:
            yield one

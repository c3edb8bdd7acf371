"""Answers of Gemini and Vertex AI (``generateContent``), whole or as a stream, and of its Live
API.

Containment: cached tokens are part of ``promptTokenCount``; thoughts stand beside
``candidatesTokenCount``, and what tools gave back beside the prompt. Invariant: the input of an
event is prompt + tool use, its output candidates + thoughts, and together they are the stated
total.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from billing.intake.conversion import (
    Conversion,
    Origin,
    Served,
    check_total,
    converted,
    failed_without_usage,
    put,
)
from billing.intake.openai_chat import last_text
from billing.intake.payload_fields import (
    Fields,
    Payload,
    PayloadError,
    Reading,
    last_usage,
    read_chunks,
)
from billing.intake.served_words import CUT, GEMINI_FINISH, outcome_of
from pricing_rules.usage.event import Outcome

MODALITIES: Mapping[str, str] = {
    "AUDIO": "audio",
    "IMAGE": "image",
    "VIDEO": "video",
    "DOCUMENT": "image",
}
"""Modalities that have units of their own; pages of a document are seen as images. Text is what
no other modality claims.
"""

_PLAIN = ("TEXT", "MODALITY_UNSPECIFIED")


def read_gemini(payload: Payload, *, origin: Origin) -> Conversion:
    """The event of an answer, or of the chunks of a stream, whose counts are cumulative.

    The service tier is that of ``trafficType``, else ``serviceTier``: provisioned throughput is
    the service tier ``provisioned_throughput``, which a price book has at its own rate. A prompt
    that was blocked is failed; an answer that a filter ended, or a stream without an end, is
    cancelled.
    """
    reading = Reading()
    chunks = read_chunks(payload, reading=reading)
    model = last_text(chunks, key="modelVersion")
    usage = last_usage(chunks, key="usageMetadata", total="totalTokenCount")
    if usage is None:
        if any(chunk.get("error") for chunk in chunks):
            served = failed_without_usage(chunks, model=model, word="error")
            return converted(origin, served=(served,), reading=reading)
        sentence = "no usage is reported, so nobody knows what was served"
        raise PayloadError(f"{chunks[-1].pointer}/usageMetadata", sentence=sentence)
    units = _units(usage, reading=reading)
    words = tuple(
        word
        for chunk in chunks
        for one in chunk.each("candidates")
        if (word := one.text("finishReason")) is not None
    )
    reading.unmapped.extend(usage.unread())
    served = Served(
        units=units,
        outcome=_outcome(chunks, words=words, reading=reading),
        usage_pointer=usage.pointer,
        model=model,
        service_tier=_service_tier(usage),
        attributes={
            "response_id": last_text(chunks, key="responseId"),
            "finish_reason": " ".join(dict.fromkeys(words)),
        },
    )
    return converted(origin, served=(served,), reading=reading)


def _units(usage: Fields, *, reading: Reading) -> dict[str, int]:
    prompt = usage.count("promptTokenCount") or 0
    tool_use = usage.count("toolUsePromptTokenCount")
    cached = usage.count("cachedContentTokenCount")
    answered = usage.count("candidatesTokenCount")
    live = usage.count("responseTokenCount")
    if answered is not None and live is not None:
        sentence = "stands beside candidatesTokenCount, and an answer has one of them"
        raise usage.refused("responseTokenCount", sentence=sentence)
    answer = (answered or 0) + (live or 0)
    thoughts = usage.count("thoughtsTokenCount")
    check_total(
        usage,
        key="totalTokenCount",
        parts={
            "prompt": prompt,
            "candidates": answer,
            "tool use": tool_use or 0,
            "thoughts": thoughts or 0,
        },
    )
    units = {"input_tokens": prompt + (tool_use or 0), "output_tokens": answer + (thoughts or 0)}
    put(units, unit="cache_read_tokens", count=cached)
    put(units, unit="input_tool_tokens", count=tool_use)
    put(units, unit="output_reasoning_tokens", count=thoughts)
    if prompt and usage.value.get("promptTokensDetails") is None:
        reading.flag("no_modality_details")
    answer_key = "candidatesTokensDetails" if live is None else "responseTokensDetails"
    for key, shape, total in (
        ("promptTokensDetails", "input_{}_tokens", prompt),
        ("cacheTokensDetails", "cache_{}_read_tokens", cached or 0),
        ("toolUsePromptTokensDetails", "input_{}_tool_tokens", tool_use or 0),
        (answer_key, "output_{}_tokens", answer),
    ):
        for modality, count in _by_modality(usage, key=key, total=total).items():
            units[shape.format(modality)] = count
            if shape == "input_{}_tool_tokens":
                unit = f"input_{modality}_tokens"
                units[unit] = units.get(unit, 0) + count
    return units


def _by_modality(usage: Fields, *, key: str, total: int) -> dict[str, int]:
    """Counts of the modalities that have units; what is unknown stays in the total, and is
    reported.
    """
    found: dict[str, int] = {}
    stated = 0
    for one in usage.each(key):
        name = one.text("modality") or "MODALITY_UNSPECIFIED"
        if name not in MODALITIES and name not in _PLAIN:
            continue
        count = one.count("tokenCount") or 0
        stated += count
        if (modality := MODALITIES.get(name)) is not None:
            found[modality] = found.get(modality, 0) + count
    if stated > total:
        sentence = f"adds up to {stated}, more than the {total} tokens that it is part of"
        raise usage.refused(key, sentence=sentence)
    return found


def _service_tier(usage: Fields) -> str | None:
    traffic = (usage.text("trafficType") or "").lower()
    stated = usage.text("serviceTier")
    if traffic and traffic != "traffic_type_unspecified":
        return traffic
    return None if stated is None else stated.lower()


def _outcome(chunks: Sequence[Fields], *, words: Sequence[str], reading: Reading) -> Outcome:
    if any(chunk.get("error") for chunk in chunks):
        return "failed"
    if (found := outcome_of(words, table=GEMINI_FINISH, reading=reading)) is not None:
        return found
    for chunk in chunks:
        feedback = chunk.inside("promptFeedback")
        if feedback is not None and feedback.text("blockReason") is not None:
            return "failed"
    if chunks[0].pointer:
        reading.flag("stream_cut")
        return CUT
    return "completed"

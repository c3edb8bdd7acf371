"""Chat completions of OpenAI, and of the open servers that answer in its shape (vLLM, SGLang).

Containment: cached, cache-write and audio tokens are part of ``prompt_tokens``; reasoning, audio
and rejected prediction tokens of ``completion_tokens``. Embeddings, which complete nothing, are
read too. Invariant: input and output of an event are the payload's prompt and completion tokens,
and add up to its total.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from billing.intake.conversion import (
    Conversion,
    Origin,
    Served,
    check_total,
    converted,
    failed_without_usage,
    put,
)
from billing.intake.payload_fields import (
    Fields,
    Payload,
    PayloadError,
    Reading,
    last_usage,
    read_chunks,
)
from billing.intake.served_words import OPENAI_FINISH, outcome_of

INPUT_PARTS = {
    "cached_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "audio_tokens": "input_audio_tokens",
    "image_tokens": "input_image_tokens",
    "video_tokens": "input_video_tokens",
}
OUTPUT_PARTS = {
    "reasoning_tokens": "output_reasoning_tokens",
    "audio_tokens": "output_audio_tokens",
    "image_tokens": "output_image_tokens",
    "video_tokens": "output_video_tokens",
}
"""Fields of the details -> units. Text is what no other modality claims, and has no unit of its
own: some who report ``text_tokens`` include the cached ones, others do not.
"""

NO_COUNTS = (
    "queue_time", "prompt_time", "completion_time", "total_time", "cost", "cost_details",
)  # fmt: skip
"""What Groq and OpenRouter state beside the counts: times, and what they ask for them."""


_HITS, _MISSES = "prompt_cache_hit_tokens", "prompt_cache_miss_tokens"


def read_openai_chat(payload: Payload, *, origin: Origin) -> Conversion:
    """The event of a chat completion, of its stream, or of embeddings.

    The service tier is the one that the answer states. A stream without its last chunk is
    cancelled where usage came before (``continuous_usage_stats``); one without any usage is
    refused, since nobody knows what was served. An ``error`` is failed. PayloadError names what
    is wrong.
    """
    reading = Reading()
    return converted(origin, served=(_chat(payload, reading=reading),), reading=reading)


def read_open_server(payload: Payload, *, origin: Origin) -> Conversion:
    """The event of an answer of vLLM or SGLang: as ``read_openai_chat``, but no service tier is
    taken from it, since such a server knows none and may repeat what was asked for.

    Cached tokens are reported only with ``--enable-prompt-tokens-details`` (vLLM) or
    ``--enable-cache-report`` (SGLang); without them all input is fresh, and the event is flagged
    ``no_cache_details``.
    """
    reading = Reading()
    served = replace(_chat(payload, reading=reading), service_tier=None)
    return converted(origin, served=(served,), reading=reading)


def chat_units(usage: Fields, *, reading: Reading) -> dict[str, int]:
    """Inclusive counts of a ``usage`` object in the shape of chat completions."""
    prompt_tokens = usage.required("prompt_tokens")
    completion_tokens = usage.count("completion_tokens")
    parts = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens or 0}
    check_total(usage, key="total_tokens", parts=parts)
    usage.known(*NO_COUNTS)
    units = {"input_tokens": prompt_tokens}
    put(units, unit="output_tokens", count=completion_tokens)
    put(units, unit="cache_read_tokens", count=_hits(usage, prompt_tokens=prompt_tokens))
    details = usage.inside("prompt_tokens_details")
    stated = details.count("cached_tokens") if details is not None else None
    if stated is None and "cache_read_tokens" not in units:
        reading.flag("no_cache_details")
    if stated is not None and units.get("cache_read_tokens", stated) != stated:
        sentence = f"is {units['cache_read_tokens']}, and the details say {stated}"
        raise usage.refused(_HITS, sentence=sentence)
    # Mistral writes {} where no audio was heard.
    if usage.get("prompt_audio_seconds") != {}:
        put(units, unit="input_audio_seconds", count=usage.count("prompt_audio_seconds"))
    if details is not None:
        details.known("text_tokens")
        put_parts(details, units=units, parts=INPUT_PARTS)
    # SGLang states reasoning beside the totals, not inside of the details.
    put(units, unit="output_reasoning_tokens", count=usage.count("reasoning_tokens"))
    details = usage.inside("completion_tokens_details")
    if details is not None:
        details.known("text_tokens")
        put_parts(details, units=units, parts=OUTPUT_PARTS)
        _check_predictions(details, completion_tokens=completion_tokens or 0)
    return units


def without_zero_total(usage: Fields, *, reading: Reading) -> Fields:
    """Usage as LiteLLM repeats it, which writes a total of 0 where a provider states none: absent
    is not zero. Such a total is left out, and flagged.
    """
    total = usage.value.get("total_tokens")
    if isinstance(total, bool) or total != 0 or not usage.value.get("prompt_tokens"):
        return usage
    reading.flag("no_total")
    stated = {key: one for key, one in usage.value.items() if key != "total_tokens"}
    return Fields(stated, pointer=usage.pointer)


def put_parts(details: Fields, *, units: dict[str, int], parts: dict[str, str]) -> None:
    """Count the fields of ``details`` that are there as the units that ``parts`` names."""
    for key, unit in parts.items():
        put(units, unit=unit, count=details.count(key))


def finish_words(chunks: Sequence[Fields]) -> tuple[str, ...]:
    """The ``finish_reason`` of every choice that has one."""
    words = []
    for chunk in chunks:
        for choice in chunk.each("choices"):
            if (word := choice.text("finish_reason")) is not None:
                words.append(word)
    return tuple(words)


def last_text(chunks: Sequence[Fields], *, key: str) -> str | None:
    """The last text of a field over the chunks of a stream."""
    return next((found for chunk in reversed(chunks) if (found := chunk.text(key))), None)


def _chat(payload: Payload, *, reading: Reading) -> Served:
    chunks = read_chunks(payload, reading=reading)
    model = last_text(chunks, key="model")
    usage = last_usage(chunks, key="usage", total="total_tokens")
    broken = any(chunk.get("error") for chunk in chunks)
    if usage is None:
        if broken:
            return failed_without_usage(chunks, model=model, word="error")
        sentence = "no usage is reported, so nobody knows what was served"
        if chunks[0].pointer:
            sentence += "; ask for stream_options.include_usage, or count the tokens yourself"
        raise PayloadError(f"{chunks[-1].pointer}/usage", sentence=sentence)
    units = chat_units(usage, reading=reading)
    reading.unmapped.extend(usage.unread())
    words = finish_words(chunks)
    outcome = outcome_of(words, table=OPENAI_FINISH, reading=reading)
    if outcome is None and chunks[0].pointer:
        reading.flag("stream_cut")
        outcome = "cancelled"
    return Served(
        units=units,
        outcome="failed" if broken else outcome or "completed",
        usage_pointer=usage.pointer,
        model=model,
        service_tier=last_text(chunks, key="service_tier"),
        attributes={
            "response_id": last_text(chunks, key="id"),
            "finish_reason": " ".join(dict.fromkeys(words)),
        },
    )


def _hits(usage: Fields, *, prompt_tokens: int) -> int | None:
    """Cached tokens as DeepSeek states them: hits and misses are the prompt."""
    hits, misses = usage.count(_HITS), usage.count(_MISSES)
    if hits is not None and misses is not None and hits + misses != prompt_tokens:
        sentence = f"is {hits}, and with the misses {hits + misses}, not the {prompt_tokens} tokens"
        raise usage.refused(_HITS, sentence=f"{sentence} of the prompt")
    return hits


def _check_predictions(details: Fields, *, completion_tokens: int) -> None:
    """Predicted tokens, taken or not, were completed and are billed as output."""
    predicted = sum(
        details.count(f"{kind}_prediction_tokens") or 0 for kind in ("accepted", "rejected")
    )
    if predicted > completion_tokens:
        sentence = (
            f"accepted and rejected prediction tokens are {predicted}, more than the "
            f"{completion_tokens} completion tokens that they are part of"
        )
        raise PayloadError(details.pointer, sentence=sentence)

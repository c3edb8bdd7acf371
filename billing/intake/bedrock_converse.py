"""Answers of the Converse operations of Amazon Bedrock, whole or as the events of a stream.

Containment is Anthropic's: ``inputTokens`` are the fresh ones alone, ``totalTokens`` holds all.
Invariant: the input of an event is fresh + read + written, and with the output it is the total.
"""

from __future__ import annotations

from collections.abc import Sequence

from billing.intake.conversion import (
    Conversion,
    Origin,
    Served,
    check_total,
    converted,
    failed_without_usage,
    put,
)
from billing.intake.payload_fields import Fields, Payload, PayloadError, Reading, read_chunks
from billing.intake.served_words import BEDROCK_STOP, outcome_of

EXCEPTIONS = (
    "internalServerException",
    "modelStreamErrorException",
    "serviceUnavailableException",
    "throttlingException",
    "validationException",
)


def read_bedrock_converse(payload: Payload, *, origin: Origin) -> Conversion:
    """The event of an answer, or of a stream, whose usage stands in its ``metadata`` event.

    The answer names no model, so the gateway must, unless a prompt router states the
    ``invokedModelId``, which is billed then. Optimized serving is the dimension ``performance``.
    A stream that is cut has no usage and is refused; an exception in it is failed.
    """
    reading = Reading()
    chunks = read_chunks(payload, reading=reading)
    broken = next((name for name in EXCEPTIONS for chunk in chunks if chunk.get(name)), None)
    answer, stop = _answer(chunks)
    usage = answer.inside("usage") if answer is not None else None
    if answer is None or usage is None:
        if broken is not None:
            served = failed_without_usage(chunks, model=None, word=broken)
            return converted(origin, served=(served,), reading=reading)
        sentence = "no usage is reported, so nobody knows what was served"
        raise PayloadError(f"{chunks[-1].pointer}/usage", sentence=sentence)
    units = _units(usage)
    reading.unmapped.extend(usage.unread())
    words = () if stop is None else (stop,)
    outcome = outcome_of(words, table=BEDROCK_STOP, reading=reading) or "completed"
    service_tier = answer.inside("serviceTier")
    performance = answer.inside("performanceConfig")
    how = performance.text("latency") if performance is not None else None
    served = Served(
        units=units,
        outcome="failed" if broken else outcome,
        usage_pointer=usage.pointer,
        model=_invoked_model(answer),
        service_tier=service_tier.text("type") if service_tier is not None else None,
        dimensions={"performance": "optimized"} if how == "optimized" else {},
        attributes={"finish_reason": broken or stop},
    )
    return converted(origin, served=(served,), reading=reading)


def _answer(chunks: Sequence[Fields]) -> tuple[Fields | None, str | None]:
    """What holds the usage, and the word for how the answer ended."""
    if not chunks[0].pointer:
        return chunks[0], chunks[0].text("stopReason")
    answer, stop = None, None
    for chunk in chunks:
        if (ended := chunk.inside("messageStop")) is not None:
            stop = ended.text("stopReason")
        answer = chunk.inside("metadata") or answer
    return answer, stop


def _units(usage: Fields) -> dict[str, int]:
    fresh, output = usage.required("inputTokens"), usage.required("outputTokens")
    read, written = usage.count("cacheReadInputTokens"), usage.count("cacheWriteInputTokens")
    check_total(
        usage,
        key="totalTokens",
        parts={
            "inputTokens": fresh,
            "cacheReadInputTokens": read or 0,
            "cacheWriteInputTokens": written or 0,
            "outputTokens": output,
        },
    )
    units = {"input_tokens": fresh + (read or 0) + (written or 0), "output_tokens": output}
    put(units, unit="cache_read_tokens", count=read)
    put(units, unit="cache_write_tokens", count=written)
    split = 0
    for one in usage.each("cacheDetails"):
        lifetime = one.text("ttl")
        if lifetime in ("5m", "1h"):  # any other is part of all that was written, and reported
            unit, count = f"cache_write_{lifetime}_tokens", one.count("inputTokens") or 0
            units[unit] = units.get(unit, 0) + count
            split += count
    if split > (written or 0):
        sentence = f"adds up to {split}, more than the {written or 0} tokens written to the cache"
        raise usage.refused("cacheDetails", sentence=sentence)
    return units


def _invoked_model(answer: Fields) -> str | None:
    trace = answer.inside("trace")
    router = trace.inside("promptRouter") if trace is not None else None
    return router.text("invokedModelId") if router is not None else None

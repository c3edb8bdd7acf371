"""Responses of OpenAI, whole or as a stream of events.

Containment is that of chat completions under other names. Invariant: input and output of an event
are the payload's input and output tokens, and add up to its total; a call of a tool is counted
once.
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
    plain_number,
    put,
)
from billing.intake.openai_chat import INPUT_PARTS, OUTPUT_PARTS, put_parts
from billing.intake.payload_fields import (
    Fields,
    Payload,
    PayloadError,
    Reading,
    read_chunks,
    shown,
)
from billing.intake.served_words import CUT, RESPONSE_STATUS, outcome_of
from pricing_rules.usage.event import Outcome

CALLS = {
    "web_search_call": "web_searches",
    "file_search_call": "storage_searches",
    "code_interpreter_call": "code_executions",
}
"""Type of an output item -> the unit that counts its calls."""

TOOL_USAGE = {
    "web_search": "web_searches",
    "file_search": "storage_searches",
    "code_interpreter": "code_executions",
}
"""Tool in ``tool_usage`` -> the unit that counts its ``num_requests``."""

DETAILS = {
    "input_tokens_details": INPUT_PARTS,
    "output_tokens_details": OUTPUT_PARTS,
    "input_token_details": INPUT_PARTS,
    "output_token_details": OUTPUT_PARTS,
}
"""Details -> their parts; realtime answers and transcriptions name them in the singular."""

CACHED_PARTS = {
    "audio_tokens": "cache_audio_read_tokens",
    "image_tokens": "cache_image_read_tokens",
}
"""Fields of ``cached_tokens_details`` -> units: cached tokens by modality."""


def read_openai_responses(payload: Payload, *, origin: Origin) -> Conversion:
    """The event of a response, or of the last ``response`` in the events of its stream; also of
    a realtime response, of images, and of a transcription, by tokens or by seconds.

    A response that is not over (``queued``, ``in_progress``) is refused: its usage is not known
    yet. Calls of tools are those of ``tool_usage``, where it is stated, else the items of
    ``output``; of web searches only those that searched.
    """
    reading = Reading()
    chunks = read_chunks(payload, reading=reading)
    response = _last_response(chunks)
    model = response.text("model")
    status = response.text("status") or "completed"
    usage = response.inside("usage")
    if usage is None:
        if response.get("error") or status == "failed":
            served = failed_without_usage((response,), model=model, word=status)
            return converted(origin, served=(served,), reading=reading)
        sentence = f'no usage is reported (the status is "{status:.40}"), so nothing can be counted'
        raise response.refused("usage", sentence=sentence)
    if status in ("queued", "in_progress"):
        sentence = f'is "{status}", so its usage is not known yet; send it when it is over'
        raise response.refused("status", sentence=sentence)
    seconds = _seconds(usage)
    units = {} if seconds else _units(usage, reading=reading)
    _put_calls(response, units=units)
    reading.unmapped.extend(usage.unread())
    served = Served(
        units={**units, **seconds},
        outcome=_outcome(response, status=status, reading=reading),
        usage_pointer=usage.pointer,
        model=model,
        service_tier=response.text("service_tier"),
        attributes={"response_id": response.text("id"), "finish_reason": status},
    )
    return converted(origin, served=(served,), reading=reading)


def _last_response(chunks: Sequence[Fields]) -> Fields:
    if not chunks[0].pointer:
        return chunks[0].inside("response") or chunks[0]
    for chunk in reversed(chunks):
        if (response := chunk.inside("response")) is not None:
            return response
        if chunk.text("type") == "error":
            raise PayloadError(
                chunk.pointer, sentence="the stream ended in an error that names no response"
            )
    raise PayloadError("", sentence="no event of this stream holds a response")


def _seconds(usage: Fields) -> dict[str, str]:
    """What was transcribed, where it is counted in seconds."""
    if usage.text("type") != "duration":
        return {}
    stated = usage.get("seconds")
    if not (seconds := plain_number(stated)):
        sentence = f"must be a number of seconds, not {shown(stated)}"
        raise usage.refused("seconds", sentence=sentence)
    return {"input_audio_seconds": seconds}


def _units(usage: Fields, *, reading: Reading) -> dict[str, int]:
    units = {
        "input_tokens": usage.required("input_tokens"),
        "output_tokens": usage.required("output_tokens"),
    }
    check_total(usage, key="total_tokens", parts=units)
    for key, parts in DETAILS.items():
        details = usage.inside(key)
        if details is None:
            continue
        details.known("text_tokens")
        put_parts(details, units=units, parts=parts)
        cached = details.inside("cached_tokens_details")
        if cached is not None:
            cached.known("text_tokens")
            put_parts(cached, units=units, parts=CACHED_PARTS)
    if "cache_read_tokens" not in units:
        reading.flag("no_cache_details")
    return units


def _put_calls(response: Fields, *, units: dict[str, int]) -> None:
    tools = response.inside("tool_usage")
    if tools is None:
        for item in response.each("output"):
            unit = CALLS.get(item.text("type") or "")
            if unit is not None and _is_call(item):
                units[unit] = units.get(unit, 0) + 1
        return
    for tool, unit in TOOL_USAGE.items():
        if (calls := tools.inside(tool)) is not None:
            put(units, unit=unit, count=calls.count("num_requests"))


def _is_call(item: Fields) -> bool:
    if item.text("status") in ("failed", "incomplete"):
        return False
    action = item.inside("action")
    return action is None or action.text("type") in (None, "search")


def _outcome(response: Fields, *, status: str, reading: Reading) -> Outcome:
    details = response.inside("incomplete_details")
    if details is not None and details.text("reason") == "content_filter":
        return CUT
    return outcome_of((status,), table=RESPONSE_STATUS, reading=reading) or "completed"

"""Calls that went through LiteLLM, as its ``standard_logging_object`` tells of them.

It keeps what the callbacks for OpenMeter and Lago drop: cached, cache-write and reasoning tokens,
calls of tools, and the model and service tier that served. LiteLLM has made the counts inclusive,
in the shape of chat completions. Invariant: the same call has the same event id however often it
is reported, and no client can choose that id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from billing.intake.anthropic_messages import BESIDE, message_units
from billing.intake.conversion import (
    Conversion,
    Origin,
    Served,
    converted,
    failed_without_usage,
    filled,
    put,
    unix_moment,
)
from billing.intake.openai_chat import chat_units, finish_words, without_zero_total
from billing.intake.payload_fields import Fields, Payload, PayloadError, Reading, one_object
from billing.intake.served_words import OPENAI_FINISH, outcome_of

SOURCE = "litellm"

AccountField = Literal[
    "user_api_key_team_id",
    "user_api_key_org_id",
    "user_api_key_user_id",
    "user_api_key_hash",
    "user_api_key_alias",
    "user_api_key_end_user_id",
]
"""Fields of the metadata that can name the account. The last is the client's own word."""

FROM_CACHE = "response_cache"
"""The service tier of an answer out of LiteLLM's own cache: no model served it, so it is unpriced
until a price book says what it is sold for.
"""

CALLS = {"web_search_requests": "web_searches"}


def read_litellm_call(
    payload: Payload, *, origin: Origin, account_field: AccountField = "user_api_key_team_id"
) -> Conversion:
    """The event of a call; ``payload`` is its ``standard_logging_object``.

    The account is ``account_field`` of its metadata, the id a SHA-256 of the ids of the call and
    of the response, the source ``litellm``, and the time its ``endTime``; what ``origin`` states
    goes before. A call that failed is failed. PayloadError where a call that succeeded has no
    usage.
    """
    reading = Reading()
    call = one_object(payload, reading=reading)
    metadata = call.inside("metadata")
    origin = filled(
        origin,
        known={
            "account": metadata.text(account_field) if metadata is not None else None,
            "id": _event_id(call),
            "source": SOURCE,
            "time": unix_moment(call, key="endTime"),
        },
    )
    if origin.account is None:
        sentence = (
            f"is empty, so nobody knows whose call this was; give the key its {account_field}"
        )
        raise PayloadError(f"/metadata/{account_field}", sentence=sentence)
    response = call.get("response")
    answer = call.inside("response") if isinstance(response, dict) else None
    served = _served(call, answer=answer, metadata=metadata, reading=reading)
    return converted(origin, served=served, reading=reading)


def _served(
    call: Fields, *, answer: Fields | None, metadata: Fields | None, reading: Reading
) -> Sequence[Served]:
    model = (answer.text("model") if answer is not None else None) or call.text("model")
    attributes = {
        "call_id": call.text("litellm_call_id"),
        "response_id": call.text("id"),
        "model_asked": call.text("model"),
    }
    failed = call.text("status") == "failure"
    usage = answer.inside("usage") if answer is not None else None
    if usage is None and metadata is not None:
        usage = metadata.inside("usage_object")
    if usage is None or not usage.value:
        if not failed:
            sentence = "is missing, so nobody knows what was served"
            raise PayloadError("/response/usage", sentence=sentence)
        return (failed_without_usage((call,), model=model, word="failure"),)
    usage = without_zero_total(usage, reading=reading)
    units = _units(usage, reading=reading)
    beside = _taken_apart(usage, units=units, model=model, reading=reading)
    reading.unmapped.extend(usage.unread())
    words = finish_words((answer,)) if answer is not None else ()
    outcome = outcome_of(words, table=OPENAI_FINISH, reading=reading) or "completed"
    service_tier = usage.text("service_tier") or (
        answer.text("service_tier") if answer is not None else None
    )
    geo = usage.text("inference_geo")
    main = Served(
        units=units,
        outcome="failed" if failed else outcome,
        usage_pointer=usage.pointer,
        model=model,
        service_tier=FROM_CACHE if call.get("cache_hit") is True else service_tier,
        region=None if geo == "not_available" else geo,
        dimensions={"speed": "fast"} if usage.text("speed") == "fast" else {},
        attributes={**attributes, "finish_reason": " ".join(words)},
    )
    return (
        main,
        *(
            replace(
                main,
                units=part,
                model=one.text("model") or model,
                attributes={**main.attributes, "iteration": one.text("type")},
                part=f"#{one.pointer.rsplit('/', 1)[-1]}",
            )
            for one, part in beside
        ),
    )


def _taken_apart(
    usage: Fields, *, units: dict[str, int], model: str | None, reading: Reading
) -> list[tuple[Fields, dict[str, int]]]:
    """Compactions and what other models did, which LiteLLM adds to the counts of the model that
    was called: taken out of ``units``, each for an event of its own.
    """
    found = []
    for one in usage.each("iterations"):
        part = message_units(one, reading=reading)
        if one.text("type") in BESIDE and (one.text("model") or "") != model:
            for unit in part.keys() & units.keys():
                units[unit] -= part[unit]
            found.append((one, part))
    return found


def _units(usage: Fields, *, reading: Reading) -> dict[str, int]:
    units = chat_units(usage, reading=reading)
    # LiteLLM repeats these beside the details; a call of a tool that has no unit is reported.
    _same(usage, key="cache_read_input_tokens", units=units, unit="cache_read_tokens")
    _same(usage, key="cache_creation_input_tokens", units=units, unit="cache_write_tokens")
    details = usage.inside("prompt_tokens_details")
    if details is not None:
        _same(details, key="cache_creation_tokens", units=units, unit="cache_write_tokens")
        lifetimes = details.inside("cache_creation_token_details")
        if lifetimes is not None:
            for lifetime in ("5m", "1h"):
                count = lifetimes.count(f"ephemeral_{lifetime}_input_tokens")
                put(units, unit=f"cache_write_{lifetime}_tokens", count=count)
    if (calls := usage.inside("server_tool_use")) is not None:
        for key, unit in CALLS.items():
            put(units, unit=unit, count=calls.count(key))
    return units


def _same(fields: Fields, *, key: str, units: dict[str, int], unit: str) -> None:
    """A number that LiteLLM states a second time: counted once, refused where it differs."""
    count = fields.count(key)
    if count is None:
        return
    if units.setdefault(unit, count) != count:
        sentence = f"is {count}, and the same is stated as {units[unit]}"
        raise fields.refused(key, sentence=sentence)


def _event_id(call: Fields) -> str | None:
    """Of both ids: a client may choose the call's, and a cache repeats the answer's."""
    call_id, response_id = call.text("litellm_call_id"), call.text("id")
    if call_id is None and response_id is None:
        return None
    both = f"{call_id or ''}\n{response_id or ''}"
    return hashlib.sha256(both.encode()).hexdigest()

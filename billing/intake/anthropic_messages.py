"""Messages of Anthropic, whole or as a stream, with the iterations of one request.

Containment: ``input_tokens`` are the fresh ones alone; cache reads and writes stand beside them.
Invariant: the input of an event is fresh + read + written, each of them once; what another model
did, and what a compaction did, is an event of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from billing.intake.conversion import (
    Conversion,
    Origin,
    Served,
    converted,
    failed_without_usage,
    put,
)
from billing.intake.payload_fields import Fields, Payload, PayloadError, Reading, read_chunks
from billing.intake.served_words import ANTHROPIC_STOP, outcome_of
from pricing_rules.document import JsonValue
from pricing_rules.usage.event import Outcome

CALLS = {"web_search_requests": "web_searches", "code_execution_requests": "code_executions"}

_GROWING = ("input_tokens", "output_tokens", "cache_read_input_tokens")

MESSAGES = ("message", "fallback_message")
"""Types of the iterations that are in the totals of a message."""

BESIDE = ("compaction", "advisor_message")
"""Types of the iterations that are not."""

REASONING = "output_reasoning_tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    """A message as it ended: its usage, and how it stopped."""

    fields: Fields
    usage: Fields | None
    stop: str | None = None
    failed: bool = False
    cut: bool = False


@dataclass(slots=True, kw_only=True)
class _Counts:
    """Counts of one or more iterations of one model; ``largest_tokens``: the largest input."""

    units: dict[str, int] = field(default_factory=dict)
    largest_tokens: int = 0

    def add(self, units: Mapping[str, int]) -> None:
        for unit, count in units.items():
            self.units[unit] = self.units.get(unit, 0) + count
        self.largest_tokens = max(self.largest_tokens, units["input_tokens"])


def read_anthropic_messages(payload: Payload, *, origin: Origin) -> Conversion:
    """The events of a message, or of its stream (``message_start``, then cumulative deltas).

    One event, and one more for each iteration that is not in the message's totals: a compaction,
    or an ``advisor_message`` of another model; its id is the request's with ``#`` and its place
    in ``iterations``. With iterations the main event is the sum of those of its own model, since
    the totals may hold the input of the first alone; its size is the largest of them. A stream
    that is cut is cancelled, with what was counted by then; an error is failed.
    """
    reading = Reading()
    message = _ended(read_chunks(payload, reading=reading), reading=reading)
    model = message.fields.text("model")
    if message.usage is None:
        if not message.failed:
            raise message.fields.refused("usage", sentence="no usage is reported; send the message")
        served = failed_without_usage((message.fields,), model=model, word="error")
        return converted(origin, served=(served,), reading=reading)
    usage = message.usage
    whole = outcome_of(
        () if message.stop is None else (message.stop,), table=ANTHROPIC_STOP, reading=reading
    )
    outcome = "failed" if message.failed else "cancelled" if message.cut else whole or "completed"
    counts, others = _iterations(usage, model=model, reading=reading)
    _put_calls(usage, units=counts.units)
    _flag_credit(usage, reading=reading)
    attributes = {"response_id": message.fields.text("id"), "finish_reason": message.stop}
    main = _served(usage, model=model, counts=counts, outcome=outcome, attributes=attributes)
    parts = tuple(
        _served(
            usage,
            model=one.text("model") or model,
            counts=part,
            outcome=outcome,
            attributes={**attributes, "iteration": one.text("type"), "part_of": origin.id},
            part=f"#{one.pointer.rsplit('/', 1)[-1]}",
        )
        for one, part in others
    )
    reading.unmapped.extend(usage.unread())
    return converted(origin, served=(main, *parts), reading=reading)


def _served(
    usage: Fields,
    *,
    model: str | None,
    counts: _Counts,
    outcome: Outcome,
    attributes: Mapping[str, str | None],
    part: str = "",
) -> Served:
    geo = usage.text("inference_geo")
    return Served(
        units=counts.units,
        outcome=outcome,
        usage_pointer=usage.pointer,
        model=model,
        service_tier=usage.text("service_tier"),
        region=None if geo == "not_available" else geo,
        request_tokens=counts.largest_tokens,
        dimensions={"speed": "fast"} if usage.text("speed") == "fast" else {},
        attributes=attributes,
        part=part,
    )


def _ended(chunks: Sequence[Fields], *, reading: Reading) -> _Message:
    """The message as its stream left it."""
    first = chunks[0]
    if not first.pointer:
        failed = first.text("type") == "error"
        usage = None if failed else first.inside("usage")
        return _Message(fields=first, usage=usage, stop=first.text("stop_reason"), failed=failed)
    message, usage, stop = None, None, None
    for chunk in chunks:
        kind = chunk.text("type")
        if kind == "message_start":
            message = chunk.inside("message")
            usage = message.inside("usage") if message is not None else None
        elif kind == "message_delta":
            delta = chunk.inside("delta")
            stop = (delta.text("stop_reason") if delta is not None else None) or stop
            usage = _grown(usage, by=chunk.inside("usage"))
    kinds = [chunk.text("type") for chunk in chunks]
    if message is None and "error" not in kinds:
        raise PayloadError("", sentence="this stream has no message_start with a message")
    if cut := stop is None and "message_stop" not in kinds:
        reading.flag("stream_cut")
    return _Message(
        fields=message or chunks[-1], usage=usage, stop=stop, failed="error" in kinds, cut=cut
    )


def _grown(usage: Fields | None, *, by: Fields | None) -> Fields | None:
    """Usage with what a later delta states; its counts are cumulative, never added."""
    if usage is None or by is None:
        return usage or by
    for key in _GROWING:
        before, now = usage.count(key), by.count(key)
        if before is not None and now is not None and now < before:
            sentence = f"falls from {before} to {now}, and a stream's counts are cumulative"
            raise by.refused(key, sentence=sentence)
    stated: dict[str, JsonValue] = {k: v for k, v in by.value.items() if v is not None}
    return Fields({**usage.value, **stated}, pointer=by.pointer)


def message_units(usage: Fields, *, reading: Reading) -> dict[str, int]:
    """Inclusive counts of one usage object, or of one iteration."""
    fresh, output = usage.required("input_tokens"), usage.required("output_tokens")
    read = usage.count("cache_read_input_tokens")
    written, by_lifetime = _written(usage, reading=reading)
    units = {"input_tokens": fresh + (read or 0) + (written or 0), "output_tokens": output}
    put(units, unit="cache_read_tokens", count=read)
    put(units, unit="cache_write_tokens", count=written)
    units.update(by_lifetime)
    details = usage.inside("output_tokens_details")
    if details is not None:
        put(units, unit=REASONING, count=details.count("thinking_tokens"))
    return units


def _written(usage: Fields, *, reading: Reading) -> tuple[int | None, dict[str, int]]:
    """Tokens written to the cache, all of them and by lifetime."""
    written = usage.count("cache_creation_input_tokens")
    split = usage.inside("cache_creation")
    if split is None:
        if not written:
            return written, {}
        reading.flag("cache_lifetime_taken_for_5m")
        return written, {"cache_write_5m_tokens": written}
    found: dict[str, int] = {}
    for lifetime in ("5m", "1h"):
        count = split.count(f"ephemeral_{lifetime}_input_tokens")
        put(found, unit=f"cache_write_{lifetime}_tokens", count=count)
    known = sum(found.values())
    # A lifetime of which we know nothing is part of all that was written, and reported.
    if written is not None and (known > written or (known < written and not any(split.unread()))):
        sentence = f"is {written}, and its parts by lifetime are {known}"
        raise usage.refused("cache_creation_input_tokens", sentence=sentence)
    return known if written is None else written, found


def _iterations(
    usage: Fields, *, model: str | None, reading: Reading
) -> tuple[_Counts, list[tuple[Fields, _Counts]]]:
    """The counts of the message's own model, and those of each iteration beside it."""
    stated = message_units(usage, reading=reading)
    iterations = usage.each("iterations")
    models = {one.text("model") for one in iterations if one.text("type") in MESSAGES} - {None}
    # The message may name itself by an alias of the one model that its iterations name.
    names = {None, model, *(models if len(models) == 1 else ())}
    own, others, first, declined = _Counts(), [], None, 0
    for one in iterations:
        part = _Counts()
        part.add(message_units(one, reading=reading))
        if one.text("type") in MESSAGES and one.text("model") in names:
            first = first or part.units
            own.add(part.units)
            continue
        if one.text("type") in MESSAGES:
            declined += part.units["output_tokens"]
        elif one.text("type") not in BESIDE:
            reading.flag("unknown_iteration")
        others.append((one, part))
    if first is None:
        if models:
            sentence = "names no iteration of the message's own model"
            raise usage.refused("iterations", sentence=sentence)
        own.add(stated)
        return own, others
    # Documented: the totals hold the output of all iterations of the message, and the input of all
    # or of the first. The output of a model that declined before a fallback may be in it or not.
    counted = own.units["output_tokens"]
    if stated["output_tokens"] not in (counted, counted + declined):
        sentence = f"is {stated['output_tokens']}, and its iterations are {counted}"
        raise usage.refused("output_tokens", sentence=sentence)
    if not declined and stated["input_tokens"] not in (
        own.units["input_tokens"],
        first["input_tokens"],
    ):
        sentence = (
            f"with its cached tokens is {stated['input_tokens']}; its iterations are "
            f"{own.units['input_tokens']}, and the first of them {first['input_tokens']}"
        )
        raise usage.refused("input_tokens", sentence=sentence)
    put(own.units, unit=REASONING, count=own.units.get(REASONING, stated.get(REASONING)))
    return own, others


def _put_calls(usage: Fields, *, units: dict[str, int]) -> None:
    calls = usage.inside("server_tool_use")
    if calls is not None:
        for key, unit in CALLS.items():
            put(units, unit=unit, count=calls.count(key))


def _flag_credit(usage: Fields, *, reading: Reading) -> None:
    """Note that the provider bills a fallback as if the request had been its own all along."""
    credit = usage.inside("fallback_credit")
    status = credit.inside("status") if credit is not None else None
    if status is not None and status.text("type") == "redeemed":
        reading.flag("fallback_credit_redeemed")

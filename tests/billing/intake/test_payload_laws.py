"""Laws of every reader of payloads, whatever the counts are."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from billing.intake.cloud_events import read_cloud_events
from billing.intake.conversion import Conversion, event_line
from billing.intake.payload_fields import PayloadError
from billing.intake.served_words import SERVICE_TIERS
from pricing_rules.usage.leaves import split_leaves
from pricing_rules.usage.totals import BILLABLE_OUTCOMES
from pricing_rules.usage.units import MAX_COUNT, UNITS
from tests.billing.intake.vectors_of import Vector, read, vectors

Json = Any
VECTORS = list(vectors())

COUNTS = st.integers(min_value=0, max_value=10**11)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a request used, each token once."""

    fresh: int
    read: int
    written: int
    answered: int
    thought: int

    @property
    def input(self) -> int:
        return self.fresh + self.read + self.written

    @property
    def output(self) -> int:
        return self.answered + self.thought

    @property
    def total(self) -> int:
        return self.input + self.output


TOKENS = st.builds(
    Tokens, fresh=COUNTS, read=COUNTS, written=COUNTS, answered=COUNTS, thought=COUNTS
)


def openai_chat(used: Tokens) -> Json:
    return {
        "usage": {
            "prompt_tokens": used.input,
            "completion_tokens": used.output,
            "total_tokens": used.total,
            "prompt_tokens_details": {
                "cached_tokens": used.read,
                "cache_write_tokens": used.written,
            },
            "completion_tokens_details": {"reasoning_tokens": used.thought},
        }
    }


def openai_responses(used: Tokens) -> Json:
    return {
        "usage": {
            "input_tokens": used.input,
            "output_tokens": used.output,
            "total_tokens": used.total,
            "input_tokens_details": {
                "cached_tokens": used.read,
                "cache_write_tokens": used.written,
            },
            "output_tokens_details": {"reasoning_tokens": used.thought},
        }
    }


def anthropic_messages(used: Tokens) -> Json:
    return {
        "usage": {
            "input_tokens": used.fresh,
            "cache_read_input_tokens": used.read,
            "cache_creation_input_tokens": used.written,
            "cache_creation": {"ephemeral_1h_input_tokens": used.written},
            "output_tokens": used.output,
            "output_tokens_details": {"thinking_tokens": used.thought},
        }
    }


def gemini(used: Tokens) -> Json:
    # Gemini writes to no cache: what was written is fresh there.
    return {
        "usageMetadata": {
            "promptTokenCount": used.input,
            "cachedContentTokenCount": used.read,
            "candidatesTokenCount": used.answered,
            "thoughtsTokenCount": used.thought,
            "totalTokenCount": used.total,
        }
    }


def bedrock_converse(used: Tokens) -> Json:
    return {
        "usage": {
            "inputTokens": used.fresh,
            "cacheReadInputTokens": used.read,
            "cacheWriteInputTokens": used.written,
            "cacheDetails": [{"ttl": "1h", "inputTokens": used.written}],
            "outputTokens": used.output,
            "totalTokens": used.total,
        }
    }


def sglang(used: Tokens) -> Json:
    usage = openai_chat(used)["usage"]
    usage["reasoning_tokens"] = used.thought
    return {"usage": usage}


def otel_span(used: Tokens) -> Json:
    return {
        "attributes": {
            "gen_ai.usage.input_tokens": used.input,
            "gen_ai.usage.output_tokens": used.output,
            "gen_ai.usage.cache_read.input_tokens": used.read,
            "gen_ai.usage.cache_write.input_tokens": used.written,
            "gen_ai.usage.reasoning.output_tokens": used.thought,
            "llm.token_count.total": used.total,
        }
    }


def litellm(used: Tokens) -> Json:
    usage = openai_chat(used)["usage"]
    usage["cache_read_input_tokens"] = used.read
    return {
        "id": "a",
        "endTime": 1795341600.5,
        "metadata": {"user_api_key_team_id": "t"},
        "response": {"usage": usage},
    }


PAYLOADS: dict[str, Callable[[Tokens], Json]] = {
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
    "anthropic-messages": anthropic_messages,
    "gemini": gemini,
    "bedrock-converse": bedrock_converse,
    "vllm": openai_chat,
    "sglang": sglang,
    "otel-span": otel_span,
    "litellm": litellm,
}
NO_WRITES = ("gemini",)
NO_THOUGHTS = ("bedrock-converse",)


def served(reader: str, *, payload: Json) -> Conversion:
    return read(reader, payload=payload, model="m", service_tier="standard")


@pytest.mark.parametrize("reader", PAYLOADS)
@given(used=TOKENS)
def test_leaves_hold_every_token_once_and_add_up_to_the_total(reader: str, used: Tokens) -> None:
    (event,) = served(reader, payload=PAYLOADS[reader](used)).events
    leaves = split_leaves(event.data.units)
    assert sum(leaves.values()) == used.total
    assert leaves.get("cache_read_tokens", 0) == used.read
    written = sum(count for unit, count in leaves.items() if "write" in unit)
    assert written == (0 if reader in NO_WRITES else used.written)
    thought = 0 if reader in NO_THOUGHTS else used.thought
    assert leaves.get("output_reasoning_tokens", 0) == thought
    assert leaves.get("output_tokens", 0) == used.output - thought
    assert event.data.size_tokens == used.input


CACHED = {
    "openai-chat": ("usage", "prompt_tokens_details", "cached_tokens"),
    "openai-responses": ("usage", "input_tokens_details", "cached_tokens"),
    "gemini": ("usageMetadata", "cachedContentTokenCount"),
    "sglang": ("usage", "prompt_tokens_details", "cached_tokens"),
    "otel-span": ("attributes", "gen_ai.usage.cache_read.input_tokens"),
}
"""Where the cached tokens stand that are part of the input."""


@pytest.mark.parametrize("reader", CACHED)
@given(used=TOKENS, more=st.integers(min_value=1, max_value=10**11))
def test_more_cached_than_there_is_input_is_never_an_event(
    reader: str, used: Tokens, more: int
) -> None:
    payload = PAYLOADS[reader](used)
    *path, key = CACHED[reader]
    holder = payload
    for part in path:
        holder = holder[part]
    holder[key] = used.input + more
    with pytest.raises(PayloadError, match=r"input_tokens \(\d+\) is less than what it contains"):
        served(reader, payload=payload)


USAGE = {
    "gemini": "/usageMetadata",
    "otel-span": "/attributes",
    "litellm": "/response/usage",
    "openmeter": "/data",
}


def usage_of(reader: str, *, payload: Json) -> tuple[str, Json]:
    """The JSON pointer of a payload's usage, and that object."""
    pointer = USAGE.get(reader, "/usage")
    found = payload
    for key in pointer.split("/")[1:]:
        found = found[key]
    return pointer, found


@pytest.mark.parametrize("reader", PAYLOADS)
@given(used=TOKENS, number=st.integers(min_value=1), nested=st.booleans())
def test_a_number_of_usage_that_no_unit_counts_is_reported_and_counted_nowhere(
    reader: str, used: Tokens, number: int, nested: bool
) -> None:
    payload = PAYLOADS[reader](used)
    before = served(reader, payload=copy.deepcopy(payload)).events[0].data.units
    pointer, usage = usage_of(reader, payload=payload)
    usage["gen_ai.usage.dream/tokens"] = [{"n": number}] if nested else number
    conversion = served(reader, payload=payload)
    (unmapped,) = conversion.unmapped
    stated = f"{pointer}/gen_ai.usage.dream~1tokens" + ("/0/n" if nested else "")
    assert unmapped.pointer == stated
    assert unmapped.value in (str(number), "a number beyond all bounds")
    (event,) = conversion.events
    assert event.data.units == before
    assert stated in event.data.attributes["unmapped"]


def _places(value: Json) -> Iterator[tuple[Json, str | int]]:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


ODD: list[Json] = [
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 10**30, MAX_COUNT, MAX_COUNT + 1, 1.0,
    1.5, -0.0, 1e300, "", "5", "1_0", "٣", "\x00", "\ud800", "\u202e", " ", "x" * 300, [], {},
    [None], [[]], {"": 1}, [{}], {"a": {"b": [1, "c"]}},
]  # fmt: skip


@pytest.mark.parametrize("reader", sorted({one.reader for one in VECTORS}))
@given(random=st.randoms(use_true_random=False))
def test_whatever_stands_in_a_payload_it_is_events_or_a_refusal(
    reader: str, random: Random
) -> None:
    vector = random.choice([one for one in VECTORS if one.reader == reader])
    payload = copy.deepcopy(vector.said["payload"])
    for _ in range(random.randint(1, 3)):
        if places := list(_places(payload)):
            holder, key = random.choice(places)
            holder[key] = copy.deepcopy(random.choice(ODD))
    said = {**vector.said, "payload": payload}
    try:
        found = Vector(reader=reader, source="", said=said).read()
    except PayloadError:
        return
    for event in found.events:
        _, verdicts = read_cloud_events(event_line(event) + b"\n", name="e")
        assert verdicts == ()


@pytest.mark.parametrize(
    "vector", [one for one in VECTORS if "events" in one.said], ids=lambda one: one.name
)
def test_the_line_of_an_event_is_read_as_the_same_event(vector: Vector) -> None:
    for event in vector.read().events:
        table, verdicts = read_cloud_events(event_line(event) + b"\n", name="e")
        assert verdicts == ()
        (row,) = table.to_pylist()
        assert row["account"] == event.subject
        assert {unit: row[unit] for unit in event.data.units} == event.data.units
        assert (row["outcome"], row["request_tokens"]) == (
            event.data.outcome,
            event.data.size_tokens,
        )


def test_counts_in_fractions_are_written_as_steps_of_their_scale() -> None:
    # An event's counts stand at their scale: 2.5 s are 2500 ms, and written so they are read so.
    usage = {"usage": {"type": "duration", "seconds": 2.5}}
    (event,) = read("openai-responses", payload=usage, model="m", service_tier="standard").events
    assert event.data.units == {"input_audio_seconds": 2_500}
    assert b'"units":{"input_audio_seconds":"2500/1000"}' in event_line(event)
    scales = {UNITS[unit].scale for one in VECTORS for unit in _units_of(one)}
    assert scales == {1, 1_000}  # both are met above


def _units_of(vector: Vector) -> set[str]:
    return {unit for event in vector.said.get("events", []) for unit in event["units"]}


def test_every_outcome_of_a_payload_is_billable_or_not_by_the_one_table() -> None:
    seen = {event["outcome"] for one in VECTORS for event in one.said.get("events", [])}
    assert seen == set(BILLABLE_OUTCOMES)
    assert BILLABLE_OUTCOMES == {"completed": True, "cancelled": True, "failed": False}


def test_a_word_for_a_service_tier_is_never_translated_twice() -> None:
    for ours in set(SERVICE_TIERS.values()) - {None}:
        assert ours not in SERVICE_TIERS


PROVIDERS = {one.id: one for one in providers}
ORACLES = {
    "openai-chat": ("openai", "chat"),
    "openai-responses": ("openai", "responses"),
    "anthropic-messages": ("anthropic", "default"),
    "gemini": ("google", "default"),
    "bedrock-converse": ("aws", "default"),
}


@pytest.mark.parametrize("reader", ORACLES)
@given(used=TOKENS)
def test_counts_are_those_that_genai_prices_reads(reader: str, used: Tokens) -> None:
    payload = PAYLOADS[reader](used)
    provider, flavor = ORACLES[reader]
    _, extracted = PROVIDERS[provider].extract_usage(payload, api_flavor=flavor)
    (event,) = served(reader, payload=payload).events
    for unit, count in event.data.units.items():
        assert getattr(extracted, unit) == count, unit

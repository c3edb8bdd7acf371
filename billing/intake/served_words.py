"""What others call a service tier and the end of a request, in our words.

Invariant: an event has the outcome that these tables give it, and nothing else decides what is
billable: ``pricing_rules.usage.totals.BILLABLE_OUTCOMES`` does, by outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from billing.intake.payload_fields import Reading
from pricing_rules.usage.event import Outcome

STANDARD = "standard"
BATCH = "batch"

SERVICE_TIERS: Mapping[str, str | None] = {
    "default": STANDARD,
    "on_demand": STANDARD,
    "fast": "priority",
    "on_demand_priority": "priority",
    "on_demand_flex": "flex",
    "on_demand_offpeak": "offpeak",
    "auto": None,
    "unspecified": None,
    "traffic_type_unspecified": None,
}
"""Words for a service tier, in lower case -> ours; None where the word says what was asked, or
nothing. A word that is not here is ours already.
"""

WHOLE: Outcome = "completed"
CUT: Outcome = "cancelled"
"""The answer is not whole: who asked went away, a filter or a refusal ended it, a stream broke.
What was delivered before is counted.
"""
NONE: Outcome = "failed"

OPENAI_FINISH: Mapping[str, Outcome] = {
    "stop": WHOLE,
    "length": WHOLE,
    "tool_calls": WHOLE,
    "function_call": WHOLE,
    "repetition": WHOLE,
    "content_filter": CUT,
    "abort": CUT,
    "error": NONE,
}
"""``finish_reason`` of chat completions; ``abort``, ``repetition`` and ``error`` are words of
open servers.
"""

RESPONSE_STATUS: Mapping[str, Outcome] = {
    "completed": WHOLE,
    "incomplete": WHOLE,
    "cancelled": CUT,
    "failed": NONE,
}
"""``status`` of a response that is over; ``incomplete`` by a content filter is cut."""

ANTHROPIC_STOP: Mapping[str, Outcome] = {
    "end_turn": WHOLE,
    "max_tokens": WHOLE,
    "stop_sequence": WHOLE,
    "tool_use": WHOLE,
    "pause_turn": WHOLE,
    "compaction": WHOLE,
    "model_context_window_exceeded": WHOLE,
    "refusal": CUT,
}

GEMINI_FINISH: Mapping[str, Outcome] = {
    "STOP": WHOLE,
    "MAX_TOKENS": WHOLE,
    "CONTINUATION": WHOLE,
    **dict.fromkeys(
        (
            "SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII",
            "MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL",
            "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "IMAGE_SAFETY",
            "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "IMAGE_OTHER", "NO_IMAGE",
            "MODEL_ARMOR", "ESCALATION",
        ),
        CUT,
    ),
}  # fmt: skip

BEDROCK_STOP: Mapping[str, Outcome] = {
    "end_turn": WHOLE,
    "tool_use": WHOLE,
    "max_tokens": WHOLE,
    "stop_sequence": WHOLE,
    "model_context_window_exceeded": WHOLE,
    "guardrail_intervened": CUT,
    "content_filtered": CUT,
    "malformed_model_output": CUT,
    "malformed_tool_use": CUT,
}


def our_service_tier(word: str | None) -> str | None:
    """Our name of a service tier that somebody states; None where nothing is stated."""
    return None if word is None else SERVICE_TIERS.get(word.lower(), word)


def outcome_of(
    words: Iterable[str], *, table: Mapping[str, Outcome], reading: Reading
) -> Outcome | None:
    """The outcome of a request by the words for how its answers ended; None where there are none.

    One whole answer makes the request completed. A word that is not in the table is taken for a
    whole answer, and flagged: it was counted, so it was served.
    """
    found = set()
    for word in words:
        if word not in table:
            reading.flag("unknown_finish_reason")
        found.add(table.get(word, WHOLE))
    return next((one for one in (WHOLE, CUT, NONE) if one in found), None)

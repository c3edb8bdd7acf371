"""What an entry of LiteLLM's map prices that is no token: images, seconds, pages, searches.

Invariant: what a field counts is said by its name and, where the name does not say it, by the mode
of the entry; sizes and resolutions are declared dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from pydantic import ValidationError

from pricing_rules.interchange.foreign_json import (
    UNREAD_PRICE,
    InexpressibleError,
    list_part,
    object_part,
    shown,
    whole_number,
)
from pricing_rules.interchange.imported import first_fault
from pricing_rules.interchange.litellm_entry import BATCH, Entry, number
from pricing_rules.interchange.rate_states import EVERY, State, over
from pricing_rules.prices.allowances import Allowance

PLAIN: Mapping[str, str] = {
    "input_cost_per_character": "input_characters",
    "output_cost_per_character": "output_characters",
    "input_cost_per_video_per_second": "input_video_seconds",
    "output_cost_per_video_per_second": "output_video_seconds",
    "input_cost_per_audio_per_second": "input_audio_seconds",
    "input_cost_per_request": "requests",
    "input_cost_per_text_message": "input_text_messages",
    "ocr_cost_per_page": "input_document_pages",
    "annotation_cost_per_page": "input_annotated_document_pages",
    "google_maps_grounding_cost_per_query": "maps_searches",
    "code_interpreter_cost_per_session": "code_sessions",
}
"""Fields whose name says what they count."""

QUERIES: Mapping[str, str] = {
    "rerank": "rerank_searches",
    "search": "web_searches",
    "vector_store": "storage_searches",
    "embedding": "input_text_messages",
}
"""What ``input_cost_per_query`` counts, by mode."""

RESOLUTIONS: Mapping[str, tuple[str, ...]] = {
    "output_cost_per_second": ("480p", "720p", "768p", "1080p", "2k", "4k"),
    "output_cost_per_image": ("0.5K", "1K", "2K", "4K", "512", "1024", "1536"),
}
"""How names of fields end that hold at one resolution."""

_BOTH_WAYS = (
    "output images are priced by the image and by their tokens; count one of them, not both"
)
_PER_PROMPT = "web_searches counts the requests that searched (LiteLLM's per_prompt), not queries"
_PER_PROMPT_PROVIDERS = ("gemini", "vertex_ai", "vertex_ai-language-models")

SEARCH_SIZES = ("low", "medium", "high")

SEARCHES = "searches-"
"""How the ids of allowances of searches begin; the name of the shared group follows."""

Found = dict[State, dict[str, Fraction]]


def count_states(entry: Entry, *, service_tier: str, notes: dict[str, None]) -> list[Found]:
    """The rates of an entry for what it counts besides tokens: groups of states that are closed.

    They are the same in every service tier, but for the fields that end in ``_batches``.
    """
    base: dict[str, Fraction] = {}
    for name, unit in PLAIN.items():
        rate = _plain(entry, name, service_tier=service_tier)
        if rate is not None:
            base[unit] = rate
    groups: list[Found] = [{EVERY: base, **_over_128k(entry)}]
    groups += [_seconds(entry), _images(entry, notes=notes), _searches(entry, notes=notes)]
    groups += [_queries(entry), _guardrails(entry)]
    return [group for group in groups if any(group.values())]


def free_searches(entry: Entry) -> Allowance | None:
    """The searches of an entry that are free in each day or month, shared by name."""
    name = "search_free_requests"
    free = object_part(entry.take(name), name=name)
    if not free:
        return None
    group, reset = free.get("shared_group") or entry.name, free.get("period")
    if free.keys() - {"count", "period", "shared_group"} or reset not in ("day", "month"):
        raise InexpressibleError(UNREAD_PRICE, detail=f"{name} is {shown(free)}")
    quantity = whole_number(free.get("count"), name="count")
    try:
        return Allowance(
            id=f"{SEARCHES}{group}",
            units=("web_searches",),
            models=(entry.name,),
            quantity=quantity,
            reset=reset,
        )
    except ValidationError as error:
        raise InexpressibleError(UNREAD_PRICE, detail=f"{name}: {first_fault(error)}") from None


def refuse_settings(entry: Entry) -> None:
    """Refuse what is a price rule without being a price."""
    if "minimax_free_input_images" in entry.specific:
        raise InexpressibleError(
            "a free quantity in each request", detail="the first input images of a request"
        )


def _plain(entry: Entry, name: str, *, service_tier: str) -> Fraction | None:
    plain = entry.rate(name)
    own = entry.rate(f"{name}_batches")
    return own if service_tier == BATCH and own is not None else plain


def _over_128k(entry: Entry) -> Found:
    rates = {}
    for name, unit in {**PLAIN, "input_cost_per_image": "input_images"}.items():
        rate = entry.rate(f"{name}_above_128k_tokens")
        if rate is not None:
            rates[unit] = rate
    return {over(128_000): rates} if rates else {}


def _seconds(entry: Entry) -> Found:
    mode = entry.text("mode")
    given, made = entry.rate("input_cost_per_second"), entry.rate("output_cost_per_second")
    capacity = entry.rate("cost_per_second")
    if capacity is not None:
        if given not in (None, capacity):
            raise InexpressibleError("two prices of one second", detail="input and plain differ")
        return {EVERY: {"capacity_unit_seconds": capacity}}
    found: Found = {EVERY: {}}
    if mode == "audio_transcription":
        # The same seconds under both names: what is transcribed has no length of its own.
        named = {rate for rate in (given, made) if rate}
        if len(named) > 1:
            raise InexpressibleError("two prices of one second", detail="input and output differ")
        if given is not None or made is not None:
            found[EVERY]["input_audio_seconds"] = named.pop() if named else Fraction(0)
        return found
    if given is not None:
        found[EVERY]["input_audio_seconds"] = given
    unit = "output_video_seconds" if mode == "video_generation" else "output_audio_seconds"
    return _by_resolution(entry, "output_cost_per_second", unit=unit, plain=made, found=found)


def _images(entry: Entry, *, notes: dict[str, None]) -> Found:
    mode = entry.text("mode")
    given, made = entry.rate("input_cost_per_image"), entry.rate("output_cost_per_image")
    pixels = [entry.rate("input_cost_per_pixel"), entry.rate("output_cost_per_pixel")]
    found: Found = {EVERY: {}}
    if mode == "image_generation" and made is None and given is not None:
        # LiteLLM charges these for each image that is generated, whatever the name says.
        given, made = None, given
    if given is not None:
        found[EVERY]["input_images"] = given
    if made is None and any(rate is not None for rate in pixels):
        named = {rate for rate in pixels if rate}
        if len(named) > 1:
            raise InexpressibleError("two prices of one pixel", detail="input and output differ")
        found[EVERY]["output_pixels"] = named.pop() if named else Fraction(0)
    elif any(pixels):
        notes["the price of an image is imported; LiteLLM reads it before that of a pixel"] = None
    made_of = list_part(entry.fields.get("supported_output_modalities"), name="modalities")
    unit = "songs" if "audio" in made_of else "output_images"
    if made is not None and entry.fields.get("output_cost_per_image_token") is not None:
        notes[_BOTH_WAYS] = None
    return _by_resolution(entry, "output_cost_per_image", unit=unit, plain=made, found=found)


def _by_resolution(
    entry: Entry, name: str, *, unit: str, plain: Fraction | None, found: Found
) -> Found:
    if plain is not None:
        found[EVERY][unit] = plain
    for resolution in RESOLUTIONS[name]:
        rate = entry.rate(f"{name}_{resolution}")
        if rate is not None:
            at = State(dimensions=(("resolution", resolution),))
            found[at] = {**found[EVERY], unit: rate}
    return found


def _searches(entry: Entry, *, notes: dict[str, None]) -> Found:
    field = "search_context_cost_per_query"
    sizes = object_part(entry.take(field), name=field)
    billed = entry.take("web_search_billing_unit")
    if not sizes:
        return {}
    if billed not in (None, "per_prompt", "per_query"):
        raise InexpressibleError(UNREAD_PRICE, detail=f"searches billed {shown(billed)}")
    if billed != "per_query" and entry.text("litellm_provider") in _PER_PROMPT_PROVIDERS:
        notes[_PER_PROMPT] = None
    named: dict[str, Fraction | None] = {}
    for name, value in sizes.items():
        size = name.removeprefix("search_context_size_")
        if size not in SEARCH_SIZES:
            raise InexpressibleError(UNREAD_PRICE, detail=name)
        named[size] = number(value, name=name)
    rates = {size: rate for size, rate in named.items() if rate is not None}
    # A request that names no size is a medium one.
    plain = rates.get("medium")
    found: Found = {EVERY: {} if plain is None else {"web_searches": plain}}
    for size, rate in rates.items():
        found[State(dimensions=(("search_context_size", size),))] = {"web_searches": rate}
    return found


def _queries(entry: Entry) -> Found:
    rate = entry.rate("input_cost_per_query")
    if rate is None:
        return {}
    unit = QUERIES.get(entry.text("mode"))
    if unit is None:
        raise InexpressibleError("a query of an unknown kind", detail=entry.text("mode"))
    return {EVERY: {unit: rate}}


def _guardrails(entry: Entry) -> Found:
    name = "guardrail_cost_per_unit"
    kinds = object_part(entry.take(name), name=name)
    found: Found = {}
    for kind, value in kinds.items():
        rate = number(value, name=kind)
        if rate is not None:
            found[State(dimensions=(("guardrail", kind),))] = {"guardrail_units": rate}
    return found

"""A price book as LiteLLM's cost map.

Invariant: the map is read back before it is given out, so a book that LiteLLM would price otherwise
is refused with the first rate that would differ.

The provider of a model named ``provider/model`` is written as its ``litellm_provider``; a model of
another name needs one from whoever registers the map.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from pricing_rules.document import JsonValue
from pricing_rules.interchange.imported import STANDARD
from pricing_rules.interchange.litellm import import_litellm
from pricing_rules.interchange.litellm_counts import PLAIN, RESOLUTIONS, SEARCHES
from pricing_rules.interchange.litellm_entry import BATCH, FIELD_SIZES, REASONING, SUFFIXES
from pricing_rules.interchange.litellm_tokens import (
    FAST,
    FIXED,
    HALF_CACHE_PROVIDERS,
    INCLUSIVE_PROVIDERS,
    JOINED,
    MAIN,
    REGIONAL,
)
from pricing_rules.interchange.meaning import (
    LITELLM,
    effective,
    head_of,
    refuse_beyond_rates,
    refuse_lost,
    whens,
)
from pricing_rules.interchange.rate_states import EVERY, State
from pricing_rules.interchange.week_times import clock_minute
from pricing_rules.money import exact_text
from pricing_rules.prices.price_book import PriceBook, RateCard
from pricing_rules.usage.units import MAX_COUNT
from pricing_rules.windows import Window

_TOKENS: Mapping[str, str] = {**MAIN, **FIXED, "output_reasoning_tokens": REASONING}

_COUNTS: Mapping[str, tuple[str, Mapping[str, JsonValue]]] = {
    **{unit: (name, {}) for name, unit in PLAIN.items()},
    "input_images": ("input_cost_per_image", {}),
    "output_images": ("output_cost_per_image", {}),
    "songs": ("output_cost_per_image", {"supported_output_modalities": ["audio"]}),
    "output_pixels": ("input_cost_per_pixel", {"mode": "image_generation"}),
    "output_audio_seconds": ("output_cost_per_second", {}),
    "output_video_seconds": ("output_cost_per_second", {"mode": "video_generation"}),
    "capacity_unit_seconds": ("cost_per_second", {}),
    "rerank_searches": ("input_cost_per_query", {"mode": "rerank"}),
    "storage_searches": ("input_cost_per_query", {"mode": "vector_store"}),
}
"""Unit -> the field of its rate, and what makes LiteLLM take the field for it."""

_SIZES = ("low", "medium", "high")


_MARK = "\x00"
"""Stands around a number until the file is written: no name holds it, and JSON escapes it."""

_MARKED = re.compile(r'"\\u0000([0-9.]+)\\u0000"')


def export_litellm(book: PriceBook) -> bytes:
    """A book as a cost map: JSON, a key per model. DocumentError names what it cannot say."""
    refuse_beyond_rates(book, target=LITELLM)
    cards: dict[str, list[RateCard]] = {}
    for card in book.rate_cards:
        cards.setdefault(card.model, []).append(card)
    entries = {model: _entry(model, listed, book=book) for model, listed in cards.items()}
    text = json.dumps(entries, indent=2, ensure_ascii=False) + "\n"
    data = _MARKED.sub(r"\1", text).encode()
    back = import_litellm(data, name=LITELLM, head=head_of(book))
    refuse_lost(book, back=back, target=LITELLM)
    return data


def _entry(model: str, cards: Sequence[RateCard], *, book: PriceBook) -> dict[str, JsonValue]:
    provider, slash, _ = model.partition("/")
    found: dict[str, JsonValue] = {"litellm_provider": provider} if slash else {}
    inclusive = bool(slash) and provider in INCLUSIVE_PROVIDERS
    units = list(dict.fromkeys(entry.unit for card in cards for entry in card.rates))
    if slash and provider in HALF_CACHE_PROVIDERS and "input_tokens" in units:
        units.append("cache_read_tokens")  # left out, it would be half of the input rate
    sizes = sorted({e.when.threshold_tokens for card in cards for e in card.rates} - {0})
    passed = {size if inclusive else size - 1 for size in sizes}
    has_table = not passed <= FIELD_SIZES or any(
        entry.unit == "output_reasoning_tokens" and entry.when.threshold_tokens
        for card in cards
        for entry in card.rates
    )
    for card in cards:
        if card.service_tier not in SUFFIXES:
            continue
        for size in [0] if has_table else [0, *sizes]:
            tokens = size if inclusive else size - 1
            words = f"_above_{tokens // 1000}k_tokens" if size else ""
            found |= _sized(card, size_tokens=size, words=words, units=units)
        if card.service_tier == STANDARD:
            found |= _counts(card) | _off_peak(card, book=book) | _multipliers(card)
            if has_table:
                found["tiered_pricing"] = _table(card, sizes_tokens=sizes, units=units)
        elif card.service_tier == BATCH:
            paged = _rates_in(card, dimensions=())
            found |= {
                f"{name}_batches": _number(paged[unit])
                for name, unit in PLAIN.items()
                if unit in paged
            }
    for one in book.allowances:
        if model in one.models:
            group = one.id.removeprefix(SEARCHES)
            free = {"count": one.quantity, "period": one.reset, "shared_group": group}
            found["search_free_requests"] = free
    return found


def _sized(
    card: RateCard, *, size_tokens: int, words: str, units: Sequence[str]
) -> dict[str, JsonValue]:
    """The fields of tokens in one service tier, from one size on."""
    found: dict[str, JsonValue] = {}
    rates = effective(card, state=State(threshold_tokens=size_tokens), windows=(), units=units)
    for unit, rate in rates.items():
        if unit in FIXED and (size_tokens or card.service_tier not in (STANDARD, BATCH)):
            continue  # LiteLLM knows one rate of these for all sizes_tokens and service tiers
        if unit in JOINED and rate == rates.get(JOINED[unit]):
            continue  # what it takes where a cached token of a modality has no rate of its own
        if unit in _TOKENS and rate is not None and (unit in MAIN or not size_tokens):
            found[_TOKENS[unit] + words + SUFFIXES[card.service_tier]] = _number(rate)
    return found


def _table(card: RateCard, *, sizes_tokens: Sequence[int], units: Sequence[str]) -> list[JsonValue]:
    """A table of request sizes: the only way in which LiteLLM steps the rate of reasoning, or any
    rate at a size that no field names. It holds in all service tiers.
    """
    named = [unit for unit in units if unit in MAIN or unit == "output_reasoning_tokens"]
    bounds = [0, *(size - 1 for size in sizes_tokens), MAX_COUNT]
    rows: list[JsonValue] = []
    for lower, upper in pairwise(bounds):
        state = State(threshold_tokens=lower + 1 if lower else 0)
        rates = effective(card, state=state, windows=(), units=named)
        fields = {_TOKENS[unit]: _number(rate) for unit, rate in rates.items() if rate is not None}
        rows.append({"range": [lower, upper], **fields})
    return rows


def _multipliers(card: RateCard) -> dict[str, JsonValue]:
    """By how much the input rate is multiplied in a region or a dimension, where it is."""
    found: dict[str, JsonValue] = {}
    specific: dict[str, JsonValue] = {}
    plain = _input(card, state=EVERY)
    named = {when.region for when in whens(card)}
    for region in ("eu", "us"):
        rate = _input(card, state=State(region=region)) if region in named else None
        if rate and plain:
            found[f"regional_processing_uplift_multiplier_{region}"] = _number(rate / plain)
    for pair in (REGIONAL, FAST):
        has = any(pair in when.dimensions.items() for when in whens(card))
        rate = _input(card, state=State(dimensions=(pair,))) if has else None
        if rate and plain and pair == REGIONAL:
            found["regional_endpoint_uplift_multiplier"] = _number(rate / plain)
        elif rate and plain:
            specific["fast"] = _number(rate / plain)
    return {**found, **({"provider_specific_entry": specific} if specific else {})}


def _input(card: RateCard, *, state: State) -> Fraction | None:
    return effective(card, state=state, windows=(), units=["input_tokens"])["input_tokens"]


def _counts(card: RateCard) -> dict[str, JsonValue]:
    """The fields of what is no token, at each resolution, size of search and kind of guardrail."""
    found: dict[str, JsonValue] = {}
    by_size: dict[str, JsonValue] = {}
    kinds: dict[str, JsonValue] = {}
    for dimensions in list(dict.fromkeys(tuple(sorted(w.dimensions.items())) for w in whens(card))):
        named = dict(dimensions)
        for unit, rate in _rates_in(card, dimensions=dimensions).items():
            if unit == "guardrail_units" and "guardrail" in named:
                kinds[named["guardrail"]] = _number(rate)
            elif unit == "cache_read_tokens" and named.get("cache") == "explicit":
                found["explicit_cache_read_input_token_cost"] = _number(rate)
            elif unit in _COUNTS:
                name, settings = _COUNTS[unit]
                words = f"_{named['resolution']}" if "resolution" in named else ""
                if not words or name in RESOLUTIONS:
                    found |= {name + words: _number(rate), **settings}
    for size in _SIZES:
        rates = _rates_in(card, dimensions=(("search_context_size", size),))
        if "web_searches" in rates:
            by_size[f"search_context_size_{size}"] = _number(rates["web_searches"])
    if by_size:
        found["search_context_cost_per_query"] = by_size
    return {**found, **({"guardrail_cost_per_unit": kinds} if kinds else {})}


def _rates_in(card: RateCard, *, dimensions: tuple[tuple[str, str], ...]) -> dict[str, Fraction]:
    units = [entry.unit for entry in card.rates]
    rates = effective(card, state=State(dimensions=dimensions), windows=(), units=units)
    return {unit: rate for unit, rate in rates.items() if rate is not None}


def _off_peak(card: RateCard, *, book: PriceBook) -> dict[str, JsonValue]:
    """The rates in the first window that the card names; a second one is lost, and so refused."""
    names = [when.window for when in whens(card) if when.window is not None]
    if not names:
        return {}
    block: dict[str, JsonValue] = {}
    units = [e.unit for e in card.rates if e.when.window == names[0] and e.unit in _TOKENS]
    rates = effective(card, state=State(window=names[0]), windows=(names[0],), units=units)
    block |= {_TOKENS[unit]: _number(rate) for unit, rate in rates.items() if rate is not None}
    block["windows"] = _rules(book.windows[names[0]])
    return {"off_peak_pricing": block}


def _rules(window: Window) -> list[JsonValue]:
    """Stretches by weekday; one over midnight is cut there, since LiteLLM asks what day it is."""
    rules: list[JsonValue] = []
    for times in window.times:
        days = list(times.weekdays) or list(range(1, 8))
        start, end = clock_minute(times.start_time), clock_minute(times.end_time)
        if start < end or end == 0:
            rules.append({"hours_utc": f"{times.start_time}-{times.end_time}", "weekdays": days})
            continue
        rules.append({"hours_utc": f"{times.start_time}-00:00", "weekdays": days})
        rules.append(
            {"hours_utc": f"00:00-{times.end_time}", "weekdays": [day % 7 + 1 for day in days]}
        )
    return rules


def _number(rate: Fraction) -> str:
    text = exact_text(rate)
    return text if "/" in text else f"{_MARK}{text}{_MARK}"

"""The token rates of an entry of LiteLLM's map, as its ``generic_cost_per_token`` executes them.

Invariant: each state of a card has the rates that LiteLLM would use for such a request, its
fallbacks written out, so that the card needs no knowledge of LiteLLM.

The order: a ``tiered_pricing`` list, else the fields of the service tier above the highest size
that the request passes, else plain fields above it, else the rates so far; then an off-peak window
replaces what it names, at every size; multipliers come last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import chain, combinations, pairwise

from pricing_rules.document import JsonValue
from pricing_rules.interchange.foreign_json import (
    UNREAD_PRICE,
    UNREAD_TIME,
    InexpressibleError,
    list_part,
    object_part,
    shown,
    whole_number,
)
from pricing_rules.interchange.imported import STANDARD, Collected
from pricing_rules.interchange.litellm_entry import (
    BATCH,
    CACHE_READ,
    CACHE_WRITE,
    CACHE_WRITE_1H,
    INPUT,
    OUTPUT,
    OUTPUT_IMAGE,
    REASONING,
    SUFFIXES,
    Entry,
    number,
)
from pricing_rules.interchange.rate_states import EVERY, Rates, State
from pricing_rules.interchange.week_times import (
    clock_minute,
    fixed_offset_minutes,
    shifted,
    week_minutes,
    window_of,
)

INCLUSIVE_PROVIDERS = frozenset({"xai"})
"""Providers whose sizes are passed at the size itself; those of all others strictly over it."""

HALF_CACHE_PROVIDERS = frozenset({"fireworks_ai"})
"""Providers whose cache reads, where no rate is named, cost half of the input rate."""

MAIN: Mapping[str, str] = {
    "input_tokens": INPUT,
    "output_tokens": OUTPUT,
    "cache_read_tokens": CACHE_READ,
    "cache_write_tokens": CACHE_WRITE,
    "cache_write_1h_tokens": CACHE_WRITE_1H,
}
"""Units whose rate depends on the request size and the service tier."""

FIXED: Mapping[str, str] = {
    "output_citation_tokens": "citation_cost_per_token",
    "input_audio_tokens": "input_cost_per_audio_token",
    "input_image_tokens": "input_cost_per_image_token",
    "input_video_tokens": "input_cost_per_video_token",
    "output_audio_tokens": "output_cost_per_audio_token",
    "output_image_tokens": OUTPUT_IMAGE,
    "output_video_tokens": "output_cost_per_video_token",
    "cache_audio_read_tokens": "cache_read_input_audio_token_cost",
    "cache_image_read_tokens": "cache_read_input_image_token_cost",
    "cache_audio_write_tokens": "cache_creation_input_audio_token_cost",
}
"""Units with one rate for all sizes and all service tiers but batch."""

REGIONAL = ("endpoint", "regional")
"""The dimension of requests to an endpoint that is not global."""

FAST = ("speed", "fast")
"""The dimension of requests to the faster serving of a model."""

_Axis = tuple[str, str | None, tuple[tuple[str, str], ...]]

_MULTIPLIERS: tuple[_Axis, ...] = (
    ("regional_processing_uplift_multiplier_eu", "eu", ()),
    ("regional_processing_uplift_multiplier_us", "us", ()),
    ("regional_endpoint_uplift_multiplier", None, (REGIONAL,)),
)
"""Field -> the region or the dimensions of the requests whose rates it multiplies."""

_SPECIFIC: tuple[_Axis, ...] = (("us", "us", ()), ("fast", None, (FAST,)))
"""The same for the fields of ``provider_specific_entry``; its other fields are settings."""

JOINED: Mapping[str, str] = {
    f"cache_{modality}_{kind}_tokens": f"cache_{kind}_tokens"
    for modality in ("audio", "image", "video")
    for kind in ("read", "write", "write_1h")
}
"""Cached tokens of a modality -> the unit whose rate they take where they have none."""

_MODALITY = {joined: f"input_{joined.split('_')[1]}_tokens" for joined in JOINED}

_DAYS = {name: i for i, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 1)}


def token_states(
    entry: Entry, *, service_tier: str, collected: Collected
) -> dict[State, dict[str, Fraction]]:
    """The token rates of an entry in one service tier, by state; empty where it has none."""
    states = _tabled(entry, service_tier=service_tier) or _sized(entry, service_tier=service_tier)
    if not any(states.values()):
        return {}
    for rates in states.values():
        _fill(entry, rates, service_tier=service_tier)
    states |= _off_peak(entry, states, collected=collected)
    states |= _explicit_cache(entry, states, service_tier=service_tier)
    for rates in states.values():
        _join(rates)
    return _multiplied(entry, states)


def _sized(entry: Entry, *, service_tier: str) -> dict[State, dict[str, Fraction]]:
    base: dict[str, Fraction] = {}
    for unit, name in MAIN.items():
        rate = entry.rate_in(name, service_tier=service_tier)
        if rate is not None:
            base[unit] = rate
    if not base.get("output_tokens"):
        # A model whose output is images alone names the rate of image tokens only.
        image = entry.rate_in(OUTPUT_IMAGE, service_tier=service_tier)
        if image is not None:
            base["output_tokens"] = image
    states = {EVERY: base}
    inclusive = entry.text("litellm_provider") in INCLUSIVE_PROVIDERS
    for tokens, words in entry.thresholds:
        above = dict(base)
        for unit, name in MAIN.items():
            rate = entry.rate_in(name + words, service_tier=service_tier)
            if rate is not None:
                above[unit] = rate
        first = tokens if inclusive else tokens + 1
        states[State(threshold_tokens=first, inclusive=inclusive)] = above
    return states


def _tabled(entry: Entry, *, service_tier: str) -> dict[State, dict[str, Fraction]]:
    """The states of a ``tiered_pricing`` list; empty where there is none of request sizes."""
    rows = list_part(entry.take("tiered_pricing"), name="tiered_pricing")
    if not rows:
        return {}
    table = sorted((_row(row) for row in rows), key=lambda one: one[0])
    if table[0][0] != 0 or any(upper != lower for (_, upper, _), (lower, _, _) in pairwise(table)):
        raise InexpressibleError("sizes with a gap", detail="tiered_pricing does not tile from 0")
    states: dict[State, dict[str, Fraction]] = {}
    for lower, _, row in table:
        # An absent or zero rate of a row is its input rate; output alone has the entry's own.
        found = {unit: _positive(row, name) for unit, name in MAIN.items()}
        rates = {unit: rate for unit, rate in found.items() if rate is not None}
        rates.setdefault("input_tokens", Fraction(0))
        has_output = row.get(OUTPUT) is not None
        output = Fraction(0) if has_output else entry.rate(OUTPUT)
        if output is not None:
            rates.setdefault("output_tokens", output)
        reasoning = _positive(row, REASONING)
        if reasoning is None and not has_output:
            reasoning = entry.rate(REASONING)
        if reasoning is not None:
            rates["output_reasoning_tokens"] = reasoning
        if service_tier == BATCH:
            rates = {unit: rate / 2 for unit, rate in rates.items()}
        states[State(threshold_tokens=lower + 1) if lower else EVERY] = rates
    for name in MAIN.values():
        entry.rate_in(name, service_tier=service_tier)  # read, and the list wins over it
    return states


def _row(row: JsonValue) -> tuple[int, int, Mapping[str, JsonValue]]:
    fields = object_part(row, name="a row of tiered_pricing")
    bounds = list_part(fields.get("range"), name="range")
    if len(bounds) != 2 or fields.get(INPUT) is None:
        raise InexpressibleError("sizes of something else than the request", detail=shown(row))
    lower, upper = (whole_number(bound, name="range") for bound in bounds)
    for name in sorted(fields.keys() - {"range", REASONING, *MAIN.values()}):
        raise InexpressibleError(UNREAD_PRICE, detail=name)
    return lower, upper, fields


def _positive(row: Mapping[str, JsonValue], name: str) -> Fraction | None:
    return number(row.get(name), name=name) or None


def _fill(entry: Entry, rates: dict[str, Fraction], *, service_tier: str) -> None:
    """What one state takes from fields that know no size."""
    for unit, name in FIXED.items():
        plain = entry.rate(name)
        if service_tier == BATCH:
            plain = entry.rate_in(name, service_tier=BATCH)
        if plain is not None:
            rates.setdefault(unit, plain)
    cached_half = entry.text("litellm_provider") in HALF_CACHE_PROVIDERS
    if cached_half and "cache_read_tokens" not in rates and "input_tokens" in rates:
        rates["cache_read_tokens"] = rates["input_tokens"] / 2
    reasoning = _reasoning(entry, service_tier=service_tier)
    if reasoning is not None and not entry.fields.get("tiered_pricing"):
        rates["output_reasoning_tokens"] = reasoning


def _reasoning(entry: Entry, *, service_tier: str) -> Fraction | None:
    """The rate of reasoning tokens; None: that of output, which is their nearest ancestor."""
    plain = entry.rate(REASONING)
    if service_tier == STANDARD:
        return plain
    suffix = SUFFIXES[service_tier]
    own = entry.rate(REASONING + suffix)
    if own is not None:
        return own
    if entry.rate(OUTPUT + suffix) is not None:
        return None
    return entry.rate_in(REASONING, service_tier=service_tier)


def _off_peak(
    entry: Entry, states: Mapping[State, Rates], *, collected: Collected
) -> dict[State, dict[str, Fraction]]:
    block = object_part(entry.take("off_peak_pricing"), name="off_peak_pricing")
    known = {INPUT, OUTPUT, CACHE_READ, CACHE_WRITE, REASONING}
    for name in sorted(block.keys() - known - {"hours_utc", "windows", "weekday_timezone"}):
        raise InexpressibleError(UNREAD_PRICE, detail=name)
    named = {
        "input_tokens": INPUT,
        "output_tokens": OUTPUT,
        "cache_read_tokens": CACHE_READ,
        "cache_write_tokens": CACHE_WRITE,
        "output_reasoning_tokens": REASONING,
    }
    found = {unit: number(block.get(name), name=name) for unit, name in named.items()}
    replaced = {unit: rate for unit, rate in found.items() if rate is not None}
    minutes = off_peak_minutes(block)
    if not minutes:
        return {}
    window = collected.window_name(window_of(minutes))
    return {replace(state, window=window): {**rates, **replaced} for state, rates in states.items()}


def off_peak_minutes(block: Mapping[str, JsonValue]) -> frozenset[int]:
    """The minutes of the week in UTC (0 is Monday 00:00) at which an off-peak block holds.

    ``hours_utc`` (a text or a list) hold every day. Those of a rule in ``windows`` hold on its
    ISO ``weekdays``, as ``weekday_timezone`` tells the day; the hours stay those of UTC.
    """
    rules = [
        {"hours_utc": block.get("hours_utc")},
        *list_part(block.get("windows"), name="windows"),
    ]
    offset = fixed_offset_minutes(str(block.get("weekday_timezone") or "UTC"))
    minutes: frozenset[int] = frozenset()
    for rule in (object_part(one, name="a window") for one in rules):
        hours = rule.get("hours_utc")
        found: frozenset[int] = frozenset()
        for text in [hours] if isinstance(hours, str) else list_part(hours, name="hours_utc"):
            start, _, end = str(text).partition("-")
            found |= week_minutes(
                clock_minute(start), end_minute=clock_minute(end), weekdays=range(1, 8)
            )
        if rule.get("weekdays") is not None:
            named = map(_weekday, list_part(rule["weekdays"], name="weekdays"))
            days = week_minutes(0, end_minute=0, weekdays=named)
            found &= shifted(days, by_minutes=-offset)
        minutes |= found
    return minutes


def _weekday(value: JsonValue) -> int:
    day = _DAYS.get(value.strip().lower()[:3]) if isinstance(value, str) else value
    if isinstance(day, bool) or not isinstance(day, int) or not 1 <= day <= 7:
        raise InexpressibleError(UNREAD_TIME, detail=shown(value))
    return day


def _explicit_cache(
    entry: Entry, states: Mapping[State, Rates], *, service_tier: str
) -> dict[State, dict[str, Fraction]]:
    """Reads of a cache that was asked for, where they cost other than those of one that was not."""
    rate = entry.rate_in("explicit_cache_read_input_token_cost", service_tier=service_tier)
    if rate is None:
        return {}
    return {
        replace(state, dimensions=(("cache", "explicit"),)): {**rates, "cache_read_tokens": rate}
        for state, rates in states.items()
    }


def _join(rates: dict[str, Fraction]) -> None:
    """Rates for cached tokens of a modality, where both the cache and the modality have one.

    LiteLLM bills a token that is both as cached; without a rate of its own, two would claim it.
    """
    for joined, cached in JOINED.items():
        if _MODALITY[joined] in rates and cached in rates:
            rates.setdefault(joined, rates[cached])


def _multiplied(
    entry: Entry, states: Mapping[State, dict[str, Fraction]]
) -> dict[State, dict[str, Fraction]]:
    """The states, and each of them in every region and dimension that multiplies its rates."""
    axes: list[tuple[str | None, tuple[tuple[str, str], ...], Fraction]] = []
    for name, region, dimensions in _MULTIPLIERS:
        factor = entry.rate(name)
        if factor is not None:
            axes.append((region, dimensions, factor))
    for name, region, dimensions in _SPECIFIC:
        factor = number(entry.specific.get(name), name=f"provider_specific_entry.{name}")
        if factor is not None:
            axes.append((region, dimensions, factor))
    found = dict(states)
    chosen = chain.from_iterable(combinations(axes, size) for size in range(1, len(axes) + 1))
    for axis in chosen:
        regions = [region for region, _, _ in axis if region is not None]
        if len(regions) > 1:
            continue  # a request is served in one region
        factor = Fraction(1)
        for _, _, one in axis:
            factor *= one
        named = tuple(chain.from_iterable(words for _, words, _ in axis))
        for state, rates in states.items():
            region, dimensions = (*regions, None)[0], (*state.dimensions, *named)
            special = replace(state, region=region, dimensions=dimensions)
            found[special] = {unit: rate * factor for unit, rate in rates.items()}
    return found

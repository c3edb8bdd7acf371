"""What LiteLLM would charge, computed straight from an entry of its map: the oracle of the import.

It follows the rules of ``generic_cost_per_token`` one by one, shares no line with the import, and
asks the entry anew for each request: no states, no rates of a card. It is no run of LiteLLM: where
the import misread a rule, this may have misread it too.

Invariant: exact fractions of the shortest decimals of the map's floats; nothing is cached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

Entry = Mapping[str, Any]

TIER_SUFFIX = {"standard": "", "batch": "_batches"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as LiteLLM's usage object has it: ``prompt`` includes all that is cached."""

    prompt: int = 0
    cached: int = 0
    written_5m: int = 0
    written_1h: int = 0
    audio_in: int = 0
    image_in: int = 0
    video_in: int = 0
    completion: int = 0
    reasoning: int = 0
    audio_out: int = 0
    image_out: int = 0
    service_tier: str = "standard"
    residency: str | None = None
    regional_endpoint: bool = False
    fast: bool = False
    at: datetime | None = None


def price(entry: Entry, *, name: str) -> Fraction | None:
    value = entry.get(name)
    return None if value is None else Fraction(repr(value))


def priced_in(entry: Entry, *, name: str, tier: str) -> Fraction | None:
    """A field in a service tier: its own, else the plain one; of batch, half the plain one."""
    plain = price(entry, name=name)
    if tier == "standard":
        return plain
    own = price(entry, name=name + TIER_SUFFIX.get(tier, f"_{tier}"))
    if own is not None:
        return own
    return plain / 2 if tier == "batch" and plain is not None else plain


def passed(entry: Entry, *, prompt: int) -> str | None:
    """The words of the highest size that the request passes."""
    best: tuple[int, str] | None = None
    for name in entry:
        if not name.startswith("input_cost_per_token_above_") or not name.endswith("k_tokens"):
            continue
        words = name.removeprefix("input_cost_per_token")
        size = int(words.removeprefix("_above_").removesuffix("k_tokens")) * 1000
        inclusive = entry.get("litellm_provider") == "xai"
        if (prompt >= size if inclusive else prompt > size) and (best is None or size > best[0]):
            best = (size, words)
    return best[1] if best else None


def main_rate(entry: Entry, *, name: str, request: Request) -> Fraction | None:
    """The rate of one of the main fields, before off-peak hours and fallbacks."""
    base = priced_in(entry, name=name, tier=request.service_tier)
    if name == "output_cost_per_token" and not base:
        image = priced_in(entry, name="output_cost_per_image_token", tier=request.service_tier)
        base = image if image is not None else base
    words = passed(entry, prompt=request.prompt)
    if words is not None:
        above = priced_in(entry, name=name + words, tier=request.service_tier)
        if above is not None:
            return above
    return base


def row_of(entry: Entry, *, prompt: int) -> Entry | None:
    rows = entry.get("tiered_pricing")
    if not rows:
        return None
    for row in rows:
        if row["range"][0] < prompt <= row["range"][1]:
            return dict(row)
    return dict(rows[-1])


def main_rates(entry: Entry, *, request: Request) -> dict[str, Fraction]:
    names = {
        "input": "input_cost_per_token",
        "output": "output_cost_per_token",
        "read": "cache_read_input_token_cost",
        "write": "cache_creation_input_token_cost",
        "write_1h": "cache_creation_input_token_cost_above_1hr",
    }
    row = row_of(entry, prompt=request.prompt)
    if row is None:
        found = {k: main_rate(entry, name=name, request=request) for k, name in names.items()}
    else:
        found = {k: price(row, name=name) or None for k, name in names.items()}
        if found["output"] is None:
            found["output"] = price(entry, name=names["output"])
        if request.service_tier == "batch":
            found = {k: rate / 2 if rate is not None else None for k, rate in found.items()}
    block = entry.get("off_peak_pricing")
    if block is not None and request.at is not None and is_off_peak(block, at=request.at):
        for key, name in names.items():
            replaced = price(block, name=name) if key != "write_1h" else None
            found[key] = replaced if replaced is not None else found[key]
    return with_fallbacks(entry, found)


def with_fallbacks(entry: Entry, found: Mapping[str, Fraction | None]) -> dict[str, Fraction]:
    rates: dict[str, Fraction] = {}
    rates["input"] = found["input"] if found["input"] is not None else Fraction(0)
    rates["output"] = found["output"] if found["output"] is not None else Fraction(0)
    half = entry.get("litellm_provider") == "fireworks_ai"
    default_read = rates["input"] / 2 if half else rates["input"]
    rates["read"] = found["read"] if found["read"] is not None else default_read
    rates["write"] = found["write"] if found["write"] is not None else rates["input"]
    rates["write_1h"] = found["write_1h"] if found["write_1h"] is not None else rates["write"]
    return rates


def is_off_peak(block: Entry, *, at: datetime) -> bool:
    rules = list(block.get("windows") or [])
    if block.get("hours_utc"):
        rules.append({"hours_utc": block["hours_utc"]})
    clock = at.strftime("%H:%M")
    zone = ZoneInfo(block.get("weekday_timezone") or "UTC")
    for rule in rules:
        days = rule.get("weekdays")
        if days is not None and at.astimezone(zone).isoweekday() not in days:
            continue
        hours = rule["hours_utc"]
        for text in [hours] if isinstance(hours, str) else hours:
            start, end = text.split("-")
            if start < end and start <= clock < end:
                return True
            if start >= end and (clock >= start or clock < end):
                return True
    return False


def reasoning_rate(entry: Entry, *, request: Request, output: Fraction) -> Fraction:
    name, tier = "output_cost_per_reasoning_token", request.service_tier
    block = entry.get("off_peak_pricing")
    if block is not None and request.at is not None and is_off_peak(block, at=request.at):
        own = price(block, name=name)
        if own is not None:
            return own
    row = row_of(entry, prompt=request.prompt)
    if row is not None:
        own = price(row, name=name) or None
        if own is None:
            return output
        return own / 2 if tier == "batch" else own
    if tier != "standard":
        suffix = TIER_SUFFIX.get(tier, f"_{tier}")
        own = price(entry, name=name + suffix)
        if own is not None:
            return own
        if price(entry, name=f"output_cost_per_token{suffix}") is not None:
            return output
    plain = priced_in(entry, name=name, tier=tier)
    return plain if plain is not None else output


def modality_rate(entry: Entry, *, name: str, tier: str, otherwise: Fraction) -> Fraction:
    """A rate that knows no size and, but for batch, no service tier."""
    found = priced_in(entry, name=name, tier="batch" if tier == "batch" else "standard")
    return found if found is not None else otherwise


def cost(entry: Entry, *, request: Request) -> Fraction:
    """What the tokens of a request cost, in US dollars."""
    rates, tier = main_rates(entry, request=request), request.service_tier
    text = request.prompt - request.cached - request.written_5m - request.written_1h
    text -= request.audio_in + request.image_in + request.video_in
    total = text * rates["input"] + request.cached * rates["read"]
    total += request.written_5m * rates["write"] + request.written_1h * rates["write_1h"]
    for count, modality in (
        (request.audio_in, "audio"),
        (request.image_in, "image"),
        (request.video_in, "video"),
    ):
        name = f"input_cost_per_{modality}_token"
        total += count * modality_rate(entry, name=name, tier=tier, otherwise=rates["input"])
    plain = request.completion - request.reasoning - request.audio_out - request.image_out
    total += plain * rates["output"]
    total += request.reasoning * reasoning_rate(entry, request=request, output=rates["output"])
    for count, modality in ((request.audio_out, "audio"), (request.image_out, "image")):
        name = f"output_cost_per_{modality}_token"
        total += count * modality_rate(entry, name=name, tier=tier, otherwise=rates["output"])
    return total * multiplier(entry, request=request)


def multiplier(entry: Entry, *, request: Request) -> Fraction:
    factor = Fraction(1)
    specific = entry.get("provider_specific_entry") or {}
    if request.residency is not None:
        name = f"regional_processing_uplift_multiplier_{request.residency}"
        factor *= price(entry, name=name) or 1
        factor *= price(specific, name=request.residency) or 1
    if request.regional_endpoint:
        factor *= price(entry, name="regional_endpoint_uplift_multiplier") or 1
    if request.fast:
        factor *= price(specific, name="fast") or 1
    return factor

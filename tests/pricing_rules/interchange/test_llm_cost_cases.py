"""Figures of genai-prices, LiteLLM and Laminar, each priced by a book that was imported for it.

Prices per million are written as the data of genai-prices, prices per token as LiteLLM's map, so
that a case tests the import and the quote together.

Invariant: every case of the file is followed; where counts are disjoint, they are made inclusive
here, and the size of the request stays the one that the case compares.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pricing_rules.interchange.genai_prices import import_genai_prices
from pricing_rules.interchange.imported import BookHead, Imported
from pricing_rules.interchange.litellm import import_litellm
from pricing_rules.period import parse_moment
from pricing_rules.prices.quote import CompiledCard, QuoteError, compile_book
from pricing_rules.usage.leaves import split_leaves
from pricing_rules.usage.units import UNITS, scaled_count

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "llm_cost.json"

Case = dict[str, Any]

ALL: list[Case] = json.loads(CASES.read_bytes())["cases"] if CASES.is_file() else []

PER_TOKEN = {
    "input": "input_cost_per_token",
    "output": "output_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
}
WEEK_BEGINS = "2026-08-24"  # a Monday


@pytest.mark.skipif(not ALL, reason="../shared/cases is absent")
def test_there_are_37_cases() -> None:
    assert len(ALL) == 37


@pytest.mark.parametrize("case", ALL, ids=lambda case: str(case["id"]))
def test_a_figure_of_another_system_is_ours_too(case: Case) -> None:
    setup, given, expected = case["setup"], case["input"], case["expected"]
    if "window_utc" in setup:
        assert is_off_peak(setup, given) is expected["off_peak"]
    elif "billable" in expected:
        counts = {unit: int(count) for unit, count in given.items()}
        assert split_leaves(counts) == {u: int(n) for u, n in expected["billable"].items()}
    elif "error" in expected:
        counts = {unit: int(count) for unit, count in given.items()}
        with pytest.raises(QuoteError, match=r"input_tokens .* is less than what it contains"):
            card_of(genai_book(dict.fromkeys(counts, "1"))).amount(counts)
    else:
        got = costs(setup, given)
        assert {key: got[key] for key in expected} == {k: Fraction(v) for k, v in expected.items()}


def costs(setup: Case, given: Case) -> dict[str, Fraction]:
    at = given.get("request_time", "2026-01-01T00:00:00Z")
    at = at if at.endswith("Z") else f"{at}:00Z"
    if "prices_per_token" in setup:
        book = litellm_book(setup["prices_per_token"])
    elif "prices_by_date" in setup:
        book = genai_series(setup["prices_by_date"], at=at)
    elif "price_per_audio_hour" in setup:
        book = genai_book({"audio_seconds": setup["price_per_audio_hour"]})
    else:
        book = genai_book(setup["prices_per_million_tokens"])
    size, counts = inclusive(setup, given)
    card = card_of(book, size=size, at=at)
    sides: dict[str, dict[str, int]] = {"input": {}, "output": {}, "": {}}
    for unit, count in counts.items():
        words = UNITS[unit].dimensions
        side = next((s for s in ("input", "output") if f"direction={s}" in words), "")
        sides[side][unit] = count
    amounts = {f"{side}_cost": card.amount(part) for side, part in sides.items()}
    return {**amounts, "total_cost": sum(amounts.values(), Fraction(0))}


def inclusive(setup: Case, given: Case) -> tuple[int, dict[str, int]]:
    """The size that thresholds look at, and inclusive counts at the units' scale."""
    if not str(setup.get("token_counting", "")).startswith("disjoint"):
        counts = {
            unit: scaled_count(unit, count=str(n) if UNITS[unit].scale > 1 else int(n))
            for unit, n in given.items()
            if unit != "request_time"
        }
        return counts.get("input_tokens", 0), counts
    counts = {unit: int(n) for unit, n in given.items()}
    prompt, completion = counts.pop("prompt_tokens"), counts.pop("completion_tokens", 0)
    reasoning = counts.pop("reasoning_tokens", 0)
    cached = counts.get("cache_read_tokens", 0) + counts.get("cache_write_tokens", 0)
    return prompt, {
        **counts,
        "input_tokens": prompt + cached,
        "output_tokens": completion + reasoning,
        "output_reasoning_tokens": reasoning,
    }


def litellm_book(prices: Mapping[str, Any]) -> Imported:
    entry: Case = {"litellm_provider": "openai"}
    for key, value in prices.items():
        if key == "off_peak":
            block = {PER_TOKEN[k]: float(v) for k, v in value.items() if k in PER_TOKEN}
            entry["off_peak_pricing"] = {**block, "hours_utc": value["hours_utc"]}
            continue
        name, above, size = key.partition("_above_")
        words = f"_above_{int(size) // 1000}k_tokens" if above else ""
        entry[PER_TOKEN[name] + words] = float(value)
    return import_litellm(json.dumps({"m/m": entry}).encode(), name="map", head=HEAD)


HEAD = BookHead(series="s", number=1, effective_from=0)


def genai_price(value: Any) -> Any:
    if isinstance(value, str):
        return value
    steps = [{"start": int(s["tokens"]), "price": s["price"]} for s in value["above"]]
    return {"base": value["base"], "tiers": steps}


def genai_file(prices: object) -> bytes:
    return json.dumps([{"id": "m", "models": [{"id": "m", "prices": prices}]}]).encode()


def genai_book(prices: Mapping[str, Any]) -> Imported:
    keyed = {
        "audio_hours" if name == "audio_seconds" else f"{name.removesuffix('_tokens')}_mtok": (
            genai_price(value)
        )
        for name, value in prices.items()
    }
    return import_genai_prices(genai_file(keyed), name="data", head=HEAD)


def genai_series(dated: list[Case], *, at: str) -> Imported:
    listed = [
        {
            "prices": {"input_mtok": one["input_per_million"]},
            **({"constraint": {"start_date": one["from"]}} if "from" in one else {}),
        }
        for one in dated
    ]
    head = BookHead(series="s", number=1, effective_from=parse_moment(at))
    return import_genai_prices(genai_file(listed), name="data", head=head)


def card_of(imported: Imported, *, size: int = 0, at: str = "2026-01-01T00:00:00Z") -> CompiledCard:
    assert imported.book is not None
    return compile_book(imported.book).card(
        model="m/m", service_tier="standard", size_tokens=size, moment_at=parse_moment(at)
    )


def is_off_peak(setup: Case, given: Case) -> bool:
    """Whether a million input tokens at the time cost the off-peak price of 1, and not 2."""
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    rule: Case = {"hours_utc": setup["window_utc"]}
    if "weekdays" in setup:
        rule["weekdays"] = [names.index(day) + 1 for day in setup["weekdays"]]
    entry = {
        "input_cost_per_token": 2e-06,
        "off_peak_pricing": {
            "input_cost_per_token": 1e-06,
            "windows": [rule],
            "weekday_timezone": setup.get("weekday_timezone", "UTC"),
        },
    }
    imported = import_litellm(json.dumps({"m/m": entry}).encode(), name="map", head=HEAD)
    at = given["time_utc"]
    at = at if at.endswith("Z") else f"{WEEK_BEGINS}T{at}:00Z"
    return card_of(imported, at=at).amount({"input_tokens": 10**6}) == 1

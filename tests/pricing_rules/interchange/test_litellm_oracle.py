"""The import of LiteLLM's whole map against an interpreter of its own: quote by quote.

Invariant: every token-priced entry of the map is either compared or refused by name, and a quote
of the imported book is what the interpreter says, exactly.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.prices.quote import CompiledBook, compile_book
from tests.pricing_rules.interchange.litellm_interpreter import Request, cost, price
from tests.pricing_rules.interchange.made_imports import SOAK, LitellmMap

FROM = datetime(2026, 1, 1, tzinfo=UTC)

EVERY = 1 if SOAK else 12
"""Of the ordinary entries one in so many is compared; those with special rules always are."""

USAGES = 10
SUFFIXES = {
    "batch": "_batches",
    "flex": "_flex",
    "priority": "_priority",
    "balanced": "_balanced",
    "ultrafast": "_ultrafast",
    "decisions": "_decisions",
}
SPECIAL = ("tiered_pricing", "off_peak_pricing", "provider_specific_entry", "uplift", "_above_")

Entry = dict[str, Any]


def is_token_priced(entry: Entry) -> bool:
    return any(
        "_token" in name and "cost" in name and "dbu" not in name and value is not None
        for name, value in entry.items()
    ) or isinstance(entry.get("tiered_pricing"), list)


def tiers_of(entry: Entry) -> list[str]:
    named = [tier for tier, suffix in SUFFIXES.items() if any(n.endswith(suffix) for n in entry)]
    only_others = all(n.endswith(tuple(SUFFIXES.values())) for n in entry if "cost" in n)
    return named if named and only_others else ["standard", *named]


def sizes_of(entry: Entry) -> list[int]:
    """Every size at which something may change, below, at and above it; and some others."""
    bounds = [
        int(name.split("_above_")[-1].split("k_tokens")[0]) * 1000
        for name in entry
        if name.startswith("input_cost_per_token_above_")
    ]
    bounds += [int(row["range"][1]) for row in entry.get("tiered_pricing") or [] if "range" in row]
    return [bound + step for bound in bounds for step in (-1, 0, 1)]


def requests(entry: Entry, *, chance: random.Random) -> Iterator[Request]:
    tiers, sizes = tiers_of(entry), sizes_of(entry)
    has_input = entry.get("input_cost_per_token") is not None or "tiered_pricing" in entry
    for i in range(max(USAGES, 2 * len(tiers), len(sizes))):
        prompt = 1 + chance.randrange(40_000)
        if sizes and i < len(sizes):
            prompt = sizes[i]
        elif sizes and chance.random() < 0.5:
            prompt = chance.choice(sizes)
        prompt = prompt if has_input else 0
        left = prompt
        parts: dict[str, int] = {}
        for name in ("cached", "written_5m", "written_1h", "audio_in", "image_in", "video_in"):
            field = f"input_cost_per_{name.removesuffix('_in')}_token"
            if name.endswith("_in") and entry.get(field) is None:
                continue  # without a rate of its own: see the differences that are meant
            parts[name] = chance.randrange(left // 2 + 1) if chance.random() < 0.6 else 0
            left -= parts[name]
        completion = chance.randrange(20_000) if has_output(entry) else 0
        left = completion
        for name in ("reasoning", "audio_out", "image_out"):
            field = f"output_cost_per_{name.removesuffix('_out')}_token"
            if name != "reasoning" and entry.get(field) is None:
                continue
            parts[name] = chance.randrange(left // 2 + 1) if chance.random() < 0.6 else 0
            left -= parts[name]
        yield Request(
            prompt=prompt,
            completion=completion,
            **parts,
            service_tier=tiers[i % len(tiers)],
            residency=chance.choice([None, "eu", "us"]),
            regional_endpoint=chance.random() < 0.3,
            fast=chance.random() < 0.3,
            at=FROM + timedelta(minutes=chance.randrange(365 * 24 * 60)),
        )


def has_output(entry: Entry) -> bool:
    names = ("output_cost_per_token", "output_cost_per_image_token", "tiered_pricing")
    return any(entry.get(name) is not None for name in names)


def quoted(book: CompiledBook, *, model: str, request: Request) -> Fraction:
    units = {
        "input_tokens": request.prompt,
        "cache_read_tokens": request.cached,
        "cache_write_tokens": request.written_5m + request.written_1h,
        "cache_write_1h_tokens": request.written_1h,
        "input_audio_tokens": request.audio_in,
        "input_image_tokens": request.image_in,
        "input_video_tokens": request.video_in,
        "output_tokens": request.completion,
        "output_reasoning_tokens": request.reasoning,
        "output_audio_tokens": request.audio_out,
        "output_image_tokens": request.image_out,
    }
    dimensions = {"endpoint": "regional"} if request.regional_endpoint else {}
    dimensions |= {"speed": "fast"} if request.fast else {}
    assert request.at is not None
    card = book.card(
        model=model,
        service_tier=request.service_tier,
        size_tokens=request.prompt,
        region=request.residency or "",
        dimensions=dimensions,
        moment_at=int(request.at.timestamp()) * 1_000_000,
    )
    return card.amount({unit: count for unit, count in units.items() if count})


def test_every_entry_is_in_the_book_or_named(litellm_map: LitellmMap) -> None:
    models = {card.model for card in litellm_map.book.rate_cards}
    without = litellm_map.imported.without_price
    # 4,134 in the book + 10 refused + 98 without a price = 4,242 keys
    assert (len(models), len(litellm_map.refused), len(without)) == (4134, 10, 98)
    assert models | litellm_map.refused | set(without) == litellm_map.entries.keys()


@pytest.mark.hypothesis  # `make soak` compares every entry
def test_a_quote_is_what_litellm_would_charge(litellm_map: LitellmMap) -> None:
    chance, book = random.Random(20261126), compile_book(litellm_map.book)
    compared: int = 0
    differ: list[str] = []
    for i, (model, entry) in enumerate(litellm_map.entries.items()):
        is_special = any(word in name for word in SPECIAL for name in entry)
        if i % EVERY and not is_special and len(tiers_of(entry)) == 1:
            continue
        if model in litellm_map.refused or not is_token_priced(entry):
            continue
        for request in requests(entry, chance=chance):
            ours = quoted(book, model=model, request=request)
            # A fee per request is none of the token prices; four models have one.
            theirs = cost(entry, request=request) + (
                price(entry, name="input_cost_per_request") or 0
            )
            compared += 1
            if ours != theirs:
                differ.append(f"{model}: {ours} is not {theirs} for {request}")
    assert differ[:5] == []
    assert compared > (34_000 if SOAK else 9_000)

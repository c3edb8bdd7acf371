"""The import of genai-prices against its own ``calc_price``: every model, quote by quote.

Invariant: where genai-prices prices a request, a quote of the imported book is the same amount;
where it refuses one, we refuse it too, or ``unsaid_part`` says why it did.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.interchange.genai_prices import (
    import_genai_series,
    place_of,
    unsaid_part,
)
from pricing_rules.period import moment_text, parse_moment
from pricing_rules.prices.quote import CompiledBook, CompiledCard, QuoteError, compile_book
from pricing_rules.usage.units import UNITS
from tests.pricing_rules.interchange.made_imports import SOAK, GenaiData

genai_data = pytest.importorskip("genai_prices.data")
genai = pytest.importorskip("genai_prices.types")

DAYS = 24 if SOAK else 3
CONTEXTS: list[dict[str, str]] = [
    {},
    {"processing": "batch"},
    {"service_tier": "default"},
    {"service_tier": "flex"},
    {"service_tier": "priority"},
    {"service_tier": "fast"},
    {"speed": "fast"},
    {"route": "mistral/eu"},
    {"search_type": "fast"},
    {"search_type": "web"},
]
FULL_STEPS = (128_000, 199_999, 200_000, 256_000, 272_000)


def at_of(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


def random_counts(priced: list[str], *, chance: random.Random) -> dict[str, int]:
    """Inclusive counts at the units' scale in which every priced part is said."""
    leaves = {
        unit: chance.randrange(10 ** chance.randrange(1, 6)) if chance.random() < 0.7 else 0
        for unit in priced
    }
    if "input_tokens" in leaves and chance.random() < 0.5:
        leaves["input_tokens"] = chance.choice(FULL_STEPS) + chance.randrange(-1, 2)
    return {
        unit: sum(n for part, n in leaves.items() if UNITS[unit].contains(UNITS[part]))
        for unit in priced
    }


def spoiled(counts: Mapping[str, int], *, chance: random.Random) -> dict[str, int]:
    """The same counts with one left out or one too large."""
    found = dict(counts)
    if found:
        unit = chance.choice(sorted(found))
        if chance.random() < 0.5:
            del found[unit]
        else:
            found[unit] += chance.randrange(1, 10**6)
    return found


def theirs(
    model: Any, provider: Any, *, counts: Mapping[str, int], at: datetime, context: dict[str, str]
) -> Decimal | None:
    usage = genai.Usage(
        **{
            unit: count if UNITS[unit].scale == 1 else Decimal(count) / UNITS[unit].scale
            for unit, count in counts.items()
        }
    )
    try:
        found = model.calc_price(
            usage, provider, genai_request_timestamp=at, price_context=context or None
        )
    except ValueError:
        return None
    total: Decimal = found.total_price
    return total


def ours(card: CompiledCard, *, counts: Mapping[str, int]) -> Fraction | None:
    if unsaid_part(counts, priced=card.rates.keys()) is not None:
        return None
    try:
        return card.amount(counts)
    except QuoteError:
        return None


def card_of(
    book: CompiledBook, *, model: str, context: Mapping[str, str], at: datetime, size: int
) -> CompiledCard:
    service_tier, dimensions = place_of(context)
    if book.book.card(model=model, service_tier=service_tier) is None:
        service_tier = "standard"  # what the data does not name in force changes nothing there
    return book.card(
        model=model,
        service_tier=service_tier,
        size_tokens=size,
        dimensions=dimensions,
        moment_at=at_of(at),
    )


def same(amount: Fraction | None, total: Decimal | None) -> bool:
    if amount is None or total is None:
        return amount is None and total is None
    # Prices per hour do not terminate: there, genai-prices rounds to 28 digits, and we do not.
    return abs(amount - Fraction(total)) <= amount * Fraction(1, 10**25) and (
        amount == Fraction(total) or 3600 % amount.denominator != 0
    )


@pytest.mark.hypothesis  # `make soak` compares more days
def test_a_quote_is_what_calc_price_says(genai_installed: GenaiData) -> None:
    chance = random.Random(20261126)
    found: Counter[str] = Counter()
    differ: list[str] = []
    for _ in range(DAYS):
        day = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(days=chance.randrange(730))
        imported = genai_installed.imported(at_of(day))
        assert imported.book is not None
        book = compile_book(imported.book)
        absent = {one.entry for one in imported.refused} | set(imported.without_price)
        for provider in genai_data.providers:
            for model in provider.models:
                name = f"{provider.id}/{model.id}"
                if name in absent:
                    found["refused"] += 1
                    continue
                at = day + timedelta(minutes=chance.randrange(24 * 60))
                context = chance.choice(CONTEXTS)
                card = card_of(book, model=name, context=context, at=at, size=0)
                priced = sorted(card.rates.keys() - {"requests"})
                counts = random_counts(priced, chance=chance)
                if chance.random() < 0.3:
                    counts = spoiled(counts, chance=chance)
                size = counts.get("input_tokens", 0)
                card = card_of(book, model=name, context=context, at=at, size=size)
                total = theirs(model, provider, counts=counts, at=at, context=context)
                amount = ours(card, counts=counts)
                found["agree" if same(amount, total) else "differ"] += 1
                found["both refuse"] += amount is None and total is None
                if not same(amount, total):
                    differ.append(f"{name} {context} {at} {counts}: {amount} is not {total}")
    assert differ[:5] == []
    assert found["agree"] == DAYS * (2330 - 179 - 2), found  # 179 without a price, 2 refused
    assert found["both refuse"] > 100


def test_a_series_of_one_provider_prices_each_date_as_calc_price_does(
    genai_installed: GenaiData,
) -> None:
    data, name = genai_installed.data, genai_installed.name
    series = import_genai_series(data, name=name, provider="deepseek", series="deepseek")
    starts = [moment_text(one.book.effective_from) for one in series if one.book is not None]
    assert starts == ["1970-01-01T00:00:00Z", "2026-08-17T00:00:00Z", "2026-09-10T00:00:00Z"]
    provider = next(p for p in genai_data.providers if p.id == "deepseek")
    model = next(m for m in provider.models if m.id == "deepseek-v4-flash")
    counts = {"input_tokens": 1000, "output_tokens": 10, "cache_read_tokens": 0}
    for one, day in zip(series, ("2026-08-16", "2026-08-17", "2026-09-10"), strict=True):
        assert one.book is not None
        for clock in ("00:59", "01:00", "03:59", "04:00", "12:00"):
            at = datetime.fromisoformat(f"{day}T{clock}:00+00:00")
            card = compile_book(one.book).card(
                model="deepseek/deepseek-v4-flash",
                service_tier="standard",
                size_tokens=1000,
                moment_at=parse_moment(f"{day}T{clock}:00Z"),
            )
            total = theirs(model, provider, counts=counts, at=at, context={})
            assert card.amount(counts) == total


def test_usage_that_no_price_covers_is_free_there_and_unpriced_here(
    genai_installed: GenaiData,
) -> None:
    imported = genai_installed.imported(at_of(datetime(2026, 11, 1, tzinfo=UTC)))
    assert imported.book is not None
    card = compile_book(imported.book).card(
        model="openai/gpt-4o", service_tier="standard", size_tokens=0
    )
    provider = next(p for p in genai_data.providers if p.id == "openai")
    model = next(m for m in provider.models if m.id == "gpt-4o")
    counts = {"rerank_searches": 5}
    at = datetime(2026, 11, 1, tzinfo=UTC)
    assert theirs(model, provider, counts=counts, at=at, context={}) == 0
    with pytest.raises(QuoteError, match="no rate for rerank_searches"):
        card.amount(counts)


def test_the_price_keys_are_those_of_the_installed_registry() -> None:
    from genai_prices.data_units import unit_data

    from pricing_rules.interchange.genai_data import PRICE_KEYS

    theirs_ = {u["price_key"]: (name, u["per"]) for name, u in unit_data.items()}
    assert {key: PRICE_KEYS[key] for key in theirs_} == theirs_

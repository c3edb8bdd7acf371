"""A price book as the JSON of genai-prices.

Invariant: the data is read back before it is given out, so a book that genai-prices would price
otherwise is refused with the first rate that would differ.

Service tiers and dimensions become variants, batch as ``processing: batch``; a window becomes
conditional prices, which carry no variants of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pricing_rules.document import DocumentError, JsonValue
from pricing_rules.interchange.foreign_json import InexpressibleError
from pricing_rules.interchange.genai_data import PRICE_KEYS
from pricing_rules.interchange.genai_prices import SOURCE, import_genai_prices
from pricing_rules.interchange.imported import STANDARD
from pricing_rules.interchange.litellm_entry import BATCH
from pricing_rules.interchange.meaning import (
    effective,
    head_of,
    name_of,
    refuse_beyond_rates,
    refuse_lost,
    whens,
)
from pricing_rules.interchange.rate_states import State
from pricing_rules.interchange.week_times import (
    DAY_MINUTES,
    WEEK_MINUTES,
    clock_minute,
    window_minutes,
    window_of,
)
from pricing_rules.money import exact_text
from pricing_rules.prices.price_book import PriceBook, RateCard

_KEYS = {unit: (key, per) for key, (unit, per) in PRICE_KEYS.items()}


def export_genai_prices(book: PriceBook) -> bytes:
    """A book as a list of providers with their models. DocumentError names what it cannot say."""
    refuse_beyond_rates(book, target=SOURCE)
    models: dict[str, list[RateCard]] = {}
    for card in book.rate_cards:
        models.setdefault(card.model, []).append(card)
    providers: dict[str, list[JsonValue]] = {}
    for model, cards in models.items():
        provider, slash, rest = model.partition("/")
        if not slash or not rest:
            raise DocumentError(
                name_of(book), f'{SOURCE} names models provider/model, and "{model}" is not so'
            )
        providers.setdefault(provider, []).append(
            {"id": rest, "match": {"equals": rest}, **_prices(cards, book=book)}
        )
    value = [
        {"id": provider, "name": provider, "api_pattern": "", "models": listed}
        for provider, listed in providers.items()
    ]
    data = (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
    back = import_genai_prices(data, name=SOURCE, head=head_of(book))
    refuse_lost(book, back=back, target=SOURCE)
    return data


def _prices(cards: Sequence[RateCard], *, book: PriceBook) -> dict[str, JsonValue]:
    units = list(dict.fromkeys(e.unit for card in cards for e in card.rates if e.unit in _KEYS))
    standard: JsonValue = {}
    variants: list[JsonValue] = []
    sets = list(dict.fromkeys(one for card in cards for one in _dimension_sets(card)))
    for card in cards:
        if card.service_tier == STANDARD:
            standard = _conditional(card, book=book, units=units)
        # Of variants the first match wins, so the ones with the most words come first.
        for dimensions in reversed(sets):
            words = dict(dimensions)
            if card.service_tier != STANDARD:
                word = "processing" if card.service_tier == BATCH else "service_tier"
                words[word] = card.service_tier
            if words:
                state = _state_of(dimensions)
                prices = _price_set(card, state=state, windows=(), units=units)
                variants.append({"when": words, "prices": prices})
    variants.sort(key=_words, reverse=True)
    return {"prices": standard, **({"price_variants": variants} if variants else {})}


def _words(variant: Mapping[str, JsonValue]) -> int:
    return len(variant["when"])


def _dimension_sets(card: RateCard) -> list[tuple[tuple[str, str], ...]]:
    found: list[tuple[tuple[str, str], ...]] = [()]
    for when in whens(card):
        region = {} if when.region is None else {"region": when.region}
        found.append(tuple(sorted({**when.dimensions, **region}.items())))
    return list(dict.fromkeys(found))


def _state_of(words: tuple[tuple[str, str], ...]) -> State:
    named = dict(words)
    region = named.pop("region", None)
    return State(region=region, dimensions=tuple(named.items()))


def _conditional(card: RateCard, *, book: PriceBook, units: Sequence[str]) -> JsonValue:
    """One set of prices, or with windows a list of which the last active one holds."""
    always = _price_set(card, state=State(), windows=(), units=units)
    named = dict.fromkeys(when.window for when in whens(card) if when.window is not None)
    listed: list[JsonValue] = [{"prices": always}]
    for name in named:
        prices = _price_set(card, state=State(window=name), windows=(name,), units=units)
        try:
            minutes = window_minutes(book.windows[name])
        except InexpressibleError:
            continue
        for times in window_of(minutes).times if len(minutes) < WEEK_MINUTES else ():
            start, end = clock_minute(times.start_time), clock_minute(times.end_time)
            # genai-prices has no day that ends at midnight: an end before the start goes past it.
            stretch = {"start_time": _clock(start), "end_time": _clock(end)}
            listed.append({"constraint": stretch, "prices": prices})
    return listed if named else always


def _clock(minute: int) -> str:
    minute %= DAY_MINUTES
    return f"{minute // 60:02d}:{minute % 60:02d}:00Z"


def _price_set(
    card: RateCard, *, state: State, windows: Sequence[str], units: Sequence[str]
) -> dict[str, JsonValue]:
    sizes = sorted({when.threshold_tokens for when in whens(card)} - {0})
    by_size = {
        size: effective(
            card,
            state=replace(state, threshold_tokens=size),
            windows=windows,
            units=units,
        )
        for size in [0, *sizes]
    }
    found: dict[str, JsonValue] = {}
    for unit in units:
        key, per = _KEYS[unit]
        base = by_size[0][unit]
        if base is None:
            continue
        steps: list[JsonValue] = []
        before = base
        for size in sizes:
            rate = by_size[size][unit]
            if rate is not None and rate != before:
                steps.append({"start": size - 1, "price": exact_text(rate * per)})
                before = rate
        text = exact_text(base * per)
        found[key] = {"base": text, "tiers": steps} if steps else text
    return found

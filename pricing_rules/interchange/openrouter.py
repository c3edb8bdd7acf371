"""OpenRouter's models, each with its ``pricing``, as a price book, and back.

Invariant: models are the ids, verbatim, in the standard service tier; of the overrides that apply
to a request the later one wins for each price, and a price that none of them names is inherited.

Prices are texts in US dollars per token, image, search or request. ``min_prompt_tokens`` is passed
strictly over it; ``utc_start`` and ``utc_end`` are half-open and may wrap around midnight; a number
in ``utc_days`` is a weekday from Monday 1 to Saturday 6, and Sunday is 0 or 7.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain

from pricing_rules.document import DocumentError, JsonValue, read_json
from pricing_rules.interchange.foreign_json import (
    NOT_A_PRICE,
    UNREAD_PRICE,
    UNREAD_TIME,
    InexpressibleError,
    decimal_number,
    list_part,
    object_part,
    shown,
    whole_number,
)
from pricing_rules.interchange.imported import (
    STANDARD,
    BookHead,
    Collected,
    Imported,
    input_file,
    rate_card,
)
from pricing_rules.interchange.meaning import head_of, refuse_beyond_rates, refuse_lost, whens
from pricing_rules.interchange.rate_states import State, rate_entries, unit_rate
from pricing_rules.interchange.week_times import (
    DAY_MINUTES,
    clock_minute,
    partition,
    week_minutes,
    window_minutes,
    window_of,
)
from pricing_rules.money import exact_text
from pricing_rules.prices.price_book import PriceBook, RateCard, When

SOURCE = "openrouter"

PRICES: Mapping[str, str] = {
    "prompt": "input_tokens",
    "completion": "output_tokens",
    "request": "requests",
    "image": "input_images",
    "image_token": "input_image_tokens",
    "image_output": "output_image_tokens",
    "audio": "input_audio_tokens",
    "audio_output": "output_audio_tokens",
    "input_audio_cache": "cache_audio_read_tokens",
    "input_cache_read": "cache_read_tokens",
    "input_cache_write": "cache_write_tokens",
    "input_cache_write_1h": "cache_write_1h_tokens",
    "internal_reasoning": "output_reasoning_tokens",
    "web_search": "web_searches",
}
"""The name of a price -> the unit that it is of."""

_KEYS = {unit: key for key, unit in PRICES.items()}
_CONDITIONS = {"min_prompt_tokens", "utc_start", "utc_end", "utc_days"}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FREE_REASONING = "an internal_reasoning of 0 beside a completion price is read as not apart"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Override:
    over_tokens: int | None
    minutes: frozenset[int] | None
    rates: Mapping[str, Fraction]


def import_openrouter(data: bytes, *, name: str, head: BookHead) -> Imported:
    """The candidate of a list of models (``{"data": [{"id", "pricing"}]}``), refused one by one.

    DocumentError where the file is no such list.
    """
    value = read_json(data, name=name)
    models = value.get("data") if isinstance(value, dict) else value
    if not isinstance(models, list):
        raise DocumentError(name, 'must be {"data": [{"id": ..., "pricing": {...}}]}')
    collected = Collected(source=SOURCE, inputs=input_file(data, name=name))
    for i, model in enumerate(models):
        if not isinstance(model, dict) or not isinstance(model.get("id"), str):
            raise DocumentError(f"{name} data[{i}]", "must be a model with an id")
        try:
            _import_model(model["id"], model.get("pricing"), collected=collected)
        except InexpressibleError as error:
            collected.refuse(model["id"], error=error)
    return collected.finished(head)


def export_openrouter(book: PriceBook) -> bytes:
    """A book as OpenRouter's list of models. DocumentError names what it cannot say."""
    refuse_beyond_rates(book, target=SOURCE)
    models = [
        {"id": card.model, "pricing": _pricing(card, book=book)}
        for card in book.rate_cards
        if card.service_tier == STANDARD
    ]
    data = (json.dumps({"data": models}, indent=2, ensure_ascii=False) + "\n").encode()
    back = import_openrouter(data, name=SOURCE, head=head_of(book))
    refuse_lost(book, back=back, target=SOURCE)
    return data


def _import_model(name: str, pricing: JsonValue, *, collected: Collected) -> None:
    if not isinstance(pricing, dict) or not pricing.keys() & PRICES.keys():
        collected.without_price.append(name)
        return
    discount = pricing.get("discount")
    if discount is not None and decimal_number(discount) != 0:
        raise InexpressibleError(
            "a discount", detail="whether the prices hold it already is not said"
        )
    base = _rates(pricing, known={"overrides", "discount"})
    listed = list_part(pricing.get("overrides"), name="overrides")
    overrides = [_override(object_part(value, name="an override")) for value in listed]
    notes = _drop_free_reasoning(base, overrides=overrides)
    states = _states(base, overrides=overrides, collected=collected)
    rates = rate_entries(states)
    collected.cards.append(rate_card(name, service_tier=STANDARD, rates=rates, source=SOURCE))
    collected.note(name, sentences=notes)


def _states(
    base: Mapping[str, Fraction], *, overrides: Sequence[_Override], collected: Collected
) -> dict[State, dict[str, Fraction]]:
    """What holds at each size and time; times with the same rates at every size are one window."""
    sizes = [None, *sorted({o.over_tokens for o in overrides if o.over_tokens is not None})]
    times = list(dict.fromkeys(o.minutes for o in overrides if o.minutes is not None))

    def rates_in(inside: Collection[frozenset[int]]) -> list[dict[str, Fraction]]:
        listed = []
        for size in sizes:
            rates = dict(base)
            for one in overrides:
                large = one.over_tokens is None or (size is not None and size >= one.over_tokens)
                if large and (one.minutes is None or one.minutes in inside):
                    rates.update(one.rates)
            listed.append(rates)
        return listed

    always = rates_in(())
    united: list[tuple[set[int], list[dict[str, Fraction]]]] = []
    for held, minutes in partition(times).items():
        found = rates_in([times[i] for i in held])
        alike = next((known for known, same in united if same == found), None)
        if alike is not None:
            alike.update(minutes)
        elif found != always:
            united.append((set(minutes), found))
    by_window: list[tuple[str | None, list[dict[str, Fraction]]]] = [(None, always)]
    for inside, found in united:
        by_window.append((collected.window_name(window_of(frozenset(inside))), found))
    return {
        State(threshold_tokens=0 if size is None else size + 1, window=window): rates
        for window, listed in by_window
        for size, rates in zip(sizes, listed, strict=True)
    }


def _rates(prices: Mapping[str, JsonValue], *, known: set[str]) -> dict[str, Fraction]:
    found: dict[str, Fraction] = {}
    for key, value in prices.items():
        if key in known or value is None:
            continue
        if key not in PRICES:
            raise InexpressibleError(UNREAD_PRICE, detail=key)
        rate = decimal_number(value)
        if rate is None:
            routed = str(value).startswith("-")
            reason = "a price that is known only after routing" if routed else NOT_A_PRICE
            raise InexpressibleError(reason, detail=f"{key} is {shown(value)}")
        found[PRICES[key]] = rate
    return found


def _override(value: Mapping[str, JsonValue]) -> _Override:
    size = value.get("min_prompt_tokens")
    if size is not None:
        size = whole_number(size, name="min_prompt_tokens")
    minutes = None
    if value.keys() & {"utc_start", "utc_end", "utc_days"}:
        start, end = (clock_minute(value.get(k) or "0000") for k in ("utc_start", "utc_end"))
        named = list_part(value.get("utc_days"), name="utc_days") or range(1, 8)
        days = [_weekday(day) for day in named]
        minutes = week_minutes(start, end_minute=end, weekdays=days)
    return _Override(over_tokens=size, minutes=minutes, rates=_rates(value, known=_CONDITIONS))


def _weekday(value: JsonValue) -> int:
    if isinstance(value, str) and value.lower()[:3] in _DAYS:
        return _DAYS.index(value.lower()[:3]) + 1
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 7:
        raise InexpressibleError(UNREAD_TIME, detail=shown(value))
    return value or 7


def _drop_free_reasoning(base: dict[str, Fraction], *, overrides: list[_Override]) -> list[str]:
    """OpenRouter writes 0 for what has no price of its own; reasoning is billed as completion."""
    named = chain(base.items(), *(one.rates.items() for one in overrides))
    if any(rate for unit, rate in named if unit == "output_reasoning_tokens"):
        return []
    if base.get("output_tokens") and base.pop("output_reasoning_tokens", None) is not None:
        return [_FREE_REASONING]
    return []


def _pricing(card: RateCard, *, book: PriceBook) -> dict[str, JsonValue]:
    pricing: dict[str, JsonValue] = {}
    overrides: list[JsonValue] = []
    for when in whens(card):
        prices = {
            _KEYS[entry.unit]: exact_text(unit_rate(entry))
            for entry in card.rates
            if entry.when.shape == when.shape and entry.unit in _KEYS
        }
        if when == When():
            pricing = prices
        elif when.region is None and not when.dimensions:
            overrides += [{**condition, **prices} for condition in _conditions(when, book=book)]
    return {**pricing, **({"overrides": overrides} if overrides else {})}


def _conditions(when: When, *, book: PriceBook) -> list[dict[str, JsonValue]]:
    size = {"min_prompt_tokens": when.threshold_tokens - 1} if when.threshold_tokens else {}
    if when.window is None:
        return [dict(size)]
    try:
        minutes = window_minutes(book.windows[when.window])
    except InexpressibleError:
        return []
    found: list[dict[str, JsonValue]] = []
    for times in window_of(minutes).times:
        condition: dict[str, JsonValue] = dict(size)
        start, end = clock_minute(times.start_time), clock_minute(times.end_time)
        if (start, end) != (0, 0) or not times.weekdays:
            condition["utc_start"] = f"{start // 60:02d}{start % 60:02d}"
            condition["utc_end"] = f"{end % DAY_MINUTES // 60:02d}{end % 60:02d}"
        if times.weekdays:
            condition["utc_days"] = [day % 7 for day in times.weekdays]
        found.append(condition)
    return found

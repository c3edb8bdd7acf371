"""The data of genai-prices as it stands in its JSON: models, their dated prices and variants.

Invariant: what is in force at a moment is decided as ``genai_prices`` decides it: of conditional
prices the last active one, or the first where none is; of variants, the first match for each
price.

Its price of a unit is per so many (``input_mtok`` per million tokens, ``audio_hours`` per 3,600
seconds), and moves with the total of input tokens: strictly over a start, for the whole request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from pricing_rules.document import DocumentError, JsonValue, read_json
from pricing_rules.interchange.foreign_json import (
    UNREAD_TIME,
    InexpressibleError,
    list_part,
    object_part,
    price_number,
    shown,
    whole_number,
)
from pricing_rules.interchange.week_times import clock_minute, week_minutes
from pricing_rules.period import MICROSECONDS
from pricing_rules.usage.units import UNITS

_OTHER_KEYS: Mapping[str, tuple[str, int]] = {
    "input_mchars": ("input_characters", 1_000_000),
    "input_text_messages_kcount": ("input_text_messages", 1000),
    "audio_hours": ("audio_seconds", 3600),
    "input_audio_hours": ("input_audio_seconds", 3600),
    "output_audio_hours": ("output_audio_seconds", 3600),
    "input_gpixels": ("input_pixels", 1_000_000_000),
    "input_document_kpages": ("input_document_pages", 1000),
    "input_annotated_document_kpages": ("input_annotated_document_pages", 1000),
    "rerank_searches_kcount": ("rerank_searches", 1000),
    "web_searches_kcount": ("web_searches", 1000),
    "social_searches_kcount": ("social_searches", 1000),
    "storage_searches_kcount": ("storage_searches", 1000),
    "code_executions_kcount": ("code_executions", 1000),
    "requests_kcount": ("requests", 1000),
}

PRICE_KEYS: Mapping[str, tuple[str, int]] = {
    **{
        name.removesuffix("_tokens") + "_mtok": (name, 1_000_000)
        for name, unit in UNITS.items()
        if "family=tokens" in unit.dimensions
    },
    **_OTHER_KEYS,
}
"""The key of a price -> the unit that it is of, and how many of it the price is for."""

PER: Mapping[str, int] = dict(PRICE_KEYS.values())
"""Unit -> how many of it its price is for."""

_TIME = re.compile(r"([0-9]{2}:[0-9]{2})(:00(\.0+)?)?(Z|\+00:00)?\Z")
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DAY = 86_400 * MICROSECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitPrice:
    """What one natural unit costs: at any size, and strictly over each start."""

    rate: Fraction
    steps: tuple[tuple[int, Fraction], ...]

    def over(self, tokens: int) -> Fraction:
        """The rate of requests with one token more than ``tokens``."""
        found = self.rate
        for start, rate in self.steps:
            if tokens >= start:
                found = rate
        return found


UnitPrices = Mapping[str, UnitPrice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """When a price may hold: from a date on, or at some minutes of each day (both in UTC)."""

    start_date: date | None = None
    minutes: frozenset[int] | None = None

    @property
    def start_at(self) -> int | None:
        """The moment from which it may hold, None where it names no date."""
        if self.start_date is None:
            return None
        return (self.start_date.toordinal() - _EPOCH_DAY) * _DAY

    def active(self, moment_at: int, *, times: frozenset[frozenset[int]]) -> bool:
        """Whether it holds at a moment, of whose minute the ``times`` are that hold."""
        if self.start_at is not None:
            return moment_at >= self.start_at
        return self.minutes is None or self.minutes in times


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Prices that replace others for requests whose context has each of the words of ``when``."""

    when: Mapping[str, str]
    prices: UnitPrices
    constraint: Constraint


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedModel:
    """One model of one provider, under the name ``provider/model``."""

    name: str
    prices: Sequence[tuple[Constraint, UnitPrices]]
    variants: Sequence[Variant]

    @property
    def constraints(self) -> Iterator[Constraint]:
        """Every constraint of its prices and variants."""
        yield from (constraint for constraint, _ in self.prices)
        yield from (variant.constraint for variant in self.variants)

    def prices_at(
        self, moment_at: int, *, times: frozenset[frozenset[int]], context: Mapping[str, str]
    ) -> UnitPrices:
        """The prices of a request of this context at a moment; see ``Constraint.active``."""
        standard = self.prices[0][1] if self.prices else {}
        for constraint, prices in reversed(self.prices):
            if constraint.active(moment_at, times=times):
                standard = prices
                break
        replaced: dict[str, UnitPrice] = {}
        for variant in self.variants:
            if variant.constraint.active(moment_at, times=times) and (
                variant.when.items() <= context.items()
            ):
                replaced = {**variant.prices, **replaced}
        return {**standard, **replaced}


@dataclass(frozen=True, slots=True, kw_only=True)
class RawModel:
    """A model that is not read yet, so that a fault of it is its own."""

    provider: str
    value: Mapping[str, JsonValue]

    @property
    def name(self) -> str:
        """Provider and model."""
        return f"{self.provider}/{self.value.get('id')}"


def raw_models(data: bytes, *, name: str) -> list[RawModel]:
    """Every model of a data file, in order. DocumentError where it is no list of providers."""
    providers = read_json(data, name=name)
    found: list[RawModel] = []
    for i, provider in enumerate(providers if isinstance(providers, list) else [None]):
        models = provider.get("models") if isinstance(provider, dict) else None
        if not isinstance(models, list) or not isinstance(provider.get("id"), str):
            raise DocumentError(
                f"{name} [{i}]", "must be a provider with an id and models, as genai-prices has it"
            )
        for j, model in enumerate(models):
            if not isinstance(model, dict) or not isinstance(model.get("id"), str):
                raise DocumentError(f"{name} [{i}].models[{j}]", "must be a model with an id")
            found.append(RawModel(provider=provider["id"], value=model))
    return found


def priced_model(raw: RawModel) -> PricedModel:
    """A model with its prices typed. InexpressibleError for what is no price or no constraint."""
    prices = raw.value.get("prices")
    listed = prices if isinstance(prices, list) else [{"prices": prices}]
    return PricedModel(
        name=raw.name,
        prices=[
            (_constraint(one.get("constraint")), unit_prices(one.get("prices")))
            for one in (object_part(each, name="a set of prices") for each in listed)
        ],
        variants=[
            _variant(object_part(one, name="a variant"))
            for one in list_part(raw.value.get("price_variants"), name="price_variants")
        ],
    )


def _variant(value: Mapping[str, JsonValue]) -> Variant:
    when = object_part(value.get("when"), name="when")
    return Variant(
        when={key: str(word) for key, word in when.items()},
        prices=unit_prices(value.get("prices")),
        constraint=_constraint(value.get("constraint")),
    )


def unit_prices(value: JsonValue) -> dict[str, UnitPrice]:
    """A set of prices by unit; InexpressibleError for an unknown key or what is no price."""
    found: dict[str, UnitPrice] = {}
    for key, price in object_part(value, name="prices").items():
        if price is None:
            continue
        if key not in PRICE_KEYS:
            raise InexpressibleError("a price of an unknown unit", detail=key)
        unit, per = PRICE_KEYS[key]
        stepped = price if isinstance(price, dict) else {"base": price}
        rows = list_part(stepped.get("tiers"), name=key)
        steps = sorted(
            (
                whole_number(one.get("start"), name="start"),
                price_number(one.get("price"), name=key) / per,
            )
            for one in (object_part(row, name=key) for row in rows)
        )
        rate = price_number(stepped.get("base"), name=key) / per
        found[unit] = UnitPrice(rate=rate, steps=tuple(steps))
    return found


def _constraint(value: JsonValue) -> Constraint:
    fields = object_part(value, name="constraint")
    if "start_date" in fields:
        try:
            return Constraint(start_date=date.fromisoformat(str(fields["start_date"])))
        except ValueError:
            raise _unread(fields) from None
    if "start_time" in fields:
        start, end = (_minute(fields, name) for name in ("start_time", "end_time"))
        # Of genai-prices, a stretch that ends where it starts is empty, and not the whole day.
        all_days = week_minutes(start, end_minute=end, weekdays=range(1, 8))
        return Constraint(minutes=all_days if start != end else frozenset())
    if fields:
        raise _unread(fields)
    return Constraint()


def _minute(fields: Mapping[str, JsonValue], name: str) -> int:
    found = _TIME.match(str(fields.get(name)))
    if not found:
        raise _unread(fields)
    return clock_minute(found[1])


def _unread(fields: Mapping[str, JsonValue]) -> InexpressibleError:
    return InexpressibleError(UNREAD_TIME, detail=shown(fields))

"""Small files of other formats, imported, for the tests of interchange.

Invariant: what is imported here goes the way of a file: bytes in, a candidate book out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from billing.operations.interchange import installed_genai_prices
from pricing_rules.interchange.genai_prices import import_genai_prices
from pricing_rules.interchange.imported import BookHead, Imported
from pricing_rules.interchange.litellm import import_litellm
from pricing_rules.interchange.openrouter import import_openrouter
from pricing_rules.interchange.rate_states import unit_rate
from pricing_rules.money import exact_text
from pricing_rules.period import parse_moment
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.quote import compile_book

Json = dict[str, Any]

AT = "2026-12-01T00:00:00Z"
HEAD = BookHead(series="s", number=3, effective_from=parse_moment(AT))
JANUARY = BookHead(series="l", number=1, effective_from=parse_moment("2026-01-01T00:00:00Z"))

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"
"""Whether a test takes the time to go through everything."""


def from_litellm(entries: Json) -> Imported:
    """The import of a LiteLLM map of these entries."""
    return import_litellm(json.dumps(entries).encode(), name="map.json", head=HEAD)


def from_genai(model: Json, *, name: str = "m", at: str = AT) -> Imported:
    """The import of genai-prices' data of one model of a provider "p"."""
    data = json.dumps([{"id": "p", "models": [{"id": name, **model}]}]).encode()
    head = BookHead(series="s", number=3, effective_from=parse_moment(at))
    return import_genai_prices(data, name="data.json", head=head)


def from_openrouter(pricing: object) -> Imported:
    """The import of OpenRouter's list of one model "a/b"."""
    data = json.dumps({"data": [{"id": "a/b", "pricing": pricing}]}).encode()
    return import_openrouter(data, name="models.json", head=HEAD)


def rates(
    imported: Imported, *, model: str = "m", service_tier: str = "standard"
) -> dict[str, str]:
    """The rates of a card: "unit [when]" -> rate per so many of it."""
    assert imported.book is not None
    card = imported.book.card(model=model, service_tier=service_tier)
    assert card is not None
    found = {}
    for entry in card.rates:
        rate = exact_text(unit_rate(entry) * entry.per)
        found[f"{entry.unit} {entry.when.text()}".strip()] = f"{rate} per {entry.per}"
    return found


def service_tiers(imported: Imported) -> list[str]:
    """The service tiers of all cards, in order."""
    assert imported.book is not None
    return [card.service_tier for card in imported.book.rate_cards]


def amount(
    imported: Imported,
    units: Mapping[str, int],
    *,
    model: str = "m",
    at: str = AT,
    dimensions: Mapping[str, str] | None = None,
    size: int | None = None,
) -> Fraction:
    """What a request costs in the standard service tier."""
    assert imported.book is not None
    card = compile_book(imported.book).card(
        model=model,
        service_tier="standard",
        size_tokens=units.get("input_tokens", 0) if size is None else size,
        dimensions=dimensions or {},
        moment_at=parse_moment(at),
    )
    return card.amount(units)


def refusal(imported: Imported) -> str:
    """The one refusal of an import, as its sentence."""
    assert imported.book is None
    (one,) = imported.refused
    return one.sentence()


def book_of(imported: Imported) -> PriceBook:
    """The book of an import."""
    assert imported.book is not None
    return imported.book


class LitellmMap:
    """A whole map of LiteLLM with its import."""

    def __init__(self, data: bytes) -> None:
        self.entries: dict[str, Json] = json.loads(data)
        self.imported = import_litellm(data, name="map.json", head=JANUARY)
        self.book = book_of(self.imported)
        self.refused = {one.entry for one in self.imported.refused}

    def __repr__(self) -> str:
        return "the map of litellm"


class GenaiData:
    """The data of the installed genai-prices, as the JSON that it publishes."""

    def __init__(self) -> None:
        self.name, self.data = installed_genai_prices()

    def __repr__(self) -> str:
        return "the data of genai-prices"

    def imported(self, at: int) -> Imported:
        """What is in force at a moment."""
        head = BookHead(series="g", number=1, effective_from=at)
        return import_genai_prices(self.data, name=self.name, head=head)

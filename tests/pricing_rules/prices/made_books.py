"""Ladders and price books for the tests of prices, each read from JSON as a user's would be.

Invariant: nothing here skips validation, so no test rests on a book that could not be published.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from pricing_rules.document import load_json
from pricing_rules.period import parse_moment
from pricing_rules.prices.ladder import Ladder
from pricing_rules.prices.price_book import BooksInForce, PriceBook, load_price_book
from pricing_rules.usage.totals import Cell, Grid, UsageTotal

Json = dict[str, Any]

OCTOBER = "2026-10-01T00:00:00Z"
SWITCH = "2026-10-15T12:00:00Z"
MTOK = 10**6


def ladder(kind: str, *, bands: Sequence[Any], settings: Mapping[str, Any] | None = None) -> Ladder:
    """A ladder named "l" with these bands and settings."""
    value = {"id": "l", "kind": kind, "bands": bands, **(settings or {})}
    return load_json(Ladder, json.dumps(value).encode(), name="ladder")


def card_json(rates: Sequence[Json], *, model: str = "m", service_tier: str = "standard") -> Json:
    """A rate card as JSON."""
    return {"model": model, "service_tier": service_tier, "rates": list(rates)}


def book_json(cards: Sequence[Json], *, number: int = 1, effective_from: str = OCTOBER) -> Json:
    """A price book of the series "public" in USD as JSON."""
    return {
        "schema": "tokenworks.price-book/1",
        "series": "public",
        "number": number,
        "currency": "USD",
        "effective_from": effective_from,
        "rate_cards": list(cards),
    }


def read_book(value: Json) -> PriceBook:
    """A price book from its JSON, as a file of this content is read."""
    return load_price_book(json.dumps(value).encode(), name="book.json")


def one_card_book(rates: Sequence[Json]) -> PriceBook:
    """A book of one card: model m in standard, in force from 2026-10-01."""
    return read_book(book_json([card_json(rates)]))


def ladder_book(number: int, *, rates: tuple[str, str], effective_from: str) -> PriceBook:
    """A graduated ladder over input tokens, bound 10M, at two rates per million."""
    bands = [{"up_to": 10 * MTOK, "rate": rates[0]}, {"rate": rates[1]}]
    rate = {"unit": "input_tokens", "ladder": {"id": "in", "kind": "graduated", "bands": bands}}
    return read_book(book_json([card_json([rate])], number=number, effective_from=effective_from))


def conditional_book() -> PriceBook:
    """A book of input tokens with two context steps, a region and a dimension."""
    rates: list[Json] = [
        {"unit": "input_tokens", "rate": "1"},
        {"unit": "input_tokens", "rate": "2", "when": {"request_tokens_over": 200}},
        {"unit": "input_tokens", "rate": "3", "when": {"request_tokens_at_least": 500}},
        {"unit": "input_tokens", "rate": "4", "when": {"region": "eu"}},
        {"unit": "input_tokens", "rate": "5", "when": {"dimensions": {"effort": "high"}}},
    ]
    value = {**book_json([card_json(rates)]), "dimensions": {"effort": ["high", "low"]}}
    return read_book(value)


def total(
    leaves: Mapping[str, int],
    *,
    grid: Grid,
    at: str = OCTOBER,
    model: str = "m",
    account: str = "acme",
    region: str = "",
    size_tokens: int = 0,
    dimensions: Mapping[str, str] | None = None,
    outcome: str = "completed",
    events: int = 1,
    epoch: int = 0,
) -> UsageTotal:
    """A total of one cell, in standard, with the bounds that the grid gives to it."""
    return UsageTotal(
        cell=Cell(
            account=account,
            epoch=epoch,
            segment_start_at=grid.segment_start_at(parse_moment(at)),
            model=model,
            service_tier="standard",
            region=region,
            size_class_tokens=grid.size_class_tokens(size_tokens),
            outcome=outcome,
            dimensions=grid.kept(dimensions or {}),
            windows=grid.windows_at(parse_moment(at)),
        ),
        events=events,
        leaves=dict(leaves),
    )


def in_force(*books: PriceBook) -> BooksInForce:
    """These books of one series."""
    return BooksInForce(books=books)


_RATES = st.sampled_from(["1.3", "0.5", "2.99", "7", "0.000001", "12.5", "0"])


@st.composite
def ladders(draw: st.DrawFn, *, scale: int = 1, id: str = "l") -> Ladder:
    """Ladders of every kind with every setting; bounds are whole at ``scale``."""
    kind = draw(st.sampled_from(["standard", "graduated", "volume", "package", "percentage"]))
    standard = kind == "standard"
    bounded = 0 if standard else draw(st.sampled_from([2, 1, 3, 0]))
    width = st.integers(1, 40 * scale)
    widths = draw(st.lists(width, min_size=bounded, max_size=bounded))
    last_is_open = not widths or draw(st.booleans())
    bands: list[Json] = []
    bound = 0
    for wide in [*widths, None] if last_is_open else widths:
        band: Json = {"rate": draw(_RATES)}
        if wide is not None:
            bound += wide
            band["up_to"] = str(_decimal(bound, scale=scale))
        if draw(st.booleans()):
            band["flat"] = draw(_RATES)
        if draw(st.booleans()):
            band["cap"] = draw(_RATES)
        if kind != "percentage" and draw(st.booleans()):
            band["per"] = draw(st.integers(1, 15))
        bands.append(band)
    packages = kind == "package" or (kind == "volume" and draw(st.booleans()))
    settings: Json = {
        "id": id,
        "bounds": draw(st.sampled_from(["inclusive", "exclusive"])),
        "flat_at_zero": draw(st.booleans()),
        "past_last_band": draw(st.sampled_from(["refuse", "extend"])),
        "whole_packages": packages,
        "package_rounding": draw(st.sampled_from(["up", "down"])) if packages else "up",
    }
    return ladder(kind, bands=bands, settings=settings)


def quantities(found: Ladder, *, scale: int = 1) -> st.SearchStrategy[int]:
    """Quantities at ``scale``: any small one, and those at and beside each bound."""
    bounds = [int(Fraction(b.up_to) * scale) for b in found.bands if b.up_to is not None]
    near = sorted({max(b + d, 0) for b in bounds for d in (-1, 0, 1)}) or [0]
    return st.sampled_from(near) | st.integers(0, max(near) * 5 // 4 + 10)


def _decimal(scaled: int, *, scale: int) -> str:
    whole, rest = divmod(scaled, scale)
    return f"{whole}.{rest * 1000 // scale:03d}" if scale > 1 else str(whole)

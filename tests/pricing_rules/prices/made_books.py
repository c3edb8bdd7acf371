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


def ladder(
    kind: str, *, bands: Sequence[Json], settings: Mapping[str, Any] | None = None
) -> Ladder:
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
        ),
        events=events,
        leaves=dict(leaves),
    )


def in_force(*books: PriceBook) -> BooksInForce:
    """These books of one series."""
    return BooksInForce(books=books)


_RATES = st.sampled_from(["0", "0.5", "1", "1.3", "2.99", "7", "0.000001", "12.5"])


@st.composite
def ladders(draw: st.DrawFn, *, scale: int = 1, id: str = "l") -> Ladder:
    """Ladders of every kind with every setting; bounds are whole at ``scale``."""
    kind = draw(st.sampled_from(["standard", "graduated", "volume", "package", "percentage"]))
    widths = draw(st.lists(st.integers(1, 40 * scale), min_size=0, max_size=3))
    last_is_open = kind == "standard" or draw(st.booleans()) or not widths
    if kind == "standard":
        widths = []
    bands: list[Json] = []
    bound = 0
    for width in [*widths, None] if last_is_open else widths:
        band: Json = {"rate": draw(_RATES)}
        if width is not None:
            bound += width
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
    return st.one_of(st.sampled_from(near), st.integers(0, 200 * scale))


def _decimal(scaled: int, *, scale: int) -> str:
    whole, rest = divmod(scaled, scale)
    return f"{whole}.{rest * 1000 // scale:03d}" if scale > 1 else str(whole)

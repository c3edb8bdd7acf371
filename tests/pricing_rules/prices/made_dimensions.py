"""Books of one dimension each, and the price of one request under them.

Invariant: what a request costs is asked of rating and of a quote, which must agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from pricing_rules.period import parse_moment
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.quote import compile_book
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.usage.leaves import split_leaves
from pricing_rules.usage.totals import Cell, UsageTotal
from pricing_rules.usage.units import scaled_count
from tests.pricing_rules.prices.made_books import Json, book_json, card_json, in_force, read_book

NOON = "2026-10-06T12:00:00Z"
K, M = 1000, 10**6


def rate(unit: str, amount: str, *, per: int = M, when: Json | None = None) -> Json:
    """A rate of a unit, for a million where nothing else is said."""
    return {"unit": unit, "rate": amount, "per": per, "when": when or {}}


def book(*rates: Json, **fields: Any) -> PriceBook:
    """One card (m, standard) with these rates."""
    return read_book({**book_json([card_json(rates)]), **fields})


def asked(counts: Mapping[str, object]) -> dict[str, int]:
    """Reported counts at the integer scale of their units."""
    return {unit: scaled_count(unit, count=count) for unit, count in counts.items()}


def price(
    found: PriceBook,
    counts: Mapping[str, object],
    *,
    service_tier: str = "standard",
    model: str = "m",
    region: str = "",
    size_tokens: int | None = None,
    dimensions: Mapping[str, str] | None = None,
    at: str = NOON,
) -> Fraction:
    """What one request costs; rating and quote must agree."""
    units, moment_at = asked(counts), parse_moment(at)
    size = units.get("input_tokens", 0) if size_tokens is None else size_tokens
    books = in_force(found)
    grid = grid_for(books, period=None)
    cell = Cell(
        account="acme",
        epoch=0,
        segment_start_at=grid.segment_start_at(moment_at),
        model=model,
        service_tier=service_tier,
        region=region,
        size_class_tokens=grid.size_class_tokens(size),
        outcome="completed",
        dimensions=grid.kept(dimensions or {}),
        windows=grid.windows_at(moment_at),
    )
    rating = rate_totals(
        [UsageTotal(cell=cell, events=1, leaves=split_leaves(units))], books=books, grid=grid
    )
    assert rating.unpriced == ()
    card = compile_book(found).card(
        model=model,
        service_tier=service_tier,
        size_tokens=size,
        region=region,
        dimensions=dimensions or {},
        moment_at=moment_at,
    )
    if not found.allowances:
        assert card.amount(units) == rating.total_exact
    return rating.total_exact


def book_of_cards(rates: Mapping[str, Sequence[Json]], **fields: Any) -> PriceBook:
    """One model in several service tiers."""
    cards = [card_json(some, service_tier=name) for name, some in rates.items()]
    return read_book({**book_json(cards), **fields})

"""A flat amount that is due without any quantity: who used the card owes it once.

Invariant: rating and quoting agree on it, and it is never due twice for one ladder.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.prices.quote import compile_book
from pricing_rules.prices.rating import grid_for, rate_totals
from tests.pricing_rules.prices.made_books import in_force, one_card_book, total

KINDS = ("graduated", "volume", "package", "percentage")


def _rate(unit: str, *, kind: str = "graduated", at_zero: bool = True) -> dict[str, Any]:
    bands = [{"up_to": 10, "rate": "1", "flat": "100"}, {"rate": "2", "flat": "7"}]
    ladder = {"id": "l", "kind": kind, "bands": bands, "flat_at_zero": at_zero}
    return {"unit": unit, "per": 1, "ladder": ladder}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at_zero, due", [(True, 100), (False, 0)])
def test_a_request_without_the_unit_owes_the_first_flat_where_it_is_due_at_zero(
    kind: str, at_zero: bool, due: int
) -> None:
    book = one_card_book([_rate("output_tokens", kind=kind, at_zero=at_zero)])
    books = in_force(book)
    grid = grid_for(books, period=None)
    rating = rate_totals([total({}, grid=grid)], books=books, grid=grid)
    assert rating.total_exact == due
    assert [(c.unit, c.quantity) for c in rating.charges] == (
        [("output_tokens", 0)] if at_zero else []
    )
    card = compile_book(book).card(model="m", service_tier="standard", size_tokens=0)
    for units in ({}, {"output_tokens": 0}):
        assert card.amount(units) == due


def test_with_a_quantity_it_is_the_flat_of_the_band_that_is_entered_and_no_more() -> None:
    book = one_card_book([_rate("output_tokens")])
    books = in_force(book)
    grid = grid_for(books, period=None)
    parts = [total({}, grid=grid), total({"output_tokens": 12}, grid=grid)]
    # 10 x 1 + 100, and 2 x 2 + 7 in the second band.
    assert rate_totals(parts, books=books, grid=grid).total_exact == 121
    card = compile_book(book).card(model="m", service_tier="standard", size_tokens=0)
    assert card.amount({"output_tokens": 12}) == 121


def test_units_that_share_a_ladder_owe_it_once() -> None:
    book = one_card_book([_rate("input_tokens"), _rate("output_tokens")])
    books = in_force(book)
    grid = grid_for(books, period=None)
    rating = rate_totals([total({}, grid=grid)], books=books, grid=grid)
    assert [(c.unit, c.amount) for c in rating.charges] == [("input_tokens", Fraction(100))]
    used = rate_totals([total({"output_tokens": 3}, grid=grid)], books=books, grid=grid)
    assert [(c.unit, c.amount) for c in used.charges] == [("output_tokens", Fraction(103))]
    card = compile_book(book).card(model="m", service_tier="standard", size_tokens=0)
    assert card.amount({}) == 100
    assert card.amount({"output_tokens": 3}) == 103

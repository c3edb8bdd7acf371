"""Usage that was taken away again, in another epoch than it came, is charged as if it never was."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.usage.totals import UsageTotal, negative
from tests.pricing_rules.prices.made_books import (
    MTOK,
    OCTOBER,
    SWITCH,
    Json,
    book_json,
    card_json,
    in_force,
    ladder_book,
    one_card_book,
    read_book,
    total,
)

LADDERS = in_force(
    ladder_book(1, rates=("2", "1"), effective_from=OCTOBER),
    ladder_book(2, rates=("1.80", "0.90"), effective_from=SWITCH),
)


def _allowance() -> BooksInForce:
    """Input at 2 per million, of which 4M of each day are free."""
    free: Json = {
        "id": "free",
        "units": ["input_tokens"],
        "models": ["m"],
        "quantity": 4 * MTOK,
        "reset": "day",
    }
    value = book_json([card_json([{"unit": "input_tokens", "rate": "2"}])])
    return in_force(read_book({**value, "allowances": [free]}))


def _at_zero() -> BooksInForce:
    """A flat 7 for who used the card."""
    bands = [{"rate": "1", "flat": "7"}]
    ladder = {"id": "l", "kind": "graduated", "bands": bands, "flat_at_zero": True}
    return in_force(one_card_book([{"unit": "input_tokens", "ladder": ladder}]))


BOOKS = {"ladders": LADDERS, "allowance": _allowance(), "flat at zero": _at_zero()}
PARTS = st.lists(
    st.tuples(
        st.integers(0, 12),
        st.sampled_from([OCTOBER, "2026-10-01T12:00:00Z", SWITCH]),
        st.sampled_from(["completed", "failed"]),
        st.booleans(),
        st.integers(1, 3),
    ),
    max_size=6,
)


def used(millions: int, *, at: str, books: BooksInForce, outcome: str = "completed") -> UsageTotal:
    """A total of one event with input tokens."""
    grid = grid_for(books, period=None)
    return total({"input_tokens": millions * MTOK}, grid=grid, at=at, outcome=outcome)


def taken_away(one: UsageTotal, *, epoch: int) -> UsageTotal:
    """What a void of it adds in an epoch."""
    return negative(replace(one, cell=replace(one.cell, epoch=epoch)))


def test_a_void_before_a_price_change_moves_what_came_after_it() -> None:
    first, second = (
        used(8, at=OCTOBER, books=LADDERS),
        used(5, at=SWITCH, books=LADDERS),
    )
    grid = grid_for(LADDERS, period=None)
    rating = rate_totals([first, second, taken_away(first, epoch=2)], books=LADDERS, grid=grid)
    # 5M at 1.80 = 9.00 of 22.30: the ladder begins where the 8M would have been.
    assert rating.total_exact == Fraction(9)


def test_usage_that_was_taken_away_whole_owes_no_flat_amount() -> None:
    books = BOOKS["flat at zero"]
    grid = grid_for(books, period=None)
    one = total({}, grid=grid)
    assert rate_totals([one], books=books, grid=grid).total_exact == 7
    voided = rate_totals([one, taken_away(one, epoch=3)], books=books, grid=grid)
    assert voided.total_exact == 0
    assert not voided.charges
    assert not voided.unpriced


def test_an_allowance_that_voided_usage_used_up_is_free_again() -> None:
    books = BOOKS["allowance"]
    grid = grid_for(books, period=None)
    first, second = (used(4, at=OCTOBER, books=books) for _ in range(2))
    # 4M of 8M are free; of the 4M that are left all are.
    assert rate_totals([first, second], books=books, grid=grid).total_exact == 8
    left = [first, second, taken_away(first, epoch=2)]
    assert rate_totals(left, books=books, grid=grid).total_exact == 0
    earlier = [first, taken_away(first, epoch=2)]
    alone = rate_totals([second], books=books, grid=grid, earlier=earlier)
    assert alone == rate_totals([second], books=books, grid=grid)


@pytest.mark.parametrize("name", BOOKS)
@given(parts=PARTS)
def test_what_is_voided_is_charged_as_if_it_never_was(
    name: str, parts: list[tuple[int, str, str, bool, int]]
) -> None:
    books = BOOKS[name]
    grid = grid_for(books, period=None)
    everything: list[UsageTotal] = []
    left: list[UsageTotal] = []
    for millions, at, outcome, voided, epoch in parts:
        one = used(millions, at=at, books=books, outcome=outcome)
        everything += [one, taken_away(one, epoch=epoch)] if voided else [one]
        left += [] if voided else [one]
    rated = rate_totals(everything, books=books, grid=grid)
    assert rated == rate_totals(left, books=books, grid=grid)

"""Rating: totals meet the book in force in their segment; all of them are charged or unpriced.

Invariant: a sum stands beside each figure, and conservation and order are properties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.money import currency
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.rating import Charge, Rating, grid_for, rate_totals
from pricing_rules.usage.totals import UsageTotal
from tests.pricing_rules.prices.made_books import (
    MTOK,
    OCTOBER,
    SWITCH,
    Json,
    conditional_book,
    in_force,
    ladder_book,
    one_card_book,
    total,
)

RATES: list[Json] = [
    {"unit": "input_tokens", "rate": "2"},
    {"unit": "cache_read_tokens", "rate": "0.2"},
    {"unit": "output_tokens", "rate": "8"},
]


def rated(totals: Sequence[UsageTotal], *books: PriceBook) -> Rating:
    """These totals under these books, with the grid that the books need."""
    found = in_force(*books)
    return rate_totals(totals, books=found, grid=grid_for(found, period=None))


def one(leaves: Json, *, book: PriceBook, **where: Any) -> Rating:
    grid = grid_for(in_force(book), period=None)
    return rated([total(leaves, grid=grid, **where)], book)


def amounts(rating: Rating) -> dict[str, Fraction]:
    return {charge.unit: charge.amount for charge in rating.charges}


BEFORE = ladder_book(1, rates=("2", "1"), effective_from=OCTOBER)
AFTER = ladder_book(2, rates=("1.80", "0.90"), effective_from=SWITCH)
CONDITIONAL = conditional_book()
LADDERS = in_force(BEFORE, AFTER)
LADDER_GRID = grid_for(LADDERS, period=None)


def moved(*parts: tuple[int, str]) -> list[UsageTotal]:
    """Millions of input tokens at moments."""
    return [total({"input_tokens": m * MTOK}, grid=LADDER_GRID, at=at) for m, at in parts]


def test_a_ladder_keeps_its_position_across_a_price_change() -> None:
    rating = rate_totals(moved((8, OCTOBER), (5, SWITCH)), books=LADDERS, grid=LADDER_GRID)
    # 8M at 2.00 = 16.00; then 2M at 1.80 = 3.60 and 3M at 0.90 = 2.70
    assert rating.total_exact == Fraction("22.30")
    (charge,) = rating.charges
    assert [(b.book_number, b.quantity, b.amount) for b in charge.bands] == [
        (1, 8 * MTOK, 16),
        (2, 2 * MTOK, Fraction("3.6")),
        (2, 3 * MTOK, Fraction("2.7")),
    ]


def test_late_usage_before_the_change_moves_what_came_after_it() -> None:
    late = moved((8, OCTOBER), (5, SWITCH), (3, "2026-10-14T00:00:00Z"))
    # 10M at 2.00 = 20.00 and 1M at 1.00; then 5M at 0.90 = 4.50: 3.20 more than 22.30
    assert rate_totals(late, books=LADDERS, grid=LADDER_GRID).total_exact == Fraction("25.50")


@given(order=st.permutations(range(6)), epochs=st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_neither_order_nor_epochs_change_a_charge(order: list[int], epochs: list[int]) -> None:
    parts = moved((8, OCTOBER), (5, SWITCH), (3, OCTOBER), (1, SWITCH), (2, OCTOBER), (9, SWITCH))
    shuffled = [
        replace(parts[i], cell=replace(parts[i].cell, epoch=epoch))
        for i, epoch in zip(order, epochs, strict=True)
    ]
    assert rate_totals(shuffled, books=LADDERS, grid=LADDER_GRID) == rate_totals(
        parts, books=LADDERS, grid=LADDER_GRID
    )


@pytest.mark.parametrize(
    "at, amount",
    [
        ("2026-10-15T11:59:59.999999Z", Fraction(2)),
        (SWITCH, Fraction("1.80")),
        ("2026-10-15T12:00:00.000001Z", Fraction("1.80")),
    ],
)
def test_the_price_changes_exactly_at_the_instant(at: str, amount: Fraction) -> None:
    rating = rate_totals(moved((1, at)), books=LADDERS, grid=LADDER_GRID)
    assert rating.total_exact == amount


def test_a_leaf_takes_the_rate_of_its_nearest_priced_ancestor() -> None:
    leaves = {"input_tokens": 100, "cache_read_tokens": 900, "input_audio_tokens": 50}
    rating = one(leaves, book=one_card_book(RATES))
    # audio has no rate of its own: (100 + 50) * 2 / 10^6 and 900 * 0.2 / 10^6
    assert amounts(rating) == {
        "input_tokens": Fraction(150 * 2, MTOK),
        "cache_read_tokens": Fraction(180, MTOK),
    }


def test_tiny_rates_add_up_exactly_over_a_million_events() -> None:
    book = one_card_book([{"unit": "input_tokens", "rate": "0.075"}])
    # 0.000000075 a token, a million events of one token: 0.075, and not a million times nothing
    assert one({"input_tokens": MTOK}, book=book, events=MTOK).total_exact == Fraction("0.075")


def test_requests_are_counted_by_events() -> None:
    book = one_card_book([*RATES, {"unit": "requests", "per": 1000, "rate": "5"}])
    rating = one({"input_tokens": 10}, book=book, events=3)
    assert amounts(rating)["requests"] == Fraction(15, 1000)  # 3 * 5 / 1000
    assert amounts(one({}, book=book, events=2)) == {"requests": Fraction(10, 1000)}


def test_units_counted_in_fractions_are_charged_by_their_scale() -> None:
    book = one_card_book([{"unit": "audio_seconds", "per": 60, "rate": "0.006"}])
    # 2,500 milliseconds: 2.5 / 60 * 0.006
    assert one({"audio_seconds": 2500}, book=book).total_exact == Fraction("0.00025")


@pytest.mark.parametrize(
    "where, rate",
    [
        ({"size_tokens": 199}, 1),
        ({"size_tokens": 200}, 1),
        ({"size_tokens": 201}, 2),
        ({"size_tokens": 499}, 2),
        ({"size_tokens": 500}, 3),
        ({"size_tokens": 501}, 3),
        ({"region": "eu"}, 4),
        ({"region": "us"}, 1),
        ({"dimensions": {"effort": "high"}}, 5),
        ({"dimensions": {"effort": "low"}}, 1),
        ({"dimensions": {"undeclared": "high"}}, 1),
    ],
)
def test_conditions_choose_the_rate(where: Json, rate: int) -> None:
    rating = one({"input_tokens": MTOK}, book=CONDITIONAL, **where)
    assert rating.total_exact == rate


def test_a_charge_shows_under_which_conditions_each_part_was_charged() -> None:
    grid = grid_for(in_force(CONDITIONAL), period=None)
    parts = [
        total({"input_tokens": MTOK}, grid=grid, size_tokens=size) for size in (10, 300, 20, 600)
    ]
    (charge,) = rated(parts, CONDITIONAL).charges
    conditions = ["", "request_tokens>200", "request_tokens>=500"]
    assert [band.when for band in charge.bands] == conditions
    assert [band.quantity for band in charge.bands] == [2 * MTOK, MTOK, MTOK]
    assert [band.amount for band in charge.bands] == [2, 2, 3]


AMBIGUOUS = one_card_book(
    [{"unit": "input_audio_tokens", "rate": "1"}, {"unit": "cache_read_tokens", "rate": "2"}]
)
BOUNDED = one_card_book(
    [
        {
            "unit": "input_tokens",
            "per": 1,
            "ladder": {"id": "in", "kind": "graduated", "bands": [{"up_to": 10, "rate": "2"}]},
        }
    ]
)
BOUNDED_VOLUME = one_card_book(
    [
        {
            "unit": "input_tokens",
            "per": 1,
            "ladder": {"id": "in", "kind": "volume", "bands": [{"up_to": 10, "rate": "2"}]},
        }
    ]
)


@pytest.mark.parametrize(
    "book, leaves, where, reason",
    [
        (
            one_card_book(RATES),
            {"web_searches": 3},
            {},
            "book 1 has no rate for web_searches under these conditions",
        ),
        (
            one_card_book(RATES),
            {"input_tokens": 3},
            {"model": "other"},
            "book 1 has no rate card of other in standard",
        ),
        (
            one_card_book(RATES),
            {"input_tokens": 3},
            {"at": "2026-09-30T23:59:59.999999Z"},
            "no price book is in force from 1970-01-01T00:00:00Z",
        ),
        (
            AMBIGUOUS,
            {"cache_audio_read_tokens": 3},
            {},
            "cache_audio_read_tokens has a rate as input_audio_tokens and as cache_read_tokens, "
            "and neither contains the other",
        ),
        (
            BOUNDED,
            {"input_tokens": 13},
            {},
            "book 1: past the last band of the ladder in, which ends at 10",
        ),
    ],
)
def test_what_no_rate_covers_is_unpriced_with_its_reason(
    book: PriceBook, leaves: Json, where: Json, reason: str
) -> None:
    (found,) = one(leaves, book=book, **where).unpriced
    assert (found.quantity, found.reason) == (3, reason)


def test_a_bounded_graduated_ladder_charges_up_to_its_end() -> None:
    rating = one({"input_tokens": 13}, book=BOUNDED)
    assert rating.total_exact == 20  # 10 * 2, and 3 are unpriced
    grid = grid_for(in_force(BOUNDED), period=None)
    parts = [
        total({"input_tokens": 13}, grid=grid, region="a"),
        total({"input_tokens": 4}, grid=grid, region="b"),
    ]
    beyond = rated(parts, BOUNDED)
    assert beyond.total_exact == 20
    assert [unpriced.quantity for unpriced in beyond.unpriced] == [3, 4]


def test_past_its_end_a_volume_ladder_prices_nothing() -> None:
    rating = one({"input_tokens": 11}, book=BOUNDED_VOLUME)
    assert (rating.charges, rating.unpriced[0].quantity) == ((), 11)
    assert one({"input_tokens": 10}, book=BOUNDED_VOLUME).total_exact == 20


def test_unpriced_usage_of_one_reason_is_added() -> None:
    grid = grid_for(in_force(one_card_book(RATES)), period=None)
    parts = [
        total({"web_searches": 3}, grid=grid, events=2),
        total({"web_searches": 4}, grid=grid, events=3, region="eu"),
    ]
    (found,) = rated(parts, one_card_book(RATES)).unpriced
    assert (found.quantity, found.events) == (7, 5)


def test_an_explicit_rate_of_zero_is_free_and_not_unpriced() -> None:
    rating = one({"input_tokens": 5}, book=one_card_book([{"unit": "input_tokens", "rate": "0"}]))
    assert rating.total_exact == 0
    assert rating.unpriced == ()
    assert rating.charges[0].quantity == 5


def test_a_rate_that_lost_its_figure_is_a_bug_and_raises() -> None:
    book = one_card_book([{"unit": "input_tokens", "rate": "1"}])
    card = book.rate_cards[0]
    broken = card.model_copy(update={"rates": (card.rates[0].model_copy(update={"rate": None}),)})
    with pytest.raises(AssertionError, match="a rate entry has a rate or a ladder"):
        one({"input_tokens": 5}, book=book.model_copy(update={"rate_cards": (broken,)}))


@pytest.mark.parametrize(
    "outcome, charged", [("completed", True), ("cancelled", True), ("failed", False)]
)
def test_what_is_billable_is_decided_by_the_outcome(outcome: str, charged: bool) -> None:
    rating = one({"input_tokens": 5}, book=one_card_book(RATES), outcome=outcome)
    assert bool(rating.charges) is charged
    assert rating.unpriced == ()


def test_each_account_walks_a_ladder_of_its_own() -> None:
    grid = grid_for(in_force(BEFORE), period=None)
    parts = [
        total({"input_tokens": 8 * MTOK}, grid=grid, account=account) for account in ("b", "a")
    ]
    rating = rated(parts, BEFORE)
    assert rating.accounts == ("a", "b")
    assert [charge.amount for charge in rating.charges] == [16, 16]
    assert rating.of_account("a").charges == rating.charges[:1]
    assert rating.currency == currency("USD")


def test_units_that_share_a_ladder_pass_through_it_together() -> None:
    shared = {"id": "all", "kind": "graduated", "bands": [{"up_to": 10, "rate": "2"}, {}]}
    book = one_card_book(
        [
            {"unit": "input_tokens", "per": 1, "ladder": shared},
            {"unit": "output_tokens", "per": 1, "ladder": shared},
        ]
    )
    rating = one({"input_tokens": 8, "output_tokens": 5}, book=book)
    assert amounts(rating) == {"input_tokens": 16, "output_tokens": 4}  # 8 * 2; then 2 * 2 + 3 * 0


UNITS = ["input_tokens", "cache_read_tokens", "cache_audio_read_tokens", "web_searches"]
PARTLY = in_force(
    one_card_book(
        [
            {
                "unit": "input_tokens",
                "per": 1,
                "ladder": {
                    "id": "in",
                    "kind": "graduated",
                    "bands": [{"up_to": 50, "rate": "2", "flat": "1"}, {"up_to": 90, "rate": "1"}],
                },
            },
            {"unit": "cache_read_tokens", "rate": "0.2"},
            {"unit": "input_audio_tokens", "rate": "0.4"},
        ]
    )
)


@st.composite
def some_totals(draw: st.DrawFn) -> list[UsageTotal]:
    grid = grid_for(PARTLY, period=None)
    return [
        total(
            draw(st.dictionaries(st.sampled_from(UNITS), st.integers(1, 60))),
            grid=grid,
            at=draw(st.sampled_from(["2026-09-01T00:00:00Z", OCTOBER])),
            account=draw(st.sampled_from(["a", "b"])),
            model=draw(st.sampled_from(["m", "n"])),
            region=draw(st.sampled_from(["", "eu"])),
            outcome=draw(st.sampled_from(["completed", "failed"])),
            epoch=draw(st.integers(0, 2)),
        )
        for _ in range(draw(st.integers(0, 8)))
    ]


@given(totals=some_totals(), data=st.data())
def test_every_count_is_charged_once_or_unpriced(
    totals: list[UsageTotal], data: st.DataObject
) -> None:
    grid = grid_for(PARTLY, period=None)
    rating = rate_totals(totals, books=PARTLY, grid=grid)
    counted = sum(sum(t.leaves.values()) for t in totals if t.cell.outcome == "completed")
    charged = sum(charge.quantity for charge in rating.charges)
    assert charged + sum(unpriced.quantity for unpriced in rating.unpriced) == counted
    assert all(_adds_up(charge) for charge in rating.charges)
    shuffled = data.draw(st.permutations(totals))
    assert rate_totals(shuffled, books=PARTLY, grid=grid) == rating


def _adds_up(charge: Charge) -> bool:
    return (
        sum(band.quantity for band in charge.bands) == charge.quantity
        and sum((band.amount for band in charge.bands), Fraction(0)) == charge.amount
    )

"""Multipliers: after the match, on tokens only unless units are named, exactly."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import permutations

import pytest

from pricing_rules.period import parse_moment
from pricing_rules.prices.explain import Step, explain_band, explain_unit
from pricing_rules.prices.matching import match_rates, matched_as
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.quote import compile_book
from pricing_rules.prices.rating import Charge, grid_for, rate_totals
from tests.pricing_rules.prices.made_books import (
    MTOK,
    Json,
    book_json,
    card_json,
    in_force,
    read_book,
    total,
)

RATES: list[Json] = [
    {"unit": "input_tokens", "rate": "3"},
    {"unit": "input_tokens", "rate": "6", "when": {"request_tokens_over": 200_000}},
    {"unit": "cache_read_tokens", "rate": "0.30"},
    {"unit": "web_searches", "per": 1000, "rate": "10"},
    {"unit": "requests", "per": 1, "rate": "0.005"},
]
EU: Json = {"id": "eu", "factor": "1.1", "when": {"region": "eu"}}
NIGHT: Json = {
    "id": "night",
    "factor": "0.5",
    "when": {"window": "night"},
    "units": ["input_tokens", "web_searches"],
}


def book_of(*multipliers: Json, rates: list[Json] = RATES) -> PriceBook:
    windows = {"night": {"times": [{"start_time": "22:00", "end_time": "06:00"}]}}
    value = {**book_json([card_json(rates)]), "windows": windows}
    return read_book({**value, "multipliers": list(multipliers)})


def charged(
    book: PriceBook, counts: dict[str, int], *, region: str = "", at: str, size_tokens: int = 0
) -> dict[str, Charge]:
    books = in_force(book)
    grid = grid_for(books, period=None)
    one = total(counts, grid=grid, region=region, at=at, size_tokens=size_tokens)
    rating = rate_totals([one], books=books, grid=grid)
    return {charge.unit: charge for charge in rating.charges}


NOON, EVENING = "2026-10-02T12:00:00Z", "2026-10-02T22:00:00Z"
COUNTS = {"input_tokens": MTOK, "cache_read_tokens": MTOK, "web_searches": 1000}


def test_a_region_multiplies_tokens_and_neither_tools_nor_requests() -> None:
    found = charged(book_of(EU), COUNTS, region="eu", at=NOON)
    assert {unit: charge.amount for unit, charge in found.items()} == {
        "input_tokens": Fraction("3.3"),  # 3 x 1.1
        "cache_read_tokens": Fraction("0.33"),  # 0.30 x 1.1
        "web_searches": 10,
        "requests": Fraction("0.005"),
    }
    elsewhere = charged(book_of(EU), COUNTS, region="us", at=NOON)
    assert elsewhere["input_tokens"].amount == 3


def test_a_band_shows_what_multiplied_its_rate_and_recomputes_exactly() -> None:
    found = charged(book_of(EU), COUNTS, region="eu", at=NOON, size_tokens=200_001)
    (band,) = found["input_tokens"].bands
    assert (band.when, band.rate) == ("request_tokens>200000, x 1.1 region=eu", Decimal("6.6"))
    assert band.amount == Fraction(band.quantity) * Fraction(band.rate) / band.per
    assert found["cache_read_tokens"].bands[0].when == "x 1.1 region=eu"
    assert found["web_searches"].bands[0].when == ""


def test_named_units_are_multiplied_and_no_others() -> None:
    found = charged(book_of(NIGHT), COUNTS, at=EVENING)
    assert {unit: charge.amount for unit, charge in found.items()} == {
        "input_tokens": Fraction("1.5"),
        "cache_read_tokens": Fraction("0.3"),  # is a part of the input, and has a rate of its own
        "web_searches": 5,
        "requests": Fraction("0.005"),
    }


def test_all_that_hold_multiply_in_the_order_of_the_book() -> None:
    found = charged(book_of(EU, NIGHT), COUNTS, region="eu", at=EVENING)
    (band,) = found["input_tokens"].bands
    assert (band.when, band.amount) == (
        "x 1.1 region=eu, x 0.5 window=night",
        Fraction("1.65"),  # 3 x 1.1 x 0.5
    )


def test_a_factor_without_conditions_always_multiplies() -> None:
    found = charged(book_of({"id": "fee", "factor": "1.055", "when": {}}), COUNTS, at=NOON)
    assert found["input_tokens"].bands[0].when == "x 1.055"
    assert found["input_tokens"].amount == Fraction("3.165")  # 3 x 1.055


LADDER: Json = {
    "id": "in",
    "kind": "graduated",
    "bands": [
        {"up_to": 10 * MTOK, "rate": "2", "flat": "5", "cap": "21"},
        {"rate": "1", "flat": "7"},
    ],
}


def test_of_a_ladder_the_rates_are_multiplied_and_neither_flats_nor_caps() -> None:
    book = book_of(EU, rates=[{"unit": "input_tokens", "ladder": LADDER}])
    found = charged(book, {"input_tokens": 12 * MTOK}, region="eu", at=NOON)
    bands = found["input_tokens"].bands
    assert [band.rate for band in bands] == [Decimal("2.2"), Decimal("1.1")]
    # 10 x 2.2 + 5 = 27, capped at 21; 2 x 1.1 + 7 = 9.2
    assert [(band.amount, band.capped) for band in bands] == [(21, True), (Fraction("9.2"), False)]


def test_a_ladder_goes_on_where_the_factor_changes() -> None:
    # 8M in the night at half the rate, then 5M by day: the position is one.
    rates: list[Json] = [
        {
            "unit": "input_tokens",
            "ladder": {**LADDER, "bands": [{"up_to": 10 * MTOK, "rate": "2"}, {"rate": "1"}]},
        }
    ]
    books = in_force(book_of(NIGHT, rates=rates))
    grid = grid_for(books, period=None)
    rating = rate_totals(
        [
            total({"input_tokens": 5 * MTOK}, grid=grid, at=NOON),
            total({"input_tokens": 8 * MTOK}, grid=grid, at=EVENING),
        ],
        books=books,
        grid=grid,
    )
    # In one segment cells go in canonical order: outside the window first.
    # 5 x 2 + 5 x 1 (the night up to 10M) + 3 x 0.5 = 16.50
    assert rating.total_exact == Fraction("16.5")


def test_a_long_product_is_exact() -> None:
    long: Json = {"id": "a", "factor": "1.00000000001", "when": {}}
    book = book_of(long, {**long, "id": "b"}, rates=[{"unit": "input_tokens", "rate": "3.01"}])
    found = charged(book, {"input_tokens": MTOK}, at=NOON)
    # 3.01 x 1.00000000001^2, 24 decimals
    assert found["input_tokens"].bands[0].rate == Decimal("3.010000000060200000000301")
    assert found["input_tokens"].amount == Fraction("3.010000000060200000000301")


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_condition_of_a_band_finds_its_rate_and_its_multipliers_again(
    order: tuple[int, ...],
) -> None:
    multipliers = [EU, NIGHT, {"id": "twice", "factor": "2", "when": {}}]
    book = book_of(*(multipliers[i] for i in order))
    card = book.rate_cards[0]
    for region in ("", "eu"):
        for windows in ((), ("night",)):
            for size_tokens in (0, 200_001):
                rates = match_rates(
                    book,
                    card=card,
                    region=region,
                    size_tokens=size_tokens,
                    dimensions={},
                    windows=windows,
                )
                for unit, rate in rates.items():
                    assert matched_as(book, card=card, unit=unit, when=rate.when) == rate


def test_names_that_look_like_conditions_never_mix_two_rates() -> None:
    # The second rate reads as the first one times 1.1: each keeps its own quantity and rate.
    value = "a, x 1.1 region=eu"
    rates: list[Json] = [
        {"unit": "input_tokens", "rate": one, "when": {"dimensions": {"team": team}}}
        for one, team in (("3", "a"), ("7", value))
    ]
    book = read_book(
        {
            **book_json([card_json(rates)]),
            "dimensions": {"team": ["a", value]},
            "multipliers": [EU],
        }
    )
    books = in_force(book)
    grid = grid_for(books, period=None)
    totals = [
        total({"input_tokens": MTOK}, grid=grid, region=region, dimensions={"team": team})
        for region, team in (("eu", "a"), ("", value))
    ]
    (charge,) = rate_totals(totals, books=books, grid=grid).charges
    assert [(band.when, band.amount) for band in charge.bands] == [
        ("team=a, x 1.1 region=eu", Fraction("3.3")),
        ("team=a, x 1.1 region=eu", 7),
    ]


def test_a_condition_that_is_none_of_the_book_finds_nothing() -> None:
    book = book_of(EU)
    card = book.rate_cards[0]
    assert matched_as(book, card=card, unit="input_tokens", when="region=us") is None
    assert matched_as(book, card=card, unit="web_searches", when="x 1.1 region=eu") is None
    with pytest.raises(LookupError, match='book 1 has no rate of web_searches when "x 2"'):
        explain_band(book, card=card, unit="web_searches", when="x 2")


def sentences(step: Step, kind: str) -> list[str]:
    """The sentences of all nodes of a kind."""
    own = [step.sentence] if step.kind == kind else []
    return own + [text for part in step.rests_on for text in sentences(part, kind)]


def test_a_walk_names_multipliers_and_windows() -> None:
    book = book_of(EU, NIGHT)
    unit = explain_unit(book, model="m", service_tier="standard", unit="input_tokens")
    assert sentences(unit, "multiplier") == [
        "eu: x 1.1 region=eu",
        "night: x 0.5 window=night",
    ]
    assert sentences(unit, "window") == ["night: daily 22:00-06:00 (UTC)"]
    when = "request_tokens>200000, x 1.1 region=eu"
    band = explain_band(book, card=book.rate_cards[0], unit="input_tokens", when=when)
    assert band.kind == "rate"
    assert band.sentence.endswith("when request_tokens>200000: 6 per 1,000,000")
    assert sentences(band, "multiplier") == ["eu: x 1.1 region=eu"]
    searches = explain_unit(book, model="m", service_tier="standard", unit="requests")
    assert sentences(searches, "multiplier") == []


def test_a_quote_multiplies_too() -> None:
    compiled = compile_book(book_of(EU, NIGHT))
    card = compiled.card(
        model="m",
        service_tier="standard",
        size_tokens=0,
        region="eu",
        moment_at=parse_moment(EVENING),
    )
    # 1M fresh at 1.65 and 1M cached at 0.33 and the request
    assert card.amount({"input_tokens": 2 * MTOK, "cache_read_tokens": MTOK}) == Fraction("1.985")


def test_a_rate_is_found_again_where_one_name_begins_with_another() -> None:
    west: Json = {**EU, "id": "west", "when": {"region": "eu-west"}}
    rates: list[Json] = [
        {"unit": "input_tokens", "rate": "3"},
        {"unit": "input_tokens", "rate": "2", "when": {"region": "eu"}},
    ]
    book = book_of(EU, west, rates=rates)
    (card,) = book.rate_cards
    for region, ids in (("eu", ["eu"]), ("eu-west", ["west"])):
        found = match_rates(
            book, card=card, region=region, size_tokens=0, dimensions={}, windows=()
        )["input_tokens"]
        assert [one.id for one in found.multipliers] == ids
        assert matched_as(book, card=card, unit="input_tokens", when=found.when) == found

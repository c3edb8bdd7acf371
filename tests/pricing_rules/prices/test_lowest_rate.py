"""The lowest rate that usage can meet at an entry: bands, multipliers, and what holds at once."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.prices.lowest_rate import lowest_rate
from pricing_rules.prices.matching import match_rates
from pricing_rules.prices.price_book import PriceBook
from tests.pricing_rules.prices.made_books import Json, book_json, card_json, read_book

INPUT: Json = {"unit": "input_tokens", "rate": "2"}
WINDOWS = {
    "night": {"times": [{"start_time": "22:00", "end_time": "06:00"}]},
    "late": {"times": [{"start_time": "20:00", "end_time": "23:00"}]},
}


def book_of(*rates: Json, multipliers: list[Json]) -> PriceBook:
    value = book_json([card_json(rates)])
    dimensions = {"residency": ["eu", "us"]}
    return read_book(
        {**value, "windows": WINDOWS, "dimensions": dimensions, "multipliers": multipliers}
    )


def factor(id_: str, factor: str, **fields: Any) -> Json:
    return {"id": id_, "factor": factor, "when": {}, **fields}


def lowest(book: PriceBook, *, at: int = 0) -> tuple[Fraction | int, list[str]]:
    card = book.rate_cards[0]
    found = lowest_rate(card.rates[at], card=card, book=book)
    return found.per_mtok, [one.id for one in found.multipliers]


def test_without_a_multiplier_it_is_the_lowest_band_per_million() -> None:
    bands = [{"up_to": "100", "rate": "3"}, {"rate": "1", "per": 1000}]
    ladder = {"unit": "output_tokens", "ladder": {"id": "l", "kind": "graduated", "bands": bands}}
    # 1 per 1,000 is 1,000 per million; 3 per million is less.
    assert lowest(book_of(ladder, multipliers=[])) == (3, [])
    assert lowest(book_of({**INPUT, "per": 1000}, multipliers=[])) == (2000, [])


def test_factors_of_one_and_more_and_of_other_units_change_nothing() -> None:
    book = book_of(
        INPUT,
        multipliers=[
            factor("one", "1"),
            factor("more", "1.1"),
            factor("tools", "0.5", units=["web_searches"]),
        ],
    )
    assert lowest(book) == (2, [])


def test_factors_that_can_hold_at_once_multiply() -> None:
    # 2 x .5 x .9 x .8; two windows may overlap.
    book = book_of(
        INPUT,
        multipliers=[
            factor("eu", "0.5", when={"region": "eu"}),
            factor("night", "0.9", when={"window": "night"}),
            factor("late", "0.8", when={"window": "late"}),
        ],
    )
    assert lowest(book) == (Fraction("0.72"), ["eu", "night", "late"])


def test_of_two_regions_the_lower_factor_counts_with_all_that_holds_beside_it() -> None:
    # eu .9 x .5 beside us .6: .45 is the lower, though .6 alone is under .9.
    book = book_of(
        INPUT,
        multipliers=[
            factor("us", "0.6", when={"region": "us"}),
            factor("eu", "0.9", when={"region": "eu"}),
            factor("kept", "0.5", when={"region": "eu", "dimensions": {"residency": "eu"}}),
            factor("abroad", "0.7", when={"dimensions": {"residency": "us"}}),
        ],
    )
    # us x abroad = .42 is lower still.
    assert lowest(book) == (Fraction("0.84"), ["us", "abroad"])


def test_a_factor_of_another_region_than_the_rate_never_holds_at_it() -> None:
    rate = {**INPUT, "when": {"region": "us"}}
    book = book_of(rate, multipliers=[factor("eu", "0.5", when={"region": "eu"})])
    assert lowest(book) == (2, [])


def test_a_more_specific_rate_takes_the_place_where_a_factor_would_hold() -> None:
    own = {"unit": "input_tokens", "rate": "3", "when": {"region": "eu"}}
    eu = factor("eu", "0.5", when={"region": "eu"})
    book = book_of(INPUT, own, multipliers=[eu])
    assert lowest(book) == (2, [])
    assert lowest(book, at=1) == (Fraction("1.5"), ["eu"])
    # Of larger requests only: the factor still holds for the smaller ones at the rate without.
    own = {**own, "when": {"region": "eu", "request_tokens_over": 1000}}
    assert lowest(book_of(INPUT, own, multipliers=[eu])) == (1, ["eu"])


def test_an_output_rate_is_no_rival_of_an_input_rate() -> None:
    own = {"unit": "output_tokens", "rate": "3", "when": {"region": "eu"}}
    book = book_of(INPUT, own, multipliers=[factor("eu", "0.5", when={"region": "eu"})])
    assert lowest(book) == (1, ["eu"])


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "region": st.sampled_from(["eu", "us"]),
        "dimensions": st.just({"residency": "eu"}) | st.just({"residency": "us"}),
    },
)


@given(
    whens=st.lists(CONDITIONS, max_size=4),
    factors=st.lists(st.sampled_from(["0.5", "0.9", "1.2"]), min_size=4, max_size=4),
    own=st.none() | CONDITIONS.filter(bool),
    region=st.sampled_from(["", "eu", "us"]),
    residency=st.sampled_from(["", "eu", "us"]),
)
def test_no_request_meets_less_than_the_lowest(
    whens: list[Json], factors: list[str], own: Json | None, region: str, residency: str
) -> None:
    multipliers = [factor(f"f{i}", factors[i], when=when) for i, when in enumerate(whens)]
    further = [{"unit": "input_tokens", "rate": "1", "when": own}] if own else []
    book = book_of(INPUT, *further, multipliers=multipliers)
    card = book.rate_cards[0]
    met = match_rates(
        book,
        card=card,
        region=region,
        size_tokens=0,
        dimensions={"residency": residency} if residency else {},
        windows=(),
    )["input_tokens"]
    assert met.plain_rate >= lowest_rate(met.entry, card=card, book=book).per_mtok

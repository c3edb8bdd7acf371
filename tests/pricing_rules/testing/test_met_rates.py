"""What rates of a book requests meet: every situation, after multipliers, by the match of a
quote.

Invariant: the books are written down here, so that each rate can be looked up.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.testing.met_rates import BookRates, situations, thresholds_tokens
from tests.pricing_rules.prices.made_books import (
    book_json,
    card_json,
    conditional_book,
    one_card_book,
    read_book,
)

Json = dict[str, Any]


def told(book: PriceBook) -> dict[str, Fraction]:
    """The lowest rate per million of each unit and condition that is met."""
    return {rate.about: rate.lowest for rate in BookRates(book).rates()}


def test_each_condition_is_met_once() -> None:
    # The dimension wins over the region, and both over the size; each is met alone.
    assert told(conditional_book()) == {
        "m/standard/input_tokens": 1,
        "m/standard/input_tokens/request_tokens>200": 2,
        "m/standard/input_tokens/request_tokens>=500": 3,
        "m/standard/input_tokens/region=eu": 4,
        "m/standard/input_tokens/effort=high": 5,
    }


def test_situations_are_every_combination_of_what_rates_name() -> None:
    book = conditional_book()
    cards = [(book, book.rate_cards[0])]
    found = list(situations(cards))
    # sizes 0, 201, 500; no region or eu; no effort or high
    assert len(found) == len(set(found)) == 3 * 2 * 2
    assert (found[0].size_tokens, found[0].region, found[0].dimensions) == (0, "", ())
    assert thresholds_tokens(cards) == (201, 500)


def windowed_book(**changed: Any) -> PriceBook:
    """Input at 10, at 6 by night; all of it at half by a multiplier at weekends."""
    value = book_json(
        [
            card_json(
                [
                    {"unit": "input_tokens", "rate": "10"},
                    {"unit": "input_tokens", "rate": "6", "when": {"window": "night"}},
                    {"unit": "web_searches", "rate": "0.01", "per": 1},
                ]
            )
        ]
    )
    value["windows"] = {
        "night": {"times": [{"start_time": "22:00", "end_time": "06:00"}]},
        "weekend": {"times": [{"weekdays": [6, 7], "start_time": "00:00", "end_time": "00:00"}]},
    }
    value["multipliers"] = [{"id": "we", "factor": "0.5", "when": {"window": "weekend"}}]
    return read_book({**value, **changed})


def test_windows_and_multipliers_are_met_alone_and_together() -> None:
    assert told(windowed_book()) == {
        "m/standard/input_tokens": 10,
        "m/standard/input_tokens/window=night": 6,
        "m/standard/input_tokens/x 0.5 window=weekend": 5,
        "m/standard/input_tokens/window=night, x 0.5 window=weekend": 3,
        # A multiplier without units is for tokens; per 1 is 0.01 x 1,000,000 per million.
        "m/standard/web_searches": 10_000,
    }


def test_a_window_of_one_holiday_in_the_year_after_next_is_met() -> None:
    # The book takes effect in October 2026; its only holiday is over a year away.
    day = {"start_time": "00:00", "end_time": "00:00", "holidays": "only"}
    windows = {"night": {"times": [day], "holidays": ["2028-01-01"]}}
    book = windowed_book(windows=windows, multipliers=[])
    assert told(book)["m/standard/input_tokens/window=night"] == 6


def test_a_multiplier_that_concerns_no_rate_of_the_card_tells_nothing_apart() -> None:
    elsewhere = {"id": "we", "factor": "0.5", "when": {"window": "weekend"}, "units": ["songs"]}
    book = windowed_book(multipliers=[elsewhere])
    # without a window, by night
    assert len(list(situations([(book, book.rate_cards[0])]))) == 2


def test_a_cap_is_the_least_that_a_unit_can_come_to_in_its_band() -> None:
    bands = [
        {"up_to": 1_000_000, "rate": "3", "cap": "2"},
        {"up_to": 3_000_000, "rate": "1", "cap": "4"},
        {"rate": "5", "cap": "7"},
    ]
    ladder = {"id": "l", "kind": "graduated", "bands": bands}
    (rate,) = BookRates(one_card_book([{"unit": "input_tokens", "ladder": ladder}])).rates()
    # 2 over 1M; 4 over 2M is 2, and the rate of 1 is less; 7 over ever more is nothing
    assert [found for _, found in rate.bands] == [2, 1, 0]


@pytest.mark.parametrize(
    "scope, sentence",
    [
        ({"models": ("gpt",)}, "public number 1: has no gpt among its models: m, n"),
        ({"service_tiers": ("fast",)}, "has no fast among its service_tiers: batch, standard"),
        ({"units": ("songs",)}, "has no songs among its units: input_tokens"),
        ({"models": ("n",), "service_tiers": ("batch",)}, "has no rate card of these models"),
        ({"models": "m"}, 'models: are a tuple of names; write ("m",)'),
    ],
)
def test_a_name_that_the_book_does_not_have_is_refused(scope: Json, sentence: str) -> None:
    rate = {"unit": "input_tokens", "rate": "1"}
    cards = [card_json([rate]), card_json([rate], model="n")]
    book = read_book(book_json([*cards, card_json([rate], service_tier="batch")]))
    with pytest.raises(DocumentError) as caught:
        BookRates(book).rates(**scope)
    assert sentence in str(caught.value)


@given(
    size_tokens=st.integers(0, 700),
    region=st.sampled_from(["", "eu", "us"]),
    effort=st.sampled_from(["", "high", "low"]),
)
def test_whatever_a_request_meets_is_among_the_rates(
    size_tokens: int, region: str, effort: str
) -> None:
    book = conditional_book()
    entries = book.rate_cards[0].rates_for(
        region=region, size_tokens=size_tokens, dimensions={"effort": effort} if effort else {}
    )
    met = [rate.matched.entry for rate in BookRates(book).rates()]
    assert entries["input_tokens"] in met

"""Conditions of rates: whether one holds, and which of those that hold is the most specific."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.prices.conditions import When
from tests.pricing_rules.prices.made_books import Json, book_json, card_json, read_book

RATE: Json = {"unit": "input_tokens", "rate": "2"}
DIMENSIONS = {"effort": ["high", "low"], "project": ["x"]}
NIGHT: Json = {"times": [{"start_time": "22:00", "end_time": "06:00"}]}

# One rate of input_tokens under each set of conditions, the most specific last.
BY_RISING_SPECIFICITY: list[Json] = [
    {},
    {"request_tokens_over": 100},
    {"request_tokens_at_least": 200},
    {"region": "eu"},
    {"dimensions": {"project": "x"}},
    {"dimensions": {"effort": "high"}},
    {"region": "eu", "request_tokens_over": 100},
    {"dimensions": {"project": "x"}, "request_tokens_over": 100},
    {"dimensions": {"project": "x"}, "region": "eu"},
    {"dimensions": {"effort": "high"}, "region": "eu"},
    {"dimensions": {"effort": "high", "project": "x"}},
    {"dimensions": {"effort": "high"}, "region": "eu", "request_tokens_over": 100},
    {"dimensions": {"effort": "high", "project": "x"}, "region": "eu"},
    {"dimensions": {"effort": "high", "project": "x"}, "region": "eu", "request_tokens_over": 1},
]

# Windows come after regions and before request sizes; of two, the first by name is more specific.
BY_RISING_SPECIFICITY_WITH_WINDOWS: list[Json] = [
    {},
    {"request_tokens_over": 100},
    {"request_tokens_at_least": 200},
    {"window": "week"},
    {"window": "night"},
    {"region": "eu"},
    {"dimensions": {"project": "x"}},
    {"window": "week", "request_tokens_over": 100},
    {"window": "night", "request_tokens_over": 100},
    {"region": "eu", "request_tokens_over": 100},
    {"region": "eu", "window": "week"},
    {"region": "eu", "window": "night"},
    {"dimensions": {"effort": "high"}, "window": "night"},
    {"region": "eu", "window": "week", "request_tokens_over": 100},
    {"region": "eu", "window": "night", "request_tokens_over": 1},
]


@given(order=st.permutations(range(len(BY_RISING_SPECIFICITY))), last=st.integers(0, 13))
def test_the_most_specific_rate_wins_in_whatever_order_they_are_written(
    order: list[int], last: int
) -> None:
    rates: list[Json] = [
        {**RATE, "rate": str(i), "when": BY_RISING_SPECIFICITY[i]} for i in order if i <= last
    ]
    book = read_book({**book_json([card_json(rates)]), "dimensions": DIMENSIONS})
    chosen = book.rate_cards[0].rates_for(
        region="eu", size_tokens=500, dimensions={"effort": "high", "project": "x"}
    )
    assert chosen["input_tokens"].rate == Decimal(last)


@given(order=st.permutations(range(15)), last=st.integers(0, 14))
def test_the_most_specific_rate_wins_among_rates_of_windows(order: list[int], last: int) -> None:
    rates: list[Json] = [
        {**RATE, "rate": str(i), "when": BY_RISING_SPECIFICITY_WITH_WINDOWS[i]}
        for i in order
        if i <= last
    ]
    value = {**book_json([card_json(rates)]), "dimensions": DIMENSIONS}
    book = read_book({**value, "windows": {"night": NIGHT, "week": NIGHT}})
    chosen = book.rate_cards[0].rates_for(
        region="eu",
        size_tokens=500,
        dimensions={"effort": "high", "project": "x"},
        windows={"night", "week"},
    )
    assert chosen["input_tokens"].rate == Decimal(last)


@pytest.mark.parametrize(
    "windows, holds", [((), False), (("week",), False), (("night",), True), (("night", "w"), True)]
)
def test_a_window_holds_while_it_is_in_force(windows: tuple[str, ...], holds: bool) -> None:
    found = When(window="night")
    assert found.holds(region="", size_tokens=0, dimensions={}, windows=windows) is holds


@pytest.mark.parametrize(
    "when, size_tokens, holds",
    [
        ({"request_tokens_over": 200}, 199, False),
        ({"request_tokens_over": 200}, 200, False),
        ({"request_tokens_over": 200}, 201, True),
        ({"request_tokens_at_least": 200}, 199, False),
        ({"request_tokens_at_least": 200}, 200, True),
        ({"request_tokens_at_least": 200}, 201, True),
        ({"request_tokens_at_least": 0}, 0, True),
        ({"request_tokens_over": 0}, 0, False),
    ],
)
def test_a_context_step_below_at_and_above(when: Json, size_tokens: int, holds: bool) -> None:
    found = When.model_validate_json(json.dumps(when))
    assert found.holds(region="", size_tokens=size_tokens, dimensions={}) is holds


@pytest.mark.parametrize(
    "region, dimensions, holds",
    [
        ("eu", {"effort": "high"}, True),
        ("eu", {"effort": "high", "project": "x"}, True),
        ("us", {"effort": "high"}, False),
        ("", {"effort": "high"}, False),
        ("eu", {"effort": "low"}, False),
        ("eu", {}, False),
    ],
)
def test_all_named_conditions_must_hold(region: str, dimensions: Json, holds: bool) -> None:
    found = When(region="eu", dimensions={"effort": "high"})
    assert found.holds(region=region, size_tokens=0, dimensions=dimensions) is holds


def test_conditions_read_as_people_read_them() -> None:
    assert When().text() == ""
    assert (
        When(region="eu", request_tokens_over=200, dimensions={"effort": "high"}).text()
        == "effort=high and region=eu and request_tokens>200"
    )
    assert When(request_tokens_at_least=200).text() == "request_tokens>=200"
    assert (
        When(region="eu", window="night", request_tokens_over=1).text()
        == "region=eu and window=night and request_tokens>1"
    )

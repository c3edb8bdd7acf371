"""The law of quotes: each equals the rating of one event, on every input.

Invariant: books here have every kind of condition, ladder, window and multiplier at once.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import dump
from pricing_rules.money import exact_text
from pricing_rules.period import moment_text, parse_moment
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.quote import QuoteError, compile_book
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.usage.leaves import NegativeLeafError, split_leaves
from pricing_rules.usage.units import UNITS, strict_descendants
from tests.pricing_rules.prices.made_books import (
    Json,
    book_json,
    card_json,
    in_force,
    ladders,
    read_book,
    total,
)

NAMES = [
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "cache_audio_read_tokens",
    "output_reasoning_tokens",
    "web_searches",
    "audio_seconds",
    "output_audio_seconds",
]
ROOTS = ["input_tokens", "output_tokens", "web_searches", "audio_seconds"]
WHENS: list[Json] = [
    {},
    {},
    {},
    {"region": "eu"},
    {"request_tokens_over": 40},
    {"request_tokens_at_least": 70},
    {"dimensions": {"effort": "high"}},
    {"dimensions": {"effort": "high"}, "region": "eu"},
    {"request_tokens_over": 40, "region": "eu"},
    {"window": "night"},
    {"window": "night", "region": "eu"},
    {"window": "weekend"},
]
WINDOWS: Json = {
    "night": {
        "zone": "Europe/Berlin",
        "times": [{"start_time": "22:00", "end_time": "06:00", "holidays": "excluded"}],
        "holidays": ["2026-10-07"],
    },
    "weekend": {"times": [{"weekdays": [6, 7], "start_time": "00:00", "end_time": "00:00"}]},
}
BOUNDARIES = [
    "2026-10-05T20:00:00Z",  # a Monday, 22:00 in Berlin
    "2026-10-06T04:00:00Z",
    "2026-10-07T20:00:00Z",  # the night that does not start
    "2026-10-10T00:00:00Z",  # a Saturday
    "2026-10-12T00:00:00Z",
    "2026-10-25T00:00:00Z",  # the night of 9 hours
    "2026-10-25T05:00:00Z",
]
MOMENTS = [parse_moment(text) + d for text in BOUNDARIES for d in (-1, 0, 1)]


@st.composite
def books(draw: st.DrawFn) -> PriceBook:
    """One card with rates and ladders of any kind, of which two units may share one."""
    whole = [dump(draw(ladders(id=name))) for name in ("a", "b")]
    audio = [dump(draw(ladders(id="c", scale=1000)))]
    rates: list[Json] = []
    roots = draw(st.sampled_from([ROOTS, ROOTS, ROOTS[:2], []]))
    others = draw(st.lists(st.sampled_from([*NAMES, "requests"]), min_size=1, max_size=5))
    for unit in [*roots, *others]:
        rate: Json = {"unit": unit, "per": draw(st.sampled_from([1, 3, 1000, 10**6]))}
        rate["when"] = {} if unit in roots and not rates else draw(st.sampled_from(WHENS))
        if any(other["unit"] == unit and other["when"] == rate["when"] for other in rates):
            continue
        if draw(st.integers(0, 2)):
            rate["rate"] = draw(st.sampled_from(["0", "0.3", "2", "12.5", "0.000001"]))
        else:
            rate["ladder"] = draw(st.sampled_from(whole if UNITS[unit].scale == 1 else audio))
        rates.append(rate)
    value = {
        **book_json([card_json(rates)]),
        "dimensions": {"effort": ["high", "low"]},
        "windows": WINDOWS,
        "multipliers": draw(multipliers()),
    }
    return read_book(value)


@st.composite
def multipliers(draw: st.DrawFn) -> list[Json]:
    """Up to three factors, on tokens or on units that are named."""
    drawn = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "factor": st.sampled_from(["1.1", "2", "0.5"]),
                    "when": st.sampled_from(WHENS),
                },
                optional={"units": st.lists(st.sampled_from([*NAMES, "requests"]), max_size=2)},
            ),
            max_size=3,
        )
    )
    return [{"id": str(i), **one} for i, one in enumerate(drawn)]


@st.composite
def consistent_counts(draw: st.DrawFn) -> dict[str, int]:
    """Inclusive counts that come from leaves, so that no unit is less than its parts."""
    leaves = draw(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 60), max_size=6))
    return {
        name: count + sum(leaves.get(inner, 0) for inner in strict_descendants(name))
        for name, count in leaves.items()
    }


CONDITIONS = st.fixed_dictionaries(
    {
        "region": st.sampled_from(["", "eu", "us"]),
        "dimensions": st.sampled_from([{}, {"effort": "high"}, {"effort": "low", "other": "x"}]),
        "size_tokens": st.sampled_from([0, 40, 41, 69, 70, 500]),
    }
)


@given(
    book=books(),
    units=consistent_counts()
    | consistent_counts()
    | st.dictionaries(st.sampled_from(NAMES), st.integers(0, 120), max_size=7),
    asked=CONDITIONS,
    moment_at=st.sampled_from(MOMENTS),
)
def test_a_quote_equals_the_exact_path(
    book: PriceBook, units: dict[str, int], asked: dict[str, Any], moment_at: int
) -> None:
    card = compile_book(book).card(model="m", service_tier="standard", moment_at=moment_at, **asked)
    amount, reasons = exact_path(book, units, {**asked, "at": moment_text(moment_at)})
    if amount is None:
        with pytest.raises(QuoteError) as refused:
            card.amount(units)
        assert str(refused.value) in reasons
    else:
        assert card.amount(units) == amount
        assert card.amount_text(units) == exact_text(amount)


def exact_path(
    book: PriceBook, units: dict[str, int], asked: Any
) -> tuple[Fraction | None, set[str]]:
    """The rating of one completed event, or None and the reasons why there is no amount."""
    grid = grid_for(in_force(book), period=None)
    try:
        leaves = split_leaves(units)
    except NegativeLeafError as error:
        return None, {str(error)}
    rating = rate_totals([total(leaves, grid=grid, **asked)], books=in_force(book), grid=grid)
    if rating.unpriced:
        return None, {unpriced.reason for unpriced in rating.unpriced}
    return rating.total_exact, set()

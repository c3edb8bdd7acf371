"""Recurring windows in rating and quotes: the rate of an event is that of its moment."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.period import moment_text, parse_moment
from pricing_rules.prices.explain import explain_unit
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.quote import QuoteError, QuoteRequest, compile_book
from pricing_rules.prices.quote_lines import quote_line
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.usage.totals import add_totals
from tests.pricing_rules.prices.made_books import (
    MTOK,
    Json,
    book_json,
    card_json,
    in_force,
    read_book,
    total,
)

# A provider's flash model: peak $0.30 in and $1.20 out, half of it off peak; above 200k the peak
# rates double, and off peak replaces these as well. Peak is 01:00-04:00 and 06:00-10:00 UTC, Monday
# to Friday, except on public holidays.
PEAK_TIMES: list[Json] = [
    {"weekdays": [1, 2, 3, 4, 5], "start_time": start, "end_time": end, "holidays": "excluded"}
    for start, end in (("01:00", "04:00"), ("06:00", "10:00"))
]
PEAK: Json = {"times": PEAK_TIMES, "holidays": ["2026-10-01", "2026-10-02"]}
RATES: list[Json] = [
    {"unit": "input_tokens", "rate": "0.15"},
    {"unit": "output_tokens", "rate": "0.60"},
    {"unit": "input_tokens", "rate": "0.30", "when": {"window": "peak"}},
    {"unit": "output_tokens", "rate": "1.20", "when": {"window": "peak"}},
    {
        "unit": "input_tokens",
        "rate": "0.60",
        "when": {"window": "peak", "request_tokens_over": 200_000},
    },
]


def flash(number: int = 1, *, window: Json = PEAK, effective_from: str | None = None) -> PriceBook:
    value = book_json([card_json(RATES)], number=number)
    if effective_from:
        value["effective_from"] = effective_from
    return read_book({**value, "windows": {"peak": window}})


def rate_of_input(book: PriceBook, *, at: str, size_tokens: int = 0) -> tuple[Fraction, str]:
    """What a million input tokens cost at a moment, and the condition that the charge shows."""
    books = in_force(book)
    grid = grid_for(books, period=None)
    one = total({"input_tokens": MTOK}, grid=grid, at=at, size_tokens=size_tokens)
    (charge,) = rate_totals([one], books=books, grid=grid).charges
    (band,) = charge.bands
    quoted = compile_book(book).card(
        model="m", service_tier="standard", size_tokens=size_tokens, moment_at=parse_moment(at)
    )
    assert quoted.amount({"input_tokens": MTOK}) == charge.amount
    return charge.amount, band.when


@pytest.mark.parametrize(
    "at, amount, when",
    [
        ("2026-10-05T00:59:59.999999Z", "0.15", ""),  # a Monday
        ("2026-10-05T01:00:00Z", "0.3", "window=peak"),
        ("2026-10-05T01:00:00.000001Z", "0.3", "window=peak"),
        ("2026-10-05T03:59:59.999999Z", "0.3", "window=peak"),
        ("2026-10-05T04:00:00Z", "0.15", ""),
        ("2026-10-05T06:00:00Z", "0.3", "window=peak"),
        ("2026-10-05T10:00:00Z", "0.15", ""),
        ("2026-10-03T02:00:00Z", "0.15", ""),  # a Saturday
        ("2026-10-02T02:00:00Z", "0.15", ""),  # a Friday that is a holiday
        ("2026-10-09T02:00:00Z", "0.3", "window=peak"),  # one that is none
    ],
)
def test_the_rate_is_that_of_the_moment(at: str, amount: str, when: str) -> None:
    assert rate_of_input(flash(), at=at) == (Fraction(amount), when)


def test_off_peak_replaces_the_rate_over_a_context_step_too() -> None:
    peak, off_peak = "2026-10-05T02:00:00Z", "2026-10-05T05:00:00Z"
    # Of two conditions the rate that names both is the most specific.
    over = rate_of_input(flash(), at=peak, size_tokens=200_001)
    assert over == (Fraction("0.6"), "window=peak and request_tokens>200000")
    assert rate_of_input(flash(), at=peak, size_tokens=200_000)[0] == Fraction("0.3")
    assert rate_of_input(flash(), at=off_peak, size_tokens=200_001)[0] == Fraction("0.15")


def test_a_charge_has_a_band_in_and_one_outside_the_window() -> None:
    books = in_force(flash())
    grid = grid_for(books, period=None)
    moments = ["2026-10-05T02:00:00Z", "2026-10-05T05:00:00Z", "2026-10-06T07:00:00Z"]
    totals = [total({"input_tokens": MTOK}, grid=grid, at=at) for at in moments]
    (charge,) = rate_totals(totals, books=books, grid=grid).charges
    assert [(band.when, band.quantity, band.amount) for band in charge.bands] == [
        ("", MTOK, Fraction("0.15")),
        ("window=peak", 2 * MTOK, Fraction("0.6")),
    ]
    # Both events of the window are in one cell.
    assert len(add_totals(totals)) == 2


def test_books_that_define_one_name_differently_do_not_mix() -> None:
    # From the 15th on, the afternoon is peak instead.
    afternoon = {"times": [{"start_time": "12:00", "end_time": "18:00"}]}
    later = flash(2, window=afternoon, effective_from="2026-10-15T00:00:00Z")
    books = in_force(flash(), later)
    grid = grid_for(books, period=None)
    assert len(grid.windows) == 2
    found = {}
    for at in (
        "2026-10-12T02:00:00Z",  # a Monday under the first book
        "2026-10-12T13:00:00Z",
        "2026-10-19T02:00:00Z",  # a Monday under the second
        "2026-10-19T13:00:00Z",
    ):
        one = total({"input_tokens": MTOK}, grid=grid, at=at)
        found[at[8:13]] = rate_totals([one], books=books, grid=grid).total_exact
    off_peak, peak = Fraction("0.15"), Fraction("0.3")
    assert found == {"12T02": peak, "12T13": off_peak, "19T02": off_peak, "19T13": peak}


def test_totals_that_no_window_cuts_are_stale() -> None:
    books = in_force(flash())
    grid = grid_for(books, period=None)
    one = total({"input_tokens": 1}, grid=grid, at="2026-10-05T02:00:00Z")
    blind = replace(grid, windows=())
    with pytest.raises(DocumentError, match="usage totals: are stale"):
        rate_totals([one], books=books, grid=blind)


BOUNDARIES = [
    parse_moment(f"2026-10-{day:02}T{hour:02}:00:00Z") + d
    for day in (1, 4, 5, 9, 10, 12)
    for hour in (0, 1, 4, 6, 10)
    for d in (-1, 0, 1)
    if (day, hour, d) != (1, 0, -1)  # before the book
]


@given(moments=st.lists(st.sampled_from(BOUNDARIES), min_size=1, max_size=8), split=st.booleans())
def test_splitting_usage_over_windows_changes_nothing(moments: list[int], split: bool) -> None:
    # I9: rating all totals at once, added up or apart, is the sum of the quotes of each event.
    books, compiled = in_force(flash()), compile_book(flash())
    grid = grid_for(books, period=None)
    counts = {"input_tokens": 1000, "output_tokens": 10}
    totals = [total(counts, grid=grid, at=moment_text(at)) for at in moments]
    quotes = sum(
        (
            compiled.card(model="m", service_tier="standard", size_tokens=0, moment_at=at).amount(
                counts
            )
            for at in moments
        ),
        Fraction(0),
    )
    given_totals = totals if split else add_totals(totals)
    assert rate_totals(given_totals, books=books, grid=grid).total_exact == quotes


def request(**fields: Any) -> QuoteRequest:
    units = {"input_tokens": MTOK}
    return QuoteRequest.model_validate(
        {"model": "m", "service_tier": "standard", "units": units, **fields}
    )


def test_a_quote_without_its_moment_is_refused_where_a_window_decides() -> None:
    compiled = compile_book(flash())
    sentence = "the rates of m in standard depend on the time (peak); say at which moment"
    with pytest.raises(QuoteError) as refused:
        compiled.amount(request())
    assert str(refused.value) == sentence
    line = json.dumps({"model": "m", "service_tier": "standard", "units": {"input_tokens": 1}})
    assert json.loads(quote_line(compiled, line=line.encode())) == {"error": sentence}


def test_a_quote_with_its_moment_takes_the_rate_of_that_moment() -> None:
    compiled = compile_book(flash())
    # A million input tokens are over the context step, too.
    assert compiled.amount_text(request(at="2026-10-05T02:00:00Z")) == "0.6"
    for at, amount in (("2026-10-05T03:00:00+01:00", "0.6"), ("2026-10-05T04:00:00Z", "0.15")):
        line = json.dumps(
            {"model": "m", "service_tier": "standard", "units": {"input_tokens": MTOK}, "at": at}
        )
        assert json.loads(quote_line(compiled, line=line.encode())) == {"amount": amount}


def test_a_card_that_names_no_window_needs_no_moment() -> None:
    plain = card_json([{"unit": "input_tokens", "rate": "1"}], model="n")
    value = {**book_json([card_json(RATES), plain]), "windows": {"peak": PEAK}}
    compiled = compile_book(read_book(value))
    assert compiled.amount(request(model="n")) == 1
    # A multiplier of a unit that the card has not does not concern it, one of its own does.
    for unit, needed in (("output_tokens", False), ("input_tokens", True)):
        multiplier = {"id": "x", "factor": "2", "when": {"window": "peak"}, "units": [unit]}
        compiled = compile_book(read_book({**value, "multipliers": [multiplier]}))
        if needed:
            with pytest.raises(QuoteError, match="depend on the time"):
                compiled.amount(request(model="n"))
        else:
            assert compiled.amount(request(model="n")) == 1


def test_a_walk_says_when_the_window_of_a_rate_is_in_force() -> None:
    unit = explain_unit(flash(), model="m", service_tier="standard", unit="output_tokens")
    (window,) = [part for rate in unit.rests_on for part in rate.rests_on if part.kind == "window"]
    assert window.sentence == (
        "peak: Mon,Tue,Wed,Thu,Fri 01:00-04:00 except holidays; Mon,Tue,Wed,Thu,Fri 06:00-10:00 "
        "except holidays (UTC, 2 holidays)"
    )

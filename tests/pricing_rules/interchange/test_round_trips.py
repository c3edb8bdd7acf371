"""What goes out comes back: whole real books, and generated ones, through each format.

Invariant: a book that an export lets pass is, imported again, the same book by every rate; what an
export refuses, it names.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.interchange.csv_cards import export_csv, import_csv
from pricing_rules.interchange.genai_export import export_genai_prices
from pricing_rules.interchange.genai_prices import import_genai_prices
from pricing_rules.interchange.imported import candidate, rate_card
from pricing_rules.interchange.litellm import import_litellm
from pricing_rules.interchange.litellm_export import export_litellm
from pricing_rules.interchange.openrouter import export_openrouter, import_openrouter
from pricing_rules.interchange.rate_states import State, rate_entries, unit_rate
from pricing_rules.interchange.week_times import window_minutes
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.windows import Window, WindowTimes
from tests.pricing_rules.interchange.made_imports import (
    HEAD,
    SOAK,
    GenaiData,
    LitellmMap,
    book_of,
)

RATES = st.integers(0, 10**9).map(lambda n: Decimal(n) / 10**6)
SIZES = (32_000, 128_000, 199_999, 272_000)
NIGHT = Window(times=(WindowTimes(start_time="16:30", end_time="00:30"),))
WEEKEND = Window(times=(WindowTimes(weekdays=(6, 7), start_time="00:00", end_time="00:00"),))


def rates_of(book: PriceBook) -> dict[object, Fraction]:
    """All that a book says of rates, in whatever order and per whatever quantity."""
    named = {name: window_minutes(window) for name, window in book.windows.items()}
    return {
        (
            card.model,
            card.service_tier,
            entry.unit,
            entry.when.model_copy(update={"window": None}).shape,
            named.get(entry.when.window or ""),
        ): unit_rate(entry)
        for card in book.rate_cards
        for entry in card.rates
    }


@st.composite
def books(
    draw: st.DrawFn,
    *,
    models: tuple[str, ...],
    service_tiers: tuple[str, ...],
    units: tuple[str, ...],
    windows: tuple[Window, ...] = (),
    regions: tuple[str, ...] = (),
    steps: tuple[int, ...] = SIZES,
) -> PriceBook:
    """Books of cards whose states all differ, as rate_entries writes them."""
    cards = []
    sizes = draw(st.lists(st.sampled_from(steps), unique=True, max_size=2))
    window = draw(st.sampled_from([None, *windows]))
    region = draw(st.sampled_from([None, *regions]))
    priced = draw(st.lists(st.sampled_from(units), unique=True, min_size=1))
    for model in draw(st.lists(st.sampled_from(models), unique=True, min_size=1)):
        for service_tier in service_tiers:
            states = {
                State(
                    threshold_tokens=0 if size is None else size + 1,
                    window=None if not inside else "w",
                    region=region if regional else None,
                ): {unit: Fraction(draw(RATES)) / 10**6 for unit in ("input_tokens", *priced)}
                for size in [None, *sizes]
                for inside in ([False, True] if window else [False])
                for regional in ([False, True] if region else [False])
            }
            cards.append(
                rate_card(
                    model, service_tier=service_tier, rates=rate_entries(states), source="here"
                )
            )
    return candidate(
        HEAD,
        currency="USD",
        cards=cards,
        windows={"w": window} if window else {},
        allowances=(),
        source="here",
    )


MAIN = ("output_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")


@given(
    book=books(
        models=("a", "b/c", "=SUM(A1)", "'quoted", "@cf/x"),
        service_tiers=("standard", "batch"),
        units=(*MAIN, "input_audio_tokens", "web_searches"),
        regions=("eu",),
    )
)
@settings(max_examples=50)
def test_every_book_of_rates_comes_back_from_csv(book: PriceBook) -> None:
    back = import_csv(export_csv(book), name="cards.csv", head=HEAD)
    assert back.book is not None
    assert rates_of(back.book) == rates_of(book)
    assert [c.rates for c in back.book.rate_cards] == [c.rates for c in book.rate_cards]


@given(
    book=books(
        models=("a/b", "c"),
        service_tiers=("standard",),
        units=(*MAIN, "input_audio_tokens", "web_searches", "requests", "input_images"),
        windows=(NIGHT, WEEKEND),
    )
)
@settings(max_examples=50)
def test_every_book_of_sizes_and_windows_comes_back_from_openrouter(book: PriceBook) -> None:
    back = import_openrouter(export_openrouter(book), name="models.json", head=HEAD)
    assert back.book is not None
    assert rates_of(back.book) == rates_of(book)


@given(
    book=books(
        models=("openai/a", "b"),
        service_tiers=("standard", "batch", "flex", "priority", "ultrafast"),
        units=MAIN,
        steps=(100_000, 200_000, 272_000),
    )
)
@settings(max_examples=50)
def test_every_book_of_sizes_and_service_tiers_comes_back_from_litellm(book: PriceBook) -> None:
    back = import_litellm(export_litellm(book), name="map.json", head=HEAD)
    assert back.book is not None
    assert rates_of(back.book) == rates_of(book)


@given(
    book=books(
        models=("openai/a", "xai/b", "c"),
        service_tiers=("standard",),
        units=("output_tokens", "cache_read_tokens"),
    )
)
@settings(max_examples=50)
def test_every_size_comes_back_from_litellm_as_a_field_that_it_knows_or_in_a_table(
    book: PriceBook,
) -> None:
    try:
        data = export_litellm(book)
    except DocumentError as error:
        # Nothing else is lost: a row of a table cannot say a cache that is read for nothing.
        assert "the rate of cache_read_tokens" in str(error)  # noqa: PT017
        assert any(unit_rate(e) == 0 for card in book.rate_cards for e in card.rates)
        return
    assert set(re.findall(r"_above_([0-9]+k)_tokens", data.decode())) <= {"128k", "272k"}
    back = import_litellm(data, name="map.json", head=HEAD)
    assert rates_of(book_of(back)) == rates_of(book)


@given(
    book=books(
        models=("openai/a", "x/b"),
        service_tiers=("standard", "batch", "flex"),
        units=(*MAIN, "input_audio_tokens", "web_searches", "audio_seconds", "requests"),
    )
)
@settings(max_examples=50)
def test_every_book_of_sizes_and_service_tiers_comes_back_from_genai(book: PriceBook) -> None:
    back = import_genai_prices(export_genai_prices(book), name="data.json", head=HEAD)
    assert back.book is not None
    assert rates_of(back.book) == rates_of(book)


def test_a_daily_window_comes_back_from_genai_and_litellm() -> None:
    book = two_state_book(window=NIGHT, unit="output_tokens")
    exported = export_genai_prices(book)
    back = import_genai_prices(exported, name="data.json", head=HEAD)
    assert b'"start_time": "16:30:00Z"' in exported
    assert back.book is not None
    assert rates_of(back.book) == rates_of(book)
    back = import_litellm(export_litellm(book), name="map.json", head=HEAD)
    assert back.book is not None
    assert rates_of(back.book) == rates_of(book)


def test_a_window_over_midnight_on_some_days_is_cut_at_it_for_litellm() -> None:
    friday = Window(times=(WindowTimes(weekdays=(5,), start_time="22:00", end_time="06:00"),))
    data = export_litellm(two_state_book(window=friday, unit="input_tokens"))
    rules = json.loads(data)["m/m"]["off_peak_pricing"]["windows"]
    # Friday 22:00 to midnight, and the early Saturday that belongs to it.
    assert rules == [
        {"hours_utc": "22:00-00:00", "weekdays": [5]},
        {"hours_utc": "00:00-06:00", "weekdays": [6]},
    ]


def two_state_book(*, window: Window, unit: str) -> PriceBook:
    states = {
        State(): {"input_tokens": Fraction(2), unit: Fraction(2)},
        State(window="w"): {"input_tokens": Fraction(2), unit: Fraction(1)},
    }
    card = rate_card("m/m", service_tier="standard", rates=rate_entries(states), source="here")
    return candidate(
        HEAD, currency="USD", cards=[card], windows={"w": window}, allowances=(), source="here"
    )


@pytest.mark.hypothesis  # `make soak` takes every model
def test_all_of_litellm_comes_back(litellm_map: LitellmMap) -> None:
    models = [card.model for card in litellm_map.book.rate_cards]
    chosen = set(dict.fromkeys(models) if SOAK else list(dict.fromkeys(models))[::8])
    cards = [card for card in litellm_map.book.rate_cards if card.model in chosen]
    shared = [
        one.model_copy(update={"models": tuple(m for m in one.models if m in chosen)})
        for one in litellm_map.book.allowances
    ]
    book = candidate(
        HEAD,
        currency="USD",
        cards=cards,
        windows=litellm_map.book.windows,
        allowances=[one for one in shared if one.models],
        source="here",
    )
    # The export compares every rate of every kind of request with what comes back.
    back = import_litellm(export_litellm(book), name="map.json", head=HEAD)
    assert len(book_of(back).rate_cards) == len(cards) > 600
    assert back.refused == ()


def test_all_of_genai_prices_comes_back(genai_installed: GenaiData) -> None:
    book = book_of(genai_installed.imported(HEAD.effective_from))
    back = import_genai_prices(export_genai_prices(book), name="data.json", head=HEAD)
    assert rates_of(book_of(back)) == rates_of(book)


def test_a_whole_map_is_refused_by_the_first_thing_that_a_format_cannot_say(
    litellm_map: LitellmMap,
) -> None:
    with pytest.raises(DocumentError, match="openrouter cannot say the allowance searches-gemini"):
        export_openrouter(litellm_map.book)

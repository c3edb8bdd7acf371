"""What exports refuse, states and times: the parts that all formats share.

Invariant: a book is refused with the first rate that would come back otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.interchange.csv_cards import export_csv
from pricing_rules.interchange.foreign_json import InexpressibleError
from pricing_rules.interchange.genai_export import export_genai_prices
from pricing_rules.interchange.genai_prices import import_genai_prices
from pricing_rules.interchange.imported import BookHead, Imported, candidate
from pricing_rules.interchange.litellm_export import export_litellm
from pricing_rules.interchange.meaning import refuse_lost
from pricing_rules.interchange.openrouter import export_openrouter
from pricing_rules.interchange.rate_states import State, over, plain_rate, rate_entries
from pricing_rules.interchange.week_times import (
    WEEK_MINUTES,
    fixed_offset_minutes,
    window_minutes,
    window_of,
)
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.windows import Window
from tests.pricing_rules.interchange.made_imports import (
    HEAD,
    Json,
    book_of,
    from_genai,
    from_litellm,
)
from tests.pricing_rules.prices.made_books import book_json, card_json, read_book

Export = Callable[[PriceBook], bytes]

EXPORTS: tuple[Export, ...] = (export_csv, export_genai_prices, export_litellm, export_openrouter)
PLAIN: Json = {"unit": "input_tokens", "rate": "2"}
BERLIN = {"zone": "Europe/Berlin", "times": [{"start_time": "22:00", "end_time": "06:00"}]}
HOLIDAYS = {
    "times": [{"start_time": "00:00", "end_time": "00:00", "holidays": "only"}],
    "holidays": ["2026-12-25"],
}


def one_book(rates: list[Json], *, model: str = "p/m", more: Json | None = None) -> PriceBook:
    return read_book({**book_json([card_json(rates, model=model)]), **(more or {})})


def refused(export: Export, book: PriceBook) -> str:
    with pytest.raises(DocumentError) as error:
        export(book)
    return str(error.value)


@pytest.mark.parametrize("export", EXPORTS, ids=lambda export: export.__name__)
def test_ladders_and_multipliers_stay_home(export: Export) -> None:
    ladder = {"id": "l", "kind": "standard", "bands": [{"rate": "1"}]}
    book = one_book([{"unit": "input_tokens", "ladder": ladder}])
    assert "cannot say the ladder l" in refused(export, book)
    multiplier = {"id": "eu", "factor": "1.1", "when": {"region": "eu"}}
    book = one_book([PLAIN], more={"multipliers": [multiplier]})
    assert "cannot say the multiplier eu" in refused(export, book)


def test_another_currency_goes_out_to_csv_alone() -> None:
    book = one_book([PLAIN], more={"currency": "EUR"})
    assert b",EUR," in export_csv(book)
    for export in EXPORTS[1:]:
        assert "cannot say rates in EUR" in refused(export, book)


def test_a_window_goes_nowhere_in_csv() -> None:
    night = {"unit": "input_tokens", "rate": "1", "when": {"window": "w"}}
    book = one_book([PLAIN, night], more={"windows": {"w": BERLIN}})
    assert "csv cannot say the window w; take it out first" in refused(export_csv, book)


def test_an_allowance_goes_out_to_litellm_alone_and_only_if_it_is_of_searches() -> None:
    search = {"unit": "web_searches", "rate": "10", "per": 1000}
    free = {"id": "searches-x", "units": ["web_searches"], "models": ["p/m"], "quantity": 9}
    book = one_book([search], more={"allowances": [{**free, "reset": "day"}]})
    assert b'"shared_group": "x"' in export_litellm(book)
    assert "cannot say the allowance searches-x" in refused(export_csv, book)
    book = one_book([search], more={"allowances": [{**free, "id": "x", "reset": "day"}]})
    assert "cannot say the allowance x" in refused(export_litellm, book)
    book = one_book([search], more={"allowances": [free]})  # starts anew with the billing period
    assert "cannot say p/m: a price that this import does not read" in refused(export_litellm, book)


@pytest.mark.parametrize("window", [BERLIN, HOLIDAYS], ids=["zone", "holidays"])
@pytest.mark.parametrize("export", EXPORTS[1:], ids=lambda export: export.__name__)
def test_a_window_that_a_week_in_utc_cannot_tell_is_refused(export: Export, window: Json) -> None:
    night = {"unit": "input_tokens", "rate": "1", "when": {"window": "w"}}
    book = one_book([PLAIN, night], more={"windows": {"w": window}})
    assert "a window of another zone or with holidays" in refused(export, book)


def test_a_window_of_all_time_is_none_of_genai_prices() -> None:
    always = {"times": [{"start_time": "00:00", "end_time": "00:00"}]}
    night = {"unit": "input_tokens", "rate": "1", "when": {"window": "w"}}
    book = one_book([PLAIN, night], more={"windows": {"w": always}})
    assert "the rate of input_tokens (0.000001 would come back as 0.000002)" in refused(
        export_genai_prices, book
    )


def test_a_condition_that_a_format_lacks_is_named_with_both_rates() -> None:
    book = one_book([PLAIN, {"unit": "input_tokens", "rate": "3", "when": {"region": "jp"}}])
    lost = (
        "the rate of input_tokens when region=jp (0.000003 would come back as 0.000002) "
        "of p/m in standard; take it out first"
    )
    assert lost in refused(export_litellm, book)
    assert lost in refused(export_openrouter, book)
    assert b'"region": "jp"' in export_genai_prices(book)


def test_a_unit_that_a_format_lacks_is_named() -> None:
    book = one_book([PLAIN, {"unit": "passthrough_spend", "rate": "1", "per": 1}])
    for export in EXPORTS[1:]:
        assert "passthrough_spend (1 would come back as none)" in refused(export, book)


def test_a_service_tier_that_a_format_lacks_is_named() -> None:
    value = book_json([card_json([PLAIN], model="p/m", service_tier="slow")])
    for export in (export_litellm, export_openrouter):
        assert "the rate card of p/m in slow" in refused(export, read_book(value))


def test_a_rate_that_two_units_claim_goes_out_as_it_is() -> None:
    rates = [PLAIN, *({"unit": f"{u}_tokens", "rate": "1"} for u in ("input_audio", "cache_read"))]
    book = one_book(rates)
    assert json.loads(export_openrouter(book))["data"][0]["pricing"]["audio"] == "0.000001"


def test_what_two_units_claim_here_and_one_has_there_is_refused() -> None:
    rates = [PLAIN, *({"unit": f"{u}_tokens", "rate": "1"} for u in ("input_audio", "cache_read"))]
    lost = "the rate of cache_audio_read_tokens (none would come back as 0.000001)"
    assert lost in refused(export_litellm, one_book(rates))


def test_a_name_that_is_not_provider_and_model_is_refused_for_genai_prices() -> None:
    for name in ("m", "p/"):
        assert f'and "{name}" is not so' in refused(
            export_genai_prices, one_book([PLAIN], model=name)
        )


def test_a_rate_that_no_json_number_says_is_refused_for_litellm() -> None:
    book = one_book([{"unit": "input_audio_seconds", "rate": "1", "per": 3600}])
    assert "input_cost_per_audio_per_second is '1/3600'" in refused(export_litellm, book)


def test_an_inclusive_size_goes_out_as_a_table_up_to_one_token_less_and_of_xai_as_a_field() -> None:
    at_least = {"unit": "input_tokens", "rate": "4", "when": {"request_tokens_at_least": 200_000}}
    entry = json.loads(export_litellm(one_book([PLAIN, at_least], model="openai/m")))["openai/m"]
    assert [row["range"] for row in entry["tiered_pricing"]] == [[0, 199_999], [199_999, 10**12]]
    assert [row["input_cost_per_token"] for row in entry["tiered_pricing"]] == [2e-06, 4e-06]
    assert not [field for field in entry if "_above_" in field]
    entry = json.loads(export_litellm(one_book([PLAIN, at_least], model="xai/m")))["xai/m"]
    assert entry["input_cost_per_token_above_200k_tokens"] == 4e-06


def test_more_conditions_than_can_be_compared_are_refused() -> None:
    dimensions = {f"d{i}": ["v"] for i in range(13)}  # 2 ** 13 combinations are 8,192
    when = {"dimensions": dict.fromkeys(dimensions, "v")}
    book = one_book([PLAIN, {**PLAIN, "rate": "3", "when": when}], more={"dimensions": dimensions})
    assert "so many conditions: more than 4096 together" in refused(export_csv, book)


def test_what_comes_back_besides_is_named() -> None:
    back = from_litellm({"p/m": {"input_cost_per_token": 2e-06}, "x": {"input_cost_per_token": 1}})
    with pytest.raises(DocumentError, match="that x is not sold in standard"):
        refuse_lost(one_book([PLAIN]), back=back, target="litellm")
    nothing = Imported(book=None, refused=(), without_price=(), notes=())
    with pytest.raises(DocumentError, match="the rate card of p/m in standard"):
        refuse_lost(one_book([PLAIN]), back=nothing, target="litellm")


def test_dimensions_and_service_tiers_go_out_to_genai_prices_with_most_words_first() -> None:
    variants = [
        {"when": {"processing": "batch"}, "prices": {"input_mtok": "1"}},
        {"when": {"speed": "fast"}, "prices": {"input_mtok": "4"}},
    ]
    model = {"prices": {"input_mtok": "2"}, "price_variants": variants}
    data = export_genai_prices(book_of(from_genai(model)))
    words = [one["when"] for one in json.loads(data)[0]["models"][0]["price_variants"]]
    assert words[0] == {"processing": "batch", "speed": "fast"}
    assert import_genai_prices(data, name="d", head=HEAD).refused == ()


def test_a_unit_that_is_priced_in_one_dimension_only_comes_back_from_genai_prices() -> None:
    rates = [PLAIN, {"unit": "output_tokens", "rate": "3", "when": {"dimensions": {"a": "b"}}}]
    book = one_book(rates, more={"dimensions": {"a": ["b"]}})
    assert b'"output_mtok": "3"' in export_genai_prices(book)


def test_a_candidate_that_is_no_valid_book_is_refused() -> None:
    card = book_of(from_litellm({"m": {"input_cost_per_token": 1}})).rate_cards[0]
    head = BookHead(series="", number=1, effective_from=0)
    with pytest.raises(DocumentError, match=r"the book of here: series: .* at least 1 character"):
        candidate(head, currency="USD", cards=[card], windows={}, allowances=(), source="here")


def test_a_ladder_has_no_plain_rate() -> None:
    ladder = {"id": "l", "kind": "standard", "bands": [{"rate": "1"}]}
    (entry,) = one_book([{"unit": "input_tokens", "ladder": ladder}]).rate_cards[0].rates
    with pytest.raises(AssertionError, match="refuses a book with ladders"):
        plain_rate(entry)


def test_a_state_writes_a_rate_only_where_general_ones_give_another() -> None:
    states = {
        State(): {"input_tokens": Fraction(1), "output_tokens": Fraction(2)},
        over(100): {"input_tokens": Fraction(1), "output_tokens": Fraction(3)},
        State(region="eu"): {"input_tokens": Fraction(1), "output_tokens": Fraction(2)},
        State(region="eu", threshold_tokens=101): {
            "input_tokens": Fraction(1),
            "output_tokens": Fraction(3),
        },
    }
    written = [(entry.unit, entry.when.text()) for entry in rate_entries(states)]
    # region=eu beats the size, so with both the rate over 100 is written again.
    assert written == [
        ("input_tokens", ""),
        ("output_tokens", ""),
        ("output_tokens", "request_tokens>100"),
    ]


@given(minutes=st.frozensets(st.integers(0, WEEK_MINUTES - 1), min_size=1, max_size=12))
def test_the_window_of_some_minutes_holds_in_them_alone(minutes: frozenset[int]) -> None:
    assert window_minutes(window_of(minutes)) == minutes


def test_all_minutes_are_the_whole_of_every_day() -> None:
    window = window_of(frozenset(range(WEEK_MINUTES)))
    assert window.text() == "daily 00:00-00:00 (UTC)"
    assert len(window_minutes(window)) == WEEK_MINUTES


def test_a_stretch_over_midnight_belongs_to_the_day_that_it_starts_on() -> None:
    sunday = Window.model_validate(
        {"times": ({"weekdays": (7,), "start_time": "23:59", "end_time": "00:01"},)}
    )
    assert window_minutes(sunday) == {WEEK_MINUTES - 1, 0}


@pytest.mark.parametrize(
    "zone, minutes", [("UTC", 0), ("Asia/Shanghai", 480), ("Asia/Kolkata", 330)]
)
def test_a_zone_that_never_changes_its_clock_has_one_offset(zone: str, minutes: int) -> None:
    assert fixed_offset_minutes(zone) == minutes


def test_a_zone_that_changes_its_clock_has_none() -> None:
    with pytest.raises(InexpressibleError, match="America/New_York, which changes its clock"):
        fixed_offset_minutes("America/New_York")

"""What a token price can depend on: dimensions 1 to 18, each as a small book with its sum.

The numbers and figures are those of the list of price dimensions of 2026-11; 19 to 32 stand in
``test_price_dimensions_further.py``.
"""

from __future__ import annotations

from fractions import Fraction

import pytest

from pricing_rules.period import parse_moment
from tests.pricing_rules.prices.made_books import Json, book_json, card_json, in_force, read_book
from tests.pricing_rules.prices.made_dimensions import K, M, book, book_of_cards, price, rate


def test_1_input_and_output_tokens() -> None:
    astra = book(rate("input_tokens", "10"), rate("output_tokens", "50"))
    # 2,000 x 10 + 500 x 50 = 45,000 in a million
    assert price(astra, {"input_tokens": 2000, "output_tokens": 500}) == Fraction("0.045")


@pytest.mark.parametrize("full, cached", [("10", "1"), ("4", "0.20"), ("10", "0.25")])
def test_2_a_cached_read_has_a_ratio_of_its_own_for_each_model(full: str, cached: str) -> None:
    found = book(rate("input_tokens", full), rate("cache_read_tokens", cached))
    # 100k of which 90k are cached
    expected = (10_000 * Fraction(full) + 90_000 * Fraction(cached)) / M
    assert price(found, {"input_tokens": 100_000, "cache_read_tokens": 90_000}) == expected


def test_3_a_cache_write_costs_by_its_lifetime() -> None:
    opus = book(
        rate("input_tokens", "4"),
        rate("cache_write_5m_tokens", "5"),
        rate("cache_write_1h_tokens", "8"),
    )
    counts = {
        "input_tokens": 3 * M,
        "cache_write_tokens": 2 * M,
        "cache_write_5m_tokens": M,
        "cache_write_1h_tokens": M,
    }
    assert price(opus, counts) == 17  # 1 x 4 + 1 x 5 + 1 x 8


def test_4_cache_retention_is_a_time_integral() -> None:
    gemini = book(rate("cache_storage_token_hours", "4.50"))
    # 200,000 tokens kept for 90 minutes are 300,000 token-hours: 0.3 x 4.50.
    assert price(gemini, {"cache_storage_token_hours": 300_000}) == Fraction("1.35")
    # One token for one second: 4.50 / 10^6 / 3600, which is no decimal.
    assert price(gemini, {"cache_storage_token_hours": "1/3600"}) == Fraction(45, 36 * 10**9)


def test_5_explicit_and_implicit_cache_reads_are_a_declared_dimension() -> None:
    qwen = book(
        rate("input_tokens", "2.5"),
        rate("cache_read_tokens", "0.5"),
        rate("cache_read_tokens", "0.25", when={"dimensions": {"cache": "explicit"}}),
        dimensions={"cache": ["explicit", "implicit"]},
    )
    counts = {"input_tokens": M, "cache_read_tokens": M}
    assert price(qwen, counts, dimensions={"cache": "implicit"}) == Fraction("0.5")
    assert price(qwen, counts, dimensions={"cache": "explicit"}) == Fraction("0.25")


def test_6_reasoning_and_citation_tokens_have_rates_of_their_own() -> None:
    sonar = book(
        rate("output_tokens", "8"),
        rate("output_reasoning_tokens", "3"),
        rate("output_citation_tokens", "2"),
    )
    counts = {
        "output_tokens": 6000,
        "output_reasoning_tokens": 3000,
        "output_citation_tokens": 2000,
    }
    # 1,000 x 8 + 3,000 x 3 + 2,000 x 2 = 21,000 in a million
    assert price(sonar, counts) == Fraction("0.021")


def test_7_modalities_in_out_and_cached() -> None:
    flash = book(
        rate("input_tokens", "0.30"),
        rate("input_audio_tokens", "1.00"),
        rate("cache_audio_read_tokens", "0.10"),
        rate("output_image_tokens", "30"),
    )
    counts = {
        "input_tokens": 3 * M,
        "input_audio_tokens": 2 * M,
        "cache_audio_read_tokens": M,
        "output_image_tokens": 1000,
    }
    assert price(flash, counts) == Fraction("1.43")  # 0.30 + 1.00 + 0.10 + 0.03


@pytest.mark.parametrize(
    "step, below, above",
    [({"request_tokens_over": 200_000}, 200_000, 200_001),
     ({"request_tokens_at_least": 200_000}, 199_999, 200_000)],
)  # fmt: skip
def test_8_over_a_context_step_the_whole_request_is_priced_anew(
    step: Json, below: int, above: int
) -> None:
    grok = book(
        rate("input_tokens", "3"),
        rate("output_tokens", "15"),
        rate("input_tokens", "6", when=step),
        rate("output_tokens", "30", when=step),
    )
    assert price(grok, {"input_tokens": below, "output_tokens": 100}) == Fraction(
        below * 3 + 1500, M
    )
    assert price(grok, {"input_tokens": above, "output_tokens": 100}) == Fraction(
        above * 6 + 3000, M
    )


@pytest.mark.parametrize(
    "tokens, amount",
    [(32_000, "1"), (32_001, "2"), (128_000, "2"), (128_001, "3"), (256_000, "3"), (256_001, "4")],
)
def test_9_three_context_steps_and_more(tokens: int, amount: str) -> None:
    steps = [(None, "1"), (32_000, "2"), (128_000, "3"), (256_000, "4")]
    qwen = book(
        *(
            rate("input_tokens", per_mtok, when={"request_tokens_over": over} if over else {})
            for over, per_mtok in steps
        )
    )
    assert price(qwen, {"input_tokens": tokens}) == tokens * Fraction(amount) / M


def test_10_batch_has_a_table_of_its_own_and_is_not_always_one_half() -> None:
    long: Json = {"request_tokens_over": 200_000}
    grok = book_of_cards(
        {
            "standard": [rate("input_tokens", "3"), rate("input_tokens", "6", when=long)],
            "batch": [rate("input_tokens", "2.4"), rate("input_tokens", "3", when=long)],
        }
    )
    assert price(grok, {"input_tokens": 100_000}, service_tier="batch") == Fraction("0.24")  # 0.8x
    assert price(grok, {"input_tokens": 300_000}, service_tier="batch") == Fraction("0.9")  # 0.5x


@pytest.mark.parametrize(
    "service_tier, amount",
    [("flex", "5"), ("standard", "10"), ("priority", "20"), ("ultrafast", "60")],
)
def test_11_each_service_tier_has_its_card(service_tier: str, amount: str) -> None:
    rates = {"flex": "5", "standard": "10", "priority": "20", "ultrafast": "60"}
    astra = book_of_cards({name: [rate("input_tokens", one)] for name, one in rates.items()})
    assert price(astra, {"input_tokens": M}, service_tier=service_tier) == Fraction(amount)


def test_12_the_service_tier_that_served_is_the_one_that_is_billed() -> None:
    # The cell says what served: priority that fell back to standard is standard there.
    found = book_of_cards(
        {"standard": [rate("input_tokens", "1")], "priority": [rate("input_tokens", "2")]}
    )
    assert price(found, {"input_tokens": M}, service_tier="standard") == 1


PEAK: Json = {
    "times": [
        {"weekdays": [1, 2, 3, 4, 5], "start_time": a, "end_time": b, "holidays": "excluded"}
        for a, b in (("01:00", "04:00"), ("06:00", "10:00"))
    ],
    "holidays": ["2026-10-01", "2026-10-02"],
}


@pytest.mark.parametrize(
    "at, amount",
    [
        ("2026-10-06T03:59:59Z", "0.30"),  # a Tuesday
        ("2026-10-06T04:00:00Z", "0.15"),
        ("2026-10-04T03:00:00Z", "0.15"),  # a Sunday
        ("2026-10-01T03:00:00Z", "0.15"),  # a Thursday on which the country celebrates
    ],
)
def test_13_off_peak_by_time_weekday_and_holiday(at: str, amount: str) -> None:
    deepseek = book(
        rate("input_tokens", "0.15"),
        rate("input_tokens", "0.30", when={"window": "peak"}),
        windows={"peak": PEAK},
    )
    assert price(deepseek, {"input_tokens": M}, at=at) == Fraction(amount)


def test_14_a_promotion_ends_with_the_next_book() -> None:
    promotion = book(rate("input_tokens", "0.75"))
    after = read_book(
        book_json(
            [card_json([rate("input_tokens", "1.50")])],
            number=2,
            effective_from="2027-01-01T00:00:00Z",
        )
    )
    books = in_force(promotion, after)
    for at, amount in (("2026-12-31T23:59:59Z", "0.75"), ("2027-01-01T00:00:00Z", "1.50")):
        found = books.at(parse_moment(at))
        assert found is not None
        assert price(found, {"input_tokens": M}, at=at) == Fraction(amount)


def test_15_data_residency_multiplies_tokens_and_not_tools() -> None:
    opus = book(
        rate("input_tokens", "4"),
        rate("cache_read_tokens", "0.20"),
        rate("web_searches", "10", per=K),
        multipliers=[{"id": "us", "factor": "1.1", "when": {"region": "us"}}],
    )
    counts = {"input_tokens": 2 * M, "cache_read_tokens": M, "web_searches": 100}
    assert price(opus, counts) == Fraction("5.2")  # 4 + 0.20 + 1
    assert price(opus, counts, region="us") == Fraction("5.62")  # 4.4 + 0.22 + 1


def test_16_a_request_fee() -> None:
    sonar = book(rate("input_tokens", "1"), rate("requests", "5", per=K))
    assert price(sonar, {"input_tokens": 1000}) == Fraction("0.006")  # 0.001 + 0.005


def test_17_a_fee_for_each_call_of_a_tool() -> None:
    tools = book(
        rate("web_searches", "14", per=K),
        rate("social_searches", "5", per=K),
        rate("storage_searches", "2.50", per=K),
        rate("code_executions", "5", per=K),
        rate("maps_searches", "25", per=K),
    )
    counts = dict.fromkeys(
        [
            "web_searches",
            "social_searches",
            "storage_searches",
            "code_executions",
            "maps_searches",
        ],
        2,
    )
    assert price(tools, counts) == Fraction("0.103")  # 2 x 51.50 / 1,000


@pytest.mark.parametrize("size, amount", [("low", "5"), ("medium", "8"), ("high", "12")])
def test_18_a_tool_fee_by_the_size_of_the_search_context(size: str, amount: str) -> None:
    sonar = book(
        *(
            rate("requests", fee, per=K, when={"dimensions": {"search_context_size": name}})
            for name, fee in (("low", "5"), ("medium", "8"), ("high", "12"))
        ),
        dimensions={"search_context_size": ["low", "medium", "high"]},
    )
    found = price(sonar, {}, dimensions={"search_context_size": size})
    assert found == Fraction(amount) / K

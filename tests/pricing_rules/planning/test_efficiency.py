"""Token factory efficiency: the worked example of the design, and the identity of its factors."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.planning.efficiency import (
    Efficiency,
    Factors,
    OutputEquivalents,
    TokenCounts,
    counted_factors,
    efficiency,
)

# r* = 1,200 output-equivalent tokens/s; .95 x .55 x .90 x .97 of it become good tokens.
FACTORS = Factors(
    frontier_tokens_per_s=1200, availability=0.95, busy_share=0.55, real_share=0.9, good_share=0.97
)
DAY_S = 86_400


def a_day(factors: Factors = FACTORS) -> Efficiency:
    """100 accelerators for one day, at 1.80 USD an hour and 3.456 MWh."""
    return efficiency(
        factors,
        accelerators=100,
        window_s=DAY_S,
        good_output_tokens=None,
        facility_mwh=3.456,
        peak_pflops=1.979,
        usd_per_owned_hour=1.80,
    )


def test_the_worked_example_has_an_efficiency_of_547_4() -> None:
    # 1200 x .95 x .55 x .90 x .97 = 547.371
    assert a_day().tokens_per_accelerator_s == pytest.approx(547.371)
    # x 100 accelerators x 86,400 s = 4.729e9 good tokens
    assert a_day().good_tokens == pytest.approx(4.729e9, rel=1e-4)


def test_the_worked_example_makes_1_368e9_tokens_of_a_mwh_and_277_of_a_pflop() -> None:
    # 4.729e9 / 3.456 MWh; 547.371 / 1.979 PFLOP/s
    assert a_day().tokens_per_mwh == pytest.approx(1.368e9, rel=1e-3)
    assert a_day().tokens_per_pflop == pytest.approx(276.6, abs=0.05)


def test_the_worked_example_costs_more_than_twice_what_the_benchmark_alone_says() -> None:
    # 100 x 24 x 1.80 = 4,320 USD; / 4,729.3 Mtok = .9135; 1.80 / (1200 x 3600 / 1e6) = .4167
    found = a_day()
    assert found.usd_total == pytest.approx(4320)
    assert found.usd_per_mtok == pytest.approx(0.913, abs=0.0005)
    assert found.benchmark_usd_per_mtok == pytest.approx(0.417, abs=0.0005)


def test_what_has_no_input_is_absent() -> None:
    found = efficiency(
        FACTORS,
        accelerators=1,
        window_s=1,
        good_output_tokens=None,
        facility_mwh=None,
        peak_pflops=None,
        usd_per_owned_hour=None,
    )
    absent = (
        found.output_tokens_per_accelerator_s,
        found.tokens_per_mwh,
        found.tokens_per_pflop,
        found.usd_total,
        found.usd_per_mtok,
        found.benchmark_usd_per_mtok,
    )
    assert absent == (None,) * 6


def test_output_alone_is_printed_beside() -> None:
    # 8.64e9 good output tokens / (100 x 86,400 s) = 1,000
    found = efficiency(
        FACTORS,
        accelerators=100,
        window_s=DAY_S,
        good_output_tokens=8_640_000_000,
        facility_mwh=None,
        peak_pflops=None,
        usd_per_owned_hour=None,
    )
    assert found.output_tokens_per_accelerator_s == pytest.approx(1000)


def test_a_token_counts_by_the_time_that_it_takes() -> None:
    # a = 87.3, b = 412.7, c = a tenth of a: 1,000 fresh + 500 cached + 100 output tokens are
    # 1,000 x .21153 + 500 x .021153 + 100 = 322.1 output-equivalent tokens.
    weights = OutputEquivalents(fresh_input=87.3 / 412.7, cache_read=8.73 / 412.7)
    counts = TokenCounts(fresh_input_tokens=1000, cache_read_tokens=500, output_tokens=100)
    assert weights.tokens(counts) == pytest.approx(322.1, abs=0.05)
    assert weights.tokens(counts.plus(counts)) == pytest.approx(2 * weights.tokens(counts))


def test_counted_tokens_give_the_real_and_the_good_share() -> None:
    # Busy for 100 x 86,400 x .95 x .55 = 4,514,400 accelerator-seconds; 4.8755520e9 made in them
    # are 1,080 a second, .90 of 1,200; 4.72928544e9 of them were good: .97.
    found = counted_factors(
        1200,
        availability=0.95,
        busy_share=0.55,
        good_tokens=4_729_285_440,
        made_tokens=4_875_552_000,
        accelerator_s=100 * DAY_S,
    )
    assert found.real_share == pytest.approx(0.9)
    assert found.good_share == pytest.approx(0.97)
    assert found.tokens_per_accelerator_s == pytest.approx(547.371)


@given(
    good=st.integers(1, 10**12),
    lost=st.integers(0, 10**12),
    availability=st.floats(0.01, 1),
    busy_share=st.floats(0.01, 1),
    frontier=st.floats(1, 1e6),
)
def test_the_five_factors_give_back_the_good_tokens_that_were_counted(
    good: int, lost: int, availability: float, busy_share: float, frontier: float
) -> None:
    factors = counted_factors(
        frontier,
        availability=availability,
        busy_share=busy_share,
        good_tokens=good,
        made_tokens=good + lost,
        accelerator_s=100 * DAY_S,
    )
    assert a_day(factors).good_tokens == pytest.approx(good)


@pytest.mark.parametrize("good, made", [(0, 0), (2, 1)])
def test_more_good_tokens_than_were_made_or_none_at_all_are_a_bug(good: int, made: int) -> None:
    with pytest.raises(ValueError, match="good tokens of"):
        counted_factors(
            1, availability=1, busy_share=1, good_tokens=good, made_tokens=made, accelerator_s=1
        )


def test_a_better_share_never_lowers_efficiency_or_raises_cost() -> None:
    better = a_day(replace(FACTORS, busy_share=0.6))
    assert better.tokens_per_accelerator_s > a_day().tokens_per_accelerator_s
    assert better.usd_per_mtok is not None
    assert better.usd_per_mtok < 0.913
    assert better.usd_total == a_day().usd_total

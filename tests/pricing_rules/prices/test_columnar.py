"""Columns of costs: equal to the scalar ladder, or refused before anything is computed.

Invariant: equality is a property over every kind and setting, and each refusal names its figure.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.prices.columnar import ColumnarLadder, Integers, compile_rate, compile_rungs
from pricing_rules.prices.ladder import Ladder
from tests.pricing_rules.prices.made_books import ladder, ladders, quantities

MTOK = 10**6


def column(*values: int) -> Integers:
    return np.array(values, dtype=np.int64)


def exact(found: ColumnarLadder, *values: int) -> list[Fraction]:
    costs, denominator = found.costs(column(*values))
    assert costs.dtype == np.int64
    return [Fraction(int(cost), denominator) for cost in costs]


@given(data=st.data(), scale=st.sampled_from([1, 1000]))
def test_a_column_costs_what_the_scalar_ladder_says(data: st.DataObject, scale: int) -> None:
    found = data.draw(ladders(scale=scale))
    rungs = found.rungs(per=7)
    scaled = data.draw(st.lists(quantities(found, scale=scale), min_size=6, max_size=6))
    inside = [q for q in scaled if rungs.covered(Fraction(q, scale)) == Fraction(q, scale)]
    compiled = compile_rungs(rungs, scale=scale)
    assert exact(compiled, *inside) == [rungs.cost(Fraction(q, scale)) for q in inside]
    for beyond in set(scaled) - set(inside):
        with pytest.raises(LookupError, match="past the last band"):
            compiled.costs(column(beyond))


def test_a_graduated_column_below_at_and_above_its_bound() -> None:
    bands = [{"up_to": 10 * MTOK, "rate": "2"}, {"rate": "1"}]
    compiled = compile_rungs(ladder("graduated", bands=bands).rungs(per=MTOK), scale=1)
    below, at, above = exact(compiled, 10 * MTOK - 1, 10 * MTOK, 10 * MTOK + 1)
    assert below == 20 - Fraction(2, MTOK)
    assert at == 20
    assert above == 20 + Fraction(1, MTOK)


@pytest.mark.parametrize(
    "kind, bounds, costs",
    [
        # flats 1 and 5: at 10 the second band is entered only where the bound is exclusive
        ("graduated", "inclusive", [0, 19, 21, 27]),  # 9 * 2 + 1, 10 * 2 + 1, 21 + 1 + 5
        ("graduated", "exclusive", [0, 19, 26, 27]),  # 10 * 2 + 1 + 5
        ("volume", "inclusive", [0, 19, 21, 16]),  # 11 * 1 + 5
        ("volume", "exclusive", [0, 19, 15, 16]),  # 10 * 1 + 5
    ],
)
def test_the_bound_itself_belongs_where_the_setting_says(
    kind: str, bounds: str, costs: list[int]
) -> None:
    bands = [{"up_to": 10, "rate": "2", "flat": "1"}, {"rate": "1", "flat": "5"}]
    found = ladder(kind, bands=bands, settings={"bounds": bounds})
    assert exact(compile_rungs(found.rungs(per=1), scale=1), 0, 9, 10, 11) == costs


def test_a_plain_rate_is_a_ladder_of_one_band() -> None:
    # 2.5 s of audio are 2,500 steps; 0.006 a minute: 2.5 / 60 * 0.006 = 0.00025
    assert exact(compile_rate(Decimal("0.006"), per=60, scale=1000), 0, 2500) == [
        0,
        Fraction("0.00025"),
    ]


def test_an_empty_column_costs_nothing() -> None:
    assert exact(compile_rate(Decimal(3), per=1, scale=1)) == []


def test_chunks_meet_without_a_seam() -> None:
    compiled = compile_rate(Decimal(3), per=1, scale=1)
    costs, denominator = compiled.costs(np.arange(200_000, dtype=np.int64))
    assert denominator == 1
    assert np.array_equal(costs, np.arange(200_000) * 3)


def test_the_largest_quantity_that_fits_is_computed_and_the_next_is_refused() -> None:
    compiled = compile_rate(Decimal(3), per=1, scale=1)
    assert compiled.largest_quantity == (2**63 - 1) // 3
    assert exact(compiled, compiled.largest_quantity) == [3 * compiled.largest_quantity]
    with pytest.raises(OverflowError, match="the largest quantity that fits is 307445734561825860"):
        compiled.costs(column(1, compiled.largest_quantity + 1))


def test_a_cap_does_not_hide_an_overflow_on_the_way() -> None:
    found = ladder("standard", bands=[{"rate": "4", "cap": "10"}])
    compiled = compile_rungs(found.rungs(per=1), scale=1)
    assert exact(compiled, 2, 3) == [8, 10]
    with pytest.raises(OverflowError, match="beyond 64 bits"):
        compiled.costs(column(2**62))


def test_where_even_a_flat_amount_is_too_large_nothing_fits() -> None:
    bands = [{"rate": "0.000000000000000000000001", "flat": "1"}]
    compiled = compile_rungs(ladder("graduated", bands=bands).rungs(per=1), scale=1)
    assert compiled.largest_quantity == -1  # 1 is 10^24 steps of 10^-24
    with pytest.raises(OverflowError, match="the largest quantity that fits is -1"):
        compiled.costs(column(0))


def test_a_band_that_no_quantity_reaches_does_not_matter() -> None:
    bands = [{"up_to": 10**14, "rate": "100000"}, {"rate": "999999999999999"}]
    compiled = compile_rungs(ladder("graduated", bands=bands).rungs(per=1), scale=1)
    assert compiled.largest_quantity == (2**63 - 1) // 100_000  # 92,233,720,368,547 < 10^14
    assert exact(compiled, 5) == [500_000]


@pytest.mark.parametrize("kind, reached", [("graduated", 10), ("volume", 9)])
def test_an_exclusive_last_bound_is_the_end(kind: str, reached: int) -> None:
    bands = [{"up_to": 10, "rate": "2"}]
    found: Ladder = ladder(kind, bands=bands, settings={"bounds": "exclusive"})
    compiled = compile_rungs(found.rungs(per=1), scale=1)
    assert exact(compiled, reached) == [2 * reached]
    with pytest.raises(LookupError, match=f"{reached + 1} lies past the last band"):
        compiled.costs(column(reached + 1))


def test_what_is_not_a_column_of_counts_is_refused() -> None:
    compiled = compile_rate(Decimal(3), per=1, scale=1)
    with pytest.raises(TypeError, match="int64, not float64"):
        compiled.costs(np.array([1.5]))
    with pytest.raises(ValueError, match="not negative, and one is -1"):
        compiled.costs(column(5, -1))


def test_a_bound_between_two_counts_is_refused() -> None:
    found = ladder("graduated", bands=[{"up_to": "2.5", "rate": "2"}, {"rate": "1"}])
    with pytest.raises(ValueError, match="5/2 lies between two integers"):
        compile_rungs(found.rungs(per=1), scale=1)
    assert exact(compile_rungs(found.rungs(per=1), scale=10), 25, 30) == [5, Fraction("5.5")]

"""The cover of an aggregated set-up, beside the same linear programme solved in exact numbers.

HiGHS is no judge of it: it calls the programme of 1/1 at 201 s and 498/498 at .1 ms infeasible.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.coefficients import Coefficients, fit_and_cover
from tests.pricing_rules.cost.made_points import made_setup

ShapeSeconds = tuple[int, int, float]
"""Input and output tokens of a mean request, and the accelerator-seconds that it took."""

SHAPES = st.lists(
    st.tuples(st.integers(1, 100_000), st.integers(1, 100_000), st.floats(1e-4, 1e3)),
    min_size=1,
    max_size=8,
)


def cover_of(shapes: list[ShapeSeconds]) -> Coefficients:
    tokens = np.array([(one[0], one[1]) for one in shapes], dtype=float)
    seconds = np.array([one[2] for one in shapes])
    return fit_and_cover(made_setup(), tokens=tokens, measured_s=seconds)[1]


def charge(cover: Coefficients, shape: ShapeSeconds) -> float:
    """What the cover charges a shape over what it took: 1 is exactly that."""
    us = cover.a_us_per_input_token * shape[0] + cover.b_us_per_output_token * shape[1]
    return us / (shape[2] * 1e6)


def test_two_shapes_that_one_pair_meets_are_covered_by_it() -> None:
    # 1,000 a + 1,000 b = .5 s and 8,000 a + 1,000 b = 1.2 s: a = .7 s / 7,000 = 100 us, b = 400 us
    cover = cover_of([(1000, 1000, 0.5), (8000, 1000, 1.2)])
    assert cover.a_us_per_input_token == pytest.approx(100)
    assert cover.b_us_per_output_token == pytest.approx(400)


def test_of_a_shape_that_a_cover_of_the_others_meets_nothing_is_seen() -> None:
    # 4k/1k at 100 and 400 us would be .8 s, and took .7: no bound of it is reached.
    cover = cover_of([(1000, 1000, 0.5), (4000, 1000, 0.7), (8000, 1000, 1.2)])
    assert cover.a_us_per_input_token == pytest.approx(100)
    assert cover.b_us_per_output_token == pytest.approx(400)


def test_where_input_alone_covers_output_takes_exactly_nothing() -> None:
    # 1k/1k took 1 s and 8k/1k .9 s: b alone is 1,000 us, and charges 8k/1k 1/.9. a alone would be
    # 1,000 us too, and charge it 8/.9.
    cover = cover_of([(1000, 1000, 1.0), (8000, 1000, 0.9)])
    assert (cover.a_us_per_input_token, cover.b_us_per_output_token) == (0, 1000)
    # Turned around, input alone.
    cover = cover_of([(1000, 1000, 1.0), (1000, 8000, 0.9)])
    assert (cover.a_us_per_input_token, cover.b_us_per_output_token) == (1000, 0)


@given(SHAPES)
def test_no_shape_is_charged_less_than_it_took(shapes: list[ShapeSeconds]) -> None:
    cover = cover_of(shapes)
    assert cover.a_us_per_input_token >= 0
    assert cover.b_us_per_output_token >= 0
    assert min(charge(cover, shape) for shape in shapes) >= 1 - 1e-12


@given(SHAPES)
def test_no_other_cover_charges_less_in_total(shapes: list[ShapeSeconds]) -> None:
    cover = cover_of(shapes)
    total = sum(charge(cover, shape) for shape in shapes)
    assert total == pytest.approx(float(least_charge(shapes)), rel=1e-9)


def least_charge(shapes: list[ShapeSeconds]) -> Fraction:
    """The least total charge of a cover: that of the best corner, each tried in exact numbers."""
    rows = [(Fraction(i) / Fraction(s), Fraction(o) / Fraction(s)) for i, o, s in shapes]
    corners = [(1 / u, Fraction(0)) for u, _ in rows] + [(Fraction(0), 1 / v) for _, v in rows]
    for (u, v), (x, y) in combinations(rows, 2):
        if u * y != x * v:
            corners.append(((y - v) / (u * y - x * v), (u - x) / (u * y - x * v)))
    return min(
        sum((u * a + v * b for u, v in rows), Fraction(0))
        for a, b in corners
        if min(a, b) >= 0 and all(u * a + v * b >= 1 for u, v in rows)
    )

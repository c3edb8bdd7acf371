"""Leaves: inclusive counts become disjoint ones, and no token is counted twice or lost.

Invariant: sums stand in the comments; conservation (I3) is a property.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.usage.leaves import NegativeLeafError, leaf_plan, split_leaves
from pricing_rules.usage.units import REPORTED_UNITS, strict_descendants


def test_fresh_input_is_what_the_parts_leave() -> None:
    counts = {"input_tokens": 1000, "cache_read_tokens": 600, "cache_write_tokens": 100}
    assert split_leaves(counts) == {
        "input_tokens": 300,  # 1000 - 600 - 100
        "cache_read_tokens": 600,
        "cache_write_tokens": 100,
    }


def test_a_part_of_a_part_is_taken_away_once() -> None:
    counts = {"input_tokens": 1000, "cache_write_tokens": 300, "cache_write_1h_tokens": 200}
    # 1000 - (300 - 200) - 200 = 700, and not 1000 - 300 - 200
    assert split_leaves(counts) == {
        "input_tokens": 700,
        "cache_write_tokens": 100,
        "cache_write_1h_tokens": 200,
    }


def test_an_overlap_that_is_reported_is_taken_from_both() -> None:
    counts = {
        "input_tokens": 100,
        "cache_read_tokens": 60,
        "input_audio_tokens": 50,
        "cache_audio_read_tokens": 40,
    }
    assert split_leaves(counts) == {
        "input_tokens": 30,  # 100 - 20 - 10 - 40
        "cache_read_tokens": 20,  # 60 - 40
        "input_audio_tokens": 10,  # 50 - 40
        "cache_audio_read_tokens": 40,
    }


def test_an_overlap_that_is_not_reported_counts_as_none() -> None:
    counts = {"input_tokens": 100, "cache_read_tokens": 60, "input_audio_tokens": 40}
    assert split_leaves(counts) == {"cache_read_tokens": 60, "input_audio_tokens": 40}
    with pytest.raises(NegativeLeafError):
        split_leaves({**counts, "input_audio_tokens": 41})


def test_unrelated_units_leave_one_another_alone() -> None:
    counts = {"input_tokens": 5, "output_tokens": 3, "web_searches": 2}
    assert split_leaves(counts) == counts


def test_a_part_without_its_whole_stands_alone() -> None:
    assert split_leaves({"cache_read_tokens": 5}) == {"cache_read_tokens": 5}


def test_zero_leaves_are_left_out() -> None:
    assert split_leaves({"input_tokens": 5, "cache_read_tokens": 5, "output_tokens": 0}) == {
        "cache_read_tokens": 5
    }
    assert split_leaves({}) == {}


@pytest.mark.parametrize(
    "counts, sentence",
    [
        (
            {"input_tokens": 5, "cache_read_tokens": 6},
            "input_tokens (5) is less than what it contains (cache_read_tokens: 6 together)",
        ),
        (
            {"output_tokens": 0, "output_reasoning_tokens": 1, "output_audio_tokens": 0},
            "output_tokens (0) is less than what it contains (output_reasoning_tokens: 1 together)",
        ),
    ],
)
def test_a_unit_that_is_less_than_its_parts_is_refused(
    counts: dict[str, int], sentence: str
) -> None:
    with pytest.raises(NegativeLeafError) as refused:
        split_leaves(counts)
    assert str(refused.value) == sentence


def test_the_most_specific_units_are_split_first() -> None:
    plan = leaf_plan(("input_tokens", "cache_write_1h_tokens", "cache_write_tokens"))
    assert plan == (
        ("cache_write_1h_tokens", ()),
        ("cache_write_tokens", ("cache_write_1h_tokens",)),
        ("input_tokens", ("cache_write_1h_tokens", "cache_write_tokens")),
    )


@given(
    leaves=st.dictionaries(st.sampled_from(REPORTED_UNITS), st.integers(0, 10**12), max_size=12),
    data=st.data(),
)
def test_splitting_is_the_inverse_of_adding_up(leaves: dict[str, int], data: st.DataObject) -> None:
    order = data.draw(st.permutations([*leaves]))
    counts = {
        name: leaves[name] + sum(leaves.get(part, 0) for part in strict_descendants(name))
        for name in order
    }
    assert split_leaves(counts) == {name: count for name, count in leaves.items() if count}

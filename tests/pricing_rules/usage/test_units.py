"""The unit registry: the names of genai-prices and one of ours, their scales, counts and ancestors.

Invariant: the registry is compared with the installed package, so that a drift of either is seen.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import combinations
from typing import Any

import pytest
from genai_prices.data_units import unit_data
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.usage.units import (
    MAX_COUNT,
    REPORTED_UNITS,
    REQUESTS,
    UNITS,
    nearest_priced,
    scaled_count,
    strict_descendants,
)

OURS = [
    "passthrough_spend",
    "input_images",
    "output_images",
    "input_video_seconds",
    "output_video_seconds",
    "output_characters",
    "output_pixels",
    "code_sessions",
    "maps_searches",
    "guardrail_units",
    "databricks_units",
    "cache_storage_token_hours",
    "storage_gb_days",
    "capacity_unit_seconds",
    "songs",
]


def test_names_and_order_are_those_of_genai_prices_and_then_ours() -> None:
    assert [*UNITS] == [*unit_data, *OURS]


def test_containment_follows_from_the_dimensions_of_genai_prices() -> None:
    for name, theirs in unit_data.items():
        words = {f"{key}={value}" for key, value in theirs["dimensions"].items()}
        assert UNITS[name].dimensions == words


def test_no_two_units_are_the_same_thing() -> None:
    assert all(a.dimensions != b.dimensions for a, b in combinations(UNITS.values(), 2))


def test_our_own_units_contain_nothing() -> None:
    assert {unit: strict_descendants(unit) for unit in OURS} == dict.fromkeys(OURS, frozenset())


def test_what_is_counted_in_fractions_has_a_scale() -> None:
    scales = {name: unit.scale for name, unit in UNITS.items() if unit.scale != 1}
    assert scales == {
        "audio_seconds": 1000,
        "input_audio_seconds": 1000,
        "output_audio_seconds": 1000,
        "passthrough_spend": 10**6,
        "input_video_seconds": 1000,
        "output_video_seconds": 1000,
        "databricks_units": 10**6,
        "cache_storage_token_hours": 3600,  # so that a token-second is whole
        "storage_gb_days": 10**6,
    }


def test_requests_are_counted_and_never_reported() -> None:
    assert REQUESTS in UNITS
    assert {*UNITS} - {*REPORTED_UNITS} == {REQUESTS}
    with pytest.raises(ValueError, match='"requests" is the number of events; leave it out'):
        scaled_count(REQUESTS, count=1)


@pytest.mark.parametrize(
    "unit, count, scaled",
    [
        ("input_tokens", 0, 0),
        ("input_tokens", 2**31, 2**31),
        ("input_tokens", MAX_COUNT, MAX_COUNT),
        ("audio_seconds", 2, 2000),
        ("audio_seconds", "2.5", 2500),
        ("audio_seconds", "2.5000", 2500),
        ("audio_seconds", "0", 0),
        ("audio_seconds", "0.001", 1),
        ("audio_seconds", MAX_COUNT, MAX_COUNT * 1000),
        ("audio_seconds", str(MAX_COUNT), MAX_COUNT * 1000),
        ("passthrough_spend", "0.000001", 1),
        # 3600 is no power of ten: two decimals always lie on it, and seconds are written as such.
        ("cache_storage_token_hours", 2, 7200),
        ("cache_storage_token_hours", "2.5", 9000),
        ("cache_storage_token_hours", "0.01", 36),
        ("cache_storage_token_hours", "1/3600", 1),
        ("cache_storage_token_hours", f"{MAX_COUNT * 3600}/3600", MAX_COUNT * 3600),
        ("audio_seconds", "2500/1000", 2500),
    ],
)
def test_a_count_becomes_an_integer_at_its_scale(unit: str, count: object, scaled: int) -> None:
    assert scaled_count(unit, count=count) == scaled


# Faults 86 to 94: what is no count.
@pytest.mark.parametrize(
    "unit, count, sentence",
    [
        ("tokens", 1, '"tokens" is not a unit; tokenworks schema usage-event lists them'),
        ("input_tokens", -1, "input_tokens must lie between 0 and 1000000000000, not -1"),
        (
            "input_tokens",
            MAX_COUNT + 1,
            "input_tokens must lie between 0 and 1000000000000, not 1000000000001",
        ),
        ("input_tokens", 2**63, f"input_tokens must lie between 0 and {MAX_COUNT}, not {2**63}"),
        pytest.param(
            "input_tokens",
            10**5000,  # Python refuses to print it
            "input_tokens must lie between 0 and 1000000000000, not a number beyond all bounds",
            id="5000 digits",
        ),
        ("input_tokens", True, "input_tokens must be a whole number, not True"),
        ("input_tokens", 1.0, "input_tokens must be a whole number, not 1.0"),
        ("input_tokens", "5", "input_tokens must be a whole number, not '5'"),
        ("input_tokens", None, "input_tokens must be a whole number, not None"),
        ("input_tokens", Decimal(5), "input_tokens must be a whole number, not Decimal('5')"),
        ("audio_seconds", 2.5, 'audio_seconds must be a whole number or a string such as "2.5"'),
        ("audio_seconds", False, "audio_seconds must be a whole number or a string such as"),
        ("audio_seconds", "2.5001", 'audio_seconds is counted in 1/1000: "2.5001" has too many'),
        ("audio_seconds", "-2.5", "audio_seconds must be a whole number or a string such as"),
        ("audio_seconds", "1e3", "audio_seconds must be a whole number or a string such as"),
        ("audio_seconds", "٢", "audio_seconds must be a whole number or a string such as"),
        ("audio_seconds", " 2 ", "audio_seconds must be a whole number or a string such as"),
        ("audio_seconds", "1_0", "audio_seconds must be a whole number or a string such as"),
        ("audio_seconds", "02", "audio_seconds must be a whole number or a string such as"),
        ("cache_storage_token_hours", "0.001", "cache_storage_token_hours is counted in 1/3600: "),
        (
            "cache_storage_token_hours",
            "3/60",
            "cache_storage_token_hours is counted in 1/3600: write",
        ),
        (
            "cache_storage_token_hours",
            "1.5/3600",
            "cache_storage_token_hours must be a whole number",
        ),
        ("input_tokens", "5/1", "input_tokens must be a whole number, not '5/1'"),
        (
            "cache_storage_token_hours",
            f"{MAX_COUNT * 3600 + 1}/3600",
            f"cache_storage_token_hours must lie between 0 and {MAX_COUNT}",
        ),
        (
            "audio_seconds",
            "1000000000000.001",
            "audio_seconds must lie between 0 and 1000000000000, not 1000000000000.001",
        ),
    ],
)
def test_anything_else_is_refused(unit: str, count: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        scaled_count(unit, count=count)
    assert str(refused.value).startswith(sentence)


def test_input_contains_cache_and_modalities_but_not_output() -> None:
    inside = strict_descendants("input_tokens")
    assert {"cache_read_tokens", "cache_write_1h_tokens", "input_audio_tokens"} <= inside
    assert "cache_audio_read_tokens" in strict_descendants("cache_read_tokens")
    assert not inside & {"input_tokens", "output_tokens", "output_reasoning_tokens"}
    assert strict_descendants("web_searches") == frozenset()


@pytest.mark.parametrize(
    "leaf, priced, nearest",
    [
        ("input_tokens", {"input_tokens", "output_tokens"}, "input_tokens"),
        ("cache_read_tokens", {"input_tokens"}, "input_tokens"),
        ("cache_write_1h_tokens", {"input_tokens", "cache_write_tokens"}, "cache_write_tokens"),
        ("cache_write_1h_tokens", {"cache_write_1h_tokens", "input_tokens"}, None),
        ("output_tokens", {"input_tokens"}, ""),
        ("output_tokens", set(), ""),
        # A rate of its own ends the question, however many ancestors claim it.
        (
            "cache_audio_read_tokens",
            {"cache_audio_read_tokens", "cache_read_tokens", "input_audio_tokens"},
            None,
        ),
    ],
)
def test_a_leaf_takes_its_own_rate_or_its_nearest_ancestors(
    leaf: str, priced: set[str], nearest: Any
) -> None:
    expected = leaf if nearest is None else (nearest or None)
    assert nearest_priced(leaf, priced=priced) == expected


def test_two_nearest_ancestors_are_ambiguous() -> None:
    priced = {"cache_read_tokens", "input_audio_tokens", "input_tokens"}
    with pytest.raises(LookupError) as refused:
        nearest_priced("cache_audio_read_tokens", priced=priced)
    assert str(refused.value) == (
        "cache_audio_read_tokens has a rate as input_audio_tokens and as cache_read_tokens, "
        "and neither contains the other"
    )


@given(leaf=st.sampled_from(REPORTED_UNITS), priced=st.frozensets(st.sampled_from(REPORTED_UNITS)))
def test_the_nearest_contains_the_leaf_and_nothing_priced_lies_between(
    leaf: str, priced: frozenset[str]
) -> None:
    ancestors = {name for name in priced if UNITS[name].contains(UNITS[leaf])}
    try:
        found = nearest_priced(leaf, priced=priced)
    except LookupError:
        assert not any(all(UNITS[a].contains(UNITS[b]) for a in ancestors) for b in ancestors)
        return
    if found is None:
        assert not ancestors
    else:
        assert all(UNITS[name].contains(UNITS[found]) for name in ancestors)

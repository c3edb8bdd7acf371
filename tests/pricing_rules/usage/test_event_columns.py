"""The canonical columns have one order, and equal content has one text."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pricing_rules.usage.event_columns import (
    FIXED_COLUMNS,
    content_columns,
    content_digest,
    content_text,
    dimensions_among,
    event_columns,
    units_among,
)


def test_units_come_in_registry_order_and_dimensions_by_name() -> None:
    columns = event_columns(
        ["web_searches", "output_tokens", "input_tokens"], dimensions=["team", "Team", "app"]
    )
    assert list(columns)[len(FIXED_COLUMNS) :] == [
        "input_tokens",
        "output_tokens",
        "web_searches",
        "dimensions.Team",
        "dimensions.app",
        "dimensions.team",
    ]
    assert columns["web_searches"] == "int64"
    assert columns["dimensions.app"] == "text"
    assert units_among(reversed(columns)) == ("input_tokens", "output_tokens", "web_searches")
    assert dimensions_among(reversed(columns)) == ("Team", "app", "team")


@pytest.mark.parametrize("unit", ["requests", "tokens"])
def test_a_unit_that_no_event_reports_has_no_column(unit: str) -> None:
    with pytest.raises(ValueError, match=f'"{unit}" is not a unit that an event reports'):
        event_columns([unit], dimensions=())


def test_content_leaves_out_identity_and_moment() -> None:
    assert content_columns(event_columns(["input_tokens"], dimensions=["team"])) == (
        "account",
        "model",
        "service_tier",
        "region",
        "request_tokens",
        "outcome",
        "input_tokens",
        "dimensions.team",
    )


def content(
    leaves: Mapping[str, int],
    *,
    dimensions: Mapping[str, str] | None = None,
    stated_at: int | None = 7,
) -> str:
    return content_text(
        account="acme",
        model="m",
        service_tier="standard",
        region="",
        request_tokens=5,
        outcome="completed",
        leaves=leaves,
        dimensions=dimensions or {},
        stated_at=stated_at,
    )


FIXED = (
    "account=acme\x1fmodel=m\x1fservice_tier=standard\x1fregion=\x1f"
    "request_tokens=5\x1foutcome=completed\x1f"
)


def test_a_content_text_has_its_parts_in_canonical_order() -> None:
    leaves = {"output_tokens": 2, "input_tokens": 5}
    assert content(leaves, dimensions={"team": "b", "Team": "a"}) == (
        f"{FIXED}input_tokens=5\x1foutput_tokens=2\x1f"
        "dimensions.Team=a\x1fdimensions.team=b\x1ftime=7\x1f"
    )
    assert content(dict(reversed(leaves.items()))) == content(leaves)


def test_a_count_of_zero_and_one_that_is_absent_are_the_same_content() -> None:
    assert content({"input_tokens": 5, "output_tokens": 0}) == content({"input_tokens": 5})
    assert content({"input_tokens": 5, "output_tokens": 1}) != content({"input_tokens": 5})


def test_an_event_that_states_no_moment_is_none_that_does() -> None:
    assert content({}, stated_at=None) == FIXED
    assert content({}, stated_at=0) == f"{FIXED}time=0\x1f"


def test_a_unit_that_the_registry_does_not_know_comes_last() -> None:
    # Only a stored event that was edited has one: its text can be computed all the same.
    assert content({"zz": 1, "aa": 2, "output_tokens": 3}, stated_at=None) == (
        f"{FIXED}output_tokens=3\x1faa=2\x1fzz=1\x1f"
    )


def test_the_digest_of_a_content_is_its_sha_256_in_hex_digits() -> None:
    # printf 'abc' | sha256sum
    assert content_digest("abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )

"""The canonical columns have one order, and equal content has one text."""

from __future__ import annotations

import pytest

from pricing_rules.usage.event_columns import (
    FIXED_COLUMNS,
    content_columns,
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


def test_a_content_text_does_not_depend_on_the_order_of_fields_or_on_nulls() -> None:
    event: dict[str, str | int | None] = {
        "row": 1,
        "id": "1",
        "source": "s",
        "account": "acme",
        "occurred_at": 0,
        "model": "m",
        "service_tier": "standard",
        "region": "",
        "request_tokens": 5,
        "outcome": "completed",
        "input_tokens": 5,
    }
    text = (
        "account=acme\x1fmodel=m\x1fservice_tier=standard\x1fregion=\x1f"
        "request_tokens=5\x1foutcome=completed\x1finput_tokens=5\x1f"
    )
    assert content_text(event) == text
    assert content_text(dict(reversed(event.items())) | {"output_tokens": None, "row": 2}) == text
    assert content_text(event | {"output_tokens": 0}) == text + "output_tokens=0\x1f"

"""What a person must look at in a book, at a moment."""

from __future__ import annotations

from typing import Any

import pytest

from pricing_rules.period import parse_moment
from pricing_rules.planning.attention import ending_overrides, open_findings, stale_costs
from pricing_rules.prices.price_book import PriceBook
from tests.pricing_rules.planning.made_reviews import (
    AT,
    Json,
    book,
    card,
    hardware,
    measured,
    uncosted_card,
)


def signed(*ends_at: str | None) -> PriceBook:
    """A book with a finding and a sign-off for each end, named f0, f1, ..."""
    findings = [
        {"id": f"f{i}", "kind": "under_floor", "sentence": f"finding {i}"}
        for i in range(len(ends_at) + 1)
    ]
    offs: list[Json] = [
        {"finding": f"f{i}", "by": "cfo", "reason": "launch", **({"ends_at": at} if at else {})}
        for i, at in enumerate(ends_at)
    ]
    return book(findings=findings, sign_offs=offs)


@pytest.mark.parametrize(
    "ends_at, named, ended",
    [
        ("2026-11-25T08:00:01Z", False, False),
        ("2026-11-25T08:00:00Z", True, False),  # 30 days after 2026-10-26T08:00
        ("2026-10-26T08:00:01Z", True, False),
        ("2026-10-26T08:00:00Z", True, True),
        ("2026-01-01T00:00:00Z", True, True),
    ],
)
def test_an_override_is_named_from_thirty_days_before_its_end_on(
    ends_at: str, named: bool, ended: bool
) -> None:
    found = ending_overrides(signed(ends_at, None), at=AT)
    assert [(one.sign_off.finding, one.has_ended) for one in found] == (
        [("f0", ended)] if named else []
    )


def test_the_first_to_end_comes_first() -> None:
    value = signed("2026-11-02T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z")
    found = ending_overrides(value, at=AT)
    assert [one.sign_off.finding for one in found] == ["f1", "f0", "f2"]


@pytest.mark.parametrize(
    "ends_at, held", [("2026-10-26T08:00:00Z", False), ("2026-10-26T08:00:01Z", True)]
)
def test_a_finding_is_open_without_a_sign_off_that_holds(ends_at: str, held: bool) -> None:
    found = open_findings(signed(ends_at, None), at=AT)
    assert [one.id for one in found] == (["f2"] if held else ["f0", "f2"])


def costed(*dates: str | None, **fields: Any) -> Json:
    return card(cost={"hardware": [hardware(shapes=[measured(*dates)])]}, **fields)


@pytest.mark.parametrize("age_days, stale", [(24, True), (25, False), (26, False)])
def test_a_measurement_is_stale_that_is_older_than_so_many_days(age_days: int, stale: bool) -> None:
    # From 2026-10-01 to 2026-10-26.
    found = stale_costs(book(costed("2026-10-20", "2026-10-01")), at=AT, age_days=age_days)
    assert [(one.oldest_date, one.age_days) for one in found] == (
        [("2026-10-01", 25)] if stale else []
    )


def test_the_oldest_card_comes_first_and_what_has_no_date_is_named() -> None:
    value = book(
        costed(None, model="undated"),
        costed("2026-10-25", None, model="mixed"),
        costed("2026-01-01", model="old"),
        costed("2025-01-01", model="older"),
        costed("2026-10-25", model="fresh"),
        uncosted_card(model="bare"),
    )
    found = stale_costs(value, at=AT, age_days=90)
    assert [(one.model, one.oldest_date) for one in found] == [
        ("older", "2025-01-01"),
        ("old", "2026-01-01"),
        ("mixed", "2026-10-25"),
        ("undated", None),
    ]
    assert found[-1].age_days is None


def test_ages_are_counted_to_the_day_of_the_moment() -> None:
    value = book(costed("2026-10-01"))
    for moment, age in (("2026-10-26T00:00:00Z", 25), ("2026-10-25T23:59:59Z", 24)):
        (one,) = stale_costs(value, at=parse_moment(moment), age_days=0)
        assert one.age_days == age

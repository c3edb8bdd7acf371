"""The billing periods of an account over the versions of its agreement: they tile time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.agreement.agreement import Agreement
from billing.domain.agreement.billing_periods import (
    billing_period_at,
    billing_periods,
    check_next_version,
    month_of,
)
from pricing_rules.document import DocumentError, load_yaml
from pricing_rules.period import Period, moment_text, parse_moment
from tests.billing.operations.made_store import agreement_text
from tests.journeys.made_files import Json

HOUR = 3_600 * 1_000_000


def _agreement(effective_from: str, **fields: Json) -> Agreement:
    text = agreement_text(**{"effective_from": effective_from, **fields})
    return load_yaml(Agreement, text.encode(), name="a.yaml")


def _texts(versions: list[Agreement], *, month: int) -> list[str]:
    return [one.period.text() for one in billing_periods(versions, year=2026, month=month)]


def test_the_first_period_starts_with_the_agreement() -> None:
    versions = [_agreement("2026-10-10T12:00:00Z")]
    assert _texts(versions, month=9) == []
    assert _texts(versions, month=10) == ["2026-10-10T12:00:00Z/2026-11-01T00:00:00Z"]
    assert _texts(versions, month=11) == ["2026-11-01T00:00:00Z/2026-12-01T00:00:00Z"]


def test_a_month_can_have_a_short_period_and_a_whole_one() -> None:
    versions = [_agreement("2026-10-10T00:00:00Z", anchor_day=15)]
    assert _texts(versions, month=10) == [
        "2026-10-10T00:00:00Z/2026-10-15T00:00:00Z",
        "2026-10-15T00:00:00Z/2026-11-15T00:00:00Z",
    ]


def test_another_anchor_starts_with_its_version() -> None:
    versions = [
        _agreement("2026-09-01T00:00:00Z"),
        _agreement("2026-11-01T00:00:00Z", version=2, anchor_day=15),
    ]
    assert _texts(versions, month=10) == ["2026-10-01T00:00:00Z/2026-11-01T00:00:00Z"]
    assert _texts(versions, month=11) == [
        "2026-11-01T00:00:00Z/2026-11-15T00:00:00Z",
        "2026-11-15T00:00:00Z/2026-12-15T00:00:00Z",
    ]


@pytest.mark.parametrize(
    "moment, found",
    [
        ("2026-10-09T23:59:59.999999Z", None),
        ("2026-10-10T00:00:00Z", 1),
        ("2026-10-31T23:59:59.999999Z", 1),
        ("2026-11-01T00:00:00Z", 2),
    ],
)
def test_a_moment_lies_under_the_version_in_effect(moment: str, found: int | None) -> None:
    versions = [_agreement("2026-10-10T00:00:00Z"), _agreement("2026-11-01T00:00:00Z", version=2)]
    agreed = billing_period_at(versions, moment_at=parse_moment(moment))
    assert (agreed.agreement.version if agreed else None) == found


def test_the_month_of_a_period_is_that_of_its_zone() -> None:
    start_at = parse_moment("2026-09-30T22:00:00Z")
    period = Period(start_at=start_at, end_at=start_at + HOUR)
    assert month_of(period, zone="Europe/Berlin") == (2026, 10)
    assert month_of(period, zone="UTC") == (2026, 9)


@given(
    day=st.integers(1, 31),
    later_day=st.integers(1, 31),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia", "Australia/Lord_Howe"]),
    start_hour=st.integers(0, 24 * 60),
    months=st.integers(1, 5),
)
def test_the_periods_of_the_months_tile_time(
    day: int, later_day: int, zone: str, start_hour: int, months: int
) -> None:
    start_at = parse_moment("2026-01-01T00:00:00Z") + start_hour * HOUR
    first = _agreement(moment_text(start_at), anchor_day=day, zone=zone)
    change_at = start_at
    for _ in range(months):
        change_at = first.anchor.period_at(change_at).end_at
    later = _agreement(moment_text(change_at), version=2, anchor_day=later_day, zone=zone)
    check_next_version([first], agreement=later)
    versions = [first, later]
    found = [
        one.period
        for year, month in ((2025, 12), *((2026, month) for month in range(1, 13)))
        for one in billing_periods(versions, year=year, month=month)
    ]
    assert found[0].start_at == start_at
    for before, after in pairwise(found):
        assert before.end_at == after.start_at
    for period in found:
        for moment_at in (period.start_at, period.end_at - 1):
            agreed = billing_period_at(versions, moment_at=moment_at)
            assert agreed is not None
            assert agreed.period == period
            expected = first if moment_at < change_at else later
            assert agreed.agreement == expected


def test_a_first_version_follows_nothing() -> None:
    check_next_version([], agreement=_agreement("2026-10-10T00:00:00Z"))


@pytest.mark.parametrize(
    "effective_from, fields, sentence",
    [
        ("2026-11-01T00:00:00Z", {"version": 1}, "version 1 does not follow 1"),
        ("2026-11-01T00:00:00Z", {"currency": "EUR"}, "an account keeps its currency"),
        ("2026-11-01T00:00:00Z", {"prices_include_tax": True}, "changes prices_include_tax"),
        ("2026-10-01T00:00:00Z", {}, "must be in effect from after 2026-10-01T00:00:00Z"),
        ("2026-10-31T23:59:59.999999Z", {}, "from 2026-10-01T00:00:00Z or 2026-11-01T00:00:00Z"),
        ("2026-11-01T00:00:00.000001Z", {}, "from 2026-11-01T00:00:00Z or 2026-12-01T00:00:00Z"),
    ],
)
def test_a_version_starts_where_a_period_of_the_one_before_does(
    effective_from: str, fields: Json, sentence: str
) -> None:
    first = _agreement("2026-10-01T00:00:00Z")
    later = _agreement(effective_from, **{"version": 2, **fields})
    with pytest.raises(DocumentError, match=sentence):
        check_next_version([first], agreement=later)

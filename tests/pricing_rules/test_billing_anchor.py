"""Billing periods: they tile time in every zone, and are computed from their anchor alone.

Invariant: I18 (each instant lies in one period), I19 (hours are counted in UTC, also where a zone
skips or repeats some) and I20 (an anchor at 31 returns to 31).
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.period import (
    LAST_MOMENT_AT,
    MICROSECONDS,
    BillingAnchor,
    Period,
    moment_text,
    parse_moment,
    parse_month,
    parse_period,
)

HOUR = 3600 * MICROSECONDS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "posixrules"})
"""All but the two names of a machine's own zone, which are refused."""
ZONE_NAMES = st.sampled_from(ZONES)
DAYS = st.integers(1, 31)
MOMENTS = st.integers(parse_moment("1971-01-01T00:00:00Z"), LAST_MOMENT_AT - 1)


def local(moment_at: int, *, zone: str) -> datetime:
    """The wall clock of a zone at a moment."""
    return (EPOCH + timedelta(microseconds=moment_at)).astimezone(zoneinfo.ZoneInfo(zone))


def dates(anchor: BillingAnchor, *, period: str) -> list[str]:
    """The local dates of the boundaries in a span of dates in UTC."""
    span = parse_period(period, zone="UTC")
    found = anchor.boundaries(span.start_at, end_at=span.end_at)
    return [local(at, zone=anchor.zone).date().isoformat() for at in found]


@pytest.mark.parametrize("turn", range(4))
def test_periods_tile_time_in_every_zone(turn: int) -> None:
    # Each zone gets another day and year each turn; 1971 to 2199 and 1 to 31 are all met.
    for i, zone in enumerate(ZONES):
        anchor = BillingAnchor(day=(i * 7 + turn * 11) % 31 + 1, zone=zone)
        year = 1971 + (i * 53 + turn * 61) % 228
        periods = [anchor.starting_in(year, month=month) for month in range(1, 13)]
        assert all(left.end_at == right.start_at for left, right in pairwise(periods))
        whole = Period(start_at=periods[0].start_at, end_at=periods[-1].end_at)
        lengths = [period.end_at - period.start_at for period in periods]
        assert sum(lengths) == whole.end_at - whole.start_at
        # Zones moved by up to a day (Apia), so that a month has 27 to 32 days.
        assert all(27 * 24 * HOUR <= length <= 32 * 24 * HOUR for length in lengths)


@given(zone=ZONE_NAMES, day=DAYS, moment_at=MOMENTS)
def test_a_moment_lies_in_one_period(zone: str, day: int, moment_at: int) -> None:
    anchor = BillingAnchor(day=day, zone=zone)
    period = anchor.period_at(moment_at)
    assert moment_at in period
    assert anchor.period_at(period.start_at) == period
    assert anchor.period_at(period.end_at - 1) == period
    assert anchor.period_at(period.end_at).start_at == period.end_at
    assert anchor.period_at(period.start_at - 1).end_at == period.start_at


@given(zone=ZONE_NAMES, day=DAYS, year=st.integers(1971, 2199), month=st.integers(1, 12))
def test_a_period_starts_with_the_first_instant_of_its_day(
    zone: str, day: int, year: int, month: int
) -> None:
    start_at = BillingAnchor(day=day, zone=zone).starting_in(year, month=month).start_at
    next_month = date(year + month // 12, month % 12 + 1, 1)
    wanted_date = date(year, month, min(day, (next_month - timedelta(days=1)).day))
    # Its midnight, or what follows where that is skipped; the instant before is on a day before.
    assert local(start_at, zone=zone).date() >= wanted_date
    assert local(start_at - 1, zone=zone).date() < wanted_date


@given(zone=ZONE_NAMES, day=DAYS, moment_at=MOMENTS, days=st.integers(0, 400))
def test_boundaries_are_the_starts_of_the_periods(
    zone: str, day: int, moment_at: int, days: int
) -> None:
    anchor = BillingAnchor(day=day, zone=zone)
    end_at = moment_at + days * 24 * HOUR
    found = anchor.boundaries(moment_at, end_at=end_at)
    expected = []
    at = anchor.period_at(moment_at)
    while at.start_at < end_at:
        expected += [at.start_at] if at.start_at >= moment_at else []
        at = anchor.period_at(at.end_at)
    assert list(found) == expected


def test_a_boundary_at_the_start_is_in_the_span_and_one_at_its_end_is_not() -> None:
    anchor = BillingAnchor(day=1, zone="UTC")
    october = anchor.starting_in(2026, month=10)
    assert anchor.boundaries(october.start_at, end_at=october.end_at) == (october.start_at,)
    assert anchor.boundaries(october.start_at + 1, end_at=october.end_at) == ()
    assert anchor.boundaries(october.start_at + 1, end_at=october.end_at + 1) == (october.end_at,)
    assert anchor.boundaries(october.start_at, end_at=october.start_at) == ()


@pytest.mark.parametrize("day", [29, 30, 31])
def test_a_late_day_takes_the_last_one_of_a_short_month_and_returns(day: int) -> None:
    anchor = BillingAnchor(day=day, zone="UTC")
    assert dates(anchor, period="2027-01-01/2027-07-01") == [
        f"2027-01-{day}",
        "2027-02-28",
        f"2027-03-{day}",
        f"2027-04-{min(day, 30)}",
        f"2027-05-{day}",
        f"2027-06-{min(day, 30)}",
    ]
    assert dates(anchor, period="2028-02-01/2028-04-01") == ["2028-02-29", f"2028-03-{day}"]


def test_hours_of_a_period_are_those_that_passed() -> None:
    # Berlin: March 2026 lacks an hour and October has one more; 31 days are 744 hours.
    anchor = BillingAnchor(day=1, zone="Europe/Berlin")
    hours = {
        month: (period.end_at - period.start_at) // HOUR
        for month in range(1, 13)
        for period in [anchor.starting_in(2026, month=month)]
    }
    assert (hours[3], hours[10], hours[12]) == (743, 745, 744)
    assert sum(hours.values()) == 365 * 24


@pytest.mark.parametrize(
    "zone, day, year, month, start",
    [
        # Midnight of 2018-11-04 is skipped in São Paulo: 00:00 is 01:00, three hours behind UTC.
        ("America/Sao_Paulo", 4, 2018, 11, "2018-11-04T03:00:00Z"),
        # Midnight of 2019-02-17 is reached once, after 23:00 was repeated.
        ("America/Sao_Paulo", 17, 2019, 2, "2019-02-17T03:00:00Z"),
        # In Havana the hour from midnight on is repeated on 2026-11-01: the first one counts.
        ("America/Havana", 1, 2026, 11, "2026-11-01T04:00:00Z"),
        # St. John's turned back from 00:01 to 23:01 of the day before: midnight came twice.
        ("America/St_Johns", 29, 2006, 10, "2006-10-29T02:30:00Z"),
        # Monrovia skipped its first 44 min 30 s of 1972-01-07.
        ("Africa/Monrovia", 7, 1972, 1, "1972-01-07T00:44:30Z"),
        # Apia has no 2011-12-30: what starts on it starts with the 31st, as what starts on that.
        ("Pacific/Apia", 29, 2011, 12, "2011-12-29T10:00:00Z"),
        ("Pacific/Apia", 30, 2011, 12, "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", 31, 2011, 12, "2011-12-30T10:00:00Z"),
        # Lord Howe turns by half an hour.
        ("Australia/Lord_Howe", 1, 2026, 10, "2026-09-30T13:30:00Z"),
        ("Australia/Lord_Howe", 1, 2026, 11, "2026-10-31T13:00:00Z"),
        ("Asia/Kathmandu", 1, 2026, 10, "2026-09-30T18:15:00Z"),
    ],
)
def test_odd_midnights_resolve_by_one_rule(
    zone: str, day: int, year: int, month: int, start: str
) -> None:
    period = BillingAnchor(day=day, zone=zone).starting_in(year, month=month)
    assert moment_text(period.start_at) == start


def test_a_clock_that_jumps_over_midnight_starts_the_day_where_it_lands() -> None:
    # Toronto went from 23:30 of 1919-03-30 to 00:30, which is 04:30 in UTC.
    start_at = BillingAnchor(day=31, zone="America/Toronto").starting_in(1919, month=3).start_at
    assert local(start_at, zone="America/Toronto").isoformat() == "1919-03-31T00:30:00-04:00"
    assert local(start_at - 1, zone="America/Toronto").isoformat().startswith("1919-03-30T23:29:59")


def test_both_passes_of_a_repeated_hour_belong_to_the_period_of_their_instant() -> None:
    # Havana repeats 00:00 to 01:00 of 2026-11-01: both passes lie after the period's start.
    anchor = BillingAnchor(day=1, zone="America/Havana")
    november = anchor.starting_in(2026, month=11)
    for text in ("2026-11-01T04:30:00Z", "2026-11-01T05:30:00Z"):
        moment_at = parse_moment(text)
        assert local(moment_at, zone="America/Havana").hour == 0
        assert anchor.period_at(moment_at) == november


@pytest.mark.parametrize("day", [0, 32])
def test_a_day_that_no_month_has_is_refused(day: int) -> None:
    with pytest.raises(ValueError, match=f"a day of the month from 1 to 31, not {day}"):
        BillingAnchor(day=day, zone="UTC")


@pytest.mark.parametrize("day", [1, 31])
def test_the_first_and_the_last_day_of_a_month_are_anchors(day: int) -> None:
    assert BillingAnchor(day=day, zone="UTC").day == day


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(ValueError, match='"Mars/Base" is not an IANA time zone'):
        BillingAnchor(day=1, zone="Mars/Base")


def test_a_month_is_read_as_year_and_month() -> None:
    assert [parse_month(text) for text in ("1970-01", "2026-10", "2199-12")] == [
        (1970, 1), (2026, 10), (2199, 12),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["2026-00", "2026-13", "2026-1", "26-10", "1969-12", "2200-01", "2026-10-01", "", "2026-10\n"],
)
def test_any_other_text_is_no_month(text: str) -> None:
    with pytest.raises(DocumentError) as refused:
        parse_month(text)
    assert str(refused.value) == f'period: must be a month such as 2026-10, not "{text}"'

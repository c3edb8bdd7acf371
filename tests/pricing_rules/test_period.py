"""Moments and periods: an offset is needed, the end is outside, and odd calendars are met.

Invariant: each rule on time (faults 59, 60, 66 to 69, 73 to 75) has a line here.
"""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import Document, DocumentError, dump, load_json
from pricing_rules.period import (
    FIRST_MOMENT_AT,
    LAST_MOMENT_AT,
    MICROSECONDS,
    CalendarCut,
    MomentText,
    Period,
    checked_moment,
    known_zone,
    moment_text,
    parse_moment,
    parse_period,
)

HOUR = 3600 * MICROSECONDS


class Switch(Document):
    """A document with a moment."""

    effective_from: MomentText


@pytest.mark.parametrize(
    "text, moment_at",
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.5Z", 1_500_000),
        ("1970-01-01t01:00:00z", HOUR),
        ("1970-01-01T14:00:00+14:00", 0),
        ("1969-12-31T19:00:00-05:00", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.000001999Z", 1),  # digits beyond microseconds are cut off
        ("1970-01-01T00:00:00.0000009Z", 0),
        ("1970-01-01T00:00:00.123456789012Z", 123_456),
        ("2199-12-31T23:59:59.999999Z", LAST_MOMENT_AT - 1),
    ],
)
def test_a_moment_is_microseconds_in_utc(text: str, moment_at: int) -> None:
    assert parse_moment(text) == moment_at


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("2026-10-01T00:00:00", "(the offset is missing), not"),
        ("2026-10-01T00:00:00.5", "(the offset is missing), not"),
        ("2026-10-01", "(the offset is missing), not"),
        ("2026-10-01 00:00:00Z", 'must be a moment such as "2026-10-01T00:00:00Z", not'),
        ("2026-10-01T00:00Z", "must be a moment such as"),
        ("20261001T000000Z", "must be a moment such as"),
        ("2026-W40-4T00:00:00Z", "must be a moment such as"),
        ("2026-10-01T00:00:00Z\n", "must be a moment such as"),
        ("2026-10-01T00:00:00,5Z", "must be a moment such as"),
        ("2026-10-01T00:00:00.Z", "must be a moment such as"),
        ("2026-10-01T00:00:00.1234567890123Z", "must be a moment such as"),
        ("2026-10-01T24:00:00Z", "must be a moment such as"),  # newer Pythons read the next day
        ("2026-10-01T00:00:00+05:99", "must be a moment such as"),
        ("٢026-10-01T00:00:00Z", "must be a moment such as"),
        ("10000-01-01T00:00:00Z", "must be a moment such as"),
        ("2026-13-01T00:00:00Z", "is not a moment that exists"),
        ("2026-02-29T00:00:00Z", "is not a moment that exists"),
        ("2026-10-01T25:00:00Z", "is not a moment that exists"),
        ("2016-12-31T23:59:60Z", "is not a moment that exists"),
        ("0000-01-01T00:00:00Z", "is not a moment that exists"),
        ("2026-10-01T00:00:00+24:00", "is not a moment that exists"),
        ("1969-12-31T23:59:59.999999Z", "must lie between 1970 and 2199, not"),
        ("1970-01-01T00:00:00+00:01", "must lie between 1970 and 2199, not"),
        ("0001-01-01T00:00:00+14:00", "must lie between 1970 and 2199, not"),
        ("1900-01-01T00:00:00Z", "must lie between 1970 and 2199, not"),
        ("2200-01-01T00:00:00Z", "must lie between 1970 and 2199, not"),
        ("9999-12-31T23:59:59-14:00", "must lie between 1970 and 2199, not"),
        ("", "must be a moment such as"),
    ],
)
def test_any_other_text_is_no_moment(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse_moment(text)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("value", [0, 1790812800, 1.5, None, True, b"2026-10-01T00:00:00Z"])
def test_what_is_no_text_is_no_moment(value: object) -> None:
    with pytest.raises(ValueError, match='must be a moment such as "2026-10-01T00:00:00Z", not'):
        parse_moment(value)


def test_a_hint_is_given_only_where_an_offset_lacks() -> None:
    with pytest.raises(ValueError, match="Z") as refused:
        parse_moment("2026-10-01T0:00:00Z")
    assert "offset" not in str(refused.value)


@given(moment_at=st.integers(FIRST_MOMENT_AT, LAST_MOMENT_AT - 1))
def test_a_moment_reads_back_what_it_writes(moment_at: int) -> None:
    assert parse_moment(moment_text(moment_at)) == moment_at


def test_a_moment_is_written_in_seconds_or_in_microseconds() -> None:
    assert moment_text(0) == "1970-01-01T00:00:00Z"
    assert moment_text(1) == "1970-01-01T00:00:00.000001Z"
    assert moment_text(1_500_000) == "1970-01-01T00:00:01.500000Z"


def test_a_moment_in_a_document_is_a_text_and_an_integer() -> None:
    text = "2026-10-01T02:00:00+02:00"
    found = load_json(Switch, json.dumps({"effective_from": text}).encode(), name="f")
    assert found.effective_from == parse_moment("2026-10-01T00:00:00Z")
    assert dump(found) == {"effective_from": "2026-10-01T00:00:00Z"}


def test_moments_lie_in_the_years_1970_to_2199() -> None:
    assert checked_moment(FIRST_MOMENT_AT, text="first") == FIRST_MOMENT_AT
    assert checked_moment(LAST_MOMENT_AT - 1, text="last") == LAST_MOMENT_AT - 1
    for outside in (FIRST_MOMENT_AT - 1, LAST_MOMENT_AT):
        with pytest.raises(ValueError, match='must lie between 1970 and 2199, not "x"'):
            checked_moment(outside, text="x")


def test_a_period_holds_its_start_and_not_its_end() -> None:
    period = Period(start_at=100, end_at=200)
    assert [at in period for at in (99, 100, 101, 199, 200, 201)] == [
        *(False, True, True, True, False, False)
    ]


@pytest.mark.parametrize("end_at", [99, 100])
def test_a_period_ends_after_it_starts(end_at: int) -> None:
    with pytest.raises(ValueError, match="a period must end after it starts"):
        Period(start_at=100, end_at=end_at)


@pytest.mark.parametrize(
    "zone, text",
    [
        ("UTC", "2026-10-01T00:00:00Z/2026-11-01T00:00:00Z"),
        # Tokyo is 9 hours ahead: its October starts on 30 September in UTC
        ("Asia/Tokyo", "2026-09-30T15:00:00Z/2026-10-31T15:00:00Z"),
        # Berlin leaves summer time on 25 October: +02:00 at its start, +01:00 at its end
        ("Europe/Berlin", "2026-09-30T22:00:00Z/2026-10-31T23:00:00Z"),
        # Lord Howe's summer time is half an hour: +10:30, then +11:00 from 4 October
        ("Australia/Lord_Howe", "2026-09-30T13:30:00Z/2026-10-31T13:00:00Z"),
    ],
)
def test_a_date_is_its_first_instant_in_the_zone(zone: str, text: str) -> None:
    assert parse_period("2026-10-01/2026-11-01", zone=zone).text() == text


def test_a_midnight_that_the_zone_skips_starts_at_the_first_instant_that_exists() -> None:
    # São Paulo went from 00:00 (-03:00) to 01:00 (-02:00) on 4 November 2018
    period = parse_period("2018-11-04/2018-11-05", zone="America/Sao_Paulo")
    assert period.text() == "2018-11-04T03:00:00Z/2018-11-05T02:00:00Z"


def test_a_midnight_that_comes_twice_starts_at_the_first() -> None:
    # Havana went from 01:00 (-04:00) back to 00:00 (-05:00) on 1 November 2026
    period = parse_period("2026-11-01/2026-11-02", zone="America/Havana")
    assert period.text() == "2026-11-01T04:00:00Z/2026-11-02T05:00:00Z"


def test_a_day_that_does_not_exist_starts_where_the_next_does() -> None:
    # Apia skipped 30 December 2011: from -10:00 to +14:00
    period = parse_period("2011-12-29/2011-12-31", zone="Pacific/Apia")
    assert period.text() == "2011-12-29T10:00:00Z/2011-12-30T10:00:00Z"
    with pytest.raises(DocumentError, match="a period must end after it starts"):
        parse_period("2011-12-30/2011-12-31", zone="Pacific/Apia")


def test_moments_need_no_zone() -> None:
    text = "2026-10-01T00:00:00Z/2026-10-01T00:00:00.000001Z"
    assert parse_period(text, zone="Asia/Tokyo").text() == text


@pytest.mark.parametrize(
    "text, zone, sentence",
    [
        ("2026-10-01", "UTC", "must be START/END such as 2026-10-01/2026-11-01, not"),
        ("2026-10-01/", "UTC", "must be a moment such as"),
        ("2026-10-01/2026-11-31", "UTC", "is not a date that exists"),
        ("2026-10-01/2026-10-01", "UTC", "a period must end after it starts"),
        ("2026-11-01/2026-10-01", "UTC", "a period must end after it starts"),
        ("2026-10-01/2026-11-01T00:00:00", "UTC", "(the offset is missing)"),
        ("1969-01-01/2026-10-01", "UTC", "must lie between 1970 and 2199"),
        ("2026-10-01/9999-12-31", "UTC", "must lie between 1970 and 2199"),
        ("2026-10-01/2026-11-01", "Mars/Olympus", '"Mars/Olympus" is not an IANA time zone such'),
        ("2026-10-01/2026-11-01", "../etc/passwd", "is not an IANA time zone such as"),
        ("2026-10-01/2026-11-01", "", "is not an IANA time zone such as"),
    ],
)
def test_any_other_text_is_no_period(text: str, zone: str, sentence: str) -> None:
    with pytest.raises(DocumentError, match=r"^period: ") as refused:
        parse_period(text, zone=zone)
    assert sentence in str(refused.value)


def test_a_zone_is_known_by_its_iana_name() -> None:
    assert known_zone("Asia/Tokyo").key == "Asia/Tokyo"
    none = ("Nowhere", "", "/etc/localtime", "Europe", "a\x00b")
    # Files that a machine may keep beside them: its own zone, and zones that count leap seconds.
    for name in (*none, "localtime", "posixrules", "right/UTC", "posix/Europe/Berlin"):
        with pytest.raises(ValueError, match="is not an IANA time zone such as Europe/Berlin"):
            known_zone(name)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_the_days_and_months_of_a_zone_tile_time(zone: str) -> None:
    start_at, end_at = (parse_moment(f"{year}-01-15T12:34:56Z") for year in (2026, 2027))
    for every, least, most in (("day", 365, 365), ("month", 12, 12)):
        cut = CalendarCut(every=every, zone=zone)  # type: ignore[arg-type]
        bounds = cut.boundaries(start_at, end_at=end_at)
        assert least <= len(bounds) <= most
        assert list(bounds) == sorted(set(bounds))
        for before, at in itertools.pairwise([cut.start_at(start_at), *bounds]):
            # Below, at and above: the bound starts the next day or month.
            assert cut.start_at(at - 1) == before
            assert cut.start_at(at) == cut.start_at(at + 1) == at


@pytest.mark.parametrize(
    "zone, day, hours",
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Asia/Kolkata", "2026-10-25", 24),
        ("America/Havana", "2026-03-08", 23),  # its clock skips midnight itself
    ],
)
def test_a_day_is_as_long_as_the_clock_of_its_zone_makes_it(
    zone: str, day: str, hours: int
) -> None:
    cut = CalendarCut(every="day", zone=zone)
    noon_at = parse_period(f"{day}/2027-12-01", zone=zone).start_at + 12 * 3600 * MICROSECONDS
    start_at = cut.start_at(noon_at)
    ends = cut.boundaries(noon_at, end_at=noon_at + 24 * 3600 * MICROSECONDS)
    assert [(end_at - start_at) // (3600 * MICROSECONDS) for end_at in ends] == [hours]


def test_a_day_has_begun_although_the_clock_was_turned_back_over_its_midnight() -> None:
    # St. John's turned its clock back from 00:01 to 23:01: the 7th began at 02:30 UTC.
    cut = CalendarCut(every="day", zone="America/St_Johns")
    at = parse_moment("2010-11-07T02:40:00Z")
    assert cut.start_at(at) == parse_moment("2010-11-07T02:30:00Z")
    assert cut.boundaries(at, end_at=at + 10**9) == ()
    # At both ends of this half-hour the clock shows the 6th.
    before = parse_moment("2010-11-07T02:20:00Z")
    assert cut.boundaries(before, end_at=at) == (parse_moment("2010-11-07T02:30:00Z"),)


def test_a_zone_without_days_is_refused() -> None:
    with pytest.raises(ValueError, match='"Mars" is not an IANA time zone'):
        CalendarCut(every="day", zone="Mars")

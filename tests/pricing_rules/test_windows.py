"""Recurring windows: their instants in UTC, by weekday, holiday and the clock of their zone."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError, load_json
from pricing_rules.period import LAST_MOMENT_AT, Period, moment_text, parse_moment, parse_period
from pricing_rules.windows import (
    DAY,
    NamedWindow,
    Window,
    WindowClock,
    day_spans,
    united_windows,
)

Json = dict[str, Any]
HOUR = DAY // 24
NIGHT: Json = {"start_time": "22:00", "end_time": "06:00"}
ALL_DAY: Json = {"start_time": "00:00", "end_time": "00:00"}


def window(*times: Json, zone: str = "UTC", holidays: tuple[str, ...] = ()) -> Window:
    """A window as a user writes it."""
    value = {"zone": zone, "times": list(times), "holidays": list(holidays)}
    return load_json(Window, json.dumps(value).encode(), name="window")


def named(found: Window, *, name: str = "w") -> NamedWindow:
    return NamedWindow(name=name, window=found)


def in_force(found: Window, *, within: str) -> list[str]:
    """When a window is in force in a period, as text without year and seconds."""
    periods = found.periods(parse_period(within, zone="UTC"))
    return [
        f"{moment_text(p.start_at)[5:16]} {moment_text(p.end_at)[5:16]}".replace("T", " ")
        for p in periods
    ]


def holds(found: Window, *, at: int) -> bool:
    """Whether a window is in force, as a clock of it alone says."""
    return WindowClock(windows=(named(found),)).keys_at(at) != ()


# The off-peak hours of a provider: peak is 01:00-04:00 and 06:00-10:00 UTC, Monday to Friday,
# except on public holidays.
PEAK = window(
    {"weekdays": [1, 2, 3, 4, 5], "start_time": "01:00", "end_time": "04:00"},
    {"weekdays": [1, 2, 3, 4, 5], "start_time": "06:00", "end_time": "10:00"},
)


def test_stretches_start_on_their_weekdays() -> None:
    # 2026-10-02 is a Friday, the 3rd and 4th are a weekend.
    assert in_force(PEAK, within="2026-10-02/2026-10-06") == [
        "10-02 01:00 10-02 04:00",
        "10-02 06:00 10-02 10:00",
        "10-05 01:00 10-05 04:00",
        "10-05 06:00 10-05 10:00",
    ]


def test_a_stretch_over_midnight_belongs_to_the_day_it_starts_on() -> None:
    friday_night = window({**NIGHT, "weekdays": [5]})
    assert in_force(friday_night, within="2026-10-01/2026-10-06") == ["10-02 22:00 10-03 06:00"]
    # From Saturday on, only the rest of Friday's night is seen.
    assert in_force(friday_night, within="2026-10-03/2026-10-06") == ["10-03 00:00 10-03 06:00"]


def test_equal_times_are_the_whole_day_from_then_on() -> None:
    weekend = window({**ALL_DAY, "weekdays": [6, 7]})
    assert in_force(weekend, within="2026-10-01/2026-10-08") == ["10-03 00:00 10-05 00:00"]
    from_six = window({"weekdays": [6], "start_time": "06:00", "end_time": "06:00"})
    assert in_force(from_six, within="2026-10-01/2026-10-08") == ["10-03 06:00 10-04 06:00"]


def test_stretches_that_overlap_or_touch_are_one() -> None:
    found = window(
        {"start_time": "01:00", "end_time": "03:00"},
        {"start_time": "02:00", "end_time": "04:00"},
        {"start_time": "04:00", "end_time": "05:00"},
        {"start_time": "02:30", "end_time": "02:45"},
    )
    assert in_force(found, within="2026-10-01/2026-10-02") == ["10-01 01:00 10-01 05:00"]


HOLIDAYS = ("2026-10-01", "2026-10-02")  # a Thursday and a Friday


def test_holidays_are_as_their_weekday_excluded_or_the_only_days() -> None:
    nine: Json = {"start_time": "09:00", "end_time": "17:00"}
    within = "2026-09-30/2026-10-04"
    as_weekday = window(nine, holidays=HOLIDAYS)
    assert [p[:5] for p in in_force(as_weekday, within=within)] == [
        "09-30",
        "10-01",
        "10-02",
        "10-03",
    ]
    excluded = window({**nine, "holidays": "excluded"}, holidays=HOLIDAYS)
    assert [p[:5] for p in in_force(excluded, within=within)] == ["09-30", "10-03"]
    only = window({**nine, "holidays": "only"}, holidays=HOLIDAYS)
    assert [p[:5] for p in in_force(only, within=within)] == ["10-01", "10-02"]
    # Both the weekday and the holiday are asked for where both are named.
    fridays = window({**nine, "weekdays": [5], "holidays": "only"}, holidays=HOLIDAYS)
    assert [p[:5] for p in in_force(fridays, within=within)] == ["10-02"]


def test_a_holiday_is_a_day_of_the_zone_and_its_night_goes_on_after_it() -> None:
    # The 1st of October in Tokyo starts at 15:00 UTC on the 30th of September.
    found = window({**ALL_DAY, "holidays": "only"}, zone="Asia/Tokyo", holidays=HOLIDAYS[:1])
    assert in_force(found, within="2026-09-29/2026-10-04") == ["09-30 15:00 10-01 15:00"]
    nights = window({**NIGHT, "holidays": "excluded"}, holidays=HOLIDAYS)
    assert in_force(nights, within="2026-09-30/2026-10-04") == [
        "09-30 00:00 09-30 06:00",
        "09-30 22:00 10-01 06:00",  # the night before the holidays reaches into them
        "10-03 22:00 10-04 00:00",
    ]


@pytest.mark.parametrize(
    "zone, within, stretches",
    [
        # Berlin's clock skips 02:00-03:00 on 2026-03-29 and shows it twice on 2026-10-25.
        ("Europe/Berlin", "2026-03-29/2026-03-30", ["03-29 01:00 03-29 02:00"]),
        ("Europe/Berlin", "2026-10-25/2026-10-26", ["10-25 00:30 10-25 03:00"]),
        # New York's skips 02:00-03:00 on 2026-03-08, and shows 01:00-02:00 twice on 2026-11-01.
        ("America/New_York", "2026-03-08/2026-03-09", ["03-08 07:00 03-08 08:00"]),
        ("America/New_York", "2026-11-01/2026-11-02", ["11-01 07:30 11-01 09:00"]),
        # Kolkata has no summer time, and lies half an hour beside the others.
        ("Asia/Kolkata", "2026-03-28/2026-03-29", ["03-28 21:00 03-28 22:30"]),
    ],
)
def test_a_wall_time_is_the_first_of_two_and_what_follows_a_skipped_one(
    zone: str, within: str, stretches: list[str]
) -> None:
    found = window({"start_time": "02:30", "end_time": "04:00"}, zone=zone)
    assert in_force(found, within=within) == stretches


def test_a_stretch_inside_the_skipped_hour_does_not_come_that_day() -> None:
    found = window({"start_time": "02:15", "end_time": "02:45"}, zone="Europe/Berlin")
    assert in_force(found, within="2026-03-28/2026-03-31") == [
        "03-28 01:15 03-28 01:45",
        "03-30 00:15 03-30 00:45",
    ]


def test_a_day_that_starts_before_the_clock_is_turned_back_over_midnight_is_seen() -> None:
    # Havana turned its clock back from 01:00 to 00:00 on 2026-11-01: midnight came twice, the first
    # at 04:00 UTC.
    found = window({**ALL_DAY, "weekdays": [7]}, zone="America/Havana")
    assert in_force(found, within="2026-11-01/2026-11-02") == ["11-01 04:00 11-02 00:00"]
    # In St. John's it was turned back from 00:01 to 23:01: Sunday the 7th had begun at 02:30 UTC,
    # and then the clock showed Saturday again.
    found = window({**ALL_DAY, "weekdays": [7]}, zone="America/St_Johns")
    at = parse_moment("2010-11-07T02:40:00Z")
    assert holds(found, at=at) is True
    narrow = Period(start_at=at, end_at=at + 1)
    assert found.periods(narrow) == (narrow,)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_below_at_and_above_each_boundary_of_a_year(zone: str) -> None:
    # Every start is inside, every end outside, to the microsecond, through a whole year.
    found = window(NIGHT, zone=zone)
    clock = WindowClock(windows=(named(found),))
    spans = found.periods(parse_period("2026-01-02/2026-12-30", zone="UTC"))
    assert len(spans) in (363, 362)
    for span in spans[1:-1]:
        for at, inside in (
            (span.start_at - 1, False),
            (span.start_at, True),
            (span.start_at + 1, True),
            (span.end_at - 1, True),
            (span.end_at, False),
            (span.end_at + 1, False),
        ):
            assert (clock.keys_at(at) != ()) is inside


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]
TIMES = st.sampled_from(["00:00", "01:30", "02:00", "02:30", "03:00", "12:00", "23:59"])


@st.composite
def windows(draw: st.DrawFn) -> Window:
    """Windows in zones with and without summer time."""
    times = draw(
        st.lists(
            st.fixed_dictionaries(
                {"start_time": TIMES, "end_time": TIMES},
                optional={
                    "weekdays": st.lists(st.integers(1, 7), unique=True, max_size=3),
                    "holidays": st.sampled_from(["as_weekday", "excluded", "only"]),
                },
            ),
            min_size=1,
            max_size=3,
        )
    )
    return window(
        *times, zone=draw(st.sampled_from(ZONES)), holidays=("2026-10-25", "2026-03-29", *HOLIDAYS)
    )


MOMENTS = st.integers(parse_moment("2026-01-01T00:00:00Z"), parse_moment("2027-01-01T00:00:00Z"))


@given(found=windows(), at=MOMENTS)
def test_a_moment_is_inside_where_the_clock_of_the_zone_shows_it(found: Window, at: int) -> None:
    # An oracle by the wall clock, away from days on which it jumps.
    zone = ZoneInfo(found.zone)
    local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(zone)
    noon = [
        local.replace(hour=12, tzinfo=None, fold=0) + timedelta(days=n) for n in (-2, -1, 0, 1, 2)
    ]
    if len({zone.utcoffset(one) for one in noon}) != 1:
        return
    shown = local.replace(tzinfo=None)
    inside = False
    for times in found.times:
        for back in (0, 1, 2):
            day = shown.date() - timedelta(days=back)
            if not times.starts_on(day, is_holiday=day in found.holidays):
                continue
            start = datetime.fromisoformat(f"{day}T{times.start_time}")
            end = datetime.fromisoformat(f"{day}T{times.end_time}")
            end += timedelta(days=1) if end <= start else timedelta()
            inside |= start <= shown < end
    assert holds(found, at=at) is inside


@given(
    some=st.lists(windows(), min_size=1, max_size=3),
    start_at=MOMENTS,
    hours=st.integers(1, 24 * 80),
)
@example(some=[window(NIGHT)], start_at=0, hours=1)
def test_the_spans_of_windows_tile_time(some: list[Window], start_at: int, hours: int) -> None:
    within = Period(start_at=start_at, end_at=start_at + hours * HOUR)
    clock = WindowClock(windows=united_windows(named(w, name=f"w{i}") for i, w in enumerate(some)))
    spans = clock.spans(within)
    bounds = [within.start_at, *(span.period.end_at for span in spans)]
    assert [span.period.start_at for span in spans] == bounds[:-1]
    assert bounds[-1] == within.end_at
    for span in spans:  # and say what a clock says that looks at blocks of its own
        for at in (span.period.start_at, span.period.end_at - 1):
            assert clock.keys_at(at) == span.keys


@given(found=windows(), start_at=MOMENTS, hours=st.integers(1, 24 * 40))
def test_every_moment_of_a_span_lies_in_the_row_of_its_day(
    found: Window, start_at: int, hours: int
) -> None:
    within = Period(start_at=start_at, end_at=start_at + hours * HOUR)
    rows = list(day_spans([named(found)], within=within))
    clock = WindowClock(windows=(named(found),))
    for at in (start_at, start_at + hours * HOUR // 2, start_at + hours * HOUR - 1):
        matching = [span for day, span in rows if day == at - at % DAY and at in span.period]
        assert [span.keys for span in matching] == [clock.keys_at(at)]


def test_the_ends_of_all_time_have_their_windows() -> None:
    found = window(NIGHT, zone="Pacific/Kiritimati")
    assert holds(found, at=0) is False  # 14:00 there (it was 13:20 in 1970)
    assert holds(found, at=LAST_MOMENT_AT - 1) is False


def test_a_key_is_the_name_and_the_meaning_of_the_definition() -> None:
    two = window({**NIGHT, "weekdays": [5, 6]}, PEAK.times[0].model_dump(mode="json"))
    turned = window(PEAK.times[0].model_dump(mode="json"), {**NIGHT, "weekdays": [6, 5]})
    assert named(two).key == named(turned).key
    assert named(two).key.startswith("w@")
    others = [
        named(two, name="v"),
        named(window({**NIGHT, "weekdays": [5]})),
        named(window(NIGHT, zone="Asia/Kolkata")),
        named(window(NIGHT, holidays=HOLIDAYS)),
        named(window({**NIGHT, "holidays": "excluded"}, holidays=HOLIDAYS)),
    ]
    assert len({one.key for one in [named(two), *others]}) == 6
    assert united_windows([named(two), named(turned), others[0]]) == (others[0], named(two))


def test_a_window_reads_as_people_read_it() -> None:
    assert PEAK.text() == "Mon,Tue,Wed,Thu,Fri 01:00-04:00; Mon,Tue,Wed,Thu,Fri 06:00-10:00 (UTC)"
    assert (
        window({**NIGHT, "holidays": "only"}, zone="Asia/Tokyo", holidays=HOLIDAYS).text()
        == "daily 22:00-06:00 on holidays (Asia/Tokyo, 2 holidays)"
    )
    excluded = window({**NIGHT, "holidays": "excluded"}, holidays=HOLIDAYS)
    assert excluded.text() == "daily 22:00-06:00 except holidays (UTC, 2 holidays)"
    assert excluded.holidays == (date(2026, 10, 1), date(2026, 10, 2))


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"zone": "Berlin"}, 'zone: "Berlin" is not an IANA time zone such as Europe/Berlin'),
        ({"times": []}, "times: must hold at least 1, and holds 0"),
        (
            {"times": [{**NIGHT, "start_time": "24:00"}]},
            'times[0].start_time: must be a time of day such as "08:30", not "24:00"',
        ),
        (
            {"times": [{**NIGHT, "end_time": "6:00"}]},
            'times[0].end_time: must be a time of day such as "08:30", not "6:00"',
        ),
        (
            {"times": [{**NIGHT, "weekdays": [0]}]},
            "times[0].weekdays[0]: input should be greater than or equal to 1, not 0",
        ),
        (
            {"times": [{**NIGHT, "weekdays": [8]}]},
            "times[0].weekdays[0]: input should be less than or equal to 7, not 8",
        ),
        ({"times": [{**NIGHT, "weekdays": [1, 1]}]}, "times[0]: weekdays names a day twice"),
        ({"holidays": ["2026-10-01", "2026-10-01"]}, ": holidays names a day twice; keep one"),
        ({"holidays": ["2026-02-30"]}, "holidays[0]: input should be a valid date"),
        (
            {"times": [NIGHT, {**NIGHT, "holidays": "only"}]},
            ": times[1] depends on holidays, and the window lists none; list them under holidays",
        ),
        ({"times": [{**NIGHT, "holidays": "never"}]}, "times[0].holidays: input should be 'as_w"),
    ],
)
def test_a_window_that_cannot_be_meant_is_refused_with_its_path(
    change: Json, sentence: str
) -> None:
    value = {"times": [NIGHT], **change}
    with pytest.raises(DocumentError) as refused:
        load_json(Window, json.dumps(value).encode(), name="w")
    assert str(refused.value).removeprefix("w").removeprefix(" ").startswith(sentence)

"""Times of the week that recur: conditions of other formats as the windows of a book.

Invariant: a minute of the week lies in a condition by the weekday of the minute itself (these
formats ask which day it is, not on which day a window began), so a stretch over midnight becomes
one on each side of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pricing_rules.interchange.foreign_json import UNREAD_TIME, InexpressibleError, shown
from pricing_rules.period import known_zone
from pricing_rules.windows import Window, WindowTimes

DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):?([0-5][0-9])\Z")


def clock_minute(text: object) -> int:
    """``16:30`` or ``1630`` as minutes since midnight; InexpressibleError for another text."""
    found = _CLOCK.match(text.strip()) if isinstance(text, str) else None
    if not found:
        raise InexpressibleError(UNREAD_TIME, detail=f"{shown(text)} is not HH:MM")
    return int(found[1]) * 60 + int(found[2])


def week_minutes(start_minute: int, *, end_minute: int, weekdays: Iterable[int]) -> frozenset[int]:
    """The minutes of the week (0 is Monday 00:00) of a half-open stretch on the days named.

    ``weekdays`` are ISO numbers, Monday 1. A stretch whose end is its start is the whole day; one
    whose end is earlier goes on after midnight, that is on the same day's early hours.
    """
    if start_minute < end_minute:
        minutes = [*range(start_minute, end_minute)]
    else:
        minutes = [*range(start_minute, DAY_MINUTES), *range(end_minute)]
    return frozenset((day - 1) * DAY_MINUTES + minute for day in weekdays for minute in minutes)


def shifted(minutes: frozenset[int], *, by_minutes: int) -> frozenset[int]:
    """The minutes of the week, moved later by some minutes around the week."""
    return frozenset((minute + by_minutes) % WEEK_MINUTES for minute in minutes)


def fixed_offset_minutes(zone: str) -> int:
    """How many minutes a zone that never changes its clock is ahead of UTC.

    InexpressibleError for a zone that does: hours of one clock on the days of another would then
    differ with the season.
    """
    try:
        found = known_zone(zone)
    except ValueError as error:
        raise InexpressibleError(UNREAD_TIME, detail=str(error)) from None
    moments = [datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 13)]
    offsets = {moment.astimezone(found).utcoffset() for moment in moments}
    offset = offsets.pop()
    if offsets or offset is None:
        raise InexpressibleError(UNREAD_TIME, detail=f"weekdays of {zone}, which changes its clock")
    return int(offset.total_seconds()) // 60


def window_of(minutes: frozenset[int]) -> Window:
    """The window in UTC that holds in these minutes of the week, and in no other."""
    days: dict[tuple[int, int], list[int]] = {}
    for day in range(7):
        for run in _runs(sorted(m - day * DAY_MINUTES for m in minutes if m // DAY_MINUTES == day)):
            days.setdefault(run, []).append(day + 1)
    times = tuple(
        WindowTimes(
            weekdays=() if len(named) == 7 else tuple(named),
            start_time=_clock(start),
            end_time=_clock(end % DAY_MINUTES),
        )
        for (start, end), named in sorted(days.items())
    )
    return Window(zone="UTC", times=times)


def window_minutes(window: Window) -> frozenset[int]:
    """The minutes of the week in UTC at which a window is in force.

    InexpressibleError for one of another zone or with holidays: a week in UTC does not tell them.
    """
    if window.zone != "UTC" or window.holidays:
        raise InexpressibleError("a window of another zone or with holidays", detail=window.zone)
    found: set[int] = set()
    for times in window.times:
        start, end = clock_minute(times.start_time), clock_minute(times.end_time)
        length = (end - start) % DAY_MINUTES or DAY_MINUTES
        for day in times.weekdays or range(1, 8):
            first = (day - 1) * DAY_MINUTES + start
            found.update(minute % WEEK_MINUTES for minute in range(first, first + length))
    return frozenset(found)


def partition(
    conditions: Sequence[frozenset[int]],
) -> dict[tuple[int, ...], frozenset[int]]:
    """The week cut by conditions: the numbers of those that hold, and the minutes where they do.

    The minutes where none holds are left out. The parts do not overlap.
    """
    parts: dict[tuple[int, ...], frozenset[int]] = {(): frozenset[int]().union(*conditions)}
    for number, condition in enumerate(conditions):
        cut: dict[tuple[int, ...], frozenset[int]] = {}
        for held, minutes in parts.items():
            cut[held] = minutes - condition
            cut[(*held, number)] = minutes & condition
        parts = {held: minutes for held, minutes in cut.items() if minutes}
    return parts


def _runs(minutes: Sequence[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for minute in minutes:
        if runs and runs[-1][1] == minute:
            runs[-1] = (runs[-1][0], minute + 1)
        else:
            runs.append((minute, minute + 1))
    return runs


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"

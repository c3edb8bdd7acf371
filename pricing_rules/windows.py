"""Recurring windows of time (nights, weekends, holidays) in a zone, and their instants in UTC.

Invariant: at each moment a window is in force or it is not, its start is inside and its end is not,
and two moments of one wall time are told apart by their instants. What its definition says is in
its key, so that two definitions under one name are never taken for one.

A start or an end that the zone's clock skips is the first instant after the skipped hour, and of
one that comes twice the first is meant: the rule of billing periods.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pricing_rules.document import Document, Name, content_digest, dump
from pricing_rules.period import (
    MICROSECONDS,
    Period,
    date_at,
    known_zone,
    local_instant_at,
)

_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z")
_BLOCK = 64 * 86_400 * MICROSECONDS
"""How much of time a clock computes at once: some thousand windows at most."""

DAY = 86_400 * MICROSECONDS


def _clock_text(text: str) -> str:
    if not _CLOCK.match(text):
        raise ValueError(f'must be a time of day such as "08:30", not "{text:.40}"')
    return text


def _zone_name(name: str) -> str:
    known_zone(name)
    return name


ClockText = Annotated[str, AfterValidator(_clock_text)]
"""A wall time ``HH:MM``, from 00:00 to 23:59."""

ZoneName = Annotated[Name, AfterValidator(_zone_name)]
"""An IANA time zone."""

Weekday = Annotated[int, Field(ge=1, le=7)]
"""1 is Monday, 7 is Sunday (ISO 8601)."""

CalendarDay = date


class WindowTimes(Document):
    """Stretches of wall time, one on each day that is meant.

    ``weekdays``: on which days of the week they start; none named, on all. An ``end_time`` that is
    not after ``start_time`` is on the next day (``22:00`` to ``06:00``; ``00:00`` to ``00:00`` is
    the whole day), and all of it belongs to the day that it starts on. ``holidays``: what a day of
    the window's holiday list does: it counts as the weekday that it is, or no stretch starts on it,
    or stretches start on holidays only.
    """

    weekdays: tuple[Weekday, ...] = ()
    start_time: ClockText
    end_time: ClockText
    holidays: Literal["as_weekday", "excluded", "only"] = "as_weekday"

    @model_validator(mode="after")
    def _names_a_day_once(self) -> WindowTimes:
        if len(set(self.weekdays)) != len(self.weekdays):
            raise ValueError("weekdays names a day twice; keep one")
        return self

    def starts_on(self, day: CalendarDay, *, is_holiday: bool) -> bool:
        """Whether a stretch starts on a day of the window's zone."""
        if self.weekdays and day.isoweekday() not in self.weekdays:
            return False
        return self.holidays == "as_weekday" or is_holiday == (self.holidays == "only")

    def text(self) -> str:
        """The stretches as people read them."""
        days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
        named = ",".join(days[number - 1] for number in sorted(self.weekdays)) or "daily"
        holidays = {
            "as_weekday": "",
            "excluded": " except holidays",
            "only": " on holidays",
        }[self.holidays]
        return f"{named} {self.start_time}-{self.end_time}{holidays}"


class Window(Document):
    """A recurring window: in force while any of its stretches is, by the clock of its ``zone``.

    ``holidays``: the days, in that zone, that ``times`` may except or mean; beyond the last one
    that is listed no day is a holiday.
    """

    zone: ZoneName = "UTC"
    times: Annotated[tuple[WindowTimes, ...], Field(min_length=1, max_length=100)]
    holidays: Annotated[tuple[CalendarDay, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _knows_its_holidays(self) -> Window:
        if len(set(self.holidays)) != len(self.holidays):
            raise ValueError("holidays names a day twice; keep one")
        for i, times in enumerate(self.times):
            if times.holidays != "as_weekday" and not self.holidays:
                raise ValueError(
                    f"times[{i}] depends on holidays, and the window lists none; list them under "
                    "holidays"
                )
        return self

    def text(self) -> str:
        """The window as people read it."""
        listed = f", {len(self.holidays)} holidays" if self.holidays else ""
        return f"{'; '.join(times.text() for times in self.times)} ({self.zone}{listed})"

    def periods(self, within: Period) -> tuple[Period, ...]:
        """When the window is in force in a period, cut to it: apart, in order."""
        spans = sorted(
            (max(start_at, within.start_at), min(end_at, within.end_at))
            for start_at, end_at in self._stretches(within)
        )
        found: list[Period] = []
        for start_at, end_at in spans:
            if start_at >= end_at:  # outside, or skipped by the zone's clock
                continue
            if found and start_at <= found[-1].end_at:
                last = found.pop()
                span = Period(start_at=last.start_at, end_at=max(end_at, last.end_at))
            else:
                span = Period(start_at=start_at, end_at=end_at)
            found.append(span)
        return tuple(found)

    def _stretches(self, within: Period) -> Iterator[tuple[int, int]]:
        zone, holidays = known_zone(self.zone), frozenset(self.holidays)
        one = timedelta(days=1)
        # A stretch that reaches into the period began the day before it at the earliest, and where
        # the clock is turned back over midnight, the next day has begun.
        day = date_at(within.start_at, zone=zone) - one
        last = date_at(within.end_at, zone=zone) + one
        while day <= last:
            for times in self.times:
                if times.starts_on(day, is_holiday=day in holidays):
                    start, end = (
                        time.fromisoformat(text) for text in (times.start_time, times.end_time)
                    )
                    yield (
                        local_instant_at(day, clock=start, zone=zone),
                        local_instant_at(day if start < end else day + one, clock=end, zone=zone),
                    )
            day += one


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedWindow:
    """A window under the name that a price book gives to it.

    ``key``: the name and the first digits of the digest of its definition, which is the same for
    the same stretches and holidays in whatever order they are listed. Two are equal where it is.
    """

    name: str = field(compare=False)
    window: Window = field(compare=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        window = self.window
        value = {
            "zone": window.zone,
            "times": sorted(
                (dump(times) | {"weekdays": sorted(times.weekdays)} for times in window.times),
                key=repr,
            ),
            "holidays": sorted(day.isoformat() for day in window.holidays),
        }
        digits = content_digest(value).removeprefix("sha256:")[:12]
        object.__setattr__(self, "key", f"{self.name}@{digits}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowSpan:
    """A stretch of time in which the same windows are in force; ``keys`` are sorted."""

    period: Period
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowClock:
    """Several windows, ready to be asked at many moments: one search in a list for each."""

    windows: tuple[NamedWindow, ...]
    _blocks: dict[int, tuple[list[int], list[tuple[str, ...]]]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def keys_at(self, moment_at: int) -> tuple[str, ...]:
        """The keys of the windows in force at a moment, sorted."""
        number = moment_at // _BLOCK
        block = self._blocks.get(number)
        if block is None:
            found = self.spans(Period(start_at=number * _BLOCK, end_at=(number + 1) * _BLOCK))
            block = self._blocks[number] = (
                [span.period.start_at for span in found],
                [span.keys for span in found],
            )
        starts, keys = block
        return keys[bisect_right(starts, moment_at) - 1]

    def spans(self, within: Period) -> tuple[WindowSpan, ...]:
        """The period cut where a window begins or ends; the spans tile it."""
        changes: dict[int, list[tuple[str, bool]]] = {within.start_at: []}
        for one in self.windows:
            for period in one.window.periods(within):
                changes.setdefault(period.start_at, []).append((one.key, True))
                changes.setdefault(period.end_at, []).append((one.key, False))
        changes.pop(within.end_at, None)
        starts = sorted(changes)
        inside: set[str] = set()
        found: list[WindowSpan] = []
        for start_at, end_at in zip(starts, [*starts[1:], within.end_at], strict=True):
            for key, begins in changes[start_at]:
                (inside.add if begins else inside.discard)(key)
            span = Period(start_at=start_at, end_at=end_at)
            found.append(WindowSpan(period=span, keys=tuple(sorted(inside))))
        return tuple(found)


def united_windows(windows: Iterable[NamedWindow]) -> tuple[NamedWindow, ...]:
    """Each window once, by key."""
    found = {one.key: one for one in windows}
    return tuple(found[key] for key in sorted(found))


def day_spans(
    windows: Sequence[NamedWindow], *, within: Period
) -> Iterator[tuple[int, WindowSpan]]:
    """The spans of a period that has windows, each with the UTC days (their first moments) that it
    touches: what an engine joins events with.
    """
    for span in WindowClock(windows=tuple(windows)).spans(within):
        day = span.period.start_at - span.period.start_at % DAY
        while day < span.period.end_at:
            yield day, span
            day += DAY

"""Moments, half-open periods in UTC, and the anchor that billing periods are computed from.

Invariant: a moment is an integer of microseconds since 1970-01-01T00:00Z, a period is ``[start,
end)``, no text without an offset becomes a moment, and the periods of an anchor tile time, as do
the days and the months of a zone.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from pricing_rules.document import DocumentError

MICROSECONDS = 1_000_000
FIRST_MOMENT_AT = 0
LAST_MOMENT_AT = 7_258_118_400 * MICROSECONDS
"""2200-01-01T00:00Z: moments lie before it, so that a typing error in a year is found."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_MOMENT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt](?!24)([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,12})?"
    r"([Zz]|[+-][0-9]{2}:[0-5][0-9])\Z"
)
_NO_ZONE = re.compile(r"(posix|right)/|(localtime|posixrules)\Z")
"""What machines keep beside the zones of IANA: another zone on each, or one with leap seconds."""
_MONTH = re.compile(r"(19[7-9][0-9]|2[01][0-9]{2})-(0[1-9]|1[0-2])\Z")


def parse_moment(text: object) -> int:
    """An RFC 3339 text with an offset, as microseconds since 1970 in UTC.

    Digits beyond microseconds are cut off, which moves no event over a boundary, since boundaries
    are whole microseconds. ValueError for a text without an offset, a leap second (``:60``), a
    date that does not exist, or a year outside 1970 to 2199.
    """
    if not isinstance(text, str):
        raise ValueError(f'must be a moment such as "2026-10-01T00:00:00Z", not {text!r:.40}')
    found = _MOMENT.match(text)
    if not found:
        hint = (
            "" if re.search(r"([Zz]|[+-][0-9]{2}:[0-9]{2})\Z", text) else " (the offset is missing)"
        )
        raise ValueError(f'must be a moment such as "2026-10-01T00:00:00Z"{hint}, not "{text:.40}"')
    day, clock, fraction, offset = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if offset in 'Zz' else offset}")
    except ValueError as error:
        raise ValueError(f'is not a moment that exists: "{text:.40}" ({error})') from None
    whole = (moment - _EPOCH) // timedelta(microseconds=1)
    return checked_moment(whole + int((fraction or ".0")[1:7].ljust(6, "0")), text=text)


def checked_moment(moment_at: int, *, text: str) -> int:
    """``moment_at`` itself where it lies in 1970 to 2199, else ValueError that shows ``text``."""
    if not FIRST_MOMENT_AT <= moment_at < LAST_MOMENT_AT:
        raise ValueError(f'must lie between 1970 and 2199, not "{text:.40}"')
    return moment_at


def moment_text(moment_at: int) -> str:
    """Microseconds since 1970 as RFC 3339 in UTC: whole seconds, or six digits where there are
    some.
    """
    moment = _EPOCH + timedelta(microseconds=moment_at)
    shape = "%Y-%m-%dT%H:%M:%S" + (".%f" if moment_at % MICROSECONDS else "")
    return moment.strftime(shape) + "Z"


MomentText = Annotated[
    int,
    BeforeValidator(parse_moment),
    PlainSerializer(moment_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An integer of microseconds that is an RFC 3339 text in JSON and YAML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Half-open ``[start_at, end_at)`` in microseconds UTC; empty periods do not exist."""

    start_at: int
    end_at: int

    def __post_init__(self) -> None:
        if self.start_at >= self.end_at:
            raise ValueError("a period must end after it starts")

    def __contains__(self, moment_at: int) -> bool:
        return self.start_at <= moment_at < self.end_at

    def text(self) -> str:
        """``START/END`` as RFC 3339 moments."""
        return f"{moment_text(self.start_at)}/{moment_text(self.end_at)}"


def parse_period(text: str, *, zone: str) -> Period:
    """``START/END``, each a moment with an offset, or a date, which means its first instant in
    ``zone``.

    DocumentError where a side does not parse, where the zone is not an IANA zone, or where the
    end is not after the start. A date whose midnight the zone skips starts at the first instant
    that exists.
    """
    start, slash, end = text.partition("/")
    if not slash:
        raise DocumentError(
            "period", f'must be START/END such as 2026-10-01/2026-11-01, not "{text:.60}"'
        )
    try:
        return Period(start_at=_side(start, zone=zone), end_at=_side(end, zone=zone))
    except ValueError as error:
        raise DocumentError("period", str(error)) from None


def _side(text: str, *, zone: str) -> int:
    if not _DATE.match(text):
        return parse_moment(text)
    try:
        local_date = date.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f'is not a date that exists: "{text:.40}" ({error})') from None
    return checked_moment(_midnight_at(local_date, zone=known_zone(zone)), text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingAnchor:
    """The day of the month (1 to 31) on which an account's billing periods start in its IANA zone.

    A month that is too short starts its period on its last day, and the next one returns to the
    anchor's day: each boundary is computed from the anchor, never from the one before. A period
    starts at the local midnight of its day: at the first of two, where the zone turns back to it,
    and at the first instant that exists after it, where the zone skips it. ValueError for another
    day or an unknown zone.
    """

    day: int
    zone: str

    def __post_init__(self) -> None:
        if not 1 <= self.day <= 31:
            raise ValueError(f"an anchor is a day of the month from 1 to 31, not {self.day}")
        known_zone(self.zone)

    def starting_in(self, year: int, *, month: int) -> Period:
        """The period that starts in a month of the zone's calendar: what ``2026-10`` names."""
        later_year, later_month = divmod(12 * year + month, 12)
        return Period(
            start_at=self._boundary_at(year, month=month),
            end_at=self._boundary_at(later_year, month=later_month + 1),
        )

    def period_at(self, moment_at: int) -> Period:
        """The one period that holds a moment."""
        local = _local(moment_at, zone=known_zone(self.zone))
        # The month before has started in any calendar; up to two steps lead on from it.
        months = 12 * local.year + local.month - 2
        while (period := self._starting(months)).end_at <= moment_at:
            months += 1
        return period

    def boundaries(self, start_at: int, *, end_at: int) -> tuple[int, ...]:
        """Every moment in ``[start_at, end_at)`` at which a period starts."""
        found: list[int] = []
        at = self.period_at(start_at)
        if at.start_at == start_at < end_at:
            found.append(start_at)
        while at.end_at < end_at:
            found.append(at.end_at)
            at = self.period_at(at.end_at)
        return tuple(found)

    def _starting(self, months: int) -> Period:
        year, month = divmod(months, 12)
        return self.starting_in(year, month=month + 1)

    def _boundary_at(self, year: int, *, month: int) -> int:
        day = min(self.day, monthrange(year, month)[1])
        return _midnight_at(date(year, month, day), zone=known_zone(self.zone))


def parse_month(text: str) -> tuple[int, int]:
    """``2026-10`` as (2026, 10); DocumentError for any other text, and outside of 1970 to 2199."""
    found = _MONTH.match(text)
    if not found:
        raise DocumentError("period", f'must be a month such as 2026-10, not "{text:.40}"')
    return int(found[1]), int(found[2])


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CalendarCut:
    """The days, or the calendar months, of an IANA zone: each starts at its first local midnight.

    ValueError for an unknown zone.
    """

    every: Literal["day", "month"]
    zone: str

    def __post_init__(self) -> None:
        known_zone(self.zone)

    def start_at(self, moment_at: int) -> int:
        """When the day or month that holds a moment started."""
        if self.every == "month":
            return BillingAnchor(day=1, zone=self.zone).period_at(moment_at).start_at
        zone = known_zone(self.zone)
        today = date_at(moment_at, zone=zone)
        # Where the clock is turned back over midnight, the day after has started before.
        tomorrow_at = _midnight_at(today + timedelta(days=1), zone=zone)
        return tomorrow_at if tomorrow_at <= moment_at else _midnight_at(today, zone=zone)

    def boundaries(self, start_at: int, *, end_at: int) -> tuple[int, ...]:
        """Every moment in ``[start_at, end_at)`` at which a day or month starts."""
        if self.every == "month":
            return BillingAnchor(day=1, zone=self.zone).boundaries(start_at, end_at=end_at)
        zone = known_zone(self.zone)
        first, last = date_at(start_at, zone=zone), date_at(end_at, zone=zone)
        days = range((last - first).days + 2)
        found = (_midnight_at(first + timedelta(days=n), zone=zone) for n in days)
        return tuple(sorted({at for at in found if start_at <= at < end_at}))


def _midnight_at(local_date: date, *, zone: ZoneInfo) -> int:
    """The first instant of a day in a zone: its first midnight, or what follows a skipped one."""
    return local_instant_at(local_date, clock=time(0), zone=zone)


def local_instant_at(local_date: date, *, clock: time, zone: ZoneInfo) -> int:
    """The instant of a wall time in a zone: the first of two, or what follows a skipped one."""
    first, second = (
        datetime.combine(local_date, clock.replace(fold=fold), tzinfo=zone) for fold in (0, 1)
    )
    at = (first - _EPOCH) // timedelta(microseconds=1)
    if _local(at, zone=zone).replace(tzinfo=None) == first.replace(tzinfo=None):
        return at
    # The zone skips this wall time: its clock jumps between the two readings of it, at a whole
    # second.
    before, after = (second - _EPOCH) // timedelta(seconds=1), at // MICROSECONDS
    jumped = _local(at, zone=zone).utcoffset()
    while after - before > 1:
        middle = (before + after) // 2
        if _local(middle * MICROSECONDS, zone=zone).utcoffset() == jumped:
            after = middle
        else:
            before = middle
    return after * MICROSECONDS


def date_at(moment_at: int, *, zone: ZoneInfo) -> date:
    """The day that the clock of a zone shows at a moment."""
    return _local(moment_at, zone=zone).date()


def _local(moment_at: int, *, zone: ZoneInfo) -> datetime:
    return (_EPOCH + timedelta(microseconds=moment_at)).astimezone(zone)


def known_zone(name: str) -> ZoneInfo:
    """The IANA zone of a name such as ``Asia/Tokyo``; ValueError where there is none."""
    try:
        if _NO_ZONE.match(name):
            raise ValueError(name)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f'"{name:.40}" is not an IANA time zone such as Europe/Berlin') from None

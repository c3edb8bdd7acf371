"""Moments and half-open periods in UTC.

Invariant: a moment is an integer of microseconds since 1970-01-01T00:00Z, a period is ``[start,
end)``, and no text without an offset becomes a moment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
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
        local = datetime.combine(date.fromisoformat(text), time(0), tzinfo=known_zone(zone))
    except ValueError as error:
        raise ValueError(f'is not a date that exists: "{text:.40}" ({error})') from None
    return checked_moment((local - _EPOCH) // timedelta(microseconds=1), text=text)


def known_zone(name: str) -> ZoneInfo:
    """The IANA zone of a name such as ``Asia/Tokyo``; ValueError where there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f'"{name:.40}" is not an IANA time zone such as Europe/Berlin') from None

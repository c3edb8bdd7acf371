"""Sourced figures: a number, where it comes from and of when; what factory.yaml is made of.

Invariant: no figure stands without a source and a date, and the field that holds it names its unit.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final

from pydantic import field_validator

from pricing_rules.document import Document, Text
from pricing_rules.money import RateText

HOURS_OF_DAY: Final = 24
HOURS_OF_WEEK: Final = 168


class Figure(Document):
    """A number, where it comes from and of when; the field that holds it names its unit."""

    value: RateText
    source: Text
    source_date: date

    @property
    def source_text(self) -> str:
        """The source and its date in one text."""
        return f"{self.source} ({self.source_date.isoformat()})"


class PositiveFigure(Figure):
    """A figure above zero."""

    @field_validator("value")
    @classmethod
    def _positive(cls, value: Decimal) -> Decimal:
        if value <= 0:
            raise ValueError(f'must be above 0, not "{value}"')
        return value


class ShareFigure(PositiveFigure):
    """A figure above zero and at most one, such as availability or utilization."""

    @field_validator("value")
    @classmethod
    def _share(cls, value: Decimal) -> Decimal:
        if value > 1:
            raise ValueError(f'must be at most 1, not "{value}"; write 60 % as "0.6"')
        return value


class DeclineFigure(Figure):
    """A yearly fall from zero to under one, such as that of a price."""

    @field_validator("value")
    @classmethod
    def _under_one(cls, value: Decimal) -> Decimal:
        if value >= 1:
            raise ValueError(f'must be under 1, not "{value}"; write a fall of 30 % as "0.30"')
        return value


class PueFigure(Figure):
    """Facility power over IT power, at least one."""

    @field_validator("value")
    @classmethod
    def _at_least_one(cls, value: Decimal) -> Decimal:
        if value < 1:
            raise ValueError(f'a PUE is at least 1, not "{value}"')
        return value


class FiguresByHour(Document):
    """One figure for each hour of the day (24) or of the week (168), in UTC.

    The first of 24 is 00:00 UTC, the first of 168 Monday 00:00 UTC, as in a usage mix.
    """

    values: tuple[RateText, ...]
    source: Text
    source_date: date

    @field_validator("values")
    @classmethod
    def _whole_day_or_week(cls, values: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
        if len(values) not in (HOURS_OF_DAY, HOURS_OF_WEEK):
            raise ValueError(
                f"has {len(values)} hours; write {HOURS_OF_DAY} (a day) or {HOURS_OF_WEEK} "
                "(a week from Monday 00:00 UTC)"
            )
        return values

    @property
    def source_text(self) -> str:
        """The source and its date in one text."""
        return f"{self.source} ({self.source_date.isoformat()})"

    @property
    def by_hour_of_week(self) -> tuple[Decimal, ...]:
        """168 figures: those of the week, or seven times those of the day."""
        return self.values * (HOURS_OF_WEEK // len(self.values))


class LoadByHour(FiguresByHour):
    """How much is served in each hour, as weights of any size: 1 and 3 say what 10 and 30 say."""

    @field_validator("values")
    @classmethod
    def _serves_something(cls, values: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
        if not any(values):
            raise ValueError("serves nothing in any hour; give one of them a weight above 0")
        return values

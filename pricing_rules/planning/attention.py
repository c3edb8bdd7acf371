"""What a person must look at in a book: overrides that end, measurements that age, open findings.

Invariant: whatever lets something be sold under its floor has an end, and it is named from so many
days before that end on, and after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from pricing_rules.period import MICROSECONDS
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.provenance import Finding, SignOff

DAY_MICROSECONDS: Final = 86_400 * MICROSECONDS
EXPIRY_DAYS: Final = 30
"""How long before its end an override is named."""

_EPOCH_DAY = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingOverride:
    """A sign-off that ends, by the moment that it is looked at from."""

    sign_off: SignOff
    ends_at: int
    has_ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleCost:
    """A card that rests on old measurements; ``age_days`` is None where one has no date."""

    model: str
    service_tier: str
    oldest_date: str | None
    age_days: int | None


def ending_overrides(book: PriceBook, *, at: int) -> tuple[EndingOverride, ...]:
    """The overrides that end within 30 days of a moment, or have ended, the first to end first."""
    found = [
        EndingOverride(sign_off=one, ends_at=one.ends_at, has_ended=one.ends_at <= at)
        for one in book.sign_offs
        if one.ends_at is not None and one.ends_at <= at + EXPIRY_DAYS * DAY_MICROSECONDS
    ]
    return tuple(sorted(found, key=lambda one: (one.ends_at, one.sign_off.finding)))


def stale_costs(book: PriceBook, *, at: int, age_days: int) -> tuple[StaleCost, ...]:
    """Cards of which a measurement is over ``age_days`` old, or has no date, the oldest first."""
    today = at // DAY_MICROSECONDS + _EPOCH_DAY
    found: list[StaleCost] = []
    for card in book.rate_cards:
        dates = {
            point.source.measured_date
            for member in (card.cost.hardware if card.cost else ())
            for shape in member.shapes
            for point in shape.points
        }
        oldest = min((text for text in dates if text is not None), default=None)
        age = None if oldest is None else today - date.fromisoformat(oldest).toordinal()
        if (age is not None and age > age_days) or None in dates:
            found.append(
                StaleCost(
                    model=card.model,
                    service_tier=card.service_tier,
                    oldest_date=oldest,
                    age_days=age,
                )
            )
    return tuple(sorted(found, key=lambda one: (-(one.age_days or 0), one.model, one.service_tier)))


def open_findings(book: PriceBook, *, at: int) -> tuple[Finding, ...]:
    """The findings of a book without a sign-off that still holds at a moment."""
    held = {one.finding for one in book.sign_offs if one.ends_at is None or one.ends_at > at}
    return tuple(one for one in book.findings if one.id not in held)

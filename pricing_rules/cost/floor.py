"""The floor: the lowest rate that we may publish for a unit, and the one place where floats leave.

Invariant: what leaves is a Decimal of at most 9 significant digits, and a floor can be computed
again from the figures that are shown with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from math import isfinite
from typing import Final, Literal, assert_never

from pricing_rules.cost.accelerator_hour import FloorKind
from pricing_rules.document import DocumentError

SIGNIFICANT_DIGITS: Final = 9

FloorPartName = Literal["unit_cost", "idle", "variable", "minimum_margin", "revenue_share"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorTerms:
    """What a floor needs beside the unit cost, all exact.

    ``utilization``: above 0, at most 1. ``variable_usd_per_mtok``: licence, egress, gateway.
    ``minimum_margin`` and ``revenue_share`` (royalty, marketplace, payment fees, bad debt): shares
    of the rate, together under 1.
    """

    utilization: Decimal
    variable_usd_per_mtok: Decimal
    minimum_margin: Decimal
    revenue_share: Decimal

    def counted(self, kind: FloorKind) -> FloorTerms:
        """The terms that a floor of ``kind`` counts.

        ``cash`` has no minimum margin. ``short_run`` has none either, and a utilization of 1: it
        pays for the seconds that it serves, and the idle ones are paid for already.
        """
        match kind:
            case "full":
                return self
            case "cash":
                return replace(self, minimum_margin=Decimal(0))
            case "short_run":
                return replace(self, minimum_margin=Decimal(0), utilization=Decimal(1))
            case _:
                assert_never(kind)

    def lowest(self, usd: Fraction, *, variable_usd: Fraction) -> Fraction:
        """The least revenue for what costs ``usd`` at 100 % busy and ``variable_usd`` beside it:
        (usd / U + variable_usd) / (1 - m - f), exact.
        """
        kept = 1 - Fraction(self.minimum_margin) - Fraction(self.revenue_share)
        return (usd / Fraction(self.utilization) + variable_usd) / kept


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorPart:
    """One part of a floor, each rounded for itself: they add up to 8 digits."""

    name: FloorPartName
    usd_per_mtok: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The floor of one unit, with the terms that it was computed from and its parts.

    ``terms`` are those that its kind counts.
    """

    unit: str
    kind: FloorKind
    unit_cost_usd_per_mtok: Decimal
    terms: FloorTerms
    usd_per_mtok: Decimal
    parts: tuple[FloorPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTierFloor:
    """A service tier's own floor, and its promise in output tokens/s of one user, if any."""

    service_tier: str
    promised_tokens_per_s: float | None
    floor: Floor


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingFloor:
    """The floor that holds for a service tier.

    ``raised_by`` is the slower service tier whose floor it takes, None where its own holds;
    ``own.floor`` keeps what it would have been.
    """

    own: ServiceTierFloor
    usd_per_mtok: Decimal
    raised_by: str | None


def quantise(value: float) -> Decimal:
    """The Decimal of ``value`` to 9 significant digits, halves to even, without trailing zeros.

    The one place where a float leaves the cost module. ValueError for NaN and infinity.
    """
    if not isfinite(value):
        raise ValueError(f"{value} is not a number to leave the cost module")
    digits = Decimal(f"{value:.{SIGNIFICANT_DIGITS - 1}e}").normalize()
    # normalize() writes 1000 as 1E+3 and keeps the sign of zero: neither is plain text.
    return Decimal(f"{digits:f}") if digits else Decimal(0)


def floor_of(
    unit_cost_usd_per_mtok: float, *, unit: str, kind: FloorKind, terms: FloorTerms
) -> Floor:
    """The floor of a unit: (K/U + v) / (1 - m - f), by the terms that its kind counts.

    K is the unit cost at 100 % busy from hours of the same kind (``AcceleratorHour.counted``),
    quantised first, so that the floor follows exactly from what is shown. Raises DocumentError for
    terms out of range; ValueError for a negative or infinite unit cost.
    """
    _check(terms)
    terms = terms.counted(kind)
    unit_cost = quantise(unit_cost_usd_per_mtok)
    if unit_cost < 0:
        raise ValueError(f"a unit cost of {unit_cost} is below zero")
    busy = Fraction(unit_cost) / Fraction(terms.utilization)
    variable = Fraction(terms.variable_usd_per_mtok)
    margin_share, revenue_share = Fraction(terms.minimum_margin), Fraction(terms.revenue_share)
    lowest = terms.lowest(Fraction(unit_cost), variable_usd=variable)
    parts: tuple[tuple[FloorPartName, Fraction], ...] = (
        ("unit_cost", Fraction(unit_cost)),
        ("idle", busy - Fraction(unit_cost)),
        ("variable", variable),
        ("minimum_margin", lowest * margin_share),
        ("revenue_share", lowest * revenue_share),
    )
    return Floor(
        unit=unit,
        kind=kind,
        unit_cost_usd_per_mtok=unit_cost,
        terms=terms,
        usd_per_mtok=quantise(float(lowest)),
        parts=tuple(
            FloorPart(name=name, usd_per_mtok=quantise(float(exact))) for name, exact in parts
        ),
    )


def running_maximum(floors: Sequence[ServiceTierFloor]) -> tuple[StandingFloor, ...]:
    """Floors of one unit that never fall as the promise rises, from the slowest service tier on.

    Measured costs are not monotone in the promise, and the slow service tier must not be dearer
    than the fast. No promise is the slowest; equal promises keep the order given and do not raise
    one another. Raises ValueError for floors of two units.
    """
    if len({one.floor.unit for one in floors}) > 1:
        raise ValueError("a running maximum is over the floors of one unit")
    standing: list[StandingFloor] = []
    highest: ServiceTierFloor | None = None
    by_promise = sorted(floors, key=_promise)
    for _, alike in groupby(by_promise, key=_promise):
        slower = highest
        for own in alike:
            raised = slower is not None and own.floor.usd_per_mtok < slower.floor.usd_per_mtok
            holds = slower if raised and slower else own
            if highest is None or own.floor.usd_per_mtok >= highest.floor.usd_per_mtok:
                highest = own
            standing.append(
                StandingFloor(
                    own=own,
                    usd_per_mtok=holds.floor.usd_per_mtok,
                    raised_by=holds.service_tier if raised else None,
                )
            )
    return tuple(standing)


def _promise(one: ServiceTierFloor) -> float:
    return one.promised_tokens_per_s or 0.0


def margin(rate_usd_per_mtok: Decimal, *, unit_cost_usd_per_mtok: Decimal) -> Fraction:
    """(rate - cost) / rate, exact: the share of the rate that is kept. Never a markup."""
    rate = Fraction(rate_usd_per_mtok)
    return (rate - Fraction(unit_cost_usd_per_mtok)) / rate


def markup(rate_usd_per_mtok: Decimal, *, unit_cost_usd_per_mtok: Decimal) -> Fraction:
    """(rate - cost) / cost, exact: what is put on the cost. Never a margin."""
    cost = Fraction(unit_cost_usd_per_mtok)
    return (Fraction(rate_usd_per_mtok) - cost) / cost


def _check(terms: FloorTerms) -> None:
    if not 0 < terms.utilization <= 1:
        raise DocumentError(
            "utilization", f"must be above 0 and at most 1, not {terms.utilization}"
        )
    for name in ("variable_usd_per_mtok", "minimum_margin", "revenue_share"):
        value: Decimal = getattr(terms, name)
        if not value >= 0:
            raise DocumentError(name, f"must be 0 or more, not {value}")
    if terms.minimum_margin + terms.revenue_share >= 1:
        raise DocumentError(
            "minimum_margin",
            f"with the revenue share of {terms.revenue_share} it takes the whole rate; "
            f"lower {terms.minimum_margin}",
        )

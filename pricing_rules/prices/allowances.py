"""Shared allowances: a quantity that is free in each period, over all the rates that it names.

Invariant: what an allowance covers is decided by unit, model and service tier alone, and it counts
in one unit of measure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pricing_rules.document import Document, Name
from pricing_rules.period import CalendarCut
from pricing_rules.prices.conditions import UnitName
from pricing_rules.usage.units import MAX_COUNT, UNITS
from pricing_rules.windows import ZoneName


class Allowance(Document):
    """A free quantity of each account, in natural units, that the rates it names use up together.

    ``units``: those that have the rate (a unit without a rate of its own counts as the one whose
    rate it takes). ``models``, ``service_tiers``: none named, all. It is used in the order of time
    segments, and in canonical order of cells inside one; what it leaves is charged at its rates,
    and only that passes through a ladder. ``reset``: whether it starts anew with the billing
    period, or with each day or calendar month of ``zone``. Its ``id`` carries what was used: a
    later book that has the id goes on from there.
    """

    id: Name
    units: Annotated[tuple[UnitName, ...], Field(min_length=1)]
    models: tuple[Name, ...] = ()
    service_tiers: tuple[Name, ...] = ()
    quantity: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    reset: Literal["billing_period", "day", "month"] = "billing_period"
    zone: ZoneName = "UTC"

    @model_validator(mode="after")
    def _counts_one_thing(self) -> Allowance:
        if len({UNITS[unit].scale for unit in self.units}) != 1:
            raise ValueError(
                f"{', '.join(self.units)} are counted at different scales; give each its own "
                "allowance"
            )
        if self.reset == "billing_period" and self.zone != "UTC":
            raise ValueError(
                "a billing period starts in the zone of the account's agreement; leave out the zone"
            )
        return self

    def covers(self, *, model: str, service_tier: str, unit: str) -> bool:
        """Whether a quantity at the rate of this unit uses the allowance."""
        return (
            unit in self.units
            and (not self.models or model in self.models)
            and (not self.service_tiers or service_tier in self.service_tiers)
        )

    @property
    def cut(self) -> CalendarCut | None:
        """Where it starts anew; None: with the billing period."""
        if self.reset == "billing_period":
            return None
        return CalendarCut(every=self.reset, zone=self.zone)

    @property
    def scale(self) -> int:
        """The integer scale of its units."""
        return UNITS[self.units[0]].scale

    @property
    def quantity_scaled(self) -> int:
        """The quantity at the integer scale of its units."""
        return self.quantity * self.scale

    def text(self) -> str:
        """What a band of a charge that it made free names as its condition."""
        return f"allowance {self.id}"


def zones_clash(
    allowances: Sequence[Allowance], *, rates: Iterable[tuple[str, str, str]]
) -> str | None:
    """Two allowances of one rate whose days or months begin in two zones, as a sentence.

    ``rates``: model, service tier and unit of each. What usage before a billing period took of each
    of the two would depend on usage before that, so such a pair cannot be told exactly.
    """
    pairs = [
        (one, other)
        for one, other in combinations(allowances, 2)
        if one.cut and other.cut and one.zone != other.zone
    ]
    for model, service_tier, unit in rates:
        for pair in pairs:
            if all(a.covers(model=model, service_tier=service_tier, unit=unit) for a in pair):
                one, other = pair
                return (
                    f"the allowances {one.id} and {other.id} both cover {unit} of {model} in "
                    f"{service_tier}, but begin anew in {one.zone} and in {other.zone}; give them "
                    "one zone"
                )
    return None

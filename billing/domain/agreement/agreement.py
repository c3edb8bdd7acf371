"""The agreement as a document (``agreement.yaml``, ``tokenworks.agreement/1``), and its versions.

Invariant: its discounts together never exceed a charge in any month, its tax status is complete,
its currency is that of the price book (rating never converts), and at any moment at most one
version is in effect. Within one billing period a discount has one percentage.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise, product
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pricing_rules.document import Document, Name, Text
from pricing_rules.money import CurrencyCode, RateText
from pricing_rules.period import BillingAnchor, MomentText, known_zone
from pricing_rules.prices.price_book import UnitName

TaxCategory = Literal["S", "Z", "E", "AE", "G", "O"]
"""EN 16931 (UNCL 5305): standard, zero rated, exempt, reverse charge, export, outside scope."""


def _zone(name: str) -> str:
    return known_zone(name).key


ZoneName = Annotated[Name, AfterValidator(_zone)]
"""The name of an IANA zone such as ``Europe/Berlin``."""


class Party(Document):
    """Who invoices or who is invoiced."""

    name: Name
    address: tuple[Name, ...] = ()
    tax_id: Name | None = None
    email: Name | None = None


class RampStep(Document):
    """From which month on a discount has another percentage; "0" ends it.

    Month 1 is the billing period in which the version takes effect, whole or not, and each later
    billing period is the next month.
    """

    from_month: Annotated[int, Field(ge=2, le=600)]
    percent: RateText

    @model_validator(mode="after")
    def _percent_is_one(self) -> RampStep:
        if self.percent > 100:
            raise ValueError(f"percent must lie from 0 up to 100, not {self.percent}")
        return self


class Discount(Document):
    """A percentage off the charges of some models, service tiers and units; empty lists mean all.

    Every discount is taken from the list amounts, so that their order never matters. ``percent``
    holds from the first month on, until a step of the ``ramp`` says another one; a discount that a
    ramp raises later may begin with "0".
    """

    id: Name
    description: Annotated[Text, Field(max_length=500)]
    percent: RateText
    # Absent, not empty, where there is none: agreements from before ramps keep their digests.
    ramp: Annotated[tuple[RampStep, ...], Field(min_length=1, max_length=100)] | None = None
    models: tuple[Name, ...] = ()
    service_tiers: tuple[Name, ...] = ()
    units: tuple[UnitName, ...] = ()

    @model_validator(mode="after")
    def _percent_is_one(self) -> Discount:
        if not 0 <= self.percent <= 100 or not (self.percent or self.ramp):
            raise ValueError(f"percent must lie over 0 and up to 100, not {self.percent}")
        steps = [(1, self.percent), *((s.from_month, s.percent) for s in self.ramp or ())]
        for (month, percent), (later, changed) in pairwise(steps):
            if later <= month:
                raise ValueError(
                    f"the ramp goes from month {month} to {later}; write them in order"
                )
            if changed == percent:
                raise ValueError(f"month {later} of the ramp changes nothing; remove it")
        return self

    def percent_in(self, month: int) -> Decimal:
        """The percentage of a month, counted from 1; 0 where nothing is taken off."""
        begun = [step.percent for step in self.ramp or () if step.from_month <= month]
        return begun[-1] if begun else self.percent

    def covers(self, *, model: str, service_tier: str, unit: str) -> bool:
        """Whether the discount is for such a charge."""
        return (
            (not self.models or model in self.models)
            and (not self.service_tiers or service_tier in self.service_tiers)
            and (not self.units or unit in self.units)
        )


def _fitting(discounts: tuple[Discount, ...]) -> tuple[Discount, ...]:
    ids = [discount.id for discount in discounts]
    if len(set(ids)) != len(ids):
        raise ValueError("two discounts have one id; give each its own")
    # Charges differ for the discounts by the names that these list; "" is any other name.
    models = {"", *(model for discount in discounts for model in discount.models)}
    service_tiers = {"", *(name for discount in discounts for name in discount.service_tiers)}
    units = {"", *(unit for discount in discounts for unit in discount.units)}
    months = sorted({1, *_ramped_months(discounts)})
    for model, service_tier, unit in product(*map(sorted, (models, service_tiers, units))):
        found = [
            d for d in discounts if d.covers(model=model, service_tier=service_tier, unit=unit)
        ]
        for month in months:
            if sum(discount.percent_in(month) for discount in found) > 100:
                named = ", ".join(discount.id for discount in found)
                then = f" from month {month} on" if month > 1 else ""
                raise ValueError(
                    f"the discounts {named} together exceed 100 percent of one charge{then}"
                )
    return discounts


def _ramped_months(discounts: tuple[Discount, ...]) -> set[int]:
    return {step.from_month for discount in discounts for step in discount.ramp or ()}


Discounts = Annotated[tuple[Discount, ...], AfterValidator(_fitting)]
"""Discounts with ids of their own, of which no charge is taken off more than itself."""


class ServedIn(Document):
    """In which regions and service tiers alone an account is served; an empty list means all.

    What it never meets presses nothing under a floor: the gate leaves such rates out. A precision
    is promised by a service tier (its ``minimum_precision``), so it is agreed by naming that.
    """

    regions: tuple[Name, ...] = ()
    service_tiers: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _names_something(self) -> ServedIn:
        if not self.regions and not self.service_tiers:
            raise ValueError("names nothing; name regions or service_tiers, or leave it out")
        return self

    def holds(self, *, region: str, service_tier: str) -> bool:
        """Whether usage of that region and service tier is what was agreed."""
        return (not self.regions or region in self.regions) and (
            not self.service_tiers or service_tier in self.service_tiers
        )


class TaxStatus(Document):
    """The tax category of everything that the account buys, its rate in percent, and the note that
    the law asks for where no tax is charged."""

    category: TaxCategory
    rate_percent: RateText = Decimal(0)
    note: Text | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> TaxStatus:
        if (self.category == "S") != (self.rate_percent > 0):
            raise ValueError("category S has a rate_percent over 0, and every other one has none")
        if self.rate_percent > 100:
            raise ValueError(f"rate_percent must be at most 100, not {self.rate_percent}")
        if self.category in ("E", "AE", "G", "O") and self.note is None:
            raise ValueError(f"category {self.category} needs a note that says why no tax is due")
        return self


class Agreement(Document):
    """One version of what an account accepted; it is in effect from ``effective_from`` on.

    ``series``: the price-book series that the account follows. ``zone``: the IANA zone that its
    days are counted in. ``anchor_day``: the day of the month on which its billing periods start
    there; where a month has no such day, its last one. ``prices_include_tax``: whether rates are
    gross. ``served_in``: where the account is served, if not everywhere; usage from elsewhere is
    billed at its rates and is a finding.
    """

    schema_: Literal["tokenworks.agreement/1"] = Field(alias="schema")
    account: Name
    version: Annotated[int, Field(ge=1)]
    series: Name
    currency: CurrencyCode
    zone: ZoneName
    anchor_day: Annotated[int, Field(ge=1, le=31)] = 1
    effective_from: MomentText
    bill_to: Party
    issuer: Party
    payment_terms_days: Annotated[int, Field(ge=0, le=365)]
    tax: TaxStatus
    prices_include_tax: bool = False
    served_in: ServedIn | None = None
    discounts: Discounts = ()

    @property
    def anchor(self) -> BillingAnchor:
        """What its billing periods are computed from."""
        return BillingAnchor(day=self.anchor_day, zone=self.zone)

    def month_at(self, moment_at: int) -> int:
        """The month of the version that a moment lies in: its billing periods, counted from 1.

        The moment lies at ``effective_from`` or after it.
        """
        later = self.anchor.boundaries(self.effective_from + 1, end_at=moment_at + 1)
        return 1 + len(later)

    def ramp_starts_at(self) -> tuple[int, ...]:
        """The moments at which a ramp gives some discount another percentage, in order."""
        starts: list[int] = []
        month, at = 1, self.effective_from
        for later in sorted(_ramped_months(self.discounts)):
            while month < later:
                month, at = month + 1, self.anchor.period_at(at).end_at
            starts.append(at)
        return tuple(starts)

    def in_month_of(self, moment_at: int) -> Agreement:
        """The agreement as it stands in the billing period of a moment: its discounts without
        ramps, each at the percentage of that month, and none of 0.
        """
        month = self.month_at(moment_at)
        discounts = tuple(
            discount.model_copy(update={"percent": percent, "ramp": None})
            for discount in self.discounts
            if (percent := discount.percent_in(month))
        )
        return self.model_copy(update={"discounts": discounts})

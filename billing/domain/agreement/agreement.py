"""The agreement as a document (``agreement.yaml``, ``tokenworks.agreement/1``), and its versions.

Invariant: its discounts together never exceed a charge, its tax status is complete, its currency is
that of the price book (rating never converts), and at any moment at most one version is in effect.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import product
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


class Discount(Document):
    """A percentage off the charges of some models, service tiers and units; empty lists mean all.

    Every discount is taken from the list amounts, so that their order never matters.
    """

    id: Name
    description: Annotated[Text, Field(max_length=500)]
    percent: RateText
    models: tuple[Name, ...] = ()
    service_tiers: tuple[Name, ...] = ()
    units: tuple[UnitName, ...] = ()

    @model_validator(mode="after")
    def _percent_is_one(self) -> Discount:
        if not 0 < self.percent <= 100:
            raise ValueError(f"percent must lie over 0 and up to 100, not {self.percent}")
        return self

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
    for model, service_tier, unit in product(*map(sorted, (models, service_tiers, units))):
        found = [
            d for d in discounts if d.covers(model=model, service_tier=service_tier, unit=unit)
        ]
        if sum(discount.percent for discount in found) > 100:
            named = ", ".join(discount.id for discount in found)
            raise ValueError(f"the discounts {named} together exceed 100 percent of one charge")
    return discounts


Discounts = Annotated[tuple[Discount, ...], AfterValidator(_fitting)]
"""Discounts with ids of their own, of which no charge is taken off more than itself."""


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
    gross.
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
    discounts: Discounts = ()

    @property
    def anchor(self) -> BillingAnchor:
        """What its billing periods are computed from."""
        return BillingAnchor(day=self.anchor_day, zone=self.zone)

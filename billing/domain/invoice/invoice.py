"""The invoice as a document (``tokenworks.invoice/1``): the one shape for JSON and PDF.

Invariant: counts and minor units are integers, exact amounts are text; what stands here is all that
a reader needs to recompute every figure.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from billing.domain.agreement.agreement import Party, TaxCategory, ZoneName
from billing.domain.charging.records import (
    BookUsed,
    Count,
    ExactText,
    PricedBand,
    Scale,
    UnpricedUsage,
)
from pricing_rules.document import Document, Name, Text
from pricing_rules.money import CurrencyCode, RateText, currency
from pricing_rules.period import MomentText


class BilledPeriod(Document):
    """The half-open period that is billed, and the IANA zone that its days are counted in."""

    start_at: MomentText
    end_at: MomentText
    zone: ZoneName

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> BilledPeriod:
        if self.start_at >= self.end_at:
            raise ValueError("a period must end after it starts")
        return self


class UsageLine(Document):
    """One unit of one model in one service tier; ``quantity`` counts steps of 1/``scale``."""

    line: int
    kind: Literal["usage"] = "usage"
    description: Text
    model: Name
    service_tier: Name
    unit: Name
    quantity: Count
    scale: Scale
    bands: tuple[PricedBand, ...]
    amount_exact: ExactText
    amount_minor: int


class DiscountLine(Document):
    """One discount of the agreement, on the lines that it covers."""

    line: int
    kind: Literal["discount"] = "discount"
    description: Text
    discount_id: Name
    percent: RateText
    applies_to: tuple[int, ...]
    amount_exact: ExactText
    amount_minor: int


InvoiceLine = Annotated[UsageLine | DiscountLine, Field(discriminator="kind")]


class TaxLine(Document):
    """Net and tax of one tax category."""

    category: TaxCategory
    rate_percent: RateText
    net_minor: int
    tax_minor: int
    note: Text | None = None


class Invoice(Document):
    """An invoice. A preview has no number, and is not a tax invoice; a final one has a number.

    ``usage_minor`` and ``discount_minor`` are the sums of their lines; together they are the net
    where prices exclude tax, the gross where they include it. ``findings`` are for the provider and
    are never printed.
    """

    schema_: Literal["tokenworks.invoice/1"] = Field(alias="schema")
    status: Literal["preview", "final"]
    number: Name | None = None
    account: Name
    bill_to: Party
    issuer: Party
    agreement_version: int
    currency: CurrencyCode
    minor_digits: int
    period: BilledPeriod
    payment_terms_days: Count
    price_books: tuple[BookUsed, ...]
    lines: tuple[InvoiceLine, ...]
    usage_minor: int
    discount_minor: int
    prices_include_tax: bool
    taxes: tuple[TaxLine, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    unpriced: tuple[UnpricedUsage, ...] = ()
    findings: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _is_numbered(self) -> Invoice:
        if (self.status == "final") != (self.number is not None):
            raise ValueError("a final invoice has a number, and a preview has none")
        return self

    @model_validator(mode="after")
    def _has_the_digits_of_its_currency(self) -> Invoice:
        digits = currency(self.currency).minor_digits
        if self.minor_digits != digits:
            raise ValueError(
                f"minor_digits of {self.currency} must be {digits}, not {self.minor_digits}"
            )
        return self

    @model_validator(mode="after")
    def _adds_up(self) -> Invoice:
        usage = sum(line.amount_minor for line in self.lines if line.kind == "usage")
        discounts = sum(line.amount_minor for line in self.lines if line.kind == "discount")
        if (usage, discounts) != (self.usage_minor, self.discount_minor):
            raise ValueError("the lines do not add up to usage_minor and discount_minor")
        base = self.total_minor if self.prices_include_tax else self.net_minor
        if usage + discounts != base:
            raise ValueError("the lines do not add up to the amount that is taxed")
        if self.net_minor + self.tax_minor != self.total_minor:
            raise ValueError("net and tax do not add up to the total")
        nets = sum(tax.net_minor for tax in self.taxes)
        taxes = sum(tax.tax_minor for tax in self.taxes)
        if (nets, taxes) != (self.net_minor, self.tax_minor):
            raise ValueError("the tax categories do not add up to net and tax")
        return self

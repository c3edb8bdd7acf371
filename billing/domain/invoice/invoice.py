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


class Cover(Document):
    """A billing period, and the epoch through which an invoice bills all of its usage."""

    start_at: MomentText
    end_at: MomentText
    through_epoch: Annotated[int, Field(ge=1)]

    def holds(self, occurred_at: int, *, epoch: int) -> bool:
        """Whether usage of that moment, received in that epoch, is among what was billed."""
        return self.start_at <= occurred_at < self.end_at and epoch <= self.through_epoch


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


class CorrectionLine(Document):
    """What usage of an earlier period costs now beyond what invoices charged for it before.

    ``corrects``: the number of the invoice that billed ``period``; ``corrects_issuer``: who issued
    that, where it is another than the issuer of this one (numbers are gapless for each issuer). It
    is for one unit of one model in one service tier, with ``bands`` as the whole period is rated
    now under the books of ``series``, or for one discount. ``quantity`` and the amounts are changes
    and may be negative: ``amount_exact`` = ``rated_exact`` (now) - ``invoiced_exact`` (before).
    """

    line: int
    kind: Literal["correction"] = "correction"
    description: Text
    corrects: Name
    corrects_issuer: Name | None = None
    period: BilledPeriod
    series: Name
    model: Name | None = None
    service_tier: Name | None = None
    unit: Name | None = None
    quantity: int | None = None
    scale: Scale | None = None
    bands: tuple[PricedBand, ...] | None = None
    discount_id: Name | None = None
    percent: RateText | None = None
    rated_exact: ExactText
    invoiced_exact: ExactText
    amount_exact: ExactText
    amount_minor: int
    tax_category: TaxCategory
    tax_rate_percent: RateText

    @model_validator(mode="after")
    def _is_a_difference(self) -> CorrectionLine:
        usage = (
            self.model, self.service_tier, self.unit, self.quantity, self.scale, self.bands,
        )  # fmt: skip
        discount = (self.discount_id, self.percent)
        of_usage, of_discount = (
            {field is not None for field in fields} for fields in (usage, discount)
        )
        if {*of_usage} | {not has for has in of_discount} not in ({True}, {False}):
            raise ValueError(
                "a correction has model, service_tier, unit, quantity, scale and bands, or else "
                "discount_id and percent"
            )
        if self.amount_exact != self.rated_exact - self.invoiced_exact:
            raise ValueError("amount_exact is not rated_exact - invoiced_exact")
        bands = self.bands
        if bands is not None and sum(band.amount for band in bands) != self.rated_exact:
            raise ValueError("the bands do not add up to rated_exact")
        return self


InvoiceLine = Annotated[UsageLine | DiscountLine | CorrectionLine, Field(discriminator="kind")]


class TaxLine(Document):
    """Net and tax of one tax category."""

    category: TaxCategory
    rate_percent: RateText
    net_minor: int
    tax_minor: int
    note: Text | None = None


class Invoice(Document):
    """An invoice. A preview has no number, and is not a tax invoice; a final one has a number.

    ``usage_minor``, ``discount_minor`` and ``correction_minor`` (absent where nothing is corrected)
    are the sums of their lines; together they are the net where prices exclude tax, the gross where
    they include it. A negative total is owed to the account. ``findings`` are for the provider and
    are never printed.

    A final invoice bills its period, and all of what it ``covers``, through an epoch: its own
    period, then the earlier ones that were compared with what their invoices charged.
    """

    schema_: Literal["tokenworks.invoice/1"] = Field(alias="schema")
    status: Literal["preview", "final"]
    number: Name | None = None
    issued_at: MomentText | None = None
    account: Name
    bill_to: Party
    issuer: Party
    agreement_version: int
    currency: CurrencyCode
    minor_digits: int
    period: BilledPeriod
    through_epoch: Annotated[int, Field(ge=1)] | None = None
    covers: tuple[Cover, ...] | None = None
    payment_terms_days: Count
    price_books: tuple[BookUsed, ...]
    lines: tuple[InvoiceLine, ...]
    usage_minor: int
    discount_minor: int
    correction_minor: int | None = None
    prices_include_tax: bool
    taxes: tuple[TaxLine, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    unpriced: tuple[UnpricedUsage, ...] = ()
    findings: tuple[Text, ...] = ()

    @property
    def corrections(self) -> tuple[CorrectionLine, ...]:
        """The lines that correct earlier invoices."""
        return tuple(line for line in self.lines if isinstance(line, CorrectionLine))

    @model_validator(mode="after")
    def _is_final_or_not(self) -> Invoice:
        issued = (self.number, self.issued_at, self.through_epoch, self.covers)
        if {field is not None for field in issued} != {self.status == "final"}:
            raise ValueError(
                "a final invoice has number, issued_at, through_epoch and covers, and a preview "
                "has none of them"
            )
        if self.covers is None:
            return self
        starts = [cover.start_at for cover in self.covers]
        if len(set(starts)) != len(starts):
            raise ValueError("covers holds a period twice")
        own = (self.period.start_at, self.period.end_at, self.through_epoch)
        if [(one.start_at, one.end_at, one.through_epoch) for one in self.covers[:1]] != [own]:
            raise ValueError("covers does not begin with the period, through through_epoch")
        if not {line.period.start_at for line in self.corrections} <= set(starts):
            raise ValueError("a line corrects a period that covers does not hold")
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
        usage, discounts, corrected = (
            sum(line.amount_minor for line in self.lines if line.kind == kind)
            for kind in ("usage", "discount", "correction")
        )
        if (usage, discounts) != (self.usage_minor, self.discount_minor):
            raise ValueError("the lines do not add up to usage_minor and discount_minor")
        if self.correction_minor != (corrected if self.corrections else None):
            raise ValueError("the correction lines do not add up to correction_minor")
        base = self.total_minor if self.prices_include_tax else self.net_minor
        if usage + discounts + corrected != base:
            raise ValueError("the lines do not add up to the amount that is taxed")
        if self.net_minor + self.tax_minor != self.total_minor:
            raise ValueError("net and tax do not add up to the total")
        nets = sum(tax.net_minor for tax in self.taxes)
        taxes = sum(tax.tax_minor for tax in self.taxes)
        if (nets, taxes) != (self.net_minor, self.tax_minor):
            raise ValueError("the tax categories do not add up to net and tax")
        return self

    @model_validator(mode="after")
    def _corrects_within_its_taxes(self) -> Invoice:
        taxed = {(tax.category, tax.rate_percent) for tax in self.taxes}
        if not {(line.tax_category, line.tax_rate_percent) for line in self.corrections} <= taxed:
            raise ValueError("a correction line has a tax category that taxes does not hold")
        return self

"""The JSON of an invoice (``tokenworks.invoice/1``), typed: the fields that its readers see.

Invariant: what is not named here is not printed. Fields that a later version adds, and those that
are for the provider alone (its findings), are read over.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from pricing_rules.document import Document, Name, Text
from pricing_rules.money import CurrencyCode, RateText, exact_text, parse_exact
from pricing_rules.period import MomentText, known_zone


def _exact(text: object) -> Fraction:
    if not isinstance(text, str):
        raise ValueError(f'must be a string in quotes such as "1.25" or "1/3", not {text!r:.40}')
    return parse_exact(text)


ExactText = Annotated[
    Fraction, BeforeValidator(_exact), PlainSerializer(exact_text, return_type=str)
]
"""A Fraction that is a string in JSON: a decimal, or ``n/d``."""

Count = Annotated[int, Field(ge=0)]


class _Read(Document):
    """A part of an invoice as its readers see it; further fields are read over."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Party(_Read):
    """Who invoices, or who is invoiced; ``account`` only for the latter."""

    name: Name
    address: tuple[Text, ...] = ()
    tax_id: Name | None = None
    email: Name | None = None
    account: Name | None = None


class InvoicedPeriod(_Read):
    """The period that is billed, half-open, and the IANA zone that its days are counted in."""

    start_at: MomentText = Field(alias="start")
    end_at: MomentText = Field(alias="end")
    zone: Name

    @model_validator(mode="after")
    def _checked(self) -> Self:
        known_zone(self.zone)
        if self.start_at >= self.end_at:
            raise ValueError("the period must end after it starts")
        return self


class BookUsed(_Read):
    """A price book that rates of this invoice come from."""

    series: Name
    number: int
    digest: Name


class PricedBand(_Read):
    """One rate that a part of a line's quantity was charged at, with its exact amount."""

    book_number: int
    when: Text | None = None
    quantity: Count
    rate: RateText
    per: int = Field(ge=1)
    flat: RateText
    amount: ExactText


class InvoiceLine(_Read):
    """One line: usage with its bands, or a discount on the lines in ``applies_to``.

    ``quantity`` counts steps of 1/``scale`` of a unit (2,500 at scale 1,000 is 2.5 seconds).
    """

    line: int
    description: Text
    quantity: Count | None = None
    scale: int = Field(default=1, ge=1)
    bands: tuple[PricedBand, ...] = ()
    applies_to: tuple[int, ...] = ()
    percent: RateText | None = None
    amount_minor: int


class TaxedNet(_Read):
    """Net and tax of one tax category (a code of UNCL 5305: S, Z, E, AE, K, G, O)."""

    category: Name
    rate_percent: RateText
    net_minor: int
    tax_minor: int
    note: Text | None = None


class UnpricedUsage(_Read):
    """Usage that no rate covers, or that two rates claim; it is in no total."""

    model: Name
    service_tier: Name
    unit: Name
    quantity: Count
    scale: int = Field(default=1, ge=1)
    events: Count
    reason: Text


class InvoiceDocument(_Read):
    """An invoice; a preview has no number yet, any other status has one."""

    format: Literal["tokenworks.invoice/1"] = Field(alias="schema")
    status: Name
    number: Name | None
    issuer: Party
    bill_to: Party = Field(alias="customer")
    currency: CurrencyCode
    minor_digits: int = Field(ge=0, le=6)
    period: InvoicedPeriod
    payment_terms_days: Count
    price_books: tuple[BookUsed, ...]
    lines: tuple[InvoiceLine, ...]
    usage_minor: int
    discount_minor: int
    prices_include_tax: bool
    taxes: tuple[TaxedNet, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    unpriced: tuple[UnpricedUsage, ...] = ()

    @property
    def is_preview(self) -> bool:
        """Whether this is not (yet) a tax invoice."""
        return self.status == "preview"

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        if self.bill_to.account is None:
            raise ValueError("customer.account is missing; name the account that is invoiced")
        if not self.is_preview and self.number is None:
            raise ValueError(f'an invoice with the status "{self.status}" needs a number')
        return self

"""What earlier invoices charged for a billing period: its first invoice and all its corrections.

Invariant: every line of the invoices that is for the period counts once, exactly and in minor
units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from billing.domain.invoice.invoice import (
    BilledPeriod,
    CorrectionLine,
    DiscountLine,
    Invoice,
    InvoiceLine,
)
from pricing_rules.period import Period


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class LineKey:
    """What a line charges for: a unit of a model in a service tier, or a discount.

    The fields of the other one are ``""``. In order, usage comes before discounts.
    """

    discount_id: str = ""
    model: str = ""
    service_tier: str = ""
    unit: str = ""

    @classmethod
    def of(cls, line: InvoiceLine) -> LineKey:
        """The key of a line of an invoice."""
        if isinstance(line, DiscountLine):
            return cls(discount_id=line.discount_id)
        return cls(
            model=line.model or "",
            service_tier=line.service_tier or "",
            unit=line.unit or "",
            discount_id=(line.discount_id or "") if isinstance(line, CorrectionLine) else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoicedAmount:
    """What was charged under one key so far; a discount has the quantity 0."""

    quantity: int = 0
    amount: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoiced:
    """What invoices charged for ``period``. ``issuer`` and ``number``: of the one that was first.

    ``posted_minor``: the sum of its lines in minor units, over all of these invoices.
    """

    issuer: str
    number: str
    period: Period
    currency: str
    prices_include_tax: bool
    amounts: Mapping[LineKey, InvoicedAmount]
    posted_minor: int


def quantity_of(line: InvoiceLine) -> int:
    """How much usage a line bills, or corrects, at its unit's scale; 0 for a discount."""
    return 0 if isinstance(line, DiscountLine) else line.quantity or 0


def usage_period(line: InvoiceLine, *, invoice: Invoice) -> BilledPeriod:
    """The period whose usage a line of an invoice is for."""
    return line.period if isinstance(line, CorrectionLine) else invoice.period


def invoiced_for(period: Period, *, invoices: Sequence[Invoice]) -> Invoiced | None:
    """What the final invoices of one account charged for a period; None where none billed it.

    ``invoices`` in the order in which they were issued. ValueError for a preview.
    """
    first: Invoice | None = None
    amounts: dict[LineKey, InvoicedAmount] = {}
    posted = 0
    for invoice in invoices:
        if invoice.status != "final":
            raise ValueError("a preview charges nothing")
        if first is None and invoice.period.start_at == period.start_at:
            first = invoice
        for line in invoice.lines:
            if usage_period(line, invoice=invoice).start_at == period.start_at:
                key = LineKey.of(line)
                before = amounts.get(key, InvoicedAmount())
                amounts[key] = InvoicedAmount(
                    quantity=before.quantity + quantity_of(line),
                    amount=before.amount + line.amount_exact,
                )
                posted += line.amount_minor
    if first is None:
        return None
    return Invoiced(
        issuer=first.issuer.name,
        number=first.number or "",
        period=period,
        currency=first.currency,
        prices_include_tax=first.prices_include_tax,
        amounts=amounts,
        posted_minor=posted,
    )

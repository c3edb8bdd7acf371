"""Corrections: what a period costs as it is known now, less what invoices charged for it.

Invariant: charged before + corrections = everything rated now, exactly for each key, and in minor
units for the period: each correction posts round(cumulative) - already posted, so that no sequence
of corrections drifts. A period without a change has no lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.domain.agreement.agreement import Agreement, TaxStatus
from billing.domain.charging.records import BookUsed, PricedBand, UnpricedUsage
from billing.domain.invoice.due import Due, charge_text, discount_text, due_for
from billing.domain.invoice.invoice import CorrectionLine
from billing.domain.invoice.invoiced import Invoiced, InvoicedAmount, LineKey
from billing.domain.tax.tax import round_amount
from pricing_rules.document import DocumentError
from pricing_rules.money import allocate_minor
from pricing_rules.period import Period
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Charge, Rating
from pricing_rules.usage.units import UNITS

GONE = Decimal(0)
"""The percentage of a discount that the agreement no longer has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """The correction of one invoiced period; ``lines`` is empty where nothing changed.

    Its lines are numbered from 1, and the invoice that takes them numbers them on. ``unpriced`` is
    usage of the period that no rate covers.
    """

    period: Period
    currency: str
    prices_include_tax: bool
    tax: TaxStatus
    lines: tuple[CorrectionLine, ...]
    price_books: tuple[BookUsed, ...]
    unpriced: tuple[UnpricedUsage, ...]
    findings: tuple[str, ...]


def corrections_for(
    rating_now: Rating,
    *,
    agreement: Agreement,
    books: BooksInForce,
    period: Period,
    invoiced: Invoiced,
    issuer: str,
) -> Correction:
    """What is due for an invoiced period beyond what was charged: one line for each key that
    changed.

    ``rating_now``: all usage of the period, as it is known now. ``agreement`` and ``books``: those
    of the period. ``issuer``: who issues the invoice that takes the lines; they name the issuer of
    the invoice that they correct where it is another one. The lines share
    round(cumulative exact) - posted minor units by largest remainder; nothing is rounded for
    itself. DocumentError as for a draft, and where the currency or ``prices_include_tax`` is not
    that of the invoice.
    """
    due = due_for(rating_now, agreement=agreement, books=books, period=period)
    kept = (invoiced.currency, invoiced.prices_include_tax)
    if (due.currency.code, agreement.prices_include_tax) != kept:
        raise DocumentError(
            "agreement",
            f"invoice {invoiced.number} is in {invoiced.currency} with prices_include_tax "
            f"{str(invoiced.prices_include_tax).lower()}; it is corrected in the same way",
        )
    lines = tuple(_changes(due, invoiced=invoiced, issuer=issuer))
    unit = due.currency
    cumulative = round_amount(sum(due.exact, Fraction(0)), unit=unit)
    shares = allocate_minor(
        [line.amount_exact * unit.minor_per_major for line in lines],
        total_minor=cumulative - invoiced.posted_minor,
    )
    changed = {LineKey.of(line) for line in lines}
    charges = tuple(charge for charge in due.charges if _key(charge) in changed)
    return Correction(
        period=period,
        currency=unit.code,
        prices_include_tax=agreement.prices_include_tax,
        tax=agreement.tax,
        lines=tuple(
            line.model_copy(update={"line": number, "amount_minor": minor})
            for number, (line, minor) in enumerate(zip(lines, shares, strict=True), start=1)
        ),
        price_books=due.books_used(charges),
        unpriced=tuple(usage.of_period(period.start_at) for usage in due.unpriced),
        findings=due.findings(charges),
    )


def _changes(due: Due, *, invoiced: Invoiced, issuer: str) -> Iterator[CorrectionLine]:
    """A line without minor units for each key of which the quantity or the amount changed."""
    charges = {_key(charge): charge for charge in due.charges}
    discounts = {LineKey(discount_id=one.discount.id): one for one in due.discounts}
    agreed = {one.id: one for one in due.agreement.discounts}
    for key in sorted({*charges, *discounts, *invoiced.amounts}):
        before = invoiced.amounts.get(key, InvoicedAmount())
        if key.discount_id:
            now = discounts[key].amount if key in discounts else Fraction(0)
            discount = agreed.get(key.discount_id)
            if now != before.amount:
                yield _line(
                    due,
                    invoiced=invoiced,
                    issuer=issuer,
                    about=discount_text(discount) if discount else key.discount_id,
                    now=now,
                    before=before,
                    fields={
                        "discount_id": key.discount_id,
                        "percent": discount.percent if discount else GONE,
                    },
                )
            continue
        charge = charges.get(key)
        quantity, now = (charge.quantity, charge.amount) if charge else (0, Fraction(0))
        if (quantity, now) != (before.quantity, before.amount):
            names = {"model": key.model, "service_tier": key.service_tier, "unit": key.unit}
            yield _line(
                due,
                invoiced=invoiced,
                issuer=issuer,
                about=charge_text(**names),
                now=now,
                before=before,
                fields={
                    **names,
                    "quantity": quantity - before.quantity,
                    "scale": UNITS[key.unit].scale,
                    "bands": tuple(PricedBand.of(b) for b in (charge.bands if charge else ())),
                },
            )


def _line(
    due: Due,
    *,
    invoiced: Invoiced,
    issuer: str,
    about: str,
    now: Fraction,
    before: InvoicedAmount,
    fields: dict[str, object],
) -> CorrectionLine:
    # Numbers are gapless for each issuer, so that two may have the same.
    other = None if invoiced.issuer == issuer else invoiced.issuer
    corrected = invoiced.number if other is None else f"{invoiced.number} of {other}"
    return CorrectionLine.model_validate(
        {
            "line": 0,
            "description": f"Correction of {corrected}: {about}",
            "corrects": invoiced.number,
            "corrects_issuer": other,
            "period": due.billed_period,
            "series": due.series,
            **fields,
            "rated_exact": now,
            "invoiced_exact": before.amount,
            "amount_exact": now - before.amount,
            "amount_minor": 0,
            "tax_category": due.agreement.tax.category,
            "tax_rate_percent": due.agreement.tax.rate_percent,
        }
    )


def _key(charge: Charge) -> LineKey:
    return LineKey(model=charge.model, service_tier=charge.service_tier, unit=charge.unit)

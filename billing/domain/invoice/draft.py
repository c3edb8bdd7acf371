"""Drafting: rating and agreement -> the invoice as it would be.

Invariant: a draft is computed from its inputs alone, and an exact amount is rounded once, on the
sum of its period and tax category; lines share the rounded sum, so that they always add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.discounts import Discounted
from billing.domain.charging.records import BookUsed, PricedBand
from billing.domain.invoice.corrections import Correction
from billing.domain.invoice.due import charge_text, discount_text, due_for
from billing.domain.invoice.invoice import (
    DiscountLine,
    Invoice,
    InvoiceLine,
    TaxLine,
    UsageLine,
)
from billing.domain.tax.tax import round_amount, tax_in_gross, tax_on_net
from pricing_rules.document import DocumentError
from pricing_rules.money import allocate_minor
from pricing_rules.period import Period
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Charge, Rating
from pricing_rules.usage.units import UNITS


def draft_invoice(
    rating: Rating,
    *,
    agreement: Agreement,
    books: BooksInForce,
    period: Period,
    corrections: Sequence[Correction] = (),
    elsewhere: Sequence[str] = (),
) -> Invoice:
    """The invoice of one account for ``period``, as it would be if it were finalized now.

    ``rating`` may hold other accounts, which are left out; it is empty where ``period`` was
    invoiced before and is among the ``corrections``. Those follow the lines of the period, as they
    are given. ``elsewhere``: findings on where the usage was served. DocumentError as for
    ``due_for``, where a book of the invoice has no digest, and where a correction is in another
    currency or treats tax in prices in another way.
    """
    _check_corrections(corrections, agreement=agreement)
    due = due_for(rating, agreement=agreement, books=books, period=period)
    unit = due.currency
    rounded = round_amount(sum(due.exact, Fraction(0)), unit=unit)
    shares = allocate_minor(
        [part * unit.minor_per_major for part in due.exact], total_minor=rounded
    )
    count = len(due.charges)
    findings = (*due.findings(due.charges), *elsewhere)
    own: tuple[InvoiceLine, ...] = (
        *(_usage_line(c, line=i + 1, minor=shares[i]) for i, c in enumerate(due.charges)),
        *(
            _discount_line(d, line=count + i + 1, minor=shares[count + i])
            for i, d in enumerate(due.discounts)
        ),
    )
    corrected = [line for one in corrections for line in one.lines]
    taxes = _taxes(agreement, rounded_minor=rounded, corrections=corrections)
    return Invoice(
        schema="tokenworks.invoice/1",
        status="preview",
        account=agreement.account,
        bill_to=agreement.bill_to,
        issuer=agreement.issuer,
        agreement_version=agreement.version,
        currency=unit.code,
        minor_digits=unit.minor_digits,
        period=due.billed_period,
        payment_terms_days=agreement.payment_terms_days,
        price_books=_books_used(due.books_used(due.charges), corrections=corrections),
        lines=(
            *own,
            *(
                line.model_copy(update={"line": number})
                for number, line in enumerate(corrected, start=len(own) + 1)
            ),
        ),
        usage_minor=sum(shares[:count]),
        discount_minor=sum(shares[count:]),
        correction_minor=sum(line.amount_minor for line in corrected) if corrected else None,
        prices_include_tax=agreement.prices_include_tax,
        taxes=taxes,
        net_minor=sum(tax.net_minor for tax in taxes),
        tax_minor=sum(tax.tax_minor for tax in taxes),
        total_minor=sum(tax.net_minor + tax.tax_minor for tax in taxes),
        unpriced=(*due.unpriced, *(usage for one in corrections for usage in one.unpriced)),
        findings=tuple(
            dict.fromkeys((*findings, *(f for one in corrections for f in one.findings)))
        ),
    )


def _check_corrections(corrections: Sequence[Correction], *, agreement: Agreement) -> None:
    for one in corrections:
        kept = (one.currency, one.prices_include_tax)
        if kept != (agreement.currency, agreement.prices_include_tax):
            raise DocumentError(
                "agreement",
                f"is in {agreement.currency} with prices_include_tax "
                f"{str(agreement.prices_include_tax).lower()}, and an earlier period to be "
                "corrected is not; correct it under its own agreement first",
            )


def _taxes(
    agreement: Agreement, *, rounded_minor: int, corrections: Sequence[Correction]
) -> tuple[TaxLine, ...]:
    """Tax on the sum of each category: first the agreement's, then those of earlier agreements."""
    own = (agreement.tax.category, agreement.tax.rate_percent)
    sums, notes = {own: rounded_minor}, {own: agreement.tax.note}
    for one in corrections:
        key = (one.tax.category, one.tax.rate_percent)
        if one.lines:
            sums[key] = sums.get(key, 0) + sum(line.amount_minor for line in one.lines)
            notes.setdefault(key, one.tax.note)
    compute = tax_in_gross if agreement.prices_include_tax else tax_on_net
    lines: list[TaxLine] = []
    for (category, rate_percent), taxed_minor in sums.items():
        taxed = compute(taxed_minor, rate_percent=rate_percent)
        lines.append(
            TaxLine(
                category=category,
                rate_percent=rate_percent,
                net_minor=taxed.net_minor,
                tax_minor=taxed.tax_minor,
                note=notes[category, rate_percent],
            )
        )
    return tuple(lines)


def _books_used(
    own: tuple[BookUsed, ...], *, corrections: Sequence[Correction]
) -> tuple[BookUsed, ...]:
    found = {*own, *(book for one in corrections for book in one.price_books)}
    return tuple(sorted(found, key=lambda book: (book.series, book.number)))


def _usage_line(charge: Charge, *, line: int, minor: int) -> UsageLine:
    return UsageLine(
        line=line,
        description=charge_text(
            model=charge.model, service_tier=charge.service_tier, unit=charge.unit
        ),
        model=charge.model,
        service_tier=charge.service_tier,
        unit=charge.unit,
        quantity=charge.quantity,
        scale=UNITS[charge.unit].scale,
        bands=tuple(PricedBand.of(band) for band in charge.bands),
        amount_exact=charge.amount,
        amount_minor=minor,
    )


def _discount_line(discounted: Discounted, *, line: int, minor: int) -> DiscountLine:
    discount = discounted.discount
    return DiscountLine(
        line=line,
        description=discount_text(discount),
        discount_id=discount.id,
        percent=discount.percent,
        applies_to=tuple(i + 1 for i in discounted.covered),
        amount_exact=discounted.amount,
        amount_minor=minor,
    )

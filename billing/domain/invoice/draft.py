"""Drafting: rating and agreement -> the invoice as it would be.

Invariant: a draft is computed from its inputs alone, and an exact amount is rounded once, on the
sum of its tax category; lines share the rounded sum, so that they always add up.
"""

from __future__ import annotations

from fractions import Fraction

from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.discounts import Discounted, apply_discounts, rates_under_floor
from billing.domain.charging.records import BookUsed, PricedBand, UnpricedUsage
from billing.domain.invoice.invoice import (
    BilledPeriod,
    DiscountLine,
    Invoice,
    TaxLine,
    UsageLine,
)
from billing.domain.tax.tax import round_amount, tax_in_gross, tax_on_net
from pricing_rules.document import DocumentError
from pricing_rules.money import allocate_minor, decimal_text
from pricing_rules.period import Period, moment_text
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Charge, Rating
from pricing_rules.usage.units import UNITS


def draft_invoice(
    rating: Rating, *, agreement: Agreement, books: BooksInForce, period: Period
) -> Invoice:
    """The invoice of one account for ``period``, as it would be if it were finalized now.

    ``rating`` may hold other accounts, which are left out. DocumentError where the agreement
    follows another series or currency than the books, or starts after the period does, and where
    a book of the invoice has no digest.
    """
    _check_agreement(agreement, books=books, period=period)
    own = rating.of_account(agreement.account)
    discounts = apply_discounts(own.charges, agreement=agreement)
    exact = [charge.amount for charge in own.charges] + [d.amount for d in discounts]
    unit = rating.currency
    rounded = round_amount(sum(exact, Fraction(0)), unit=unit)
    shares = allocate_minor([part * unit.minor_per_major for part in exact], total_minor=rounded)
    tax = agreement.tax
    taxed = (
        tax_in_gross(rounded, rate_percent=tax.rate_percent)
        if agreement.prices_include_tax
        else tax_on_net(rounded, rate_percent=tax.rate_percent)
    )
    count = len(own.charges)
    return Invoice(
        schema="tokenworks.invoice/1",
        status="preview",
        account=agreement.account,
        bill_to=agreement.bill_to,
        issuer=agreement.issuer,
        agreement_version=agreement.version,
        currency=unit.code,
        minor_digits=unit.minor_digits,
        period=_billed(period, zone=agreement.zone),
        payment_terms_days=agreement.payment_terms_days,
        price_books=_books_used(books, own),
        lines=(
            *(_usage_line(c, line=i + 1, minor=shares[i]) for i, c in enumerate(own.charges)),
            *(
                _discount_line(d, line=count + i + 1, minor=shares[count + i])
                for i, d in enumerate(discounts)
            ),
        ),
        usage_minor=sum(shares[:count]),
        discount_minor=sum(shares[count:]),
        prices_include_tax=agreement.prices_include_tax,
        taxes=(
            TaxLine(
                category=tax.category,
                rate_percent=tax.rate_percent,
                net_minor=taxed.net_minor,
                tax_minor=taxed.tax_minor,
                note=tax.note,
            ),
        ),
        net_minor=taxed.net_minor,
        tax_minor=taxed.tax_minor,
        total_minor=taxed.gross_minor,
        unpriced=tuple(UnpricedUsage.of(usage) for usage in own.unpriced),
        findings=tuple(
            under.sentence()
            for under in rates_under_floor(own.charges, agreement=agreement, books=books)
        ),
    )


def _check_agreement(agreement: Agreement, *, books: BooksInForce, period: Period) -> None:
    series = books.books[0].series
    if (agreement.series, agreement.currency) != (series, books.currency):
        raise DocumentError(
            "agreement",
            f"follows {agreement.series} in {agreement.currency}, but the price book is {series} "
            f"in {books.currency}; give the books of its own series",
        )
    if agreement.effective_from > period.start_at:
        raise DocumentError(
            "agreement",
            f"is in effect from {moment_text(agreement.effective_from)}, after the period starts "
            f"({moment_text(period.start_at)}); choose a later period",
        )


def _billed(period: Period, *, zone: str) -> BilledPeriod:
    return BilledPeriod.model_validate(
        {
            "start_at": moment_text(period.start_at),
            "end_at": moment_text(period.end_at),
            "zone": zone,
        }
    )


def _books_used(books: BooksInForce, rating: Rating) -> tuple[BookUsed, ...]:
    used = {band.book_number for charge in rating.charges for band in charge.bands}
    return tuple(
        BookUsed.of(book)
        for book in sorted(books.books, key=lambda b: b.number)
        if book.number in used
    )


def _usage_line(charge: Charge, *, line: int, minor: int) -> UsageLine:
    return UsageLine(
        line=line,
        description=f"{charge.model}, {charge.service_tier}: {charge.unit.replace('_', ' ')}",
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
        description=f"{discount.description} ({decimal_text(discount.percent)} %)",
        discount_id=discount.id,
        percent=discount.percent,
        applies_to=tuple(i + 1 for i in discounted.covered),
        amount_exact=discounted.amount,
        amount_minor=minor,
    )

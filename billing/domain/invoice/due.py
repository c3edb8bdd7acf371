"""What is due for one billing period: its charges and discounts under the agreement in effect.

Invariant: everything here is exact; nothing is rounded before all that one tax category bills is
summed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from billing.domain.agreement.agreement import Agreement, Discount
from billing.domain.charging.discounts import Discounted, apply_discounts, rates_under_floor
from billing.domain.charging.records import BookUsed, UnpricedUsage
from billing.domain.invoice.invoice import BilledPeriod
from pricing_rules.document import DocumentError
from pricing_rules.money import Currency, decimal_text
from pricing_rules.period import Period, moment_text
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Charge, Rating


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The exact charges and discounts of one account for one period, and what they rest on."""

    agreement: Agreement
    books: BooksInForce
    period: Period
    currency: Currency
    charges: tuple[Charge, ...]
    discounts: tuple[Discounted, ...]
    unpriced: tuple[UnpricedUsage, ...]

    @property
    def series(self) -> str:
        """The series of the price books."""
        return self.books.books[0].series

    @property
    def exact(self) -> tuple[Fraction, ...]:
        """The amounts of all charges, then of all discounts, in major units."""
        return (*(c.amount for c in self.charges), *(d.amount for d in self.discounts))

    @property
    def billed_period(self) -> BilledPeriod:
        """The period as a record, in the zone of the agreement."""
        return BilledPeriod.model_validate(
            {
                "start_at": moment_text(self.period.start_at),
                "end_at": moment_text(self.period.end_at),
                "zone": self.agreement.zone,
            }
        )

    def books_used(self, charges: tuple[Charge, ...]) -> tuple[BookUsed, ...]:
        """The books that priced some charges, by number. DocumentError for one without a digest."""
        used = {band.book_number for charge in charges for band in charge.bands}
        return tuple(
            BookUsed.of(book)
            for book in sorted(self.books.books, key=lambda b: b.number)
            if book.number in used
        )

    def findings(self, charges: tuple[Charge, ...]) -> tuple[str, ...]:
        """A sentence for each rate of some charges that lies under its floor after discounts."""
        found = rates_under_floor(charges, agreement=self.agreement, books=self.books)
        return tuple(under.sentence() for under in found)


def due_for(rating: Rating, *, agreement: Agreement, books: BooksInForce, period: Period) -> Due:
    """What the agreement's account owes for all its usage of ``period``.

    ``rating`` may hold other accounts, which are left out. The discounts are those of the month of
    the agreement that the period is. DocumentError where the agreement follows another series or
    currency than the books, where it starts after the period does, and where a ramp changes a
    discount inside of the period.
    """
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
    for ramp_at in agreement.ramp_starts_at():
        if period.start_at < ramp_at < period.end_at:
            raise DocumentError(
                "agreement",
                f"changes a discount at {moment_text(ramp_at)}, inside the period {period.text()}; "
                "bill up to it and from it on apart",
            )
    own = rating.of_account(agreement.account)
    agreement = agreement.in_month_of(period.start_at)
    return Due(
        agreement=agreement,
        books=books,
        period=period,
        currency=rating.currency,
        charges=own.charges,
        discounts=apply_discounts(own.charges, agreement=agreement),
        unpriced=tuple(UnpricedUsage.of(usage) for usage in own.unpriced),
    )


def charge_text(*, model: str, service_tier: str, unit: str) -> str:
    """How a line calls a charge: ``gpt-oss-120b, standard: output tokens``."""
    return f"{model}, {service_tier}: {unit.replace('_', ' ')}"


def discount_text(discount: Discount) -> str:
    """How a line calls a discount: ``Launch (10 %)``."""
    return f"{discount.description} ({decimal_text(discount.percent)} %)"

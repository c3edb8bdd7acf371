"""Final invoices of one account over several periods, made from usage totals.

Invariant: everything is rated and drafted as a close does it: all usage of a period that is known,
less what the invoices before charged for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from billing.domain.agreement.agreement import Agreement
from billing.domain.invoice.corrections import Correction, corrections_for
from billing.domain.invoice.draft import draft_invoice
from billing.domain.invoice.finalizing import finalize
from billing.domain.invoice.invoice import Invoice
from billing.domain.invoice.invoiced import Invoiced, invoiced_for
from pricing_rules.period import Period, parse_moment, parse_period
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Rating, grid_for, rate_totals
from pricing_rules.usage.totals import Cell, UsageTotal
from tests.billing.domain.made_charges import OCTOBER, agreement, book

NOVEMBER: Period = parse_period("2026-11-01/2026-12-01", zone="UTC")
MIDDLE_AT = parse_moment("2026-10-15T00:00:00Z")
"""When the second of the two books below is in force."""
ISSUED_AT = parse_moment("2026-11-02T09:30:00Z")


def priced(*rates: Mapping[str, Any], number: int = 1, start: str = "2026-09-01") -> dict[str, Any]:
    """The changes of a book with one card of these rates."""
    card = {"model": "m", "service_tier": "standard", "rates": list(rates)}
    return {
        "number": number,
        "effective_from": f"{start}T00:00:00Z",
        "rate_cards": [card],
    }


def graduated(lower: str, *, upper: str) -> dict[str, Any]:
    """A rate of output tokens that changes at 10 million."""
    bands = [{"up_to": "10000000", "rate": lower}, {"rate": upper}]
    return {
        "unit": "output_tokens",
        "ladder": {"id": "volume", "kind": "graduated", "bands": bands},
    }


def ladder_books() -> BooksInForce:
    """2 / 1 per million, bound at 10 million; from the middle of October on 1.80 / 0.90."""
    return BooksInForce(
        books=(
            book(priced(graduated("2", upper="1"))),
            book(priced(graduated("1.80", upper="0.90"), number=2, start="2026-10-15")),
        )
    )


def used(
    count: int,
    *,
    at: int = OCTOBER.start_at,
    epoch: int = 1,
    unit: str = "output_tokens",
    model: str = "m",
) -> UsageTotal:
    """The total of one request in a segment."""
    cell = Cell(
        account="acme",
        epoch=epoch,
        segment_start_at=at,
        model=model,
        service_tier="standard",
        region="",
        size_class_tokens=0,
        outcome="completed",
        dimensions=(),
    )
    return UsageTotal(cell=cell, events=1, leaves={unit: count})


def rating_of(totals: Sequence[UsageTotal], *, books: BooksInForce, period: Period) -> Rating:
    """What these totals of a period cost; the period before is not among them."""
    within = [t for t in totals if t.cell.segment_start_at in period]
    return rate_totals(within, books=books, grid=grid_for(books, period=period))


def invoiced(invoices: Sequence[Invoice], *, period: Period = OCTOBER) -> Invoiced:
    """What the invoices charged for a period, which one of them bills."""
    found = invoiced_for(period, invoices=invoices)
    assert found is not None
    return found


def corrected(
    totals: Sequence[UsageTotal],
    *,
    invoices: Sequence[Invoice],
    books: BooksInForce,
    agreed: Agreement | None = None,
    period: Period = OCTOBER,
    issuer: str | None = None,
) -> Correction:
    """The correction of a period by all its totals, on an invoice of ``issuer``, by default that of
    the agreement.
    """
    agreed = agreed or agreement()
    return corrections_for(
        rating_of(totals, books=books, period=period),
        agreement=agreed,
        books=books,
        period=period,
        invoiced=invoiced(invoices, period=period),
        issuer=issuer or agreed.issuer.name,
    )


def issued(
    totals: Sequence[UsageTotal],
    *,
    books: BooksInForce,
    invoices: Sequence[Invoice] = (),
    agreed: Agreement | None = None,
    earlier: Agreement | None = None,
    period: Period = OCTOBER,
) -> Invoice:
    """The next final invoice of the account, through epoch ``len(invoices) + 1``.

    It bills ``period`` and corrects October where that was invoiced before, under the agreement
    ``earlier``, by default the same. A period that was invoiced before is only corrected.
    """
    agreed = agreed or agreement()
    corrections = (
        [
            corrected(
                totals,
                invoices=invoices,
                books=books,
                agreed=earlier or agreed,
                issuer=agreed.issuer.name,
            )
        ]
        if invoices
        else []
    )
    rating = rating_of(totals, books=books, period=period)
    if any(one.period.start_at == period.start_at for one in invoices):
        rating = replace(rating, charges=(), unpriced=())
    draft = draft_invoice(
        rating, agreement=agreed, books=books, period=period, corrections=corrections
    )
    return finalize(
        draft,
        number=f"INV-{len(invoices) + 1:06d}",
        issued_at=ISSUED_AT,
        through_epoch=len(invoices) + 1,
        corrected=[one.period for one in corrections],
    )

"""Explaining a line of an invoice: how its amount adds up, and what each of its rates rests on.

Invariant: the walk ends in files and rows, or says why there are none.
"""

from __future__ import annotations

from billing.domain.charging.records import PricedBand
from billing.domain.invoice.invoice import DiscountLine, Invoice, UsageLine
from pricing_rules.document import DocumentError
from pricing_rules.money import exact_text
from pricing_rules.prices.explain import Step, explain_rate, plain
from pricing_rules.prices.price_book import BooksInForce, PriceBook, RateEntry


def explain_line(invoice: Invoice, *, line: int, books: BooksInForce) -> Step:
    """The walk of one line. DocumentError where the invoice has no such line."""
    found = next((one for one in invoice.lines if one.line == line), None)
    if found is None:
        known = f"it has 1 to {len(invoice.lines)}" if invoice.lines else "it has none"
        raise DocumentError("invoice", f"has no line {line}; {known}")
    amount = f"{exact_text(found.amount_exact)} {invoice.currency} exactly"
    if isinstance(found, DiscountLine):
        listed = ", ".join(str(number) for number in found.applies_to)
        return Step(
            kind="line",
            sentence=f"line {line}, {found.description}: {amount} = -{plain(found.percent)} % of "
            f"the exact amounts of lines {listed}",
            rests_on=(
                Step(
                    kind="agreement",
                    sentence=f"discount {found.discount_id} of version "
                    f"{invoice.agreement_version} of the agreement of {invoice.account}",
                ),
            ),
        )
    return Step(
        kind="line",
        sentence=f"line {line}, {found.description}: {found.amount_minor} minor units of {amount}",
        rests_on=tuple(_band(found, band=band, books=books) for band in found.bands),
    )


def _band(line: UsageLine, *, band: PricedBand, books: BooksInForce) -> Step:
    book = next(book for book in books.books if book.number == band.book_number)
    card = book.card(model=line.model, service_tier=line.service_tier)
    if card is None:
        raise AssertionError(f"book {book.number} priced a line without a card")
    entry = next(e for e in card.rates if e.unit == line.unit and e.when.text() == band.when)
    return Step(
        kind="charge",
        sentence=f"{band.quantity:,} x {plain(band.rate)} / {band.per:,}"
        f"{_scale(line)}{_flat(band)}{_otherwise(band)} = {exact_text(band.amount)}",
        rests_on=(_book(book, entry=entry), explain_rate(book, card=card, entry=entry)),
    )


def _scale(line: UsageLine) -> str:
    return f" / {line.scale:,} (steps of 1/{line.scale:,})" if line.scale > 1 else ""


def _flat(band: PricedBand) -> str:
    return f" + {exact_text(band.flat)} flat" if band.flat else ""


def _otherwise(band: PricedBand) -> str:
    packages = ", in whole packages," if band.whole_packages else ""
    return packages + (", up to its cap," if band.capped else "")


def _book(book: PriceBook, *, entry: RateEntry) -> Step:
    condition = f", {entry.when.text()}" if entry.when.text() else ""
    return Step(
        kind="price book",
        sentence=f"{book.series} number {book.number}{condition}, {book.digest}",
    )

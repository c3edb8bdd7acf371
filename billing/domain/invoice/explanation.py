"""Explaining a line of an invoice: how its amount adds up, and what each of its rates rests on.

Invariant: the walk ends in files and rows, or says why there are none.
"""

from __future__ import annotations

from billing.domain.charging.records import PricedBand
from billing.domain.invoice.invoice import CorrectionLine, DiscountLine, Invoice, UsageLine
from billing.domain.invoice.invoiced import LineKey
from pricing_rules.document import DocumentError
from pricing_rules.money import exact_text
from pricing_rules.period import moment_text
from pricing_rules.prices.explain import Step, explain_band, plain
from pricing_rules.prices.price_book import BooksInForce, PriceBook
from pricing_rules.usage.units import UNITS


def explain_line(invoice: Invoice, *, line: int, books: BooksInForce) -> Step:
    """The walk of one line. DocumentError where the invoice has no such line.

    ``books``: those that priced the line; for a correction those of the period that it corrects.
    """
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
    if isinstance(found, CorrectionLine):
        return _correction(found, currency_code=invoice.currency, books=books)
    return Step(
        kind="line",
        sentence=f"line {line}, {found.description}: {found.amount_minor} minor units of {amount}",
        rests_on=_bands(found, books=books),
    )


def _correction(line: CorrectionLine, *, currency_code: str, books: BooksInForce) -> Step:
    """Before, now and the difference; below them, how the amount of now comes about."""
    if books.books[0].series != line.series:
        raise DocumentError(
            "price books",
            f"line {line.line} was priced from the series {line.series}, not "
            f"{books.books[0].series}; give its books",
        )
    period = f"{moment_text(line.period.start_at)}/{moment_text(line.period.end_at)}"
    now, before = (exact_text(amount) for amount in (line.rated_exact, line.invoiced_exact))
    if line.quantity is not None:
        quantity = sum(band.quantity for band in line.bands or ())
        now, before = f"{now} for {quantity:,}", f"{before} for {quantity - line.quantity:,}"
    return Step(
        kind="line",
        sentence=f"line {line.line}, {line.description}: {line.amount_minor} minor units of "
        f"{exact_text(line.amount_exact)} {currency_code} exactly = {now} now - {before} "
        "invoiced before",
        rests_on=(
            Step(
                kind="invoice",
                sentence=f"corrects invoice {line.corrects}"
                f"{f' of {line.corrects_issuer}' if line.corrects_issuer else ''} for usage of "
                f"{period}",
            ),
            *_bands(line, books=books),
        ),
    )


def _bands(line: UsageLine | CorrectionLine, *, books: BooksInForce) -> tuple[Step, ...]:
    """How the charge of a line adds up; a correction of a discount has no bands."""
    key = LineKey.of(line)
    return tuple(_band(band, key=key, books=books) for band in line.bands or ())


def _band(band: PricedBand, *, key: LineKey, books: BooksInForce) -> Step:
    book = next(book for book in books.books if book.number == band.book_number)
    card = book.card(model=key.model, service_tier=key.service_tier)
    if card is None:
        raise AssertionError(f"book {book.number} priced a line without a card")
    walked = explain_band(book, card=card, unit=key.unit, when=band.when)
    return Step(
        kind="charge",
        sentence=f"{band.quantity:,} x {plain(band.rate)} / {band.per:,}"
        f"{_scale(key.unit)}{_flat(band)}{_otherwise(band)} = {exact_text(band.amount)}",
        rests_on=(_book(book, when=band.when), walked),
    )


def _scale(unit: str) -> str:
    scale = UNITS[unit].scale
    return f" / {scale:,} (steps of 1/{scale:,})" if scale > 1 else ""


def _flat(band: PricedBand) -> str:
    return f" + {exact_text(band.flat)} flat" if band.flat else ""


def _otherwise(band: PricedBand) -> str:
    packages = ", in whole packages," if band.whole_packages else ""
    return packages + (", up to its cap," if band.capped else "")


def _book(book: PriceBook, *, when: str) -> Step:
    condition = f", {when}" if when else ""
    return Step(
        kind="price book",
        sentence=f"{book.series} number {book.number}{condition}, {book.digest}",
    )

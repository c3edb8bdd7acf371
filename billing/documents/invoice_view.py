"""What an invoice shows, as text: figures, dates and labels in the order in which they are printed.

Invariant: figures are formatted from integers and exact amounts and never rounded. An exact amount
with more than 12 digits after the point shows its first 12 and an ellipsis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction

from babel.dates import format_datetime

from billing.domain.agreement.agreement import Party, TaxCategory
from billing.domain.charging.records import PricedBand
from billing.domain.invoice.invoice import (
    BilledPeriod,
    CorrectionLine,
    Invoice,
    InvoiceLine,
    TaxLine,
    UsageLine,
)
from pricing_rules.money import decimal_text, exact_text
from pricing_rules.period import known_zone, moment_text

EXACT_DIGITS = 12
"""Most digits after the point of an exact amount that are shown."""

MINUS = "\N{MINUS SIGN}"
NBSP = "\N{NO-BREAK SPACE}"

TAX_CATEGORIES: Mapping[TaxCategory, str] = {
    "S": "standard rate",
    "Z": "zero rated",
    "E": "exempt",
    "AE": "reverse charge",
    "G": "export",
    "O": "outside the scope of tax",
}
"""Labels of the tax categories (UNCL 5305)."""

View = Mapping[str, object]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def invoice_view(invoice: Invoice) -> View:
    """Everything that the template prints, formatted; only texts, truths and lists of them."""
    is_preview = invoice.status == "preview"
    kind = "Invoice preview" if is_preview else "Invoice"
    dates = period_dates(invoice.period)
    zone = known_zone(invoice.period.zone)
    dated = (
        _moment(invoice.period.end_at, zone=UTC)
        if invoice.issued_at is None
        else _moment(invoice.issued_at, zone=zone)
    )
    return {
        "title": f"{kind} {invoice.number or ''}".strip() + f", {invoice.account}, {dates}",
        # The clock is no input: a preview is dated with the end of what it bills.
        "dated": [dated.year, dated.month, dated.day],
        "preview": is_preview,
        "number": invoice.number,
        "issued": None if invoice.issued_at is None else _date(invoice.issued_at, zone=zone),
        "issuer": _party(invoice.issuer),
        "bill_to": _party(invoice.bill_to),
        "account": invoice.account,
        "dates": dates,
        "instants": f"{moment_text(invoice.period.start_at)} to before "
        f"{moment_text(invoice.period.end_at)}",
        "currency": invoice.currency,
        "terms": payment_terms(invoice.payment_terms_days),
        "includes_tax": invoice.prices_include_tax,
        "lines": [_line(line, invoice=invoice) for line in invoice.lines],
        "totals": list(_totals(invoice)),
        "total": money(invoice.total_minor, digits=invoice.minor_digits),
        "books": [
            {"name": f"{book.series} {book.number}", "digest": book.digest}
            for book in invoice.price_books
        ],
        "unpriced": [
            {
                "what": [usage.model, usage.service_tier, usage.unit],
                "quantity": quantity(usage.quantity, scale=usage.scale),
                "events": grouped(str(usage.events)),
                "reason": usage.reason,
            }
            for usage in invoice.unpriced
        ],
    }


def grouped(number: str) -> str:
    """Plain digits with thousands separators and a true minus sign: ``-1234.5`` -> ``-1,234.5``."""
    sign, digits = (MINUS, number[1:]) if number.startswith("-") else ("", number)
    whole, point, fraction = digits.partition(".")
    return f"{sign}{int(whole):,}{point}{fraction}"


def money(amount_minor: int, *, digits: int) -> str:
    """Minor units as an amount: 123456 with 2 digits is 1,234.56; with 0 digits 123,456."""
    text = str(abs(amount_minor)).rjust(digits + 1, "0")
    cut = len(text) - digits
    sign = "-" if amount_minor < 0 else ""
    return grouped(f"{sign}{text[:cut]}.{text[cut:]}" if digits else sign + text)


def exact_amount(amount: Fraction) -> str:
    """An exact amount in full, or its first 12 digits after the point and an ellipsis."""
    text = exact_text(amount)
    if "/" not in text and len(text.partition(".")[2]) <= EXACT_DIGITS:
        return grouped(text)
    shown = abs(amount.numerator) * 10**EXACT_DIGITS // amount.denominator
    sign = "-" if amount < 0 else ""
    return grouped(sign + f"{shown // 10**EXACT_DIGITS}.{shown % 10**EXACT_DIGITS:012d}") + "…"


def quantity(count: int, *, scale: int) -> str:
    """A count of 1/``scale`` units as units: 2,500 at scale 1,000 is 2.5."""
    return exact_amount(Fraction(count, scale))


def rate_text(rate: Decimal) -> str:
    """A rate exactly as the price book gives it."""
    return decimal_text(rate)


def basis_text(per: int) -> str:
    """What a rate is for: ``per million``, ``each``, or ``per 1,000``."""
    return {1: "each", 1_000_000: "per million"}.get(per) or f"per{NBSP}{per:,}"


def period_dates(period: BilledPeriod) -> str:
    """A half-open period as people write it, to its last day: ``1 Oct 2026 to 31 Oct 2026 (UTC)``.

    A side that is not a midnight in the period's zone shows its time of day.
    """
    zone = known_zone(period.zone)
    start, end = (_moment(at, zone=zone) for at in (period.start_at, period.end_at))
    last = end - timedelta(days=1) if _is_midnight(end) else end
    return f"{_day(start)} to {_day(last)} ({period.zone})"


def payment_terms(days: int) -> str:
    """When payment is due."""
    if days == 0:
        return "Payable on receipt"
    return f"{days} {'day' if days == 1 else 'days'} from the date of the invoice"


def line_ranges(lines: Sequence[int]) -> str:
    """Line numbers in short: 1, 2, 3 and 5 are ``lines 1–3, 5``."""
    ranges: list[tuple[int, int]] = []
    for line in sorted(set(lines)):
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], line)
        else:
            ranges.append((line, line))
    shown = ", ".join(f"{a}" if a == b else f"{a}–{b}" for a, b in ranges)
    return f"{'lines' if len(set(lines)) > 1 else 'line'} {shown}"


def _moment(at: int, *, zone: tzinfo) -> datetime:
    return (_EPOCH + timedelta(microseconds=at)).astimezone(zone)


def _is_midnight(moment: datetime) -> bool:
    return (moment.hour, moment.minute, moment.second, moment.microsecond) == (0, 0, 0, 0)


def _day(moment: datetime) -> str:
    shape = "d MMM y" if _is_midnight(moment) else "d MMM y HH:mm"
    return format_datetime(moment, shape, locale="en")


def _date(at: int, *, zone: tzinfo) -> str:
    return format_datetime(_moment(at, zone=zone), "d MMM y", locale="en")


def _party(party: Party) -> View:
    return {
        "name": party.name,
        "address": list(party.address),
        "tax_id": party.tax_id,
        "email": party.email,
    }


def _line(line: InvoiceLine, *, invoice: Invoice) -> View:
    return {
        "number": str(line.line),
        "description": line.description,
        "amount": money(line.amount_minor, digits=invoice.minor_digits),
        **_figures(line, invoice=invoice),
    }


def _figures(line: InvoiceLine, *, invoice: Invoice) -> View:
    if isinstance(line, UsageLine):
        return _usage(line, invoice=invoice)
    if isinstance(line, CorrectionLine):
        return _correction(line)
    return {
        "note": f"on {line_ranges(line.applies_to)}" if line.applies_to else "",
        "quantity": "",
        "rate": f"{decimal_text(line.percent)}{NBSP}%",
        "basis": "",
        "bands": [],
    }


def _correction(line: CorrectionLine) -> View:
    """What is corrected, and by how much: the rates of before and now are in its explanation."""
    before, now = exact_amount(line.invoiced_exact), exact_amount(line.rated_exact)
    return {
        "note": f"for {period_dates(line.period)}: {now} now, {before} invoiced before",
        "quantity": "" if line.quantity is None else quantity(line.quantity, scale=line.scale or 1),
        "rate": "" if line.percent is None else f"{decimal_text(line.percent)}{NBSP}%",
        "basis": "",
        "bands": [],
    }


def _usage(line: UsageLine, *, invoice: Invoice) -> View:
    only = line.bands[0] if len(line.bands) == 1 else None
    plain = only if only and not (only.when or only.flat or any(_terms(only))) else None
    return {
        "note": "",
        "quantity": quantity(line.quantity, scale=line.scale),
        "rate": rate_text(plain.rate) if plain else "",
        "basis": basis_text(plain.per) if plain else "",
        "bands": [
            _band(band, line=line, number=number, invoice=invoice)
            for number, band in enumerate(() if plain else line.bands, start=1)
        ],
    }


def _band(band: PricedBand, *, line: UsageLine, number: int, invoice: Invoice) -> View:
    label = [f"when {band.when}"] if band.when else []
    if not band.when:
        label = [f"Band {number}"] if len(line.bands) > 1 else ["With a flat amount"]
    if len(invoice.price_books) > 1:
        label.append(f"price book {band.book_number}")
    flat = f"+ {exact_amount(band.flat)}{NBSP}flat" if band.flat else ""
    return {
        "label": ", ".join(label),
        "quantity": quantity(band.quantity, scale=line.scale),
        "rate": rate_text(band.rate),
        "basis": " ".join(filter(None, [basis_text(band.per), *_terms(band), flat])),
        "amount": exact_amount(band.amount),
    }


def _terms(band: PricedBand) -> Iterator[str]:
    """Why a band's amount is not its quantity at its rate, where it is not."""
    if band.whole_packages:
        yield "(whole packages)"
    if band.capped:
        yield "(capped)"


def _totals(invoice: Invoice) -> Iterator[View]:
    """The rows between the lines and the total: label, amount and a note under them."""

    def row(label: str, *, minor: int, note: str | None = None) -> View:
        return {"label": label, "note": note, "amount": money(minor, digits=invoice.minor_digits)}

    with_tax = " (tax included)" if invoice.prices_include_tax else ""
    yield row(f"Subtotal{with_tax}", minor=invoice.usage_minor)
    if invoice.discount_minor:
        yield row(f"Discounts{with_tax}", minor=invoice.discount_minor)
    if invoice.correction_minor is not None:
        yield row(f"Corrections{with_tax}", minor=invoice.correction_minor)
    yield row("Net", minor=invoice.net_minor)
    for tax in invoice.taxes:
        on = money(tax.net_minor, digits=invoice.minor_digits)
        yield row(f"{_tax_label(tax)} on {on}", minor=tax.tax_minor, note=tax.note)
    if len(invoice.taxes) != 1:
        yield row("Total tax", minor=invoice.tax_minor)


def _tax_label(tax: TaxLine) -> str:
    return f"Tax {decimal_text(tax.rate_percent)}{NBSP}% ({TAX_CATEGORIES[tax.category]})"

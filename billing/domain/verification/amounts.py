"""Amounts of invoices: what their lines charge beside what their periods are rated at anew.

Invariant: over all invoices of a period, charges, discounts and corrections are exactly what its
usage costs under the books and the agreement known when it was last billed; in minor units they are
that, rounded once; and the tax of an invoice is that on the sum of its lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from billing.domain.agreement.agreement import TaxStatus
from billing.domain.invoice.due import Due, charge_text
from billing.domain.invoice.invoice import CorrectionLine, Invoice, InvoiceLine, TaxLine
from billing.domain.invoice.invoiced import LineKey, usage_period
from billing.domain.tax.tax import round_amount, tax_in_gross, tax_on_net
from billing.domain.verification.equations import Damage, Verified, compare, together
from pricing_rules.money import decimal_text, exact_text
from pricing_rules.period import moment_text

AccountPeriod = tuple[str, int]
"""An account and the start of one of its billing periods."""

TaxKey = tuple[str, Decimal]
"""A tax category and its percentage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedPeriod:
    """What a billing period that was invoiced comes to, rated anew: exact amounts in major units,
    and all of them together, rounded, in minor units.
    """

    account: str
    start_at: int
    currency: str
    tax: TaxStatus
    amounts: Mapping[LineKey, Fraction]
    minor: int


def rated_period(due: Due) -> RatedPeriod:
    """The amounts of what is due for a period, by what a line charges for."""
    amounts = {
        LineKey(model=one.model, service_tier=one.service_tier, unit=one.unit): one.amount
        for one in due.charges
    }
    amounts |= {LineKey(discount_id=one.discount.id): one.amount for one in due.discounts}
    return RatedPeriod(
        account=due.agreement.account,
        start_at=due.period.start_at,
        currency=due.currency.code,
        tax=due.agreement.tax,
        amounts=amounts,
        minor=round_amount(sum(due.exact, Fraction(0)), unit=due.currency),
    )


def lines_equal_rating(invoices: Iterable[Invoice], *, rated: Iterable[RatedPeriod]) -> Verified:
    """What the lines of all invoices charge for each period, corrections among them, is what it is
    rated at: exactly by unit and discount, and rounded for the period, by currency.
    """
    charged: dict[AccountPeriod, dict[LineKey, Fraction]] = {}
    posted: dict[str, dict[AccountPeriod, int]] = {}
    for invoice in invoices:
        minor = posted.setdefault(invoice.currency, {})
        for line in invoice.lines:
            period = (invoice.account, usage_period(line, invoice=invoice).start_at)
            amounts = charged.setdefault(period, {})
            key = LineKey.of(line)
            amounts[key] = amounts.get(key, Fraction(0)) + line.amount_exact
            minor[period] = minor.get(period, 0) + line.amount_minor
    now: dict[AccountPeriod, Mapping[LineKey, Fraction]] = {}
    rounded: dict[str, dict[AccountPeriod, int]] = {}
    for one in rated:
        period = (one.account, one.start_at)
        now[period] = one.amounts
        rounded.setdefault(one.currency, {})[period] = one.minor
    exact = tuple(
        damage
        for period in sorted({*charged, *now})
        for damage in _differing(period, lines=charged.get(period, {}), now=now.get(period, {}))
    )
    per_currency = (
        compare(
            posted.get(code, {}),
            right=rounded.get(code, {}),
            name=f"amounts in {code}",
            labels=("charged", "rated anew"),
            kind="amount",
            where=_period_text,
        )
        for code in sorted({*posted, *rounded})
    )
    return together((*per_currency, Verified(damage=exact)))


def taxes_as_computed(invoices: Iterable[Invoice], *, rated: Iterable[RatedPeriod]) -> Verified:
    """The net and the tax of each category are those of the sum of its lines, and each line is
    taxed as the agreement of its period says.
    """
    agreed = {(one.account, one.start_at): one.tax for one in rated}
    found: list[Damage] = []
    for invoice in invoices:
        where = f"invoice {invoice.number} of {invoice.issuer.name}"
        sums: dict[TaxKey, int] = {}
        for line in invoice.lines:
            key = _tax_of(line, invoice=invoice)
            sums[key] = sums.get(key, 0) + line.amount_minor
            tax = agreed.get((invoice.account, usage_period(line, invoice=invoice).start_at))
            if tax is not None and key != (due := _tax_key(tax)):
                sentence = f"is taxed as {_tax_text(key)}, and its agreement says {_tax_text(due)}"
                found.append(
                    Damage(kind="tax", where=f"{where}, line {line.line}", sentence=sentence)
                )
        found += _tax_damage(invoice, sums=sums, where=where)
    return Verified(damage=tuple(found))


def _differing(
    period: AccountPeriod, *, lines: Mapping[LineKey, Fraction], now: Mapping[LineKey, Fraction]
) -> Iterator[Damage]:
    for key in sorted({*lines, *now}):
        charged, rated = lines.get(key, Fraction(0)), now.get(key, Fraction(0))
        if charged != rated:
            about = (
                f"discount {key.discount_id}"
                if key.discount_id
                else charge_text(model=key.model, service_tier=key.service_tier, unit=key.unit)
            )
            yield Damage(
                kind="amount",
                where=f"{_period_text(period)}, {about}",
                sentence=f"lines charge {exact_text(charged)}, and rated anew it is "
                f"{exact_text(rated)}",
            )


def _tax_damage(invoice: Invoice, *, sums: Mapping[TaxKey, int], where: str) -> Iterator[Damage]:
    compute = tax_in_gross if invoice.prices_include_tax else tax_on_net
    for tax in invoice.taxes:
        key = _tax_key(tax)
        computed = compute(sums.get(key, 0), rate_percent=tax.rate_percent)
        if (tax.net_minor, tax.tax_minor) != (computed.net_minor, computed.tax_minor):
            sentence = (
                f"net {tax.net_minor:,} and tax {tax.tax_minor:,} of {_tax_text(key)} are not the "
                f"net {computed.net_minor:,} and tax {computed.tax_minor:,} of its lines"
            )
            yield Damage(kind="tax", where=where, sentence=sentence)


def _tax_of(line: InvoiceLine, *, invoice: Invoice) -> TaxKey:
    """How a line is taxed; the first category of an invoice is that of its own period."""
    if isinstance(line, CorrectionLine):
        return line.tax_category, line.tax_rate_percent
    return _tax_key(invoice.taxes[0]) if invoice.taxes else ("", Decimal(0))


def _tax_key(tax: TaxStatus | TaxLine) -> TaxKey:
    return tax.category, tax.rate_percent


def _tax_text(key: TaxKey) -> str:
    return f"{key[0]} {decimal_text(key[1])} %"


def _period_text(period: AccountPeriod) -> str:
    return f"account {period[0]}, period from {moment_text(period[1])}"

"""What the agreements of accounts take off charges, and what they press under a floor, for reviews.

Invariant: an account is reviewed under the version that is in effect when the period starts, and a
version that takes effect inside of it is named, never mixed in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.discounts import apply_discounts, rates_under_floor
from billing.domain.charging.elsewhere import served_elsewhere
from pricing_rules.document import DocumentError
from pricing_rules.period import Period, moment_text
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Charge
from pricing_rules.usage.totals import UsageTotal

ChargeKey = tuple[str, str, str, str]
"""Account, model, service tier and unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedOff:
    """The share that discounts take off each charge, and sentences that a person must know."""

    shares: dict[ChargeKey, Fraction]
    findings: tuple[str, ...]


def agreed_off(
    charges: Iterable[Charge],
    *,
    totals: Sequence[UsageTotal],
    agreements: Iterable[Agreement],
    books: BooksInForce,
    period: Period,
) -> AgreedOff:
    """What agreements take off the charges of a period.

    Findings: rates that were charged under their floor after discounts, usage that was served
    elsewhere than agreed, and versions that take effect inside the period. DocumentError where an
    agreement follows another series or currency, and for two agreements of one account and version.
    """
    versions = _by_account(agreements, books=books)
    by_account: dict[str, list[Charge]] = defaultdict(list)
    for charge in charges:
        by_account[charge.account].append(charge)
    shares: dict[ChargeKey, Fraction] = {}
    findings: list[str] = []
    for account, known in sorted(versions.items()):
        findings += (
            f"version {one.version} of the agreement of {account} takes effect at "
            f"{moment_text(one.effective_from)}, inside the period: it counts from the next one on"
            for one in known
            if period.start_at < one.effective_from < period.end_at
        )
        begun = [one for one in known if one.effective_from <= period.start_at]
        if not begun:
            continue
        newest = max(begun, key=lambda one: (one.effective_from, one.version))
        agreement = newest.in_month_of(period.start_at)
        own = by_account[account]
        for discounted in apply_discounts(own, agreement=agreement):
            for i in discounted.covered:
                charge = own[i]
                key = (account, charge.model, charge.service_tier, charge.unit)
                share = Fraction(discounted.discount.percent) / 100
                shares[key] = shares.get(key, Fraction(0)) + share
        findings += (
            f"{account}: {under.sentence()}"
            for under in rates_under_floor(own, agreement=agreement, books=books)
            if shares.get((account, under.model, under.service_tier, under.unit))
        )
        findings += served_elsewhere(totals, agreement=agreement)
    return AgreedOff(shares=shares, findings=tuple(findings))


def _by_account(
    agreements: Iterable[Agreement], *, books: BooksInForce
) -> dict[str, list[Agreement]]:
    found: dict[str, list[Agreement]] = {}
    series = books.books[0].series
    for one in agreements:
        where = f"agreement of {one.account}"
        if (one.series, one.currency) != (series, books.currency):
            raise DocumentError(
                where,
                f"follows {one.series} in {one.currency}, and the price book is {series} in "
                f"{books.currency}; review it with the books of its series",
            )
        known = found.setdefault(one.account, [])
        if any(other.version == one.version for other in known):
            raise DocumentError(where, f"version {one.version} stands twice; keep one")
        known.append(one)
    return found

"""The pricing review: one period of usage beside floors, market, pools and the period before.

Invariant: every figure follows from the documents and the usage that are given, at the moment that
is given; what cannot be compared says why, and is never shown as no change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pricing_rules.document import DocumentError
from pricing_rules.money import Currency, currency
from pricing_rules.period import Period
from pricing_rules.planning.account_margins import (
    AccountMargin,
    AccountMargins,
    account_margins,
    add_units,
)
from pricing_rules.planning.attention import (
    EndingOverride,
    StaleCost,
    ending_overrides,
    open_findings,
    stale_costs,
)
from pricing_rules.planning.cause import Cause, cause_of
from pricing_rules.planning.pool_use import (
    CardUse,
    PoolHours,
    PoolUse,
    card_uses,
    period_cost,
    pool_uses,
)
from pricing_rules.planning.rate_room import RateRoom, rate_rooms
from pricing_rules.planning.subsidy_use import SubsidyUses, subsidy_uses
from pricing_rules.planning.unit_takings import (
    PeriodTakings,
    UnitKey,
    UnitTakings,
    period_takings,
)
from pricing_rules.planning.variance import CostVariance, cost_variance
from pricing_rules.prices.price_book import BooksInForce, PriceBook
from pricing_rules.prices.provenance import Finding
from pricing_rules.prices.rating import Charge, Unpriced
from pricing_rules.rules.market import Market
from pricing_rules.rules.policy import Policy
from pricing_rules.usage.totals import BILLABLE_OUTCOMES, UsageTotal

WORST_ACCOUNTS = 20
"""How many accounts a review names with the cause of their margin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedPeriod:
    """The usage of a period, what it is charged, and the hours of the pools that served it.

    ``off_shares``: what discounts take off a charge, as a share of it.
    """

    period: Period
    totals: Sequence[UsageTotal]
    charges: Sequence[Charge]
    unpriced: Sequence[Unpriced]
    off_shares: dict[UnitKey, Fraction]
    pools: tuple[PoolHours, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedAccount:
    """An account with its tokens by the unit of their floor, and why its margin is what it is."""

    margin: AccountMargin
    tokens: dict[str, int]
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolVariance:
    """Why the cost of a token changed in one pool, or in all of them (``pool`` is None).

    ``reason``: why nothing can be said.
    """

    pool: str | None
    variance: CostVariance | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PricingReview:
    """A review at the moment ``at``: rates, pools, accounts, the period before, and what needs a
    person.

    ``takings`` are all of the period's. ``worst``: the worst accounts of ``margins``.
    """

    currency: Currency
    at: int
    book: PriceBook
    period: Period
    before_period: Period
    takings: UnitTakings
    before_takings: UnitTakings
    rates: tuple[RateRoom, ...]
    pools: tuple[PoolUse, ...]
    cards: tuple[CardUse, ...]
    margins: AccountMargins
    worst: tuple[ReviewedAccount, ...]
    variances: tuple[PoolVariance, ...]
    subsidies: SubsidyUses | None
    overrides: tuple[EndingOverride, ...]
    stale: tuple[StaleCost, ...]
    findings: tuple[Finding, ...]
    unpriced: tuple[Unpriced, ...]


def pricing_review(
    used: UsedPeriod,
    *,
    before: UsedPeriod,
    books: BooksInForce,
    previous: PriceBook | None,
    markets: Sequence[Market],
    policy: Policy | None,
    at: int,
    stale_days: int,
) -> PricingReview:
    """Review the usage of a period under its books, beside the period before.

    The rates are those of the book in force at the end of the period; ``previous`` is the book that
    they are compared with. DocumentError where no book is in force by then, where a pool of its
    cards has no hours, and where a policy or a market is in another currency.
    """
    book = books.at(used.period.end_at - 1)
    if book is None:
        raise DocumentError(
            "price books", f"none is in force in {used.period.text()}; give the one that was"
        )
    _check_currencies(book, policy=policy, markets=markets)
    found, old = (_takings(one, books=books) for one in (used, before))
    cards = card_uses(found, book=book, books=books)
    _check_pools(cards, pools=used.pools)
    margins = account_margins(found.units)
    return PricingReview(
        currency=currency(book.currency),
        at=at,
        book=book,
        period=used.period,
        before_period=before.period,
        takings=add_units(found.units.values()),
        before_takings=add_units(old.units.values()),
        rates=rate_rooms(book, previous=previous, markets=markets),
        pools=pool_uses(cards, pools=used.pools),
        cards=cards,
        margins=margins,
        worst=tuple(
            ReviewedAccount(
                margin=one,
                tokens=dict(found.tokens.get(one.account, {})),
                cause=cause_of(one, among=margins, charges=used.charges),
            )
            for one in margins.accounts[:WORST_ACCOUNTS]
        ),
        variances=tuple(_variances(found, old=old, used=used, before=before)),
        subsidies=(
            subsidy_uses(used.charges, books=books, policy=policy, period=used.period)
            if policy
            else None
        ),
        overrides=ending_overrides(book, at=at),
        stale=stale_costs(book, at=at, age_days=stale_days),
        findings=open_findings(book, at=at),
        unpriced=tuple(used.unpriced),
    )


def _takings(used: UsedPeriod, *, books: BooksInForce) -> PeriodTakings:
    return period_takings(
        (total for total in used.totals if BILLABLE_OUTCOMES[total.cell.outcome]),
        charges=used.charges,
        books=books,
        off_shares=used.off_shares,
    )


def _variances(
    found: PeriodTakings, *, old: PeriodTakings, used: UsedPeriod, before: UsedPeriod
) -> Iterator[PoolVariance]:
    """That of all pools together, then that of each pool, where there are several."""
    names = sorted({pool.name for pool in used.pools})
    for scope in (None, *(names if len(names) > 1 else ())):
        costs = [
            period_cost([pool for pool in one.pools if scope in (None, pool.name)], uses=uses)
            for one, uses in ((before, old.uses), (used, found.uses))
        ]
        try:
            yield PoolVariance(
                pool=scope, variance=cost_variance(costs[0], after=costs[1]), reason=None
            )
        except DocumentError as error:
            yield PoolVariance(pool=scope, variance=None, reason=str(error))


def _check_pools(cards: Sequence[CardUse], *, pools: Sequence[PoolHours]) -> None:
    names = [pool.name for pool in pools]
    for card in cards:
        if card.pool not in names:
            raise DocumentError(
                "factory",
                f"has no pool {card.pool}, which serves {card.model} in {card.service_tier} by the "
                f"price book; it has {', '.join(names)}",
            )


def _check_currencies(book: PriceBook, *, policy: Policy | None, markets: Sequence[Market]) -> None:
    if policy is not None and (policy.series, policy.currency) != (book.series, book.currency):
        raise DocumentError(
            "policy",
            f"makes {policy.series} in {policy.currency}, and the price book is {book.series} in "
            f"{book.currency}; give the policy of that series",
        )
    for market in markets:
        if market.currency != book.currency:
            raise DocumentError(
                f"market of {market.source}",
                f"is in {market.currency}, and the price book in {book.currency}; convert it",
            )

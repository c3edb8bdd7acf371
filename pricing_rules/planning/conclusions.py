"""What a pricing review says in a few sentences, the most important first.

Invariant: each sentence counts what the review lists, and nothing that the review lists as wrong is
left without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from pricing_rules.money import Currency, amount_text
from pricing_rules.planning.gates import percent_text
from pricing_rules.planning.review import PricingReview
from pricing_rules.planning.variance import EFFECTS, CostVariance
from pricing_rules.usage.units import UNITS

_MTOK = 1_000_000


def conclusions(review: PricingReview) -> tuple[str, ...]:
    """The sentences that stand on top of a review."""
    return tuple(
        f"{sentence[:1].upper()}{sentence[1:]}."
        for part in (_rates, _subsidies, _accounts, _cards, _pools, _cost, _usage, _book)
        for sentence in part(review)
    )


def count_text(count: int, *, one: str, many: str) -> str:
    """``no rate``, ``1 rate`` or ``3 rates``."""
    return f"no {one}" if count == 0 else f"{count:,} {one if count == 1 else many}"


def _rates(review: PricingReview) -> Iterator[str]:
    under = [rate for rate in review.rates if rate.is_under_floor]
    floored = [rate for rate in review.rates if rate.floor is not None]
    if not floored:
        yield "no rate has a measured cost, so none can be held against a floor"
        return
    worst = floored[0]
    share = worst.room_share
    by = "" if share is None else f", by {percent_text(abs(share))}"
    if under:
        verb = "is" if len(under) == 1 else "are"
        its = "its floor" if len(under) == 1 else "their floor"
        of = f"{count_text(len(under), one='rate', many='rates')} of {len(floored):,}"
        yield f"{of} {verb} under {its}, the furthest {worst.about}{by}"
    elif share is not None:
        yield f"no rate is under its floor; the least room is {percent_text(share)} ({worst.about})"
    else:
        yield "no rate is under its floor"
    dearer = sum((rate.under_market_share or 0) < 0 for rate in review.rates)
    compared = sum(rate.under_market_share is not None for rate in review.rates)
    if compared:
        yield f"{dearer:,} of {compared:,} rates are over the lowest offer of the market"


def _accounts(review: PricingReview) -> Iterator[str]:
    losing = [one for one in review.margins.accounts if one.takings.margin < 0]
    known = len(review.margins.accounts)
    total = review.margins.takings
    margin = f"the margin is {percent_text(total.margin_share)}"
    if not known:
        yield "no usage has a measured cost, so no margin is known"
    elif losing:
        lost = sum((one.takings.margin for one in losing), Fraction(0))
        verb = "loses" if len(losing) == 1 else "lose"
        first = losing[0].account
        most = "" if len(losing) == 1 else f", {first} the most"
        named = f" ({first})" if len(losing) == 1 else ""
        yield (
            f"{count_text(len(losing), one='account', many='accounts')} of {known:,}{named} {verb} "
            f"{_money(-lost, review)} at the stated utilization{most}; over all {margin}"
        )
    else:
        yield f"no account of {known:,} loses money at the stated utilization; over all {margin}"


def _cards(review: PricingReview) -> Iterator[str]:
    losing = [one for one in review.cards if one.takings.margin < 0]
    if losing:
        worst = min(losing, key=lambda one: one.takings.margin)
        noun = count_text(len(losing), one="rate card loses", many="rate cards lose")
        yield (
            f"{noun} money at the stated utilization, most of it {worst.model} in "
            f"{worst.service_tier} with {_money(worst.takings.margin, review)}"
        )


def _pools(review: PricingReview) -> Iterator[str]:
    for pool in review.pools:
        needed = pool.takings.break_even_utilization
        used = percent_text(pool.utilization)
        leaves = f"its hours leave {_money(pool.result, review)}"
        if pool.utilization > 1:
            yield (
                f"pool {pool.hours.name} served {used} of its available hours by the fit: its "
                "accelerators or its fit are not those that served"
            )
        elif not pool.used_hours:
            yield f"pool {pool.hours.name} served nothing; {leaves}"
        elif needed is None:
            yield f"pool {pool.hours.name} does not earn its variable cost; {leaves}"
        else:
            verb = "under" if pool.utilization < needed else "at or over"
            yield (
                f"pool {pool.hours.name} is used to {used}, {verb} the {percent_text(needed)} at "
                f"which this usage pays for it; {leaves}"
            )


def _cost(review: PricingReview) -> Iterator[str]:
    first = review.variances[0]
    if first.variance is None:
        yield f"the cost of a token is not compared with the period before: {first.reason}"
        return
    found = first.variance
    more = "more" if found.change > 0 else "less"
    now = amount_text(found.after * _MTOK, unit=review.currency)
    if not found.change:
        yield f"a million tokens cost {now} {review.currency.code}, as in the period before"
        return
    by = amount_text(abs(found.change) * _MTOK, unit=review.currency)
    yield (
        f"a million tokens cost {now} {review.currency.code}, {by} {more} than in the period "
        f"before, most of it by {_largest(found)}"
    )


def _largest(found: CostVariance) -> str:
    """The effect that moves the cost most in the direction in which it moved."""
    sign = 1 if found.change > 0 else -1
    return max(EFFECTS, key=lambda name: sign * getattr(found, name))


def _usage(review: PricingReview) -> Iterator[str]:
    if review.unpriced:
        first = review.unpriced[0]
        quantity = Fraction(first.quantity, UNITS[first.unit].scale)
        yield (
            f"{count_text(len(review.unpriced), one='count is', many='counts are')} unpriced, the "
            f"first {float(quantity):,.0f} {first.unit} of {first.account}"
        )


def _book(review: PricingReview) -> Iterator[str]:
    ended = sum(one.has_ended for one in review.overrides)
    ending = len(review.overrides) - ended
    if ended:
        yield f"{count_text(ended, one='override has', many='overrides have')} ended"
    if ending:
        yield f"{count_text(ending, one='override ends', many='overrides end')} within 30 days"
    if review.stale:
        cards = count_text(len(review.stale), one="card rests", many="cards rest")
        yield f"{cards} on stale or undated measurements"
    if review.findings:
        found = count_text(len(review.findings), one="finding", many="findings")
        yield f"{found} of price book {review.book.number} without a sign-off that holds"


def _subsidies(review: PricingReview) -> Iterator[str]:
    if review.subsidies is None:
        return
    over = [
        one.subsidy.id
        for one in review.subsidies.subsidies
        if one.used_share is not None and one.used_share > 1
    ]
    if over:
        noun = count_text(len(over), one="subsidy runs", many="subsidies run")
        yield f"{noun} over budget: {', '.join(over)}"
    if review.subsidies.uncovered:
        yield (
            f"usage was charged {_money(review.subsidies.uncovered, review)} under its floors that "
            "no subsidy covers"
        )


def _money(amount: Fraction, review: PricingReview) -> str:
    unit: Currency = review.currency
    return f"{amount_text(amount, unit=unit)} {unit.code}"

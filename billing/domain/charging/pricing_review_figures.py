"""From a pricing review to its document: each figure where it stands.

Invariant: nothing is computed here but the shortening of ratios; a figure that the review lacks is
absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.domain.charging.backtest_report import RefusedInFile, UnpricedRecord
from billing.domain.charging.pricing_review import (
    AccountFigures,
    CardFigures,
    EffectFigures,
    FindingFigures,
    OverrideFigures,
    PoolFigures,
    PricingReviewReport,
    RateFigures,
    ReviewInput,
    StaleFigures,
    SubsidyFigures,
    TakingsFigures,
    VarianceFigures,
)
from billing.domain.charging.records import BookUsed
from billing.domain.charging.report import EventCounts
from pricing_rules.period import moment_text
from pricing_rules.planning.attention import EndingOverride, StaleCost
from pricing_rules.planning.cause import nine_digits
from pricing_rules.planning.conclusions import conclusions
from pricing_rules.planning.pool_use import CardUse, PoolUse
from pricing_rules.planning.rate_room import RateRoom
from pricing_rules.planning.review import PoolVariance, PricingReview, ReviewedAccount
from pricing_rules.planning.subsidy_use import SubsidyUse
from pricing_rules.planning.unit_takings import UnitTakings
from pricing_rules.prices.rating import Unpriced
from pricing_rules.usage.units import UNITS

_MTOK = 1_000_000

BASIS = (
    "Cost: what the floors of the rate cards rest on, unit cost / utilization + variable cost, "
    "without margin and revenue share. Usage without a measured cost is in no cost, margin or "
    "costed revenue.",
    "Revenue: charges at the rates of the books, less the percentages that agreements take off. "
    "Each period is charged by itself: ladders begin with it.",
    "Used hours: tokens times the accelerator-seconds per token of the cards' shape fits, over the "
    "hardware of the pool by its shares.",
    "Cost per token and its variance: what the available hours of the pools cost, over the tokens "
    "that they served. The effects replace one factor after the other: spend, utilization, mix, "
    "efficiency.",
    "Causes: an account's costed revenue beside what its cost would bring on the average of all "
    "accounts: the rates that it meets, the units and the cards that it uses, its discounts.",
)
"""What the figures of a review mean."""


def report_review(
    review: PricingReview,
    *,
    findings: Sequence[str],
    stale_days: int,
    events: EventCounts,
    inputs: tuple[ReviewInput, ...],
    refused: tuple[RefusedInFile, ...],
) -> PricingReviewReport:
    """The document of a review; ``findings``: what agreements say of the usage."""
    return PricingReviewReport(
        schema="tokenworks.pricing-review/1",
        currency=review.currency.code,
        reviewed_at=moment_text(review.at),
        period=review.period.text(),
        period_before=review.before_period.text(),
        price_book=BookUsed.of(review.book),
        conclusions=conclusions(review),
        total=TakingsFigures(**_takings(review.takings)),
        total_before=TakingsFigures(**_takings(review.before_takings)),
        rates=tuple(map(_rate, review.rates)),
        pools=tuple(map(_pool, review.pools)),
        rate_cards=tuple(map(_card, review.cards)),
        accounts=tuple(_account(one, of=review.margins.takings) for one in review.worst),
        accounts_costed=len(review.margins.accounts),
        accounts_losing=sum(one.takings.margin < 0 for one in review.margins.accounts),
        variance=tuple(map(_variance, review.variances)),
        subsidies=tuple(
            _subsidy(one, at=review.at)
            for one in (review.subsidies.subsidies if review.subsidies else ())
        ),
        subsidies_uncovered=review.subsidies.uncovered if review.subsidies else None,
        overrides=tuple(map(_override, review.overrides)),
        stale=tuple(map(_stale, review.stale)),
        stale_days=stale_days,
        findings=(
            *(FindingFigures(found_in="agreement", sentence=one) for one in findings),
            *(
                FindingFigures(found_in="price book", sentence=one.sentence)
                for one in review.findings
            ),
        ),
        unpriced=tuple(map(_unpriced, review.unpriced)),
        events=events,
        inputs=inputs,
        basis=BASIS,
        refused=refused,
    )


def _takings(takings: UnitTakings) -> dict[str, Any]:
    return {
        "revenue": takings.revenue,
        "costed_revenue": takings.costed_revenue,
        "taken_off": takings.taken_off,
        "cost": takings.cost_exact,
        "floor": takings.floor,
        "margin": takings.margin,
        "margin_share": nine_digits(takings.margin_share),
    }


def _rate(one: RateRoom) -> RateFigures:
    lowest, median, floor = one.lowest_offer, one.median_offer, one.floor
    return RateFigures(
        model=one.model,
        service_tier=one.service_tier,
        unit=one.unit,
        when=one.when,
        rate=one.rate,
        before=one.before,
        floor=floor.floor if floor else None,
        floor_kind=floor.kind if floor else None,
        room=one.room,
        room_share=nine_digits(one.room_share),
        break_even_utilization=nine_digits(one.break_even_utilization),
        stated_utilization=floor.utilization if floor else None,
        lowest_offer=lowest.rate if lowest else None,
        lowest_offer_by=lowest.offers if lowest else None,
        median_offer=median.rate if median else None,
        under_market_share=nine_digits(one.under_market_share),
    )


def _pool(one: PoolUse) -> PoolFigures:
    hours, takings = one.hours, one.takings
    return PoolFigures(
        **_takings(takings),
        pool=hours.name,
        accelerators=hours.accelerators,
        available_hours=_ratio(hours.available_hours),
        used_hours=_ratio(one.used_hours),
        utilization=_ratio(one.utilization),
        stated_utilization=nine_digits(one.stated_utilization),
        break_even_utilization=nine_digits(takings.break_even_utilization),
        spend=hours.spend,
        fees=takings.fees,
        variable=takings.variable,
        result=one.result,
        revenue_per_hour=_ratio(one.revenue_per_hour),
        facility_mwh=nine_digits(hours.facility_mwh),
        revenue_per_mwh=nine_digits(one.revenue_per_mwh),
        hours_source=hours.source,
    )


def _card(one: CardUse) -> CardFigures:
    return CardFigures(
        **_takings(one.takings),
        pool=one.pool,
        model=one.model,
        service_tier=one.service_tier,
        used_hours=_ratio(one.used_hours),
        stated_utilization=nine_digits(one.stated_utilization),
        break_even_utilization=nine_digits(one.takings.break_even_utilization),
    )


def _account(one: ReviewedAccount, *, of: UnitTakings) -> AccountFigures:
    takings = one.margin.takings
    average = of.costed_revenue / of.cost_exact if of.cost_exact else Fraction(0)
    return AccountFigures(
        **_takings(takings),
        account=one.margin.account,
        tokens=dict(sorted(one.tokens.items())),
        cause_kind=one.cause.kind,
        cause=one.cause.sentence,
        against_average=takings.costed_revenue - takings.cost_exact * average,
        effects=tuple(
            EffectFigures(
                kind=effect.kind,
                model=effect.about[0] if effect.about else None,
                service_tier=effect.about[1] if effect.about else None,
                unit=effect.about[2] if len(effect.about) > 2 else None,
                amount=effect.amount,
            )
            for effect in one.margin.effects
        ),
    )


def _variance(one: PoolVariance) -> VarianceFigures:
    found = one.variance
    if found is None:
        return VarianceFigures(pool=one.pool, reason=one.reason)
    return VarianceFigures(
        pool=one.pool,
        before_per_mtok=found.before * _MTOK,
        after_per_mtok=found.after * _MTOK,
        change=found.change * _MTOK,
        spend=found.spend * _MTOK,
        utilization=found.utilization * _MTOK,
        mix=found.mix * _MTOK,
        efficiency=found.efficiency * _MTOK,
        tokens=found.tokens,
    )


def _subsidy(one: SubsidyUse, *, at: int) -> SubsidyFigures:
    subsidy = one.subsidy
    return SubsidyFigures(
        id=subsidy.id,
        owner=subsidy.owner,
        reason=subsidy.reason,
        ends_at=moment_text(subsidy.ends_at),
        has_ended=subsidy.ends_at <= at,
        paid=one.paid,
        budget=one.budget,
        used_share=nine_digits(one.used_share),
    )


def _override(one: EndingOverride) -> OverrideFigures:
    return OverrideFigures(
        finding=one.sign_off.finding,
        by=one.sign_off.by,
        reason=one.sign_off.reason,
        ends_at=moment_text(one.ends_at),
        has_ended=one.has_ended,
    )


def _stale(one: StaleCost) -> StaleFigures:
    return StaleFigures(
        model=one.model,
        service_tier=one.service_tier,
        oldest_date=one.oldest_date,
        age_days=one.age_days,
    )


def _unpriced(one: Unpriced) -> UnpricedRecord:
    return UnpricedRecord(
        account=one.account,
        model=one.model,
        service_tier=one.service_tier,
        unit=one.unit,
        quantity=one.quantity,
        scale=UNITS[one.unit].scale,
        events=one.events,
        reason=one.reason,
    )


def _ratio(exact: Fraction) -> Decimal:
    found = nine_digits(exact)
    assert found is not None, "a figure that is there stays there"
    return found

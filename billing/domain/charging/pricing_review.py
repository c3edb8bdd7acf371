"""A pricing review as a document (``tokenworks.pricing-review/1``), as `pricing review` prints it.

Invariant: amounts are exact and the figures that add up in the review add up here; ratios have 9
significant digits.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator

from billing.domain.charging.backtest_report import RefusedInFile, UnpricedRecord
from billing.domain.charging.records import BookUsed, Count, ExactText
from billing.domain.charging.report import EventCounts
from pricing_rules.document import Document, Name, Text
from pricing_rules.money import AmountText, CurrencyCode, RateText

Ratio = AmountText
"""A share, a utilization or an amount per hour, to 9 significant digits."""


class ReviewInput(Document):
    """A file that the review rests on: what it is, its name, and the SHA-256 of its bytes."""

    role: Literal[
        "price book", "previous book", "usage", "usage before", "market", "factory",
        "factory before", "policy", "agreement",
    ]  # fmt: skip
    name: Text
    sha256: Name


class TakingsFigures(Document):
    """What usage brings and costs.

    ``revenue`` is after discounts, ``costed_revenue`` the part of it whose usage has a measured
    cost, ``taken_off`` what discounts took off that part, ``cost`` that at the stated utilization.
    """

    revenue: ExactText
    costed_revenue: ExactText
    taken_off: ExactText
    cost: ExactText
    floor: ExactText
    margin: ExactText
    margin_share: Ratio | None = None

    @model_validator(mode="after")
    def _is_margin(self) -> TakingsFigures:
        if self.margin != self.costed_revenue - self.cost:
            raise ValueError("margin is not costed_revenue - cost")
        return self


class RateFigures(Document):
    """One rate per million units at the lowest that usage may meet, the least room first.

    ``room``: over the floor, ``room_share`` of the floor. ``break_even_utilization``: at which the
    rate is its floor without a margin; absent without a floor, and where it never pays.
    ``before``: the rate of the book before.
    """

    model: Name
    service_tier: Name
    unit: Name
    when: Text | Literal[""]
    rate: ExactText
    before: ExactText | None = None
    floor: RateText | None = None
    floor_kind: Name | None = None
    room: ExactText | None = None
    room_share: Ratio | None = None
    break_even_utilization: Ratio | None = None
    stated_utilization: RateText | None = None
    lowest_offer: ExactText | None = None
    lowest_offer_by: Text | None = None
    median_offer: ExactText | None = None
    under_market_share: Ratio | None = None


class PoolFigures(TakingsFigures):
    """One pool: its hours, what they cost and brought. ``result``: costed revenue less fees,
    variable cost and all hours. Hours are accelerator-hours; ``_per_hour`` is of the available
    ones, used or not.
    """

    pool: Name
    accelerators: Count
    available_hours: Ratio
    used_hours: Ratio
    utilization: Ratio
    stated_utilization: Ratio | None = None
    break_even_utilization: Ratio | None = None
    spend: ExactText
    fees: ExactText
    variable: ExactText
    result: ExactText
    revenue_per_hour: Ratio
    facility_mwh: Ratio | None = None
    revenue_per_mwh: Ratio | None = None
    hours_source: Text


class CardFigures(TakingsFigures):
    """One model in one service tier."""

    pool: Name
    model: Name
    service_tier: Name
    used_hours: Ratio
    stated_utilization: Ratio | None = None
    break_even_utilization: Ratio | None = None


class EffectFigures(Document):
    """How much more than the average something leaves an account: the rates that it meets, the
    units of a card or the cards that it uses, its discounts; negative where it is less.
    """

    kind: Literal["rates", "units", "cards", "discounts"]
    model: Name | None = None
    service_tier: Name | None = None
    unit: Name | None = None
    amount: ExactText


class AccountFigures(TakingsFigures):
    """One account. ``against_average``: its costed revenue less what its cost would bring on the
    average of all accounts; its effects add up to that. ``tokens``: by the unit of their floor.
    """

    account: Name
    tokens: dict[Name, Count]
    cause_kind: Name
    cause: Text
    against_average: ExactText
    effects: tuple[EffectFigures, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> AccountFigures:
        if sum((one.amount for one in self.effects), Fraction(0)) != self.against_average:
            raise ValueError("the effects do not add up to against_average")
        return self


class VarianceFigures(Document):
    """Why a million tokens cost more or less than in the period before, in all pools or in one.

    The four effects are per million tokens and add up to ``change``; times ``tokens`` of the period
    they are money. Without them ``reason`` says why.
    """

    pool: Name | None = None
    reason: Text | None = None
    before_per_mtok: ExactText | None = None
    after_per_mtok: ExactText | None = None
    change: ExactText = Fraction(0)
    spend: ExactText = Fraction(0)
    utilization: ExactText = Fraction(0)
    mix: ExactText = Fraction(0)
    efficiency: ExactText = Fraction(0)
    tokens: Count = 0

    @model_validator(mode="after")
    def _adds_up(self) -> VarianceFigures:
        if self.change != self.spend + self.utilization + self.mix + self.efficiency:
            raise ValueError("the four effects do not add up to the change")
        return self


class SubsidyFigures(Document):
    """A subsidy: what it paid in the period, and its budget over as long a time."""

    id: Name
    owner: Name
    reason: Text
    ends_at: Text
    has_ended: bool
    paid: ExactText | None = None
    budget: ExactText
    used_share: Ratio | None = None


class OverrideFigures(Document):
    """A sign-off that has ended or ends within 30 days."""

    finding: Name
    by: Name
    reason: Text
    ends_at: Text
    has_ended: bool


class StaleFigures(Document):
    """A card that rests on a measurement of ``oldest_date``, or on one without a date."""

    model: Name
    service_tier: Name
    oldest_date: Name | None = None
    age_days: int | None = None


class FindingFigures(Document):
    """Something that a person must know: where it was found, and a sentence."""

    found_in: Literal["price book", "usage", "agreement"]
    sentence: Text


class PricingReviewReport(Document):
    """The weekly pack. Amounts are in ``currency``; ``conclusions`` stand on top.

    ``accounts`` are the worst by margin of the ``accounts_costed``, of which ``accounts_losing``
    have a margin under zero.
    """

    schema_: Literal["tokenworks.pricing-review/1"] = Field(alias="schema")
    currency: CurrencyCode
    reviewed_at: Text
    period: Text
    period_before: Text
    price_book: BookUsed
    conclusions: tuple[Text, ...]
    total: TakingsFigures
    total_before: TakingsFigures
    rates: tuple[RateFigures, ...]
    pools: tuple[PoolFigures, ...]
    rate_cards: tuple[CardFigures, ...]
    accounts: tuple[AccountFigures, ...]
    accounts_costed: Count
    accounts_losing: Count
    variance: Annotated[tuple[VarianceFigures, ...], Field(min_length=1)]
    subsidies: tuple[SubsidyFigures, ...]
    subsidies_uncovered: ExactText | None = None
    overrides: tuple[OverrideFigures, ...]
    stale: tuple[StaleFigures, ...]
    stale_days: Count
    findings: tuple[FindingFigures, ...]
    unpriced: tuple[UnpricedRecord, ...]
    events: EventCounts
    inputs: tuple[ReviewInput, ...]
    basis: tuple[Text, ...]
    refused: tuple[RefusedInFile, ...]

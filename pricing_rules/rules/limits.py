"""What a policy holds a book to beside its floors: guard rails, and subsidies for what lies under
them.

Invariant: no limit changes a rate; each says what breaks it, and a subsidy says who pays, how much
and until when.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import AfterValidator, PositiveInt, model_validator

from pricing_rules.cost.unit_cost import TokenUnit
from pricing_rules.document import Document, Name, Text
from pricing_rules.money import RateText, decimal_text, scaled_text
from pricing_rules.period import MomentText, moment_text
from pricing_rules.rules.conditions import Condition


def _above_zero(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError(f'must be above 0, not "{value}"')
    return value


class LargestChange(Document):
    """By how much one revision may change a rate: a share of what it was, up or down.

    ``units``: none named means every unit that no other entry names.
    """

    units: tuple[TokenUnit, ...] = ()
    share: RateText


class GuardRails(Document):
    """What a book is checked against beside its floors: a breach is a finding, no changed rate.

    Always checked: cached input is not dearer than input, and a faster service tier not cheaper
    than a slower one.

    - ``measurement_age_days_at_most``, ``market_age_days_at_most``: what is older, counted to
      ``effective_from``, is a finding.
    - ``largest_change``: against the book before.
    - ``service_tier_spread_at_least``: a share by which a rate lies over the same rate of the next
      slower service tier.
    - ``notice_days_at_least``: from the publishing of a book that follows another to its
      ``effective_from``; checked when it is published.
    """

    measurement_age_days_at_most: PositiveInt | None = None
    market_age_days_at_most: PositiveInt | None = None
    largest_change: tuple[LargestChange, ...] = ()
    service_tier_spread_at_least: RateText | None = None
    notice_days_at_least: PositiveInt | None = None

    @model_validator(mode="after")
    def _one_change_each(self) -> GuardRails:
        seen: set[str] = set()
        for one in self.largest_change:
            for unit in one.units or ("every unit",):
                if unit in seen:
                    raise ValueError(f"largest_change names {unit} twice; keep one")
                seen.add(unit)
        return self

    def change_at_most(self, unit: str) -> Decimal | None:
        """The share by which a rate of this unit may change; None where nothing is said."""
        named = (one.share for one in self.largest_change if unit in one.units)
        every = (one.share for one in self.largest_change if not one.units)
        return next(named, next(every, None))


class Budget(Document):
    """What a subsidy may cost in a month or a year, in the policy's currency."""

    amount: Annotated[RateText, AfterValidator(_above_zero)]
    per: Literal["month", "year"]


class Subsidy(Document):
    """Why something is sold under its floor, who answers for it, what it may cost and until when.

    ``covers``: the rates, by lists or a predicate; ``welcome_credits``: promotional credit grants
    to new accounts. A rate under its floor that a subsidy covers when the book takes effect is a
    finding ``subsidised``, not ``under_floor``.
    """

    id: Name
    owner: Name
    reason: Text
    ends_at: MomentText
    budget: Budget
    covers: Condition | None = None
    welcome_credits: bool = False

    @model_validator(mode="after")
    def _covers_something(self) -> Subsidy:
        if self.covers is None and not self.welcome_credits:
            raise ValueError("covers nothing; name rates in covers, or set welcome_credits")
        return self

    def text(self, *, currency: str) -> str:
        """The subsidy as people read it."""
        return (
            f"the subsidy {self.id} of {self.owner} ({self.reason}) pays up to "
            f"{decimal_text(self.budget.amount)} {currency} a {self.budget.per} until "
            f"{moment_text(self.ends_at)}"
        )


def percent_text(share: Fraction) -> str:
    """A share in percent, cut to 4 decimals towards zero: 1/3 is "33.3333"."""
    cut = abs(share.numerator) * 10**6 // share.denominator
    return scaled_text(-cut if share < 0 else cut, digits=4)

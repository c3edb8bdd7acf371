"""What a rule may do to a rate: one typed action per rule, exact arithmetic, no floats.

Invariant: an action says in words what it does, and computes from a rate and its floor alone; what
a rate becomes beside another rate (``relate``), beside the market (``market``) or under a
condition (``context_step``) is data for the chain of steps, not arithmetic here.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from pricing_rules.cost.unit_cost import TokenUnit
from pricing_rules.document import Document, Name
from pricing_rules.money import AmountText, RateText, decimal_text, exact_text
from pricing_rules.prices.ladder import QuantityText
from pricing_rules.rules.further_rates import FurtherRate

CHAIN_DECIMALS: Final = 18
"""Between two rules a rate has up to 18 decimals, rounded up, so that a step shows it whole."""


def _under_one(value: Decimal) -> Decimal:
    if value >= 1:
        raise ValueError(f'must be under 1, not "{value}"; write 20 % as "0.20"')
    return value


def _above_zero(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError(f'must be above 0, not "{value}"')
    return value


ShareText = Annotated[RateText, AfterValidator(_under_one)]
"""A share from 0 to under 1, as a string in quotes."""

StepText = Annotated[RateText, AfterValidator(_above_zero)]
"""The step of a price point, above 0, as a string in quotes."""


class SetRate(Document):
    """The rate itself, per million units, whatever the floor is."""

    action: Literal["set"]
    rate: RateText

    def text(self) -> str:
        """The action as people read it."""
        return f"set to {decimal_text(self.rate)}"

    def exact(self, rate: Fraction, *, floor: Fraction) -> Fraction:
        """The rate after the action."""
        return Fraction(self.rate)


class Markup(Document):
    """floor x (1 + share): a share of the floor on top of it."""

    action: Literal["markup"]
    share: RateText

    def text(self) -> str:
        """The action as people read it."""
        return f"floor x (1 + {decimal_text(self.share)})"

    def exact(self, rate: Fraction, *, floor: Fraction) -> Fraction:
        """The rate after the action."""
        return floor * (1 + Fraction(self.share))


class Margin(Document):
    """floor / (1 - share): (rate - floor) / rate is the share."""

    action: Literal["margin"]
    share: ShareText

    def text(self) -> str:
        """The action as people read it."""
        return f"floor / (1 - {decimal_text(self.share)})"

    def exact(self, rate: Fraction, *, floor: Fraction) -> Fraction:
        """The rate after the action."""
        return floor / (1 - Fraction(self.share))


class Multiply(Document):
    """The rate times a factor."""

    action: Literal["multiply"]
    factor: RateText

    def text(self) -> str:
        """The action as people read it."""
        return f"x {decimal_text(self.factor)}"

    def exact(self, rate: Fraction, *, floor: Fraction) -> Fraction:
        """The rate after the action."""
        return rate * Fraction(self.factor)


class Add(Document):
    """The rate plus an amount per million units, which may be negative."""

    action: Literal["add"]
    per_mtok: AmountText

    def text(self) -> str:
        """The action as people read it."""
        return f"add {decimal_text(self.per_mtok)}"

    def exact(self, rate: Fraction, *, floor: Fraction) -> Fraction:
        """The rate after the action."""
        return rate + Fraction(self.per_mtok)


class AtMost(Document):
    """A cap: a higher rate becomes this one."""

    action: Literal["at_most"]
    rate: RateText

    def text(self) -> str:
        """The action as people read it."""
        return f"at most {decimal_text(self.rate)}"

    def exact(self, rate: Fraction, *, floor: Fraction) -> Fraction:
        """The rate after the action."""
        return min(rate, Fraction(self.rate))


class AtLeast(Document):
    """A lower rate becomes this one, or the floor with a markup ("0": the floor itself)."""

    action: Literal["at_least"]
    rate: RateText | None = None
    markup: RateText | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> AtLeast:
        if (self.rate is None) == (self.markup is None):
            raise ValueError("name a rate or a markup on the floor, one of them")
        return self

    def text(self) -> str:
        """The action as people read it."""
        if self.rate is not None:
            return f"at least {decimal_text(self.rate)}"
        return f"at least floor x (1 + {decimal_text(self.markup or Decimal(0))})"

    def exact(self, rate: Fraction, *, floor: Fraction) -> Fraction:
        """The rate after the action."""
        if self.rate is not None:
            return max(rate, Fraction(self.rate))
        return max(rate, floor * (1 + Fraction(self.markup or 0)))


class RoundUpTo(Document):
    """Up to a price point: the next multiple of a step. The step also rounds what later rules
    make.
    """

    action: Literal["round_up_to"]
    step: StepText

    def text(self) -> str:
        """The action as people read it."""
        return f"up to a multiple of {decimal_text(self.step)}"

    def exact(self, rate: Fraction, *, floor: Fraction) -> Fraction:
        """The rate after the action."""
        return rounded_up(rate, step=Fraction(self.step))


class Relate(Document):
    """A factor of another rate as it stood before this rule, under the same conditions, without
    its ladder.

    ``unit``: another unit of the same rate card. ``service_tier``: the same unit of the same model
    there.
    """

    action: Literal["relate"]
    unit: TokenUnit | None = None
    service_tier: Name | None = None
    factor: RateText

    @model_validator(mode="after")
    def _one_of_both(self) -> Relate:
        if (self.unit is None) == (self.service_tier is None):
            raise ValueError("relate to a unit or to a service_tier, one of them")
        return self

    def text(self) -> str:
        """The action as people read it."""
        return f"{decimal_text(self.factor)} x the rate of {self.unit or self.service_tier}"


class MarketRate(Document):
    """A factor of what the market asks for the same unit, by the dated snapshots of a derivation.

    ``rate``: of all offers, the lowest or the median (of an even number, the mean of the middle
    two). ``model``: the name that the snapshots give the model, where it is another one. The
    result may lie under the floor: a finding says so, or a later ``at_least`` mends it.
    """

    action: Literal["market"]
    rate: Literal["lowest", "median"]
    factor: RateText
    model: Name | None = None

    def text(self) -> str:
        """The action as people read it."""
        return f"{decimal_text(self.factor)} x the {self.rate} market rate"


class MultipliedBand(Document):
    """A band of a ladder, as a factor on the rate; without ``up_to`` it is the open last one."""

    up_to: QuantityText | None = None
    multiply: RateText


class LadderOfRates(Document):
    """A ladder whose bands are factors on the rate, whatever later rules make of the rate.

    ``id`` is whose quantity counts: every rate that carries it moves one common position. Rules
    with other ids count apart.
    """

    action: Literal["ladder"]
    id: Name
    kind: Literal["graduated", "volume"] = "graduated"
    bands: Annotated[tuple[MultipliedBand, ...], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _open_at_the_end(self) -> LadderOfRates:
        bounds = [band.up_to for band in self.bands]
        if bounds[-1] is not None:
            raise ValueError(
                "leave the up_to of the last band out: usage past it would have no rate"
            )
        if None in bounds[:-1]:
            raise ValueError(
                f"bands[{bounds.index(None)}] is open but not the last; give it an up_to"
            )
        stated = [Decimal(0), *(bound for bound in bounds if bound is not None)]
        if any(lower >= upper for lower, upper in pairwise(stated)):
            raise ValueError("each up_to must lie above the one before")
        return self

    def text(self) -> str:
        """The action as people read it."""
        bands = (
            f"x {decimal_text(band.multiply)}"
            + (f" up to {decimal_text(band.up_to)}" if band.up_to is not None else " above")
            for band in self.bands
        )
        return f"{self.kind} ladder {self.id}: {', '.join(bands)}"


OwnRateAction = SetRate | Markup | Margin | Multiply | Add | AtMost | AtLeast | RoundUpTo
"""Actions that compute a rate from itself and its floor."""

Action = Annotated[
    OwnRateAction | FurtherRate | Relate | MarketRate | LadderOfRates,
    Field(discriminator="action"),
]
"""What a rule does; the field ``action`` says which."""


def rounded_up(rate: Fraction, *, step: Fraction) -> Fraction:
    """The least multiple of ``step`` that is not under ``rate``."""
    return ceil(rate / step) * step


def chain_decimal(rate: Fraction) -> Decimal:
    """A rate between two rules: exact up to 18 decimals, rounded up beyond them."""
    return terminating(rounded_up(rate, step=Fraction(1, 10**CHAIN_DECIMALS)))


def terminating(rate: Fraction) -> Decimal:
    """The Decimal that equals ``rate``, all digits kept; ValueError where its decimals never
    end.
    """
    text = exact_text(rate)
    if "/" in text:
        raise ValueError(f"{text} has no end as a decimal")
    return Decimal(text)

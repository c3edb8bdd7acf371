"""Why a million tokens cost more or less than in the period before: four effects that add up.

What a token costs is what the accelerators cost over the tokens that they served:

    cost per token = spend / tokens = (spend / available hours) x (available / used hours)
                     x sum over lines of (share of the tokens x used hours per token)

From the period before to this one the four factors are replaced one after the other: spend (what
an available hour costs), utilization (how much of the hours is used), mix (which share of the
tokens each line has) and efficiency (how long a token of each line takes). Each effect is the
change that its own replacement makes.

Invariant: the four effects add up to the change of the cost, exactly: no remainder is spread.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pricing_rules.document import DocumentError

EFFECTS: Final = ("spend", "utilization", "mix", "efficiency")
"""The effects, in the order in which their factors are replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineUse:
    """Tokens of one kind, and the accelerator-hours that serving them took."""

    tokens: int
    used_hours: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodCost:
    """What accelerators cost in a period, how long they could serve, and what they served.

    ``spend``: what the available hours cost, used or not. ``lines``: tokens of one kind of one rate
    card, by any key that both periods share.
    """

    spend: Fraction
    available_hours: Fraction
    lines: Mapping[Hashable, LineUse]

    @property
    def tokens(self) -> int:
        """All tokens."""
        return sum(line.tokens for line in self.lines.values())

    @property
    def used_hours(self) -> Fraction:
        """All hours that serving them took."""
        return sum((line.used_hours for line in self.lines.values()), Fraction(0))


@dataclass(frozen=True, slots=True, kw_only=True)
class CostVariance:
    """The cost of one token before and after, and the four effects between the two.

    ``tokens``: those of the period after, on which the effects are money.
    """

    before: Fraction
    after: Fraction
    spend: Fraction
    utilization: Fraction
    mix: Fraction
    efficiency: Fraction
    tokens: int

    @property
    def change(self) -> Fraction:
        """How much more one token costs."""
        return self.after - self.before


def cost_variance(before: PeriodCost, *, after: PeriodCost) -> CostVariance:
    """The change of the cost of a token, by its four effects.

    A line that one period lacks takes the hours per token of the other: that it came or went is
    mix. DocumentError where a period has no tokens, or none that take any time.
    """
    for name, period in (("before", before), ("reviewed", after)):
        if not period.tokens or not period.used_hours or not period.available_hours:
            raise DocumentError(
                f"the period {name}",
                "served no tokens of a card with a measured cost; there is nothing to compare",
            )
    old_spend, new_spend = (one.spend / one.available_hours for one in (before, after))
    old_idle, new_idle = (one.available_hours / one.used_hours for one in (before, after))
    old_hours = before.used_hours / before.tokens
    shifted_hours = _mixed_hours(before, after=after)
    new_hours = after.used_hours / after.tokens
    return CostVariance(
        before=before.spend / before.tokens,
        after=after.spend / after.tokens,
        spend=(new_spend - old_spend) * old_idle * old_hours,
        utilization=new_spend * (new_idle - old_idle) * old_hours,
        mix=new_spend * new_idle * (shifted_hours - old_hours),
        efficiency=new_spend * new_idle * (new_hours - shifted_hours),
        tokens=after.tokens,
    )


def _mixed_hours(before: PeriodCost, *, after: PeriodCost) -> Fraction:
    """Hours per token of the lines after, each served as it was before."""
    hours = Fraction(0)
    for key, line in after.lines.items():
        old = before.lines.get(key)
        if old is None or not old.tokens:
            hours += line.used_hours
        else:
            hours += line.tokens * old.used_hours / old.tokens
    return hours / after.tokens

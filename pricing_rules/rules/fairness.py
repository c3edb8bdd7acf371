"""Fairness: equal cost, unequal rate, and no recorded reason.

Two rates are compared where they are of one unit under the same conditions and their floors are
within 1 % of one another. They are unequal where they (of ladders: the lowest bands) differ by over
1 % of the higher, and by over the larger of the two steps that they were rounded up to. The
difference has a reason where some rule step that made one of them, and not the other, names in its
action or its ``why``, as a whole word, a model or service tier that tells the two apart. The steps
of a rate that was related to another are those of both.

Invariant: two rates whose steps are the same but for rules that say whom they are for and why are
never a finding; which of a pair is named is the dearer one, once, against the cheapest like it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from pricing_rules.money import decimal_text
from pricing_rules.rules.floors import Found
from pricing_rules.rules.policy import FLOOR_RULE, ROUNDING_RULE
from pricing_rules.rules.rate_chain import DerivedRate

LIKE: Final = Fraction(1, 100)
"""Up to which share of the higher two floors, or two rates, are taken for equal."""

_Key = tuple[str, str, str, tuple[object, ...]]
_Reason = tuple[str, str, str]
"""Rule, action and why of a step: what a rate was made by, without the sums."""


def unequal_rates(rates: Sequence[DerivedRate]) -> Iterator[Found]:
    """Rates that are dearer than one that costs the same, without a recorded reason."""
    by_key = {_key(rate): rate for rate in rates}
    made_by = {key: _MadeBy.of(key, by_key=by_key) for key in by_key}
    places: dict[tuple[object, ...], list[DerivedRate]] = {}
    for rate in rates:
        places.setdefault((rate.unit, rate.conditions), []).append(rate)
    for members in places.values():
        members.sort(key=lambda rate: (rate.floor, rate.about))
        floors = [Fraction(rate.floor) for rate in members]
        for dear, floor in zip(members, floors, strict=True):
            like = members[
                bisect_left(floors, floor * (1 - LIKE)) : bisect_right(floors, floor / (1 - LIKE))
            ]
            unlike = [
                other
                for other in like
                if _is_dearer(dear, than=other)
                and not _is_told(
                    dear, other, apart=made_by[_key(dear)].not_of(made_by[_key(other)])
                )
            ]
            if unlike:
                cheap = min(unlike, key=lambda rate: (rate.lowest, rate.about))
                apart = made_by[_key(dear)].not_of(made_by[_key(cheap)])
                yield _found(dear, cheap=cheap, rules=sorted({rule for rule, _, _ in apart}))


@dataclass(frozen=True, slots=True, kw_only=True)
class _MadeBy:
    """The steps of a rate, and those with the steps of every rate that it took a part of."""

    own: frozenset[_Reason]
    all: frozenset[_Reason]

    @classmethod
    def of(cls, key: _Key, *, by_key: Mapping[_Key, DerivedRate]) -> _MadeBy:
        own = frozenset(_own(by_key[key]))
        found, seen, ahead = set(own), {key}, [key]
        while ahead:
            rate = by_key[ahead.pop()]
            for step in rate.steps:
                related = (rate.model, *(step.related or ("", "")), rate.conditions)
                if related in by_key and related not in seen:
                    seen.add(related)
                    ahead.append(related)
                    found |= _own(by_key[related])
        return cls(own=own, all=frozenset(found))

    def not_of(self, other: _MadeBy) -> frozenset[_Reason]:
        """The steps that one of both has alone."""
        return (self.own ^ other.own) | (self.all ^ other.all)


def _own(rate: DerivedRate) -> set[_Reason]:
    return {
        (step.rule, step.action, step.why)
        for step in rate.steps
        if step.rule not in (FLOOR_RULE, ROUNDING_RULE)
    }


def _is_dearer(rate: DerivedRate, *, than: DerivedRate) -> bool:
    over = Fraction(rate.lowest) - Fraction(than.lowest)
    return over > Fraction(rate.lowest) * LIKE and over > max(rate.step, than.step)


def _is_told(one: DerivedRate, other: DerivedRate, *, apart: frozenset[_Reason]) -> bool:
    """Whether one of the steps names what tells the two rates apart."""
    names = {one.model, other.model} if one.model != other.model else set()
    if one.service_tier != other.service_tier:
        names |= {one.service_tier, other.service_tier}
    words = re.compile(
        rf"(?<![\w-])({'|'.join(map(re.escape, sorted(names)))})(?![\w-])", re.IGNORECASE
    )
    return any(words.search(action) or words.search(why) for _, action, why in apart)


def _found(dear: DerivedRate, *, cheap: DerivedRate, rules: Sequence[str]) -> Found:
    mend = (
        f"say in the why of {' or '.join(rules)} what it is dearer for"
        if rules
        else "no rule tells them apart"
    )
    return Found(
        kind="unequal_rate",
        about=dear.about,
        sentence=f"{dear.about} is {decimal_text(dear.lowest)} and {cheap.about} "
        f"{decimal_text(cheap.lowest)}, over floors of {decimal_text(dear.floor)} and "
        f"{decimal_text(cheap.floor)}, for no recorded reason; {mend}",
    )


def _key(rate: DerivedRate) -> _Key:
    return (rate.model, rate.service_tier, rate.unit, rate.conditions)

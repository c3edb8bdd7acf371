"""The rates of one card compiled for quotes: integers at a fixed scale, and a plan for each tuple
of units that requests come with.

Invariant: an amount is exact, or refused with the sentence with which rating leaves it unpriced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from operator import mul

from pricing_rules.money import exact_text, scaled_text
from pricing_rules.prices.ladder import Ladder, Rungs
from pricing_rules.prices.ladder_walk import past_end_reason
from pricing_rules.prices.matching import MatchedRate, no_rate_reason
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.usage.leaves import NegativeLeafError, leaf_plan, split_leaves
from pricing_rules.usage.units import REQUESTS, UNITS, nearest_priced, scaled_count

_MAX_PLANS = 4096


class QuoteError(ValueError):
    """A request that has no amount: one sentence that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    """A unit with a ladder: ``row`` times the counts is its quantity; None is the one event."""

    unit: str
    ladder: Ladder
    rungs: Rungs
    row: tuple[int, ...] | None

    def quantity(self, counts: Sequence[int]) -> Fraction:
        if self.row is None:
            return Fraction(1)
        return Fraction(sum(map(mul, self.row, counts)), UNITS[self.unit].scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """How counts of one tuple of units become an amount; each row has one factor per count.

    ``pairs``: (whole, part) where a leaf is the difference of two counts. ``rows``: the leaves that
    take more than one count away. ``refusals``: the leaves without a rate, each with its reason.
    ``ladders``: the segments of each ladder in the order in which they pass through it.
    """

    weights: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    rows: tuple[tuple[int, ...], ...]
    refusals: tuple[tuple[tuple[int, ...], str], ...]
    ladders: tuple[tuple[_Segment, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledCard:
    """The rates of one card that hold for requests of one size class, region, dimensions and
    windows in force, multipliers included.

    An amount is ``amount_scaled(units) / denominator``; where ``digits`` is not None, the
    denominator is 10**digits. Units are inclusive counts at the units' integer scale.
    """

    book: PriceBook
    rates: Mapping[str, MatchedRate]
    ladders: Mapping[str, tuple[Ladder, Rungs]]
    denominator: int
    digits: int | None
    per_event_scaled: int
    _plans: dict[tuple[str, ...], _Plan] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def amount(self, units: Mapping[str, int]) -> Fraction:
        """The exact amount in major units of the currency; QuoteError where there is none."""
        return Fraction(self.amount_scaled(units), self.denominator)

    def amount_text(self, units: Mapping[str, int]) -> str:
        """The exact amount as text: a decimal where it terminates, else ``n/d``."""
        if self.digits is None:
            return exact_text(self.amount(units))
        return scaled_text(self.amount_scaled(units), digits=self.digits)

    def amount_scaled(self, units: Mapping[str, int]) -> int:
        """The exact amount times ``denominator``; QuoteError where there is none."""
        plan = self._plans.get(tuple(units)) or self._planned(tuple(units))
        counts = tuple(units.values())
        if counts and min(counts) < 0:
            _refuse_negative(units)
        for whole, part in plan.pairs:
            if counts[whole] < counts[part]:
                _refuse_negative(units)
        for row in plan.rows:
            if sum(map(mul, row, counts)) < 0:
                _refuse_negative(units)
        for row, reason in plan.refusals:
            if sum(map(mul, row, counts)):
                raise QuoteError(reason)
        scaled: int = sum(map(mul, plan.weights, counts), self.per_event_scaled)
        for segments in plan.ladders:
            scaled += _numerator(self._walked(segments, counts), self.denominator)
        return scaled

    def _walked(self, segments: Sequence[_Segment], counts: Sequence[int]) -> Fraction:
        quantities = [segment.quantity(counts) for segment in segments]
        total, position, amount = sum(quantities, Fraction(0)), Fraction(0), Fraction(0)
        for segment, quantity in zip(segments, quantities, strict=True):
            if not quantity:
                continue
            start, position = position, position + quantity
            reached = total if segment.rungs.volume else position
            if segment.rungs.covered(reached) != reached:
                raise QuoteError(past_end_reason(self.book, ladder=segment.ladder))
            found = segment.rungs.between(start, end=position, total=total)
            amount += sum((part.amount for part in found), Fraction(0))
        return amount if position else segments[0].rungs.cost(position)

    def _planned(self, names: tuple[str, ...]) -> _Plan:
        try:
            for name in names:
                scaled_count(name, count=0)  # the unit exists and may be reported
        except ValueError as error:
            raise QuoteError(str(error)) from None
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        plan = self._plans[names] = self._plan(names)
        return plan

    def _plan(self, names: tuple[str, ...]) -> _Plan:
        place = {name: i for i, name in enumerate(names)}
        leaves: dict[str, tuple[int, ...]] = {}
        pairs: list[tuple[int, int]] = []
        rows: list[tuple[int, ...]] = []
        for name, inside in leaf_plan(names):
            row = [int(other == name) for other in names]
            for other in inside:
                row = [own - taken for own, taken in zip(row, leaves[other], strict=True)]
            leaves[name] = tuple(row)
            if len(inside) == 1:
                pairs.append((place[name], place[inside[0]]))
            elif inside:
                rows.append(tuple(row))
        refusals: list[tuple[tuple[int, ...], str]] = []
        priced: dict[str, tuple[int, ...]] = {}
        for leaf, factors in sorted(leaves.items()):
            try:
                unit = nearest_priced(leaf, priced=self.rates.keys() - {REQUESTS})
            except LookupError as error:
                refusals.append((factors, str(error)))
                continue
            if unit is None:
                refusals.append((factors, no_rate_reason(self.book, leaf=leaf)))
                continue
            priced[unit] = _added(priced.get(unit, (0,) * len(names)), factors)
        weights = (0,) * len(names)
        for unit, factors in priced.items():
            weight = _numerator(_plain_rate(self.rates[unit]), self.denominator)
            weights = _added(weights, tuple(weight * factor for factor in factors))
        return _Plan(
            weights=weights,
            pairs=tuple(pairs),
            rows=tuple(rows),
            refusals=tuple(refusals),
            ladders=self._segments(priced, none=(0,) * len(names)),
        )

    def _segments(
        self, priced: Mapping[str, tuple[int, ...]], *, none: tuple[int, ...]
    ) -> tuple[tuple[_Segment, ...], ...]:
        # Units that share a ladder pass through it in the order in which rating walks one cell. A
        # ladder whose flat amount is due without usage is passed through with nothing.
        at_zero = {unit for unit, (ladder, _) in self.ladders.items() if ladder.flat_at_zero}
        found: dict[str, list[_Segment]] = {}
        for unit in sorted(({*priced, REQUESTS} & self.ladders.keys()) | at_zero):
            ladder, rungs = self.ladders[unit]
            row = None if unit == REQUESTS else priced.get(unit, none)
            segment = _Segment(unit=unit, ladder=ladder, rungs=rungs, row=row)
            found.setdefault(ladder.id, []).append(segment)
        return tuple(tuple(segments) for segments in found.values())


def compile_rates(book: PriceBook, *, rates: Mapping[str, MatchedRate]) -> CompiledCard:
    """The rates of one card under one set of conditions, ready to quote."""
    ladders = {
        unit: (rate.ladder.ladder, rate.ladder.rungs)
        for unit, rate in rates.items()
        if rate.ladder is not None
    }
    exact = [_plain_rate(rate) for rate in rates.values()]
    for unit, (_, rungs) in ladders.items():
        for step in rungs.steps:
            rate = Fraction(step.rate)
            exact += [rate, rate / (step.per * UNITS[unit].scale), Fraction(step.flat)]
            exact.append(Fraction(step.cap or 0))
    denominator = lcm(*(part.denominator for part in exact))
    # 10**d is a multiple of 2**a * 5**b once d reaches a and b, which the bit length bounds.
    within = range(denominator.bit_length() + 1)
    digits = next((d for d in within if 10**d % denominator == 0), None)
    if digits is not None:
        denominator = 10**digits
    per_event = _plain_rate(rates[REQUESTS]) if REQUESTS in rates else Fraction(0)
    return CompiledCard(
        book=book,
        rates=rates,
        ladders=ladders,
        denominator=denominator,
        digits=digits,
        per_event_scaled=_numerator(per_event, denominator),
    )


def _plain_rate(matched: MatchedRate) -> Fraction:
    """The rate of one integer step of a unit; 0 where a ladder prices it."""
    entry = matched.entry
    return Fraction(matched.rate or 0) / (entry.per * UNITS[entry.unit].scale)


def _numerator(amount: Fraction, denominator: int) -> int:
    scaled = amount * denominator
    if scaled.denominator != 1:
        raise AssertionError("the common denominator covers every rate of the card")
    return scaled.numerator


def _added(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(map(int.__add__, left, right))


def _refuse_negative(units: Mapping[str, int]) -> None:
    for name, count in units.items():
        if count < 0:
            raise QuoteError(f"{name} must not be negative, and is {count}")
    try:
        split_leaves(units)
    except NegativeLeafError as error:
        raise QuoteError(str(error)) from None

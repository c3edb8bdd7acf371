"""The quote: one request priced in integers at a fixed scale, under one compiled price book.

Invariant: a quote equals the exact path, which is ``rate_totals`` of one completed event of this
request with every ladder at position 0. Where the exact path has anything unpriced, the quote is a
QuoteError with the same reason, and never an amount.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from operator import mul
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from pricing_rules.document import Document, Name
from pricing_rules.money import exact_text, scaled_text
from pricing_rules.period import MomentText, moment_text
from pricing_rules.prices.ladder import Ladder, Rungs
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry
from pricing_rules.prices.rating import no_card_reason, no_rate_reason, past_end_reason
from pricing_rules.usage.leaves import NegativeLeafError, leaf_plan, split_leaves
from pricing_rules.usage.units import (
    MAX_COUNT,
    REQUESTS,
    UNIT_COUNTS_SCHEMA,
    UNITS,
    nearest_priced,
    scaled_count,
)

_NO_DIMENSIONS: Mapping[str, str] = MappingProxyType({})
_MAX_PLANS = 4096


class QuoteError(ValueError):
    """A request that has no amount: one sentence that says why."""


def _scaled_counts(counts: object) -> dict[str, int]:
    if not isinstance(counts, dict):
        raise ValueError('must be an object such as {"input_tokens": 1200}')
    return {str(name): scaled_count(str(name), count=count) for name, count in counts.items()}


class QuoteRequest(Document):
    """One request: inclusive counts by unit name, and what its rates depend on.

    ``at`` is its price moment; a request without one is priced as if the book were in force.
    ``request_tokens`` (the size that context steps look at) defaults to the input tokens.
    """

    model: Name
    service_tier: Name
    region: Name | Literal[""] = ""
    at: MomentText | None = None
    dimensions: dict[Name, Name] = {}
    units: Annotated[
        dict[str, int], BeforeValidator(_scaled_counts), WithJsonSchema(UNIT_COUNTS_SCHEMA)
    ]
    request_tokens: Annotated[int, Field(ge=0, le=MAX_COUNT)] | None = None

    @property
    def size_tokens(self) -> int:
        """The request's size: ``request_tokens`` where given, else the input tokens."""
        if self.request_tokens is not None:
            return self.request_tokens
        return self.units.get("input_tokens", 0)


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
    """The rates of one card that hold for requests of one size class, region and dimensions.

    An amount is ``amount_scaled(units) / denominator``; where ``digits`` is not None, the
    denominator is 10**digits. Units are inclusive counts at the units' integer scale.
    """

    book: PriceBook
    rates: Mapping[str, RateEntry]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Conditions:
    """What the rates of one card look at, so that requests alike in it share a CompiledCard."""

    card: RateCard
    thresholds_tokens: tuple[int, ...]
    regions: frozenset[str]
    dimensions: frozenset[tuple[str, str]]
    compiled: dict[object, CompiledCard]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledBook:
    """A price book ready to quote; cards are compiled when they are first asked for, and kept."""

    book: PriceBook
    _conditions: Mapping[tuple[str, str], _Conditions]

    def card(
        self,
        *,
        model: str,
        service_tier: str,
        size_tokens: int,
        region: str = "",
        dimensions: Mapping[str, str] = _NO_DIMENSIONS,
    ) -> CompiledCard:
        """The rates for requests of these conditions; QuoteError where the book has no card."""
        found = self._conditions.get((model, service_tier))
        if found is None:
            raise QuoteError(no_card_reason(self.book, model=model, service_tier=service_tier))
        size_class = bisect_right(found.thresholds_tokens, size_tokens)
        region = region if region in found.regions else ""
        named = (
            tuple(sorted(found.dimensions.intersection(dimensions.items()))) if dimensions else ()
        )
        card = found.compiled.get((size_class, region, named))
        if card is None:
            rates = found.card.rates_for(
                region=region,
                size_tokens=found.thresholds_tokens[size_class - 1] if size_class else 0,
                dimensions=dict(named),
            )
            card = found.compiled[(size_class, region, named)] = _compiled(self.book, rates)
        return card

    def amount(self, request: QuoteRequest) -> Fraction:
        """The exact amount of one request; QuoteError where there is none."""
        self.check_moment(request.at)
        return self._card_of(request).amount(request.units)

    def amount_text(self, request: QuoteRequest) -> str:
        """The exact amount of one request as text; QuoteError where there is none."""
        self.check_moment(request.at)
        return self._card_of(request).amount_text(request.units)

    def check_moment(self, moment_at: int | None) -> None:
        """QuoteError for a moment at which the book is not yet in force."""
        if moment_at is not None and moment_at < self.book.effective_from:
            raise QuoteError(
                f"book {self.book.number} is in force from "
                f"{moment_text(self.book.effective_from)}, and {moment_text(moment_at)} is before"
            )

    def _card_of(self, request: QuoteRequest) -> CompiledCard:
        return self.card(
            model=request.model,
            service_tier=request.service_tier,
            size_tokens=request.size_tokens,
            region=request.region,
            dimensions=request.dimensions,
        )


def compile_book(book: PriceBook) -> CompiledBook:
    """A price book, ready to quote."""
    conditions: dict[tuple[str, str], _Conditions] = {}
    for card in book.rate_cards:
        whens = [entry.when for entry in card.rates]
        conditions[(card.model, card.service_tier)] = _Conditions(
            card=card,
            thresholds_tokens=tuple(sorted({when.threshold_tokens for when in whens} - {0})),
            regions=frozenset(when.region for when in whens if when.region is not None),
            dimensions=frozenset(pair for when in whens for pair in when.dimensions.items()),
            compiled={},
        )
    return CompiledBook(book=book, _conditions=conditions)


def _compiled(book: PriceBook, rates: Mapping[str, RateEntry]) -> CompiledCard:
    ladders = {
        unit: (entry.ladder, entry.ladder.rungs(per=entry.per))
        for unit, entry in rates.items()
        if entry.ladder is not None
    }
    exact = [_plain_rate(entry) for entry in rates.values()]
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


def _plain_rate(entry: RateEntry) -> Fraction:
    """The rate of one integer step of a unit; 0 where a ladder prices it."""
    return Fraction(entry.rate or 0) / (entry.per * UNITS[entry.unit].scale)


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

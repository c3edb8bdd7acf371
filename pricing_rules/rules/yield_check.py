"""Whether a book's rates earn the floor of whole requests: measured ones, and what accounts sent.

Invariant: rates are taken at the lowest that such requests can meet, so a book that passes does not
lean on dear regions, first bands or large requests; and what is not proven is a finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pricing_rules.cost.floor import quantise
from pricing_rules.cost.shape_fit import MeanShape
from pricing_rules.cost.unit_cost import TokenUnit
from pricing_rules.cost.yield_test import (
    RatesPerMtok,
    YieldVerdict,
    measured_requests,
    yield_of_measured,
    yield_of_mix,
)
from pricing_rules.money import decimal_text
from pricing_rules.prices.conditions import When
from pricing_rules.rules.floors import CardFloors, Found
from pricing_rules.rules.past_usage import entries_of, mean_request
from pricing_rules.rules.policy import Policy
from pricing_rules.rules.rate_chain import DerivedRate
from pricing_rules.usage.mix import MixEntry, ShapeShare, UsageMix


@dataclass(frozen=True, slots=True, kw_only=True)
class CardYield:
    """The yield test of one request on one card, under some conditions of its rates.

    ``account``: whose mean request it is; None for a measured one. ``condition`` is empty for rates
    without one. ``verdict`` is in US dollars.
    """

    about: str
    account: str | None
    condition: str
    verdict: YieldVerdict

    def text(self) -> str:
        """The request as people read it."""
        request = _text(self.verdict.request)
        if self.account is not None:
            return f"the mean request of {self.account}, {request} tokens,"
        return f"{request} tokens" + (f" when {self.condition}" if self.condition else "")


def card_yields(
    cards: Sequence[CardFloors],
    *,
    rates: Sequence[DerivedRate],
    policy: Policy,
    mixes: Sequence[UsageMix] = (),
) -> Iterator[CardYield]:
    """The yield test of every card: each measured request under each condition, and the mean
    request of each account's usage in ``mixes`` (those of the last 28 days).

    A mix does not tell regions, windows and dimensions, so accounts are held against the rates
    without any; it tells size classes, so each of them meets its own context step. Measured
    requests longer than the context limit of the service tier are left out.
    """
    for card in cards:
        book = _CardRates(card, rates=rates, policy=policy)
        limit = card.service_tier.context_limit_tokens
        for request in measured_requests(card.cost):
            if limit is not None and request.fresh_input_tokens + request.output_tokens > limit:
                continue
            for condition, when in sorted(book.conditions.items()):
                verdict = yield_of_measured(
                    card.cost,
                    request=request,
                    terms=card.terms,
                    rates=book.met(request, when=when),
                )
                yield CardYield(
                    about=card.about, account=None, condition=condition, verdict=verdict
                )
        for account, entries in _by_account(card, mixes=mixes):
            verdict = yield_of_mix(
                card.cost,
                request=mean_request(entries),
                terms=card.terms,
                rates=book.met_by([shape for entry in entries for shape in entry.shapes]),
            )
            yield CardYield(about=card.about, account=account, condition="", verdict=verdict)


def yield_findings(yields: Iterable[CardYield]) -> Iterator[Found]:
    """What earns less than its floor, and what no measurement of some hardware stands around.

    The measured requests of a card are one finding of each kind, which names the one that falls
    shortest; each account is its own.
    """
    measured: dict[str, list[CardYield]] = {}
    for one in yields:
        if one.account is None:
            measured.setdefault(one.about, []).append(one)
        elif not one.verdict.earns_its_floor:
            yield Found(
                kind="yield",
                about=f"{one.about}/account/{one.account}",
                sentence=f"{one.about}: {one.text()} {_short(one.verdict)}{_outside(one.verdict)}",
            )
        elif not one.verdict.is_proof:
            yield Found(
                kind="unproven",
                about=f"{one.about}/account/{one.account}",
                sentence=f"{one.about}: {one.text()} is not proven to earn its floor"
                f"{_outside(one.verdict)}",
            )
    for about, tried in measured.items():
        short = [one for one in tried if not one.verdict.earns_its_floor]
        if short:
            worst = min(short, key=lambda one: one.verdict.revenue_share)
            yield Found(
                kind="yield",
                about=f"{about}/measured",
                sentence=f"{about}: {len(short)} of {len(tried)} measured requests earn less than "
                f"their floor; {worst.text()} {_short(worst.verdict)}",
            )
        apart = next((one for one in tried if not one.verdict.is_proof), None)
        if apart is not None:
            yield Found(
                kind="unproven",
                about=f"{about}/measured",
                sentence=f"{about}: {apart.text()} is not proven to earn its floor"
                f"{_outside(apart.verdict)}",
            )


class _CardRates:
    """The rates of one card, the lowest band of each, in dollars."""

    def __init__(self, card: CardFloors, *, rates: Sequence[DerivedRate], policy: Policy) -> None:
        self.per_usd = Fraction(policy.exchange.per_usd) if policy.exchange else Fraction(1)
        self.own: dict[str, list[DerivedRate]] = {}
        for rate in rates:
            if (rate.model, rate.service_tier) == (card.model.name, card.service_tier.name):
                self.own.setdefault(rate.unit, []).append(rate)
        # Sizes belong to the request; what else a rate asks for is a condition to be tried.
        found = (_beside_size(rate.when) for unit in self.own.values() for rate in unit)
        self.conditions = {when.text(): when for when in (When(), *found)}

    def met(self, request: MeanShape, *, when: When) -> RatesPerMtok:
        """What a request meets that holds these conditions and no others."""
        size_tokens = int(request.fresh_input_tokens + request.cache_read_tokens)
        return RatesPerMtok(
            input_usd=self._rate("input_tokens", size_tokens=size_tokens, when=when),
            cache_read_usd=self._rate("cache_read_tokens", size_tokens=size_tokens, when=when),
            output_usd=self._rate("output_tokens", size_tokens=size_tokens, when=when),
        )

    def met_by(self, shapes: Sequence[ShapeShare]) -> RatesPerMtok:
        """What the requests of size classes meet on the mean of their tokens, without conditions.

        Where a context step begins inside of a class, its requests count at the lowest rate that
        one of them can meet.
        """
        fresh = [(shape, shape.input_tokens - shape.cache_read_tokens) for shape in shapes]
        cached = [(shape, shape.cache_read_tokens) for shape in shapes]
        output = [(shape, shape.output_tokens) for shape in shapes]
        return RatesPerMtok(
            input_usd=self._mean("input_tokens", counts=fresh),
            cache_read_usd=self._mean("cache_read_tokens", counts=cached),
            output_usd=self._mean("output_tokens", counts=output),
        )

    def _mean(self, unit: TokenUnit, *, counts: Sequence[tuple[ShapeShare, int]]) -> Fraction:
        tokens = sum(count for _, count in counts)
        if not tokens:
            return Fraction(0)
        lowest = (self._lowest(unit, shape=shape) * count for shape, count in counts)
        return sum(lowest, Fraction(0)) / tokens

    def _lowest(self, unit: TokenUnit, *, shape: ShapeShare) -> Fraction:
        """The lowest rate that a request of the size class can meet."""
        digits = shape.size_class[0]
        sizes = range(2**digits // 2, 2**digits)
        steps = {rate.when.threshold_tokens for rate in self.own[unit]}
        return min(
            self._rate(unit, size_tokens=size, when=When())
            for size in {sizes.start, *(step for step in steps if step in sizes)}
        )

    def _rate(self, unit: TokenUnit, *, size_tokens: int, when: When) -> Fraction:
        holding = (
            rate
            for rate in self.own[unit]
            if rate.when.holds(
                region=when.region or "",
                size_tokens=size_tokens,
                dimensions=when.dimensions,
                windows=(when.window,) if when.window else (),
            )
        )
        best = max(holding, key=lambda rate: rate.when.specificity())
        return Fraction(best.lowest) / self.per_usd


def _beside_size(when: When) -> When:
    """The conditions without that on the size of the request."""
    return when.model_copy(update={"request_tokens_over": None, "request_tokens_at_least": None})


def _by_account(card: CardFloors, *, mixes: Sequence[UsageMix]) -> list[tuple[str, list[MixEntry]]]:
    """What each account was served on the card, over all mixes."""
    found: dict[str, list[MixEntry]] = {}
    for entry in entries_of(mixes, model=card.model.name, service_tier=card.service_tier.name):
        found.setdefault(entry.account, []).append(entry)
    return sorted(found.items())


def _short(verdict: YieldVerdict) -> str:
    return (
        f"earns {_usd(verdict.revenue_usd)} USD per million requests, under its floor of "
        f"{_usd(Fraction(verdict.floor_usd))}"
    )


def _text(request: MeanShape) -> str:
    tokens = (request.fresh_input_tokens, request.cache_read_tokens, request.output_tokens)
    fresh, cached, out = (f"{quantise(count):.0f}" for count in tokens)
    return f"{fresh}+{cached}/{out}" if request.cache_read_tokens else f"{fresh}/{out}"


def _usd(amount: Fraction) -> str:
    exact = amount * 10**6
    return decimal_text(quantise(exact.numerator / exact.denominator))


def _outside(verdict: YieldVerdict) -> str:
    if verdict.is_proof:
        return ""
    outside = ", ".join(
        f"{hardware} (nearest measured {nearest.text})" for hardware, nearest in verdict.outside
    )
    return f": it lies outside of the measured shapes of {outside}"

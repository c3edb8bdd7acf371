"""Assertions on requests: what they cost, where that jumps or falls, and whether it earns its
cost.

Invariant: a request costs here what a quote says and what rating charges, and it must earn what
the yield test of the derivation asks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from types import MappingProxyType

from pricing_rules.cost.factory import Factory
from pricing_rules.cost.readers.measurements import Measurements
from pricing_rules.cost.unit_cost import TOKEN_UNITS
from pricing_rules.document import DocumentError, validate
from pricing_rules.money import exact_text, parse_exact
from pricing_rules.prices.ladder import Rungs
from pricing_rules.prices.price_book import PriceBook, RateCard
from pricing_rules.prices.quote import CompiledBook, QuoteError, QuoteRequest, compile_book
from pricing_rules.rules.floors import floors_of
from pricing_rules.rules.guard_rails import met_bands
from pricing_rules.rules.limits import percent_text
from pricing_rules.rules.policy import Policy
from pricing_rules.rules.rate_chain import DerivedRate
from pricing_rules.rules.yield_check import CardYield, card_yields
from pricing_rules.testing.breaches import Breach, card_evidence, expect_none, stated_share
from pricing_rules.testing.derived_rates import derived_rates
from pricing_rules.testing.met_rates import (
    BookRates,
    MetRate,
    Situation,
    by_unit,
    situations,
    thresholds_tokens,
)
from pricing_rules.testing.rate_assertions import dearest
from pricing_rules.usage.leaves import split_leaves
from pricing_rules.usage.mix import UsageMix
from pricing_rules.usage.units import REQUESTS, UNITS, nearest_priced

_NO_DIMENSIONS: Mapping[str, str] = MappingProxyType({})

_INPUT = UNITS["input_tokens"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotes:
    """Prices requests of a book, which it compiles once: the fixture ``quote``."""

    compiled: CompiledBook

    @classmethod
    def of(cls, book: PriceBook) -> Quotes:
        """The quotes of a book."""
        return cls(compiled=compile_book(book))

    def __call__(
        self,
        units: Mapping[str, int | str],
        *,
        model: str,
        service_tier: str,
        region: str = "",
        dimensions: Mapping[str, str] = _NO_DIMENSIONS,
        at: str | None = None,
        request_tokens: int | None = None,
    ) -> Fraction:
        """The exact amount of one request in the currency of the book.

        ``units``: inclusive counts by name. ``at``: its moment, such as ``2026-12-01T00:00:00Z``.
        QuoteError where the book does not price it, DocumentError for what is no request.
        """
        return self.compiled.amount(
            quote_request(
                units,
                model=model,
                service_tier=service_tier,
                region=region,
                dimensions=dimensions,
                at=at,
                request_tokens=request_tokens,
            )
        )


def quote_request(
    units: Mapping[str, int | str],
    *,
    model: str,
    service_tier: str,
    region: str = "",
    dimensions: Mapping[str, str] = _NO_DIMENSIONS,
    at: str | None = None,
    request_tokens: int | None = None,
) -> QuoteRequest:
    """A request from what a test says of it; DocumentError for what is none."""
    value = {
        "model": model,
        "service_tier": service_tier,
        "region": region,
        "dimensions": dict(dimensions),
        "units": dict(units),
        **({"at": at} if at is not None else {}),
        **({"request_tokens": request_tokens} if request_tokens is not None else {}),
    }
    return validate(QuoteRequest, value, name="request", lines={})


def assert_quote(
    book: PriceBook,
    *,
    amount: str,
    units: Mapping[str, int | str],
    model: str,
    service_tier: str,
    region: str = "",
    dimensions: Mapping[str, str] = _NO_DIMENSIONS,
    at: str | None = None,
    request_tokens: int | None = None,
) -> None:
    """A request costs exactly ``amount`` (``"0.0001533"`` or ``"n/d"``, in the book's currency)."""
    __tracebackhide__ = True
    request = quote_request(
        units,
        model=model,
        service_tier=service_tier,
        region=region,
        dimensions=dimensions,
        at=at,
        request_tokens=request_tokens,
    )
    try:
        wanted = parse_exact(amount)
    except ValueError as error:
        raise DocumentError("amount", str(error)) from None
    what = ", ".join(f"{count} {unit}" for unit, count in units.items())
    claim = f"{what} of {model} in {service_tier} cost {amount} {book.currency}"
    expect_none(_other_amount(book, request=request, wanted=wanted), claim=claim)


def _other_amount(book: PriceBook, *, request: QuoteRequest, wanted: Fraction) -> Iterator[Breach]:
    try:
        found = compile_book(book).amount(request)
    except QuoteError as error:
        yield Breach(sentence=str(error))
        return
    if found != wanted:
        by = f"{exact_text(abs(found - wanted))} {'less' if found < wanted else 'more'}"
        sentence = f"they cost {exact_text(found)}, {by}"
        yield Breach(sentence=sentence, rates=_met(book, request))


def _met(book: PriceBook, request: QuoteRequest) -> tuple[MetRate, ...]:
    """The rates that the request meets, by name of unit."""
    card = book.card(model=request.model, service_tier=request.service_tier)
    assert card is not None, "the request has an amount, so its card is there"
    situation = Situation(
        region=request.region,
        size_tokens=request.size_tokens,
        dimensions=tuple(sorted(request.dimensions.items())),
        moment_at=book.effective_from if request.at is None else request.at,
    )
    rates = BookRates(book).met(card, situation=situation)
    priced = rates.keys() - {REQUESTS}
    taken = {nearest_priced(leaf, priced=priced) for leaf in split_leaves(request.units)}
    return tuple(rate for unit, rate in sorted(rates.items()) if unit in taken | {REQUESTS})


def assert_no_jump_at_context_step(
    book: PriceBook,
    *,
    share: str,
    models: Collection[str] = (),
    service_tiers: Collection[str] = (),
    units: Collection[str] = (),
) -> None:
    """From just under a context step to the step, no rate rises by more than ``share``.

    A context step re-prices the whole request, so that one more token costs this share of all.
    """
    __tracebackhide__ = True
    most = stated_share(share)

    def jump(step: _Crossing) -> tuple[str, Fraction] | None:
        pairs = met_bands(step.under.bands, other=step.at.bands)
        over = [(a, b) for a, b in pairs if b - a > a * most]
        if not over:
            return None
        a, b = max(over, key=lambda pair: (pair[1] - pair[0]) / (pair[0] or 1))
        by = f"by {percent_text((b - a) / a)} %" if a else "from free"
        return f"rises {by}, from {exact_text(a)} to {exact_text(b)} per Mtok", (b - a) / (a or 1)

    found = BookRates(book)
    cards = found.cards(models=models, service_tiers=service_tiers, units=units)
    expect_none(
        _crossed(found, cards=cards, units=units, broken=jump),
        claim=f"no rate jumps by over {percent_text(most)} % at a context step",
    )


def assert_cost_never_falls(
    book: PriceBook,
    *,
    models: Collection[str] = (),
    service_tiers: Collection[str] = (),
    units: Collection[str] = (),
) -> None:
    """More never costs less: no ladder falls at a bound, and no request does at a context step.

    A volume ladder with a cheaper band breaks it, a graduated one does not.
    """
    __tracebackhide__ = True
    found = BookRates(book)
    rates = found.rates(models=models, service_tiers=service_tiers, units=units)
    cards = found.cards(models=models, service_tiers=service_tiers, units=units)
    expect_none(
        (
            *(breach for rate in rates for breach in _falling_ladder(rate)),
            *_crossed(found, cards=cards, units=units, broken=_falls),
        ),
        claim="cost never falls with quantity",
    )


def _falling_ladder(rate: MetRate) -> Iterator[Breach]:
    if rate.matched.ladder is None:
        return
    rungs = rate.matched.ladder.rungs
    one = Fraction(1, UNITS[rate.unit].scale)
    for bound in (step.upper for step in rungs.steps if step.upper is not None):
        priced = [q for q in (bound - one, bound, bound + one) if _is_priced(rungs, quantity=q)]
        costs = [(q, rungs.cost(q)) for q in priced]
        for (less, before), (more, after) in pairwise(costs):
            if after < before:
                yield Breach(
                    sentence=f"{rate.about}: {exact_text(less)} cost {exact_text(before)} and "
                    f"{exact_text(more)} cost {exact_text(after)}",
                    rates=(rate,),
                    by=(before - after) / before,
                )


def _is_priced(rungs: Rungs, *, quantity: Fraction) -> bool:
    return quantity >= 0 and rungs.covered(quantity) == quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crossing:
    """One unit's rate just under a request size and at it."""

    under: MetRate
    at: MetRate
    size_tokens: int


def _falls(step: _Crossing) -> tuple[str, Fraction] | None:
    # One more token of input comes with the step; other units are as many as before.
    more = Fraction(1)
    if _INPUT.contains(UNITS[step.at.unit]):
        more = Fraction(step.size_tokens, max(step.size_tokens - 1, 1))
    pair = dearest(step.under.bands, over=step.at.bands, share=more)
    if pair is None:
        return None
    by = (pair[0] - pair[1]) / pair[0]
    return f"falls from {exact_text(pair[0])} to {exact_text(pair[1])} per Mtok", by


def _crossed(
    found: BookRates,
    *,
    cards: Sequence[RateCard],
    units: Collection[str],
    broken: Callable[[_Crossing], tuple[str, Fraction] | None],
) -> Iterator[Breach]:
    """Each context step that breaks something, in whatever situation a request crosses it."""
    told: set[tuple[str, str]] = set()
    for card in cards:
        book_card = [(found.book, card)]
        for size_tokens in thresholds_tokens(book_card):
            for situation in situations(book_card):
                below, at = (
                    found.met(card, situation=replace(situation, size_tokens=size))
                    for size in (size_tokens - 1, size_tokens)
                )
                for rate in by_unit(at, units=units):
                    under = below.get(rate.unit)
                    if under is None or (under.about, rate.about) in told:
                        continue
                    told.add((under.about, rate.about))
                    step = _Crossing(under=under, at=rate, size_tokens=size_tokens)
                    how = broken(step)
                    if how is not None:
                        yield Breach(
                            sentence=f"{rate.about}: {how[0]} at requests of {size_tokens} tokens",
                            rates=(rate,),
                            by=how[1],
                        )


def assert_yield_covers_cost(
    book: PriceBook,
    *,
    factory: Factory,
    policy: Policy,
    measurements: Measurements,
    mixes: Sequence[UsageMix] = (),
) -> None:
    """Whole requests earn the floor of what they take: each measured one, and the mean request of
    each account in ``mixes``.

    The costs are those of ``factory`` and ``measurements`` as they are given, so that a book in
    force can be held against newer ones. A mean request that no measurement stands around is held
    against the fit: the finding ``unproven`` says so.
    """
    __tracebackhide__ = True
    cards, _ = floors_of(factory, policy=policy, points=measurements.points, mixes=mixes)
    known = {(card.model.name, card.service_tier.name): card for card in cards}
    breaches: list[Breach] = []
    for sold in book.rate_cards:
        card = known.get((sold.model, sold.service_tier))
        if card is None:
            sentence = f"{sold.model}/{sold.service_tier}: no measurement says what requests take"
            breaches.append(Breach(sentence=sentence, evidence=tuple(card_evidence(sold))))
            continue
        rates = derived_rates(book, card=sold, policy=policy)
        lacking = [unit for unit in TOKEN_UNITS if not _has_plain(rates, unit=unit)]
        if lacking:
            sentence = f"{card.about}: has no rate of {', '.join(lacking)} without a condition"
            breaches.append(Breach(sentence=sentence, evidence=tuple(card_evidence(sold))))
            continue
        tried = tuple(card_yields((card,), rates=rates, policy=policy, mixes=mixes))
        breaches += _short(book, card=sold, tried=tried)
    expect_none(breaches, claim="every request earns the floor of what it takes")


def _has_plain(rates: Sequence[DerivedRate], *, unit: str) -> bool:
    return any(rate.unit == unit and not rate.when.text() for rate in rates)


def _short(book: PriceBook, *, card: RateCard, tried: Sequence[CardYield]) -> Iterator[Breach]:
    """The measured request that falls shortest, with how many do, and each account that does."""
    measured = [one for one in tried if one.account is None]
    short = [one for one in measured if not one.verdict.earns_its_floor]
    worst = sorted(short, key=lambda one: one.verdict.revenue_share)[:1]
    rates = [
        rate
        for rate in BookRates(book).rates(models=(card.model,), service_tiers=(card.service_tier,))
        if rate.unit in TOKEN_UNITS
    ]
    for one in (*worst, *(y for y in tried if y.account and not y.verdict.earns_its_floor)):
        share = one.verdict.revenue_share
        of = f"; {len(short)} of {len(measured)} measured requests fall short"
        met = {rate.unit: rate for rate in rates if rate.matched.when in ("", one.condition)}
        yield Breach(
            sentence=f"{one.about}: {one.text()} earns {percent_text(share)} % of its floor"
            f"{'' if one.account else of}",
            rates=tuple(by_unit(met, units=())),
            by=1 - share,
        )

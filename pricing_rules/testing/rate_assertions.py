"""Assertions on rates: over their floors, in order, at price points, and close to the book
before.

Invariant: rates are compared as one and the same request meets them, band by band where ladders
have the same bounds; equality never breaks an assertion.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Final

from pricing_rules.document import DocumentError
from pricing_rules.money import exact_text
from pricing_rules.prices.price_book import PriceBook, RateCard
from pricing_rules.prices.provenance import UnitFloor
from pricing_rules.rules.actions import rounded_up
from pricing_rules.rules.floors import Found
from pricing_rules.rules.guard_rails import Bands, met_bands
from pricing_rules.rules.limits import percent_text
from pricing_rules.rules.policy_check import finding_of
from pricing_rules.testing.breaches import Breach, expect_none, stated, stated_share
from pricing_rules.testing.met_rates import BookRates, MetRate, by_unit, situations
from pricing_rules.usage.units import UNITS, nearest_priced

_CACHE_READ: Final = "token_type=cache_read"


def assert_no_rate_under_floor(
    book: PriceBook,
    *,
    models: Collection[str] = (),
    service_tiers: Collection[str] = (),
    units: Collection[str] = (),
) -> None:
    """No rate lies under the floor of its unit, in no band and under no condition.

    A rate without a measured cost is a breach too: absent is not zero. What a subsidy of the
    policy pays for (a finding ``subsidised``) is none. ``models``, ``service_tiers``, ``units``:
    none named, all.
    """
    __tracebackhide__ = True
    rates = BookRates(book).rates(models=models, service_tiers=service_tiers, units=units)
    paid = {finding.id for finding in book.findings}
    expect_none(
        (
            breach
            for rate in rates
            if _subsidy_id(rate) not in paid
            for breach in _under_floor(rate)
        ),
        claim="no rate lies under its floor",
    )


def _under_floor(rate: MetRate) -> Iterator[Breach]:
    floor = rate.unit_floor
    if floor is None:
        yield _no_floor(rate)
    elif rate.lowest < floor.floor:
        short = Fraction(floor.floor) - rate.lowest
        yield Breach(
            sentence=f"{rate.about}: {exact_text(rate.lowest)} per Mtok is under the floor "
            f"{exact_text(Fraction(floor.floor))}, by {percent_text(short / Fraction(floor.floor))}"
            " % of it",
            rates=(rate,),
            by=short / Fraction(floor.floor),
        )


def _no_floor(rate: MetRate) -> Breach:
    sentence = f"{rate.about}: no floor, because no measured cost stands behind it"
    return Breach(sentence=sentence, rates=(rate,), by=Fraction(1))


def _subsidy_id(rate: MetRate) -> str:
    return finding_of(Found(kind="subsidised", about=rate.about, sentence=rate.about)).id


def assert_margin_at_least(
    book: PriceBook,
    *,
    share: str,
    models: Collection[str] = (),
    service_tiers: Collection[str] = (),
    units: Collection[str] = (),
) -> None:
    """Of each rate, at least ``share`` (``"0.30"``) is left over its cost and what goes away of
    it.

    margin = 1 - revenue_share - (unit_cost / utilization + variable) / rate, the formula of the
    floor solved for its margin. The cost is the one that the floor of the card counts: a ``cash``
    floor leaves out capital and model amortisation, a ``short_run`` floor all but what busy adds.
    """
    __tracebackhide__ = True
    least = stated_share(share)
    rates = BookRates(book).rates(models=models, service_tiers=service_tiers, units=units)
    expect_none(
        (breach for rate in rates for breach in _short_of_margin(rate, least=least)),
        claim=f"each rate leaves a margin of at least {percent_text(least)} %",
    )


def _short_of_margin(rate: MetRate, *, least: Fraction) -> Iterator[Breach]:
    floor = rate.unit_floor
    if floor is None:
        yield _no_floor(rate)
        return
    cost = _cost_per_mtok(floor)
    if not rate.lowest:
        yield Breach(sentence=f"{rate.about}: is free", rates=(rate,), by=Fraction(1))
        return
    margin = 1 - Fraction(floor.revenue_share) - cost / rate.lowest
    if margin < least:
        yield Breach(
            sentence=f"{rate.about}: {exact_text(rate.lowest)} per Mtok leaves "
            f"{percent_text(margin)} % over its {floor.kind} cost and the "
            f"{percent_text(Fraction(floor.revenue_share))} % of revenue that goes away",
            rates=(rate,),
            by=least - margin,
        )


def _cost_per_mtok(floor: UnitFloor) -> Fraction:
    """What a million units cost at the utilization, with the costs beside the accelerators."""
    busy = Fraction(floor.unit_cost_per_mtok) / Fraction(floor.utilization)
    return busy + Fraction(floor.variable_per_mtok)


def assert_price_points(
    book: PriceBook,
    *,
    step: str,
    models: Collection[str] = (),
    service_tiers: Collection[str] = (),
    units: Collection[str] = (),
) -> None:
    """Each rate per million is a multiple of ``step`` (``"0.01"``), in every band."""
    __tracebackhide__ = True
    point = stated(step, name="step")
    if not point:
        raise DocumentError("step", 'must be above 0; write it as "0.01"')
    rates = BookRates(book).rates(models=models, service_tiers=service_tiers, units=units)
    expect_none(
        (
            Breach(
                sentence=f"{rate.about}: {exact_text(off)} per Mtok is no multiple of {step}",
                rates=(rate,),
            )
            for rate in rates
            for off in [one for _, one in rate.bands if one % point][:1]
        ),
        claim=f"each rate is a price point, a multiple of {step} per Mtok",
    )


def assert_service_tiers_in_order(
    book: PriceBook,
    *,
    slowest_first: Sequence[str],
    models: Collection[str] = (),
    units: Collection[str] = (),
) -> None:
    """No request pays less in a service tier than in the one before it in ``slowest_first``.

    Each model is compared over the service tiers of the order that it has.
    """
    __tracebackhide__ = True
    if len(set(slowest_first)) < 2:
        raise DocumentError("slowest_first", "names less than two service tiers; name the order")
    found = BookRates(book)
    place = {name: i for i, name in enumerate(slowest_first)}
    cards = found.cards(models=models, service_tiers=slowest_first, units=units)
    ordered = sorted(cards, key=lambda card: (card.model, place[card.service_tier]))
    pairs = [(a, b) for a, b in pairwise(ordered) if a.model == b.model]
    if not pairs:
        raise DocumentError(found.where, "has no model in two of these service tiers")
    expect_none(
        (
            Breach(
                sentence=f"{slow.about}: {exact_text(pair[0])} per Mtok is over the "
                f"{exact_text(pair[1])} of {fast.about}, which is faster",
                rates=(slow, fast),
                by=pair[0] / pair[1] if pair[1] else pair[0],
            )
            for cards_of_two in pairs
            for slow, fast in _side_by_side(found, cards=cards_of_two, units=units)
            if (pair := dearest(slow.bands, over=fast.bands))
        ),
        claim=f"rates rise in the order {', '.join(slowest_first)}",
    )


def assert_service_tier_at_most(
    book: PriceBook,
    *,
    service_tier: str,
    share: str,
    of: str,
    step: str | None = None,
    models: Collection[str] = (),
    units: Collection[str] = (),
) -> None:
    """A service tier (batch) asks at most ``share`` of what another one asks for the same
    request.

    ``step``: where rates are rounded up to price points, the share of the other rate is, too.
    DocumentError where no model has both.
    """
    __tracebackhide__ = True
    found = BookRates(book)
    own = {card.model: card for card in found.cards(models=models, service_tiers=(service_tier,))}
    others = found.cards(models=models, service_tiers=(of,), units=units)
    both = [(own[card.model], card) for card in others if card.model in own]
    if not both:
        raise DocumentError(found.where, f"has no model in both {service_tier} and {of}")
    expect_none(
        _over_share(
            (pair for cards in both for pair in _side_by_side(found, cards=cards, units=units)),
            share=share,
            step=step,
        ),
        claim=f"{service_tier} asks at most {percent_text(stated_share(share))} % of {of}",
    )


def assert_cached_input_at_most(
    book: PriceBook,
    *,
    share: str = "1",
    step: str | None = None,
    models: Collection[str] = (),
    service_tiers: Collection[str] = (),
) -> None:
    """Input that is read from cache costs at most ``share`` of fresh input of its modality.

    Without a share: not more than fresh input. ``step``: as in ``assert_service_tier_at_most``.
    """
    __tracebackhide__ = True
    found = BookRates(book)
    cards = found.cards(models=models, service_tiers=service_tiers)
    expect_none(
        _over_share(
            (pair for card in cards for pair in _cached(found, card)), share=share, step=step
        ),
        claim=f"cached input costs at most {percent_text(stated_share(share))} % of fresh",
    )


def _cached(found: BookRates, card: RateCard) -> Iterator[tuple[MetRate, MetRate]]:
    """Each rate of cached input with that of the same input when it is fresh.

    Where cached input has no rate of its own, it takes that of fresh input.
    """
    for situation in situations([(found.book, card)]):
        rates = found.met(card, situation=situation)
        for unit in sorted({*rates, "cache_read_tokens"}):
            fresh = UNITS[unit].dimensions - {_CACHE_READ}
            plain = next(one.name for one in UNITS.values() if one.dimensions == fresh)
            cached, other = (nearest_priced(one, priced=rates.keys()) for one in (unit, plain))
            if plain != unit and cached is not None and other is not None:
                yield rates[cached], rates[other]


def _over_share(
    pairs: Iterator[tuple[MetRate, MetRate]], *, share: str, step: str | None
) -> Iterator[Breach]:
    most, point = stated_share(share), stated(step or "0", name="step")
    told: set[tuple[str, str]] = set()
    for rate, other in pairs:
        pair = dearest(rate.bands, over=other.bands, share=most, step=point)
        if pair is None or (rate.about, other.about) in told:
            continue
        told.add((rate.about, other.about))
        of = f"{percent_text(pair[0] / pair[1])} % of" if pair[1] else "over"
        yield Breach(
            sentence=f"{rate.about}: {exact_text(pair[0])} per Mtok is {of} the "
            f"{exact_text(pair[1])} of {other.about}",
            rates=(rate, other),
            by=pair[0] / pair[1] if pair[1] else pair[0],
        )


def assert_change_at_most(
    book: PriceBook,
    *,
    previous: PriceBook,
    share: str,
    models: Collection[str] = (),
    service_tiers: Collection[str] = (),
    units: Collection[str] = (),
) -> None:
    """No request meets a rate that differs by more than ``share`` from that of the book before.

    A rate that is new has not changed; one that the book no longer has is a breach. The names are
    those of ``previous``. DocumentError where that is of another series or currency.
    """
    __tracebackhide__ = True
    most = stated_share(share)
    before, after = BookRates(previous), BookRates(book)
    if (previous.series, previous.currency) != (book.series, book.currency):
        raise DocumentError(
            "previous", f"is {before.where} in {previous.currency}, not a book before {after.where}"
        )
    cards = before.cards(models=models, service_tiers=service_tiers, units=units)
    found = {
        breach.sentence: breach
        for card in cards
        for breach in _changes(after, before=before, card=card, units=units, most=most)
    }
    expect_none(
        found.values(),
        claim=f"rates change by at most {percent_text(most)} % against {before.where}",
    )


def _changes(
    after: BookRates, *, before: BookRates, card: RateCard, units: Collection[str], most: Fraction
) -> Iterator[Breach]:
    now = after.book.card(model=card.model, service_tier=card.service_tier)
    both = [(before.book, card), *([(after.book, now)] if now else [])]
    for situation in situations(both):
        rates = after.met(now, situation=situation) if now else {}
        for old in by_unit(before.met(card, situation=situation), units=units):
            new = rates.get(old.unit)
            if new is None:
                yield Breach(
                    sentence=f"{old.about}: has no rate any more; it was {exact_text(old.lowest)}",
                    rates=(old,),
                    by=Fraction(10**9),
                )
                continue
            changed = [
                (a, b) for a, b in met_bands(old.bands, other=new.bands) if abs(b - a) > a * most
            ]
            if changed:
                a, b = max(changed, key=lambda pair: abs(pair[1] - pair[0]) / (pair[0] or 1))
                by = f"a change by {percent_text((b - a) / a)} %" if a else "no longer free"
                yield Breach(
                    sentence=f"{new.about}: {exact_text(a)} -> {exact_text(b)} per Mtok is {by}",
                    rates=(new,),
                    by=abs(b - a) / a if a else Fraction(10**9),
                )


def _side_by_side(
    found: BookRates, *, cards: tuple[RateCard, RateCard], units: Collection[str]
) -> Iterator[tuple[MetRate, MetRate]]:
    """The two rates of each unit that both cards have, in each situation that one tells apart."""
    seen: set[tuple[str, str]] = set()
    for situation in situations([(found.book, card) for card in cards]):
        first, second = (found.met(card, situation=situation) for card in cards)
        for rate in by_unit(first, units=units):
            other = second.get(rate.unit)
            if other is not None and (rate.about, other.about) not in seen:
                seen.add((rate.about, other.about))
                yield rate, other


def dearest(
    rate: Bands, *, over: Bands, share: Fraction = Fraction(1), step: Fraction = Fraction(0)
) -> tuple[Fraction, Fraction] | None:
    """Of two rates that usage can meet, the pair of which the first is furthest over ``share`` of
    the second, rounded up to ``step``; None where it never is.
    """
    if [bound for bound, _ in rate] == [bound for bound, _ in over]:
        pairs = [(a, b) for (_, a), (_, b) in zip(rate, over, strict=True)]
    else:
        # Where bounds differ, usage can meet the dearest band of one and the cheapest of the other.
        pairs = [(max(a for _, a in rate), min(b for _, b in over))]
    found = [
        (a, b) for a, b in pairs if a > (rounded_up(b * share, step=step) if step else b * share)
    ]
    return max(found, key=lambda pair: pair[0] - pair[1] * share, default=None)

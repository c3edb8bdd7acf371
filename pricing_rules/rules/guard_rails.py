"""Checks of finished rates: against floors and subsidies, other units, other service tiers, and the
book before.

Invariant: a check reports and changes nothing; equality never breaks a guard rail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

from pricing_rules.document import DocumentError
from pricing_rules.money import decimal_text, exact_text
from pricing_rules.period import MICROSECONDS, moment_text
from pricing_rules.prices.conditions import When
from pricing_rules.prices.matching import match_rates
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry
from pricing_rules.rules.conditions import condition_holds
from pricing_rules.rules.floors import Found
from pricing_rules.rules.limits import Subsidy, percent_text
from pricing_rules.rules.market import Market
from pricing_rules.rules.policy import Policy
from pricing_rules.rules.predicate import RateFacts
from pricing_rules.rules.rate_chain import DerivedRate

DAY_MICROSECONDS = 86_400 * MICROSECONDS
MTOK = 1_000_000

Bands = tuple[tuple[Decimal | None, Fraction], ...]
"""Rates per million units by the upper bound of their band."""


def under_floors(
    rates: Sequence[DerivedRate], *, policy: Policy, effective_from: int
) -> Iterator[Found]:
    """Rates of which some band lies under the floor of the unit.

    What a subsidy of the policy covers at ``effective_from`` (microseconds UTC) is of the kind
    ``subsidised``, and names who pays.
    """
    facts = policy.facts()
    for rate in rates:
        if rate.lowest >= rate.floor:
            continue
        word = "the lowest band" if rate.ladder else "the rate"
        sentence = (
            f"{rate.about}: {word} {decimal_text(rate.lowest)} is under the floor "
            f"{decimal_text(rate.floor)}"
        )
        covering = [one for one in policy.subsidies if _covers(one, facts=rate.facts(facts))]
        paying = next((one for one in covering if one.ends_at > effective_from), None)
        if paying is not None:
            yield Found(
                kind="subsidised",
                about=rate.about,
                sentence=f"{sentence}; {paying.text(currency=policy.currency)}",
            )
            continue
        over = "".join(
            f"; the subsidy {one.id} ended at {moment_text(one.ends_at)}" for one in covering
        )
        yield Found(kind="under_floor", about=rate.about, sentence=sentence + over)


def subsidised_yields(
    found: Iterable[Found],
    *,
    rates: Sequence[DerivedRate],
    policy: Policy,
    effective_from: int,
) -> Iterator[Found]:
    """Findings of the yield test, where a subsidy pays for the shortfall as ``subsidised``.

    It does where a subsidy that has not ended covers each rate of the card that lies under its
    floor, and there is such a rate: else the requests fall short for another reason.
    """
    facts = policy.facts()
    payers: dict[str, list[Subsidy | None]] = {}
    for rate in rates:
        if rate.lowest < rate.floor:
            paying = (
                one
                for one in policy.subsidies
                if one.ends_at > effective_from and _covers(one, facts=rate.facts(facts))
            )
            card = f"{rate.model}/{rate.service_tier}/"
            payers.setdefault(card, []).append(next(paying, None))
    for one in found:
        paid = next((who for card, who in payers.items() if one.about.startswith(card)), [None])
        if one.kind != "yield" or None in paid:
            yield one
            continue
        texts = dict.fromkeys(who.text(currency=policy.currency) for who in paid if who)
        yield replace(one, kind="subsidised", sentence="; ".join((one.sentence, *texts)))


def _covers(subsidy: Subsidy, *, facts: RateFacts) -> bool:
    if subsidy.covers is None:
        return False
    try:
        return condition_holds(subsidy.covers, facts=facts)
    except ValueError as error:
        raise DocumentError(f'policy subsidy "{subsidy.id}" covers', str(error)) from None


def stale_markets(
    markets: Sequence[Market], *, policy: Policy, effective_from: int
) -> Iterator[Found]:
    """Market snapshots that are older than the policy lets them be, counted to
    ``effective_from``.
    """
    days_at_most = policy.guard_rails.market_age_days_at_most
    today = effective_from // DAY_MICROSECONDS + date(1970, 1, 1).toordinal()
    for market in markets:
        if days_at_most is not None and today - market.snapshot_date.toordinal() > days_at_most:
            yield Found(
                kind="stale_market",
                about=f"{market.source:.150}/{market.snapshot_date}",
                sentence=f"the market of {market.source} is of {market.snapshot_date}, over "
                f"{days_at_most} days old",
            )


def cached_over_input(rates: Sequence[DerivedRate]) -> Iterator[Found]:
    """Cached input that is dearer than fresh input under the same conditions."""
    fresh = {
        (rate.model, rate.service_tier, rate.conditions): rate
        for rate in rates
        if rate.unit == "input_tokens"
    }
    for rate in rates:
        other = fresh.get((rate.model, rate.service_tier, rate.conditions))
        if rate.unit == "cache_read_tokens" and other and (pair := _dearer(rate, than=other)):
            yield Found(
                kind="cached_over_input",
                about=rate.about,
                sentence=f"{rate.about}: {pair[0]} for input read from cache is over the {pair[1]} "
                "for fresh input",
            )


def out_of_order(rates: Sequence[DerivedRate], *, policy: Policy) -> Iterator[Found]:
    """Rates under that of a slower service tier of the same model, unit and conditions.

    Service tiers of equal promises have no order.
    """
    for fast, slower in _slower(rates, policy=policy):
        for slow in slower:
            if pair := _dearer(slow, than=fast):
                yield Found(
                    kind="service_tier_order",
                    about=fast.about,
                    sentence=f"{fast.about}: {pair[1]} is under the {pair[0]} of the slower "
                    f"service tier {slow.service_tier}",
                )
                break


def too_close(rates: Sequence[DerivedRate], *, policy: Policy) -> Iterator[Found]:
    """Rates that lie over those of the next slower service tier by less than the policy's
    spread.
    """
    spread = policy.guard_rails.service_tier_spread_at_least
    if spread is None:
        return
    promised = _promised(policy)
    for fast, slower in _slower(rates, policy=policy):
        next_promise = max((promised[slow.service_tier] for slow in slower), default=None)
        for slow in slower:
            if promised[slow.service_tier] != next_promise:
                continue
            if pair := _dearer(slow, than=fast, by=1 + Fraction(spread)):
                yield Found(
                    kind="service_tier_spread",
                    about=fast.about,
                    sentence=f"{fast.about}: {pair[1]} is not {percent_text(Fraction(spread))} % "
                    f"over the {pair[0]} of the next slower service tier {slow.service_tier}",
                )
                break


def changed_too_much(
    rates: Sequence[DerivedRate], *, policy: Policy, previous: PriceBook
) -> Iterator[Found]:
    """Rates that differ from those of the book before by more than the policy lets one revision.

    Under each condition that either book names, what requests meet is compared: one that only one
    of them names changes what its requests met before. A unit that the card before has no rate for,
    and a card that is new, have not changed. DocumentError where that book is of another series or
    currency.
    """
    if (previous.series, previous.currency) != (policy.series, policy.currency):
        raise DocumentError(
            "previous",
            f"is {previous.series} in {previous.currency}, and the policy makes {policy.series} in "
            f"{policy.currency}; give the book before of the same series",
        )
    units: dict[tuple[str, str, str], list[DerivedRate]] = {}
    for rate in rates:
        units.setdefault((rate.model, rate.service_tier, rate.unit), []).append(rate)
    for (model, service_tier, unit), own in units.items():
        share = policy.guard_rails.change_at_most(unit)
        card = previous.card(model=model, service_tier=service_tier)
        if share is None or card is None:
            continue
        for when, before, after in _met(own, unit=unit, card=card, previous=previous):
            about = f"{model}/{service_tier}/{unit}"
            yield from _change(
                f"{about}/{when.text()}" if when.text() else about,
                share=share,
                pairs=met_bands(before, other=after),
                of=previous,
            )


def _met(
    own: Sequence[DerivedRate], *, unit: str, card: RateCard, previous: PriceBook
) -> Iterator[tuple[When, Bands, Bands]]:
    """What requests met and will meet under each condition of a unit that either book names."""
    named = (
        *(rate.when for rate in own),
        *(entry.when for entry in card.rates if entry.unit == unit),
        *(one.when for one in previous.multipliers if one.concerns(unit)),
    )
    for when in {when.shape: when for when in reversed(named)}.values():
        region, size_tokens = when.region or "", when.threshold_tokens
        windows = (when.window,) if when.window else ()
        found = match_rates(
            previous,
            card=card,
            region=region,
            size_tokens=size_tokens,
            dimensions=when.dimensions,
            windows=windows,
        ).get(unit)
        held = [
            rate
            for rate in own
            if rate.when.holds(
                region=region, size_tokens=size_tokens, dimensions=when.dimensions, windows=windows
            )
        ]
        if found is not None:
            after = max(held, key=lambda rate: rate.when.specificity())
            update = {"rate": found.rate, "ladder": found.ladder and found.ladder.ladder}
            yield (
                when,
                entry_bands(found.entry.model_copy(update=update)),
                tuple((band.up_to, Fraction(band.rate)) for band in after.bands),
            )


def _change(
    about: str,
    *,
    share: Decimal,
    pairs: Iterable[tuple[Fraction, Fraction]],
    of: PriceBook,
) -> Iterator[Found]:
    over = [(a, b) for a, b in pairs if abs(b - a) > a * Fraction(share)]
    if not over:
        return
    before, after = max(over, key=lambda pair: abs(pair[1] - pair[0]) / (pair[0] or 1))
    by = f"{percent_text((after - before) / before)} %" if before else "from free"
    yield Found(
        kind="largest_change",
        about=about,
        sentence=f"{about}: {exact_text(after)} is a change by {by} against the "
        f"{exact_text(before)} of number {of.number}; one revision changes it by "
        f"{percent_text(Fraction(share))} % at most",
    )


def entry_bands(entry: RateEntry) -> Bands:
    """The rates of a price book's entry per million units, as bands."""
    if entry.ladder is None:
        return ((None, Fraction(entry.rate or 0) * MTOK / entry.per),)
    return tuple(
        (band.up_to, Fraction(band.rate) * MTOK / (band.per or entry.per))
        for band in entry.ladder.bands
    )


def met_bands(before: Bands, *, other: Bands) -> tuple[tuple[Fraction, Fraction], ...]:
    """Rates before and after: band by band, or the lowest and the highest where bounds differ."""
    if [bound for bound, _ in before] == [bound for bound, _ in other]:
        return tuple((a, b) for (_, a), (_, b) in zip(before, other, strict=True))
    ends = (min, max)
    return tuple((end(a for _, a in before), end(b for _, b in other)) for end in ends)


def _promised(policy: Policy) -> dict[str, int]:
    return {
        service_tier.name: service_tier.interactivity_tokens_per_s or 0
        for service_tier in policy.service_tiers
    }


def _slower(
    rates: Sequence[DerivedRate], *, policy: Policy
) -> Iterator[tuple[DerivedRate, list[DerivedRate]]]:
    """Each rate with those of slower service tiers for the same model, unit and conditions."""
    promised = _promised(policy)
    places: dict[tuple[object, ...], list[DerivedRate]] = {}
    for rate in rates:
        places.setdefault((rate.model, rate.unit, rate.conditions), []).append(rate)
    for members in places.values():
        for fast in members:
            yield (
                fast,
                [m for m in members if promised[m.service_tier] < promised[fast.service_tier]],
            )


def _dearer(
    rate: DerivedRate, *, than: DerivedRate, by: Fraction = Fraction(1)
) -> tuple[str, str] | None:
    """Two rates as text that usage can meet, the first times ``by`` above the second; None
    without any.
    """
    mine, theirs = rate.bands, than.bands
    if [band.up_to for band in mine] == [band.up_to for band in theirs]:
        pairs = [(a.rate, b.rate) for a, b in zip(mine, theirs, strict=True)]
    else:
        # Where bounds differ, usage can meet the dearest band of one and the cheapest of the other.
        pairs = [(max(band.rate for band in mine), min(band.rate for band in theirs))]
    return next(
        ((decimal_text(a), decimal_text(b)) for a, b in pairs if Fraction(a) * by > b), None
    )

"""Checks of finished rates: under a floor, cached input over input, service tiers out of order.

Invariant: a check reports and changes nothing; equality never breaks a guard rail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pricing_rules.money import decimal_text
from pricing_rules.rules.floors import Found
from pricing_rules.rules.policy import Policy
from pricing_rules.rules.rate_chain import DerivedRate


def under_floors(rates: Sequence[DerivedRate]) -> Iterator[Found]:
    """Rates of which some band lies under the floor of the unit."""
    for rate in rates:
        if rate.lowest < rate.floor:
            word = "the lowest band" if rate.ladder else "the rate"
            yield Found(
                kind="under_floor",
                about=rate.about,
                sentence=f"{rate.about}: {word} {decimal_text(rate.lowest)} is under the floor "
                f"{decimal_text(rate.floor)}",
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
    promised = {
        service_tier.name: service_tier.interactivity_tokens_per_s or 0
        for service_tier in policy.service_tiers
    }
    places: dict[tuple[object, ...], list[DerivedRate]] = {}
    for rate in rates:
        places.setdefault((rate.model, rate.unit, rate.conditions), []).append(rate)
    for members in places.values():
        for fast in members:
            for slow in members:
                if promised[slow.service_tier] >= promised[fast.service_tier]:
                    continue
                if pair := _dearer(slow, than=fast):
                    yield Found(
                        kind="service_tier_order",
                        about=fast.about,
                        sentence=f"{fast.about}: {pair[1]} is under the {pair[0]} of the slower "
                        f"service tier {slow.service_tier}",
                    )
                    break


def _dearer(rate: DerivedRate, *, than: DerivedRate) -> tuple[str, str] | None:
    """Two rates as text that usage can meet, the first above the second; None without any."""
    mine, theirs = rate.bands, than.bands
    if [band.up_to for band in mine] == [band.up_to for band in theirs]:
        pairs = [(a.rate, b.rate) for a, b in zip(mine, theirs, strict=True)]
    else:
        # Where bounds differ, usage can meet the dearest band of one and the cheapest of the other.
        pairs = [(max(band.rate for band in mine), min(band.rate for band in theirs))]
    return next(((decimal_text(a), decimal_text(b)) for a, b in pairs if a > b), None)

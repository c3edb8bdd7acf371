"""Checks of finished rates: under a floor, cached input over input, service tiers out of order.

Invariant: a check reports and changes nothing; equality never breaks a guard rail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import pairwise

from pricing_rules.rules.floors import CardFloors, Found
from pricing_rules.rules.rate_chain import DerivedRate


def under_floors(rates: Sequence[DerivedRate]) -> Iterator[Found]:
    """Rates of which some band lies under the floor of the unit."""
    for rate in rates:
        if rate.lowest < rate.floor:
            word = "the lowest band" if rate.ladder else "the rate"
            yield Found(
                kind="under_floor",
                about=rate.about,
                sentence=f"{rate.about}: {word} {rate.lowest} is under the floor {rate.floor}",
            )


def cached_over_input(rates: Sequence[DerivedRate]) -> Iterator[Found]:
    """Cached input that is dearer than fresh input under the same conditions."""
    fresh = {_place(rate, unit=""): rate for rate in rates if rate.unit == "input_tokens"}
    for rate in rates:
        other = fresh.get(_place(rate, unit="")) if rate.unit == "cache_read_tokens" else None
        if other is not None and (pair := _dearer(rate, than=other)):
            yield Found(
                kind="cached_over_input",
                about=rate.about,
                sentence=f"{rate.about}: {pair[0]} for input read from cache is over the {pair[1]} "
                "for fresh input",
            )


def out_of_order(rates: Sequence[DerivedRate], *, cards: Sequence[CardFloors]) -> Iterator[Found]:
    """Rates that are lower than those of the next slower service tier of the model that has any.

    ``cards`` go from the slowest to the fastest promise per model; equal promises have no order.
    """
    standing = {(rate.service_tier, _place(rate, unit=rate.unit)): rate for rate in rates}
    for slow, fast in pairwise(cards):
        slower, faster = slow.service_tier, fast.service_tier
        no_order = slower.interactivity_tokens_per_s == faster.interactivity_tokens_per_s
        if slow.model != fast.model or no_order:
            continue
        for (service_tier, place), rate in standing.items():
            other = standing.get((faster.name, place))
            if service_tier != slower.name or place[0] != slow.model.name or other is None:
                continue
            if pair := _dearer(rate, than=other):
                yield Found(
                    kind="service_tier_order",
                    about=other.about,
                    sentence=f"{other.about}: {pair[1]} is under the {pair[0]} of the slower service "
                    f"tier {slower.name}",
                )


def _place(rate: DerivedRate, *, unit: str) -> tuple[str, str, str, str]:
    own = unit or rate.service_tier
    return rate.model, unit, own if not unit else "", rate.when.text()


def _dearer(rate: DerivedRate, *, than: DerivedRate) -> tuple[Decimal, Decimal] | None:
    """Two rates that a same quantity can meet, the first above the second; None where there are none."""
    mine, theirs = rate.bands, than.bands
    if [band.up_to for band in mine] == [band.up_to for band in theirs]:
        pairs = [(a.rate, b.rate) for a, b in zip(mine, theirs, strict=True)]
    else:
        # Bounds differ: some quantity lies in the dearest band of one and the cheapest of the other.
        pairs = [(max(band.rate for band in mine), min(band.rate for band in theirs))]
    return next(((a, b) for a, b in pairs if a > b), None)

"""Whether short_run service tiers are expected to take more of a pool than usage leaves idle.

Invariant: a short_run floor holds for idle hours alone; what is expected beyond their forecast, and
a forecast that nobody made, is a finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from pricing_rules.cost.factory import Factory
from pricing_rules.cost.figures import HOURS_OF_WEEK
from pricing_rules.cost.idle_time import (
    MICROSECONDS_PER_HOUR,
    PoolLoad,
    idle_accelerator_hours_per_week,
)
from pricing_rules.cost.shape_fit import MeanShape
from pricing_rules.money import decimal_text
from pricing_rules.rules.floors import CardFloors, Found
from pricing_rules.rules.past_usage import covered_spans
from pricing_rules.usage.mix import MixEntry, UsageMix

_HOURS_BEFORE_THURSDAY = 72
"""1970-01-01 was a Thursday: its first hour is the 73rd of the week."""


def idle_findings(
    cards: Sequence[CardFloors], *, factory: Factory, mixes: Sequence[UsageMix]
) -> Iterator[Found]:
    """Short_run service tiers that are expected to take more than the forecast of idle time.

    The forecast is the one that the policy states, for the service tier alone; or what ``mixes``
    leave of its pools, which it shares with the others that state none there.
    """
    short_run = {
        card.service_tier.name: card.service_tier.idle_use
        for card in cards
        if card.service_tier.idle_use is not None
    }
    for name, use in short_run.items():
        stated = use.idle_accelerator_hours_per_week
        if stated is not None:
            expected = use.expected_accelerator_hours_per_week.value
            yield from _over(name, expected=expected, idle=stated.value, said=stated.source_text)
            continue
        pools = _pools(cards, service_tier=name)
        beside = [
            other
            for other, one in short_run.items()
            if one.idle_accelerator_hours_per_week is None
            and pools & _pools(cards, service_tier=other)
        ]
        unknown = _unknown(cards, pools=pools, mixes=mixes)
        if unknown:
            yield Found(
                kind="idle_capacity",
                about=name,
                sentence=f"{name} has a short_run floor, and the idle time of its pool is not "
                f"known: {unknown}; state idle_accelerator_hours_per_week",
            )
            continue
        yield from _over(
            name,
            expected=sum(
                (short_run[one].expected_accelerator_hours_per_week.value for one in beside),
                Decimal(0),
            ),
            idle=_idle(cards, pools=pools, factory=factory, mixes=mixes),
            said="what the usage mix leaves of " + ", ".join(sorted(pools)),
        )


def _pools(cards: Sequence[CardFloors], *, service_tier: str) -> set[str]:
    return {card.pool.name for card in cards if card.service_tier.name == service_tier}


def _over(name: str, *, expected: Decimal, idle: Decimal, said: str) -> Iterator[Found]:
    if expected > idle:
        yield Found(
            kind="idle_capacity",
            about=name,
            sentence=f"{name} has a short_run floor and is expected to take "
            f"{decimal_text(expected)} accelerator-hours a week, of which {decimal_text(idle)} are "
            f"forecast to be idle ({said}); beyond them its floor is not what they cost",
        )


def _unknown(cards: Sequence[CardFloors], *, pools: set[str], mixes: Sequence[UsageMix]) -> str:
    """Why the mixes do not tell what they leave of the pools; empty where they do."""
    if not mixes:
        return "there is no usage mix"
    priced = {(card.model.name, card.service_tier.name) for card in cards}
    listed = [card.pool for card in cards if card.pool.name in pools]
    for mix in mixes:
        for entry in mix.entries:
            served_here = any(
                entry.model in pool.models and entry.service_tier in pool.service_tiers
                for pool in listed
            )
            if served_here and (entry.model, entry.service_tier) not in priced:
                return f"{entry.model} in {entry.service_tier} was served there without a cost"
    unseen = sum(1 for microseconds in _observed_microseconds(mixes) if not microseconds)
    return f"the usage mix saw none of {unseen} hours of the week" if unseen else ""


def _idle(
    cards: Sequence[CardFloors], *, pools: set[str], factory: Factory, mixes: Sequence[UsageMix]
) -> Decimal:
    loads: dict[str, list[PoolLoad]] = {name: [] for name in pools}
    by_card = {(card.model.name, card.service_tier.name): card for card in cards}
    for mix in mixes:
        for entry in mix.entries:
            card = by_card.get((entry.model, entry.service_tier))
            if card is not None and card.pool.name in pools and card.service_tier.idle_use is None:
                loads[card.pool.name].append(
                    PoolLoad(
                        cost=card.cost,
                        tokens=tokens_of(entry),
                        events_by_hour_of_week=entry.events_by_hour_of_week,
                    )
                )
    observed = _observed_microseconds(mixes)
    return sum(
        (
            idle_accelerator_hours_per_week(
                factory.pool(name),
                factory=factory,
                loads=loads[name],
                observed_microseconds=observed,
            )
            for name in sorted(pools)
        ),
        Decimal(0),
    )


def tokens_of(entry: MixEntry) -> MeanShape:
    """All tokens of an entry as one request."""
    cached = sum(shape.cache_read_tokens for shape in entry.shapes)
    return MeanShape(
        fresh_input_tokens=sum(shape.input_tokens for shape in entry.shapes) - cached,
        cache_read_tokens=cached,
        output_tokens=sum(shape.output_tokens for shape in entry.shapes),
    )


def _observed_microseconds(mixes: Sequence[UsageMix]) -> list[int]:
    """How long the mixes cover each hour of the week, each instant once."""
    spans = [_by_hour_of_week(start_at, end_at=end_at) for start_at, end_at in covered_spans(mixes)]
    return [sum(hour) for hour in zip(*spans, strict=True)]


def _by_hour_of_week(start_at: int, *, end_at: int) -> list[int]:
    """The microseconds of ``[start_at, end_at)`` in each hour of the week in UTC."""
    weeks, left = divmod(end_at - start_at, HOURS_OF_WEEK * MICROSECONDS_PER_HOUR)
    found = [weeks * MICROSECONDS_PER_HOUR] * HOURS_OF_WEEK
    while left:
        hour, into = divmod(start_at, MICROSECONDS_PER_HOUR)
        part = min(left, MICROSECONDS_PER_HOUR - into)
        found[(hour + _HOURS_BEFORE_THURSDAY) % HOURS_OF_WEEK] += part
        start_at, left = start_at + part, left - part
    return found

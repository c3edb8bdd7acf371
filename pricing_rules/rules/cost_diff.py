"""What changed in the cost under a rate card: floors, hours, measurements, the pool, the exchange.

Invariant: a figure is named with its value before and after, and only where the two differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pricing_rules.prices.explain import plain
from pricing_rules.prices.price_book import RateCard
from pricing_rules.prices.provenance import CardCost, ExchangeRate, HardwareCost, UnitFloor

CauseKind = Literal[
    "exchange", "floor", "factory", "measurement", "rule", "card", "finding", "unrecorded"
]

_FLOOR_FIGURES = (
    ("unit cost", "unit_cost_per_mtok"),
    ("utilization", "utilization"),
    ("variable", "variable_per_mtok"),
    ("minimum margin", "minimum_margin"),
    ("revenue share", "revenue_share"),
)

_US_PER_TOKEN = {
    "input_tokens": "us_per_input_token",
    "cache_read_tokens": "us_per_cached_token",
    "output_tokens": "us_per_output_token",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that made a rate differ, in words with its values before and after."""

    kind: CauseKind
    sentence: str


def cost_causes(
    old: RateCard,
    *,
    new: RateCard,
    unit: str,
    exchange: tuple[ExchangeRate | None, ExchangeRate | None],
) -> Iterator[Cause]:
    """What differs in the cost of one unit of a card that two books have.

    ``exchange``: that of the old and of the new book.
    """
    was, now = (_floor(card.cost, unit=unit) for card in (old, new))
    if was == now:
        return
    if exchange[0] != exchange[1]:
        before, after = (one.text() if one else "none" for one in exchange)
        yield Cause(kind="exchange", sentence=f"{before}, now {after}")
    if was is None or now is None:
        word = "has no measured cost any more" if now is None else "has a measured cost now"
        yield Cause(kind="floor", sentence=f"{unit} {word}")
        return
    yield Cause(kind="floor", sentence=_floor_text(was, now=now))
    if old.cost and new.cost and was.unit_cost_per_mtok != now.unit_cost_per_mtok:
        yield from _unit_cost(old.cost, now=new.cost, unit=unit)


def _floor(cost: CardCost | None, *, unit: str) -> UnitFloor | None:
    return next((one for one in cost.floors if one.unit == unit), None) if cost else None


def _floor_text(was: UnitFloor, *, now: UnitFloor) -> str:
    figures = [
        _from_to(word, before=getattr(was, field), after=getattr(now, field))
        for word, field in _FLOOR_FIGURES
        if getattr(was, field) != getattr(now, field)
    ]
    if was.kind != now.kind:
        figures.append(f"kind {was.kind} -> {now.kind}")
    raised = [one.raised.service_tier if one.raised else "itself" for one in (was, now)]
    if raised[0] != raised[1]:
        figures.append(f"held by {raised[0]} -> {raised[1]}")
    because = f" ({', '.join(figures)})" if figures else ""
    return f"{_from_to('floor', before=was.floor, after=now.floor)}{because}"


def _unit_cost(was: CardCost, *, now: CardCost, unit: str) -> Iterator[Cause]:
    shapes = [
        f"{one.reference_input_tokens} in / {one.reference_output_tokens} out" for one in (was, now)
    ]
    if shapes[0] != shapes[1]:
        yield Cause(kind="floor", sentence=f"reference shape {shapes[0]} -> {shapes[1]}")
    if was.model_amortisation != now.model_amortisation:
        sums = [one.model_amortisation.usd_per_mtok if one.model_amortisation else Decimal(0)
                for one in (was, now)]  # fmt: skip
        sentence = _from_to("model amortisation", before=sums[0], after=sums[1])
        yield Cause(kind="factory", sentence=f"{sentence} USD per Mtok")
    before = {one.hardware: one for one in was.hardware}
    after = {one.hardware: one for one in now.hardware}
    for name in sorted(before.keys() - after.keys()):
        yield Cause(kind="factory", sentence=f"{name} serves no part of it any more")
    for name in sorted(after.keys() - before.keys()):
        share = plain(after[name].share_of_capacity)
        yield Cause(kind="factory", sentence=f"{name} now serves {share} of the capacity")
    for name in sorted(before.keys() & after.keys()):
        yield from _hardware(before[name], now=after[name], unit=unit)


def _hardware(was: HardwareCost, *, now: HardwareCost, unit: str) -> Iterator[Cause]:
    name = was.hardware
    if was.usd_per_hour != now.usd_per_hour:
        parts = {one.part: one.usd_per_hour for one in was.parts}
        changed = [
            _from_to(one.part, before=parts.get(one.part, Decimal(0)), after=one.usd_per_hour)
            for one in now.parts
            if parts.get(one.part) != one.usd_per_hour
        ]
        gone = parts.keys() - {one.part for one in now.parts}
        changed += [_from_to(part, before=parts[part], after=Decimal(0)) for part in sorted(gone)]
        hour = _from_to(f"{name} USD/h", before=was.usd_per_hour, after=now.usd_per_hour)
        yield Cause(kind="factory", sentence=f"{hour} ({', '.join(changed)})")
    counts = (was.accelerators, now.accelerators)
    shares = (was.share_of_capacity, now.share_of_capacity)
    if counts[0] != counts[1] or shares[0] != shares[1]:
        weight = _from_to(f"{name} weight", before=shares[0], after=shares[1])
        yield Cause(kind="factory", sentence=f"{weight} (accelerators {counts[0]} -> {counts[1]})")
    seconds = [getattr(one, _US_PER_TOKEN[unit]) for one in (was, now)]
    if seconds[0] != seconds[1]:
        took = _from_to(f"{name} us per token", before=seconds[0], after=seconds[1])
        setups = "" if was.setup == now.setup else f"; set-up {was.setup} -> {now.setup}"
        yield Cause(kind="measurement", sentence=f"{took}{setups}; {_sources(was, now=now)}")


def _sources(was: HardwareCost, *, now: HardwareCost) -> str:
    before, after = (
        {
            f"{point.source.file} rows {', '.join(map(str, point.source.rows))}"
            f" ({point.source.sha256[:15]})"
            for shape in one.shapes
            for point in shape.points
        }
        for one in (was, now)
    )
    if before == after:
        return "from the same rows"
    gone, added = sorted(before - after), sorted(after - before)
    return f"from {'; '.join(added) or 'fewer rows'} instead of {'; '.join(gone) or 'fewer rows'}"


def _from_to(word: str, *, before: Decimal, after: Decimal) -> str:
    return f"{word} {plain(before)} -> {plain(after)}"

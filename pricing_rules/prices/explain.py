"""Explaining a rate: the walk from it down to the files, rows and digests that it was measured in.

Invariant: the walk uses the price book alone, and every figure in it stands in the book.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from pricing_rules.document import DocumentError
from pricing_rules.money import decimal_text
from pricing_rules.prices.allowances import Allowance
from pricing_rules.prices.conditions import Multiplier
from pricing_rules.prices.matching import matched_as
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry
from pricing_rules.prices.provenance import (
    CardCost,
    HardwareCost,
    MeasuredShape,
    RuleStep,
    SourcedCost,
    UnitFloor,
    WeightedPoint,
)

_COUNTED: Final[dict[str, str]] = {
    "full": "",
    "cash": " without capital and model amortisation",
    "short_run": " over idling, with the margin displaced",
}
"""What the unit cost under a floor counts, by the kind of the floor."""

_NONE: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node of the walk: what it is, and what it rests on."""

    kind: str
    sentence: str
    rests_on: tuple[Step, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The node as JSON values: ``{"kind", "sentence", "rests_on": [...]}``."""
        return {
            "kind": self.kind,
            "sentence": self.sentence,
            "rests_on": [step.as_json() for step in self.rests_on],
        }


def explain_unit(book: PriceBook, *, model: str, service_tier: str, unit: str) -> Step:
    """The walk of every rate of one unit on one card, with the multipliers and the allowances that
    concern it, and of the floor that they share.

    DocumentError where the book has none.
    """
    card = book.card(model=model, service_tier=service_tier)
    if card is None:
        known = ", ".join(f"{c.model} in {c.service_tier}" for c in book.rate_cards[:6])
        raise DocumentError(
            f"book {book.number}",
            f"has no rate card of {model} in {service_tier}; it has {known}",
        )
    entries = [entry for entry in card.rates if entry.unit == unit]
    if not entries:
        known = ", ".join(sorted({entry.unit for entry in card.rates}))
        raise DocumentError(
            f"book {book.number}",
            f"has no rate of {unit} for {model} in {service_tier}; it has {known}",
        )
    return Step(
        kind="price book",
        sentence=f"{book.series} number {book.number} in {book.currency}, {book.digest}",
        rests_on=(
            *(_ruled(book, card=card, entry=entry) for entry in entries),
            *(_multiplier(book, one) for one in book.multipliers if one.concerns(unit)),
            *(
                _allowance(one)
                for one in book.allowances
                if one.covers(model=model, service_tier=service_tier, unit=unit)
            ),
            _floor(book, card=card, unit=unit),
        ),
    )


def explain_band(book: PriceBook, *, card: RateCard, unit: str, when: str) -> Step:
    """The walk of the rate of a band of a charge: its rules, its multipliers, its floor, and what
    that was measured from; or the allowance that made the band free.

    ``when``: the condition that the band shows. LookupError where the book has no such rate.
    """
    matched = matched_as(book, card=card, unit=unit, when=when)
    if matched is None:
        allowance = next((one for one in book.allowances if one.text() == when), None)
        if allowance is None:
            raise LookupError(f'book {book.number} has no rate of {unit} when "{when}"')
        return _allowance(allowance)
    ruled = _ruled(book, card=card, entry=matched.entry)
    multipliers = (_multiplier(book, one) for one in matched.multipliers)
    floor = _floor(book, card=card, unit=unit)
    return Step(
        kind=ruled.kind,
        sentence=ruled.sentence,
        rests_on=(*ruled.rests_on, *multipliers, floor),
    )


def _multiplier(book: PriceBook, multiplier: Multiplier) -> Step:
    return Step(
        kind="multiplier",
        sentence=f"{multiplier.id}: {multiplier.text()}",
        rests_on=tuple(_window(book, name=multiplier.when.window)),
    )


def _allowance(allowance: Allowance) -> Step:
    reset = {
        "billing_period": "billing period",
        "day": f"day of {allowance.zone}",
        "month": f"month of {allowance.zone}",
    }[allowance.reset]
    models = f" of {', '.join(allowance.models)}" if allowance.models else ""
    service_tiers = f" in {', '.join(allowance.service_tiers)}" if allowance.service_tiers else ""
    return Step(
        kind="allowance",
        sentence=f"{allowance.id}: {allowance.quantity:,} {', '.join(allowance.units)}{models}"
        f"{service_tiers} together are free in each {reset}",
    )


def _window(book: PriceBook, *, name: str | None) -> Iterable[Step]:
    if name is not None:
        yield Step(kind="window", sentence=f"{name}: {book.windows[name].text()}")


def _ruled(
    book: PriceBook, *, card: RateCard, entry: RateEntry, seen: frozenset[tuple[str, str]] = _NONE
) -> Step:
    """A rate and its rules. ``seen``: the rates above it, which are not walked again."""
    seen = seen | {(card.service_tier, entry.unit)}
    condition = f" when {entry.when.text()}" if entry.when.text() else ""
    sentence = f"{card.model}, {card.service_tier}, {entry.unit}{condition}: {rate_text(entry)}"
    rules = tuple(
        Step(
            kind="rule",
            sentence=f"{step.rule}: {step.action}: "
            f"{'none' if step.before is None else plain(step.before)} -> {plain(step.after)} "
            f"({step.why})",
            rests_on=tuple(_related(book, card=card, entry=entry, step=step, seen=seen)),
        )
        for step in entry.steps
    )
    window = _window(book, name=entry.when.window)
    return Step(kind="rate", sentence=sentence, rests_on=(*window, *rules))


def _related(
    book: PriceBook,
    *,
    card: RateCard,
    entry: RateEntry,
    step: RuleStep,
    seen: frozenset[tuple[str, str]],
) -> Iterable[Step]:
    """The walk of the rate that a rule took a part of, with its own floor."""
    service_tier, unit = step.related_service_tier, step.related_unit
    if service_tier is None or unit is None or (service_tier, unit) in seen:
        return
    other = book.card(model=card.model, service_tier=service_tier)
    found = [one for one in other.rates if one.unit == unit] if other else []
    if other is None or not found:
        return
    alike = next((one for one in found if one.when == entry.when), found[0])
    ruled = _ruled(book, card=other, entry=alike, seen=seen)
    floor = _floor(book, card=other, unit=unit)
    yield Step(kind="related rate", sentence=ruled.sentence, rests_on=(*ruled.rests_on, floor))


def rate_text(entry: RateEntry) -> str:
    """A rate or a ladder as people read it."""
    if entry.ladder is None:
        return f"{plain(entry.rate or Decimal(0))} per {entry.per:,}"
    bands = ", ".join(
        f"{'above' if band.up_to is None else f'up to {plain(band.up_to)}'}: {plain(band.rate)}"
        for band in entry.ladder.bands
    )
    return f"{entry.ladder.kind} ladder {entry.ladder.id} per {entry.per:,} ({bands})"


def plain(value: Decimal) -> str:
    """A Decimal without trailing zeros or exponent."""
    text = decimal_text(value)
    return text.rstrip("0").rstrip(".") if "." in text else text


def _floor(book: PriceBook, *, card: RateCard, unit: str) -> Step:
    cost, floor = card.cost, _unit_floor(card, unit=unit)
    if cost is None or floor is None:
        reason = card.cost_none or "no measured cost stands behind this rate"
        return Step(kind="cost", sentence=f"cost: none ({reason})")
    return Step(
        kind="floor",
        sentence=_floor_text(floor),
        rests_on=(
            *_raised(book, card=card, floor=floor),
            *_grounds(book, cost=cost, floor=floor),
            *(
                Step(kind="document", sentence=f"{item.role} {item.name}, {item.sha256}")
                for item in book.derived_from
            ),
        ),
    )


def _unit_floor(card: RateCard, *, unit: str) -> UnitFloor | None:
    return next((f for f in card.cost.floors if f.unit == unit), None) if card.cost else None


def _floor_text(floor: UnitFloor) -> str:
    """A service tier's own floor with the sum that makes it."""
    own_floor = floor.raised.own_floor if floor.raised else floor.floor
    return (
        f"{floor.kind} floor {plain(own_floor)} per Mtok = ({plain(floor.unit_cost_per_mtok)} / "
        f"{plain(floor.utilization)} + {plain(floor.variable_per_mtok)}) / (1 - "
        f"{plain(floor.minimum_margin)} - {plain(floor.revenue_share)})"
    )


def _grounds(book: PriceBook, *, cost: CardCost, floor: UnitFloor) -> Iterable[Step]:
    """What a service tier's own floor rests on."""
    yield from _converted(book)
    yield _unit_cost(cost, floor=floor)
    yield from map(_sourced, cost.variable or ())


def _raised(book: PriceBook, *, card: RateCard, floor: UnitFloor) -> Iterable[Step]:
    """The slower service tier whose floor holds, down to what that one rests on."""
    if floor.raised is None:
        return
    slower = book.card(model=card.model, service_tier=floor.raised.service_tier)
    held = _unit_floor(slower, unit=floor.unit) if slower else None
    yield Step(
        kind="running maximum",
        sentence=f"raised from {plain(floor.raised.own_floor)} to {plain(floor.floor)}, the "
        f"floor of {floor.raised.service_tier}, which is slower",
        rests_on=(
            Step(
                kind="floor",
                sentence=_floor_text(held),
                rests_on=tuple(_grounds(book, cost=slower.cost, floor=held)),
            ),
        )
        if slower and slower.cost and held
        else (),
    )


def _converted(book: PriceBook) -> Iterable[Step]:
    if book.exchange is not None:
        yield Step(kind="exchange rate", sentence=book.exchange.text())


def _unit_cost(cost: CardCost, *, floor: UnitFloor) -> Step:
    return Step(
        kind="unit cost",
        sentence=f"{plain(floor.unit_cost_per_mtok)} per Mtok of {floor.unit} at 100 % busy"
        f"{_COUNTED[floor.kind]} in "
        f"pool {cost.pool}, promise: {cost.promise}; hardware weighted at "
        f"{cost.reference_input_tokens} in / {cost.reference_output_tokens} out",
        rests_on=(
            *(_hardware(hardware) for hardware in cost.hardware),
            *((_sourced(cost.model_amortisation),) if cost.model_amortisation else ()),
        ),
    )


def _sourced(cost: SourcedCost) -> Step:
    return Step(
        kind="cost per Mtok",
        sentence=f"{cost.name} {plain(cost.usd_per_mtok)} USD per Mtok ({cost.source})",
    )


def _hardware(hardware: HardwareCost) -> Step:
    return Step(
        kind="hardware",
        sentence=f"{hardware.accelerators} x {hardware.hardware}, weight "
        f"{plain(hardware.share_of_capacity)} (share of the pool's request capacity), "
        f"{plain(hardware.usd_per_hour)} USD/h, {hardware.setup}",
        rests_on=(
            *(
                Step(
                    kind="hour",
                    sentence=f"{part.part} {plain(part.usd_per_hour)} USD/h ({part.source})",
                )
                for part in hardware.parts
            ),
            Step(
                kind="shape fit",
                sentence=f"{hardware.fit}: {plain(hardware.us_per_input_token)} us per input, "
                f"{plain(hardware.us_per_cached_token)} per cached and "
                f"{plain(hardware.us_per_output_token)} per output token",
                rests_on=tuple(_shape(shape) for shape in hardware.shapes),
            ),
        ),
    )


def _shape(shape: MeasuredShape) -> Step:
    clamped = ", clamped to the slowest point" if shape.clamped else ""
    return Step(
        kind="shape",
        sentence=f"{shape.input_tokens} in / {shape.output_tokens} out: measured "
        f"{plain(shape.accelerator_seconds_per_request)} accelerator-seconds, fitted "
        f"{plain(shape.fitted_accelerator_seconds_per_request)}{clamped}",
        rests_on=tuple(_point(point) for point in shape.points),
    )


def _point(point: WeightedPoint) -> Step:
    source = point.source
    rows = ", ".join(str(row) for row in source.rows)
    measured = f", measured {source.measured_date}" if source.measured_date else ""
    return Step(
        kind="operating point",
        sentence=f"weight {plain(point.weight)}: concurrency {point.concurrency}, "
        f"{plain(point.interactivity_tokens_per_s)} tokens/s per user, "
        f"{plain(point.output_tokens_per_s_per_accelerator)} output tokens/s per accelerator; "
        f"{source.file} row {rows}{measured}, {source.sha256}",
    )

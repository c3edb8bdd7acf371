"""What a rate card's floors rest on, as the records that the price book carries, and what is weak
in it.

Invariant: every float leaves through ``quantise``, weights and shares add up to 1 as they are
shown, and the walk from a card to files, rows and digests needs the book alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Final

from pricing_rules.cost.floor import StandingFloor, quantise
from pricing_rules.cost.measurement import OperatingPoint, WeightedPoint
from pricing_rules.cost.readers.measurements import (
    DERIVED_FLAG,
    STATED_ACCELERATORS_FLAG,
    SUSPECT_ACCELERATORS_FLAG,
)
from pricing_rules.cost.readers.serving_run import (
    CACHED_INPUT_FLAG,
    FAILED_REQUESTS_FLAG,
    TELEMETRY_ACCELERATORS_FLAG,
)
from pricing_rules.cost.readers.stated_facts import STATED_POOLS_FLAG
from pricing_rules.cost.shape_fit import FittedShape, MeanShape, ShapeFit, place_in_hull
from pricing_rules.cost.unit_cost import AMORTISATION, HardwareUnitCost
from pricing_rules.document import JsonValue
from pricing_rules.money import decimal_text
from pricing_rules.period import MICROSECONDS
from pricing_rules.rules.floors import CardFloors, Found
from pricing_rules.rules.policy import Policy

DAY_MICROSECONDS = 86_400 * MICROSECONDS

_MADE_BY = {"fit": "fit", "cover": "cover", "roles": "split by roles"}

_STATED = "a person stated how many accelerators they took"

FLAGGED: Final[Mapping[str, str]] = {
    DERIVED_FLAG: "their throughput is derived from TTFT, TPOT and concurrency, which overstates "
    "it by 2 to 5 %, so their floors are that much too low",
    CACHED_INPUT_FLAG: "some of their input came from a prefix cache, so fresh input takes more",
    FAILED_REQUESTS_FLAG: "some of their requests failed; their throughput is that of the others",
    SUSPECT_ACCELERATORS_FLAG: "their file also allows another number of accelerators",
    STATED_ACCELERATORS_FLAG: _STATED,
    STATED_POOLS_FLAG: _STATED,
    TELEMETRY_ACCELERATORS_FLAG: "their accelerators are those that telemetry saw",
}
"""What a flag of a measured point says of the floors that rest on it."""


def card_cost(card: CardFloors, *, policy: Policy) -> dict[str, JsonValue]:
    """The card's cost as a ``CardCost`` in JSON: hardware by name, floors by unit.

    Figures per million tokens are in the policy's currency, hours of hardware in US dollars.
    """
    members = sorted(card.cost.hardware, key=lambda member: member.hardware)
    shares = _adding_to_one([quantise(member.share_of_capacity) for member in members])
    cost: dict[str, JsonValue] = {
        "pool": card.pool.name,
        "promise": card.service_tier.text(),
        "reference_input_tokens": int(card.cost.reference_shape.fresh_input_tokens),
        "reference_output_tokens": int(card.cost.reference_shape.output_tokens),
        "hardware": [
            _hardware(member, share=share) for member, share in zip(members, shares, strict=True)
        ],
        "floors": [_unit_floor(floor, policy=policy) for floor in card.floors.values()],
    }
    if card.cost.amortisation is not None:
        cost["model_amortisation"] = {
            "name": AMORTISATION,
            "usd_per_mtok": decimal_text(quantise(card.cost.amortisation.usd_per_mtok)),
            "source": card.cost.amortisation.source,
        }
    if card.variable:
        cost["variable"] = [
            {
                "name": name,
                "usd_per_mtok": decimal_text(figure.value),
                "source": figure.source_text,
            }
            for name, figure in sorted(card.variable.items())
        ]
    return cost


def weak_spots(
    card: CardFloors, *, requests: Mapping[str, MeanShape], dated_at: int, age_days: int | None
) -> Iterator[Found]:
    """Findings on what a card rests on: an overcharge, an extrapolation, stale measurements.

    ``requests`` are mean requests by what they are (``reference_shape``); each must lie among the
    measured shapes of every hardware. ``dated_at``: the moment that ages are counted to.
    """
    for member in sorted(card.cost.hardware, key=lambda member: member.hardware):
        if member.fit.overcharge_is_finding:
            over = quantise(member.fit.overcharge_worst * 100)
            yield Found(
                kind="overcharge",
                about=f"{card.about}/{member.hardware}",
                sentence=f"{card.about} on {member.hardware}: the {_MADE_BY[member.fit.used]} "
                f"charges one measured shape {over:.0f} % more than it took",
            )
    for what, request in requests.items():
        outside = [
            f"{member.hardware} (nearest measured {verdict.nearest.text})"
            for member in sorted(card.cost.hardware, key=lambda member: member.hardware)
            if not (verdict := place_in_hull(request, shapes=member.fit.shapes)).inside
        ]
        if outside:
            yield Found(
                kind="extrapolated",
                about=f"{card.about}/{what}",
                sentence=f"{card.about}: the {what.replace('_', ' ')} lies outside of the measured "
                f"shapes of {', '.join(outside)}",
            )
    if age_days is not None:
        yield from _stale(card, dated_at=dated_at, age_days=age_days)


def flagged_points(cards: Sequence[CardFloors]) -> Iterator[Found]:
    """Findings on flags of the measured points that floors rest on: one for each flag."""
    for flag, says in FLAGGED.items():
        resting = [
            card
            for card in cards
            if any(flag in p.flags for member in card.cost.hardware for p in _points(member.fit))
        ]
        if resting:
            yield Found(
                kind="flagged",
                about=flag,
                sentence=f"{len(resting)} of {len(cards)} rate cards rest on measured points that "
                f"are flagged {flag}: {says}",
            )


def _stale(card: CardFloors, *, dated_at: int, age_days: int) -> Iterator[Found]:
    points = [point for member in card.cost.hardware for point in _points(member.fit)]
    dates = {point.source.measured_date for point in points}
    known = min((text for text in dates if text is not None), default=None)
    today = dated_at // DAY_MICROSECONDS + date(1970, 1, 1).toordinal()
    if known is not None and today - date.fromisoformat(known).toordinal() > age_days:
        yield Found(
            kind="stale",
            about=card.about,
            sentence=f"{card.about} rests on a measurement of {known}, over {age_days} days old",
        )
    elif None in dates:
        yield Found(
            kind="stale",
            about=card.about,
            sentence=f"{card.about} rests on a measurement without a date, so its age is not known",
        )


def _points(fit: ShapeFit) -> Iterator[OperatingPoint]:
    for shape in fit.shapes:
        for weighted in shape.reading.points:
            yield weighted.point


def _hardware(member: HardwareUnitCost, *, share: Decimal) -> dict[str, JsonValue]:
    fit = member.fit
    return {
        "hardware": member.hardware,
        "accelerators": member.accelerators,
        "share_of_capacity": decimal_text(share),
        "usd_per_hour": decimal_text(quantise(member.hour.usd_per_hour)),
        "parts": [
            {
                "part": part.name,
                "usd_per_hour": decimal_text(quantise(part.usd_per_hour)),
                "source": part.source,
            }
            for part in member.hour.parts
        ],
        "setup": fit.setup.text,
        "fit": fit.used,
        "us_per_input_token": decimal_text(quantise(fit.a_us_per_input_token)),
        "us_per_cached_token": decimal_text(quantise(fit.c_us_per_cached_token)),
        "us_per_output_token": decimal_text(quantise(fit.b_us_per_output_token)),
        "shapes": [_shape(shape) for shape in fit.shapes],
    }


def _shape(shape: FittedShape) -> dict[str, JsonValue]:
    points = shape.reading.points
    weights = _adding_to_one([quantise(weighted.weight) for weighted in points])
    return {
        "input_tokens": shape.reading.shape.input_tokens,
        "output_tokens": shape.reading.shape.output_tokens,
        "accelerator_seconds_per_request": decimal_text(quantise(shape.accelerator_s_per_request)),
        "fitted_accelerator_seconds_per_request": decimal_text(
            quantise(shape.fitted_accelerator_s_per_request)
        ),
        "clamped": shape.reading.status == "clamped",
        "points": [
            _point(weighted, weight=weight)
            for weighted, weight in zip(points, weights, strict=True)
        ],
    }


def _point(weighted: WeightedPoint, *, weight: Decimal) -> dict[str, JsonValue]:
    point, source = weighted.point, weighted.point.source
    rows: dict[str, JsonValue] = {
        "file": source.file,
        "sha256": source.sha256,
        "rows": sorted(source.rows),
    }
    if source.measured_date is not None:
        rows["measured_date"] = source.measured_date
    return {
        "weight": decimal_text(weight),
        "concurrency": point.concurrency,
        "interactivity_tokens_per_s": decimal_text(quantise(point.interactivity_tokens_per_s)),
        "output_tokens_per_s_per_accelerator": decimal_text(
            quantise(point.output_tokens_per_s_per_accelerator)
        ),
        "source": rows,
    }


def _unit_floor(standing: StandingFloor, *, policy: Policy) -> dict[str, JsonValue]:
    own = standing.own.floor

    def money(usd: Decimal) -> str:
        return decimal_text(policy.converted(usd))

    dumped: dict[str, JsonValue] = {
        "unit": own.unit,
        "kind": own.kind,
        "unit_cost_per_mtok": money(own.unit_cost_usd_per_mtok),
        "utilization": decimal_text(own.terms.utilization),
        "variable_per_mtok": money(own.terms.variable_usd_per_mtok),
        "minimum_margin": decimal_text(own.terms.minimum_margin),
        "revenue_share": decimal_text(own.terms.revenue_share),
        "floor": money(standing.usd_per_mtok),
    }
    if standing.raised_by is not None:
        dumped["raised"] = {
            "service_tier": standing.raised_by,
            "own_floor": money(own.usd_per_mtok),
        }
    return dumped


def _adding_to_one(parts: Sequence[Decimal]) -> list[Decimal]:
    """The same parts, the last one being what the others leave: each is rounded for itself."""
    return [*parts[:-1], 1 - sum(parts[:-1], Decimal(0))]

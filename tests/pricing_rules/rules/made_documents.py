"""A factory, a policy and measurements made up for the tests of the rules engine.

Invariant: what a test does not name has one plain value: one kind of hardware at 1.80 an hour, half
of it sold, and on it the worked example of the shape fit (a = 87.3 us, b = 412.7 us) at 60 tokens/s
per user, twice as much at 120.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pricing_rules.cost.factory import Factory, load_factory
from pricing_rules.cost.measurement import OperatingPoint, Shape
from pricing_rules.cost.readers.measurements import Measurements, RefusedRow
from pricing_rules.period import parse_moment
from pricing_rules.prices.price_book import PriceBook, RateCard, RateEntry
from pricing_rules.prices.provenance import InputDocument
from pricing_rules.rules.derivation import derive
from pricing_rules.rules.market import Market
from pricing_rules.rules.policy import Policy, load_policy
from pricing_rules.rules.predicate import RateFacts
from tests.pricing_rules.cost.made_points import made_point, made_setup

EFFECTIVE_FROM = parse_moment("2026-12-01T00:00:00Z")

SHORT = Shape(input_tokens=1000, output_tokens=1000)
LONG = Shape(input_tokens=8000, output_tokens=1000)

INPUTS = (
    InputDocument(role="policy", name="policy.yaml", sha256="sha256:1"),
    InputDocument(role="factory", name="factory.yaml", sha256="sha256:2"),
    InputDocument(role="measurement", name="made.csv", sha256="sha256:0"),
)


def figure(value: str) -> dict[str, str]:
    """A sourced figure."""
    return {"value": value, "source": "made up", "source_date": "2026-10-01"}


def made_factory(
    *,
    usd_per_hour: Mapping[str, str] | None = None,
    models: Sequence[str] = ("m",),
    service_tiers: Sequence[str] = ("batch", "standard", "priority"),
    utilization: str = "0.5",
    variable: str = "0",
) -> Factory:
    """One shared pool of 10 accelerators of each hardware."""
    hours = usd_per_hour or {"h100_sxm": "1.80"}
    document = {
        "schema": "tokenworks.factory/1",
        "name": "made",
        "hardware": {
            name: {"rented": {"all_in_usd_per_hour": figure(usd)}} for name, usd in hours.items()
        },
        "pools": [
            {
                "name": "main",
                "use": "shared",
                "hardware": dict.fromkeys(hours, 10),
                "models": list(models),
                "service_tiers": list(service_tiers),
                "utilization": figure(utilization),
            }
        ],
        "variable_usd_per_mtok": {"egress": figure(variable)},
    }
    return load_factory(json.dumps(document).encode(), name="factory.yaml")


def made_service_tier(
    name: str, *, promise: int | None = None, margin: str = "0.20", statistic: str = "mean"
) -> dict[str, Any]:
    """A service tier of the pool ``main``."""
    document: dict[str, Any] = {"name": name, "pool": "main", "minimum_margin": margin}
    if promise is not None:
        document["promise"] = {"interactivity_tokens_per_s": promise, "statistic": statistic}
    return document


def made_rule(id_: str, *, then: Mapping[str, Any], when: Mapping[str, Any] | None = None) -> Any:
    """A rule with a reason."""
    return {"id": id_, "when": dict(when or {}), "then": dict(then), "why": f"why {id_}"}


def set_to(rate: str, *, when: Mapping[str, Any], id_: str = "set") -> Any:
    """A rule that sets a rate."""
    return made_rule(id_, then={"action": "set", "rate": rate}, when=when)


def policy_document(
    *,
    rules: Sequence[Any] = (),
    service_tiers: Sequence[Any] = (),
    changed: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """``policy.yaml`` as a value; ``changed`` replaces whole sections."""
    return {
        "schema": "tokenworks.policy/1",
        "series": "made",
        "currency": "USD",
        "reference_shape": {"input_tokens": 1000, "output_tokens": 1000},
        "revenue_share": figure("0"),
        "cached_share": figure("0.10"),
        "models": [{"name": "m", "precision": "fp8"}],
        "service_tiers": list(service_tiers) or [made_service_tier("standard", promise=60)],
        "rules": list(rules),
        **(changed or {}),
    }


def made_policy(
    *,
    rules: Sequence[Any] = (),
    service_tiers: Sequence[Any] = (),
    changed: Mapping[str, Any] | None = None,
) -> Policy:
    """The policy of ``policy_document``."""
    document = policy_document(rules=rules, service_tiers=service_tiers, changed=changed)
    return load_policy(json.dumps(document).encode(), name="policy.yaml")


def facts_of(**changed: Any) -> RateFacts:
    """The facts of an output rate of ``m`` in ``standard`` without conditions."""
    plain: dict[str, Any] = {
        "model": "m",
        "precision": "fp8",
        "service_tier": "standard",
        "pool": "main",
        "unit": "output_tokens",
        "interruptible": False,
        "promised_tokens_per_s": 60,
        "region": "",
        "window": "",
        "request_tokens_at_least": 0,
        "dimensions": {},
    }
    return RateFacts(**plain | changed)


def made_points(
    hardware: str = "h100_sxm",
    *,
    model: str = "m",
    fast_share: float = 0.5,
    measured_date: str | None = "2026-03-01",
    first_row: int = 2,
) -> tuple[OperatingPoint, ...]:
    """Both shapes at 60 tokens/s per user and, at ``fast_share`` of the throughput, at 120."""
    setup = made_setup(hardware, model=model)
    made = ((60, 1.0, 8), (120, fast_share, 1))
    return tuple(
        made_point(
            interactivity,
            output=output * share,
            setup=setup,
            shape=shape,
            concurrency=concurrency,
            measured_date=measured_date,
            row=first_row + 2 * i + j,
        )
        for i, (shape, output) in enumerate(((SHORT, 2000), (LONG, 900)))
        for j, (interactivity, share, concurrency) in enumerate(made)
    )


def measured(
    points: Sequence[OperatingPoint] = (), *, refused: Sequence[RefusedRow] = ()
) -> Measurements:
    """Measurements of these points, or of ``made_points()``."""
    return Measurements(points=tuple(points) or made_points(), refused=tuple(refused))


def made_book(
    *,
    rules: Sequence[Any] = (),
    service_tiers: Sequence[Any] = (),
    changed: Mapping[str, Any] | None = None,
    factory: Factory | None = None,
    measurements: Measurements | None = None,
    markets: Sequence[Market] = (),
    previous: PriceBook | None = None,
    number: int = 1,
) -> PriceBook:
    """The candidate that these give."""
    return derive(
        factory or made_factory(),
        policy=made_policy(rules=rules, service_tiers=service_tiers, changed=changed),
        measurements=measurements or measured(),
        number=number,
        effective_from=EFFECTIVE_FROM,
        inputs=INPUTS,
        markets=markets,
        previous=previous,
    )


def card_of(book: PriceBook, *, service_tier: str = "standard", model: str = "m") -> RateCard:
    """The card, which must be there."""
    card = book.card(model=model, service_tier=service_tier)
    assert card is not None
    return card


def entry_of(
    book: PriceBook, unit: str, *, service_tier: str = "standard", when: str = ""
) -> RateEntry:
    """The one rate of the model ``m`` under these conditions."""
    found = [
        entry
        for entry in card_of(book, service_tier=service_tier).rates
        if entry.unit == unit and entry.when.text() == when
    ]
    assert len(found) == 1
    return found[0]


def rate_of(book: PriceBook, unit: str, *, service_tier: str = "standard", when: str = "") -> str:
    """That rate as text."""
    return str(entry_of(book, unit, service_tier=service_tier, when=when).rate)


def finding_ids(book: PriceBook, *, kind: str = "") -> list[str]:
    """Ids of the findings of one kind, or of all."""
    return [finding.id for finding in book.findings if kind in ("", finding.kind)]

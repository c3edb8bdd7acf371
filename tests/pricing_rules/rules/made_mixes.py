"""Usage mixes made up for the tests of the rules engine.

Invariant: four weeks from a Monday, one account, and requests of one size, where a test does not
say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pricing_rules.cost.factory import Factory
from pricing_rules.document import JsonValue, validate
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.rules.derivation import derive
from pricing_rules.usage.mix import UsageMix
from tests.pricing_rules.rules.made_documents import (
    EFFECTIVE_FROM,
    INPUTS,
    made_factory,
    made_policy,
    measured,
)


def made_entry(
    *,
    account: str = "acme",
    model: str = "m",
    service_tier: str = "standard",
    tokens: tuple[int, int, int] = (1000, 0, 1000),
    by_hour: Mapping[int, int] | None = None,
) -> dict[str, JsonValue]:
    """Requests of so many fresh, cached and output tokens, as many as ``by_hour`` has."""
    hours = by_hour or {0: 4}
    events = sum(hours.values())
    fresh, cached, output = (count * events for count in tokens)
    leaves: dict[str, JsonValue] = {
        "input_tokens": fresh, "cache_read_tokens": cached, "output_tokens": output,
    }  # fmt: skip
    return {
        "account": account,
        "model": model,
        "service_tier": service_tier,
        "events": events,
        "leaves": {unit: count for unit, count in leaves.items() if count},
        "shapes": [
            {
                "events": events,
                "input_tokens": fresh + cached,
                "cache_read_tokens": cached,
                "output_tokens": output,
            }
        ],
        "events_by_hour_of_week": [hours.get(hour, 0) for hour in range(168)],
    }


def made_mix(
    *entries: dict[str, JsonValue],
    start: str = "2026-10-26T00:00:00Z",
    end: str = "2026-11-23T00:00:00Z",
) -> UsageMix:
    """The mix of these entries over 28 days."""
    document: JsonValue = {
        "schema": "tokenworks.usage-mix/1",
        "start_at": start,
        "end_at": end,
        "entries": list(entries),
    }
    return validate(UsageMix, document, name="mix.json", lines={})


def mixed_book(
    *mixes: UsageMix,
    rules: Sequence[Any] = (),
    service_tiers: Sequence[Any] = (),
    changed: Mapping[str, Any] | None = None,
    factory: Factory | None = None,
) -> PriceBook:
    """The candidate book over these mixes."""
    return derive(
        factory or made_factory(),
        policy=made_policy(rules=rules, service_tiers=service_tiers, changed=changed),
        measurements=measured(),
        number=1,
        effective_from=EFFECTIVE_FROM,
        inputs=INPUTS,
        mixes=mixes,
    )

"""Capacity plans and efficiency documents made up for the tests of planning.

Invariant: what a test does not name has one plain value: the Rubin figures of NVIDIA's keynote for
a plan, the worked example of the design for a window.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pricing_rules.period import parse_moment
from pricing_rules.planning.capacity_plan import CapacityPlan, load_capacity_plan
from pricing_rules.planning.efficiency_document import EfficiencyDocument, load_efficiency
from pricing_rules.prices.price_book import PriceBook
from tests.pricing_rules.rules.made_documents import figure, made_book, made_factory

EXAMPLES = Path(__file__).parent / "examples"

OLD_FROM = parse_moment("2026-09-01T00:00:00Z")
NEW_FROM = parse_moment("2026-12-01T00:00:00Z")

RUBIN = {
    "free": ("0", "1650000"),
    "medium": ("3", "1600000"),
    "high": ("6", "700000"),
    "premium": ("45", "200000"),
}
"""Rate in USD per Mtok and tokens/s per MW."""


def served(name: str, **figures: str) -> dict[str, Any]:
    """One service tier of a plan; ``model_class`` is a name, all else are figures."""
    rate, per_mw = RUBIN.get(name, ("1", "1000000"))
    stated = {"rate_usd_per_mtok": rate, "tokens_per_s_per_mw": per_mw, **figures}
    return {
        "name": name,
        **{key: value if key == "model_class" else figure(value) for key, value in stated.items()},
    }


def plan_document(
    *service_tiers: Mapping[str, Any],
    site_mw: str | None = "1000",
    objective: str = "revenue",
    classes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A plan as a value; ``classes`` are minimum shares by name."""
    return {
        "schema": "tokenworks.capacity/1",
        "name": "made",
        "objective": objective,
        **({} if site_mw is None else {"site_mw": figure(site_mw)}),
        "service_tiers": list(service_tiers),
        "model_classes": [
            {"name": name, "minimum_share": figure(share)}
            for name, share in (classes or {}).items()
        ],
    }


def made_plan(
    *service_tiers: Mapping[str, Any],
    site_mw: str | None = "1000",
    objective: str = "revenue",
    classes: Mapping[str, str] | None = None,
) -> CapacityPlan:
    """The plan of ``plan_document``, read as a file would be."""
    value = plan_document(*service_tiers, site_mw=site_mw, objective=objective, classes=classes)
    return load_capacity_plan(json.dumps(value).encode(), name="plan.yaml")


def example(name: str) -> bytes:
    """An example document that ships with these tests."""
    return (EXAMPLES / name).read_bytes()


def window_document(**changed: Any) -> dict[str, Any]:
    """The worked example of the design as a value: one day of 100 accelerators.

    A field that is changed to None is left out.
    """
    value = {
        "schema": "tokenworks.efficiency/1",
        "name": "day",
        "model": "m",
        "service_tier": "standard",
        "start_at": "2026-10-01T00:00:00Z",
        "end_at": "2026-10-02T00:00:00Z",
        "accelerators": 100,
        "availability": figure("0.95"),
        "busy_share": figure("0.55"),
        "real_share": figure("0.90"),
        "good_share": figure("0.97"),
        "frontier_tokens_per_s": figure("1200"),
        "energy": {"facility_kw_per_accelerator": figure("1.44")},
        "peak": {"precision": "fp8", "dense_pflops_per_accelerator": figure("1.979")},
        "usd_per_accelerator_hour": figure("1.80"),
        **changed,
    }
    return {key: field for key, field in value.items() if field is not None}


def made_window(**changed: Any) -> EfficiencyDocument:
    """The document of ``window_document``, read as a file would be."""
    return load_efficiency(json.dumps(window_document(**changed)).encode(), name="day.yaml")


def counted(*, good: Mapping[str, int], lost: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Counted tokens with a source."""
    return {
        "good": dict(good),
        **({} if lost is None else {"lost": dict(lost)}),
        "source": "made up",
        "source_date": "2026-10-02",
    }


def revised_book(number: int, *, usd_per_hour: str = "1.80", **changed: Any) -> PriceBook:
    """Number 1 takes effect in September, number 2 in December."""
    made = made_book(factory=made_factory(usd_per_hour={"h100_sxm": usd_per_hour}), **changed)
    return made.model_copy(
        update={"number": number, "effective_from": OLD_FROM if number == 1 else NEW_FROM}
    )

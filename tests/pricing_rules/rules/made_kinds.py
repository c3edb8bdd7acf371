"""A factory with an owned accelerator, and service tiers of each kind of floor, made up for tests.

Invariant: an hour is 1.80, as in the other made documents, so that their sums carry over.
"""

from __future__ import annotations

import json
from typing import Any

from pricing_rules.cost.factory import Factory, load_factory
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.provenance import CardCost
from tests.pricing_rules.rules.made_documents import card_of, figure, made_service_tier

IDLE_USE = {
    "expected_accelerator_hours_per_week": figure("100"),
    "idle_accelerator_hours_per_week": figure("100"),
}


def owned_factory(**changed: Any) -> Factory:
    """10 owned accelerators: 1.25 of capital, .10 of electricity and .45 of staff make 1.80 an
    hour; serving adds .06 to idling.
    """
    owned = {
        # 10,950 over one year of 8,760 hours: 1.25
        "accelerator_price_usd": figure("10950"),
        "system_share_usd": figure("0"),
        "network_storage_share_usd": figure("0"),
        "life_years": figure("1"),
        "depreciation": {"basis": "straight"},
        "datacentre_usd_per_kw_month": figure("0"),
        "electricity_usd_per_kwh": figure("0.10"),
        "staff_software_usd_per_hour": figure("0.45"),
        "availability": figure("1"),
    }
    document = {
        "schema": "tokenworks.factory/1",
        "name": "made",
        "hardware": {
            "h100_sxm": {
                "owned": {**owned, **changed.pop("owned", {})},
                "power": {
                    "it_kw": figure("1"),
                    "it_idle_kw": figure("0.4"),
                    "pue": figure("1"),
                },
            }
        },
        "pools": [
            {
                "name": "main",
                "use": "shared",
                "hardware": {"h100_sxm": 10},
                "models": ["m"],
                "service_tiers": ["full", "cash", "night"],
                "utilization": figure("0.5"),
                **changed.pop("pool", {}),
            }
        ],
        "variable_usd_per_mtok": {"egress": figure("0.01")},
        "models": {
            "m": {
                "cost_usd": figure("2000000"),
                "over_mtok": figure("20000000"),
                "licence_usd_per_mtok": figure("0.03"),
            }
        },
        **changed,
    }
    return load_factory(json.dumps(document).encode(), name="factory.yaml")


def kinds(**night: Any) -> list[dict[str, Any]]:
    """Service tiers full, cash and night (short_run), without promises; ``night`` has changes."""
    return [
        made_service_tier("full"),
        {**made_service_tier("cash", margin="0"), "floor_kind": "cash"},
        {
            **made_service_tier("night", margin="0"),
            "interruptible": True,
            "floor_kind": "short_run",
            "idle_use": IDLE_USE,
            **night,
        },
    ]


def cost_of(book: PriceBook, *, service_tier: str) -> CardCost:
    """What the floors of the model ``m`` rest on."""
    cost = card_of(book, service_tier=service_tier).cost
    assert cost is not None
    return cost


def output_floor(book: PriceBook, *, service_tier: str) -> str:
    """The floor of its output as text."""
    floors = cost_of(book, service_tier=service_tier).floors
    return str(next(one.floor for one in floors if one.unit == "output_tokens"))

"""Market snapshots made up for the tests of comparisons.

Invariant: what a test does not name has one plain value: dollars on 2026-11-20, output of ``m``.
"""

from __future__ import annotations

import json
from typing import Any

from pricing_rules.rules.market import Market, load_market


def offer(per_mtok: str, by: str, **changed: str) -> dict[str, str]:
    """What ``by`` asks for a million output tokens of ``m``."""
    plain = {"model": "m", "unit": "output_tokens", "per_mtok": per_mtok, "offered_by": by}
    return plain | changed


def made_market(*offers: dict[str, str], **changed: Any) -> Market:
    """A snapshot of these offers."""
    document = {
        "schema": "tokenworks.market/1",
        "source": "a page",
        "snapshot_date": "2026-11-20",
        "currency": "USD",
        "rates": list(offers),
        **changed,
    }
    return load_market(json.dumps(document).encode(), name="market.json")

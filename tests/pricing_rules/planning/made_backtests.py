"""Books with measured costs, and usage for them, for the tests of backtests.

Invariant: a floor says only its unit cost, its utilization and its variable cost; every other
figure is a plain default, so that a sum can be done by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pricing_rules.period import Period, parse_moment
from pricing_rules.planning.backtest import Backtest, backtest, backtest_grid
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.usage.totals import Cell, UsageTotal
from tests.pricing_rules.prices.made_books import book_json, in_force, read_book

Json = dict[str, Any]

MTOK = 10**6
OCTOBER_AT = parse_moment("2026-10-01T00:00:00Z")
NOVEMBER_AT = parse_moment("2026-11-01T00:00:00Z")
DECEMBER_AT = parse_moment("2026-12-01T00:00:00Z")
OCTOBER = Period(start_at=OCTOBER_AT, end_at=NOVEMBER_AT)
NOVEMBER = Period(start_at=NOVEMBER_AT, end_at=DECEMBER_AT)


def floor(
    unit: str, unit_cost: str, *, lowest: str, utilization: str = "1", variable: str = "0"
) -> Json:
    """The floor of one unit per million."""
    return {
        "unit": unit,
        "kind": "full",
        "unit_cost_per_mtok": unit_cost,
        "utilization": utilization,
        "variable_per_mtok": variable,
        "minimum_margin": "0",
        "revenue_share": "0",
        "floor": lowest,
    }


def costed_card(
    rates: Mapping[str, str | Json],
    floors: Sequence[Json] = (),
    *,
    model: str = "m",
    service_tier: str = "standard",
) -> Json:
    """A rate card: per unit a rate, or the fields of one; with the cost that these floors are."""
    card: Json = {
        "model": model,
        "service_tier": service_tier,
        "rates": [
            {"unit": unit.partition(" ")[0], **({"rate": rate} if isinstance(rate, str) else rate)}
            for unit, rate in rates.items()
        ],
    }
    if floors:
        card["cost"] = {
            "pool": "p",
            "promise": "none",
            "reference_input_tokens": 1000,
            "reference_output_tokens": 100,
            "hardware": [],
            "floors": list(floors),
        }
    return card


def books(*cards: Json, number: int = 1, **fields: Any) -> BooksInForce:
    """One book of these cards, alone in force from 2026-10-01."""
    return in_force(read_book({**book_json(cards, number=number), **fields}))


def used(
    leaves: Mapping[str, int],
    *,
    account: str = "acme",
    model: str = "m",
    service_tier: str = "standard",
    at: str = "2026-10-02T12:00:00Z",
    size_tokens: int = 0,
    region: str = "",
    outcome: str = "completed",
    events: int = 1,
) -> Json:
    """Usage of one kind, before it is cut."""
    return {
        "cell": {
            "account": account,
            "epoch": 0,
            "model": model,
            "service_tier": service_tier,
            "region": region,
            "outcome": outcome,
        },
        "at": parse_moment(at),
        "size_tokens": size_tokens,
        "events": events,
        "leaves": dict(leaves),
    }


def run_backtest(
    usage: Sequence[Json],
    *,
    after: BooksInForce,
    before: BooksInForce,
    months: Sequence[Period] = (OCTOBER, NOVEMBER),
) -> Backtest:
    """The backtest of usage, cut by the grid of both sides."""
    grid = backtest_grid(after, before=before, months=months)
    totals = [
        UsageTotal(
            cell=Cell(
                **one["cell"],
                segment_start_at=grid.segment_start_at(one["at"]),
                size_class_tokens=grid.size_class_tokens(one["size_tokens"]),
                dimensions=(),
                windows=grid.windows_at(one["at"]),
            ),
            events=one["events"],
            leaves=one["leaves"],
        )
        for one in usage
    ]
    return backtest(totals, after=after, before=before, months=months)


def revenue(found: Backtest) -> tuple[object, object]:
    """The revenue of both sides, to compare with plain numbers."""
    return found.total.before.revenue, found.total.after.revenue

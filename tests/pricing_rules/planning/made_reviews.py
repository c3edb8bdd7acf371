"""Books whose cards have hardware, and periods of usage, for the tests of pricing reviews.

Ten accelerators at 3.60 an hour, 0.001 a second: an input token takes 100 us and costs 0.10 a
million, a cached one 10 us and 0.01, an output token 1,000 us and 1. At a utilization of 0.5, with
0.02 variable and a margin of 0.2, the floors are (0.2 + 0.02) / 0.8 = 0.275, (0.02 + 0.02) / 0.8 =
0.05 and (2 + 0.02) / 0.8 = 2.525.

Invariant: nothing here skips validation, and every figure is one that a sum can be done with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from pricing_rules.period import Period, parse_moment
from pricing_rules.planning.pool_use import pools_of_book
from pricing_rules.planning.review import PricingReview, UsedPeriod, pricing_review
from pricing_rules.planning.unit_takings import UnitKey
from pricing_rules.prices.price_book import BooksInForce, PriceBook
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.usage.totals import Cell, UsageTotal
from tests.pricing_rules.prices.made_books import book_json, in_force, read_book

Json = dict[str, Any]

MTOK = 10**6
AT = parse_moment("2026-10-26T08:00:00Z")
WEEK = Period(
    start_at=parse_moment("2026-10-19T00:00:00Z"), end_at=parse_moment("2026-10-26T00:00:00Z")
)
BEFORE = Period(start_at=parse_moment("2026-10-12T00:00:00Z"), end_at=WEEK.start_at)
HOURS = 7 * 24 * 10
"""Accelerator-hours of the pool in a week: 1,680, which cost 6,048."""

UNIT_COSTS = {"input_tokens": "0.10", "cache_read_tokens": "0.01", "output_tokens": "1"}
FLOORS = {"input_tokens": "0.275", "cache_read_tokens": "0.05", "output_tokens": "2.525"}
RATES = {"input_tokens": "0.5", "cache_read_tokens": "0.1", "output_tokens": "4"}


def row(*cells: object) -> tuple[object, ...]:
    """Values to compare with whole numbers and texts at once."""
    return cells


def hardware(**changed: Any) -> Json:
    """Ten accelerators that are all of a pool."""
    return {
        "hardware": "h",
        "accelerators": 10,
        "share_of_capacity": "1",
        "usd_per_hour": "3.60",
        "parts": [{"part": "all_in", "usd_per_hour": "3.60", "source": "made up"}],
        "setup": "h tp1",
        "fit": "fit",
        "us_per_input_token": "100",
        "us_per_cached_token": "10",
        "us_per_output_token": "1000",
        "shapes": [measured("2026-10-01")],
        **changed,
    }


def measured(*dates: str | None) -> Json:
    """A measured shape of one point for each date."""
    return {
        "input_tokens": 1000,
        "output_tokens": 100,
        "accelerator_seconds_per_request": "0.2",
        "fitted_accelerator_seconds_per_request": "0.2",
        "clamped": False,
        "points": [
            {
                "weight": "1",
                "concurrency": 1,
                "interactivity_tokens_per_s": "50",
                "output_tokens_per_s_per_accelerator": "500",
                "source": {
                    "file": "made.csv",
                    "sha256": "sha256:0",
                    "rows": [2],
                    **({"measured_date": day} if day else {}),
                },
            }
            for day in dates
        ],
    }


def floors(**changed: Any) -> list[Json]:
    """The three floors; ``changed``: fields that all of them get."""
    return [
        {
            "unit": unit,
            "kind": "full",
            "unit_cost_per_mtok": unit_cost,
            "utilization": "0.5",
            "variable_per_mtok": "0.02",
            "minimum_margin": "0.2",
            "revenue_share": "0",
            "floor": FLOORS[unit],
            **changed,
        }
        for unit, unit_cost in UNIT_COSTS.items()
    ]


def card(
    rates: Mapping[str, str | Json] = RATES,
    *,
    model: str = "m",
    service_tier: str = "standard",
    cost: Json | None = None,
    extra: Sequence[Json] = (),
) -> Json:
    """A card with these rates; ``cost`` changes what it rests on, ``extra`` are more rates."""
    return {
        "model": model,
        "service_tier": service_tier,
        "rates": [
            *(
                {"unit": unit, **({"rate": rate} if isinstance(rate, str) else rate)}
                for unit, rate in rates.items()
            ),
            *extra,
        ],
        "cost": {
            "pool": "main",
            "promise": "none",
            "reference_input_tokens": 1000,
            "reference_output_tokens": 100,
            "hardware": [hardware()],
            "floors": floors(),
            **(cost or {}),
        },
    }


def uncosted_card(rates: Mapping[str, str] = RATES, *, model: str = "m") -> Json:
    """A card without a measured cost."""
    value = {name: part for name, part in card(rates, model=model).items() if name != "cost"}
    return {**value, "cost_none": "never measured"}


def book(*cards: Json, number: int = 1, **fields: Any) -> PriceBook:
    """A book of these cards in force from 2026-10-01."""
    return read_book({**book_json(cards or [card()], number=number), **fields})


def books(*listed: PriceBook) -> BooksInForce:
    """These books as one series."""
    return in_force(*(listed or [book()]))


def used(
    leaves: Mapping[str, int],
    *,
    account: str = "acme",
    model: str = "m",
    service_tier: str = "standard",
    at: str = "2026-10-20T12:00:00Z",
    outcome: str = "completed",
    events: int = 1,
) -> Json:
    """Usage of one kind, before it is cut."""
    names = {"account": account, "model": model, "service_tier": service_tier, "outcome": outcome}
    return {"cell": names, "at": parse_moment(at), "events": events, "leaves": dict(leaves)}


def period_of(
    usage: Sequence[Json],
    *,
    under: BooksInForce,
    period: Period = WEEK,
    off_shares: Mapping[UnitKey, Fraction] | None = None,
) -> UsedPeriod:
    """The usage in a period, rated, with the pools of the book in force at its end."""
    grid = grid_for(under, period=None)
    bounds = {*grid.instants_at, WEEK.start_at, BEFORE.start_at}
    grid = replace(grid, instants_at=tuple(sorted(bounds)))
    totals = [
        UsageTotal(
            cell=Cell(
                **one["cell"],
                epoch=0,
                region="",
                size_class_tokens=0,
                dimensions=(),
                segment_start_at=grid.segment_start_at(one["at"]),
                windows=grid.windows_at(one["at"]),
            ),
            events=one["events"],
            leaves=one["leaves"],
        )
        for one in usage
        if one["at"] in period
    ]
    rating = rate_totals(totals, books=under, grid=grid)
    at_end = under.at(period.end_at - 1)
    return UsedPeriod(
        period=period,
        totals=totals,
        charges=rating.charges,
        unpriced=rating.unpriced,
        off_shares=dict(off_shares or {}),
        pools=pools_of_book(at_end, period=period) if at_end else (),
    )


def review_of(
    usage: Sequence[Json],
    *,
    under: BooksInForce | None = None,
    off_shares: Mapping[UnitKey, Fraction] | None = None,
    **changed: Any,
) -> PricingReview:
    """The review of a week and the week before, under one series of books."""
    series = under or books()
    arguments: dict[str, Any] = {
        "before": period_of(usage, under=series, period=BEFORE),
        "books": series,
        "previous": None,
        "markets": (),
        "policy": None,
        "at": AT,
        "stale_days": 90,
    }
    reviewed = period_of(usage, under=series, off_shares=off_shares)
    return pricing_review(reviewed, **{**arguments, **changed})

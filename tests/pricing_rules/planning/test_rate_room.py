"""The room of each rate over its floor and under the market, and what it needs to break even."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from pricing_rules.planning.rate_room import RateRoom, rate_rooms
from pricing_rules.rules.market import Market, load_market
from tests.pricing_rules.planning.made_reviews import book, card, floors, row, uncosted_card


def market(*offers: tuple[str, str, str], snapshot_date: str = "2026-10-20") -> Market:
    """A snapshot of offers of m: (unit, rate, who)."""
    value = {
        "schema": "tokenworks.market/1",
        "source": "made up",
        "snapshot_date": snapshot_date,
        "currency": "USD",
        "rates": [
            {"model": "m", "unit": unit, "per_mtok": rate, "offered_by": who}
            for unit, rate, who in offers
        ],
    }
    return load_market(json.dumps(value).encode(), name="market.json")


def room(unit: str = "output_tokens", *, rate: str = "4") -> RateRoom:
    """The room of one rate alone on its card."""
    (found,) = rate_rooms(book(card({unit: rate})), previous=None, markets=())
    return found


def test_a_rate_lies_over_its_floor_and_breaks_even_below_its_utilization() -> None:
    found = room()
    # 4 - 2.525 is 1.475, over 2.525; 1 / U + 0.02 = 4.
    assert found.room == Fraction("1.475")
    assert found.room_share == Fraction("1.475") / Fraction("2.525")
    assert found.break_even_utilization == 1 / Fraction("3.98")
    assert found.about == "m/standard/output_tokens"


@pytest.mark.parametrize("rate, under", [("2.524", True), ("2.525", False), ("2.526", False)])
def test_a_rate_at_its_floor_is_not_under_it(rate: str, under: bool) -> None:
    assert room(rate=rate).is_under_floor is under


def test_the_break_even_utilization_is_the_stated_one_where_the_margin_is_gone() -> None:
    # (1 / 0.5 + 0.02) is the floor at m = 0.
    assert room(rate="2.02").break_even_utilization == Fraction(1, 2)
    assert room(rate="1").break_even_utilization == 1 / Fraction("0.98")  # over 1: never reached
    assert room(rate="0.02").break_even_utilization is None  # the variable cost and no more


def test_fees_go_away_before_a_rate_breaks_even() -> None:
    value = card({"output_tokens": "4"}, cost={"floors": floors(revenue_share="0.5")})
    (found,) = rate_rooms(book(value), previous=None, markets=())
    assert found.break_even_utilization == 1 / Fraction("1.98")


def test_a_rate_is_taken_at_the_lowest_that_usage_may_meet() -> None:
    bands = [
        {"up_to": "10", "rate": "4"},
        {"rate": "3"},
    ]
    ladder = {"ladder": {"id": "l", "kind": "graduated", "bands": bands}}
    cuts = [
        {"id": "night", "factor": "0.5", "when": {"region": "eu"}},
        {"id": "dear", "factor": "2", "when": {"region": "us"}},
        {"id": "input", "factor": "0.1", "when": {}, "units": ["input_tokens"]},
    ]
    found = rate_rooms(
        book(card({"output_tokens": ladder, "input_tokens": "0.5"}), multipliers=cuts),
        previous=None,
        markets=(),
    )
    # 3 x 0.5, and 0.5 x 0.5 x 0.1.
    rates = {one.unit: one.rate for one in found}
    assert rates == {"output_tokens": Fraction(3, 2), "input_tokens": Fraction(1, 40)}


def test_rates_are_compared_per_million() -> None:
    per = {"rate": "0.004", "per": 1000}
    (found,) = rate_rooms(book(card({"output_tokens": per})), previous=None, markets=())
    assert found.rate == 4
    band = {"ladder": {"id": "l", "kind": "volume", "bands": [{"rate": "0.004"}]}, "per": 1000}
    (laddered,) = rate_rooms(book(card({"output_tokens": band})), previous=None, markets=())
    assert laddered.rate == 4


def test_the_least_room_comes_first_and_rates_without_a_floor_last() -> None:
    value = book(card({"input_tokens": "0.3", "output_tokens": "2"}), uncosted_card(model="n"))
    found = rate_rooms(value, previous=None, markets=())
    assert [one.about for one in found[:2]] == [
        "m/standard/output_tokens",
        "m/standard/input_tokens",
    ]
    bare = found[-1]
    assert (bare.model, bare.floor, bare.room, bare.room_share) == ("n", None, None, None)
    assert (bare.break_even_utilization, bare.is_under_floor) == (None, False)


def test_a_floor_of_zero_has_room_and_no_share_of_it() -> None:
    value = card({"output_tokens": "4"}, cost={"floors": floors(floor="0")})
    (found,) = rate_rooms(book(value), previous=None, markets=())
    assert row(found.room, found.room_share) == (4, None)


def test_a_rate_stands_beside_the_lowest_and_the_median_offer() -> None:
    markets = [
        market(("output_tokens", "5", "alpha"), ("output_tokens", "10", "beta")),
        market(("output_tokens", "6", "alpha"), snapshot_date="2026-10-21"),
    ]
    found, other = rate_rooms(
        book(card({"output_tokens": "4", "input_tokens": "9"})), previous=None, markets=markets
    )
    assert found.lowest_offer is not None
    assert row(found.lowest_offer.rate, found.lowest_offer.offers) == (5, "alpha, 2026-10-20")
    assert found.median_offer is not None
    assert found.median_offer.rate == 6
    assert found.under_market_share == Fraction(1, 5)
    assert (other.lowest_offer, other.under_market_share) == (None, None)


def test_over_an_offer_the_share_is_negative_and_over_a_free_one_there_is_none() -> None:
    dearer = rate_rooms(
        book(card({"output_tokens": "4"})),
        previous=None,
        markets=[market(("output_tokens", "2", "alpha"))],
    )
    assert dearer[0].under_market_share == -1
    free = rate_rooms(
        book(card({"output_tokens": "4"})),
        previous=None,
        markets=[market(("output_tokens", "0", "alpha"))],
    )
    assert free[0].under_market_share is None


def test_the_rate_before_is_that_of_the_same_conditions() -> None:
    eu = {"unit": "output_tokens", "rate": "5", "when": {"region": "eu"}}
    old = book(card({"output_tokens": "3"}))
    new = book(card({"output_tokens": "4"}, extra=[eu]), card(model="n"), number=2)
    found = {one.about: one.before for one in rate_rooms(new, previous=old, markets=())}
    assert found["m/standard/output_tokens"] == 3
    assert found["m/standard/output_tokens when region=eu"] is None
    assert found["n/standard/output_tokens"] is None

"""A book beside the market: standing of rates, floors over offers, and the unit cost needed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.planning.market_comparison import RateBesideMarket, compare_with_market
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.rules.market import Market
from tests.pricing_rules.planning.made_market import made_market, offer
from tests.pricing_rules.prices.made_books import Json, book_json, card_json, read_book

MARKET = made_market(offer("1", "a"), offer("2", "b"), offer("4", "c"), offer("4", "d"))


def cost_json(floor: str, **changed: Any) -> Json:
    """A cost with one floor of output: (.4 / .5 + .2) / (1 - .15 - .05) = 1.25 as it stands."""
    unit_floor = {
        "unit": "output_tokens",
        "kind": "full",
        "unit_cost_per_mtok": "0.4",
        "utilization": "0.5",
        "variable_per_mtok": "0.2",
        "minimum_margin": "0.15",
        "revenue_share": "0.05",
        "floor": floor,
        **changed,
    }
    return {
        "pool": "main",
        "promise": "none",
        "reference_input_tokens": 1000,
        "reference_output_tokens": 1000,
        "hardware": [],
        "floors": [unit_floor],
    }


def book_of(*rates: Json, cost: Json | None = None, **fields: Any) -> PriceBook:
    card = {**card_json(rates), **({} if cost is None else {"cost": cost})}
    return read_book({**book_json([card]), **fields})


def output(amount: str, **fields: Any) -> Json:
    return {"unit": "output_tokens", "rate": amount, **fields}


def beside(book: PriceBook, *, market: Market = MARKET) -> RateBesideMarket:
    (found,) = compare_with_market(book, market=market)
    return found


def test_the_offers_of_a_rate_are_its_lowest_median_and_highest_and_who_asks_them() -> None:
    found = beside(book_of(output("3")))
    assert found.offers is not None
    assert (found.offers.count, found.offers.lowest, found.offers.lowest_by) == (4, "1", ("a",))
    # 1, 2, 4, 4: (2 + 4) / 2
    assert (found.offers.median, found.offers.highest) == ("3", "4")
    assert found.offers.highest_by == ("c", "d")
    # 3 against 1, 3 and 4: +200 %, 0, -25 %
    assert found.against_lowest_percent == "200"
    assert (found.against_median_percent, found.against_highest_percent) == ("0", "-25")
    assert found.floor is None


@pytest.mark.parametrize(
    "rate, standing",
    [
        ("0.999999", "under every offer"),
        ("1", "among the offers"),
        ("1.000001", "among the offers"),
        ("3.999999", "among the offers"),
        ("4", "among the offers"),
        ("4.000001", "over every offer"),
    ],
)
def test_a_rate_stands_under_among_or_over_the_offers(rate: str, standing: str) -> None:
    assert beside(book_of(output(rate))).standing == standing


@pytest.mark.parametrize(
    "floor, over",
    [
        ("0.9", ""),
        ("1", ""),
        ("1.1", "the lowest offer"),
        ("3", "the lowest offer"),
        ("3.1", "the median"),
        ("4", "the median"),
        ("4.1", "every offer"),
    ],
)
def test_a_floor_over_an_offer_says_over_which(floor: str, over: str) -> None:
    found = beside(book_of(output("5"), cost=cost_json(floor))).floor
    assert found is not None
    assert found.over == over


def test_the_unit_cost_that_would_meet_an_offer_is_the_floor_formula_turned_around() -> None:
    found = beside(book_of(output("1.5"), cost=cost_json("1.25"))).floor
    assert found is not None
    # (1 x .8 - .2) x .5 = .3 for the lowest; (3 x .8 - .2) x .5 = 1.1 for the median
    assert (found.unit_cost, found.unit_cost_for_lowest, found.unit_cost_for_median) == (
        "0.4", "0.3", "1.1",
    )  # fmt: skip
    # And its floor is the offer: (.3 / .5 + .2) / .8
    assert (Fraction("0.3") / Fraction("0.5") + Fraction("0.2")) / Fraction("0.8") == 1
    # (1.5 - 1.25) / 1.25; (1.25 - 1) / 1; (1.25 - 3) / 3 cut to 4 decimals
    assert (found.rate_over_percent, found.against_lowest_percent) == ("20", "25")
    assert found.against_median_percent == "-58.3333"
    assert found.raised_by is None


@pytest.mark.parametrize("offered, needed", [("0.24", "none"), ("0.25", "0"), ("0.26", "0.004")])
def test_where_variable_costs_alone_are_over_an_offer_no_unit_cost_would_do(
    offered: str, needed: str
) -> None:
    # .25 x .8 = .2, which is v alone; (.26 x .8 - .2) x .5 = .004
    market = made_market(offer(offered, "a"))
    found = beside(book_of(output("1"), cost=cost_json("1.25")), market=market).floor
    assert found is not None
    assert found.unit_cost_for_lowest == needed


def test_a_floor_that_a_slower_service_tier_holds_says_so() -> None:
    raised = {"service_tier": "batch", "own_floor": "1"}
    found = beside(book_of(output("2"), cost=cost_json("1.25", raised=raised))).floor
    assert found is not None
    assert found.raised_by == "batch"


def test_each_band_of_a_ladder_is_a_row_of_its_own() -> None:
    bands = [{"up_to": "100", "rate": "5"}, {"rate": "0.5"}]
    ladder = {"id": "l", "kind": "graduated", "bands": bands}
    book = book_of({"unit": "output_tokens", "ladder": ladder})
    assert [
        (one.up_to, one.rate, one.standing) for one in compare_with_market(book, market=MARKET)
    ] == [("100", "5", "over every offer"), (None, "0.5", "under every offer")]


def test_larger_requests_other_units_and_other_models_have_no_offer() -> None:
    book = book_of(
        output("2", when={"request_tokens_over": 1000}),
        output("2", when={"region": "eu"}),
        {"unit": "input_tokens", "rate": "2"},
        cost=cost_json("1.25"),
    )
    larger, region, other_unit = compare_with_market(book, market=MARKET)
    assert (larger.standing, larger.offers, larger.against_lowest_percent) == (
        "no offer", None, None,
    )  # fmt: skip
    assert larger.floor is not None
    assert (larger.floor.over, larger.floor.rate_over_percent) == ("", "60")  # (2 - 1.25) / 1.25
    assert (larger.floor.unit_cost_for_lowest, larger.floor.against_lowest_percent) == (None, None)
    assert (region.standing, region.when) == ("among the offers", "region=eu")
    assert (other_unit.standing, other_unit.floor) == ("no offer", None)
    other = made_market(offer("1", "a", model="n"))
    assert {one.standing for one in compare_with_market(book, market=other)} == {"no offer"}


def test_against_a_free_offer_there_is_no_percentage() -> None:
    found = beside(book_of(output("2")), market=made_market(offer("0", "a"), offer("4", "b")))
    assert (found.against_lowest_percent, found.against_median_percent) == (None, "0")
    assert found.standing == "among the offers"


def test_dollars_are_converted_at_the_exchange_rate_of_the_book() -> None:
    exchange = {"currency": "EUR", "per_usd": "0.9", "date": "2026-11-20", "source": "ECB"}
    euro = book_of(output("2"), currency="EUR", exchange=exchange)
    found = beside(euro)
    assert found.offers is not None
    assert (found.offers.lowest, found.offers.median, found.offers.highest) == ("0.9", "2.7", "3.6")


def test_currencies_without_an_exchange_rate_between_them_do_not_compare() -> None:
    exchange = {"currency": "EUR", "per_usd": "0.9", "date": "2026-11-20", "source": "ECB"}
    market = "market of a page: is in"
    with pytest.raises(DocumentError, match=f"{market} USD, and the book in EUR without"):
        beside(book_of(output("2"), currency="EUR"))
    with pytest.raises(DocumentError, match=f"{market} JPY, and the book in EUR without"):
        beside(
            book_of(output("2"), currency="EUR", exchange=exchange),
            market=made_market(offer("1", "a"), currency="JPY"),
        )

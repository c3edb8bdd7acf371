"""Pools in a week: their hours, what these cost, bring and need."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from pricing_rules.cost.accelerator_hour import accelerator_hour
from pricing_rules.cost.factory import load_factory
from pricing_rules.cost.floor import quantise
from pricing_rules.planning.pool_use import (
    CardUse,
    PoolHours,
    card_uses,
    hours_of,
    period_cost,
    pool_uses,
    pools_of_book,
    pools_of_factory,
)
from pricing_rules.planning.unit_takings import UnitTakings, period_takings
from pricing_rules.planning.variance import LineUse
from tests.pricing_rules.cost.made_factory import factory
from tests.pricing_rules.planning.made_reviews import (
    HOURS,
    MTOK,
    WEEK,
    Json,
    book,
    books,
    card,
    floors,
    hardware,
    period_of,
    row,
    uncosted_card,
    used,
)
from tests.pricing_rules.rules.made_documents import figure, made_factory


def uses(*usage: Json, cards: tuple[Json, ...] = ()) -> tuple[CardUse, ...]:
    one = book(*cards)
    under = books(one)
    found = period_of(usage, under=under)
    takings = period_takings(found.totals, charges=found.charges, books=under, off_shares={})
    return card_uses(takings, book=one, books=under)


def test_the_pools_of_a_book_have_the_hours_of_its_hardware() -> None:
    (pool,) = pools_of_book(book(), period=WEEK)
    assert hours_of(WEEK) == 168
    # 10 accelerators x 168 hours at 3.60.
    assert pool == PoolHours(
        name="main",
        accelerators=10,
        available_hours=Fraction(HOURS),
        spend=Fraction(6048),
        facility_mwh=None,
        source="price book 1",
    )


def test_an_hour_that_two_cards_share_counts_once_at_all_of_its_parts() -> None:
    # The batch card counts cash alone: its hour is 1.00. H is one hardware, g another.
    cash = {
        "hardware": [hardware(usd_per_hour="1.00"), hardware(hardware="g", accelerators=4)],
    }
    value = book(card(service_tier="batch", cost=cash), card(), uncosted_card(model="n"))
    (pool,) = pools_of_book(value, period=WEEK)
    assert (pool.accelerators, pool.spend) == (14, 14 * 168 * Fraction("3.60"))


def test_hours_are_converted_into_the_currency_of_the_book() -> None:
    exchange = {"currency": "EUR", "per_usd": "0.5", "date": "2026-10-01", "source": "made up"}
    (pool,) = pools_of_book(book(currency="EUR", exchange=exchange), period=WEEK)
    assert pool.spend == 3024
    (made,) = pools_of_factory(made_factory(), period=WEEK, per_usd=Fraction(1, 2))
    assert made.spend == 10 * 168 * Fraction("0.90")


def test_a_rented_accelerator_is_there_all_hours_and_its_power_may_be_unknown() -> None:
    (pool,) = pools_of_factory(made_factory(), period=WEEK, per_usd=Fraction(1))
    assert row(pool.available_hours, pool.spend) == (1680, Fraction(3024))
    assert (pool.facility_mwh, pool.source) == (None, "made")


def test_an_owned_accelerator_can_serve_when_it_is_available_and_rent_is_owed_always() -> None:
    made = factory()
    (pool,) = pools_of_factory(made, period=WEEK, per_usd=Fraction(1))
    # 64 rented, and 16 owned that are available for 95 %.
    rented, owned = 64 * 168, 16 * 168 * Fraction("0.95")
    assert pool.available_hours == rented + owned
    hour = Fraction(quantise(accelerator_hour(made, hardware="b200_sxm").usd_per_hour))
    assert pool.spend == rented * Fraction("1.17") + owned * hour
    assert pool.facility_mwh is None  # only one of the two has a meter
    (bought,) = pools_of_factory(
        factory("hardware: {h100_sxm: 64, b200_sxm: 16}", new="hardware: {b200_sxm: 16}"),
        period=WEEK,
        per_usd=Fraction(1),
    )
    # Available or not, it draws power: 16 x 168 h x 1.71 kW x 1.3.
    assert bought.facility_mwh == 16 * 168 * Fraction("2.223") / 1000


def test_power_is_that_of_the_meter() -> None:
    power = {"it_kw": figure("1.5"), "pue": figure("1.2")}
    value = {
        "schema": "tokenworks.factory/1",
        "name": "f",
        "hardware": {"h": {"rented": {"all_in_usd_per_hour": figure("2")}, "power": power}},
        "pools": [
            {
                "name": "main", "use": "shared", "hardware": {"h": 10}, "models": ["m"],
                "service_tiers": ["standard"], "utilization": figure("0.5"),
                "load_by_hour": {
                    "values": ["1"] * 168, "source": "s", "source_date": "2026-10-01",
                },
            }
        ],
    }  # fmt: skip
    metered = load_factory(json.dumps(value).encode(), name="factory.yaml")
    (pool,) = pools_of_factory(metered, period=WEEK, per_usd=Fraction(1))
    # 1,680 h x 1.8 kW.
    assert pool.facility_mwh == Fraction("3.024")


def test_a_pool_has_what_all_of_its_cards_used_and_brought() -> None:
    cards = uses(
        used({"output_tokens": 3_600_000}),
        used({"output_tokens": 7_200_000}, service_tier="batch"),
        cards=(card(), card({"output_tokens": "2"}, service_tier="batch")),
    )
    (pool,) = pool_uses(cards, pools=pools_of_book(book(), period=WEEK))
    assert row(pool.used_hours, pool.utilization) == (3, Fraction(3, 1680))
    # 14.4 and 14.4, over 1,680 hours that cost 6,048; 10.8M at 0.02 variable.
    assert pool.revenue_per_hour == Fraction("28.8") / 1680
    assert pool.result == Fraction("28.8") - Fraction("0.216") - 6048
    assert pool.stated_utilization == Fraction(1, 2)
    assert pool.revenue_per_mwh is None


def test_revenue_per_mwh_is_over_the_energy_of_all_hours() -> None:
    hours = PoolHours(
        name="main",
        accelerators=1,
        available_hours=Fraction(1),
        spend=Fraction(1),
        facility_mwh=Fraction(2),
        source="f",
    )
    (pool,) = pool_uses(uses(used({"output_tokens": MTOK})), pools=[hours])
    assert pool.revenue_per_mwh == 2


def test_a_pool_without_cards_is_used_by_nothing_and_one_without_hours_is_left_out() -> None:
    hours = [
        PoolHours(
            name=name,
            accelerators=1,
            available_hours=Fraction(available),
            spend=Fraction(9),
            facility_mwh=None,
            source="f",
        )
        for name, available in (("spare", 5), ("gone", 0))
    ]
    (pool,) = pool_uses((), pools=hours)
    assert row(pool.hours.name, pool.used_hours, pool.takings) == ("spare", 0, UnitTakings())
    assert row(pool.stated_utilization, pool.result) == (None, -9)


@pytest.mark.parametrize(
    "stated, kind, expected",
    [("0.5", "full", Fraction(1, 2)), ("0.5", "cash", Fraction(1, 2)), ("1", "short_run", None)],
)
def test_short_run_floors_state_no_utilization(
    stated: str, kind: str, expected: Fraction | None
) -> None:
    (one,) = uses(cards=(card(cost={"floors": floors(utilization=stated, kind=kind)}),))
    assert one.stated_utilization == expected


def test_a_card_without_token_floors_states_no_utilization() -> None:
    (one,) = uses(cards=(card({"output_tokens": "1"}, cost={"floors": []}),))
    assert one.stated_utilization is None


def test_cards_of_an_older_book_count_where_they_were_used() -> None:
    old = book(card(model="old"), card(model="unused"), uncosted_card(model="x"))
    new = book(card(), number=2, effective_from="2026-10-21T00:00:00Z")
    under = books(old, new)
    found = period_of([used({"output_tokens": MTOK}, model="old")], under=under)
    takings = period_takings(found.totals, charges=found.charges, books=under, off_shares={})
    listed = card_uses(takings, book=new, books=under)
    assert [row(one.model, one.takings.revenue) for one in listed] == [("m", 0), ("old", 4)]


def test_the_cost_of_a_period_is_that_of_the_pools_in_question() -> None:
    pools = pools_of_book(book(), period=WEEK)
    line = LineUse(tokens=5, used_hours=Fraction(1))
    lines = {("main", "m", "s", "u"): line, ("other", "m", "s", "u"): line}
    cost = period_cost(pools, uses=lines)
    assert row(cost.spend, cost.available_hours, cost.tokens) == (6048, HOURS, 5)

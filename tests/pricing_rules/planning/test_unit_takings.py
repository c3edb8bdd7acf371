"""What usage brings and costs by unit, beside what a backtest makes of the same usage."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.planning.served import Served, Takings, add_takings
from pricing_rules.planning.unit_takings import (
    PeriodTakings,
    UnitKey,
    UnitTakings,
    break_even,
    period_takings,
)
from pricing_rules.prices.price_book import BooksInForce
from tests.pricing_rules.planning.made_reviews import (
    MTOK,
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


def takings(
    *usage: Json,
    under: BooksInForce | None = None,
    off_shares: Mapping[UnitKey, Fraction] | None = None,
) -> PeriodTakings:
    series = under or books()
    found = period_of(usage, under=series, off_shares=off_shares)
    return period_takings(
        found.totals, charges=found.charges, books=series, off_shares=found.off_shares
    )


OUTPUT = ("acme", "m", "standard", "output_tokens")


def test_a_unit_has_its_revenue_its_cost_and_its_floor() -> None:
    # 3M output at 4: 12. Cost 1 / 0.5 + 0.02 = 2.02 a million; floor 2.525.
    found = takings(used({"output_tokens": 3 * MTOK})).units[OUTPUT]
    assert row(found.revenue, found.costed_revenue, found.taken_off) == (12, 12, 0)
    assert row(found.busy, found.variable, found.cost_exact) == (
        3,
        Fraction(6, 100),
        Fraction(606, 100),
    )
    assert found.floor == Fraction(7575, 1000)
    assert found.margin == Fraction(594, 100)
    assert found.margin_share == Fraction(594, 1200)
    assert found.listed == 12
    # 3 / U + 0.06 = 12.
    assert found.break_even_utilization == Fraction(300, 1194)


def test_discounts_and_fees_leave_less() -> None:
    under = books(book(card(cost={"floors": floors(revenue_share="0.03")})))
    found = takings(
        used({"output_tokens": MTOK}), under=under, off_shares={OUTPUT: Fraction(1, 4)}
    ).units[OUTPUT]
    # 4 less a quarter: 3, of which 3 % go away.
    assert row(found.revenue, found.taken_off, found.fees) == (3, 1, Fraction(9, 100))
    assert found.break_even_utilization == 1 / (3 - Fraction(9, 100) - Fraction(2, 100))


def test_used_hours_and_tokens_are_by_pool_card_and_floor() -> None:
    found = takings(
        used({"output_tokens": 3_600_000, "input_tokens": 36_000}),
        used({"cache_read_tokens": 360_000}, account="globex"),
    )
    hours = {key[3]: (line.tokens, line.used_hours) for key, line in found.uses.items()}
    # 3.6M x 1,000 us is 3,600 s, 36k x 100 us 3.6 s, and 360k x 10 us 3.6 s.
    assert hours == {
        "output_tokens": (3_600_000, 1),
        "input_tokens": (36_000, Fraction(1, 1000)),
        "cache_read_tokens": (360_000, Fraction(1, 1000)),
    }
    assert {key[:3] for key in found.uses} == {("main", "m", "standard")}
    assert found.tokens == {
        "acme": {"output_tokens": 3_600_000, "input_tokens": 36_000},
        "globex": {"cache_read_tokens": 360_000},
    }


def test_hours_are_weighted_by_the_shares_of_the_hardware() -> None:
    members = [
        hardware(share_of_capacity="0.25"),
        hardware(hardware="g", share_of_capacity="0.75", us_per_output_token="200"),
    ]
    found = takings(
        used({"output_tokens": 3_600_000}), under=books(book(card(cost={"hardware": members})))
    )
    # 0.25 x 1,000 + 0.75 x 200 = 400 us.
    (line,) = found.uses.values()
    assert line.used_hours == Fraction(4, 10)


def test_a_leaf_without_a_rate_of_its_own_is_charged_as_its_unit_and_costed_by_its_floor() -> None:
    under = books(book(card({"input_tokens": "0.5"})))
    found = takings(
        used({"input_tokens": MTOK, "cache_read_tokens": MTOK, "output_tokens": MTOK}), under=under
    )
    inputs = found.units["acme", "m", "standard", "input_tokens"]
    # 2M at 0.5; 0.1 and 0.01 busy.
    assert row(inputs.revenue, inputs.busy) == (1, Fraction(11, 100))
    # Output has no rate: it brings nothing, and costs all the same.
    assert row(found.units[OUTPUT].revenue, found.units[OUTPUT].busy) == (0, 1)


def test_usage_without_a_measured_cost_is_revenue_alone() -> None:
    under = books(book(uncosted_card()))
    found = takings(used({"output_tokens": MTOK}), under=under)
    assert found.units[OUTPUT] == UnitTakings(revenue=Fraction(4))
    assert found.uses == {}


def test_usage_of_no_card_and_before_any_book_is_nothing() -> None:
    assert takings(used({"output_tokens": 1}, model="other")).units == {}
    late = books(book(effective_from="2026-11-01T00:00:00Z"))
    assert takings(used({"output_tokens": 1}), under=late).units == {}


def test_what_the_fit_does_not_know_takes_no_time_and_has_no_tokens() -> None:
    searches = {
        **floors()[0], "unit": "web_searches", "unit_cost_per_mtok": "500", "floor": "1000",
    }  # fmt: skip
    under = books(book(card({"web_searches": "2000"}, cost={"floors": [*floors(), searches]})))
    found = takings(used({"web_searches": 1000}), under=under)
    (line,) = found.uses.values()
    assert row(line.tokens, line.used_hours) == (1000, 0)


def test_seconds_are_no_tokens() -> None:
    audio = {**floors()[0], "unit": "audio_seconds", "unit_cost_per_mtok": "500", "floor": "1000"}
    under = books(book(card({"audio_seconds": "2000"}, cost={"floors": [audio]})))
    found = takings(used({"audio_seconds": 2500}), under=under)
    # 2.5 s at 2,000 a million.
    assert found.units["acme", "m", "standard", "audio_seconds"].revenue == Fraction(5, 1000)
    assert (found.uses, found.tokens) == ({}, {})


def test_a_fee_for_each_request_belongs_to_the_card() -> None:
    fee = {"unit": "requests", "rate": "1000"}
    usage = used({"output_tokens": 1}, events=5)
    key = ("acme", "m", "standard", "requests")
    costed = takings(usage, under=books(book(card(extra=[fee])))).units[key]
    assert row(costed.costed_revenue, costed.cost_exact) == (Fraction(5, 1000), 0)
    bare = takings(usage, under=books(book(card(extra=[fee], cost={"floors": []})))).units[key]
    assert row(bare.revenue, bare.costed_revenue) == (Fraction(5, 1000), 0)


def test_a_leaf_that_two_floors_or_rates_claim_has_none() -> None:
    twice = [{**floors()[0], "unit": unit} for unit in ("input_audio_tokens", "cache_read_tokens")]
    under = books(
        book(card({"input_audio_tokens": "1", "cache_read_tokens": "1"}, cost={"floors": twice}))
    )
    found = takings(used({"cache_audio_read_tokens": MTOK}), under=under)
    assert found.units == {}


@pytest.mark.parametrize(
    "busy, kept, expected",
    [
        (1, "2.02", Fraction(1, 2)),  # 1 / 0.5 + 0.02
        (1, "1.02", 1),
        (1, "0.52", 2),  # not even fully busy
        (1, "0.02", None),  # at the variable cost
        (1, "0.01", None),
        (0, "0.02", 0),
        (0, "0.01", None),
    ],
)
def test_the_break_even_utilization_is_where_the_floor_without_a_margin_is(
    busy: int, kept: str, expected: Fraction | None
) -> None:
    variable = Fraction(2, 100)
    assert break_even(Fraction(busy), kept=Fraction(kept), variable=variable) == expected
    if expected:
        assert Fraction(busy) / expected + variable == Fraction(kept)


leaves = st.dictionaries(
    st.sampled_from(
        ["input_tokens", "cache_read_tokens", "output_tokens", "output_reasoning_tokens"]
    ),
    st.integers(1, 10**9),
    min_size=1,
)
usages = st.lists(
    st.builds(used, leaves, account=st.sampled_from("ab"), model=st.sampled_from(["m", "n"])),
    min_size=1,
    max_size=8,
)


@given(usages)
def test_the_units_add_up_to_the_takings_of_a_backtest(usage: list[Json]) -> None:
    under = books(book(card(), uncosted_card(model="n")))
    found = period_of(usage, under=under)
    units = period_takings(
        found.totals, charges=found.charges, books=under, off_shares={}
    ).units.values()
    told = add_takings(list(Served(found.totals, books=under).takings(found.charges).values()))
    assert told == Takings(
        revenue=sum((one.revenue for one in units), Fraction(0)),
        costed_revenue=sum((one.costed_revenue for one in units), Fraction(0)),
        cost_exact=sum((one.cost_exact for one in units), Fraction(0)),
        floor=sum((one.floor for one in units), Fraction(0)),
    )

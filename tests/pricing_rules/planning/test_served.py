"""What serving costs by a card, which floors are not reached, and which rates no usage meets."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.planning.backtest import FloorBreach
from pricing_rules.planning.served import Takings, UnmetRate, add_exact, add_takings
from tests.pricing_rules.planning.made_backtests import (
    MTOK,
    books,
    costed_card,
    floor,
    run_backtest,
    used,
)

PLAIN = books(costed_card({"input_tokens": "1", "output_tokens": "4"}))


def takings(usage: list[dict[str, object]], **cards: object) -> Takings:
    """The takings under a book of these rates and floors, of all usage."""
    after = books(costed_card(**cards), number=2)  # type: ignore[arg-type]
    return run_backtest(usage, after=after, before=PLAIN).total.after


def test_cost_is_unit_cost_over_utilization_and_variable_cost() -> None:
    # 2M in at 0.3 / 0.6 + 0.1 = 0.6 and 1M out at 1.2 / 0.6 + 0.1 = 2.1: 1.2 + 2.1 = 3.3, of
    # 2 * 1 + 1 * 4 = 6: the margin is 2.7, which is 45 %.
    found = takings(
        [used({"input_tokens": 2 * MTOK, "output_tokens": MTOK})],
        rates={"input_tokens": "1", "output_tokens": "4"},
        floors=[
            floor("input_tokens", "0.3", utilization="0.6", variable="0.1", lowest="0.8"),
            floor("output_tokens", "1.2", utilization="0.6", variable="0.1", lowest="2.8"),
        ],
    )
    assert found.revenue == found.costed_revenue == 6
    assert found.cost_exact == Fraction("3.3")
    assert (found.margin, found.margin_share) == (Fraction("2.7"), Fraction("0.45"))
    assert found.floor == Fraction("4.4")  # 2 * 0.8 + 2.8


def test_a_leaf_without_a_floor_of_its_own_costs_what_contains_it_costs() -> None:
    # 1M cached without a floor of its own: at that of input, 0.5.
    found = takings(
        [used({"cache_read_tokens": MTOK})],
        rates={"input_tokens": "1"},
        floors=[floor("input_tokens", "0.5", lowest="0.5")],
    )
    assert (found.revenue, found.cost_exact) == (Fraction(1), Fraction(1, 2))


def test_what_has_no_measured_cost_is_in_neither_cost_nor_costed_revenue() -> None:
    # 3 searches at 10 each have a rate and no floor; a leaf that two floors claim has none either.
    found = takings(
        [used({"web_searches": 3, "input_tokens": MTOK, "cache_audio_read_tokens": 5})],
        rates={"web_searches": {"rate": "10", "per": 1}, "input_tokens": "1"},
        floors=[
            floor("cache_read_tokens", "1", lowest="1"),
            floor("input_audio_tokens", "1", lowest="1"),
        ],
    )
    assert found.revenue == 30 + 1 + Fraction(5, MTOK)
    assert found.costed_revenue == found.cost_exact == 0
    assert found.margin_share is None


@pytest.mark.parametrize("is_costed", [True, False])
def test_a_fee_for_each_request_counts_where_the_card_has_a_cost(is_costed: bool) -> None:
    # 4 requests at 0.5 and 1M in at 1: 3; without floors nothing of it is costed.
    found = takings(
        [used({"input_tokens": MTOK}, events=4)],
        rates={"requests": {"rate": "0.5", "per": 1}, "input_tokens": "1"},
        floors=[floor("input_tokens", "0.25", lowest="0.25")] if is_costed else (),
    )
    assert found.revenue == 3
    assert found.costed_revenue == (3 if is_costed else 0)


def test_each_side_has_the_costs_of_its_own_cards() -> None:
    cards = [
        costed_card({"input_tokens": "1"}, [floor("input_tokens", cost, lowest=cost)])
        for cost in ("0.6", "0.4")
    ]
    found = run_backtest(
        [used({"input_tokens": MTOK})], after=books(cards[1], number=2), before=books(cards[0])
    )
    assert (found.total.before.cost_exact, found.total.after.cost_exact) == (
        Fraction("0.6"),
        Fraction("0.4"),
    )


@pytest.mark.parametrize("rate, breaches", [("0.99", 1), ("1", 0), ("1.01", 0)])
def test_revenue_below_its_floor_is_a_breach_and_at_it_is_none(rate: str, breaches: int) -> None:
    after = books(
        costed_card({"input_tokens": rate}, [floor("input_tokens", "0.5", lowest="1")]), number=2
    )
    found = run_backtest([used({"input_tokens": MTOK})], after=after, before=PLAIN)
    assert len(found.after.breaches) == breaches


def test_one_unit_above_its_floor_makes_up_for_another_below() -> None:
    # The rates of both are tested together: 1M in at 0.5 under 1, 1M out at 3 over 2.
    floors = [floor("input_tokens", "1", lowest="1"), floor("output_tokens", "2", lowest="2")]
    after = books(costed_card({"input_tokens": "0.5", "output_tokens": "3"}, floors), number=2)
    both = used({"input_tokens": MTOK, "output_tokens": MTOK}, account="acme")
    alone = used({"input_tokens": MTOK}, account="globex")
    worse = used({"input_tokens": 3 * MTOK}, account="initech")
    found = run_backtest([both, alone, worse], after=after, before=PLAIN)
    assert found.after.breaches == (
        FloorBreach(
            account="initech",
            model="m",
            service_tier="standard",
            revenue=Fraction(3, 2),
            floor=Fraction(3),
        ),
        FloorBreach(
            account="globex",
            model="m",
            service_tier="standard",
            revenue=Fraction(1, 2),
            floor=Fraction(1),
        ),
    )
    assert [breach.shortfall for breach in found.after.breaches] == [
        Fraction(3, 2),
        Fraction(1, 2),
    ]


def test_unpriced_usage_of_a_card_with_a_floor_brings_nothing_and_is_a_breach() -> None:
    floors = [floor("input_tokens", "1", lowest="1"), floor("output_tokens", "2", lowest="2")]
    after = books(costed_card({"input_tokens": "1"}, floors), number=2)
    found = run_backtest([used({"output_tokens": MTOK})], after=after, before=PLAIN)
    (breach,) = found.after.breaches
    assert (breach.revenue, breach.floor) == (Fraction(0), Fraction(2))
    assert [one.unit for one in found.after.unpriced] == ["output_tokens"]


def test_usage_without_a_card_has_no_floor_to_breach() -> None:
    found = run_backtest([used({"input_tokens": 1}, model="absent")], after=PLAIN, before=PLAIN)
    assert found.after.breaches == ()
    assert found.total.after == Takings()
    assert found.cards[("absent", "standard")].change_share is None


def test_rates_that_no_usage_meets_are_named_in_the_order_of_the_book() -> None:
    rates: dict[str, Any] = {
        "input_tokens": "1",
        "input_tokens eu": {"rate": "2", "when": {"region": "eu"}},
        "input_tokens long": {"rate": "3", "when": {"request_tokens_over": 100}},
        "cache_read_tokens": "0.1",
        "output_tokens": "4",
        "requests": {"rate": "1", "per": 1},
    }
    after = books(costed_card(rates), costed_card(rates, model="other"), number=2)
    usage = [
        used({"input_tokens": 5}, size_tokens=100, account=account) for account in ("a", "b")
    ] + [used({"output_reasoning_tokens": 5}, region="eu")]
    found = run_backtest(usage, after=after, before=PLAIN)
    # Met: the plain input rate, that of output (which reasoning takes), and the fee of requests.
    of_m = [one for one in found.after.unmet if one.model == "m"]
    assert [(one.unit, one.when) for one in of_m] == [
        ("input_tokens", "region=eu"),
        ("input_tokens", "request_tokens>100"),
        ("cache_read_tokens", ""),
    ]
    assert found.after.unmet[3:] == tuple(
        UnmetRate(
            book_number=2,
            model="other",
            service_tier="standard",
            unit=unit,
            when=when,
        )
        for unit, when in [
            ("input_tokens", ""),
            ("input_tokens", "region=eu"),
            ("input_tokens", "request_tokens>100"),
            ("cache_read_tokens", ""),
            ("output_tokens", ""),
            ("requests", ""),
        ]
    )


def test_a_leaf_that_two_rates_claim_meets_none() -> None:
    rates = {"cache_read_tokens": "1", "input_audio_tokens": "1"}
    found = run_backtest(
        [used({"cache_audio_read_tokens": 5})],
        after=books(costed_card(rates), number=2),
        before=PLAIN,
    )
    assert [one.unit for one in found.after.unmet] == ["cache_read_tokens", "input_audio_tokens"]
    assert len(found.after.unpriced) == 1


@given(
    st.lists(
        st.builds(
            Takings,
            revenue=st.fractions(),
            costed_revenue=st.fractions(),
            cost_exact=st.fractions(),
            floor=st.decimals(allow_nan=False, allow_infinity=False, places=6).map(Fraction),
        )
    )
)
def test_takings_add_up_as_fractions_do(parts: list[Takings]) -> None:
    found = add_takings(parts)
    assert found.revenue == sum((part.revenue for part in parts), Fraction(0))
    assert found.margin == sum((part.margin for part in parts), Fraction(0))
    assert found.floor == add_exact(part.floor for part in parts)


def test_nothing_adds_up_to_nothing() -> None:
    assert add_exact([]) == 0
    assert add_exact([Fraction(Decimal("0.1"))] * 10) == 1

"""Two books of one series: pass-through, cycle time by tokens, and what stale floors cost."""

from __future__ import annotations

from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.planning.efficiency import TokenCounts
from pricing_rules.planning.revisions import BookRevision, CardRevision, revise
from tests.pricing_rules.planning.made_planning import NEW_FROM, revised_book
from tests.pricing_rules.rules.made_documents import (
    made_book,
    made_factory,
    made_points,
    made_rule,
    made_service_tier,
    measured,
    set_to,
)

SOLD = TokenCounts(
    fresh_input_tokens=3_000_000, cache_read_tokens=1_000_000, output_tokens=2_000_000
)


def only(found: BookRevision) -> CardRevision:
    (card,) = found.cards
    return card


def test_rates_at_their_floors_pass_all_of_a_change_on() -> None:
    found = only(revise(revised_book(1), new=revised_book(2, usd_per_hour="0.90"), tokens={}))
    assert found.pass_through == pytest.approx(1, abs=1e-4)
    assert found.old is not None
    assert found.new is not None
    assert found.new.unit_cost_per_mtok == pytest.approx(found.old.unit_cost_per_mtok / 2)


def test_costs_are_those_of_the_reference_shape_at_100_percent_busy() -> None:
    # 1,000 in at 87.3 us and 1,000 out at 412.7 us: 500 us for two tokens, 250 s for a million;
    # x 1.80 / 3,600 = .125 USD per Mtok.
    found = only(revise(revised_book(1), new=revised_book(2), tokens={}))
    assert found.new is not None
    assert found.new.unit_cost_per_mtok == pytest.approx(0.125)
    # The floors are (K / .5) / .8.
    assert found.new.rate_per_mtok == pytest.approx(0.125 / 0.5 / 0.8, rel=1e-4)


def test_half_of_a_change_is_a_pass_through_of_one_half() -> None:
    # The cost falls by a factor 4, the rates by 2: ln 2 / ln 4.
    rules = [
        set_to("8", when={"units": ["input_tokens"]}, id_="in"),
        set_to("8", when={"units": ["output_tokens"]}, id_="out"),
    ]
    halved = [
        set_to("4", when={"units": ["input_tokens"]}, id_="in"),
        set_to("4", when={"units": ["output_tokens"]}, id_="out"),
    ]
    old = revised_book(1, rules=rules)
    new = revised_book(2, usd_per_hour="0.45", rules=halved)
    assert only(revise(old, new=new, tokens={})).pass_through == pytest.approx(0.5)


def test_a_card_that_cannot_be_compared_says_why() -> None:
    unchanged = only(revise(revised_book(1), new=revised_book(2), tokens={}))
    assert (unchanged.pass_through, unchanged.reason) == (None, "the cost did not change")
    two = [made_service_tier("standard", promise=60), made_service_tier("batch")]
    cards = revise(revised_book(1), new=revised_book(2, service_tiers=two), tokens={}).cards
    reasons = {card.service_tier: card.reason for card in cards}
    assert reasons["batch"] == "the first book has no such card"
    free = [set_to("0", when={}, id_="free")]
    found = only(
        revise(revised_book(1), new=revised_book(2, usd_per_hour="0.90", rules=free), tokens={})
    )
    assert found.reason == "a rate is free"


def test_a_card_without_cost_or_plain_rates_has_no_pass_through() -> None:
    new = revised_book(2, usd_per_hour="0.90")
    (card,) = new.rate_cards
    bare = card.model_copy(update={"cost": None, "cost_none": "a licence"})
    without = new.model_copy(update={"rate_cards": (bare,)})
    found = only(revise(revised_book(1), new=without, tokens={("m", "standard"): SOLD}))
    missing = "a card has no measured cost, or no plain rate of input and output"
    assert (found.reason, found.cycle_days, found.staleness) == (missing, None, None)
    some = card.model_copy(update={"rates": card.rates[:1]})
    found = only(
        revise(revised_book(1), new=new.model_copy(update={"rate_cards": (some,)}), tokens={})
    )
    assert found.reason == missing
    old = revised_book(1).model_copy(update={"rate_cards": (bare,)})
    found = only(revise(old, new=new, tokens={("m", "standard"): SOLD}))
    assert (found.old, found.staleness) == (None, None)


def test_a_ladder_is_no_plain_rate() -> None:
    bands = [{"up_to": "10", "multiply": "1"}, {"multiply": "0.9"}]
    then = {"action": "ladder", "id": "l", "kind": "graduated", "bands": bands}
    rule = made_rule("volume", then=then)
    new = revised_book(2, usd_per_hour="0.90", rules=[rule])
    assert only(revise(revised_book(1), new=new, tokens={})).pass_through is None


def test_cycle_time_is_from_the_measurement_to_the_first_day_of_the_rate() -> None:
    # Measured on 1 March, in force from 1 December: 275 days.
    found = revise(revised_book(1), new=revised_book(2), tokens={})
    assert found.cycle_days == only(found).cycle_days == 275


@pytest.mark.parametrize(
    "sold, days",
    [
        ({}, (275 + 30) / 2),  # no tokens: both cards alike
        ({"m": 2, "n": 1}, 275),
        ({"m": 1, "n": 2}, 30),
        ({"n": 1}, 30),
    ],
)
def test_cycle_time_over_cards_is_weighted_by_their_tokens(
    sold: dict[str, int], days: float
) -> None:
    # m was measured on 1 March, n on 1 November, 30 days before the book.
    points = (*made_points(), *made_points(model="n", measured_date="2026-11-01", first_row=100))
    models = [{"name": name, "precision": "fp8"} for name in ("m", "n")]
    new = made_book(
        factory=made_factory(models=("m", "n")),
        measurements=measured(points),
        changed={"models": models},
    ).model_copy(update={"number": 2, "effective_from": NEW_FROM})
    tokens = {
        (name, "standard"): TokenCounts(
            fresh_input_tokens=0, cache_read_tokens=0, output_tokens=number
        )
        for name, number in sold.items()
    }
    assert revise(revised_book(1), new=new, tokens=tokens).cycle_days == days


@pytest.mark.parametrize("promise, days", [(75, 275), (105, 30)])
def test_an_age_counts_by_what_the_cost_rests_on(promise: int, days: int) -> None:
    # The points at 60 tokens/s are of 1 March, those at 120 of 1 November: a promise of 75 rests
    # by three quarters on the former, one of 105 on the latter.
    older, newer = made_points()[::2], made_points(measured_date="2026-11-01")[1::2]
    new = revised_book(
        2,
        measurements=measured((*older, *newer)),
        service_tiers=[made_service_tier("standard", promise=promise)],
    )
    assert only(revise(revised_book(1), new=new, tokens={})).cycle_days == days


def test_measurements_without_a_date_have_no_age() -> None:
    undated = measured(made_points(measured_date=None))
    found = revise(revised_book(1), new=revised_book(2, measurements=undated), tokens={})
    assert (found.cycle_days, only(found).cycle_days) == (None, None)


def test_a_stale_floor_asks_too_much_where_costs_fell_and_loses_where_they_rose() -> None:
    tokens = {("m", "standard"): SOLD}
    fell = only(revise(revised_book(1), new=revised_book(2, usd_per_hour="0.90"), tokens=tokens))
    rose = only(revise(revised_book(1, usd_per_hour="0.90"), new=revised_book(2), tokens=tokens))
    # Floors at 1.80: in .0873 / 2 / .4, i.e. .109125; cached a tenth; out .2063.5 / .4 = .515875.
    # The cost of the tokens at them: 3 x .109125 + 1 x .0109125 + 2 x .515875 = 1.3700; half of it.
    floors = 1.80 / 3600 / 0.5 / 0.8
    full = floors * (3 * 87.3 + 1 * 8.73 + 2 * 412.7)
    assert fell.staleness == pytest.approx(full / 2, rel=1e-4)
    assert rose.staleness == pytest.approx(-full / 2, rel=1e-4)


def test_staleness_needs_the_floor_of_every_unit_that_was_sold() -> None:
    new = revised_book(2, usd_per_hour="0.90")
    (card,) = new.rate_cards
    assert card.cost is not None
    cost = card.cost.model_copy(update={"floors": card.cost.floors[:1]})
    fewer = new.model_copy(update={"rate_cards": (card.model_copy(update={"cost": cost}),)})
    tokens = {("m", "standard"): SOLD}
    assert only(revise(revised_book(1), new=fewer, tokens=tokens)).staleness is None


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"series": "other"}, "are not books of one series and currency"),
        ({"currency": "EUR"}, "are not books of one series and currency"),
        ({"effective_from": NEW_FROM}, "the first book must take effect before the second"),
    ],
)
def test_books_that_do_not_follow_one_another_are_refused(
    changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(DocumentError, match=said):
        revise(revised_book(1).model_copy(update=changed), new=revised_book(2), tokens={})

"""What subsidies pay in a week, beside their budgets."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from pricing_rules.planning.subsidy_use import SubsidyUses, subsidy_uses
from pricing_rules.rules.policy import Policy
from tests.pricing_rules.planning.made_reviews import (
    MTOK,
    WEEK,
    Json,
    book,
    books,
    card,
    period_of,
    row,
    uncosted_card,
    used,
)
from tests.pricing_rules.rules.made_documents import made_policy, made_service_tier


def subsidy(id_: str, **changed: Any) -> Json:
    """A subsidy of 7,300 a month, 10 an hour: 1,680 in a week."""
    return {
        "id": id_,
        "owner": "growth",
        "reason": "launch",
        "ends_at": "2027-01-01T00:00:00Z",
        "budget": {"amount": "7300", "per": "month"},
        **({} if "welcome_credits" in changed else {"covers": {"units": ["output_tokens"]}}),
        **changed,
    }


def policy(*subsidies: Json) -> Policy:
    tiers = [made_service_tier("batch"), made_service_tier("standard", promise=60)]
    return made_policy(service_tiers=tiers, changed={"subsidies": list(subsidies)})


def paid(
    usage: Sequence[Json], *subsidies: Json, cards: tuple[Json, ...] = (), **fields: Any
) -> SubsidyUses:
    under = books(
        book(*(cards or (card({"output_tokens": "1", "input_tokens": "0.1"}),)), **fields)
    )
    found = period_of(usage, under=under)
    return subsidy_uses(found.charges, books=under, policy=policy(*subsidies), period=WEEK)


ONE = [used({"output_tokens": 2 * MTOK})]


def test_a_subsidy_pays_what_usage_is_charged_under_its_floor() -> None:
    found = paid(ONE, subsidy("launch"))
    # 2M at 1 where the floor is 2.525; 168 hours of 10.
    (one,) = found.subsidies
    assert row(one.paid, one.budget) == (Fraction("3.05"), 1680)
    assert one.used_share == Fraction("3.05") / 1680
    assert found.uncovered == 0


def test_a_budget_of_a_year_is_taken_by_the_hour() -> None:
    yearly = subsidy("launch", budget={"amount": "8760", "per": "year"})
    assert paid(ONE, yearly).subsidies[0].budget == 168


def test_the_first_subsidy_that_covers_a_rate_pays_all_of_it() -> None:
    found = paid(ONE, subsidy("first"), subsidy("second"))
    assert [one.paid for one in found.subsidies] == [Fraction("3.05"), 0]


def test_what_no_subsidy_covers_is_counted() -> None:
    both = [used({"output_tokens": 2 * MTOK, "input_tokens": MTOK})]
    found = paid(both, subsidy("launch"))
    assert (found.subsidies[0].paid, found.uncovered) == (Fraction("3.05"), Fraction("0.175"))
    assert paid(ONE).uncovered == Fraction("3.05")


def test_a_subsidy_that_has_ended_by_the_start_pays_nothing() -> None:
    at_start = subsidy("launch", ends_at="2026-10-19T00:00:00Z")
    assert paid(ONE, at_start).uncovered == Fraction("3.05")
    after = subsidy("launch", ends_at="2026-10-19T00:00:01Z")
    assert paid(ONE, after).uncovered == 0


def test_welcome_credits_are_no_usage() -> None:
    found = paid(ONE, subsidy("welcome", welcome_credits=True))
    (one,) = found.subsidies
    assert (one.paid, one.used_share) == (None, None)
    assert found.uncovered == Fraction("3.05")


def test_at_its_floor_and_without_one_nothing_is_paid() -> None:
    at_floor = (card({"output_tokens": "2.525"}),)
    assert paid(ONE, cards=at_floor).uncovered == 0
    assert paid(ONE, cards=(uncosted_card({"output_tokens": "1"}),)).uncovered == 0


def test_a_predicate_asks_about_the_rate_that_was_met() -> None:
    night = {"night": {"zone": "UTC", "times": [{"start_time": "00:00", "end_time": "06:00"}]}}
    cheap = {"unit": "output_tokens", "rate": "1", "when": {"window": "night"}}
    usage = [
        used({"output_tokens": MTOK}),
        used({"output_tokens": MTOK}, at="2026-10-20T03:00:00Z"),
    ]
    cards = (card({"output_tokens": "2"}, extra=[cheap]),)
    found = paid(usage, subsidy("nights", covers="window == 'night'"), cards=cards, windows=night)
    # 2.525 less 1 at night, less 2 by day.
    assert (found.subsidies[0].paid, found.uncovered) == (Fraction("1.525"), Fraction("0.525"))


def test_an_allowance_is_paid_for_by_what_covers_its_unit() -> None:
    free = {"id": "free", "units": ["output_tokens"], "quantity": MTOK, "reset": "day"}
    found = paid(ONE, subsidy("launch"), allowances=[free], cards=(card(),))
    # One million at nothing, one at 4.
    assert found.subsidies[0].paid == Fraction("2.525")


def test_what_the_policy_does_not_sell_is_covered_by_nothing() -> None:
    usage = [
        used({"output_tokens": MTOK}, model="n"),
        used({"output_tokens": MTOK}, service_tier="x"),
    ]
    cards = (
        card({"output_tokens": "1"}, model="n"),
        card({"output_tokens": "1"}, service_tier="x"),
    )
    assert paid(usage, subsidy("launch"), cards=cards).uncovered == Fraction("3.05")

"""A book in force beside a candidate that was derived anew: floors, causes, and what is under."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pricing_rules.document import DocumentError, canonical_json, dump
from pricing_rules.planning.rederivation import Rederivation, rederivation
from pricing_rules.prices.conditions import Multiplier
from pricing_rules.prices.price_book import PriceBook, load_price_book
from tests.pricing_rules.rules.made_documents import (
    made_book,
    made_factory,
    made_points,
    made_policy,
    made_rule,
    made_service_tier,
    measured,
    set_to,
)

TWO = [made_service_tier("standard", promise=60), made_service_tier("priority", promise=120)]
OUTPUT = {"units": ["output_tokens"]}
MARKUP = made_rule("markup", then={"action": "markup", "share": "0.10"})


def book(
    *,
    rules: Sequence[Any] = (),
    usd_per_hour: str = "1.80",
    fast_share: float = 0.5,
    number: int = 1,
    service_tiers: Sequence[Any] = (),
    changed: Mapping[str, Any] | None = None,
) -> PriceBook:
    """The book of the worked example; ``fast_share`` is the throughput at 120 tokens/s over 60."""
    return made_book(
        rules=rules,
        service_tiers=service_tiers,
        changed=changed,
        factory=made_factory(usd_per_hour={"h100_sxm": usd_per_hour}),
        measurements=measured(made_points(fast_share=fast_share)),
        number=number,
    )


def anew(
    current: PriceBook, candidate: PriceBook, *, changed: Mapping[str, Any] | None = None
) -> Rederivation:
    policy = made_policy(service_tiers=TWO, changed=changed)
    return rederivation(current, candidate=candidate, policy=policy)


def test_the_same_costs_move_nothing() -> None:
    found = anew(book(rules=[MARKUP]), book(rules=[MARKUP], number=2))
    assert (found.moved, found.moves, found.under, found.breaches) == (False, (), (), ())


def test_a_floor_that_moved_has_its_change_and_its_cause() -> None:
    # An hour at 2.16 instead of 1.80 is 20 % more, and so is each floor.
    found = anew(book(), book(usd_per_hour="2.16", number=2))
    assert [(one.unit, one.change_percent) for one in found.moves] == [
        ("input_tokens", "20"),
        ("cache_read_tokens", "20"),
        ("output_tokens", "20"),
    ]
    # b = 412.698 us: 1.80 / 3,600 x 412.698 = .206349206 at 100 % busy, / .5 / .8 = .515873015
    output = found.moves[-1]
    assert (output.before, output.after) == ("0.515873015", "0.61904762")
    assert [cause.kind for cause in output.causes] == ["floor", "factory"]
    assert output.causes[1].sentence.startswith("h100_sxm USD/h 1.8 -> 2.16 (all_in 1.8 -> 2.16")
    assert found.moved


def test_a_rate_under_its_new_floor_is_a_breach_at_the_floor_and_over_it_is_none() -> None:
    new = book(usd_per_hour="2.16", number=2)
    for rate, under in (("0.619047", True), ("0.61904762", False), ("0.619048", False)):
        current = book(rules=[MARKUP, set_to(rate, when=OUTPUT)])
        found = anew(current, new)
        breaches = [(one.unit, one.lowest) for one in found.breaches]
        # Input and cached input are 10 % over a floor that rose by 20 %.
        others = ["input_tokens", "cache_read_tokens"]
        assert [unit for unit, _ in breaches] == others + (["output_tokens"] if under else [])
        if under:
            assert found.breaches[-1].sentence() == (
                "m/standard/output_tokens: 0.619047 is under the new floor 0.61904762, which was "
                "0.515873015"
            )


@pytest.mark.parametrize(
    "factor, under", [("0.515873014", True), ("0.515873015", False), ("0.515873016", False)]
)
def test_a_rate_over_its_floor_may_be_under_it_times_a_multiplier(factor: str, under: bool) -> None:
    # A rate of 1 times the factor, beside the floor of .515873015.
    fields = {"id": "eu", "factor": factor, "when": {"region": "eu"}, "units": ["output_tokens"]}
    lowered = Multiplier.model_validate_json(json.dumps(fields))
    current = book(rules=[set_to("1", when=OUTPUT)])
    current = current.model_copy(update={"multipliers": (lowered,)})
    sentences = [one.sentence() for one in anew(current, book(number=2)).breaches]
    assert sentences == (
        [
            "m/standard/output_tokens: 0.515873014 (with eu) is under the new floor 0.515873015, "
            "which was 0.515873015"
        ]
        if under
        else []
    )


def test_a_subsidy_that_has_not_ended_pays_for_what_it_covers() -> None:
    def subsidies(ends_at: str, **covers: Any) -> dict[str, Any]:
        budget = {"amount": "100", "per": "month"}
        one = {"id": "free", "owner": "cfo", "reason": "launch", "budget": budget}
        return {"subsidies": [{**one, "ends_at": ends_at, **covers}]}

    current = book(rules=[set_to("0", when=OUTPUT)])
    new = book(rules=[set_to("0", when=OUTPUT)], number=2)
    paid = anew(current, new, changed=subsidies("2027-01-01T00:00:00Z", covers=OUTPUT))
    assert paid.breaches == ()
    assert paid.under[0].paid_by is not None
    assert paid.under[0].paid_by.startswith("the subsidy free of cfo (launch) pays up to 100 USD")
    assert paid.under[0].sentence().endswith(paid.under[0].paid_by)
    # It ends when the candidate takes effect, covers another unit, or covers no rate at all.
    for changed in (
        subsidies("2026-12-01T00:00:00Z", covers=OUTPUT),
        subsidies("2027-01-01T00:00:00Z", covers={"units": ["input_tokens"]}),
        subsidies("2027-01-01T00:00:00Z", welcome_credits=True),
    ):
        assert len(anew(current, new, changed=changed).breaches) == 1


def test_a_promise_that_is_kept_no_more_takes_the_floor_and_says_why() -> None:
    current = book(service_tiers=TWO)
    slower = tuple(point for point in made_points() if point.interactivity_tokens_per_s < 120)
    cheap = set_to("0.01", when=OUTPUT)  # has findings of its own, which are no reason
    new = made_book(service_tiers=TWO, measurements=measured(slower), number=2, rules=[cheap])
    found = anew(current, new)
    lost = [one for one in found.moves if one.service_tier == "priority"]
    assert [(one.after, one.change_percent) for one in lost] == [(None, None)] * 3
    assert [cause.kind for cause in lost[0].causes] == ["card", "finding"]
    assert lost[0].causes[0].sentence == "number 2 has no card of m/priority"
    assert "reach 60.0 tokens/s per user at most" in lost[0].causes[1].sentence
    breach = next(one for one in found.breaches if one.unit == "output_tokens")
    assert (breach.floor, breach.paid_by) == (None, None)
    assert breach.sentence().startswith("m/priority/output_tokens: ")
    assert breach.sentence().endswith("has lost its floor, which was 1.03174603")


def test_a_new_card_has_floors_that_were_not_there() -> None:
    found = anew(book(service_tiers=TWO[:1]), book(service_tiers=TWO, number=2))
    assert [(one.service_tier, one.before, one.change_percent) for one in found.moves] == [
        ("priority", None, None)
    ] * 3
    assert found.moves[0].causes[0].sentence == "number 1 has no card of m/priority"
    assert found.under == ()


def test_a_card_without_a_cost_is_held_against_its_first_floor() -> None:
    new = book(usd_per_hour="2.16", number=2)
    (card,) = book().rate_cards
    without = card.model_copy(update={"cost": None, "cost_none": "by hand"})
    current = book().model_copy(update={"rate_cards": (without,)})
    found = anew(current, new)
    assert {one.before for one in found.moves} == {None}
    assert [one.floor_before for one in found.under] == [None] * 3
    assert found.under[-1].sentence() == (
        "m/standard/output_tokens: 0.515874 is under the new floor 0.61904762"
    )
    # Neither has a floor: there is nothing to hold it against.
    bare = new.model_copy(update={"rate_cards": (without,)})
    assert anew(current, bare).under == ()


def test_a_floor_that_a_slower_service_tier_holds_moves_through_it() -> None:
    # b200 keeps the slower promise alone: priority rests on h100, and its floor on standard's.
    slow = tuple(p for p in made_points("b200_sxm") if p.interactivity_tokens_per_s < 100)
    old, new = (
        made_book(
            factory=made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": usd}),
            service_tiers=TWO,
            measurements=measured(made_points(fast_share=0.9) + slow),
            number=number,
        )
        for number, usd in ((1, "5.40"), (2, "6.48"))
    )
    found = anew(old, new)
    priority = next(
        one for one in found.moves if (one.service_tier, one.unit) == ("priority", "output_tokens")
    )
    assert [cause.sentence for cause in priority.causes if cause.kind == "factory"] == [
        "through standard: b200_sxm USD/h 5.4 -> 6.48 (all_in 5.4 -> 6.48)"
    ]
    # Where the slower card is gone, nothing is said through it.
    value = {**dump(new), "rate_cards": dump(new)["rate_cards"][1:]}
    only = load_price_book(canonical_json(value), name="only.json")
    causes = [cause for one in anew(old, only).moves for cause in one.causes]
    assert not [cause for cause in causes if cause.sentence.startswith("through")]


def test_hardware_that_serves_for_the_first_time_names_its_measurement() -> None:
    factory = made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": "5.40"})
    later = made_points("b200_sxm", first_row=20)
    old, new = (
        made_book(factory=factory, measurements=measured(points), number=number)
        for number, points in ((1, made_points()), (2, made_points() + later))
    )
    found = anew(old, new)
    causes = {cause.sentence: cause.kind for cause in found.moves[-1].causes}
    # Both shapes at 60 tokens/s: the first point of each, in rows 20 and 22.
    assert causes["b200_sxm is measured in made.csv (sha256:0) rows 20, 22"] == "measurement"
    assert "b200_sxm now serves 0.5 of the capacity" in causes
    # The other way round nothing was measured: it serves no more.
    kinds = [cause.kind for cause in anew(new, old).moves[-1].causes]
    assert "measurement" not in kinds


def test_a_free_floor_has_no_percentage() -> None:
    old, new = book(), book(number=2)
    assert old.rate_cards[0].cost is not None
    free = tuple(
        one.model_copy(update={"floor": one.floor * 0}) for one in old.rate_cards[0].cost.floors
    )
    cost = old.rate_cards[0].cost.model_copy(update={"floors": free})
    card = old.rate_cards[0].model_copy(update={"cost": cost})
    found = anew(old.model_copy(update={"rate_cards": (card,)}), new)
    assert {one.change_percent for one in found.moves} == {None}


def test_books_of_two_series_or_currencies_do_not_compare() -> None:
    current, new = book(), book(number=2)
    for changed in ({"series": "other"}, {"currency": "EUR"}):
        with pytest.raises(DocumentError, match="give the book in force of the same series"):
            anew(current.model_copy(update=changed), new)

"""What a diff says of the cost under a rate: hours, measurements, pools, floors, exchange."""

from __future__ import annotations

from dataclasses import replace

from pricing_rules.prices.provenance import SourcedCost
from pricing_rules.rules.book_diff import book_diff
from tests.pricing_rules.rules.made_documents import (
    card_of,
    figure,
    made_book,
    made_factory,
    made_points,
    made_rule,
    made_service_tier,
    measured,
)
from tests.pricing_rules.rules.read_diffs import causes, change_of, exchange, sentences

OUTPUT = {"units": ["output_tokens"]}
INPUT = {"units": ["input_tokens"]}
EU = made_rule("eu", then={"action": "region", "region": "eu", "multiply": "1.1"}, when=OUTPUT)
TIERS = [made_service_tier("batch"), made_service_tier("standard", promise=60)]


def test_a_dearer_hour_is_the_cause_down_to_its_part() -> None:
    diff = book_diff(
        made_book(), new=made_book(factory=made_factory(usd_per_hour={"h100_sxm": "1.98"}))
    )
    change = change_of(diff, "output_tokens")
    # 1.98 / 1.80 = 1.1: the floor, and the rate that is the floor, by 10 %
    # (.515874 -> .567461 as rounded up: 9.9999 %)
    assert (change.before, change.after, change.change_percent) == (
        "0.515874", "0.567461", "9.9999",
    )  # fmt: skip
    floor, hour = causes(change)
    assert floor == (
        "floor", "floor 0.515873015 -> 0.567460318 (unit cost 0.206349206 -> 0.226984127)",
    )  # fmt: skip
    assert hour == ("factory", "h100_sxm USD/h 1.8 -> 1.98 (all_in 1.8 -> 1.98)")


def test_what_a_floor_is_made_of_is_named_figure_by_figure() -> None:
    cheap = made_book(factory=made_factory(utilization="0.4", variable="0.1"))
    (one,) = sentences(book_diff(made_book(), new=cheap), "output_tokens")
    # .206349206 / .4 + .1 = .615873015; / .8 = .769841269
    assert one == ("floor 0.515873015 -> 0.769841269 (utilization 0.5 -> 0.4, variable 0 -> 0.1)")
    dear = made_book(
        service_tiers=[made_service_tier("standard", promise=60, margin="0.50")],
        changed={"revenue_share": figure("0.10")},
    )
    (one,) = sentences(book_diff(made_book(), new=dear), "output_tokens")
    assert "(minimum margin 0.2 -> 0.5, revenue share 0 -> 0.1)" in one


def test_a_floor_that_a_slower_service_tier_holds_up_says_so() -> None:
    slow = [made_service_tier("batch", margin="0.5"), made_service_tier("standard", promise=60)]
    diff = book_diff(made_book(service_tiers=TIERS), new=made_book(service_tiers=slow))
    assert any("held by itself -> batch" in text for text in sentences(diff, "output_tokens"))


def test_another_measurement_is_the_cause_with_its_rows() -> None:
    faster = [
        replace(
            point,
            output_tokens_per_s_per_accelerator=point.output_tokens_per_s_per_accelerator * 2,
            input_tokens_per_s_per_accelerator=point.input_tokens_per_s_per_accelerator * 2,
        )
        for point in made_points(first_row=20)
    ]
    diff = book_diff(made_book(), new=made_book(measurements=measured(faster)))
    change = change_of(diff, "output_tokens")
    # .515873015 / 2 = .2579365075, which the floor has as .257936508: up to .257937
    assert (change.before, change.after) == ("0.515874", "0.257937")
    kind, sentence = causes(change)[-1]
    assert kind == "measurement"
    assert sentence.startswith("h100_sxm us per token 412.698413 -> 206.349206; from ")
    assert "rows 20" in sentence
    assert "instead of" in sentence


def test_other_rows_that_say_the_same_change_no_rate() -> None:
    assert (
        book_diff(
            made_book(), new=made_book(measurements=measured(made_points(first_row=30)))
        ).rates
        == ()
    )


def test_hardware_that_joins_or_leaves_a_pool_is_the_cause() -> None:
    two = made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": "0.90"})
    points = (*made_points(), *made_points("b200_sxm", first_row=10))
    alone, both = made_book(), made_book(factory=two, measurements=measured(points))
    joined = causes(change_of(book_diff(alone, new=both), "output_tokens"))
    assert ("factory", "b200_sxm now serves 0.5 of the capacity") in joined
    assert ("factory", "h100_sxm weight 1 -> 0.5 (accelerators 10 -> 10)") in joined
    left = causes(change_of(book_diff(both, new=alone), "output_tokens"))
    assert ("factory", "b200_sxm serves no part of it any more") in left


def test_another_reference_shape_is_the_cause() -> None:
    two = made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": "0.90"})
    # The b200 reads input at a fifth of the cost: what it serves depends on the reference shape.
    points = (*made_points(), *(
        replace(p, output_tokens_per_s_per_accelerator=p.output_tokens_per_s_per_accelerator
                * (3 if p.shape.input_tokens == 8000 else 2))
        for p in made_points("b200_sxm", first_row=10)
    ))  # fmt: skip
    long = {"reference_shape": {"input_tokens": 8000, "output_tokens": 1000}}
    diff = book_diff(
        made_book(factory=two, measurements=measured(points)),
        new=made_book(factory=two, measurements=measured(points), changed=long),
    )
    assert ("floor", "reference shape 1000 in / 1000 out -> 8000 in / 1000 out") in causes(
        change_of(diff, "output_tokens")
    )


def test_a_cost_that_comes_or_goes_is_the_cause() -> None:
    book = made_book()
    other = made_book(rules=[made_rule("more", then={"action": "multiply", "factor": "2"})])
    bare_card = card_of(other).model_copy(update={"cost": None, "cost_none": "imported"})
    bare = other.model_copy(update={"rate_cards": (bare_card,)})
    gone = causes(change_of(book_diff(book, new=bare), "output_tokens"))
    assert gone[0] == ("floor", "output_tokens has no measured cost any more")
    come = causes(change_of(book_diff(bare, new=book), "output_tokens"))
    assert come[0] == ("floor", "output_tokens has a measured cost now")


def test_model_amortisation_is_the_cause() -> None:
    book = made_book()
    card = card_of(book)
    assert card.cost is not None
    floors = tuple(
        one.model_copy(
            update={"unit_cost_per_mtok": one.unit_cost_per_mtok + 1, "floor": one.floor + 2}
        )
        for one in card.cost.floors
    )
    added = SourcedCost.model_validate_json('{"name": "m", "usd_per_mtok": "1", "source": "x"}')
    cost = card.cost.model_copy(update={"model_amortisation": added, "floors": floors})
    rates = tuple(one.model_copy(update={"rate": (one.rate or 0) + 2}) for one in card.rates)
    dearer = book.model_copy(
        update={"rate_cards": (card.model_copy(update={"cost": cost, "rates": rates}),)}
    )
    assert ("factory", "model amortisation 0 -> 1 USD per Mtok") in causes(
        change_of(book_diff(book, new=dearer), "output_tokens")
    )
    assert ("factory", "model amortisation 1 -> 0 USD per Mtok") in causes(
        change_of(book_diff(dearer, new=book), "output_tokens")
    )


def test_another_exchange_rate_is_the_cause() -> None:
    diff = book_diff(made_book(changed=exchange("0.8")), new=made_book(changed=exchange("0.9")))
    assert causes(change_of(diff, "output_tokens"))[0] == (
        "exchange",
        "1 USD = 0.8 EUR on 2026-10-01 (a bank), now 1 USD = 0.9 EUR on 2026-10-01 (a bank)",
    )


def test_another_kind_of_floor_is_the_cause() -> None:
    cash = {**made_service_tier("standard", promise=60, margin="0"), "floor_kind": "cash"}
    diff = book_diff(made_book(), new=made_book(service_tiers=[cash]))
    assert "kind full -> cash" in sentences(diff, "output_tokens")[0]


def test_another_share_for_cached_tokens_rests_on_the_same_rows() -> None:
    diff = book_diff(made_book(), new=made_book(changed={"cached_share": figure("0.20")}))
    (change,) = diff.rates
    # 87.3015873 us a fresh token: a tenth, then a fifth of it
    assert causes(change)[1] == (
        "measurement", "h100_sxm us per token 8.73015873 -> 17.4603175; from the same rows",
    )  # fmt: skip


def test_rows_that_were_left_out_are_named() -> None:
    book, card = made_book(), card_of(made_book())
    assert card.cost is not None
    hardware = card.cost.hardware[0]
    fewer = hardware.model_copy(
        update={
            "shapes": hardware.shapes[:1],
            "us_per_output_token": hardware.us_per_output_token * 2,
        }
    )
    floors = tuple(
        one.model_copy(update={"unit_cost_per_mtok": one.unit_cost_per_mtok * 2})
        for one in card.cost.floors
    )
    cost = card.cost.model_copy(update={"hardware": (fewer,), "floors": floors})
    rates = tuple(one.model_copy(update={"rate": (one.rate or 0) * 2}) for one in card.rates)
    other = book.model_copy(
        update={"rate_cards": (card.model_copy(update={"cost": cost, "rates": rates}),)}
    )
    gone = sentences(book_diff(book, new=other), "output_tokens")[-1]
    assert "; from fewer rows instead of made.csv rows 4 (" in gone

"""Floors per service tier: sums on the worked example, and each reason for a card left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.provenance import UnitFloor
from tests.pricing_rules.cost.made_points import made_point, made_setup
from tests.pricing_rules.rules.made_documents import (
    SHORT,
    card_of,
    finding_ids,
    made_book,
    made_factory,
    made_points,
    made_service_tier,
    measured,
)

THREE = [
    made_service_tier("priority", promise=120),
    made_service_tier("batch"),
    made_service_tier("standard", promise=60),
]


def floors(book: PriceBook, *, service_tier: str = "standard") -> dict[str, UnitFloor]:
    cost = card_of(book, service_tier=service_tier).cost
    assert cost is not None
    return {floor.unit: floor for floor in cost.floors}


def sentence(book: PriceBook, id_: str) -> str:
    return next(finding.sentence for finding in book.findings if finding.id == id_)


def test_a_floor_follows_from_the_measured_points() -> None:
    # 1.80/h / 3600 x 87.3016 = .0436508 per Mtok in, x 412.698 = .206349 out, a tenth of in cached;
    # sold half: / .5; margin: / (1 - .2)
    found = floors(made_book())
    assert {unit: str(floor.unit_cost_per_mtok) for unit, floor in found.items()} == {
        "input_tokens": "0.0436507937",
        "cache_read_tokens": "0.00436507937",
        "output_tokens": "0.206349206",
    }
    assert {unit: str(floor.floor) for unit, floor in found.items()} == {
        "input_tokens": "0.109126984",
        "cache_read_tokens": "0.0109126984",
        "output_tokens": "0.515873015",
    }


def test_variable_costs_and_the_revenue_share_count() -> None:
    share = {"value": "0.05", "source": "fees", "source_date": "2026-10-01"}
    book = made_book(
        factory=made_factory(variable="0.01", utilization="1"), changed={"revenue_share": share}
    )
    found = floors(book)["output_tokens"]
    # (.206349206 + .01) / (1 - .2 - .05) = .216349206 / .75
    assert str(found.floor) == "0.288465608"
    assert (str(found.variable_per_mtok), str(found.revenue_share)) == ("0.01", "0.05")


def test_a_faster_promise_costs_more_and_no_promise_takes_the_best_throughput() -> None:
    book = made_book(service_tiers=THREE)
    assert [card.service_tier for card in book.rate_cards] == ["batch", "standard", "priority"]
    # At 120 the throughput is half, so a and b are twice as much.
    assert [
        str(floors(book, service_tier=name)["output_tokens"].floor)
        for name in ("batch", "standard", "priority")
    ] == ["0.515873015", "0.515873015", "1.03174603"]


def test_hardware_counts_by_its_share_of_the_request_capacity() -> None:
    # 10 of each at the same seconds, so half the capacity each: (1.80 + 5.40) / 2 an hour
    points = made_points() + made_points("b200_sxm", first_row=10)
    factory = made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": "5.40"})
    book = made_book(factory=factory, measurements=measured(points))
    cost = card_of(book).cost
    assert cost is not None
    assert [(h.hardware, str(h.share_of_capacity)) for h in cost.hardware] == [
        ("b200_sxm", "0.5"), ("h100_sxm", "0.5"),
    ]  # fmt: skip
    # twice the .206349206 of 1.80 an hour
    assert str(floors(book)["output_tokens"].unit_cost_per_mtok) == "0.412698413"


def test_a_promise_that_no_hardware_keeps_gives_no_card_and_a_finding() -> None:
    def book(promise: int) -> PriceBook:
        fast = made_service_tier("priority", promise=promise)
        return made_book(service_tiers=[made_service_tier("batch"), fast])

    assert book(119).card(model="m", service_tier="priority") is not None
    assert book(120).card(model="m", service_tier="priority") is not None
    beyond = book(121)
    assert beyond.card(model="m", service_tier="priority") is None
    assert finding_ids(beyond) == ["unreachable_promise:m/priority"]
    assert sentence(beyond, "unreachable_promise:m/priority") == (
        "m/priority has no rates: h100_sxm serves none of m in priority: its measured shapes all "
        "reach 120.0 tokens/s per user at most "
        "(m fp8 on 1 h100_sxm, vllm (no version), tp1 pp1 dp1 moe_tp1 moe_ep1)"
    )


def test_hardware_that_cannot_keep_the_promise_has_no_share_and_a_finding() -> None:
    slow = tuple(p for p in made_points("b200_sxm") if p.interactivity_tokens_per_s < 100)
    book = made_book(
        factory=made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": "5.40"}),
        service_tiers=[made_service_tier("standard", promise=60), THREE[0]],
        measurements=measured(made_points() + slow),
    )
    cost = card_of(book, service_tier="priority").cost
    assert cost is not None
    assert [(h.hardware, str(h.share_of_capacity)) for h in cost.hardware] == [("h100_sxm", "1")]
    assert "unreachable_promise:m/priority/b200_sxm" in finding_ids(book)


def test_a_faster_service_tier_takes_the_higher_floor_of_a_slower_one() -> None:
    # Standard is served half by hardware at 5.40, priority by that at 1.80 alone, at .9 of the
    # throughput: K .412698413 and .206349206 / .9 = .229276896
    slow = tuple(p for p in made_points("b200_sxm") if p.interactivity_tokens_per_s < 100)
    book = made_book(
        factory=made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": "5.40"}),
        service_tiers=[made_service_tier("standard", promise=60), THREE[0]],
        measurements=measured(made_points(fast_share=0.9) + slow),
    )
    standard = floors(book)["output_tokens"]
    priority = floors(book, service_tier="priority")["output_tokens"]
    assert standard.raised is None
    assert priority.raised is not None
    assert (priority.raised.service_tier, str(priority.raised.own_floor)) == (
        "standard", "0.57319224",
    )  # fmt: skip
    assert str(priority.floor) == str(standard.floor) == "1.03174603"
    assert finding_ids(book, kind="running_maximum") == [
        f"running_maximum:m/priority/{unit}"
        for unit in ("cache_read_tokens", "input_tokens", "output_tokens")
    ]
    assert sentence(book, "running_maximum:m/priority/output_tokens") == (
        "the floor of output_tokens of m/priority is 1.03174603, that of the slower service tier "
        "standard; its own is 0.57319224"
    )
    first = card_of(book, service_tier="priority").rates[0].steps[0]
    assert first.why == "the full floor of the pool main, raised to that of standard"


@pytest.mark.parametrize(
    "service_tier, id_, said",
    [
        (
            {"minimum_precision": "bf16"},
            "precision:m/other",
            "m/other has no rates: fp8 is under the promised bf16",
        ),
        (
            {"promise": {"interactivity_tokens_per_s": 60, "statistic": "p95"}},
            "unmeasured:m/other",
            "m/other has no rates: h100_sxm serves none of m in other: no measurement of it in fp8 "
            "with p95 figures",
        ),
        (
            {"promise": {"interactivity_tokens_per_s": 60, "statistic": "mean", "ttft_ms": 99}},
            "unreachable_promise:m/other",
            "m/other has no rates: h100_sxm serves none of m in other: no measured point keeps the "
            "promised TTFT",
        ),
    ],
)
def test_a_card_that_is_left_out_has_its_reason(
    service_tier: dict[str, Any], id_: str, said: str
) -> None:
    other = {**made_service_tier("other"), **service_tier}
    book = made_book(
        service_tiers=[made_service_tier("standard", promise=60), other],
        factory=made_factory(service_tiers=["standard", "other"]),
    )
    assert [card.service_tier for card in book.rate_cards] == ["standard"]
    assert finding_ids(book) == [id_]
    assert sentence(book, id_) == said


@pytest.mark.parametrize(
    "ttft_ms, sold",
    [(99, False), (100, True), (101, True)],
)
def test_a_promised_ttft_bounds_the_measured_one(ttft_ms: int, sold: bool) -> None:
    promise = {"interactivity_tokens_per_s": 60, "statistic": "mean", "ttft_ms": ttft_ms}
    quick = {**made_service_tier("quick"), "promise": promise}
    book = made_book(
        service_tiers=[made_service_tier("batch"), quick],
        factory=made_factory(service_tiers=["batch", "quick"]),
    )
    assert (book.card(model="m", service_tier="quick") is not None) == sold


@pytest.mark.parametrize("measured_ms, sold", [(3000.0, True), (3000.1, False)])
def test_a_loose_promise_of_ttft_makes_no_saturated_point_a_service(
    measured_ms: float, sold: bool
) -> None:
    # 1,000 tokens in are served within 3,000 ms, or users wait in a queue, whatever is promised.
    promise = {"interactivity_tokens_per_s": 60, "statistic": "mean", "ttft_ms": 60_000}
    points = [replace(point, ttft_ms=measured_ms) for point in made_points()]
    book = made_book(
        service_tiers=[
            made_service_tier("batch"),
            {**made_service_tier("quick"), "promise": promise},
        ],
        factory=made_factory(models=("m", "n"), service_tiers=["batch", "quick"]),
        measurements=measured((*points, *made_points(model="n"))),
        changed={"models": [{"name": name, "precision": "fp8"} for name in ("m", "n")]},
    )
    assert (book.card(model="m", service_tier="quick") is not None) == sold


def test_a_minimum_precision_is_at_least_that_precision() -> None:
    def sold(precision: str) -> bool:
        tier = {**made_service_tier("standard"), "minimum_precision": precision}
        book = made_book(service_tiers=[made_service_tier("batch"), tier])
        return book.card(model="m", service_tier="standard") is not None

    assert [sold(precision) for precision in ("fp4", "int8", "fp16")] == [True, True, False]


def test_a_pool_serves_what_it_lists() -> None:
    models = [{"name": "m", "precision": "fp8"}, {"name": "n", "precision": "fp8"}]
    book = made_book(
        service_tiers=[made_service_tier("standard", promise=60), THREE[0]],
        factory=made_factory(service_tiers=["standard"]),
        changed={"models": models},
    )
    assert finding_ids(book) == [
        "not_served:m/priority", "not_served:n/priority", "not_served:n/standard",
    ]  # fmt: skip
    assert sentence(book, "not_served:m/priority") == (
        "m/priority has no rates: the pool main does not list both to serve"
    )


def test_a_pool_that_the_factory_lacks_is_refused() -> None:
    models = [{"name": "m", "precision": "fp8", "pool": "spare"}]
    with pytest.raises(DocumentError, match='there is no pool "spare"; write one of main'):
        made_book(changed={"models": models})


def test_one_shape_alone_fits_nothing() -> None:
    points = tuple(p for p in made_points() if p.shape == SHORT)
    other = tuple(replace(p, setup=made_setup(model="n")) for p in made_points())
    book = made_book(
        factory=made_factory(models=["m", "n"]),
        measurements=measured(points + other),
        changed={"models": [{"name": "m", "precision": "fp8"}, {"name": "n", "precision": "fp8"}]},
    )
    assert finding_ids(book) == ["unmeasured:m/standard"]
    assert sentence(book, "unmeasured:m/standard").endswith(
        "its measured shapes all have one ratio of input to output"
    )


def test_points_of_other_models_and_precisions_play_no_part() -> None:
    other = made_point(60, output=9e9, setup=made_setup(model="other"))
    rougher = made_point(60, output=9e9, setup=replace(made_setup(), precision="fp4"))
    assert made_book(measurements=measured((*made_points(), other, rougher))) == made_book()


def test_without_any_card_there_is_no_book() -> None:
    with pytest.raises(DocumentError) as caught:
        made_book(service_tiers=[made_service_tier("priority", promise=121)])
    assert "no model can be sold in any service tier: m/priority has no rates" in str(caught.value)

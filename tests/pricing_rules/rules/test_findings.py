"""Findings of a candidate: floors, guard rails, weak measurements, rules that did nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pricing_rules.cost.measurement import Shape
from pricing_rules.cost.readers.measurements import RefusedRow
from pricing_rules.prices.price_book import PriceBook
from tests.pricing_rules.cost.made_points import made_point
from tests.pricing_rules.rules.made_documents import (
    finding_ids,
    made_book,
    made_points,
    made_rule,
    made_service_tier,
    measured,
    rate_of,
    set_to,
)
from tests.pricing_rules.rules.made_mixes import made_entry, made_mix, mixed_book

CACHED = {"units": ["cache_read_tokens"]}
INPUT = {"units": ["input_tokens"]}
OUTPUT = {"units": ["output_tokens"]}
NINE = made_rule("nine", then={"action": "round_up_to", "step": "0.000000001"})


def sentence(book: PriceBook, id_: str) -> str:
    return next(finding.sentence for finding in book.findings if finding.id == id_)


@pytest.mark.parametrize(
    "rate, found",
    # The floor of output is .515873015.
    [
        ("0.515873014", ["under_floor:m/standard/output_tokens"]),
        ("0.515873015", []),
        ("0.515873016", []),
    ],
)
def test_a_rate_under_its_floor_is_a_finding(rate: str, found: list[str]) -> None:
    book = made_book(rules=[set_to(rate, when=OUTPUT), NINE])
    assert rate_of(book, "output_tokens") == rate
    assert finding_ids(book) == found
    if found:
        assert sentence(book, found[0]) == (
            "m/standard/output_tokens: the rate 0.515873014 is under the floor 0.515873015"
        )


def test_a_finding_shows_small_rates_in_plain_digits() -> None:
    book = made_book(rules=[set_to("0.0000001", when=OUTPUT), NINE])
    assert "the rate 0.0000001 is under the floor" in book.findings[0].sentence


def test_the_lowest_band_is_held_against_the_floor() -> None:
    bands = [{"up_to": 1000, "multiply": "1"}, {"multiply": "0.5"}]
    then = {"action": "ladder", "id": "volume", "bands": bands}
    book = made_book(
        rules=[
            # 1.031746 / 2 = .515873 under .515873015; 1.03174604 / 2 = .51587302 over it
            set_to("1.031746", when=OUTPUT),
            made_rule("l", then=then, when=OUTPUT),
            made_rule("eu", then={"action": "region", "region": "eu", "multiply": "1.1"}),
        ]
    )
    assert finding_ids(book) == ["under_floor:m/standard/output_tokens"]
    assert "the lowest band 0.515873 is under the floor" in book.findings[0].sentence
    over = made_book(
        rules=[set_to("1.03174604", when=OUTPUT), made_rule("l", then=then, when=OUTPUT), NINE]
    )
    assert finding_ids(over) == []


@pytest.mark.parametrize("cached, broken", [("0.4999", False), ("0.5", False), ("0.5001", True)])
def test_cached_input_over_input_is_a_finding(cached: str, broken: bool) -> None:
    rules = [set_to("0.5", when=INPUT), set_to(cached, when=CACHED, id_="cached")]
    book = made_book(rules=rules)
    id_ = "cached_over_input:m/standard/cache_read_tokens"
    assert finding_ids(book) == ([id_] if broken else [])
    if broken:
        assert sentence(book, id_) == (
            "m/standard/cache_read_tokens: 0.5001 for input read from cache is over the 0.5 for "
            "fresh input"
        )


@pytest.mark.parametrize("fast, broken", [("1.999", True), ("2", False), ("2.001", False)])
def test_a_faster_service_tier_that_is_cheaper_is_a_finding(fast: str, broken: bool) -> None:
    batch = {"service_tiers": ["batch"], **OUTPUT}
    standard = {"service_tiers": ["standard"], **OUTPUT}
    book = made_book(
        service_tiers=[made_service_tier("standard", promise=60), made_service_tier("batch")],
        rules=[set_to("2", when=batch), set_to(fast, when=standard, id_="fast")],
    )
    id_ = "service_tier_order:m/standard/output_tokens"
    assert finding_ids(book) == ([id_] if broken else [])
    if broken:
        assert sentence(book, id_) == (
            "m/standard/output_tokens: 1.999 is under the 2 of the slower service tier batch"
        )


def test_service_tiers_of_one_promise_have_no_order() -> None:
    standard = {"service_tiers": ["standard"], **OUTPUT}
    book = made_book(
        service_tiers=[
            made_service_tier("batch", promise=60), made_service_tier("standard", promise=60),
        ],
        # The rule's reason names "standard": else an equal floor and 9 would be unequal_rate.
        rules=[set_to("9", when=standard, id_="standard")],
    )  # fmt: skip
    assert finding_ids(book) == []


def test_ladders_are_compared_band_by_band_where_their_bounds_agree() -> None:
    def book(*, input_up_to: int, cached_up_to: int) -> PriceBook:
        def ladder(id_: str, *, up_to: int, when: dict[str, Any]) -> Any:
            bands = [{"up_to": up_to, "multiply": "1"}, {"multiply": "0.5"}]
            return made_rule(id_, then={"action": "ladder", "id": id_, "bands": bands}, when=when)

        return made_book(
            rules=[
                set_to("1", when=INPUT),
                set_to("0.9", when=CACHED, id_="cached"),
                ladder("a", up_to=input_up_to, when=INPUT),
                ladder("b", up_to=cached_up_to, when=CACHED),
            ]
        )

    # 1 and .5 against .9 and .45: each band below. With other bounds .9 can meet .5.
    assert finding_ids(book(input_up_to=100, cached_up_to=100)) == []
    assert finding_ids(book(input_up_to=100, cached_up_to=200)) == [
        "cached_over_input:m/standard/cache_read_tokens"
    ]


def test_a_rule_that_does_nothing_is_a_finding() -> None:
    half = made_rule(
        "half",
        then={"action": "relate", "service_tier": "priority", "factor": "0.5"},
        when=OUTPUT,
    )
    eu = made_rule("eu", then={"action": "multiply", "factor": "2"}, when={"regions": ["eu"]})
    book = made_book(
        rules=[half, eu],
        service_tiers=[
            made_service_tier("standard", promise=60), made_service_tier("priority", promise=121),
        ],
    )  # fmt: skip
    assert finding_ids(book, kind="rule_unmet") == [
        "rule_unmet:eu", "rule_unmet:half/m/standard/output_tokens",
    ]  # fmt: skip
    assert sentence(book, "rule_unmet:half/m/standard/output_tokens") == (
        "the rule half finds no rate of priority for m/standard/output_tokens"
    )


def test_a_fit_that_charges_a_shape_half_more_than_it_took_is_a_finding() -> None:
    # 1k/8k at 1,000 output tokens/s takes 8 s, 8k/1k 1.1111 s: 1000a + 8000b = 8 and
    # 8000a + 1000b = 1.1111 give a = 14.11 and b = 998.24 us, so 1k/1k is charged 1.01235 s
    # where it took .5 s: 102 % more
    odd = made_point(
        60, output=1000, shape=Shape(input_tokens=1000, output_tokens=8000), concurrency=8
    )
    book = made_book(measurements=measured((*made_points(), odd)))
    assert finding_ids(book) == ["overcharge:m/standard/h100_sxm"]
    assert book.findings[0].sentence == (
        "m/standard on h100_sxm: the cover charges one measured shape 102 % more than it took"
    )


@pytest.mark.parametrize(
    "tokens, outside",
    # The measured shapes are 1000/1000 and 8000/1000: the line between them, its ends included.
    [(999, True), (1000, False), (8000, False), (8001, True)],
)
def test_a_reference_shape_outside_of_the_measured_ones_is_a_finding(
    tokens: int, outside: bool
) -> None:
    shape = {"input_tokens": tokens, "output_tokens": 1000}
    book = made_book(changed={"reference_shape": shape})
    id_ = "extrapolated:m/standard/reference_shape"
    assert finding_ids(book) == ([id_] if outside else [])


def test_past_usage_outside_of_the_measured_shapes_is_a_finding() -> None:
    # acme's 800+200/100 and globex's 1,000/300 are 1,000/200 on the mean of all.
    book = mixed_book(
        made_mix(
            made_entry(account="acme", tokens=(800, 200, 100)),
            made_entry(account="globex", tokens=(1000, 0, 300)),
        )
    )
    assert finding_ids(book, kind="extrapolated") == ["extrapolated:m/standard/usage_mix"]
    assert book.findings[0].sentence == (
        "m/standard: the usage mix lies outside of the measured shapes of h100_sxm (nearest "
        "measured 1000/1000)"
    )


@pytest.mark.parametrize(
    "days, stale",
    # From 2026-03-01 to 2026-12-01 are 275 days.
    [(274, True), (275, False), (276, False)],
)
def test_a_measurement_over_the_age_is_a_finding(days: int, stale: bool) -> None:
    book = made_book(changed={"guard_rails": {"measurement_age_days_at_most": days}})
    assert finding_ids(book) == (["stale:m/standard"] if stale else [])
    if stale:
        assert book.findings[0].sentence == (
            "m/standard rests on a measurement of 2026-03-01, over 274 days old"
        )


def test_a_measurement_without_a_date_is_a_finding_where_age_counts() -> None:
    undated = measured(made_points(measured_date=None))
    rails = {"guard_rails": {"measurement_age_days_at_most": 9999}}
    assert finding_ids(made_book(measurements=undated, changed=rails)) == ["stale:m/standard"]
    assert finding_ids(made_book(measurements=undated)) == []


def test_refused_rows_are_one_finding() -> None:
    refused = [
        RefusedRow(row=9, kind="unreadable", reason="a"),
        RefusedRow(row=8, kind="implausible", reason="b"),
        RefusedRow(row=7, kind="unreadable", reason="c"),
    ]
    book = made_book(measurements=measured(refused=refused))
    assert finding_ids(book) == ["refused_rows:measurements"]
    assert book.findings[0].sentence == (
        "no cost rests on 3 measured rows that were refused: 1 implausible, 2 unreadable"
    )


@pytest.mark.parametrize(
    "flag, said",
    [
        ("derived", "overstates it by 2 to 5 %, so their floors are that much too low"),
        ("cached_input", "some of their input came from a prefix cache, so fresh input takes more"),
        ("accelerators_stated", "a person stated how many accelerators they took"),
        ("pools_stated", "a person stated how many accelerators they took"),
    ],
)
def test_a_flag_of_a_point_that_floors_rest_on_is_one_finding(flag: str, said: str) -> None:
    # batch rests on the points at 60 tokens/s alone; a flag on those at 120 says nothing of it.
    slow = tuple(replace(p, flags=(flag, "model_stated")) for p in made_points()[::2])
    fast = made_points()[1::2]
    tiers = [made_service_tier("batch"), made_service_tier("priority", promise=120)]
    book = made_book(measurements=measured((*slow, *fast)), service_tiers=tiers)
    assert finding_ids(book, kind="flagged") == [f"flagged:{flag}"]
    assert sentence(book, f"flagged:{flag}").startswith(
        f"1 of 2 rate cards rest on measured points that are flagged {flag}: "
    )
    assert sentence(book, f"flagged:{flag}").endswith(said)

"""The yield test of a book: measured requests, accounts, conditions and bands."""

from __future__ import annotations

from typing import Any

import pytest

from pricing_rules.cost.measurement import Shape
from pricing_rules.prices.price_book import PriceBook
from tests.pricing_rules.cost.made_points import made_point, made_setup
from tests.pricing_rules.rules.made_documents import (
    figure,
    finding_ids,
    made_book,
    made_factory,
    made_points,
    made_rule,
    made_service_tier,
    measured,
    set_to,
)
from tests.pricing_rules.rules.made_mixes import made_entry, made_mix, mixed_book

# Floors: .109126984 in, .0109126984 cached, .515873015 out. A request of 1,000/1,000 takes .5 s:
# .5 x 1.80/3,600/.5/.8 = .000625, so a million of them must earn 625; of 8,000/1,000 it is 1.1111 s
# and 1,388.89.
INPUT, OUTPUT = {"units": ["input_tokens"]}, {"units": ["output_tokens"]}
MEASURED = "yield:m/standard/measured"


def sentence(book: PriceBook, id_: str) -> str:
    return next(finding.sentence for finding in book.findings if finding.id == id_)


def yields(book: PriceBook) -> list[str]:
    return [*finding_ids(book, kind="unproven"), *finding_ids(book, kind="yield")]


@pytest.mark.parametrize(
    "output, found",
    # Input at .20: 1,000/1,000 must make 425 of output, 8,000/1,000 earns 1,600 by input alone.
    [("0.424", [MEASURED]), ("0.425", []), ("0.426", [])],
)
def test_a_low_rate_may_be_made_good_by_another(output: str, found: list[str]) -> None:
    book = made_book(rules=[set_to("0.2", when=INPUT), set_to(output, when=OUTPUT, id_="out")])
    assert finding_ids(book, kind="under_floor") == ["under_floor:m/standard/output_tokens"]
    assert yields(book) == found
    if found:
        assert sentence(book, MEASURED) == (
            "m/standard: 1 of 2 measured requests earn less than their floor; 1000/1000 tokens "
            "earns 624 USD per million requests, under its floor of 625"
        )


def test_rates_at_their_floors_pass() -> None:
    assert yields(made_book()) == []


def test_each_condition_is_tried_and_falls_back_to_the_rate_without() -> None:
    # In eu output is at half: 109.127 + 257.937 = 367.06 of 625; with the night window on input
    # beside it (.9) nothing is lower than that.
    night = {"zone": "UTC", "times": [{"start_time": "22:00", "end_time": "06:00"}]}
    book = made_book(
        rules=[
            made_rule(
                "eu",
                when=OUTPUT,
                then={"action": "region", "region": "eu", "multiply": "0.5"},
            ),
            made_rule(
                "night",
                when=INPUT,
                then={"action": "window", "window": "night", "multiply": "0.9"},
            ),
        ],
        changed={"windows": {"night": night}},
    )
    assert yields(book) == [MEASURED]
    # Plain, eu and night for two shapes: both in eu and in the night fall short, the plain do not
    assert sentence(book, MEASURED).startswith(
        "m/standard: 4 of 6 measured requests earn less than their floor; 1000/1000 tokens when "
        "region=eu earns 367."
    )


@pytest.mark.parametrize(
    "over, found",
    # Requests of 8,000 in are at half where the step lies under that size, and not at it.
    [(7999, [MEASURED]), (8000, [])],
)
def test_a_context_step_holds_for_the_requests_that_reach_it(over: int, found: list[str]) -> None:
    step = {"action": "context_step", "request_tokens_over": over, "multiply": "0.5"}
    book = made_book(rules=[made_rule("long", then=step)])
    assert yields(book) == found


def test_the_lowest_band_of_a_ladder_must_do() -> None:
    bands = [{"up_to": 1000, "multiply": "1"}, {"multiply": "0.5"}]
    ladder = {"action": "ladder", "id": "volume", "bands": bands}
    book = made_book(
        rules=[
            made_rule("double", then={"action": "multiply", "factor": "1.999"}),
            made_rule("ladder", then=ladder),
        ]
    )
    # Half of 1.999 times the floor is .9995 of it.
    assert yields(book) == [MEASURED]


@pytest.mark.parametrize(
    "limit, found",
    # Only 8,000/1,000 falls short; under 9,000 tokens it is not sold.
    [(8999, []), (9000, [MEASURED])],
)
def test_requests_over_the_context_limit_are_not_sold(limit: int, found: list[str]) -> None:
    # .06 in and .60 out: 660 of 625, and 480 + 600 = 1,080 of 1,388.89
    limited = {**made_service_tier("standard", promise=60), "context_limit_tokens": limit}
    rules = [set_to("0.06", when=INPUT), set_to("0.6", when=OUTPUT, id_="out")]
    assert yields(made_book(rules=rules, service_tiers=[limited])) == found


def test_a_book_in_yen_is_held_against_dollars() -> None:
    exchange = {
        "currency": "JPY", "per_usd": "150", "date": "2026-11-20", "source": "a bank",
    }  # fmt: skip

    def book(output: str) -> PriceBook:
        rules = [set_to("30", when=INPUT), set_to(output, when=OUTPUT, id_="out")]
        return made_book(rules=rules, changed={"currency": "JPY", "exchange": exchange})

    # 30/150 = .20 in, so output must make .425 x 150 = 63.75 JPY
    assert yields(book("63.74")) == [MEASURED]
    assert yields(book("63.75")) == []


def account_book(*entries: Any, rules: Any = (), changed: Any = None) -> PriceBook:
    return mixed_book(made_mix(*entries), rules=rules, changed=changed)


MARKUP = made_rule("markup", then={"action": "markup", "share": "0.5"})


def test_an_account_whose_usage_earns_its_floor_is_no_finding() -> None:
    assert yields(account_book(made_entry(), rules=[MARKUP])) == []


def test_an_account_that_reads_from_cache_may_drag_a_card_under_its_cost() -> None:
    # Cached at .005 instead of .0109: 5,000 cached and 1,000 out, inside of the hull. Floor
    # 54.5635 + 515.873 = 570.4365; revenue 5,000 x .005 + 515.874 = 540.874
    cached = set_to("0.005", when={"units": ["cache_read_tokens"]})
    book = account_book(
        made_entry(account="acme", tokens=(0, 5000, 1000)),
        made_entry(account="globex", tokens=(5000, 0, 1000)),
        rules=[cached],
    )
    assert yields(book) == ["yield:m/standard/account/acme"]
    assert sentence(book, "yield:m/standard/account/acme") == (
        "m/standard: the mean request of acme, 0+5000/1000 tokens, earns 540.874 USD per million "
        "requests, under its floor of 570.436508"
    )


@pytest.mark.parametrize("out, proven", [(1000, True), (1001, False)])
def test_usage_outside_of_the_measured_shapes_is_not_proven(out: int, proven: bool) -> None:
    book = account_book(made_entry(tokens=(4000, 0, out)), rules=[MARKUP])
    assert yields(book) == ([] if proven else ["unproven:m/standard/account/acme"])
    if not proven:
        assert sentence(book, "unproven:m/standard/account/acme") == (
            "m/standard: the mean request of acme, 4000/1001 tokens, is not proven to earn its "
            "floor: it lies outside of the measured shapes of h100_sxm (nearest measured 8000/1000)"
        )


def test_usage_that_falls_short_by_the_fit_alone_says_so() -> None:
    book = account_book(made_entry(tokens=(0, 5000, 4000)), rules=[
        set_to("0.001", when={"units": ["cache_read_tokens"]}),
    ])  # fmt: skip
    assert sentence(book, "yield:m/standard/account/acme").endswith(
        ": it lies outside of the measured shapes of h100_sxm (nearest measured 8000/1000)"
    )


def classes(*requests: tuple[int, int, int]) -> dict[str, Any]:
    """An entry of so many requests of so many fresh and output tokens, a size class each."""
    shapes = [
        {
            "events": events,
            "input_tokens": events * fresh,
            "cache_read_tokens": 0,
            "output_tokens": events * out,
        }
        for events, fresh, out in requests
    ]
    total = sum(events for events, _, _ in requests)
    leaves = {
        unit: sum(shape[unit] for shape in shapes) for unit in ("input_tokens", "output_tokens")
    }
    hours = [total, *[0] * 167]
    return made_entry() | {
        "events": total, "leaves": leaves, "shapes": shapes, "events_by_hour_of_week": hours,
    }  # fmt: skip


@pytest.mark.parametrize(
    "multiply, found",
    # 7 requests of 1,000/1,000 and one of 33,000/1,000 are 5,000/1,000 on the mean, which must
    # earn 545.63 + 515.87 = 1,061.51. Input is .05 and output .60, times m over 4,096 tokens, as
    # one request in eight is: .05 (7,000 + 33,000 m)/8 + .60 (7,000 + 1,000 m)/8 =
    # 568.75 + 281.25 m. 1.75: 1,060.94; 1.76: 1,063.75. At the size of the mean it were 850 m.
    [("1.25", True), ("1.75", True), ("1.76", False)],
)
def test_each_size_class_meets_its_own_context_step(multiply: str, found: bool) -> None:
    step = {"action": "context_step", "request_tokens_over": 4096, "multiply": multiply}
    rules = [
        set_to("0.05", when=INPUT),
        set_to("0.6", when=OUTPUT, id_="out"),
        made_rule("long", then=step),
    ]
    book = account_book(classes((7, 1000, 1000), (1, 33_000, 1000)), rules=rules)
    assert ("yield:m/standard/account/acme" in finding_ids(book, kind="yield")) == found


@pytest.mark.parametrize(
    "over, earns",
    # Requests of 5,000 in are of the class from 4,096 to 8,191; .20 in and .60 out at twice that
    # over the step. One that begins at 4,096 holds for all of the class, one from 4,097 to 8,191
    # for a part of it that is not known, and one at 8,192 for none.
    [(4095, "3200"), (4096, "1600"), (8190, "1600"), (8191, "1600")],
)
def test_a_step_inside_of_a_size_class_counts_for_nothing(over: int, earns: str) -> None:
    step = {"action": "context_step", "request_tokens_over": over, "multiply": "2"}
    book = account_book(
        made_entry(tokens=(5000, 0, 1000)),
        rules=[
            set_to("0.2", when=INPUT),
            set_to("0.6", when=OUTPUT, id_="out"),
            made_rule("long", then=step),
        ],
        changed={"revenue_share": figure("0.79")},
    )
    assert f"earns {earns} USD per million requests" in sentence(
        book, "yield:m/standard/account/acme"
    )


@pytest.mark.parametrize(
    "at_least, found", [(4096, True), (4097, True), (8191, True), (8192, False)]
)
def test_a_cheaper_step_inside_of_a_size_class_counts_for_all_of_it(
    at_least: int, found: bool
) -> None:
    step = {"action": "context_step", "request_tokens_at_least": at_least, "multiply": "0.5"}
    book = account_book(
        made_entry(tokens=(5000, 0, 1000)), rules=[MARKUP, made_rule("long", then=step)]
    )
    assert ("yield:m/standard/account/acme" in finding_ids(book, kind="yield")) == found


def test_all_mixes_of_an_account_are_one_mean_request() -> None:
    # 3,000 and 5,000 in are 4,000 on the mean: inside, though 500 alone would not be.
    book = mixed_book(
        made_mix(made_entry(tokens=(500, 0, 1000)), end="2026-11-09T00:00:00Z"),
        made_mix(made_entry(tokens=(7500, 0, 1000)), start="2026-11-09T00:00:00Z"),
        rules=[MARKUP],
    )
    assert yields(book) == []


def test_a_shape_that_one_hardware_was_not_measured_around_is_not_proven() -> None:
    wide = tuple(
        made_point(
            interactivity,
            output=600 * share,
            setup=made_setup("b200_sxm"),
            shape=Shape(input_tokens=16000, output_tokens=1000),
            concurrency=concurrency,
            row=50 + concurrency,
        )
        for interactivity, share, concurrency in ((60, 1.0, 8), (120, 0.5, 1))
    )
    book = made_book(
        factory=made_factory(usd_per_hour={"h100_sxm": "1.80", "b200_sxm": "1.80"}),
        measurements=measured((*made_points(), *made_points("b200_sxm", first_row=10), *wide)),
        rules=[MARKUP],
    )
    assert finding_ids(book, kind="unproven") == ["unproven:m/standard/measured"]
    assert sentence(book, "unproven:m/standard/measured") == (
        "m/standard: 16000/1000 tokens is not proven to earn its floor: it lies outside of the "
        "measured shapes of h100_sxm (nearest measured 8000/1000)"
    )

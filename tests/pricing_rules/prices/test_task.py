"""What a task is charged at list rates: the quotes of its requests, with floor and cost."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError, load_json, load_yaml
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.quote import compile_book
from pricing_rules.prices.task import PricedTask, Task, TaskPart, price_task
from tests.pricing_rules.prices.made_books import Json, book_json, card_json, read_book

M = 10**6


def floor_of(unit: str, *, cost: str = "1", floor: str = "5") -> Json:
    """A floor over a unit cost at half use and 1 of other costs: K/U + v = cost x 2 + 1."""
    return {
        "unit": unit,
        "kind": "full",
        "unit_cost_per_mtok": cost,
        "utilization": "0.5",
        "variable_per_mtok": "1",
        "minimum_margin": "0.4",
        "revenue_share": "0",
        "floor": floor,
    }


def card_cost(*floors: Json) -> Json:
    return {
        "pool": "p",
        "promise": "any",
        "reference_input_tokens": 1,
        "reference_output_tokens": 1,
        "hardware": [],
        "floors": list(floors),
    }


RATES = [
    {"unit": "input_tokens", "rate": "10"},
    {"unit": "cache_read_tokens", "rate": "1"},
    {"unit": "output_tokens", "rate": "40"},
]


def book_of(
    rates: list[Json] = RATES, *, floors: list[Json] | None = None, **fields: Any
) -> PriceBook:
    card = card_json(rates)
    if floors is not None:
        card["cost"] = card_cost(*floors)
    return read_book({**book_json([card]), **fields})


def task_of(*requests: Json) -> Task:
    made = [
        {"id": f"r{i}", "model": "m", "service_tier": "standard", **one}
        for i, one in enumerate(requests)
    ]
    value = {"schema": "tokenworks.task/1", "name": "t", "requests": made}
    return load_json(Task, json.dumps(value).encode(), name="task")


def amount_of(priced: PricedTask) -> Fraction:
    return sum((part.amount for line in priced.lines for part in line.parts), Fraction(0))


def test_a_line_is_its_requests_by_unit_with_floor_and_cost() -> None:
    floors = [
        floor_of("input_tokens"),
        floor_of("cache_read_tokens", cost="0.1", floor="2"),
        floor_of("output_tokens", cost="4", floor="15"),
    ]
    units = {"input_tokens": 1000, "output_tokens": 200}
    task = task_of({"count": 3, "units": units, "cached_share": "0.40"})
    (line,) = price_task(task, book=book_of(floors=floors)).lines
    # 3 x 400 cached at 1, 600 fresh at 10, 200 out at 40 per million; floors at 2, 5 and 15; costs
    # at .1/.5 + 1 = 1.2, 1/.5 + 1 = 3 and 4/.5 + 1 = 9.
    assert line.parts == tuple(
        TaskPart(
            unit=unit,
            quantity=quantity,
            amount=Fraction(amount, M),
            floor_amount=Fraction(floor, M),
            cost_amount=Fraction(cost, M),
        )
        for unit, quantity, amount, floor, cost in (
            ("cache_read_tokens", 1200, 1200, 2400, 1440),
            ("input_tokens", 1800, 18_000, 9000, 5400),
            ("output_tokens", 600, 24_000, 9000, 5400),
        )
    )


@pytest.mark.parametrize(
    "share, cached", [("0", 0), ("0.333", 33), ("0.3366", 33), ("0.3367", 34), ("1", 101)]
)
def test_a_cached_share_is_cut_to_whole_tokens(share: str, cached: int) -> None:
    # 101 x .3366 = 33.9966 and 101 x .3367 = 34.0067: what is left of a token counts as fresh.
    (request,) = task_of({"units": {"input_tokens": 101}, "cached_share": share}).requests
    assert request.counted().units == {"input_tokens": 101, "cache_read_tokens": cached}


def test_counted_cache_reads_are_the_same_as_their_share() -> None:
    share = task_of({"units": {"input_tokens": 1000}, "cached_share": "0.25"})
    counted = task_of({"units": {"input_tokens": 1000, "cache_read_tokens": 250}})
    found, same = (amount_of(price_task(task, book=book_of())) for task in (share, counted))
    assert found == same == Fraction(7750, M)  # 750 at 10 + 250 at 1


def test_a_unit_without_measured_cost_has_no_floor() -> None:
    searches = {"unit": "web_searches", "rate": "10", "per": 1000}
    book = book_of([*RATES, searches], floors=[floor_of("input_tokens")])
    task = task_of({"units": {"input_tokens": 100, "web_searches": 2}})
    (line,) = price_task(task, book=book).lines
    assert [
        (one.unit, one.amount, one.floor_amount is None, one.cost_amount is None)
        for one in line.parts
    ] == [
        ("input_tokens", Fraction(1, 1000), False, False),
        ("web_searches", Fraction(1, 50), True, True),
    ]
    (line,) = price_task(task, book=book_of([*RATES, searches])).lines
    assert {(one.floor_amount, one.cost_amount) for one in line.parts} == {(None, None)}


def test_a_unit_that_is_counted_in_fractions_is_at_its_scale() -> None:
    # 2.5 s at 6 per minute: a rate of .10 per second; the floor is 5 per million seconds.
    book = book_of(
        [{"unit": "audio_seconds", "rate": "6", "per": 60}], floors=[floor_of("audio_seconds")]
    )
    task = task_of({"count": 2, "units": {"audio_seconds": "2.5"}})
    (part,) = price_task(task, book=book).lines[0].parts
    assert (part.quantity, part.amount) == (5000, Fraction(1, 2))
    assert part.floor_amount == Fraction(25, M)


CONDITIONS: list[Json] = [
    {"unit": "input_tokens", "rate": "1"},
    {"unit": "input_tokens", "rate": "2", "when": {"request_tokens_over": 500}},
    {"unit": "input_tokens", "rate": "3", "when": {"region": "eu"}},
    {"unit": "input_tokens", "rate": "5", "when": {"dimensions": {"effort": "high"}}},
    {"unit": "input_tokens", "rate": "7", "when": {"window": "night"}},
]
CONDITIONAL: Json = {
    "dimensions": {"effort": ["high"]},
    "windows": {"night": {"times": [{"start_time": "22:00", "end_time": "06:00"}]}},
}
NOON, MIDNIGHT = "2026-10-02T12:00:00Z", "2026-10-02T00:00:00Z"


@pytest.mark.parametrize(
    "fields, rate",
    [
        ({"at": NOON}, 1),
        ({"at": NOON, "request_tokens": 501}, 2),
        ({"at": NOON, "region": "eu"}, 3),
        ({"at": NOON, "dimensions": {"effort": "high"}}, 5),
        ({"at": MIDNIGHT}, 7),
    ],
)
def test_a_request_meets_the_rate_of_its_conditions(fields: Json, rate: int) -> None:
    task = task_of({"units": {"input_tokens": 500}, **fields})
    assert amount_of(price_task(task, book=book_of(CONDITIONS, **CONDITIONAL))) == Fraction(
        500 * rate, M
    )


def test_each_request_is_priced_with_its_ladder_at_the_start_and_without_allowances() -> None:
    bands = [{"up_to": 1000, "rate": "10"}, {"rate": "1"}]
    ladder = {"id": "l", "kind": "graduated", "bands": bands}
    allowance = {"id": "a", "units": ["input_tokens"], "quantity": 10**9, "reset": "day"}
    book = book_of([{"unit": "input_tokens", "ladder": ladder}], allowances=[allowance])
    # 1,000 at 10 and 500 at 1, twice: the second request does not go on where the first ended.
    task = task_of({"count": 2, "units": {"input_tokens": 1500}})
    assert amount_of(price_task(task, book=book)) == 2 * Fraction(10_500, M)


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"model": "n"}, "book 1 has no rate card of n in standard"),
        ({"units": {"web_searches": 1}}, "book 1 has no rate for web_searches under these"),
        ({"at": None}, "the rates of m in standard depend on the time (night); say at which"),
        ({"at": "2026-09-30T00:00:00Z"}, "book 1 is in force from 2026-10-01T00:00:00Z"),
    ],
)
def test_a_request_without_an_amount_is_named(fields: Json, sentence: str) -> None:
    right = {"units": {"input_tokens": 1}, "at": NOON}
    with pytest.raises(DocumentError) as refused:
        price_task(task_of(right, {**right, **fields}), book=book_of(CONDITIONS, **CONDITIONAL))
    assert refused.value.where == "request r1"
    assert sentence in refused.value.sentence


@given(
    counts=st.lists(
        st.tuples(
            st.integers(1, 1000), st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 100)
        ),
        min_size=1,
        max_size=4,
    )
)
def test_a_task_costs_what_its_requests_are_quoted_at(
    counts: list[tuple[int, int, int, int]],
) -> None:
    book = book_of(
        [
            *RATES,
            {"unit": "input_tokens", "rate": "7", "per": 300, "when": {"request_tokens_over": 999}},
            {"unit": "requests", "rate": "0.3", "per": 7},
        ]
    )
    compiled = compile_book(book)
    task = task_of(
        *(
            {
                "count": count,
                "units": {"input_tokens": tokens_in, "output_tokens": out},
                "cached_share": f"{percent / 100:.2f}",
            }
            for count, tokens_in, out, percent in counts
        )
    )
    quoted = sum(one.count * compiled.amount(one.counted()) for one in task.requests)
    assert amount_of(price_task(task, book=book)) == quoted


YAML = """\
schema: tokenworks.task/1
name: answer
requests:
  - id: ask
    count: 2
    model: m
    service_tier: standard
    units:
      input_tokens: 1000
      output_tokens: 10
    cached_share: "0.5"
  - id: again
    model: m
    service_tier: standard
    units: {output_tokens: 5}
"""


@pytest.mark.parametrize(
    "written, instead, where, sentence",
    [
        ("count: 2", "count: 0", "5 requests[0].count", "greater than or equal to 1"),
        ("count: 2", "count: 1000001", "5 requests[0].count", "less than or equal to 1000000"),
        ('"0.5"', '"1.01"', "11 requests[0].cached_share", 'at most 1, not "1.01"; write 40 %'),
        ('"0.5"', '"-0.5"', "11 requests[0].cached_share", "must be a plain decimal"),
        ('"0.5"', "0.5", "11 requests[0].cached_share", "must be a string in quotes"),
        ("      input_tokens: 1000\n", "", "4 requests[0]", "units does not count; add it"),
        ("      output_tokens: 10", "      cache_read_tokens: 10", "4 requests[0]", "keep one"),
        ("id: again", "id: ask", "3 requests", 'two requests have the id "ask"; give each its own'),
        ("output_tokens: 5", "tokens: 5", "15 requests[1].units", '"tokens" is not a unit'),
    ],
)
def test_a_wrong_task_is_refused_with_its_line_and_how_to_mend_it(
    written: str, instead: str, where: str, sentence: str
) -> None:
    assert YAML.count(written) == 1
    with pytest.raises(DocumentError) as refused:
        load_yaml(Task, YAML.replace(written, instead).encode(), name="task.yaml")
    assert sentence in refused.value.sentence
    assert refused.value.where == f"task.yaml:{where}"

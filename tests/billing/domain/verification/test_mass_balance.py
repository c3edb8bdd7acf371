"""Tokens produced beside tokens received: what is lost, what came from nowhere, what nobody knows.

Invariant: the sums stand in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.verification.mass_balance import (
    BalanceRow,
    MassBalance,
    ModelProduction,
    Received,
    balance,
    productions,
)
from pricing_rules.cost.readers.prometheus import TokenInterval
from pricing_rules.period import Period

HALF_PERCENT = Fraction(5, 1000)
WINDOW = Period(start_at=0, end_at=100)


def interval(
    start_at: int, inputs: int | None, outputs: int | None, *, model: str = "m"
) -> TokenInterval:
    """Ten microseconds of one server."""
    return TokenInterval(
        model=model,
        start_at=start_at,
        end_at=start_at + 10,
        input_tokens=inputs,
        output_tokens=outputs,
    )


def compared(produced: int, received: int, *, allowed: Fraction = HALF_PERCENT) -> BalanceRow:
    """The row of the input of one model that was seen whole."""
    made = ModelProduction(
        model="m",
        periods=(WINDOW,),
        hidden=(),
        produced={"input_tokens": produced, "output_tokens": 0},
    )
    found = balance(
        [made],
        received={WINDOW: {("m", "input_tokens"): received}},
        window=WINDOW,
        allowed_share=allowed,
    )
    return found.rows[0]


@pytest.mark.parametrize(
    "received, verdict",
    [
        (1_000_000, "balanced"),
        (996_000, "balanced"),  # .4 % lost
        (995_000, "balanced"),  # .5 % lost, at what is allowed
        (994_999, "lost"),
        (990_000, "lost"),  # 1 % lost
        (0, "lost"),
        (1_005_000, "balanced"),
        (1_005_001, "surplus"),
    ],
)
def test_a_difference_beyond_what_is_allowed_is_a_finding(received: int, verdict: str) -> None:
    row = compared(1_000_000, received)
    assert (row.verdict, row.holds) == (verdict, verdict == "balanced")
    assert row.difference == received - 1_000_000


def test_nothing_allowed_means_every_token() -> None:
    assert compared(3, 3, allowed=Fraction(0)).verdict == "balanced"
    assert compared(3, 2, allowed=Fraction(0)).verdict == "lost"
    assert compared(3, 4, allowed=Fraction(0)).verdict == "surplus"


def test_what_no_engine_produced_and_none_received_is_balanced() -> None:
    assert (compared(0, 0).verdict, compared(0, 0).share) == ("balanced", None)
    assert (compared(0, 1).verdict, compared(0, 1).share) == ("surplus", None)


def test_a_row_is_text_and_json() -> None:
    assert compared(1_000, 1_000).text() == "produced 1,000, received 1,000"
    assert compared(1_000, 990).text() == "produced 1,000, received 990, lost 1 %"
    # 1 / 3 = 33.3333 %, cut, not rounded
    assert compared(3, 4).text() == "produced 3, received 4, surplus 33.3333 %"
    assert compared(0, 4).text() == "produced 0, received 4, surplus"
    assert compared(1_000, 990).as_json() == {
        "model": "m",
        "unit": "input_tokens",
        "produced": 1_000,
        "received": 990,
        "difference": -10,
        "share": "-0.01",
        "verdict": "lost",
    }
    assert compared(3, 4).as_json()["share"] == "1/3"
    assert compared(0, 4).as_json()["share"] is None


def test_leaves_of_input_and_of_output_add_up_to_what_an_engine_counts() -> None:
    # 60 fresh + 30 read from a cache + 10 written to one = 100 in; 5 + 15 of reasoning = 20 out
    received: Received = {
        ("m", "input_tokens"): 60,
        ("m", "cache_read_tokens"): 30,
        ("m", "cache_write_1h_tokens"): 10,
        ("m", "output_tokens"): 5,
        ("m", "output_reasoning_tokens"): 15,
        ("m", "web_searches"): 7,
        ("m", "requests"): 2,
        ("other", "requests"): 9,
    }
    made = productions([[interval(0, 100, 20)]], names={})
    period = Period(start_at=0, end_at=10)
    found = balance(made, received={period: received}, window=period, allowed_share=Fraction(0))
    assert [(one.unit, one.received, one.verdict) for one in found.rows] == [
        ("input_tokens", 100, "balanced"),
        ("output_tokens", 20, "balanced"),
    ]
    assert found.holds  # the other model has requests, and no tokens
    assert found.sentences() == ()


def test_servers_add_up_and_models_go_by_our_names() -> None:
    one = [interval(0, 1, 2, model="maker/m"), interval(10, 3, 4, model="maker/m")]
    two = [interval(0, 10, 20), interval(0, 5, 6, model="nV3"), interval(10, 30, 40)]
    m, n = productions([one, two], names={"maker/m": "m"})
    assert m.produced == {"input_tokens": 44, "output_tokens": 66}  # 1+3+10+30, 2+4+20+40
    assert m.periods == (Period(start_at=0, end_at=20),)
    assert (n.model, n.produced) == ("nV3", {"input_tokens": 5, "output_tokens": 6})
    assert n.periods == (Period(start_at=0, end_at=10),)


def test_time_in_which_one_of_the_servers_began_again_is_on_neither_side() -> None:
    one = [interval(0, 100, 1), interval(10, None, None), interval(20, 300, 3)]
    two = [interval(0, 1, 1), interval(10, 2, 2), interval(20, 3, 3)]
    (made,) = productions([one, two], names={})
    first, last = Period(start_at=0, end_at=10), Period(start_at=20, end_at=30)
    assert made.periods == (first, last)
    assert made.hidden == (Period(start_at=10, end_at=20),)
    assert made.produced == {"input_tokens": 404, "output_tokens": 8}
    found = balance(
        [made],
        received={
            first: {("m", "input_tokens"): 101, ("m", "output_tokens"): 2},
            last: {("m", "input_tokens"): 303, ("m", "output_tokens"): 6},
            made.hidden[0]: {("m", "input_tokens"): 202, ("m", "output_tokens"): 4},
            WINDOW: {("m", "input_tokens"): 606, ("m", "output_tokens"): 12},  # and no more
        },
        window=WINDOW,
        allowed_share=Fraction(0),
    )
    assert found.holds
    (said,) = found.sentences()
    assert said == (
        "m: an engine began again, came or went between 1970-01-01T00:00:00.000010Z and "
        "1970-01-01T00:00:00.000020Z, so that time is on neither side"
    )
    assert found.as_json()["hidden"] == {
        "m": ["1970-01-01T00:00:00.000010Z/1970-01-01T00:00:00.000020Z"]
    }


def found_of(*models: ModelProduction, received: Mapping[tuple[str, str], int]) -> MassBalance:
    return balance(models, received={WINDOW: received}, window=WINDOW, allowed_share=HALF_PERCENT)


def test_a_model_that_was_never_seen_whole_is_no_balance() -> None:
    (short,) = productions([[interval(0, None, None)]], names={})
    made = replace(short, hidden=(WINDOW,))
    found = found_of(made, received={("m", "input_tokens"): 5})
    assert [one.verdict for one in found.rows] == ["unknown", "unknown"]
    assert not found.holds
    assert found.rows[0].text() == "produced 0, received 0"
    assert found.sentences()[0] == (
        "m, input_tokens: no time was seen whole between two scrapes; scrape more often"
    )


def test_a_model_that_no_engine_has_is_named_and_is_no_finding() -> None:
    found = found_of(received={("b", "output_tokens"): 5, ("a", "input_tokens"): 7})
    assert [(one.model, one.unit, one.received, one.verdict) for one in found.rows] == [
        ("a", "input_tokens", 7, "not scraped"),
        ("b", "output_tokens", 5, "not scraped"),
    ]
    assert found.holds
    assert found.sentences() == (
        "a, input_tokens: received 7 while no engine that was scraped had it",
        "b, output_tokens: received 5 while no engine that was scraped had it",
    )
    assert found.rows[0].text() == "produced 0, received 7"


def test_what_comes_in_at_a_time_at_which_no_engine_has_the_model_is_named() -> None:
    # Of 30 in the window, 10 came while it was seen whole and 12 while it was hidden: 8 are left.
    first, second = Period(start_at=0, end_at=10), Period(start_at=10, end_at=20)
    (made,) = productions([[interval(0, 10, 0), interval(10, None, None)]], names={})
    found = balance(
        [made],
        received={
            first: {("m", "input_tokens"): 10},
            second: {("m", "input_tokens"): 12},
            WINDOW: {("m", "input_tokens"): 30},
        },
        window=WINDOW,
        allowed_share=Fraction(0),
    )
    assert [(one.unit, one.received, one.verdict) for one in found.rows] == [
        ("input_tokens", 10, "balanced"),
        ("output_tokens", 0, "balanced"),
        ("input_tokens", 8, "not scraped"),
    ]
    assert found.holds
    assert found.sentences()[0] == (
        "m, input_tokens: received 8 while no engine that was scraped had it"
    )


def test_a_model_that_no_event_names_is_lost_whole() -> None:
    made = ModelProduction(
        model="m",
        periods=(WINDOW,),
        hidden=(),
        produced={"input_tokens": 10, "output_tokens": 0},
    )
    found = found_of(made, received={})
    assert [one.verdict for one in found.rows] == ["lost", "balanced"]
    assert found.sentences() == ("m, input_tokens: produced 10, received 0, lost 100 %",)
    assert found.as_json()["holds"] is False


@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**12)), min_size=1, max_size=6),
    st.integers(1, 5),
)
def test_however_often_and_on_however_many_servers_it_is_counted_the_sum_is_one(
    counts: list[tuple[int, int]], servers: int
) -> None:
    told = [
        [
            interval(10 * place, inputs if server == 0 else 0, outputs if server == 0 else 0)
            for place, (inputs, outputs) in enumerate(counts)
        ]
        for server in range(servers)
    ]
    (made,) = productions(told, names={})
    assert made.produced["input_tokens"] == sum(inputs for inputs, _ in counts)
    assert made.produced["output_tokens"] == sum(outputs for _, outputs in counts)
    assert made.periods == (Period(start_at=0, end_at=10 * len(counts)),)

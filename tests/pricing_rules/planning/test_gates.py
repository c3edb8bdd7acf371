"""A gate passes at its limit and trips beyond it; what it cannot judge it refuses."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.planning.backtest import Backtest
from pricing_rules.planning.gates import (
    GATE_EXAMPLES,
    Gate,
    GateVerdict,
    judge,
    parse_gates,
    percent_text,
)
from tests.pricing_rules.planning.made_backtests import (
    MTOK,
    books,
    costed_card,
    floor,
    run_backtest,
    used,
)

FLOORS = [floor("input_tokens", "0.7", lowest="1")]


def changed(before: str, after: str, usage: Any = None) -> Backtest:
    """1M input tokens of acme at two rates; their cost is 0.7, their floor 1."""
    return run_backtest(
        usage or [used({"input_tokens": MTOK})],
        after=books(costed_card({"input_tokens": after}, FLOORS), number=2),
        before=books(costed_card({"input_tokens": before}, FLOORS)),
    )


def verdict(text: str, found: Backtest) -> GateVerdict:
    (gate,) = parse_gates([text])
    return judge(gate, found=found)


def test_a_gate_is_a_name_and_a_limit() -> None:
    assert parse_gates(["revenue-falls=2.5%", "unpriced=3"]) == (
        Gate(name="revenue-falls", limit=Fraction(25, 1000), text="revenue-falls=2.5%"),
        Gate(name="unpriced", limit=Fraction(3), text="unpriced=3"),
    )
    assert [gate.text for gate in parse_gates(GATE_EXAMPLES)] == [
        "revenue-falls=2%",
        "account-rises=25%",
        "floor-breaches=0",
        "unpriced=0",
        "margin-under=30%",
    ]


@pytest.mark.parametrize(
    "texts, said",
    [
        (
            ["revenue=2%"],
            "must be one of revenue-falls=2%, account-rises=25%, floor-breaches=0, un",
        ),
        (["revenue-falls"], 'revenue-falls takes a percentage such as revenue-falls=2%, not ""'),
        (["revenue-falls=2"], 'takes a percentage such as revenue-falls=2%, not "2"'),
        (["revenue-falls=-2%"], 'takes a percentage such as revenue-falls=2%, not "-2%"'),
        (["unpriced=1%"], 'unpriced takes a whole number such as unpriced=0, not "1%"'),
        (["unpriced=0", "unpriced=1"], "unpriced stands twice; keep one"),
    ],
)
def test_another_gate_is_refused_with_what_there_is(texts: list[str], said: str) -> None:
    with pytest.raises(DocumentError) as found:
        parse_gates(texts)
    assert str(found.value).startswith("--fail-if: ")
    assert said in str(found.value)


@pytest.mark.parametrize(
    "after, trips, sentence",
    [
        ("1.959999", True, "revenue falls by 2.00 %"),
        ("1.96", False, "revenue falls by 2.00 %"),  # 2 - 2 % of 2 = 1.96
        ("1.97", False, "revenue falls by 1.50 %"),
        ("3", False, "revenue rises by 50.00 %"),
    ],
)
def test_revenue_falls(after: str, trips: bool, sentence: str) -> None:
    found = verdict("revenue-falls=2%", changed("2", after))
    assert (found.trips, found.sentence) == (trips, sentence)


@pytest.mark.parametrize(
    "after, trips", [("2.49", False), ("2.5", False), ("2.500001", True), ("1", False)]
)
def test_account_rises(after: str, trips: bool) -> None:
    assert verdict("account-rises=25%", changed("2", after)).trips is trips


@pytest.mark.parametrize("after", ["1", "2"])
def test_where_no_account_rises_none_is_named(after: str) -> None:
    found = verdict("account-rises=0%", changed("2", after))
    assert (found.trips, found.sentence) == (False, "no account would pay more")


def test_the_account_that_rises_most_is_named() -> None:
    usage = [
        used({"input_tokens": MTOK}, account="acme"),
        used({"output_tokens": MTOK}, account="globex"),
    ]
    before = books(costed_card({"input_tokens": "1", "output_tokens": "1"}))
    after = books(costed_card({"input_tokens": "1.3", "output_tokens": "1.4"}), number=2)
    found = verdict("account-rises=25%", run_backtest(usage, after=after, before=before))
    assert found.sentence == (
        "2 accounts would pay over 25.00 % more; the largest rise is 40.00 %, of globex"
    )
    found = verdict("account-rises=35%", run_backtest(usage, after=after, before=before))
    assert found.sentence.startswith("1 account would pay over 35.00 % more")


def test_an_account_that_paid_nothing_and_would_pay_trips_at_any_limit() -> None:
    found = verdict("account-rises=999999%", changed("0", "1"))
    assert (found.trips, found.sentence) == (
        True,
        "1 account that paid nothing would pay, such as acme",
    )
    found = verdict("account-rises=1%", changed("0", "0"))
    assert (found.trips, found.sentence) == (False, "no account pays anything")


@pytest.mark.parametrize("limit, trips", [(0, True), (1, False), (2, False)])
def test_floor_breaches(limit: int, trips: bool) -> None:
    found = verdict(f"floor-breaches={limit}", changed("2", "0.9"))
    assert found.trips is trips
    assert found.sentence == "floor breaches: 1, the largest of acme on m in standard"
    assert verdict("floor-breaches=0", changed("0.9", "1")).sentence == "floor breaches: 0"


@pytest.mark.parametrize("limit, trips", [(0, True), (1, False)])
def test_unpriced(limit: int, trips: bool) -> None:
    usage = [used({"input_tokens": MTOK, "output_tokens": 1})]
    found = verdict(f"unpriced={limit}", changed("1", "1", usage))
    assert found.trips is trips
    assert found.sentence == (
        "unpriced usage: 1 counts, the first because book 2 has no rate for output_tokens under "
        "these conditions"
    )
    assert verdict("unpriced=0", changed("1", "1")).sentence == "unpriced usage: 0 counts"


@pytest.mark.parametrize(
    "after, trips, margin",
    # (1 - 0.7) / 1 = 30 %; at 0.99 it is 29.29 %.
    [("0.99", True, "29.29 %"), ("1", False, "30.00 %"), ("1.4", False, "50.00 %")],
)
def test_margin_under(after: str, trips: bool, margin: str) -> None:
    found = verdict("margin-under=30%", changed("1", after))
    assert (found.trips, found.sentence) == (
        trips,
        f"margin is {margin}, with costs known for 100.00 % of revenue",
    )


def test_a_gate_that_cannot_be_judged_is_refused() -> None:
    with pytest.raises(DocumentError, match="nothing is charged under the old books"):
        verdict("revenue-falls=2%", changed("0", "1"))
    with pytest.raises(DocumentError, match="no revenue under the new books has a measured cost"):
        verdict("margin-under=30%", changed("1", "0"))


def test_shares_are_shown_to_two_decimals() -> None:
    shares = [Fraction(1, 3), Fraction(-1, 8), Fraction(1234), None]
    assert [percent_text(share) for share in shares] == [
        "33.33 %",
        "-12.50 %",
        "123,400.00 %",
        "n/a",
    ]

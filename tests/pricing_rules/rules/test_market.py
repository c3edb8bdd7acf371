"""Market snapshots, and the action that anchors a rate to them."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.rules.market import Market, load_market, market_point
from tests.pricing_rules.rules.made_documents import (
    entry_of,
    finding_ids,
    made_book,
    made_rule,
    rate_of,
)

OUTPUT = {"units": ["output_tokens"]}


def offer(per_mtok: str, by: str, **changed: Any) -> dict[str, Any]:
    plain = {"model": "m", "unit": "output_tokens", "per_mtok": per_mtok, "offered_by": by}
    return plain | changed


def market(*offers: dict[str, Any], **changed: Any) -> Market:
    document = {
        "schema": "tokenworks.market/1",
        "source": "a page",
        "snapshot_date": "2026-11-20",
        "currency": "USD",
        "rates": list(offers),
        **changed,
    }
    return load_market(json.dumps(document).encode(), name="market.json")


def anchor(rate: str, *, factor: str = "1", **changed: str) -> Any:
    then = {"action": "market", "rate": rate, "factor": factor, **changed}
    return made_rule("anchor", then=then, when=OUTPUT)


THREE = market(offer("3", "c"), offer("1.2", "a"), offer("2", "b"))


def test_the_lowest_and_the_median_of_odd_and_even_offers() -> None:
    def point(*markets: Market, statistic: Any) -> Fraction:
        found = market_point(markets, model="m", unit="output_tokens", statistic=statistic)
        assert found is not None
        return found.rate

    assert point(THREE, statistic="lowest") == Fraction("1.2")
    assert point(THREE, statistic="median") == 2
    # 1.2, 2, 3 and 2.5: (2 + 2.5) / 2
    later = market(offer("2.5", "d"), snapshot_date="2026-11-24")
    assert point(THREE, later, statistic="median") == Fraction("2.25")
    assert market_point([THREE], model="n", unit="output_tokens", statistic="lowest") is None
    assert market_point([THREE], model="m", unit="input_tokens", statistic="lowest") is None


def test_an_anchored_rate_says_whose_offer_of_which_day_it_is() -> None:
    book = made_book(rules=[anchor("lowest", factor="0.95")], markets=[THREE])
    assert rate_of(book, "output_tokens") == "1.14"  # 1.2 x .95
    steps = entry_of(book, "output_tokens").steps
    assert steps[1].action == "0.95 x the lowest market rate 1.2 of m (a, 2026-11-20)"
    later = market(offer("1.6", "d"), snapshot_date="2026-11-24")
    book = made_book(rules=[anchor("median")], markets=[THREE, later])
    assert entry_of(book, "output_tokens").steps[1].action == (
        "1 x the median market rate 1.8 of m (4 offers, 2026-11-20 to 2026-11-24)"
    )


def test_a_snapshot_may_call_the_model_otherwise() -> None:
    named = market(offer("7", "a", model="vendor/m"))
    book = made_book(rules=[anchor("lowest", model="vendor/m")], markets=[named])
    assert rate_of(book, "output_tokens") == "7"


def test_without_an_offer_the_rate_stays_and_is_told() -> None:
    book = made_book(rules=[anchor("lowest", model="n")], markets=[THREE])
    assert finding_ids(book) == ["rule_unmet:anchor/m/standard/output_tokens"]
    assert book.findings[0].sentence == (
        "the rule anchor finds no market rate of output_tokens of n for m/standard/output_tokens"
    )


@pytest.mark.parametrize("lowest, found", [("0.515873", True), ("0.515874", False)])
def test_a_market_under_the_floor_is_a_finding_never_silent(lowest: str, found: bool) -> None:
    # The floor of output is .515873015.
    book = made_book(rules=[anchor("lowest")], markets=[market(offer(lowest, "a"))])
    ids = finding_ids(book, kind="under_floor")
    assert ids == (["under_floor:m/standard/output_tokens"] if found else [])


@pytest.mark.parametrize(
    "day, found",
    # In force from 2026-12-01: 2026-11-11 is 20 days before.
    [("2026-11-10", True), ("2026-11-11", False), ("2026-11-12", False)],
)
def test_a_market_older_than_the_policy_lets_it_be_is_a_finding(day: str, found: bool) -> None:
    book = made_book(
        rules=[anchor("lowest")],
        markets=[market(offer("9", "a"), snapshot_date=day)],
        changed={"guard_rails": {"market_age_days_at_most": 20}},
    )
    assert finding_ids(book) == ([f"stale_market:a page/{day}"] if found else [])
    if found:
        assert book.findings[0].sentence == (f"the market of a page is of {day}, over 20 days old")


@pytest.mark.parametrize(
    "markets, sentence",
    [
        ([market(offer("9", "a"), currency="EUR")], "is in EUR, and the policy in USD; convert it"),
        ([THREE, THREE], "of 2026-11-20 stands twice; give it once"),
    ],
)
def test_markets_that_do_not_mix_are_refused(markets: list[Market], sentence: str) -> None:
    with pytest.raises(DocumentError) as caught:
        made_book(rules=[anchor("lowest")], markets=markets)
    assert str(caught.value) == f"market of a page: {sentence}"


@pytest.mark.parametrize(
    "offers, changed, sentence",
    [
        ([offer("1", "a"), offer("2", "a")], {}, "a offers output_tokens of m twice; keep one"),
        ([], {}, "rates: "),
        ([offer("1", "a", unit="words")], {}, '"words" is not a unit'),
        ([offer("1e3", "a")], {}, "must be a plain decimal"),
        ([offer("1", "a")], {"snapshot_date": "20 November"}, "snapshot_date"),
        ([offer("1", "a")], {"schema": "tokenworks.market/2"}, "market.json schema"),
    ],
)
def test_a_bad_snapshot_is_refused(
    offers: list[dict[str, Any]], changed: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        market(*offers, **changed)
    assert sentence in str(caught.value)

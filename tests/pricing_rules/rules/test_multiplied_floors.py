"""The gate of publishing looks at rates as multipliers take them, and at rates nobody derived."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pricing_rules.document import DocumentError, canonical_json, dump
from pricing_rules.period import parse_moment
from pricing_rules.prices.price_book import PriceBook, load_price_book
from pricing_rules.prices.provenance import SignOff
from pricing_rules.rules.multiplied_floors import with_floors
from pricing_rules.rules.publication import publish
from tests.pricing_rules.rules.made_documents import finding_ids, made_book, made_rule, set_to

OUTPUT = {"units": ["output_tokens"]}
ONE = [set_to("1", when=OUTPUT)]
PUBLISHED_AT = parse_moment("2026-11-25T12:00:00Z")
TIMES_EU = "under_floor:m/standard/output_tokens/times eu"


def multiplied(book: PriceBook, *factors: str, **when: Any) -> PriceBook:
    """The book with multipliers of output, the first named eu, as one written by hand."""
    multipliers = [
        {"id": id_, "factor": factor, "units": ["output_tokens"], "when": when}
        for id_, factor in zip(("eu", "night"), factors, strict=False)
    ]
    value = {**dump(book), "multipliers": multipliers}
    return load_price_book(json.dumps(value).encode(), name="hand.json")


def found_in(book: PriceBook) -> list[str]:
    return finding_ids(with_floors(book), kind="under_floor")


@pytest.mark.parametrize(
    "factor, found",
    # A rate of 1 beside a floor of .515873015.
    [("0.515873014", [TIMES_EU]), ("0.515873015", []), ("0.515873016", [])],
)
def test_a_multiplier_may_take_a_rate_under_its_floor_and_to_it(
    factor: str, found: list[str]
) -> None:
    assert found_in(multiplied(made_book(rules=ONE), factor, region="eu")) == found


def test_the_finding_says_the_rate_the_multipliers_and_the_floor() -> None:
    book = with_floors(multiplied(made_book(rules=ONE), "0.6", "0.8", region="eu"))
    # 1 x .6 x .8 = .48, though neither alone is under .515873015
    (finding,) = book.findings
    assert finding.id == f"{TIMES_EU} and night"
    assert finding.sentence == (
        "m/standard/output_tokens/times eu and night: the rate 1 times eu and night is 0.48, "
        "under the floor 0.515873015"
    )


def test_of_a_ladder_the_lowest_band_counts() -> None:
    bands = [{"up_to": "1000000", "multiply": "1"}, {"multiply": "0.9"}]
    ladder = made_rule("ladder", then={"action": "ladder", "id": "l", "bands": bands}, when=OUTPUT)
    book = made_book(rules=[*ONE, ladder])
    # .9 x .58 = .522; .9 x .57 = .513
    assert found_in(multiplied(book, "0.58")) == []
    assert found_in(multiplied(book, "0.57")) == [TIMES_EU]


def test_a_rate_under_a_condition_is_named_with_it() -> None:
    step = {"action": "context_step", "request_tokens_over": 100, "multiply": "2"}
    book = made_book(rules=[*ONE, made_rule("long", then=step, when=OUTPUT)])
    # 1 x .25 and 2 x .25
    assert found_in(multiplied(book, "0.25")) == [
        "under_floor:m/standard/output_tokens/request_tokens>100/times eu",
        TIMES_EU,
    ]


def test_a_rate_that_is_named_already_is_named_again_where_it_goes_lower() -> None:
    book = made_book(rules=[set_to("0.5", when=OUTPUT)])
    own = "under_floor:m/standard/output_tokens"
    assert found_in(book) == [own]
    assert found_in(multiplied(book, "0.9")) == [own, TIMES_EU]
    # A free rate goes no lower.
    free = made_book(rules=[set_to("0", when=OUTPUT)])
    assert found_in(multiplied(free, "0.9")) == [own]


def test_what_a_subsidy_pays_for_is_not_named_as_under_its_floor() -> None:
    subsidy = {
        "id": "free",
        "owner": "cfo",
        "reason": "launch",
        "ends_at": "2027-01-01T00:00:00Z",
        "budget": {"amount": "100", "per": "month"},
        "covers": OUTPUT,
    }
    book = made_book(rules=[set_to("0", when=OUTPUT)], changed={"subsidies": [subsidy]})
    assert with_floors(book) == book
    assert "subsidised:m/standard/output_tokens" in finding_ids(book)


def test_a_rate_that_was_lowered_by_hand_is_found_and_one_without_a_cost_is_not() -> None:
    value = dump(made_book(rules=ONE))
    (card,) = value["rate_cards"]
    for entry in card["rates"]:
        if entry["unit"] == "output_tokens":
            entry["rate"] = "0.5"
    by_hand = load_price_book(canonical_json(value), name="hand.json")
    (finding,) = with_floors(by_hand).findings
    assert finding.sentence == (
        "m/standard/output_tokens: the rate 0.5 is under the floor 0.515873015"
    )
    del card["cost"]
    without = load_price_book(canonical_json(value), name="hand.json")
    assert with_floors(without) == without


def test_a_derived_book_has_nothing_more_to_find_and_what_was_found_is_found_once() -> None:
    book = made_book(rules=[set_to("0.5", when=OUTPUT)])
    assert with_floors(book) == book
    once = with_floors(multiplied(book, "0.9"))
    assert with_floors(once) == once


def test_publishing_asks_for_an_override_of_a_multiplied_rate_too() -> None:
    book = multiplied(made_book(rules=ONE), "0.5", region="eu")
    book = book.model_copy(update={"digest": None})

    def published(*sign_offs: SignOff) -> PriceBook:
        return publish(book, published_at=PUBLISHED_AT, sign_offs=sign_offs, previous=None)

    with pytest.raises(DocumentError, match=f"missing for 1 of 1 findings: {TIMES_EU}"):
        published()
    word = {"finding": TIMES_EU, "by": "ada", "reason": "a pilot"}
    with pytest.raises(DocumentError, match="an override of a floor ends"):
        published(SignOff.model_validate(word))
    ended = {**word, "ends_at": "2027-01-01T00:00:00Z"}
    assert finding_ids(published(SignOff.model_validate(ended))) == [TIMES_EU]

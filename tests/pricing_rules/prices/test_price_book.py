"""The price book: what it refuses and where, which rate is the most specific, and its digest.

Invariant: every refusal shows its whole sentence, so that a change of one is seen.
"""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError, content_digest, dump
from pricing_rules.prices.price_book import When, load_price_book
from tests.pricing_rules.prices.made_books import (
    Json,
    book_json,
    card_json,
    one_card_book,
    read_book,
)

RATE: Json = {"unit": "input_tokens", "rate": "2"}
LADDER: Json = {"id": "in", "kind": "graduated", "bands": [{"up_to": 10, "rate": "2"}, {}]}
DIMENSIONS = {"effort": ["high", "low"], "project": ["x"]}


def refused(value: Json) -> str:
    with pytest.raises(DocumentError) as error:
        read_book(value)
    return str(error.value)


def with_rate(rate: Json) -> Json:
    return {**book_json([card_json([rate])]), "dimensions": DIMENSIONS}


@pytest.mark.parametrize(
    "rate, sentence",
    [
        ({"unit": "input", "rate": "2"}, '.unit: "input" is not a unit; see the unit registry'),
        ({"unit": "input_tokens"}, ": give the unit a rate or a ladder, one of them"),
        ({**RATE, "ladder": LADDER}, ": give the unit a rate or a ladder, one of them"),
        (
            {**RATE, "rate": 2},
            '.rate: must be a string in quotes such as "0.25", not 2',
        ),
        (
            {**RATE, "rate": "1e-6"},
            '.rate: must be a plain decimal such as "0.25", not "1e-6"',
        ),
        (
            {**RATE, "rate": "-2"},
            '.rate: must be a plain decimal such as "0.25", not "-2"',
        ),
        ({**RATE, "per": 0}, ".per: input should be greater than or equal to 1, not 0"),
        ({**RATE, "per": 1.5}, ".per: must be a whole number, not 1.5"),
        ({**RATE, "per": True}, ".per: must be a whole number, not true"),
        ({**RATE, "price": "2"}, ".price: unknown field; remove it or check its spelling"),
        (
            {**RATE, "when": {"request_tokens_over": 5, "request_tokens_at_least": 6}},
            ".when: name request_tokens_over or request_tokens_at_least, not both",
        ),
        (
            {**RATE, "when": {"request_tokens_over": -1}},
            ".when.request_tokens_over: input should be greater than or equal to 0, not -1",
        ),
        (
            {**RATE, "when": {"region": ""}},
            '.when.region: string should have at least 1 character, not ""',
        ),
        (
            {"unit": "input_tokens", "ladder": {**LADDER, "bands": [{"up_to": "2.5"}, {}]}},
            ": ladder.bands[0] ends at 2.5, and input_tokens is counted in 1/1: no count ends "
            "there; round the bound",
        ),
        (
            {"unit": "input_tokens", "ladder": {**LADDER, "bands": [{}, {}]}},
            ".ladder: bands[0] is open but not the last; give it an up_to",
        ),
        (
            {**RATE, "when": {"window": {}}},
            ".when.window.zone: missing field; add it (and 2 more)",
        ),
    ],
)
def test_a_rate_that_cannot_be_meant_is_refused_with_its_path(rate: Json, sentence: str) -> None:
    assert refused(with_rate(rate)) == f"book.json rate_cards[0].rates[0]{sentence}"


FLAT_FIVE = {"id": "flat", "kind": "graduated", "bands": [{"rate": "1", "flat": "5"}]}
FLAT_SEVEN = {**FLAT_FIVE, "bands": [{"rate": "1", "flat": "7"}]}
WINDOW = {"zone": "UTC", "start_time": "01:00", "end_time": "04:00"}


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            {"schema": "tokenworks.price-book/2"},
            "schema: input should be 'tokenworks.price-book/1'",
        ),
        ({"number": 0}, "number: input should be greater than or equal to 1, not 0"),
        ({"number": "1"}, 'number: must be a whole number, not "1"'),
        ({"currency": "usd"}, 'currency: "usd" is not an ISO 4217 currency; write a code such as'),
        ({"currency": "XAU"}, 'currency: "XAU" is not an ISO 4217 currency; write a code such as'),
        ({"effective_from": "2026-10-01"}, "effective_from: must be a moment such as"),
        ({"rate_cards": []}, "rate_cards: tuple should have at least 1 item"),
        ({"rate_cards": [card_json([])]}, "rate_cards[0].rates: tuple should have at least 1 item"),
        (
            {"rate_cards": [card_json([RATE]), card_json([RATE])]},
            "two rate cards of m in standard; keep one",
        ),
        (
            {"rate_cards": [card_json([RATE, {**RATE, "rate": "3"}])]},
            "rate_cards[0]: two rates of input_tokens on one card; keep one",
        ),
        (
            {
                "rate_cards": [
                    card_json(
                        [
                            {**RATE, "when": {"request_tokens_over": 9}},
                            {**RATE, "when": {"request_tokens_at_least": 10}},
                        ]
                    )
                ]
            },
            "rate_cards[0]: two rates of input_tokens when request_tokens>=10 on one card; keep",
        ),
        ({"dimensions": {"region": ["eu"]}}, '"region" is no dimension of its own; rename it'),
        (
            {"rate_cards": [card_json([{**RATE, "when": {"dimensions": {"team": "x"}}}])]},
            'the dimension "team" is not declared under dimensions',
        ),
        (
            {"rate_cards": [card_json([{**RATE, "when": {"dimensions": {"effort": "mid"}}}])]},
            '"mid" is not a declared value of the dimension "effort"',
        ),
        (
            {
                "rate_cards": [
                    card_json(
                        [
                            {"unit": "input_tokens", "ladder": LADDER},
                            {"unit": "output_tokens", "ladder": {**LADDER, "bands": [{}]}},
                        ]
                    )
                ]
            },
            "the ladder in stands twice with other bounds, flats or settings; one id is one "
            "position, so give the second another id",
        ),
        (
            {
                "rate_cards": [
                    card_json(
                        [
                            {"unit": "input_tokens", "ladder": FLAT_FIVE},
                            {"unit": "output_tokens", "ladder": FLAT_SEVEN},
                        ]
                    )
                ]
            },
            "the ladder flat stands twice with other bounds, flats or settings; one id is one "
            "position, so give the second another id",
        ),
        (
            {
                "rate_cards": [
                    card_json(
                        [
                            {"unit": "input_tokens", "ladder": LADDER},
                            {"unit": "audio_seconds", "ladder": LADDER},
                        ]
                    )
                ]
            },
            "the ladder in counts audio_seconds and units of another scale in one position; give "
            "one of them another id",
        ),
        (
            {"allowances": [{"id": "a", "units": ["web_searches"], "quantity": 5000}]},
            "allowances[0]: shared allowances are not rated by this version; write plain rates",
        ),
        (
            {"multipliers": [{"factor": "1.1", "when": {"region": "us"}}]},
            "multipliers[0]: multipliers are not rated by this version; write plain rates",
        ),
        (
            {"rate_cards": [card_json([{**RATE, "when": {"window": WINDOW}}])]},
            "rate_cards[0].rates[0].when.window: recurring windows are not rated by this version; "
            "write plain rates",
        ),
        (
            {
                "rate_cards": [
                    card_json([{"unit": "input_tokens", "ladder": {**LADDER, "scope": "payer"}}])
                ]
            },
            "rate_cards[0].rates[0].ladder.scope: payer scope is not rated by this version; write "
            "plain rates",
        ),
    ],
)
def test_a_book_that_cannot_be_rated_is_refused_with_its_path(change: Json, sentence: str) -> None:
    text = refused({**with_rate(RATE), **change}).removeprefix("book.json")
    assert text.lstrip(" :").startswith(sentence)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"schema":1,"schema":1}', b"\xff{}"])
def test_what_is_no_book_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError, match=r"^book\.json"):
        load_price_book(data, name="book.json")


def test_ladders_of_one_id_may_differ_in_their_rates() -> None:
    other = {**LADDER, "bands": [{"up_to": 10, "rate": "8"}, {"rate": "4"}]}
    book = one_card_book(
        [{"unit": "input_tokens", "ladder": LADDER}, {"unit": "output_tokens", "ladder": other}]
    )
    assert len(book.rate_cards[0].rates) == 2


# One rate of input_tokens under each set of conditions, the most specific last.
BY_RISING_SPECIFICITY: list[Json] = [
    {},
    {"request_tokens_over": 100},
    {"request_tokens_at_least": 200},
    {"region": "eu"},
    {"dimensions": {"project": "x"}},
    {"dimensions": {"effort": "high"}},
    {"region": "eu", "request_tokens_over": 100},
    {"dimensions": {"project": "x"}, "request_tokens_over": 100},
    {"dimensions": {"project": "x"}, "region": "eu"},
    {"dimensions": {"effort": "high"}, "region": "eu"},
    {"dimensions": {"effort": "high", "project": "x"}},
    {"dimensions": {"effort": "high"}, "region": "eu", "request_tokens_over": 100},
    {"dimensions": {"effort": "high", "project": "x"}, "region": "eu"},
    {"dimensions": {"effort": "high", "project": "x"}, "region": "eu", "request_tokens_over": 1},
]


@given(order=st.permutations(range(len(BY_RISING_SPECIFICITY))), last=st.integers(0, 13))
def test_the_most_specific_rate_wins_in_whatever_order_they_are_written(
    order: list[int], last: int
) -> None:
    rates: list[Json] = [
        {**RATE, "rate": str(i), "when": BY_RISING_SPECIFICITY[i]} for i in order if i <= last
    ]
    book = read_book({**book_json([card_json(rates)]), "dimensions": DIMENSIONS})
    chosen = book.rate_cards[0].rates_for(
        region="eu", size_tokens=500, dimensions={"effort": "high", "project": "x"}
    )
    assert chosen["input_tokens"].rate == Decimal(last)


@pytest.mark.parametrize(
    "when, size_tokens, holds",
    [
        ({"request_tokens_over": 200}, 199, False),
        ({"request_tokens_over": 200}, 200, False),
        ({"request_tokens_over": 200}, 201, True),
        ({"request_tokens_at_least": 200}, 199, False),
        ({"request_tokens_at_least": 200}, 200, True),
        ({"request_tokens_at_least": 200}, 201, True),
        ({"request_tokens_at_least": 0}, 0, True),
        ({"request_tokens_over": 0}, 0, False),
    ],
)
def test_a_context_step_below_at_and_above(when: Json, size_tokens: int, holds: bool) -> None:
    found = When.model_validate_json(json.dumps(when))
    assert found.holds(region="", size_tokens=size_tokens, dimensions={}) is holds


@pytest.mark.parametrize(
    "region, dimensions, holds",
    [
        ("eu", {"effort": "high"}, True),
        ("eu", {"effort": "high", "project": "x"}, True),
        ("us", {"effort": "high"}, False),
        ("", {"effort": "high"}, False),
        ("eu", {"effort": "low"}, False),
        ("eu", {}, False),
    ],
)
def test_all_named_conditions_must_hold(region: str, dimensions: Json, holds: bool) -> None:
    found = When(region="eu", dimensions={"effort": "high"})
    assert found.holds(region=region, size_tokens=0, dimensions=dimensions) is holds


def test_conditions_read_as_people_read_them() -> None:
    assert When().text() == ""
    assert (
        When(region="eu", request_tokens_over=200, dimensions={"effort": "high"}).text()
        == "effort=high and region=eu and request_tokens>200"
    )
    assert When(request_tokens_at_least=200).text() == "request_tokens>=200"


def test_a_card_is_found_by_model_and_service_tier_and_nothing_else() -> None:
    book = read_book(
        book_json([card_json([RATE]), card_json([RATE], service_tier="batch")]),
    )
    found = book.card(model="m", service_tier="batch")
    assert found is not None
    assert found.service_tier == "batch"
    assert book.card(model="m", service_tier="priority") is None
    assert book.card(model="m-2026", service_tier="standard") is None


def test_the_thresholds_of_a_book_are_its_context_steps() -> None:
    book = one_card_book(
        [
            RATE,
            {**RATE, "when": {"request_tokens_over": 200}},
            {**RATE, "when": {"request_tokens_at_least": 500}},
        ]
    )
    assert book.thresholds_tokens == (201, 500)


def test_a_book_gets_the_digest_of_its_content() -> None:
    value = with_rate(RATE)
    book = read_book(value)
    assert book.digest == content_digest(value)
    assert read_book({**value, "digest": book.digest}) == book


def test_a_book_that_was_edited_after_it_was_published_is_refused() -> None:
    value = {**with_rate(RATE), "digest": read_book(with_rate(RATE)).digest}
    edited = copy.deepcopy(value)
    edited["rate_cards"][0]["rates"][0]["rate"] = "1"
    assert (
        refused(edited)
        == "book.json digest: the book was edited after it was published; restore it"
    )


def test_a_book_reads_back_what_it_writes() -> None:
    value: dict[str, Any] = {
        **with_rate({**RATE, "when": {"region": "eu"}}),
        "published_at": "2026-09-15T00:00:00Z",
        "supersedes": {"number": 3, "reason": "a wrong rate"},
    }
    book = read_book(value)
    written = {**dump(book)}
    written.pop("digest")
    assert read_book(written).model_copy(update={"digest": None}) == book.model_copy(
        update={"digest": None}
    )

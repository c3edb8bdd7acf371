"""The price book: what it refuses and where, which rate is the most specific, and its digest.

Invariant: every refusal shows its whole sentence, so that a change of one is seen.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pricing_rules.document import DocumentError, content_digest, dump
from pricing_rules.prices.price_book import load_price_book
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
        (
            {"unit": "input", "rate": "2"},
            '.unit: "input" is not a unit; tokenworks schema usage-event lists them',
        ),
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
        ({**RATE, "when": {"window": {}}}, ".when.window: must be a string in quotes, not {}"),
    ],
)
def test_a_rate_that_cannot_be_meant_is_refused_with_its_path(rate: Json, sentence: str) -> None:
    assert refused(with_rate(rate)) == f"book.json rate_cards[0].rates[0]{sentence}"


FLAT_FIVE = {"id": "flat", "kind": "graduated", "bands": [{"rate": "1", "flat": "5"}]}
FLAT_SEVEN = {**FLAT_FIVE, "bands": [{"rate": "1", "flat": "7"}]}
EU = {"id": "eu", "factor": "1.1", "when": {"region": "eu"}}
FREE = {"id": "free", "units": ["input_tokens"], "quantity": 1}
BIG = {"id": "big", "kind": "standard", "bands": [{"rate": "100000000"}]}
NIGHT = {"times": [{"start_time": "22:00", "end_time": "06:00"}]}


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
        ({"rate_cards": []}, "rate_cards: must hold at least 1, and holds 0"),
        ({"rate_cards": [card_json([])]}, "rate_cards[0].rates: must hold at least 1, and holds 0"),
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
            {"rate_cards": [card_json([{**RATE, "when": {"window": "night"}}])]},
            'the window "night" is not declared under windows',
        ),
        (
            {"multipliers": [{"id": "n", "factor": "2", "when": {"window": "night"}}]},
            'the window "night" is not declared under windows',
        ),
        (
            {"multipliers": [{"id": "n", "factor": "2", "when": {"dimensions": {"a": "b"}}}]},
            'the dimension "a" is not declared under dimensions',
        ),
        ({"windows": {"w": {"times": []}}}, "windows.w.times: must hold at least 1, and holds 0"),
        ({"dimensions": {"window": ["a"]}}, '"window" is no dimension of its own; rename it'),
        (
            {"multipliers": [EU, {**EU, "factor": "2"}]},
            "the multiplier eu stands twice; keep one",
        ),
        (
            {"multipliers": [{**EU, "factor": "0"}]},
            'multipliers[0]: a factor of 0 makes rates free; write rates of "0" instead',
        ),
        ({"multipliers": [{**EU, "factor": 1.1}]}, "multipliers[0].factor: must be a string in q"),
        ({"multipliers": [{**EU, "units": ["tokens"]}]}, 'multipliers[0].units[0]: "tokens" is no'),
        (
            # 1 decimal of the rate and 24 of the factor are 25.
            {
                "multipliers": [{**EU, "factor": "1." + "1" * 24}],
                **with_rate({**RATE, "rate": "0.5"}),
            },
            "a rate of input_tokens times its multipliers has more digits than a rate may have (15 "
            "before and 24 after the point); round them",
        ),
        (
            # 10^8 x 10^7 has 16 digits.
            {
                "multipliers": [{**EU, "factor": "10000000"}],
                **with_rate({"unit": "input_tokens", "ladder": BIG}),
            },
            "a rate of input_tokens times its multipliers has more digits than a rate may have",
        ),
        (
            # 11 factors under a region of 190 characters each
            {
                "multipliers": [
                    {"id": str(i), "factor": "2", "when": {"region": "r" * 190}} for i in range(11)
                ]
            },
            "the conditions of a rate of input_tokens and its multipliers have more than 2000 "
            "characters together, which no charge can show; shorten their names",
        ),
        (
            {"allowances": [{**FREE, "units": ["output_tokens"]}]},
            "the allowance free covers no rate of the book; check its names",
        ),
        (
            {"allowances": [{**FREE, "models": ["n"]}]},
            "the allowance free covers no rate of the book; check its names",
        ),
        (
            {"allowances": [FREE, {**FREE, "quantity": 2}]},
            "the allowance free stands twice; keep one",
        ),
        (
            {"allowances": [{**FREE, "units": []}]},
            "allowances[0].units: must hold at least 1, and holds 0",
        ),
        (
            {"allowances": [{**FREE, "units": ["input_tokens", "audio_seconds"]}]},
            "allowances[0]: input_tokens, audio_seconds are counted at different scales; give each "
            "its own allowance",
        ),
        (
            {"allowances": [{**FREE, "zone": "Asia/Tokyo"}]},
            "allowances[0]: a billing period starts in the zone of the account's agreement; leave "
            "out the zone",
        ),
        ({"allowances": [{**FREE, "quantity": 0}]}, "allowances[0].quantity: input should be gr"),
        (
            {"allowances": [{**FREE, "reset": "day", "zone": "Tokyo"}]},
            'allowances[0].zone: "Tokyo" is not an IANA time zone such as Europe/Berlin',
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


def test_two_rates_under_windows_of_different_names_stand_and_of_one_name_do_not() -> None:
    night, week = ({**RATE, "when": {"window": name}} for name in ("night", "week"))
    windows = {"windows": {"night": NIGHT, "week": NIGHT}}
    book = read_book({**book_json([card_json([night, week])]), **windows})
    assert len(book.rate_cards[0].rates) == 2
    assert refused({**book_json([card_json([night, night])]), **windows}) == (
        "book.json rate_cards[0]: two rates of input_tokens when window=night on one card; keep one"
    )


def test_the_used_windows_of_a_book_are_those_that_rates_and_multipliers_name() -> None:
    rates = [RATE, {**RATE, "when": {"window": "night"}}]
    value = {
        **book_json([card_json(rates)]),
        "windows": {"night": NIGHT, "week": NIGHT, "idle": NIGHT},
        "multipliers": [{"id": "w", "factor": "2", "when": {"window": "week"}}],
    }
    used = read_book(value).used_windows
    assert [one.name for one in used] == ["night", "week"]
    assert one_card_book([RATE]).used_windows == ()


def test_the_calendar_cuts_of_a_book_are_the_resets_of_its_allowances() -> None:
    resets: list[Json] = [
        {"reset": "month", "zone": "Asia/Tokyo", "models": ["n"]},
        {"reset": "day", "models": ["m"]},
        {"reset": "day", "models": ["m"]},
        {"models": ["m"]},
    ]
    value = {
        **book_json([card_json([RATE]), card_json([RATE], model="n")]),
        "allowances": [{**FREE, "id": str(i), **reset} for i, reset in enumerate(resets)],
    }
    cuts = read_book(value).calendar_cuts
    assert [(cut.every, cut.zone) for cut in cuts] == [("day", "UTC"), ("month", "Asia/Tokyo")]


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


def test_the_thresholds_of_multipliers_are_thresholds_of_the_book() -> None:
    multiplier = {"id": "long", "factor": "2", "when": {"request_tokens_over": 300}}
    book = read_book({**with_rate(RATE), "multipliers": [multiplier]})
    assert book.thresholds_tokens == (301,)


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

"""Quotes of JSON lines: one line out for each line in, whatever its bytes are.

Invariant: the fast reader and the definition give the same answer; a property compares them.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import Document
from pricing_rules.prices.quote import QuoteRequest, compile_book
from pricing_rules.prices.quote_lines import quote_line
from tests.pricing_rules.prices.made_books import Json, book_json, card_json, read_book

RATES: list[Json] = [
    {"unit": "input_tokens", "rate": "3"},
    {"unit": "input_tokens", "rate": "6", "when": {"request_tokens_over": 200}},
    {"unit": "input_tokens", "rate": "4", "when": {"region": "eu:west"}},
    {"unit": "input_tokens", "rate": "5", "when": {"dimensions": {"a:b": "c:d"}}},
    {"unit": "output_tokens", "rate": "15"},
    {"unit": "cache_read_tokens", "rate": "0.3"},
    {"unit": "audio_seconds", "per": 60, "rate": "0.006"},
]
COMPILED = compile_book(
    read_book(
        {
            **book_json([card_json(RATES, model="m:free")]),
            "dimensions": {"a:b": ["c:d", "x"], "p": ["q"]},
        }
    )
)
MTOK = 10**6
ASKED: Json = {"model": "m:free", "service_tier": "standard", "units": {"input_tokens": MTOK}}


def answer(line: bytes) -> Json:
    """The one line that comes out, as JSON, read strictly."""
    out = quote_line(COMPILED, line=line)
    assert b"\n" not in out
    found = json.loads(out.decode("utf-8"))
    assert list(found) in (["amount"], ["error"])
    return dict(found)


def asked(changes: Json) -> Json:
    return answer(json.dumps({**ASKED, **changes}).encode())


SMALL = {"units": {"input_tokens": 100}}


@pytest.mark.parametrize(
    "changes, amount",
    [
        ({}, "6"),  # the input is the size, over 200
        ({"request_tokens": 200}, "3"),
        ({"request_tokens": 201}, "6"),
        ({"request_tokens": None}, "6"),
        ({"request_tokens": 0, "region": "eu:west"}, "4"),
        ({"request_tokens": 0, "region": "us"}, "3"),
        ({"request_tokens": 0, "region": ""}, "3"),
        ({"request_tokens": 0, "dimensions": {"a:b": "c:d"}}, "5"),
        ({"request_tokens": 0, "dimensions": {"a:b": "x", "p": "q"}}, "3"),
        ({"request_tokens": 0, "dimensions": {}}, "3"),
        ({"at": "2026-10-01T00:00:00Z"}, "6"),
        ({"at": None}, "6"),
        ({"units": {}}, "0"),
        ({"units": {"input_tokens": 0, "web_searches": 0}}, "0"),
        ({"units": {"input_tokens": 10**12}, "request_tokens": 0}, "3000000"),
        ({"units": {"audio_seconds": 60}}, "0.006"),
        ({"units": {"audio_seconds": "2.5"}}, "0.00025"),  # 2.5 / 60 * 0.006
        # 10 * 3 + 90 * 0.3 + 20 * 15 in a million
        (
            {"units": {"input_tokens": 100, "cache_read_tokens": 90, "output_tokens": 20}},
            "0.000357",
        ),
    ],
)
def test_a_line_is_answered_with_its_amount(changes: Json, amount: str) -> None:
    assert asked(changes) == {"amount": amount}


def test_an_escaped_character_is_read_by_the_strict_reader_to_the_same_amount() -> None:
    line = json.dumps(ASKED).encode()
    assert answer(line.replace(b"m:free", rb"\u006d:free")) == answer(line) == {"amount": "6"}


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"model": "other"}, "book 1 has no rate card of other in standard"),
        ({"service_tier": "batch"}, "book 1 has no rate card of m:free in batch"),
        ({"model": ""}, 'line model: string should have at least 1 character, not ""'),
        ({"model": "x" * 201}, "line model: string should have at most 200 characters, not"),
        (
            {"model": "m\u202e"},
            "line model: must not hold the control or invisible character U+202E",
        ),
        ({"model": "m\x00"}, "line model: must not hold the control or invisible character U+0000"),
        ({"model": 5}, "line model: must be a string in quotes, not 5"),
        ({"region": " eu"}, "line region: must not begin or end with a space (and 1 more)"),
        ({"region": None}, "line region: must be a string in quotes, not null (and 1 more)"),
        ({"dimensions": {"a": ""}}, "line dimensions.a: string should have at least 1 character"),
        ({"dimensions": []}, "line dimensions: input should be an object, not []"),
        ({"at": "2026-09-30T00:00:00Z"}, "book 1 is in force from 2026-10-01T00:00:00Z, and"),
        ({"at": "2026-10-01T00:00:00"}, "line at: must be a moment such as"),
        ({"at": "2026-10-01T00:00:60Z"}, "line at: is not a moment that exists"),
        ({"at": "1969-10-01T00:00:00Z"}, "line at: must lie between 1970 and 2199"),
        ({"at": 1790000000}, "line at: must be a moment such as"),
        ({"units": None}, 'line units: must be an object such as {"input_tokens": 1200}'),
        ({"units": []}, 'line units: must be an object such as {"input_tokens": 1200}'),
        (
            {"units": {"tokens": 1}},
            'line units: "tokens" is not a unit; tokenworks schema usage-event lists them',
        ),
        ({"units": {"requests": 1}}, 'line units: "requests" is the number of events; leave it'),
        ({"units": {"web_searches": 1}}, "book 1 has no rate for web_searches under these"),
        (
            {"units": {"input_tokens": 1, "cache_read_tokens": 2}},
            "input_tokens (1) is less than what it contains (cache_read_tokens: 2 together)",
        ),
        ({"units": {"audio_seconds": "2.5555"}}, "line units: audio_seconds is counted in 1/1000"),
        ({"request_tokens": -1}, "line request_tokens: input should be greater than or equal to 0"),
        ({"request_tokens": 1.0}, "line request_tokens: must be a whole number, not 1.0"),
        ({"request_tokens": True}, "line request_tokens: must be a whole number, not true"),
        ({"requested": 1}, "line requested: unknown field; remove it or check its spelling"),
    ],
)
def test_a_line_without_an_amount_says_why(changes: Json, sentence: str) -> None:
    assert asked(changes)["error"].startswith(sentence)


@pytest.mark.parametrize("missing", ["model", "service_tier", "units"])
def test_three_fields_are_required(missing: str) -> None:
    line = json.dumps({key: value for key, value in ASKED.items() if key != missing})
    assert answer(line.encode()) == {"error": f"line {missing}: missing field; add it"}


# Faults 86 to 91 and 94: what may stand for a count, and what may not.
@pytest.mark.parametrize("count", ["0", "-0", str(2**31), str(10**12 - 1), str(10**12)])
def test_whole_numbers_up_to_the_limit_are_counted_exactly(count: str) -> None:
    line = json.dumps({**ASKED, "request_tokens": 0}).replace(str(MTOK), count)
    assert "amount" in answer(line.encode())


@pytest.mark.parametrize(
    "count",
    [
        *("-1", str(10**12 + 1), str(2**53 + 1), str(2**63 - 1), str(2**63), str(10**30)),
        *("9" * 4300, "9" * 5000, "true", "1.0", "1.5", '"5"', "null", "[]", "{}"),
        *("NaN", "Infinity", "-Infinity", "1e400", "1e999999999", "1e2000000", "0e999999999"),
        *(
            "1e-999999999",
            "sNaN",
            "1_000",
            "0x10",
            "1,000",
            "01",
            "1e3",
            '" 12 "',
            '"١٢"',
            "\uff11\uff12",
        ),
    ],
)
def test_anything_else_is_no_count(count: str) -> None:
    line = json.dumps(ASKED).replace(str(MTOK), count)
    assert "error" in answer(line.encode())


@pytest.mark.parametrize(
    "line, sentence",
    [
        (b"", "the line is empty"),
        (b" \r\n", "the line is empty"),
        (b"[]", "line: input should be an object, not []"),
        (b"null", "line: input should be an object, not null"),
        (b"{", "line:1:2: this is not JSON"),
        (b"{} {}", "line:1:4: this is not JSON"),
        (b"\xff{}", "line:1: byte 0 is not UTF-8; save the file as UTF-8"),
        (b"\xef\xbb\xbf{}", "line: begins with a byte order mark"),
        ("{}".encode("utf-16"), "line:1: byte 0 is not UTF-8; save the file as UTF-8"),
        (
            b'{"model":"m","model":"m"}',
            'line: the key "model" stands twice in one object; keep one',
        ),
        (b"[" * 100_000, "line: is nested deeper than 64 levels"),
        (b'{"a":' * 100_000, "line: is nested deeper than 64 levels"),
        (b'{"model":"\\ud800"}', "line: holds a lone surrogate, which no text can hold"),
        (b'{"\\ud800":1,"\\ud800":1}', 'line: the key "'),
    ],
)
def test_what_is_no_object_is_answered_too(line: bytes, sentence: str) -> None:
    assert answer(line)["error"].startswith(sentence)


@pytest.mark.parametrize(
    "line",
    [
        b'{"model":"x","model":"m:free","service_tier":"standard","units":{"input_tokens":1}}',
        b'{"model":"m:free","service_tier":"standard","units":{"input_tokens":2,"input_tokens":1}}',
        b'{"model":"m:free","service_tier":"standard","units":{},"units":{"input_tokens":1}}',
        b'{"model":"m:free","service_tier":"standard","units":{"input_tokens":1},'
        b'"dimensions":{"p":"q","p":"q"}}',
    ],
)
def test_a_key_that_stands_twice_is_refused_wherever_it_stands(line: bytes) -> None:
    assert "stands twice in one object; keep one" in answer(line)["error"]


def test_a_sentence_shows_no_more_than_the_beginning_of_a_long_line() -> None:
    key = "k" * 10_000
    line = f'{{"model":"m","service_tier":"standard","units":{{}},"{key}":1}}'
    found = answer(line.encode())["error"]
    assert len(found) == 300
    assert found.endswith("...")


@given(line=st.binary(max_size=60))
def test_no_bytes_raise(line: bytes) -> None:
    assert "error" in answer(line)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2**64)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["m:free", "standard", "eu:west", "2026-10-05T00:00:00Z", "2.5", "c:d"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["input_tokens", "output_tokens", "audio_seconds", "a:b", "p"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=4,
)
FIELDS = list(QuoteRequest.model_fields)


@given(
    value=st.dictionaries(st.sampled_from([*FIELDS, "more"]), VALUES, max_size=4),
    fully=st.booleans(),
)
def test_no_json_raises_and_both_readers_agree(value: Json, fully: bool) -> None:
    line = json.dumps({**ASKED, **value} if fully else value, ensure_ascii=False)
    plain = answer(line.encode("utf-8", "surrogatepass"))
    # A written-out escape sends the same line to the strict reader.
    escaped = line.replace('"model"', '"\\u006dodel"')
    assert answer(escaped.encode("utf-8", "surrogatepass")) == plain


def test_a_request_is_a_document() -> None:
    assert issubclass(QuoteRequest, Document)

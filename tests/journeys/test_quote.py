"""Quoting by flags and by lines: one request, one amount, and the same as rating it.

Invariant: flags, a line of stdin and a usage file of one event give one amount; every line has its
answer in its place.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from tests.journeys.made_files import (
    Json,
    Ran,
    book,
    card,
    event,
    rate_of,
    rated,
    tokenworks,
    write_json,
)

BANDS = [{"up_to": "100", "rate": "1"}, {"rate": "0.5"}]
BOOK = book(
    card(
        rate_of("input_tokens", "2"),
        rate_of("input_tokens", "3", when={"request_tokens_over": 1000}),
        rate_of("input_tokens", "4", when={"region": "eu"}),
        rate_of("cache_read_tokens", "0.1", per=3),
        rate_of("output_tokens", "7", when={"dimensions": {"gpu": "x"}}),
        rate_of("output_tokens", ladder={"id": "l", "kind": "graduated", "bands": BANDS}, per=1000),
        rate_of("audio_seconds", "0.006", per=60),
        rate_of("requests", "0.01", per=1),
    ),
    dimensions={"gpu": ["x"]},
)
REQUESTS: tuple[Json, ...] = (
    {"units": {"input_tokens": 1200, "output_tokens": 300}},
    {"units": {"input_tokens": 1000}},
    {"units": {"input_tokens": 1001}},
    {"units": {"input_tokens": 10, "cache_read_tokens": 4}, "request_tokens": 5000},
    {"units": {"input_tokens": 5}, "region": "eu"},
    {"units": {"input_tokens": 5}, "region": "us"},
    {"units": {"output_tokens": 100}, "dimensions": {"gpu": "x"}},
    {"units": {"output_tokens": 101}},
    {"units": {"audio_seconds": "2.5"}},
    {"units": {"input_tokens": 10**12}},
    {"units": {}},
)


@pytest.fixture
def price_book(tmp_path: Path) -> Path:
    return write_json(tmp_path / "book.json", BOOK)


def _line(request: Json) -> bytes:
    return json.dumps({"model": "m", "service_tier": "standard", **request}).encode()


def _quoted(price_book: Path, lines: Sequence[bytes]) -> tuple[Ran, list[Json]]:
    ran = tokenworks("quote", "--price-book", price_book, stdin=b"\n".join(lines) + b"\n")
    return ran, [json.loads(line) for line in ran.out.splitlines()]


def _flags(request: Json) -> list[str]:
    flags = ["--model", "m", "--service-tier", "standard"]
    flags += [f"--unit={name}={count}" for name, count in request["units"].items()]
    flags += [f"--dimension={name}={v}" for name, v in request.get("dimensions", {}).items()]
    if "region" in request:
        flags += ["--region", request["region"]]
    if "request_tokens" in request:
        flags += ["--request-tokens", str(request["request_tokens"])]
    return flags


def test_flags_lines_and_the_rating_of_one_event_are_one_amount(
    tmp_path: Path, price_book: Path
) -> None:
    ran, answers = _quoted(price_book, [_line(request) for request in REQUESTS])
    assert (ran.code, ran.err) == (0, "")
    for request, answer in zip(REQUESTS, answers, strict=True):
        ran = tokenworks("quote", "--price-book", price_book, *_flags(request), "--format", "json")
        assert ran.json == {"amount": answer["amount"], "currency": "USD"}
        exact = rated(tmp_path, [event(1, **request)], BOOK).json
        assert exact["total_exact"] == answer["amount"], request
        assert not any(one["unpriced"] for one in exact["accounts"])


def test_amounts_are_those_of_the_book(price_book: Path) -> None:
    # Each request costs 0.01. In order: 1,200 x 3 / 10^6 + 100 / 1000 + 200 x 0.5 / 1000; 1000 x 2;
    # 1,001 x 3; 6 x 3 / 10^6 + 4 x 0.1 / 3; 5 x 4; 5 x 2; 100 x 7 / 10^6; 0.1 + 0.0005; 2.5 x
    # 0.006 / 60; 10^12 x 3 / 10^6; nothing.
    _, answers = _quoted(price_book, [_line(request) for request in REQUESTS])
    cents = Fraction(1, 100)
    assert [Fraction(answer["amount"]) - cents for answer in answers] == [
        Fraction("0.0036") + Fraction("0.1") + Fraction("0.1"),
        Fraction("0.002"),
        Fraction("0.003003"),
        Fraction("0.000018") + Fraction("0.4") / 3,
        Fraction("0.00002"),
        Fraction("0.00001"),
        Fraction("0.0007"),
        Fraction("0.1005"),
        Fraction("0.00025"),
        Fraction(3_000_000),
        0,
    ]


def test_a_wrong_line_has_its_error_in_its_place(price_book: Path) -> None:
    good = _line({"units": {"input_tokens": 5}})
    lines = [
        good,
        b"",
        b"{",
        b"\xff",
        good.replace(b'"m"', b'"n"'),
        good.replace(b"input_tokens", b"input_token"),
        good.replace(b"5", b"5.0"),
        good.replace(b"5", b"-5"),
        good.replace(b"5", b"1e3"),
        good.replace(b"5", b"NaN"),
        good.replace(b"5", b"9" * 5000),
        good.replace(b"5", b"true"),
        good.replace(b"{", b'{"model": "m", ', 1),
        good.replace(b"{", b'{"prompt": "x", ', 1),
        good.replace(b"{", b'{"at": "2026-09-30T00:00:00Z", ', 1),
        good.replace(b"{", b'{"at": "2026-10-01T00:00:00", ', 1),
        _line({"units": {"input_tokens": 1, "cache_read_tokens": 2}}),
        _line({"units": {"web_searches": 1}}),
        b"[" * 100_000,
        good,
    ]
    ran, answers = _quoted(price_book, lines)
    assert ran.code == 1
    assert ran.err == "tokenworks: 18 of 20 lines have no amount\n"
    assert [list(answer) for answer in answers] == [
        ["amount"],
        *[["error"] for _ in lines[1:-1]],
        ["amount"],
    ]
    assert answers[0] == answers[-1]
    assert answers[1]["error"] == "the line is empty"
    assert answers[4]["error"] == "book 1 has no rate card of n in standard"
    assert answers[14]["error"].startswith("book 1 is in force from 2026-10-01T00:00:00Z")


def test_the_order_of_many_lines_is_kept(price_book: Path) -> None:
    # More than are read at once (4,096): i tokens cost 0.01 + 2 i / 10^6 up to 1,000 tokens.
    lines = [_line({"units": {"input_tokens": i % 1000}}) for i in range(10_000)]
    ran, answers = _quoted(price_book, lines)
    assert ran.code == 0
    expected = [Fraction(1, 100) + Fraction(2 * (i % 1000), 10**6) for i in range(10_000)]
    assert [Fraction(answer["amount"]) for answer in answers] == expected


def test_lines_may_end_in_crlf_or_at_the_end_of_the_file(price_book: Path) -> None:
    good = _line({"units": {"input_tokens": 5}})
    for stdin in (good, good + b"\r\n", good + b"\n"):
        ran = tokenworks("quote", "--price-book", price_book, stdin=stdin)
        assert (ran.code, ran.out) == (0, b'{"amount":"0.01001"}\n')


def test_empty_stdin_is_nothing_done(price_book: Path) -> None:
    ran = tokenworks("quote", "--price-book", price_book)
    assert ran.sentence == "stdin: holds no line; write one JSON object on each line"


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--service-tier", "standard"], "--model: is missing; give it, or give no flags and use"),
        (["--request-tokens", "5"], "--model: is missing"),
        (["--unit", "input_tokens=5"], "--model: is missing"),
        (["--model", "m"], "request service_tier: missing field; add it"),
        (["--model", "n", "--service-tier", "x"], "request: book 1 has no rate card of n in x"),
        (["--model", "", "--service-tier", "x"], "request model: string should have at least 1"),
    ],
)
def test_flags_that_make_no_request_are_one_sentence(
    price_book: Path, flags: list[str], said: str
) -> None:
    assert said in tokenworks("quote", "--price-book", price_book, *flags).sentence


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--unit", "input_tokens"], '--unit: must be NAME=VALUE, not "input_tokens"'),
        (["--unit", "=5"], "--unit: must be NAME=VALUE"),
        (["--unit", "input_tokens=5", "--unit", "input_tokens=5"], '"input_tokens" is given twice'),
        *[
            (["--unit", f"input_tokens={count}"], "request units: input_tokens must ")
            for count in ("-5", "1e3", "5.0", "007", "1_000", "\u0663", " 5", "+5", "", "9" * 30)
        ],
        (["--unit", "tokens=5"], 'request units: "tokens" is not a unit'),
        *[
            (["--unit", "input_tokens=5", f"--request-tokens={size}"], "request request_tokens: ")
            for size in ("-1", "1_000", " 5 ", "\u0663", "1e3", "", str(10**12 + 1))
        ],
        (["--dimension", "gpu"], '--dimension: must be NAME=VALUE, not "gpu"'),
        (["--at", "2026-10-01"], "request at: must be a moment"),
        (["--at", "2026-09-30T23:59:59Z"], "request: book 1 is in force from 2026-10-01T00:00:00Z"),
        (["--unit", "web_searches=1"], "request: book 1 has no rate for web_searches under these"),
        (["--format", "xml"], "Invalid value for '--format': 'xml' is not one of"),
    ],
)
def test_a_flag_that_cannot_be_read_is_one_sentence(
    price_book: Path, flags: list[str], said: str
) -> None:
    whole = ("--model", "m", "--service-tier", "standard", *flags)
    assert said in tokenworks("quote", "--price-book", price_book, *whole).sentence


def test_a_quote_as_table_and_as_csv(price_book: Path) -> None:
    flags = _flags(REQUESTS[1])
    ran = tokenworks("quote", "--price-book", price_book, *flags, "--format", "csv")
    assert ran.text == "amount,currency\r\n0.012,USD\r\n"
    assert "0.012 │ USD" in tokenworks("quote", "--price-book", price_book, *flags).text

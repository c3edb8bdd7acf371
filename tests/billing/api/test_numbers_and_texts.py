"""Numbers and texts over HTTP: what is off its bounds is refused with its place, at once, and what
is taken is taken exactly (faults 86 to 105; I46).

Faults 92, 93 and 101 to 105 are of the pure core: no request holds an amount or a rate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any

import pytest

from billing.settings import Settings
from billing.store.events import read_events
from billing.store.store import Store
from tests.billing.api.made_service import (
    EVENT,
    LINES,
    Made,
    made_service,
    sent,
    served,
    verdicts,
)

Json = Any

LIMIT = 10**12
NUMBERS = count(1)


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    with made_service() as one:
        yield one


def with_count(literal: str, *, unit: str = "input_tokens") -> bytes:
    """An event whose count is this text of JSON."""
    event = sent(next(NUMBERS), account="numbers")
    event["data"]["units"] = {unit: "LITERAL"}
    return json.dumps(event).replace('"LITERAL"', literal).encode()


def stored_count(made: Made) -> int:
    """The count of the event that was stored last."""
    with made.store.read() as connection:
        *_, last = read_events(connection, account="numbers")
    return sum(last.units.values())


def check_refused(made: Made, body: bytes, *, form: str = EVENT) -> str:
    """It is refused with 400; gives its reason."""
    answer = made.post(body, form=form)
    assert answer.status_code == 400, answer.text
    document = answer.json()
    reason: str = document["events"][0]["reason"] if "events" in document else document["detail"]
    assert reason
    return reason


@pytest.mark.parametrize("literal", ["0", "-0", "1", str(2**31), str(LIMIT - 1), str(LIMIT)])
@pytest.mark.parametrize("form", [EVENT, LINES])
def test_fault_86_a_count_up_to_the_limit_is_stored_exactly(
    made: Made, literal: str, form: str
) -> None:
    assert verdicts(made.post(with_count(literal), form=form)) == ["accepted"]
    assert stored_count(made) == int(literal)


@pytest.mark.parametrize(
    "literal",
    [
        "-1",
        str(LIMIT + 1),
        str(2**53 + 1),
        str(2**63 - 1),
        str(2**63),
        str(2**64),
        "1" + "0" * 30,
        "9" * 4_300,
        "9" * 5_000,
        "9" * 1_000_000,
    ],
    ids=lambda literal: f"{literal[:8]}({len(literal)})",
)
@pytest.mark.parametrize("form", [EVENT, LINES])
def test_fault_86_a_count_beyond_its_bounds_is_refused(made: Made, literal: str, form: str) -> None:
    check_refused(made, with_count(literal), form=form)


@pytest.mark.parametrize("literal", ["true", "false"])
def test_fault_87_a_boolean_is_no_count(made: Made, literal: str) -> None:
    check_refused(made, with_count(literal))


@pytest.mark.parametrize("literal", ["1.0", "1.5", '"5.5"', '""', "null", "[]", "{}", "[1]"])
def test_fault_88_another_type_is_not_coerced(made: Made, literal: str) -> None:
    check_refused(made, with_count(literal))


@pytest.mark.parametrize("literal, leaf", [('"2.5"', 2_500), ('"0.001"', 1), ("2", 2_000)])
def test_fault_88_a_unit_with_a_scale_takes_texts_exactly(
    made: Made, literal: str, leaf: int
) -> None:
    assert made.post(with_count(literal, unit="audio_seconds")).status_code == 200
    assert stored_count(made) == leaf


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", '"NaN"'])
def test_fault_89_what_is_no_finite_number_is_refused(made: Made, literal: str) -> None:
    check_refused(made, with_count(literal))
    check_refused(made, with_count(literal, unit="audio_seconds"))


@pytest.mark.parametrize(
    "literal", ["1e999999999", "1e2000000", "1e-999999999", "0e999999999", "1E2000000", "1e5"]
)
@pytest.mark.parametrize("quoted", [False, True], ids=["a number", "a text"])
@pytest.mark.parametrize("unit", ["input_tokens", "audio_seconds"])
def test_fault_90_an_exponent_is_refused_before_it_is_computed(
    made: Made, literal: str, quoted: bool, unit: str
) -> None:
    check_refused(made, with_count(f'"{literal}"' if quoted else literal, unit=unit))


@pytest.mark.parametrize("text", ["sNaN", "-sNaN", "nan", "inf", "NaN123"])
def test_fault_91_a_signalling_nan_is_a_text_like_another(made: Made, text: str) -> None:
    check_refused(made, with_count(f'"{text}"', unit="audio_seconds"))


@pytest.mark.parametrize(
    "text",
    [
        "\u0661\u0662",
        "\u0967",
        "\uff11\uff12",
        "1_000",
        " 12 ",
        "12\n",
        "0x10",
        "1,000",
        "1.000,00",
        "+1",
        "01",
        ".5",
        "5.",
        "--1",
        "1 000",
        "\u2212" + "1",
        "1/2",
        "\u00bd",
    ],
)
def test_fault_94_digits_of_other_alphabets_and_other_spellings_are_refused(
    made: Made, text: str
) -> None:
    for unit in ("input_tokens", "audio_seconds"):
        check_refused(made, with_count(json.dumps(text, ensure_ascii=False), unit=unit))
        check_refused(made, with_count(json.dumps(text), unit=unit))


@pytest.mark.parametrize("literal", ["\u0661", "0x10", "1_000", "01", "+1", ".5", "1.", "- 1"])
def test_fault_94_a_number_that_json_does_not_know_is_refused(made: Made, literal: str) -> None:
    check_refused(made, with_count(literal))


@pytest.mark.parametrize(
    "text",
    [
        b'{"specversion":"1.0","specversion":"1.0"',
        b'{"id":"x","id":"y"',
        b'{"data":{"model":"m","model":"n"}',
        b'{"data":{"units":{"input_tokens":1,"input_tokens":2}}',
        b'{"data":{"dimensions":{"a":"1","\\u0061":"2"}}',
    ],
)
@pytest.mark.parametrize("form", [EVENT, LINES])
def test_fault_97_a_key_that_stands_twice_is_refused(made: Made, text: bytes, form: str) -> None:
    rest = json.dumps(sent(next(NUMBERS))).encode()
    assert "twice" in check_refused(made, text + b"," + rest[1:], form=form)


ESCAPED = [
    ("98", "\\ud800", "surrogate"),
    ("98", "a\\udc00b", "surrogate"),
    ("98", "\\udc00\\ud800", "surrogate"),
    ("99", "a\\u0000b", "U+0000"),
    ("99", "\\u0000", "U+0000"),
    ("100", "a\\u202eb", "U+202E"),
    ("100", "a\\u200bb", "U+200B"),
    ("100", "\\ufeffa", "U+FEFF"),
    ("100", "a\\u2066b", "U+2066"),
    ("100", "a\\u001bb", "U+001B"),
    ("100", "a\\u007fb", "U+007F"),
]


@pytest.mark.parametrize("number, escape, said", ESCAPED)
@pytest.mark.parametrize("place", ["id", "source", "subject", "model", "dimension"])
def test_faults_98_to_100_text_that_no_reader_sees_is_refused(
    made: Made, number: str, escape: str, said: str, place: str
) -> None:
    event = sent(next(NUMBERS))
    if place == "dimension":
        event["data"]["dimensions"] = {"team": "TEXT"}
    elif place == "model":
        event["data"]["model"] = "TEXT"
    else:
        event[place] = "TEXT"
    body = json.dumps(event).replace("TEXT", escape).encode()
    assert said in check_refused(made, body), number
    if number == "100" and escape != "a\\u001bb":  # JSON itself knows no bare control characters
        plain: str = json.loads(f'"{escape}"')
        assert said in check_refused(made, body.replace(escape.encode(), plain.encode()))


def test_fault_100_names_are_compared_byte_for_byte(made: Made) -> None:
    # A Latin and a Cyrillic "a", and both Unicode forms of an accent: four ids, none refused.
    ids = ["m\u0061il", "m\u0430il", "caf\u00e9", "cafe\u0301"]
    for one in ids:
        event = {**sent(1, source="homoglyph"), "id": one}
        assert verdicts(made.post(event)) == ["accepted"]
        assert verdicts(made.post(event)) == ["duplicate"]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.decode().encode("utf-16"),
        lambda text: text.decode().encode("utf-16-le"),
        lambda text: text.decode().encode("utf-32"),
        lambda text: text.replace(b"gw", b"g\xff"),
        lambda text: text.replace(b"gw", b"\xc0\xaf"),
        lambda text: text.replace(b"gw", b"\xed\xa0\x80"),
        lambda text: text.replace(b"gw", b"\xf4\x90\x80\x80"),
        lambda text: text[:-1] + b"\xc3",
    ],
    ids=["BOM", "UTF-16", "UTF-16-LE", "UTF-32", "FF", "overlong", "surrogate", "beyond", "cut"],
)
@pytest.mark.parametrize("form", [EVENT, LINES])
def test_fault_100_another_encoding_is_refused(made: Made, encode: Any, form: str) -> None:
    check_refused(made, encode(json.dumps(sent(next(NUMBERS))).encode()), form=form)


@pytest.mark.parametrize("size, status", [(199, 200), (200, 200), (201, 400)])
def test_a_name_has_at_most_200_characters(made: Made, size: int, status: int) -> None:
    for place in ("id", "source", "subject"):
        event = {**sent(next(NUMBERS)), place: "é" * (size - 6) + f"{next(NUMBERS):06}"}
        assert made.post(event).status_code == status


def test_names_too_long_for_an_index_of_the_database_are_refused_and_others_go_in(
    store: Store,
) -> None:
    # 200 characters of 4 bytes are let in as one name; four such make 3,200 bytes, and an index of
    # PostgreSQL takes 2,704.
    # They differ: what repeats itself is stored in less.
    drawn = Random(1)
    names = ["".join(chr(drawn.randrange(0x20000, 0x2A000)) for _ in range(200)) for _ in range(4)]
    long = sent(1, account=names[0])
    long["data"] |= dict(zip(("model", "service_tier", "region"), names[1:], strict=True))
    with served(store, settings=Settings()) as one:
        answer = one.post(long)
        assert one.post(sent(2)).status_code == 200
    if not store.where.startswith("postgresql"):
        assert answer.status_code == 200
        return
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:tokenworks:problem:too-long"
    assert "shorten one of them" in answer.json()["detail"]

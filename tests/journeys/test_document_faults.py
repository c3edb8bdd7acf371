"""What happens when a document that a person writes is wrong: one sentence with file and line.

Invariant: no fault of a document reaches a computation, whatever the document is, and a command
that refuses one writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journeys.made_files import (
    Json,
    Ran,
    book,
    card,
    event,
    rate_of,
    tokenworks,
    write_events,
    write_json,
)

DOCUMENTS = ("factory.yaml", "policy-demo.yaml", "acme.yaml", "globex.yaml", "initech.yaml")


def _read_by_command(folder: Path, *, name: str) -> Ran:
    """Run the command that reads this document, with all others as they should be."""
    if name in ("factory.yaml", "policy-demo.yaml"):
        # The sample is read as bytes first and understood last: any file will do.
        return tokenworks(
            *("price", "derive", "--factory", folder / "factory.yaml"),
            *("--policy", folder / "policy-demo.yaml", "--measurements", folder / "acme.yaml"),
            *("--number", "1", "--effective-from", "2026-12-01T00:00:00Z"),
            *("--out", folder / "candidate.json"),
        )
    return tokenworks(
        *("invoice", "preview", "--agreement", folder / name, "--price-book", folder / "b.json"),
        *("--usage", folder / "u.csv", "--period", "2026-12-01/2027-01-01"),
        *("--pdf", folder / "i.pdf"),
    )


def _line_of(data: bytes, part: bytes) -> int:
    return data[: data.index(part)].count(b"\n") + 1


def _next_line(data: bytes) -> int:
    return data.count(b"\n") + 1


def _unknown_field(data: bytes) -> tuple[bytes, str]:
    return data + b"vedor: nobody\n", f":{_next_line(data)} vedor: unknown field; remove it"


def _missing_field(data: bytes) -> tuple[bytes, str]:
    return re.sub(rb"(?m)^schema:.*\n", b"", data), " schema: missing field; add it"


def _unquoted_money(data: bytes) -> tuple[bytes, str]:
    money = re.search(rb'(value|rate_percent|percent|note): "?(?P<text>[^"\n]+)"?', data)
    assert money is not None
    edited = data[: money.start()] + money[1] + b": 0.5" + data[money.end() :]
    return edited, f":{_line_of(data, money[0])} "


def _unknown_currency(data: bytes) -> tuple[bytes, str]:
    if b"\ncurrency:" not in data:  # a factory's money is in USD by its field names
        return data.replace(
            b"_usd_per_hour", b"_xqq_per_hour"
        ), ".rented.all_in_usd_per_hour: missing field; add it"
    line = _line_of(data, b"currency:")
    edited = data.replace(b"currency: USD", b"currency: XQQ")
    return edited, f':{line} currency: "XQQ" is not an ISO 4217 currency; write a code such as USD'


def _lower_case_currency(data: bytes) -> tuple[bytes, str]:
    edited, said = _unknown_currency(data)
    return edited.replace(b"XQQ", b"usd"), said.replace("XQQ", "usd")


def _duplicate_key(data: bytes) -> tuple[bytes, str]:
    line = re.search(rb"(?m)^schema:.*\n", data)
    assert line is not None
    number = _next_line(data)
    return data + line[0], f':{number}: the key "schema" stands twice; keep one'


def _alias(data: bytes) -> tuple[bytes, str]:
    number = _next_line(data)
    edited = data + b"a: &x [1]\nb: *x\n"
    return edited, f":{number}: anchors and aliases are not read; write it out"


def _tag(data: bytes) -> tuple[bytes, str]:
    number = _next_line(data)
    return data + b"a: !!python/object:os.system x\n", f":{number}: the tag "


def _not_yaml(data: bytes) -> tuple[bytes, str]:
    return data + b"a: [1,\n", ": this is not YAML ("


def _utf_16(data: bytes) -> tuple[bytes, str]:
    return data.decode().encode("utf-16"), ":1: byte 0 is not UTF-8; save the file as UTF-8"


def _latin_1(data: bytes) -> tuple[bytes, str]:
    number = _next_line(data)
    return data + "# für\n".encode("latin-1"), f":{number}: byte "


def _byte_order_mark(data: bytes) -> tuple[bytes, str]:
    return b"\xef\xbb\xbf" + data, ": begins with a byte order mark"


def _empty(data: bytes) -> tuple[bytes, str]:
    return b" \n", ": the file is empty"


def _a_list(data: bytes) -> tuple[bytes, str]:
    return b"- 1\n", ":1: "


def _deep(data: bytes) -> tuple[bytes, str]:
    return b"[" * 5000 + b"]" * 5000, ": is nested deeper than 64 levels"


def _another_document(data: bytes) -> tuple[bytes, str]:
    return re.sub(rb"tokenworks\.\w+/1", b"tokenworks.rating/1", data), " schema: "


FAULTS = (
    *(_unknown_field, _missing_field, _unquoted_money, _unknown_currency, _lower_case_currency),
    *(_duplicate_key, _alias, _tag, _not_yaml, _utf_16, _latin_1, _byte_order_mark, _empty),
    *(_a_list, _deep, _another_document),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_fault_is_one_sentence_with_file_and_line(
    documents: Path, name: str, fault: Callable[[bytes], tuple[bytes, str]]
) -> None:
    path = documents / name
    edited, said = fault(path.read_bytes())
    path.write_bytes(edited)
    before = sorted(one.name for one in documents.iterdir())
    sentence = _read_by_command(documents, name=name).sentence
    assert sentence.startswith(name)
    assert said in sentence
    assert sorted(one.name for one in documents.iterdir()) == before


def test_without_a_fault_the_documents_are_read(documents: Path) -> None:
    # The neighbour of the cases above: with no fault, reading goes on to the next document.
    for name in DOCUMENTS:
        sentence = _read_by_command(documents, name=name).sentence
        assert sentence.startswith(("acme.yaml", f"{documents}/b.json: cannot be read"))


@pytest.mark.parametrize(
    "written, said",
    [
        ("zone: NO", 'acme.yaml:7 zone: "NO" is not an IANA time zone'),
        ("zone: ../../etc/passwd", 'acme.yaml:7 zone: "../../etc/passwd" is not an IANA time zone'),
        ("zone: 1:30", 'acme.yaml:7 zone: "1:30" is not an IANA time zone'),
        ("zone: true", "acme.yaml:7 zone: must be a string in quotes, not true"),
        ("zone: 010", 'acme.yaml:7 zone: "010" is not an IANA time zone'),
    ],
)
def test_what_yaml_would_guess_is_not_guessed(documents: Path, written: str, said: str) -> None:
    path = documents / "acme.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("zone: Europe/Berlin", written), encoding="utf-8")
    assert _read_by_command(documents, name="acme.yaml").sentence.startswith(said)


@pytest.mark.parametrize("quantity", ["1e999999999", ".nan", "-1", "1_000", "0x10", "12 %"])
def test_money_that_is_no_plain_decimal_is_refused_at_once(documents: Path, quantity: str) -> None:
    path = documents / "factory.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('value: "1.17"', f'value: "{quantity}"'), encoding="utf-8")
    sentence = _read_by_command(documents, name="factory.yaml").sentence
    assert re.match(r"factory\.yaml:\d+ hardware\.h100_sxm\..*value: must be a plain", sentence)


RATES = [rate_of("input_tokens", "1")]
BANDS = [{"up_to": "10", "rate": "1"}, {"rate": "2"}]


def _ladder(**fields: Json) -> Json:
    ladder = {"id": "l", "kind": "graduated", "bands": BANDS, **fields}
    return book(card(rate_of("input_tokens", ladder=ladder)))


@pytest.mark.parametrize(
    "value, said",
    [
        (book(card(*RATES), currency="XQQ"), 'b.json currency: "XQQ" is not an ISO 4217 currency'),
        (book(card(*RATES), currency="usd"), 'b.json currency: "usd" is not an ISO 4217 currency'),
        (book(card(rate_of("tokens", "1"))), 'b.json rate_cards[0].rates[0].unit: "tokens" is not'),
        (book(card(rate_of("input_tokens", "-1"))), "b.json rate_cards[0].rates[0].rate: must be"),
        (book(card(rate_of("input_tokens", "sNaN"))), "b.json rate_cards[0].rates[0].rate: must"),
        (book(card({"unit": "input_tokens", "rate": 1.5})), "rates[0].rate: must be a string in q"),
        (book(card(*RATES, *RATES)), "b.json rate_cards[0]: two rates of input_tokens on one card"),
        (book(card(*RATES), card(*RATES)), "b.json: two rate cards of m in standard; keep one"),
        (book(card(*RATES), rate_cards_2=[]), "b.json rate_cards_2: unknown field"),
        (
            book(card(*RATES), multipliers=[{"id": "f", "factor": "0", "when": {}}]),
            "b.json multipliers[0]: a factor of 0 makes rates free; write rates of",
        ),
        (
            book(card(*RATES), allowances=[{"id": "f", "units": ["songs"], "quantity": 1}]),
            "b.json: the allowance f covers no rate of the book; check its names",
        ),
        (
            book(
                card(
                    rate_of(
                        "input_tokens",
                        "1",
                        when={"window": "night"},
                    )
                ),
            ),
            'b.json: the window "night" is not declared under windows',
        ),
        (
            book(
                card(*RATES),
                windows={"night": {"times": [{"start_time": "0", "end_time": "6"}]}},
            ),
            "b.json windows.night.times[0].start_time: must be a time of day such as",
        ),
        (_ladder(scope="payer"), "b.json rate_cards[0].rates[0].ladder.scope: payer scope is not"),
        (
            _ladder(bands=[{"up_to": "10", "rate": "1"}, {"from": "9", "rate": "2"}]),
            "b.json rate_cards[0].rates[0].ladder: overlapping bands: bands[1] starts at 9",
        ),
        (
            _ladder(bands=[{"up_to": "10", "rate": "1"}, {"from": "11", "rate": "2"}]),
            "b.json rate_cards[0].rates[0].ladder: gap between bands: bands[1] starts at 11",
        ),
        (
            _ladder(bands=[{"up_to": "10", "rate": "1"}, {"up_to": "10", "rate": "2"}]),
            "b.json rate_cards[0].rates[0].ladder: overlapping bands: bands[1] ends at 10",
        ),
        (
            book(card(rate_of("input_tokens", "1", when={"dimensions": {"gpu": "a"}}))),
            'b.json: the dimension "gpu" is not declared under dimensions',
        ),
    ],
)
def test_a_price_book_that_cannot_be_rated_is_refused_with_its_path(
    tmp_path: Path, value: Json, said: str
) -> None:
    path = write_json(tmp_path / "b.json", value)
    usage = write_events(tmp_path, [event(1, {"input_tokens": 1})], form="csv")
    sentence = tokenworks("rate", "--price-book", path, "--usage", usage).sentence
    assert said in sentence
    assert sentence.startswith("b.json")


@pytest.mark.parametrize(
    "data, said",
    [
        (b"", "b.json: the file is empty"),
        (b"{", "b.json:1:2: this is not JSON ("),
        (b'{"a": 1, "a": 2}', 'b.json: the key "a" stands twice in one object; keep one'),
        (b'{"\\u001b[31m": 1, "\\u001b[31m": 2}', 'the key "\\x1b[31m" stands twice'),
        (b'{"a": NaN}', "b.json: NaN is not a number that JSON knows"),
        (b'{"a": 1e400}', "b.json: the number 1e400 is out of range"),
        (b'{"a": ' + b"9" * 5000 + b"}", "has 5000 digits"),
        (b'{"a": "\\ud800"}', "b.json: holds a lone surrogate"),
        (b"[" * 100_000, "b.json: is nested deeper than 64 levels"),
        ("{}".encode("utf-16"), "b.json:1: byte 0 is not UTF-8"),
    ],
)
def test_a_price_book_that_is_no_strict_json_is_refused(
    tmp_path: Path, data: bytes, said: str
) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(data)
    flags = ("--model", "m", "--service-tier", "standard", "--unit", "input_tokens=1")
    assert said in tokenworks("quote", "--price-book", path, *flags).sentence

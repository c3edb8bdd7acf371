"""Rate cards as CSV: what a line must hold, and what a spreadsheet must not run.

Invariant: a card with a line that cannot be read is refused whole, and the line is named.
"""

from __future__ import annotations

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.interchange.csv_cards import COLUMNS, export_csv, import_csv
from pricing_rules.interchange.imported import Imported
from tests.pricing_rules.interchange.made_imports import HEAD, book_of, rates

HEADER = ",".join(COLUMNS)
PLAIN = "m,standard,input_tokens,1000000,2,USD,,,,"


def read(*lines: str, header: str = HEADER) -> Imported:
    return import_csv("\r\n".join([header, *lines]).encode(), name="cards.csv", head=HEAD)


def test_a_line_is_one_rate_with_its_conditions() -> None:
    found = read(
        PLAIN,
        "",
        "m,standard,input_tokens,1000000,4,USD,,200000,,",
        "m,standard,input_tokens,1000000,3,USD,eu,,100000,gpu=x;mode=a",
        "m,batch,requests,1,0.005,USD,,,,",
    )
    assert rates(found) == {
        "input_tokens": "2 per 1000000",
        "input_tokens request_tokens>200000": "4 per 1000000",
        "input_tokens gpu=x and mode=a and region=eu and request_tokens>=100000": "3 per 1000000",
    }
    assert rates(found, service_tier="batch") == {"requests": "0.005 per 1"}
    assert book_of(found).currency == "USD"
    assert book_of(found).dimensions == {"gpu": ("x",), "mode": ("a",)}


def test_columns_may_stand_in_any_order_after_a_byte_order_mark() -> None:
    header = ",".join(reversed(COLUMNS))
    line = ",".join(reversed(PLAIN.split(",")))
    assert rates(read(line, header="\ufeff" + header)) == {"input_tokens": "2 per 1000000"}


@pytest.mark.parametrize(
    "line, reason",
    [
        ("m,standard,input_liters,1,2,USD,,,,", 'unit: "input_liters" is not a unit'),
        ("m,standard,input_tokens,1,2.,USD,,,,", "rate: must be a plain decimal"),
        ("m,standard,input_tokens,1,-2,USD,,,,", "rate: must be a plain decimal"),
        ("m,standard,input_tokens,,2,USD,,,,", "per is missing"),
        ("m,standard,input_tokens,1.5,2,USD,,,,", '"1.5" is not a whole number'),
        ("m,standard,input_tokens,1,2,USD,,٣,,", "is not a whole number"),
        ("m,standard,input_tokens,1,2,USD,,1,2,", "not both"),
        ("m,standard,input_tokens,1,2,USD,,,,gpu", "are not name=value;name=value"),
        ("m,standard,input_tokens,1,2,USD,,,,a=1;a=2", "are not name=value;name=value"),
    ],
)
def test_a_card_with_a_line_that_cannot_be_read_is_refused_whole(line: str, reason: str) -> None:
    found = read("n,standard,input_tokens,1,2,USD,,,,", PLAIN, line)
    (refused,) = found.refused
    assert refused.entry == "m in standard"
    assert refused.detail.startswith("cards.csv:4: ")
    assert reason in refused.detail
    assert [card.model for card in book_of(found).rate_cards] == ["n"]


@pytest.mark.parametrize(
    "line, reason",
    [
        (PLAIN, "two rates of input_tokens on one card; keep one"),
        ("m,standard,requests,1,2,USD,,,,region=eu", "region is no dimension"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(line: str, reason: str) -> None:
    (refused,) = read(PLAIN, line).refused
    assert refused.detail == reason


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"\xff", "is not UTF-8"),
        (b"model,rate\r\nm,1", "must have the columns model, service_tier"),
        (b"", "must have the columns"),
        (f"{HEADER}\r\nm,1".encode(), "cards.csv:2: has 2 cells, not 10"),
        (f'{HEADER}\r\n"m'.encode(), "is not CSV"),
        (HEADER.encode(), "must be one for all rates, not none"),
        (
            f"{HEADER}\r\n{PLAIN}\r\n{PLAIN.replace('USD', 'EUR')}".encode(),
            "must be one for all rates, not EUR, USD",
        ),
        (
            f"{HEADER}\r\n{PLAIN.replace('USD', 'XXQ')}".encode(),
            'the book of cards.csv: currency: "XXQ" is not an ISO 4217 currency',
        ),
    ],
)
def test_a_file_that_is_no_rate_cards_is_refused(data: bytes, sentence: str) -> None:
    with pytest.raises(DocumentError) as error:
        import_csv(data, name="cards.csv", head=HEAD)
    assert sentence in str(error.value)


def test_what_a_spreadsheet_would_run_goes_out_with_a_quote_and_comes_back_without() -> None:
    names = ["=1+1", "+a", "-a", "@a", "'=1", "a'b"]
    found = read(*(f"{_quoted(name)},standard,input_tokens,1,2,EUR,,,," for name in names))
    assert [card.model for card in book_of(found).rate_cards] == names
    data = export_csv(book_of(found))
    assert b"\r\n'=1+1,standard" in data
    assert b"\r\n''=1,standard" in data
    again = import_csv(data, name="again.csv", head=HEAD)
    assert [card.model for card in book_of(again).rate_cards] == names


def _quoted(name: str) -> str:
    return f"'{name}" if name.startswith("'") else name

"""Prices by time of day, by region and with a free quantity, as a user meets them in the command.

Invariant: rating a file, quoting its requests and explaining the rates speak of the same prices.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.journeys.made_files import (
    Json,
    book,
    card,
    event,
    rate_of,
    rated,
    tokenworks,
    write_json,
)

M = 1_000_000
NIGHT: Json = {"zone": "Europe/Berlin", "times": [{"start_time": "22:00", "end_time": "06:00"}]}
BOOK = book(
    card(
        rate_of("input_tokens", "2"),
        rate_of("input_tokens", "1", when={"window": "night"}),
        rate_of("web_searches", "10", per=1000),
    ),
    windows={"night": NIGHT},
    multipliers=[{"id": "eu", "factor": "1.1", "when": {"region": "eu"}}],
    allowances=[{"id": "first", "units": ["web_searches"], "quantity": 5, "reset": "day"}],
)
FLAGS = ("--model", "m", "--service-tier", "standard")


@pytest.fixture
def price_book(tmp_path: Path) -> Path:
    return write_json(tmp_path / "book.json", BOOK)


def test_a_file_is_rated_by_the_moment_of_each_event(tmp_path: Path) -> None:
    # 2026-10-02 20:00 UTC is 22:00 in Berlin.
    events = [
        event(1, {"input_tokens": M, "web_searches": 4}, time="2026-10-02T19:59:59Z"),
        event(2, {"input_tokens": M, "web_searches": 4}, time="2026-10-02T20:00:00Z", region="eu"),
    ]
    for form in ("jsonl", "csv", "parquet"):
        ran = rated(tmp_path, events, BOOK, form=form)
        assert ran.code == 0, ran.err
        (account,) = ran.json["accounts"]
        found = {
            charge["unit"]: [(b["when"], b["quantity"], b["rate"]) for b in charge["bands"]]
            for charge in account["charges"]
        }
        assert found == {
            "input_tokens": [("", M, "2"), ("window=night, x 1.1 region=eu", M, "1.1")],
            # 5 of 8 are free, the events of the day together; a tool is not multiplied.
            "web_searches": [("", 3, "10"), ("allowance first", 5, "0")],
        }
        total = sum(Fraction(charge["amount"]) for charge in account["charges"])
        assert total == Fraction("3.13")  # 2 + 1.1 + 0.03


def test_a_quote_asks_for_the_moment_where_it_decides(price_book: Path) -> None:
    flags = ("--price-book", price_book, *FLAGS, "--unit", "input_tokens=1000000")
    refused = tokenworks("quote", *flags).sentence
    assert refused == (
        "request: the rates of m in standard depend on the time (night); say at which moment"
    )
    by_night = tokenworks("quote", *flags, "--at", "2026-10-02T20:00:00Z", "--format", "json")
    assert by_night.json == {"amount": "1", "currency": "USD"}
    by_day = tokenworks("quote", *flags, "--at", "2026-10-02T21:59:59+02:00", "--format", "json")
    assert by_day.json == {"amount": "2", "currency": "USD"}
    assert by_day.err == "tokenworks: priced as if used up: first\n"


def test_explain_names_windows_multipliers_and_allowances(price_book: Path) -> None:
    ran = tokenworks("price", "explain", price_book, *FLAGS, "--unit", "input_tokens")
    assert ran.code == 0, ran.err
    assert "night: daily 22:00-06:00 (Europe/Berlin)" in ran.text
    assert "eu: x 1.1 region=eu" in ran.text
    searches = tokenworks("price", "explain", price_book, *FLAGS, "--unit", "web_searches")
    assert "first: 5 web_searches together are free in each day of UTC" in searches.text


def test_the_grid_shows_what_recurs(price_book: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    assert tokenworks("db", "upgrade", "--store", store).code == 0
    published = write_json(tmp_path / "b.json", {**BOOK, "published_at": "2026-09-01T00:00:00Z"})
    ran = tokenworks(
        "price", "load", published, "--store", store, "--by", "me", "--now", "2026-09-01T00:00:00Z"
    )
    assert ran.code == 0, ran.err
    shown = tokenworks("grid", "show", "--store", store, "--format", "json").json
    assert [(one["name"], one["window"]["zone"]) for one in shown["windows"]] == [
        ("night", "Europe/Berlin")
    ]
    assert shown["calendar_cuts"] == [{"every": "day", "zone": "UTC"}]
    table = tokenworks("grid", "show", "--store", store).text
    assert "night: daily 22:00-06:00 (Europe/Berlin)" in table
    assert "day of UTC" in table

"""The journey of ``tokenworks backtest``: a new price book over past usage, with gates for CI."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from billing.domain.charging.backtest_report import BacktestReport
from pricing_rules.document import load_json
from tests.journeys.made_files import (
    FORMATS,
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

MTOK = 10**6
OLD = book(card(rate_of("input_tokens", "2"), rate_of("output_tokens", "8")))
NEW = book(
    card(rate_of("input_tokens", "1"), rate_of("output_tokens", "12")),
    number=2,
    effective_from="2027-01-01T00:00:00Z",
)

# a: 3M in, 1M out: 6 + 8 = 14 before, 3 + 12 = 15 after. b: 4M in: 8 before, 4 after.
EVENTS = [
    event(1, {"input_tokens": 3 * MTOK}),
    event(2, {"output_tokens": MTOK}, time="2026-11-02T00:00:00Z"),
    event(3, {"input_tokens": 4 * MTOK}, account="b"),
    event(4, {"input_tokens": MTOK}, account="b", outcome="failed"),
]


def backtested(
    folder: Path,
    *arguments: str | Path,
    events: list[Json] | None = None,
    new: Json = NEW,
    old: Json = OLD,
    form: str = "csv",
) -> Ran:
    """``tokenworks backtest`` of events under two books, all written to a folder."""
    return tokenworks(
        *("backtest", "--price-book", write_json(folder / "new.json", new)),
        *("--against", write_json(folder / "old.json", old)),
        *("--usage", write_events(folder, events or EVENTS, form=form)),
        *arguments,
    )


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_usage_is_rated_under_both_books(tmp_path: Path, form: str) -> None:
    ran = backtested(tmp_path, "--format", "json", form=form)
    assert ran.code == 0, ran.err
    found = ran.json
    sides = {name: found["total"][name]["revenue"] for name in ("before", "after")}
    assert sides == {"before": "22", "after": "19"}
    assert (found["total"]["change"], found["total"]["change_share"]) == ("-3", "-3/22")
    assert [(one["account"], one["change"]) for one in found["accounts"]] == [
        ("a", "1"),
        ("b", "-4"),
    ]
    assert found["distribution"]["p50"] == "-0.5"  # of -1/2 and 1/14, the first
    assert (found["distribution"]["paying_more"], found["distribution"]["paying_less"]) == (1, 1)
    assert found["events"]["not_billable"] == 1
    assert [book["number"] for book in found["after"]["price_books"]] == [2]
    assert load_json(BacktestReport, ran.out, name="backtest.json").total.events == 3


def test_a_backtest_under_one_book_is_what_rate_charges(tmp_path: Path) -> None:
    ran = backtested(tmp_path, "--format", "json")
    for name, side in (("old", "before"), ("new", "after")):
        value = json.loads((tmp_path / f"{name}.json").read_bytes())
        value["effective_from"] = "2026-01-01T00:00:00Z"
        rated = tokenworks(
            *("rate", "--price-book", write_json(tmp_path / "book.json", value)),
            *("--usage", tmp_path / "usage.csv", "--format", "json"),
        )
        assert rated.json["total_exact"] == ran.json["total"][side]["revenue"]


def test_a_period_is_charged_as_rate_charges_it_with_what_was_used_of_its_first_day(
    tmp_path: Path,
) -> None:
    # The day of Tokyo in which October starts in UTC began at 15:00 on September 30: 4 of its 5
    # free tokens are used before the period, one event of which is in it.
    card_of = card(rate_of("input_tokens", "1", per=1))
    daily = {"id": "d", "units": ["input_tokens"], "quantity": 5, "reset": "day"}
    value = book(
        card_of,
        effective_from="2026-09-01T00:00:00Z",
        allowances=[{**daily, "zone": "Asia/Tokyo"}],
    )
    events = [
        event(1, {"input_tokens": 4}, time="2026-09-30T16:00:00Z"),
        event(2, {"input_tokens": 4}, time="2026-10-01T01:00:00Z"),
        event(3, {"input_tokens": 9}, time="2026-09-30T14:00:00Z"),
    ]
    ran = backtested(
        tmp_path,
        *("--format", "json", "--period", "2026-10"),
        events=events,
        new={**value, "number": 2},
        old=book(card_of),
    )
    assert ran.code == 0, ran.err
    sides = {name: ran.json["total"][name]["revenue"] for name in ("before", "after")}
    assert sides == {"before": "4", "after": "3"}
    counted = ran.json["events"]
    assert (counted["accepted"], counted["outside_period"]) == (3, 2)
    rated = tokenworks(
        *("rate", "--price-book", tmp_path / "new.json", "--usage", tmp_path / "usage.csv"),
        *("--period", "2026-10-01/2026-11-01", "--format", "json"),
    )
    assert rated.json["total_exact"] == "3"


def test_csv_has_the_total_each_rate_card_and_each_account(tmp_path: Path) -> None:
    ran = backtested(tmp_path, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(ran.text)))
    assert [(row["part"], row["account"], row["before"], row["after"]) for row in rows] == [
        ("total", "", "22", "19"),
        ("rate card", "", "22", "19"),
        ("account", "a", "14", "15"),
        ("account", "b", "8", "4"),
    ]
    assert rows[0]["change_percent"] == "-13.64 %"


def test_the_table_says_who_pays_more_and_what_is_unpriced(tmp_path: Path) -> None:
    new = book(card(rate_of("input_tokens", "1")), number=2)
    ran = backtested(tmp_path, new=new)
    assert ran.code == 0
    assert "2 accounts: 0 pay more, 2 less, 0 the same" in ran.err
    assert "after: 0 floor breaches, 1 unpriced counts, 0 rates that no usage meets" in ran.err
    assert "after: a: unpriced 1,000,000 output_tokens of m in standard: book 2 has no" in ran.err


def test_a_table_shows_ten_accounts_of_each_sense(tmp_path: Path) -> None:
    events = [
        event(
            n, {"input_tokens" if n % 2 else "output_tokens": n * MTOK}, account=f"account-{n:02d}"
        )
        for n in range(1, 31)
    ]
    ran = backtested(tmp_path, events=events)
    assert ran.text.count("account-") == 20
    # 15 pay more, 15 less; the smallest changes of each are left out.
    assert "account-30" in ran.text
    assert "account-02" not in ran.text
    assert backtested(tmp_path, "--format", "csv", events=events).text.count("account-") == 30


@pytest.mark.parametrize(
    "gates, code, said",
    [
        (["revenue-falls=13%"], 1, "gate revenue-falls=13% TRIPS: revenue falls by 13.64 %"),
        (["revenue-falls=14%"], 0, "gate revenue-falls=14% holds: revenue falls by 13.64 %"),
        (["account-rises=7%"], 1, "gate account-rises=7% TRIPS: 1 account would pay over 7.00 %"),
        (["account-rises=8%", "unpriced=0", "floor-breaches=0"], 0, "gate unpriced=0 holds"),
        (["account-rises=8%", "revenue-falls=1%"], 1, "gate account-rises=8% holds"),
    ],
)
def test_a_gate_that_trips_makes_the_exit_code_one(
    tmp_path: Path, gates: list[str], code: int, said: str
) -> None:
    flags = [part for gate in gates for part in ("--fail-if", gate)]
    ran = backtested(tmp_path, *flags)
    assert ran.code == code
    assert said in ran.err


def test_several_files_are_one_usage(tmp_path: Path) -> None:
    late = tmp_path / "late"
    late.mkdir()
    # The first event again, and one more million.
    more = write_events(late, [EVENTS[0], event(9, {"input_tokens": MTOK})], form="jsonl")
    ran = backtested(tmp_path, "--usage", more, "--format", "json")
    assert ran.json["total"]["before"]["revenue"] == "24"
    assert ran.json["events"]["duplicate"] == 1
    assert [one["name"] for one in ran.json["usage"]] == ["usage.csv", "usage.jsonl"]


def test_refused_rows_are_named_with_their_file(tmp_path: Path) -> None:
    events = [*EVENTS, event(9, {"input_tokens": -1})]
    ran = backtested(tmp_path, "--format", "json", events=events)
    assert ran.code == 1
    (refused,) = ran.json["refused"]
    assert (refused["file"], refused["row"]) == ("usage.csv", 6)
    assert "usage.csv:6: row 6 input_tokens: " in ran.err


@pytest.mark.parametrize("period, before", [("2026-10", "14"), ("2026-11", "8")])
def test_a_period_leaves_the_rest_out(tmp_path: Path, period: str, before: str) -> None:
    ran = backtested(tmp_path, "--period", period, "--format", "json")
    assert ran.json["total"]["before"]["revenue"] == before


def test_a_series_of_books_may_be_compared_with(tmp_path: Path) -> None:
    # From 2026-11-01 on output costs 9 instead of 8: 22 + 1.
    later = book(
        card(rate_of("input_tokens", "2"), rate_of("output_tokens", "9")),
        number=2,
        effective_from="2026-11-01T00:00:00Z",
    )
    more = write_json(tmp_path / "later.json", later)
    ran = backtested(tmp_path, "--against", more, "--format", "json")
    assert ran.json["total"]["before"]["revenue"] == "23"


def test_a_mix_stands_for_its_events_where_rates_are_plain(tmp_path: Path) -> None:
    usage = write_events(tmp_path, EVENTS, form="csv")
    mixes: list[str | Path] = []
    for month in ("2026-10", "2026-11"):
        path = tmp_path / f"{month}.json"
        mixes += ["--mix", path]
        made = ("--period", month, "--out", path, "--format", "json")
        assert tokenworks("usage", "mix", "--usage", usage, *made).code == 0
    books = (
        *("--price-book", write_json(tmp_path / "new.json", NEW)),
        *("--against", write_json(tmp_path / "old.json", OLD)),
    )
    from_mixes = tokenworks("backtest", *books, *mixes, "--format", "json")
    from_events = tokenworks("backtest", *books, "--usage", usage, "--format", "json")
    assert from_mixes.code == from_events.code == 0
    for part in ("total", "accounts", "rate_cards", "distribution", "after", "before"):
        assert from_mixes.json[part] == from_events.json[part]
    assert [one["name"] for one in from_mixes.json["usage"]] == ["2026-10.json", "2026-11.json"]
    both = tokenworks("backtest", *books, *mixes, "--usage", usage)
    assert both.sentence == "--mix: stands alone: it is in place of --usage and its options"
    neither = tokenworks("backtest", *books)
    assert neither.sentence == "usage: there is none; give at least one file"


def test_a_real_trace_may_be_the_usage(tmp_path: Path, shared_data: Path) -> None:
    ran = tokenworks(
        *("backtest", "--price-book", write_json(tmp_path / "new.json", NEW)),
        *("--against", write_json(tmp_path / "old.json", OLD)),
        *("--usage", shared_data / "AzureLLMInferenceTrace_code_2023.csv", "--trace", "azure"),
        *("--starting-at", "2026-10-05T00:00:00Z", "--account", "a=2", "--account", "b=1"),
        *("--model", "m=1", "--service-tier", "standard=1", "--format", "json"),
    )
    # 18,059,974 in at 2 and 245,896 out at 8 per million; then at 1 and 12.
    assert ran.json["total"]["before"]["revenue"] == "38.087116"
    assert ran.json["total"]["after"]["revenue"] == "21.010726"


def test_the_demo_has_costs_margins_and_a_page(in_demo: Path) -> None:
    value = json.loads((in_demo / "demo-out" / "book-demo.json").read_bytes())
    for name in ("digest", "published_at"):
        value.pop(name, None)
    value["number"] = 2
    for one in value["rate_cards"]:
        for rate in one["rates"]:
            if "rate" in rate:
                rate["rate"] = "0.000001"
    ran = tokenworks(
        *("backtest", "--price-book", write_json(in_demo / "new.json", value)),
        *("--against", "demo-out/book-demo.json", "--usage", "demo-out/usage.parquet"),
        *("--fail-if", "floor-breaches=0", "--fail-if", "margin-under=0%"),
        *("--report", in_demo / "page.html", "--format", "json"),
    )
    assert ran.code == 1
    assert [gate["trips"] for gate in ran.json["gates"]] == [True, True]
    assert ran.json["before"]["floor_breaches"] == []
    # Every account breaches each card that it used: 4 accounts, 9 cards.
    cards = {
        (one["account"], one["model"], one["service_tier"])
        for one in ran.json["after"]["floor_breaches"]
    }
    assert len(cards) == len(ran.json["after"]["floor_breaches"]) == 36
    page = (in_demo / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 3
    assert ran.json["usage"][0]["sha256"] in page


def test_a_page_is_never_written_over_another_document(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert backtested(tmp_path, "--report", page).code == 0
    assert backtested(tmp_path, "--report", page).code == 0
    book = tmp_path / "new.json"
    before = book.read_bytes()
    ran = backtested(tmp_path, "--report", book)
    assert ran.sentence == f"{book}: holds another document; choose another name"
    assert book.read_bytes() == before


@pytest.mark.parametrize(
    "arguments, said",
    [
        (
            ["--fail-if", "revenue=2%"],
            "--fail-if: must be one of revenue-falls=2%, account-rises=25%",
        ),
        (["--fail-if", "margin-under=30%"], "no revenue under the new books has a measured cost"),
        (
            ["--period", "2030-01"],
            "usage.csv: holds no billable event in 2030-01-01T00:00:00Z/2030",
        ),
        (["--usage", "absent.csv"], "absent.csv: cannot be read (no such file)"),
        (["--against", "new.json"], "price books: number 2 stands twice"),
        (["--report", "/"], "/: is not a file; choose another name"),
    ],
)
def test_what_cannot_be_tested_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    old = {**OLD, "number": 2} if "--against" in arguments else OLD
    assert said in backtested(tmp_path, *arguments, old=old).sentence


def test_books_in_two_currencies_do_not_compare(tmp_path: Path) -> None:
    ran = backtested(tmp_path, old={**OLD, "currency": "JPY"})
    assert "one side is in USD, the other in JPY, and rating never converts" in ran.sentence


def test_usage_without_one_event_says_why(tmp_path: Path) -> None:
    ran = backtested(tmp_path, events=[event(1, {"input_tokens": 1}, time="never")])
    assert (
        "usage.csv: holds no usage event: all 1 rows are refused, the first (row 2" in ran.sentence
    )

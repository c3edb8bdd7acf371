"""Rating usage files by command: sums that can be done by hand, in three formats.

Invariant: the same events give the same bytes of JSON whatever the format of their file and the
order of its rows, and each amount here is computed in the comment above it.
"""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

from tests.journeys.made_files import (
    FORMATS,
    Json,
    amount_of,
    amounts,
    book,
    card,
    event,
    rate_of,
    rated,
    tokenworks,
    write_events,
    write_json,
)

MTOK = 1_000_000


PLAIN = book(card(rate_of("input_tokens", "2"), rate_of("output_tokens", "0.5")))


# The same events in three formats.


def _mixed_events() -> list[Json]:
    counts = {"input_tokens": 1200, "cache_read_tokens": 400, "output_tokens": 300}
    seconds = {"audio_seconds": 2, "input_tokens": 7}
    return [
        event(1, counts, region="eu", request_tokens=9000),
        event(2, counts, account="b", outcome="cancelled"),
        event(3, counts, outcome="failed"),
        event(4, {"output_tokens": 5}, dimensions={"gpu": "b200"}),
        event(5, seconds, model="k", service_tier="batch"),
        event(6, {"input_tokens": 1}, time="2026-09-30T23:59:59Z"),
        event(7, {"input_tokens": 3}, account="株式会社", time="2026-10-02T12:00:00.000001+00:00"),
        event(1, counts, region="eu", request_tokens=9000),
    ]


MIXED = book(
    card(
        rate_of("input_tokens", "2"),
        rate_of("input_tokens", "3", when={"request_tokens_over": 8192}),
        rate_of("cache_read_tokens", "0.3"),
        rate_of("output_tokens", "7"),
        rate_of("output_tokens", "9", when={"dimensions": {"gpu": "b200"}}),
    ),
    dimensions={"gpu": ["b200"]},
)


def test_jsonl_csv_and_parquet_give_the_same_bytes(tmp_path: Path) -> None:
    runs = {}
    for form in FORMATS:
        folder = tmp_path / form
        folder.mkdir()
        runs[form] = rated(folder, _mixed_events(), MIXED, form=form)
        assert (runs[form].code, runs[form].err) == (0, "")
    assert runs["jsonl"].out == runs["csv"].out == runs["parquet"].out
    rating = runs["csv"].json
    # 8 rows: e1 stands twice; e3 failed.
    assert rating["events"] == {
        "received": 8,
        "accepted": 7,
        "duplicate": 1,
        "conflict": 0,
        "rejected": 0,
        "outside_period": 0,
        "not_billable": 1,
    }
    # Per million: e1 (800 fresh at 3, since 9,000 > 8,192; 400 cached at 0.3; 300 out at 7), e2 the
    # same with fresh at 2, e4 5 out at 9 for its dimension, e7 3 fresh at 2.
    assert amounts(rating) == {
        ("a", "m", "standard", "input_tokens"): "0.0024",
        ("a", "m", "standard", "cache_read_tokens"): "0.00012",
        ("a", "m", "standard", "output_tokens"): "0.002145",  # 300 x 7 + 5 x 9 = 2,145
        ("b", "m", "standard", "input_tokens"): "0.0016",
        ("b", "m", "standard", "cache_read_tokens"): "0.00012",
        ("b", "m", "standard", "output_tokens"): "0.0021",
        ("株式会社", "m", "standard", "input_tokens"): "0.000006",
    }
    a = rating["accounts"][0]
    assert [(u["model"], u["unit"], u["quantity"], u["scale"]) for u in a["unpriced"]] == [
        ("k", "audio_seconds", 2000, 1000),
        ("k", "input_tokens", 7, 1),
        ("m", "input_tokens", 1, 1),
    ]
    assert [u["reason"].partition(" from ")[0] for u in a["unpriced"]] == [
        "book 1 has no rate card of k in batch",
        "book 1 has no rate card of k in batch",
        "no price book is in force",
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_the_order_of_rows_changes_nothing(tmp_path: Path, form: str) -> None:
    events = _mixed_events()
    first = rated(tmp_path, events, MIXED, form=form)
    random.Random(7).shuffle(events)
    assert rated(tmp_path, events, MIXED, form=form).out == first.out


def test_a_csv_with_crlf_or_without_a_last_line_end_is_the_same_file(tmp_path: Path) -> None:
    expected = rated(tmp_path, _mixed_events(), MIXED, form="csv").out
    data = (tmp_path / "usage.csv").read_bytes()
    assert data.count(b"\r\n") == 9
    for written in (data.replace(b"\r\n", b"\n"), data.removesuffix(b"\r\n")):
        (tmp_path / "usage.csv").write_bytes(written)
        ran = tokenworks(
            *("rate", "--price-book", tmp_path / "book-0.json"),
            *("--usage", tmp_path / "usage.csv", "--format", "json"),
        )
        assert ran.out == expected


# Sums.


def test_a_single_request_costs_its_counts_times_its_rates(tmp_path: Path) -> None:
    # 1,200 in at 2 and 300 out at 0.5 per million: 0.0024 + 0.00015 = 0.00255 USD, owed 0 cents.
    ran = rated(tmp_path, [event(1, {"input_tokens": 1200, "output_tokens": 300})], PLAIN)
    assert amount_of(ran) == "0.0024"
    assert amount_of(ran, "output_tokens") == "0.00015"
    assert (ran.json["total_exact"], ran.json["total_minor"]) == ("0.00255", 0)


@pytest.mark.parametrize("tokens, minor", [(2499, 0), (2500, 1), (7500, 2), (7499, 1)])
def test_owed_is_rounded_once_half_away_from_zero(tmp_path: Path, tokens: int, minor: int) -> None:
    # 2 USD per million is 0.0002 cents a token: 2,500 tokens are half a cent, 7,500 are 1.5 cents.
    ran = rated(tmp_path, [event(1, {"input_tokens": tokens})], PLAIN)
    assert ran.json["accounts"][0]["total_minor"] == minor


def test_a_thousand_requests_below_a_cent_lose_nothing(tmp_path: Path) -> None:
    # 1,000 x 10 tokens x 2 / 1,000,000 = 0.02 USD = 2 cents, where each alone would round to 0.
    events = [event(i, {"input_tokens": 10}) for i in range(1000)]
    ran = rated(tmp_path, events, PLAIN, form="csv")
    assert (amount_of(ran), ran.json["total_minor"]) == ("0.02", 2)


def test_an_amount_keeps_every_digit(tmp_path: Path) -> None:
    # 10^12 tokens at 123456789012345.000000000000000000000001 per million: 10^6 times the rate.
    rate = "123456789012345.000000000000000000000001"
    events = [event(1, {"input_tokens": 10**12})]
    ran = rated(tmp_path, events, book(card(rate_of("input_tokens", rate))))
    assert amount_of(ran) == "123456789012345000000.000000000000000001"


def test_a_token_of_a_fraction_of_a_cent_is_exact(tmp_path: Path) -> None:
    # 0.075 per million: one token is 0.000000075 USD, and 10^6 of them are 0.075, owed as 8 cents.
    value = book(card(rate_of("input_tokens", "0.075")))
    assert amount_of(rated(tmp_path, [event(1, {"input_tokens": 1})], value)) == "0.000000075"
    ran = rated(tmp_path, [event(1, {"input_tokens": 10**6})], value)
    assert (amount_of(ran), ran.json["total_minor"]) == ("0.075", 8)


def test_an_amount_that_never_ends_is_a_ratio(tmp_path: Path) -> None:
    # 1 token at 1 per 3 is a third.
    ran = rated(
        tmp_path, [event(1, {"input_tokens": 1})], book(card(rate_of("input_tokens", "1", per=3)))
    )
    assert amount_of(ran) == "1/3"


@pytest.mark.parametrize(
    "currency, digits, minor", [("JPY", 0, 2), ("USD", 2, 150), ("KWD", 3, 1500), ("CLF", 4, 15000)]
)
def test_minor_units_are_those_of_the_currency(
    tmp_path: Path, currency: str, digits: int, minor: int
) -> None:
    # 750,000 tokens at 2 per million are 1.5; 1.5 JPY is 2 yen.
    ran = rated(tmp_path, [event(1, {"input_tokens": 750_000})], {**PLAIN, "currency": currency})
    assert (ran.json["minor_digits"], ran.json["total_minor"]) == (digits, minor)


def test_each_account_is_rounded_alone(tmp_path: Path) -> None:
    # 0.6 cents each: 1 + 1 = 2 cents owed, while the exact sum is 1.2 cents.
    events = [event(i, {"input_tokens": 3000}, account=f"a{i}") for i in range(2)]
    ran = rated(tmp_path, events, PLAIN)
    assert (ran.json["total_exact"], ran.json["total_minor"]) == ("0.012", 2)


# Conditions.


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "condition, size, rate",
    [
        *[("request_tokens_over", size, rate) for size, rate in [(99, 2), (100, 2), (101, 3)]],
        *[("request_tokens_at_least", size, rate) for size, rate in [(99, 2), (100, 3), (101, 3)]],
    ],
)
def test_a_context_step_at_its_threshold(
    tmp_path: Path, form: str, condition: str, size: int, rate: int
) -> None:
    rates = (rate_of("input_tokens", "2"), rate_of("input_tokens", "3", when={condition: 100}))
    # The size is the input tokens, and the whole request takes the step's rate.
    ran = rated(tmp_path, [event(1, {"input_tokens": size})], book(card(*rates)), form=form)
    assert amount_of(ran) == f"0.{size * rate:06d}".rstrip("0")


def test_regions_and_dimensions_choose_the_most_specificrated(tmp_path: Path) -> None:
    rates = [
        rate_of("input_tokens", rate, per=1, when=when)
        for rate, when in [
            ("1", {}),
            ("20", {"region": "eu"}),
            ("300", {"dimensions": {"gpu": "x"}}),
            ("4000", {"region": "eu", "dimensions": {"gpu": "x"}}),
        ]
    ]
    value = book(card(*rates), dimensions={"gpu": ["x", "y"]})
    # One token each: nothing named, the region, the dimension, both, and a value without a rate.
    events = [
        event(1, {"input_tokens": 1}),
        event(2, {"input_tokens": 1}, region="eu"),
        event(3, {"input_tokens": 1}, dimensions={"gpu": "x"}),
        event(4, {"input_tokens": 1}, region="eu", dimensions={"gpu": "x"}),
        event(5, {"input_tokens": 1}, region="us", dimensions={"gpu": "y", "other": "z"}),
    ]
    # 1 + 20 + 300 + 4,000 + 1 = 4,322
    for form in FORMATS:
        assert amount_of(rated(tmp_path, events, value, form=form)) == "4322"


def test_cached_tokens_take_their_own_rate_or_that_of_the_input(tmp_path: Path) -> None:
    units = {"input_tokens": 10, "cache_read_tokens": 4}
    own = book(card(rate_of("input_tokens", "2", per=1), rate_of("cache_read_tokens", "1", per=1)))
    # 6 fresh at 2 and 4 cached at 1; without their own rate 10 at 2.
    ran = rated(tmp_path, [event(1, units)], own)
    assert (amount_of(ran), amount_of(ran, "cache_read_tokens")) == ("12", "4")
    only = book(card(rate_of("input_tokens", "2", per=1)))
    assert amount_of(rated(tmp_path, [event(1, units)], only)) == "20"


def test_what_is_free_is_charged_zero_and_what_has_no_rate_is_unpriced(tmp_path: Path) -> None:
    value = book(card(rate_of("input_tokens", "0")))
    ran = rated(tmp_path, [event(1, {"input_tokens": 5, "output_tokens": 6})], value)
    assert amount_of(ran) == "0"
    (left,) = ran.json["accounts"][0]["unpriced"]
    assert (left["unit"], left["quantity"], left["events"]) == ("output_tokens", 6, 1)
    assert left["reason"] == "book 1 has no rate for output_tokens under these conditions"


def test_a_homoglyph_of_a_model_is_another_model_and_unpriced(tmp_path: Path) -> None:
    # U+043C looks like m; it is not charged as m, and not as zero.
    ran = rated(tmp_path, [event(1, {"input_tokens": 5}, model="\u043c")], PLAIN)
    (left,) = ran.json["accounts"][0]["unpriced"]
    assert left["reason"] == "book 1 has no rate card of \u043c in standard"


# The period.


@pytest.mark.parametrize("form", FORMATS)
def test_a_period_holds_its_start_and_not_its_end(tmp_path: Path, form: str) -> None:
    times = ["09:59:59.999999", "10:00:00", "10:59:59.999999", "11:00:00"]
    events = [
        event(i, {"input_tokens": 10**i}, time=f"2026-10-02T{time}+00:00")
        for i, time in enumerate(times)
    ]
    write_json(tmp_path / "book.json", PLAIN)
    usage = write_events(tmp_path, events, form=form)
    ran = tokenworks(
        *("rate", "--price-book", tmp_path / "book.json", "--usage", usage, "--format", "json"),
        *("--period", "2026-10-02T10:00:00Z/2026-10-02T13:00:00+02:00"),
    )
    # e1 and e2 are inside: 10 + 100 tokens.
    assert ran.json["accounts"][0]["charges"][0]["quantity"] == 110
    assert ran.json["events"]["outside_period"] == 2
    assert ran.json["period"] == "2026-10-02T10:00:00Z/2026-10-02T11:00:00Z"


@pytest.mark.parametrize(
    "period, said",
    [
        ("", "period: must be START/END such as 2026-10-01/2026-11-01"),
        ("2026-10-01", "period: must be START/END"),
        ("2026-11-01/2026-10-01", "period: a period must end after it starts"),
        ("2026-10-01/2026-10-01", "period: a period must end after it starts"),
        ("2026-02-29/2026-03-01", 'period: is not a date that exists: "2026-02-29"'),
        ("2026-10-01T00:00:00/2026-11-01", "(the offset is missing)"),
        ("1969-12-31/2026-11-01", "must lie between 1970 and 2199"),
        ("10000-01-01/10001-01-01", "period: must be a moment"),
    ],
)
def test_a_period_that_is_none_is_refused(tmp_path: Path, period: str, said: str) -> None:
    write_json(tmp_path / "book.json", PLAIN)
    usage = write_events(tmp_path, [event(1, {"input_tokens": 1})], form="csv")
    flags = ("--price-book", tmp_path / "book.json", "--usage", usage, "--period", period)
    assert said in tokenworks("rate", *flags).sentence


# What is printed.


def test_table_and_csv_show_the_charges_and_neutralise_formulas(tmp_path: Path) -> None:
    names = ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "plain"]
    events = [event(i, {"input_tokens": 1}, account=name) for i, name in enumerate(names)]
    rated(tmp_path, events, PLAIN)
    flags = ("rate", "--price-book", tmp_path / "book-0.json", "--usage", tmp_path / "usage.jsonl")
    rows = list(csv.DictReader(io.StringIO(tokenworks(*flags, "--format", "csv").text)))
    assert [row["account"] for row in rows] == ["'+1+1", "'-1+1", "'=1+1", "'@SUM(A1)", "plain"]
    assert {row["amount"] for row in rows} == {"0.000002"}
    ran = tokenworks(*flags)
    assert all(name in ran.text for name in names)
    assert "plain: 0.000002 USD, 0 minor units" in ran.err
    assert "5 rows: 5 accepted, 0 duplicate, 0 conflict, 0 rejected" in ran.err


def test_csv_says_beside_the_charges_what_has_no_rate(tmp_path: Path) -> None:
    rated(tmp_path, [event(1, {"input_tokens": 4}, model="unknown")], PLAIN)
    flags = ("rate", "--price-book", tmp_path / "book-0.json", "--usage", tmp_path / "usage.jsonl")
    said = "a: unpriced 4 input_tokens of unknown in standard: "
    assert said in tokenworks(*flags, "--format", "csv").err
    assert said in tokenworks(*flags).err
    assert said not in tokenworks(*flags, "--format", "json").err

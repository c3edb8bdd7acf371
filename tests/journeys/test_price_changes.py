"""Two books and one usage file: which rate an event meets, and where a ladder stands.

Invariant: the book in force at an event's time prices it, and the switch belongs to the new book.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.journeys.made_files import (
    FORMATS,
    Json,
    amount_of,
    book,
    card,
    event,
    rate_of,
    rated,
)

MTOK = 1_000_000

PLAIN = book(card(rate_of("input_tokens", "2"), rate_of("output_tokens", "0.5")))


def _second(**fields: Json) -> Json:
    """Number 2, at twice the rate, in force from noon of 2026-10-02."""
    given = {"number": 2, "effective_from": "2026-10-02T12:00:00Z", **fields}
    return book(card(rate_of("input_tokens", "4")), **given)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "time, amount",
    [
        ("2026-10-02T11:59:59.999999+00:00", "0.000002"),
        ("2026-10-02T12:00:00+00:00", "0.000004"),
        ("2026-10-02T14:00:00+02:00", "0.000004"),
        ("2026-10-02T12:00:00.000001+00:00", "0.000004"),
    ],
)
def test_the_switch_itself_belongs_to_the_new_book(
    tmp_path: Path, form: str, time: str, amount: str
) -> None:
    events = [event(1, {"input_tokens": 1}, time=time)]
    assert amount_of(rated(tmp_path, events, _second(), PLAIN, form=form)) == amount


def test_a_price_change_inside_the_period_shows_as_two_bands(tmp_path: Path) -> None:
    # 10 tokens before at 2, 5 after at 4 per million: 20 + 20 = 40 millionths.
    events = [
        event(1, {"input_tokens": 10}, time="2026-10-02T00:00:00Z"),
        event(2, {"input_tokens": 5}, time="2026-10-03T00:00:00Z"),
    ]
    ran = rated(tmp_path, events, PLAIN, _second())
    assert amount_of(ran) == "0.00004"
    bands = ran.json["accounts"][0]["charges"][0]["bands"]
    assert [(b["book_number"], b["quantity"], b["rate"]) for b in bands] == [
        (1, 10, "2"),
        (2, 5, "4"),
    ]


@pytest.mark.parametrize(
    "second, said",
    [
        (_second(series="t"), "s in USD and t in USD do not mix; give the books of one series"),
        (_second(currency="EUR"), "s in USD and s in EUR do not mix"),
        (_second(number=1), "number 1 stands twice; keep one"),
        (
            _second(effective_from="2026-10-01T00:00:00Z"),
            "number 1 and number 2 have one effective_from, and neither supersedes the other",
        ),
    ],
)
def test_books_that_no_moment_can_choose_between_are_refused(
    tmp_path: Path, second: Json, said: str
) -> None:
    ran = rated(tmp_path, [event(1, {"input_tokens": 1})], PLAIN, second)
    assert said in ran.sentence


def test_a_book_that_supersedes_another_is_in_force_from_their_one_moment(tmp_path: Path) -> None:
    supersedes = {"number": 1, "reason": "a typing error"}
    second = _second(effective_from="2026-10-01T00:00:00Z", supersedes=supersedes)
    assert amount_of(rated(tmp_path, [event(1, {"input_tokens": 1})], PLAIN, second)) == "0.000004"


def _laddered(number: int, first: str, above: str, effective_from: str) -> Json:
    bands = [{"up_to": str(10 * MTOK), "rate": first}, {"rate": above}]
    ladder = {"id": "volume", "kind": "graduated", "bands": bands}
    rates = rate_of("input_tokens", ladder=ladder)
    return book(card(rates), number=number, effective_from=effective_from)


def test_a_graduated_ladder_keeps_its_position_across_a_price_change(tmp_path: Path) -> None:
    books = (
        _laddered(1, "2", "1", "2026-10-01T00:00:00Z"),
        _laddered(2, "1.80", "0.90", "2026-10-15T00:00:00Z"),
    )
    before = event(1, {"input_tokens": 8 * MTOK}, time="2026-10-05T00:00:00Z")
    after = event(2, {"input_tokens": 5 * MTOK}, time="2026-10-20T00:00:00Z")
    # 8 at 2; then 2 up to the bound at 10 at 1.80 and 3 at 0.90: 16 + 3.60 + 2.70 = 22.30
    assert amount_of(rated(tmp_path, [before, after], *books)) == "22.3"
    # 3M more before the change: 10 at 2 and 1 at 1, then 5 at 0.90: 20 + 1 + 4.50 = 25.50
    late = event(3, {"input_tokens": 3 * MTOK}, time="2026-10-06T00:00:00Z")
    ran = rated(tmp_path, [after, late, before], *books)
    assert (amount_of(ran), ran.json["total_minor"]) == ("25.5", 2550)


def test_a_ladder_counts_each_account_alone(tmp_path: Path) -> None:
    # 8M each at 2: 16 for each, although both together are past the bound.
    events = [event(i, {"input_tokens": 8 * MTOK}, account=f"a{i}") for i in range(2)]
    ran = rated(tmp_path, events, _laddered(1, "2", "1", "2026-10-01T00:00:00Z"))
    assert [one["total_exact"] for one in ran.json["accounts"]] == ["16", "16"]


def test_what_lies_past_the_last_band_is_unpriced(tmp_path: Path) -> None:
    # The bands end at 10: 10 at 1 per unit are charged, 2 have no rate.
    ladder = {"id": "l", "kind": "graduated", "bands": [{"up_to": "10", "rate": "1"}]}
    value = book(card(rate_of("input_tokens", ladder=ladder, per=1)))
    ran = rated(tmp_path, [event(1, {"input_tokens": 12})], value)
    assert amount_of(ran) == "10"
    (left,) = ran.json["accounts"][0]["unpriced"]
    assert (left["quantity"], left["reason"]) == (
        2,
        "book 1: past the last band of the ladder l, which ends at 10",
    )

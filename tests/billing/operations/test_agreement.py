"""Accepting agreements and storing books: two gates, and what each lets through once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from billing.operations.agreement import versions_known
from billing.operations.epoch import seal_epoch
from billing.operations.floor_override import FloorOverride
from billing.operations.stored_book import store_book
from billing.store.audit import read_audit
from billing.store.grid import current_grid, stale_accounts
from billing.store.store import Store
from pricing_rules.document import DocumentError
from pricing_rules.period import parse_moment
from pricing_rules.prices.price_book import load_price_book
from tests.billing.operations.made_store import (
    IN_NOVEMBER_AT,
    PLAIN,
    START_AT,
    accept,
    closed,
    deliver,
    publish,
    row_counts,
)
from tests.journeys.made_files import Json, book, card, event, rate_of

FLOORED: Json = {
    **card(rate_of("output_tokens", "4"), rate_of("input_tokens", "1")),
    "cost": {
        "pool": "main",
        "promise": "no promise",
        "reference_input_tokens": 1000,
        "reference_output_tokens": 1000,
        "hardware": [],
        "floors": [
            {
                "unit": "output_tokens",
                "kind": "full",
                "unit_cost_per_mtok": "1",
                "utilization": "0.5",
                "variable_per_mtok": "0",
                "minimum_margin": "0.2",
                "revenue_share": "0",
                "floor": "3",
            }
        ],
    },
}
"""Output at 4 over a floor of 3: a discount of 25 % reaches the floor. Input has none."""

OVERRIDE = FloorOverride(by="dana", reason="a pilot", ends_at=parse_moment("2027-01-01T00:00:00Z"))


def _discount(percent: str, *, unit: str = "output_tokens") -> Json:
    discount = {"id": "d", "description": "Discount", "percent": percent, "units": [unit]}
    return {"discounts": [discount]}


def test_an_accepted_version_is_kept_once(store: Store, tmp_path: Path) -> None:
    publish(store, PLAIN)
    assert accept(store, tmp_path).new
    before = row_counts(store)
    assert not accept(store, tmp_path, now_at=START_AT + 1).new
    assert row_counts(store) == before
    with store.read() as connection:
        (kept,) = versions_known(connection, account="a")
        assert versions_known(connection, account="a", as_of=START_AT - 1) == ()
    assert (kept.account, kept.version) == ("a", 1)


@pytest.mark.parametrize(
    "fields, sentence",
    [
        ({"version": 2}, "was accepted with another content; give it a higher version"),
        ({"version": 1}, "version 1 does not follow 2; give a higher one"),
        (
            {"version": 3, "effective_from": "2026-09-01T00:00:00Z"},
            "version 3 must be in effect from after 2026-09-01T00:00:00Z, when version 2 is",
        ),
        (
            {"version": 3, "effective_from": "2026-10-02T00:00:00Z"},
            "let it be in effect from 2026-10-01T00:00:00Z or 2026-11-01T00:00:00Z",
        ),
        ({"version": 3, "currency": "EUR"}, "is in USD, and an account keeps its currency"),
    ],
)
def test_a_version_must_follow_the_one_before(
    store: Store, tmp_path: Path, fields: Json, sentence: str
) -> None:
    publish(store, PLAIN)
    accept(store, tmp_path, fields={"version": 2})
    with pytest.raises(DocumentError, match=sentence):
        accept(
            store,
            tmp_path,
            fields={"payment_terms_days": 60, "effective_from": "2026-10-01T00:00:00Z", **fields},
        )


def test_a_later_version_bills_from_its_period_on(store: Store, tmp_path: Path) -> None:
    publish(store, {**PLAIN, "effective_from": "2026-09-01T00:00:00Z"})
    accept(store, tmp_path)
    half = {**_discount("50", unit="input_tokens"), "version": 2}
    accept(store, tmp_path, fields={**half, "effective_from": "2026-10-01T00:00:00Z"})
    deliver(
        store,
        tmp_path,
        [
            event(1, {"input_tokens": 10**6}, time="2026-09-30T23:59:59.999999Z"),
            event(2, {"input_tokens": 10**6}, time="2026-10-01T00:00:00Z"),
        ],
    )
    (september,) = closed(store, "2026-09").periods
    (october,) = closed(store, "2026-10").periods
    assert (september.total_minor, october.total_minor) == (200, 100)


def test_no_version_reaches_back_into_an_invoiced_period(store: Store, tmp_path: Path) -> None:
    publish(store, PLAIN)
    accept(store, tmp_path)
    deliver(store, tmp_path, [event(1, {"input_tokens": 10**6})])
    closed(store)
    late = IN_NOVEMBER_AT + 1
    fields = {"version": 2, "effective_from": "2026-10-01T00:00:00Z"}
    with pytest.raises(DocumentError, match="a was invoiced up to 2026-11-01T00:00:00Z"):
        accept(store, tmp_path, now_at=late, fields=fields)
    fields["effective_from"] = "2026-11-01T00:00:00Z"
    assert accept(store, tmp_path, now_at=late, fields=fields).new
    with store.read() as connection:
        assert stale_accounts(connection) == ("a",)


def test_an_agreement_needs_a_book_of_its_series_in_its_currency(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(DocumentError, match="follows the series s, of which the store has no"):
        accept(store, tmp_path)
    publish(store, {**PLAIN, "currency": "EUR"})
    with pytest.raises(DocumentError, match="is in USD, but the books of s are in EUR"):
        accept(store, tmp_path)


@pytest.mark.parametrize("after", [0, -1])
def test_nothing_is_accepted_or_stored_before_the_last_seal(
    store: Store, tmp_path: Path, after: int
) -> None:
    # What an epoch was billed under is what was known when it was sealed: nothing comes in later.
    publish(store, PLAIN)
    seal_epoch(store, by="dana", now_at=IN_NOVEMBER_AT)
    with pytest.raises(DocumentError, match="usage was sealed at 2026-11-02T00:00:00Z; accept"):
        accept(store, tmp_path, now_at=IN_NOVEMBER_AT + after)
    second = {**PLAIN, "number": 2, "effective_from": "2026-12-01T00:00:00Z"}
    with pytest.raises(DocumentError, match="but usage was sealed at 2026-11-02T00:00:00Z without"):
        publish(store, second, published_at=IN_NOVEMBER_AT + after)
    assert accept(store, tmp_path, now_at=IN_NOVEMBER_AT + 1).new
    assert publish(store, second, published_at=IN_NOVEMBER_AT + 1).new


@pytest.mark.parametrize(
    "percent, found", [("24.99", 0), ("25", 0), ("25.01", 1)], ids=["over", "at", "under"]
)
def test_discounts_press_no_rate_under_its_floor_unawares(
    store: Store, tmp_path: Path, percent: str, found: int
) -> None:
    # 4 less 25 % is the floor of 3; 4 * (1 - .2501) = 2.9996.
    publish(store, book(FLOORED))
    if not found:
        assert accept(store, tmp_path, fields=_discount(percent)).under_floor == ()
        return
    with pytest.raises(DocumentError, match=r"output_tokens at 2\.9996 per million after discount"):
        accept(store, tmp_path, fields=_discount(percent))
    accepted = accept(store, tmp_path, fields=_discount(percent), override=OVERRIDE)
    assert [under.unit for under in accepted.under_floor] == ["output_tokens"]
    with store.read() as connection:
        last = read_audit(connection, limit=10)[-1]
    assert '"override":{"by":"dana","ends_at":"2027-01-01T00:00:00Z"' in last.detail


def test_what_is_sold_under_its_floor_is_a_finding_and_the_bill_stays(
    store: Store, tmp_path: Path
) -> None:
    publish(store, book(FLOORED))
    accept(store, tmp_path, fields=_discount("50"), override=OVERRIDE)
    deliver(store, tmp_path, [event(1, {"output_tokens": 10**6})])
    (one,) = closed(store).periods
    assert one.total_minor == 200  # 4 less 50 %
    assert one.findings == (
        "m in standard: output_tokens at 2 per million after discounts is under its floor of 3 "
        "(book 1)",
    )


def test_an_override_outlasts_the_start_of_the_agreement(store: Store, tmp_path: Path) -> None:
    publish(store, book(FLOORED))
    ended = FloorOverride(by="dana", reason="a pilot", ends_at=START_AT)
    with pytest.raises(DocumentError, match="the override ends before it is needed"):
        accept(store, tmp_path, fields=_discount("50"), override=ended)


def test_a_discount_of_a_unit_without_a_floor_needs_no_override(
    store: Store, tmp_path: Path
) -> None:
    publish(store, book(FLOORED))
    assert accept(store, tmp_path, fields=_discount("100", unit="input_tokens")).new


def test_a_new_book_is_held_to_the_discounts_that_were_agreed(store: Store, tmp_path: Path) -> None:
    publish(store, book(FLOORED))
    accept(store, tmp_path, fields=_discount("20"))  # 3.20: over the floor of 3
    accept(store, tmp_path, account="b")
    lower = {**FLOORED, "rates": [rate_of("output_tokens", "3.5")]}  # 2.80 after 20 %
    second = book(lower, number=2, effective_from="2026-12-01T00:00:00Z")
    with pytest.raises(DocumentError, match=r"a: m in standard: output_tokens at 2\.8 per million"):
        publish(store, second, published_at=START_AT + 1)
    stored = publish(store, second, published_at=START_AT + 1, override=OVERRIDE)
    assert [one.account for one in stored.under_floor] == ["a"]


def test_books_are_stored_in_order_and_once(store: Store) -> None:
    assert publish(store, {**PLAIN, "number": 2}).new
    before = row_counts(store)
    assert not publish(store, {**PLAIN, "number": 2}).new
    assert row_counts(store) == before
    for fields, sentence in (
        ({"number": 2, "currency": "EUR"}, "is in the store with another content"),
        ({"number": 1}, "1 does not follow 2; give a higher one"),
        ({"number": 3}, "name in supersedes which book this one replaces"),
        ({"number": 3, "currency": "EUR"}, "does not follow s in USD"),
    ):
        with pytest.raises(DocumentError, match=sentence):
            publish(store, {**PLAIN, **fields}, published_at=START_AT)


def test_the_cuts_of_a_book_are_registered_with_it(store: Store) -> None:
    over = rate_of("input_tokens", "3", when={"request_tokens_over": 100})
    publish(store, book(card(rate_of("input_tokens", "1"), over)))
    with store.read() as connection:
        grid = current_grid(connection).grid
    assert grid.thresholds_tokens == (101,)
    assert grid.instants_at == (parse_moment("2026-10-01T00:00:00Z"),)


def test_a_book_is_published_before_it_is_stored(store: Store) -> None:
    candidate = load_price_book(json.dumps(PLAIN).encode(), name="book.json")
    with pytest.raises(DocumentError, match="is a candidate; publish it first"):
        store_book(candidate, store=store, by="dana", now_at=START_AT)
    future = candidate.model_copy(update={"published_at": START_AT + 1})
    with pytest.raises(DocumentError, match="which is to come"):
        store_book(future, store=store, by="dana", now_at=START_AT)

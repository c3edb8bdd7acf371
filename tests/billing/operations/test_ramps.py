"""Ramps in a store: each month is billed, corrected and gated at its own percentage."""

from __future__ import annotations

from pathlib import Path

import pytest

from billing.operations.floor_override import FloorOverride
from billing.store.audit import read_audit
from billing.store.store import Store
from pricing_rules.document import DocumentError
from pricing_rules.period import parse_moment
from tests.billing.operations.made_store import (
    IN_DECEMBER_AT,
    IN_NOVEMBER_AT,
    PLAIN,
    START_AT,
    accept,
    closed,
    deliver,
    invoices,
    publish,
)
from tests.billing.operations.test_agreement import FLOORED
from tests.journeys.made_files import Json, book, card, event, rate_of


def _ramped(percent: str, *steps: tuple[int, str]) -> Json:
    ramp = [{"from_month": month, "percent": later} for month, later in steps]
    discount = {"id": "pilot", "description": "Pilot", "percent": percent, "ramp": ramp}
    return {"discounts": [{**discount, "units": ["output_tokens"]}]}


OCTOBER = {"effective_from": "2026-10-01T00:00:00Z"}


def _override(ends_at: str) -> FloorOverride:
    return FloorOverride(by="dana", reason="a pilot", ends_at=parse_moment(ends_at))


def test_each_month_is_billed_at_its_percentage_and_corrected_at_it(
    store: Store, tmp_path: Path
) -> None:
    publish(store, PLAIN)
    accept(store, tmp_path, fields={**_ramped("25", (2, "10"), (3, "0")), **OCTOBER})
    million = {"output_tokens": 10**6}
    deliver(
        store,
        tmp_path,
        [
            event(1, million, time="2026-10-31T23:59:59.999999Z"),
            event(2, million, time="2026-11-01T00:00:00Z"),
        ],
    )
    (october,) = closed(store).periods
    assert october.total_minor == 600  # 8 less 25 %
    # A late million of October comes with the invoice of November: 8 less 25 %, and 8 less 10 %.
    deliver(
        store,
        tmp_path,
        [event(4, million, time="2026-10-20T00:00:00Z")],
        now_at=IN_NOVEMBER_AT + 86_400_000_000,
    )
    (november,) = closed(store, "2026-11", now_at=IN_DECEMBER_AT).periods
    assert november.total_minor == 720 + 600
    third = event(3, million, time="2026-12-01T00:00:00Z")
    deliver(store, tmp_path, [third], now_at=IN_DECEMBER_AT + 1)
    (december,) = closed(store, "2026-12", now_at=parse_moment("2027-01-02T00:00:00Z")).periods
    assert december.total_minor == 800
    lines = [[line.description for line in one.lines] for one in invoices(store)]
    assert lines[0][-1] == "Pilot (25 %)"
    assert lines[1][1] == "Pilot (10 %)"
    assert lines[1][-1].endswith("Pilot (25 %)")
    assert len(lines[2]) == 1  # a discount of 0 has no line


@pytest.mark.parametrize(
    "percent, found", [("24.99", 0), ("25", 0), ("25.01", 1)], ids=["over", "at", "under"]
)
def test_a_ramp_presses_no_rate_under_its_floor_in_any_month_unawares(
    store: Store, tmp_path: Path, percent: str, found: int
) -> None:
    # 4 less 25 % is the floor of 3; it comes in month 3.
    publish(store, book(FLOORED))
    fields = {**_ramped("10", (3, percent)), **OCTOBER}
    if not found:
        assert accept(store, tmp_path, fields=fields).under_floor == ()
        return
    with pytest.raises(DocumentError, match=r"2\.9996 .* from 2026-12-01T00:00:00Z on \(month 3\)"):
        accept(store, tmp_path, fields=fields)


def test_an_override_outlasts_the_start_of_each_stretch_under_the_floor(
    store: Store, tmp_path: Path
) -> None:
    # 50 % in months 1 and 2, 10 % in month 3, 40 % from month 4 on, which begins on 2027-01-01.
    publish(store, book(FLOORED))
    fields = {**_ramped("50", (3, "10"), (4, "40")), **OCTOBER}
    sentence = "needed; give an end after 2027-01-01T00:00:00Z: m in standard: output_tokens at 2.4"
    with pytest.raises(DocumentError, match=sentence):
        accept(store, tmp_path, fields=fields, override=_override("2027-01-01T00:00:00Z"))
    late = _override("2027-01-01T00:00:00.000001Z")
    accepted = accept(store, tmp_path, fields=fields, override=late)
    assert [one.month for one in accepted.under_floor] == [1, 4]
    with store.read() as connection:
        last = read_audit(connection, limit=10)[-1]
    assert (last.by, last.subject) == ("dana", "a")
    assert '"override":{"by":"dana","ends_at":"2027-01-01T00:00:00.000001Z"' in last.detail
    assert '"reason":"a pilot"' in last.detail


@pytest.mark.parametrize(
    "ends_at, accepted",
    [
        ("2026-11-30T23:59:59.999999Z", False),
        ("2026-12-01T00:00:00Z", True),
        ("2026-12-01T00:00:00.000001Z", True),
    ],
    ids=["before", "at", "after"],
)
def test_an_override_lasts_until_the_ramp_is_over_its_floor(
    store: Store, tmp_path: Path, ends_at: str, accepted: bool
) -> None:
    # 4 less 50 % is under 3 in October and November, less 10 % from December on it is over it.
    publish(store, book(FLOORED))
    fields = {**_ramped("50", (3, "10")), **OCTOBER}
    if accepted:
        assert accept(store, tmp_path, fields=fields, override=_override(ends_at)).new
        return
    with pytest.raises(DocumentError, match="too early; let it last until 2026-12-01T00:00:00Z: m"):
        accept(store, tmp_path, fields=fields, override=_override(ends_at))


def test_a_pilot_that_ends_is_over_its_floor_in_a_book_of_after_it(
    store: Store, tmp_path: Path
) -> None:
    publish(store, book(FLOORED))
    fields = {**_ramped("25", (3, "10")), **OCTOBER}
    accept(store, tmp_path, fields=fields)
    # 3.50 less 25 % is under 3, less 10 % it is 3.15: from December on it is only the latter.
    lower = {**FLOORED, "rates": [rate_of("output_tokens", "3.5")]}
    november = book(lower, number=2, effective_from="2026-11-30T23:59:59Z")
    with pytest.raises(DocumentError, match=r"a: m in standard: output_tokens at 2\.625 per"):
        publish(store, november, published_at=START_AT + 1)
    december = {**november, "effective_from": "2026-12-01T00:00:00Z"}
    assert publish(store, december, published_at=START_AT + 1).new


def test_a_discount_is_gated_under_each_book_while_that_is_in_force(
    store: Store, tmp_path: Path
) -> None:
    # The first book (4) is in force through October, the second (5) from November on.
    publish(store, book(FLOORED))
    dearer = {**FLOORED, "rates": [rate_of("output_tokens", "5")]}
    publish(store, book(dearer, number=2, effective_from="2026-11-01T00:00:00Z"))
    # 40 % off 5 is the floor; off 4 it would be 2.40, but that is over by then.
    assert accept(store, tmp_path, fields={**_ramped("25", (2, "40")), **OCTOBER}).new


def test_a_book_is_held_to_the_version_in_effect_until_the_newest_is(
    store: Store, tmp_path: Path
) -> None:
    publish(store, book(FLOORED))
    discount = {"id": "d", "description": "Discount", "percent": "20"}
    accept(store, tmp_path, fields={**OCTOBER, "discounts": [discount]})
    second = {"version": 2, "effective_from": "2027-01-01T00:00:00Z", "discounts": []}
    accept(store, tmp_path, fields=second, now_at=START_AT + 1)
    # 3.50 less 20 % is 2.80: in December the first version is still in effect.
    lower = {**FLOORED, "rates": [rate_of("output_tokens", "3.5")]}
    december = book(lower, number=2, effective_from="2026-12-01T00:00:00Z")
    with pytest.raises(DocumentError, match=r"a: m in standard: output_tokens at 2\.8 per"):
        publish(store, december, published_at=START_AT + 2)
    january = {**december, "effective_from": "2027-01-01T00:00:00Z"}
    assert publish(store, january, published_at=START_AT + 2).new


def test_usage_from_elsewhere_is_billed_and_found_and_in_corrections_too(
    store: Store, tmp_path: Path
) -> None:
    publish(store, book(card(rate_of("input_tokens", "2"))))
    accept(store, tmp_path, fields={"served_in": {"regions": ["eu"]}})
    deliver(
        store,
        tmp_path,
        [
            event(1, {"input_tokens": 10**6}, region="eu"),
            event(2, {"input_tokens": 10**6}, region="us"),
        ],
    )
    (october,) = closed(store).periods
    elsewhere = "of a were served in standard in us, and its agreement has them served in eu"
    assert (october.total_minor, october.findings) == (400, (f"1 events {elsewhere}",))
    late = event(3, {"input_tokens": 10**6}, region="us")
    deliver(store, tmp_path, [late], now_at=IN_NOVEMBER_AT + 86_400_000_000)
    (november,) = closed(store, "2026-11", now_at=IN_DECEMBER_AT).periods
    assert (november.total_minor, november.findings) == (200, (f"2 events {elsewhere}",))

"""The rating of a usage file as a document: per account, adding up, with what is unpriced."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from billing.domain.charging.report import (
    EventCounts,
    RatingReport,
    RefusedRow,
    report_rating,
)
from pricing_rules.document import DocumentError, canonical_json, dump, load_json
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Rating
from tests.billing.domain.made_charges import band, book, books, charge, costing, rated, unpriced

COUNTS: dict[str, int] = {
    "received": 10,
    "accepted": 6,
    "duplicate": 2,
    "conflict": 1,
    "rejected": 1,
    "outside_period": 1,
    "not_billable": 1,
}


def report(rating: Rating, *, in_force: BooksInForce | None = None) -> RatingReport:
    return report_rating(
        rating,
        books=in_force or books(),
        period="2026-10-01T00:00:00Z/2026-11-01T00:00:00Z",
        events=EventCounts.model_validate(COUNTS),
        refused=(RefusedRow(row=7, reason="line 7: is blank; remove it"),),
    )


def test_each_account_is_rounded_alone_and_the_total_is_their_sum() -> None:
    found = report(
        rated(
            [
                costing("0.004", account="b"),
                charge(band(1_500_000, flat="1"), account="a"),
                costing("0.005", account="a"),
            ],
            left=[unpriced("c")],
        )
    )
    # a: 1.5 + 1 flat + 0.005 = 2.505, 251 cents; b: 0.4 cents, 0; c: nothing is priced.
    assert [(one.account, one.total_minor) for one in found.accounts] == [
        ("a", 251),
        ("b", 0),
        ("c", 0),
    ]
    written = dump(found)
    assert (written["total_exact"], written["total_minor"]) == ("2.509", 251)
    assert [one["total_exact"] for one in written["accounts"]] == ["2.505", "0.004", "0"]
    assert written["accounts"][0]["charges"][0]["bands"] == [
        {
            "book_number": 1,
            "when": "",
            "quantity": 1_500_000,
            "rate": "1",
            "per": 1_000_000,
            "flat": "1",
            "amount": "2.5",
            "whole_packages": False,
            "capped": False,
        }
    ]
    assert written["accounts"][2]["unpriced"] == [
        {
            "model": "m",
            "service_tier": "standard",
            "unit": "audio_seconds",
            "quantity": 2500,
            "scale": 1000,
            "events": 2,
            "reason": "book 1 has no rate for audio_seconds under these conditions",
        }
    ]
    assert written["refused"] == [{"row": 7, "reason": "line 7: is blank; remove it"}]


def test_it_names_every_book_in_order_of_number_and_reads_back_as_it_is() -> None:
    second = book({"number": 2, "effective_from": "2026-10-15T00:00:00Z"})
    found = report(rated([]), in_force=BooksInForce(books=(second, book())))
    assert [one.number for one in found.price_books] == [1, 2]
    assert found.price_books[1].digest == second.digest
    assert load_json(RatingReport, canonical_json(dump(found)), name="rating") == found


def test_a_book_without_a_digest_is_refused() -> None:
    candidate = BooksInForce(books=(book().model_copy(update={"digest": None}),))
    with pytest.raises(DocumentError, match=r"^price book 1: has no digest; publish it"):
        report(rated([]), in_force=candidate)


@pytest.mark.parametrize("off", [-1, 1])
def test_rows_that_are_not_all_accounted_for_are_refused(off: int) -> None:
    # 10 = 6 + 2 + 1 + 1
    assert EventCounts.model_validate(COUNTS).received == 10
    with pytest.raises(ValidationError, match="received is not accepted"):
        EventCounts.model_validate({**COUNTS, "received": 10 + off})


@pytest.mark.parametrize(
    "quoted, shown",
    [
        ('time: not "2026\u200b"', 'time: not "2026\\u200b"'),
        ("a\x00b\nc", "a\\x00b\\nc"),
        ("\ufeffid", "\\ufeffid"),
        ("turned \u202eround ", "turned \\u202eround"),
        ("Zürich, 東京 😀", "Zürich, 東京 😀"),
        ("x" * 2000, "x" * 2000),
        ("x" * 2001, "x" * 1999 + "…"),
        ("x" * 1998 + " y" * 9, "x" * 1998 + "…"),
    ],
)
def test_a_refused_row_may_hold_anything_and_is_quoted_in_what_can_be_printed(
    quoted: str, shown: str
) -> None:
    assert RefusedRow(row=1, reason=quoted).reason == shown


@pytest.mark.parametrize("reason", [None, 5, "", " "])
def test_a_reason_is_a_sentence(reason: Any) -> None:
    with pytest.raises(ValidationError):
        RefusedRow(row=1, reason=reason)

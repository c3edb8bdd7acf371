"""Usage mixes as a derivation takes them: which usage, how long, how old, and each event once."""

from __future__ import annotations

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.usage.mix import UsageMix
from tests.pricing_rules.rules.made_documents import finding_ids
from tests.pricing_rules.rules.made_mixes import made_entry, made_mix, mixed_book


def window(book: PriceBook) -> list[str]:
    return finding_ids(book, kind="usage_window")


def sentence(book: PriceBook, id_: str) -> str:
    return next(finding.sentence for finding in book.findings if finding.id == id_)


@pytest.mark.parametrize(
    "start, end, found",
    [
        ("2026-10-26T00:00:00Z", "2026-11-23T00:00:00Z", False),
        ("2026-10-26T00:00:00.000001Z", "2026-11-23T00:00:00Z", True),
        ("2026-10-25T23:59:59.999999Z", "2026-11-23T00:00:00Z", True),
        ("2023-11-16T18:00:00Z", "2023-11-16T19:00:00Z", True),
    ],
)
def test_usage_of_another_length_than_28_days_is_a_finding(
    start: str, end: str, found: bool
) -> None:
    book = mixed_book(made_mix(made_entry(), start=start, end=end))
    assert ("usage_window:length" in window(book)) == found


def test_the_finding_says_how_much_the_mixes_cover() -> None:
    # Two weeks and one week with a week between: 504 of the 672 hours
    parts = (
        made_mix(made_entry(), end="2026-11-09T00:00:00Z"),
        made_mix(made_entry(), start="2026-11-16T00:00:00Z"),
    )
    book = mixed_book(*parts)
    assert sentence(book, "usage_window:length") == (
        "accounts were held against 504 hours of usage between 2026-10-26T00:00:00Z and "
        "2026-11-23T00:00:00Z, and not against the 672 hours of 28 days"
    )
    gap = made_mix(
        made_entry(account="globex"), start="2026-11-08T00:00:00Z", end="2026-11-16T00:00:00Z"
    )
    assert window(mixed_book(*parts, gap)) == []


@pytest.mark.parametrize(
    "notice, end, found",
    # The book is in force from 2026-12-01: 28 days before are 2026-11-03, and 30 more 2026-10-04.
    [
        (None, "2026-11-03T00:00:00Z", False),
        (None, "2026-11-02T23:59:59Z", True),
        (30, "2026-10-04T00:00:00Z", False),
        (30, "2026-10-03T23:59:59Z", True),
    ],
)
def test_usage_that_ended_long_before_the_book_is_in_force_is_a_finding(
    notice: int | None, end: str, found: bool
) -> None:
    book = mixed_book(
        made_mix(made_entry(), start="2026-09-01T00:00:00Z", end=end),
        changed={"guard_rails": {"notice_days_at_least": notice}} if notice else None,
    )
    assert ("usage_window:age" in window(book)) == found
    if found:
        assert sentence(book, "usage_window:age").endswith(
            f"over {28 + (notice or 0)} days before 2026-12-01T00:00:00Z, when the book is in force"
        )


def test_without_a_mix_there_is_no_window() -> None:
    assert window(mixed_book()) == []


ACME = made_entry()


@pytest.mark.parametrize(
    "other",
    [
        made_mix(ACME),
        made_mix(ACME, start="2026-11-22T23:59:59.999999Z", end="2026-11-30T00:00:00Z"),
        made_mix(ACME, made_entry(account="globex"), end="2026-10-26T00:00:01Z"),
    ],
)
def test_usage_that_stands_in_two_mixes_is_refused(other: UsageMix) -> None:
    with pytest.raises(DocumentError) as caught:
        mixed_book(made_mix(ACME), other)
    assert str(caught.value).startswith(
        "usage mixes: acme / m / standard stands in two that share the time from 2026-1"
    )


@pytest.mark.parametrize(
    "other",
    [
        made_mix(ACME, start="2026-11-23T00:00:00Z", end="2026-11-30T00:00:00Z"),
        made_mix(made_entry(account="globex")),
        made_mix(made_entry(service_tier="priority")),
    ],
)
def test_other_usage_may_be_of_the_same_time_and_the_same_usage_of_another(
    other: UsageMix,
) -> None:
    mixed_book(made_mix(ACME), other)

"""The document of a pricing review: exact amounts that add up, shortened ratios."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest

from billing.domain.charging.pricing_review import PricingReviewReport
from billing.domain.charging.pricing_review_figures import BASIS, report_review
from billing.domain.charging.report import EventCounts
from pricing_rules.document import DocumentError, dump, load_json
from pricing_rules.planning.review import PricingReview
from tests.pricing_rules.planning.made_reviews import (
    MTOK,
    book,
    books,
    card,
    review_of,
    row,
    uncosted_card,
    used,
)
from tests.pricing_rules.planning.test_rate_room import market
from tests.pricing_rules.planning.test_subsidy_use import policy, subsidy

COUNTS = EventCounts(
    received=9, accepted=9, duplicate=0, conflict=0, rejected=0, outside_period=0, not_billable=0
)
USAGE = [
    used({"output_tokens": 3 * MTOK, "input_tokens": MTOK}),
    used({"output_tokens": MTOK, "cache_read_tokens": 7}, account="globex"),
    used({"output_tokens": 5 * MTOK, "input_tokens": 3}, at="2026-10-14T00:00:00Z"),
]


def report_of(review: PricingReview, *, findings: tuple[str, ...] = ()) -> PricingReviewReport:
    """The document of a review without files."""
    return report_review(
        review, findings=findings, stale_days=90, events=COUNTS, inputs=(), refused=()
    )


def test_the_document_says_what_the_review_says_and_reads_back() -> None:
    under = books(book(card(), uncosted_card(model="n")))
    review = review_of(USAGE, under=under, markets=[market(("output_tokens", "5", "alpha"))])
    found = report_of(review, findings=("a: something",))
    assert (found.total.revenue, found.total.margin) == (
        review.takings.revenue,
        review.takings.margin,
    )
    assert [one.rate for one in found.rates] == [one.rate for one in review.rates]
    # 12.5 and 4.0000007 over 1,680 hours, to nine digits.
    assert str(found.pools[0].revenue_per_hour) == "0.00982142899"
    assert (found.accounts_costed, found.accounts_losing) == (2, 0)
    assert found.findings[0].sentence == "a: something"
    assert found.subsidies_uncovered is None
    assert found.basis == BASIS
    again = load_json(PricingReviewReport, json.dumps(dump(found)).encode(), name="r.json")
    assert again == found


def test_a_subsidy_an_override_and_a_stale_measurement_are_in_it() -> None:
    findings = [{"id": "f0", "kind": "yield", "sentence": "s"}]
    offs = [{"finding": "f0", "by": "cfo", "reason": "r", "ends_at": "2026-11-01T00:00:00Z"}]
    value = book(card({"output_tokens": "1"}), series="made", findings=findings, sign_offs=offs)
    paid = policy(subsidy("launch", ends_at="2026-10-26T08:00:00Z"))
    found = report_of(review_of(USAGE, under=books(value), policy=paid, stale_days=3))
    (one,) = found.subsidies
    assert row(one.paid, one.has_ended, found.subsidies_uncovered) == (Fraction("6.1"), True, 0)
    assert [(o.finding, o.has_ended) for o in found.overrides] == [("f0", False)]
    assert [(s.model, s.age_days) for s in found.stale] == [("m", 25)]
    assert {one.unit for one in found.unpriced} == {"input_tokens", "cache_read_tokens"}


def test_without_a_period_before_the_variance_says_why() -> None:
    (one,) = report_of(review_of(USAGE[:1])).variance
    assert row(one.change, one.before_per_mtok) == (0, None)
    assert one.reason is not None


def test_an_account_beside_nothing_has_all_it_brings_over_the_average() -> None:
    fee = {"unit": "requests", "rate": "1"}
    value = book(card({"web_searches": "1"}, extra=[fee]))
    (one,) = report_of(review_of([used({"web_searches": 1})], under=books(value))).accounts
    assert (one.against_average, one.margin) == (Fraction(1, MTOK), Fraction(1, MTOK))


@pytest.mark.parametrize(
    "part, field, sentence",
    [
        ("accounts", "against_average", "the effects do not add up to against_average"),
        ("variance", "change", "the four effects do not add up to the change"),
        ("pools", "margin", "margin is not costed_revenue - cost"),
    ],
)
def test_what_does_not_add_up_is_refused(part: str, field: str, sentence: str) -> None:
    value: dict[str, Any] = dump(report_of(review_of(USAGE)))
    value[part][0][field] = "123"
    with pytest.raises(DocumentError, match=sentence):
        load_json(PricingReviewReport, json.dumps(value).encode(), name="r.json")

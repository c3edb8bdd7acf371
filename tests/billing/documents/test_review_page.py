"""The page of a pricing review stands alone, shows what the report says, and escapes every name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from billing.documents.review_charts import (
    accounts_chart,
    pools_chart,
    rooms_chart,
    variance_chart,
)
from billing.documents.review_page import render_review
from billing.domain.charging.pricing_review import PricingReviewReport, ReviewInput
from tests.billing.documents.test_backtest_page import EVIL, _Page
from tests.billing.domain.charging.test_pricing_review import report_of
from tests.pricing_rules.planning.made_reviews import (
    MTOK,
    Json,
    book,
    books,
    card,
    review_of,
    uncosted_card,
    used,
)
from tests.pricing_rules.planning.test_rate_room import market
from tests.pricing_rules.planning.test_subsidy_use import policy, subsidy

USAGE = [
    used({"output_tokens": 360 * MTOK}),
    used({"output_tokens": 180 * MTOK}, at="2026-10-13T12:00:00Z"),
]


def report(
    usage: Sequence[Json] = USAGE, *cards: Json, fields: Json | None = None, **changed: Any
) -> PricingReviewReport:
    under = books(book(*cards, series="made", **(fields or {})))
    found = report_of(review_of(usage, under=under, **changed))
    used_file = ReviewInput(role="usage", name="u.csv", sha256="sha256:" + "f" * 64)
    return found.model_copy(update={"inputs": (used_file,)})


@cache
def plain_page() -> bytes:
    """The page of a plain report: several tests look at it."""
    return render_review(report())


def test_the_page_begins_with_its_conclusions_and_shows_the_figures() -> None:
    page = _Page(plain_page())
    told = [word for word in page.words if word]
    assert told[told.index("Pricing review of made 1", 1) + 2] == (
        "No rate is under its floor; the least room is 58.42 % (m/standard/output_tokens)."
    )
    # 1,440 of revenue, 6,048 of hours, 16.80 a million tokens and 33.60 before.
    for shown in ("1,440.00", "6,048.00", "16.80", "33.60", "-16.80", "u.csv"):
        assert shown in page.words
    assert "5.95 %" in page.words
    assert "sha256:" + "f" * 64 in page.words


def test_what_is_shortened_carries_its_exact_text() -> None:
    usage = [used({"output_tokens": 1, "input_tokens": 3})]
    assert b'title="0.0000055">0.000005500' in render_review(report(usage))


def test_the_page_fetches_nothing_and_runs_nothing() -> None:
    page = _Page(plain_page())
    assert [one for one in page.fetched if not one.startswith("#")] == []
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
    assert page.tags.count("svg") == 4
    assert len(page.ids) == len(set(page.ids))
    text = plain_page().decode()
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "default-src 'none'" in text


def test_names_are_text_and_never_markup() -> None:
    usage = [used({"output_tokens": MTOK}, account=EVIL, model=EVIL)]
    data = render_review(report(usage, card(model=EVIL)))
    assert b"<script" not in data
    assert EVIL in _Page(data).words


def test_the_same_report_gives_the_same_bytes() -> None:
    assert render_review(report()) == plain_page()


def test_a_table_that_is_cut_says_how_many_rows_it_lacks() -> None:
    cards = [card(model=f"m{n}") for n in range(31)]
    usage = [
        used({"output_tokens": MTOK, "web_searches": n + 1}, account=f"a{n}", model="m1")
        for n in range(32)
    ]
    page = _Page(render_review(report(usage, *cards)))
    assert "78 more rates are in the JSON of this review." in page.words  # 15 of 93
    assert "1 more rate cards are in the JSON of this review." in page.words
    assert "2 more counts are in the JSON of this review." in page.words
    assert "12 more accounts have a better margin." in page.words


def test_a_column_without_anything_in_it_is_left_out() -> None:
    assert "Lowest offer" not in _Page(plain_page()).words
    offers = market(("output_tokens", "3", "alpha"))
    data = render_review(report(markets=[offers], previous=book(card())))
    assert {"Lowest offer", "Before"} <= set(_Page(data).words)
    assert b'title="3 (alpha, 2026-10-20)"' in data


def test_what_needs_a_person_stands_on_the_page() -> None:
    findings = [{"id": f"f{i}", "kind": "yield", "sentence": f"finding {i}"} for i in range(3)]
    offs = [
        {"finding": f"f{i}", "by": "cfo", "reason": "launch", "ends_at": at}
        for i, at in enumerate(["2026-10-20T00:00:00Z", "2026-11-01T00:00:00Z"])
    ]
    paid = policy(
        subsidy("launch", ends_at="2026-10-26T00:00:00Z"), subsidy("new", welcome_credits=True)
    )
    value = card({"output_tokens": "0.01"})
    fields = {"findings": findings, "sign_offs": offs}
    page = _Page(render_review(report(USAGE, value, fields=fields, policy=paid, stale_days=3)))
    for shown in ("finding 0", "finding 2", "ended", "ends", "never", "2026-10-01", "25"):
        assert shown in page.words
    assert "finding 1" not in page.words
    assert "2026-10-26T00:00:00Z (ended)" in page.words
    # 360M at 0.01 where the floor is 2.525.
    assert "905.40" in page.words
    assert "Charged under floors and covered by none: 0.00." in page.words


def test_measurements_without_a_date_have_no_age() -> None:
    found = report(stale_days=3)
    (stale,) = found.stale
    undated = stale.model_copy(update={"oldest_date": None, "age_days": None})
    page = _Page(render_review(found.model_copy(update={"stale": (undated,)})))
    assert {"without a date", "n/a"} <= set(page.words)


def test_without_costs_there_is_no_chart_and_no_figure_of_them() -> None:
    bare = report(USAGE, uncosted_card())
    assert [
        chart(bare) for chart in (rooms_chart, pools_chart, variance_chart, accounts_chart)
    ] == [None] * 4
    page = _Page(render_review(bare))
    assert page.tags.count("svg") == 0
    assert "not compared" in page.words
    assert "No policy was given, so no budget is known." in page.words


def test_a_chart_shows_what_is_under_its_floor_and_what_loses() -> None:
    value = card({"output_tokens": "2"})
    svg = rooms_chart(report(USAGE, value))
    assert svg is not None
    assert "output of m, standard" in svg
    assert "kind: under the floor" in svg
    losing = accounts_chart(report(USAGE, value))
    assert losing is not None
    assert "kind: loses" in losing


def test_the_chart_of_the_cost_goes_from_before_to_now_by_its_effects() -> None:
    svg = variance_chart(report())
    assert svg is not None
    for label in (">33.6<", ">-16.8<", ">16.8<"):
        assert label in svg


def test_rates_under_conditions_are_named_with_them() -> None:
    eu = {"unit": "output_tokens", "rate": "5", "when": {"region": "eu"}}
    found = report(USAGE, card(extra=[eu]))
    svg = rooms_chart(found)
    assert svg is not None
    assert "output of m, standard (region=eu)" in svg
    assert "m / standard / output_tokens when region=eu" in _Page(render_review(found)).words

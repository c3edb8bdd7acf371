"""The review as a whole, and the sentences that stand on top of it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.money import amount_text, currency
from pricing_rules.planning.cause import nine_digits
from pricing_rules.planning.conclusions import conclusions, count_text
from pricing_rules.planning.pool_use import PoolHours
from pricing_rules.planning.review import WORST_ACCOUNTS, PricingReview, pricing_review
from tests.pricing_rules.planning.made_reviews import (
    BEFORE,
    MTOK,
    Json,
    book,
    books,
    card,
    floors,
    hardware,
    period_of,
    review_of,
    row,
    uncosted_card,
    used,
)
from tests.pricing_rules.planning.test_rate_room import market
from tests.pricing_rules.planning.test_subsidy_use import policy, subsidy

NOW = used({"output_tokens": 360 * MTOK})
THEN = used({"output_tokens": 180 * MTOK}, at="2026-10-13T12:00:00Z")


def sentences(review: PricingReview, *, of: str) -> list[str]:
    """The conclusions that hold a word."""
    return [one for one in conclusions(review) if of in one]


def test_a_review_has_its_week_beside_the_week_before() -> None:
    review = review_of([NOW, THEN])
    assert row(review.takings.revenue, review.before_takings.revenue) == (1440, 720)
    (pool,) = review.pools
    # 360M x 1,000 us are 100 hours, of 1,680.
    assert row(pool.used_hours, pool.hours.spend) == (100, 6048)
    (whole,) = review.variances
    assert whole.variance is not None
    # 6,048 over 360M, and over 180M: all of it is utilization.
    assert whole.variance.after == Fraction(6048, 360 * MTOK)
    assert whole.variance.change == whole.variance.utilization
    assert review.subsidies is None
    assert [one.margin.account for one in review.worst] == ["acme"]
    assert review.worst[0].tokens == {"output_tokens": 360 * MTOK}


def test_failed_requests_bring_and_cost_nothing() -> None:
    failed = used({"output_tokens": MTOK}, outcome="failed")
    assert review_of([NOW, failed]).takings == review_of([NOW]).takings


def test_twenty_accounts_are_named() -> None:
    usage = [used({"output_tokens": n * MTOK}, account=f"a{n:02d}") for n in range(1, 26)]
    review = review_of(usage)
    assert len(review.worst) == WORST_ACCOUNTS == 20
    assert len(review.margins.accounts) == 25


def test_where_pools_are_several_each_has_a_variance_of_its_own() -> None:
    other = {"pool": "other", "hardware": [hardware(accelerators=5)]}
    under = books(book(card(), card(model="n", cost=other)))
    usage = [NOW, THEN, used({"output_tokens": MTOK}, model="n")]
    review = review_of(usage, under=under)
    assert [one.pool for one in review.variances] == [None, "main", "other"]
    (lacking,) = [one for one in review.variances if one.variance is None]
    assert lacking.pool == "other"
    assert lacking.reason is not None
    assert lacking.reason.startswith("the period before: served no tokens")


def test_the_rates_are_those_in_force_at_the_end_of_the_period() -> None:
    new = book(card({"output_tokens": "9"}), number=2, effective_from="2026-10-25T23:59:59Z")
    later = book(card(), number=3, effective_from="2026-10-26T00:00:00Z")
    review = review_of([NOW], under=books(book(), new, later))
    assert review.book.number == 2
    with pytest.raises(DocumentError, match="price books: none is in force in 2026-10-19"):
        review_of([NOW], under=books(later))


def test_documents_of_another_currency_or_series_are_refused() -> None:
    with pytest.raises(DocumentError, match="policy: makes made in USD, and the price book is pub"):
        review_of([NOW], policy=policy())
    yen = market(("output_tokens", "5", "alpha")).model_copy(update={"currency": "JPY"})
    with pytest.raises(DocumentError, match="market of made up: is in JPY, and the price book in"):
        review_of([NOW], markets=[yen])


def test_a_pool_that_the_hours_lack_is_refused() -> None:
    series = books()
    week = period_of([NOW], under=series)
    elsewhere = PoolHours(
        name="lab",
        accelerators=1,
        available_hours=Fraction(1),
        spend=Fraction(1),
        facility_mwh=None,
        source="f",
    )
    with pytest.raises(
        DocumentError, match="factory: has no pool main, which serves m in standard"
    ):
        pricing_review(
            replace(week, pools=(elsewhere,)),
            before=period_of([], under=series, period=BEFORE),
            books=series,
            previous=None,
            markets=(),
            policy=None,
            at=0,
            stale_days=1,
        )


@pytest.mark.parametrize(
    "rates, told",
    [
        (
            {"output_tokens": "2.4", "input_tokens": "0.2"},
            "2 rates of 2 are under their floor, the furthest m/standard/input_tokens, by 27.27 %.",
        ),
        (
            {"output_tokens": "2.424"},
            "1 rate of 1 is under its floor, the furthest m/standard/output_tokens, by 4.00 %.",
        ),
        (
            {"output_tokens": "2.525"},
            "No rate is under its floor; the least room is 0.00 % (m/standard/output_tokens).",
        ),
    ],
)
def test_it_begins_with_the_rates_under_their_floor(rates: dict[str, str], told: str) -> None:
    assert conclusions(review_of([NOW], under=books(book(card(rates)))))[0] == told


def test_without_floors_and_over_floors_of_zero_it_says_so() -> None:
    bare = conclusions(review_of([NOW], under=books(book(uncosted_card()))))
    assert bare[0] == ("No rate has a measured cost, so none can be held against a floor.")
    assert "No usage has a measured cost, so no margin is known." in bare
    zero = card({"output_tokens": "4"}, cost={"floors": floors(floor="0")})
    assert conclusions(review_of([NOW], under=books(book(zero))))[0] == (
        "No rate is under its floor."
    )


def test_it_says_how_many_rates_are_over_the_market() -> None:
    offers = market(("output_tokens", "3", "alpha"), ("input_tokens", "3", "alpha"))
    review = review_of([NOW], markets=[offers])
    assert sentences(review, of="market") == [
        "1 of 2 rates are over the lowest offer of the market."
    ]


@pytest.mark.parametrize(
    "accounts, told",
    [
        ({"a": "4"}, "No account of 1 loses money at the stated utilization; over all the margin"),
        ({"a": "2"}, "1 account of 1 (a) loses 0.02000 USD at the stated utilization; over all"),
        (
            {"a": "2", "b": "1", "c": "4"},
            "2 accounts of 3 lose 1.04 USD at the stated utilization, b the most; over all",
        ),
    ],
)
def test_it_says_who_loses_money(accounts: dict[str, str], told: str) -> None:
    # A million output tokens cost 2.02 at the stated utilization.
    cards = [card({"output_tokens": rate}, model=name) for name, rate in accounts.items()]
    usage = [used({"output_tokens": MTOK}, account=name, model=name) for name in accounts]
    found, *_ = sentences(review_of(usage, under=books(book(*cards))), of="stated utilization")
    assert found.startswith(told)


def test_it_says_which_rate_cards_lose_money() -> None:
    cards = [
        card({"output_tokens": rate}, model=name) for name, rate in zip("abc", "214", strict=True)
    ]
    usage = [used({"output_tokens": MTOK}, model=name) for name in "abc"]
    review = review_of(usage, under=books(book(*cards)))
    assert sentences(review, of="rate card") == [
        "2 rate cards lose money at the stated utilization, most of it b in standard with -1.02 "
        "USD."
    ]
    assert sentences(review_of([NOW]), of="rate card") == []


def _pool(*usage: Json, **cost: Any) -> str:
    rates = cost.pop("rates", {"output_tokens": "4"})
    (found,) = sentences(review_of(usage, under=books(book(card(rates, cost=cost)))), of="ool main")
    return found


def test_it_says_what_each_pool_is_used_to_and_needs() -> None:
    # 100 of 1,680 hours; 1 / (4 - 0.02). 1,440 less 7.2 less 6,048.
    assert _pool(NOW) == (
        "Pool main is used to 5.95 %, under the 25.13 % at which this usage pays for it; its hours "
        "leave -4,615.20 USD."
    )
    # A third of the hours.
    busy = used({"output_tokens": 2016 * MTOK})
    assert "is used to 33.33 %, at or over the 25.13 %" in _pool(busy)
    assert _pool(used({"output_tokens": 60_480 * MTOK})).startswith(
        "Pool main served 1,000.00 % of its available hours by the fit"
    )
    assert _pool(used({"output_tokens": 1}, model="other")) == (
        "Pool main served nothing; its hours leave -6,048.00 USD."
    )
    assert _pool(NOW, rates={"output_tokens": "0.01"}) == (
        "Pool main does not earn its variable cost; its hours leave -6,051.60 USD."
    )


def test_it_says_why_tokens_cost_more_or_less() -> None:
    # 6,048 over 360M are 16.80 a million, over 180M 33.60.
    assert sentences(review_of([NOW, THEN]), of="million tokens") == [
        "A million tokens cost 16.80 USD, 16.80 less than in the period before, most of it by "
        "utilization."
    ]
    fewer = used({"output_tokens": 180 * MTOK})
    more = used({"output_tokens": 360 * MTOK}, at="2026-10-13T12:00:00Z")
    assert (
        "16.80 more than in the period before"
        in sentences(review_of([fewer, more]), of="million tokens")[0]
    )
    same = used({"output_tokens": 180 * MTOK})
    assert sentences(review_of([same, THEN]), of="million tokens") == [
        "A million tokens cost 33.60 USD, as in the period before."
    ]
    assert sentences(review_of([NOW]), of="not compared") == [
        "The cost of a token is not compared with the period before: the period before: served no "
        "tokens of a card with a measured cost; there is nothing to compare."
    ]


def test_it_counts_what_is_unpriced() -> None:
    usage = [NOW, used({"input_tokens": 7}), used({"cache_read_tokens": 9})]
    review = review_of(usage, under=books(book(card({"output_tokens": "4"}))))
    assert sentences(review, of="unpriced") == [
        "2 counts are unpriced, the first 9 cache_read_tokens of acme."
    ]


def test_it_counts_overrides_stale_measurements_and_findings() -> None:
    findings = [{"id": f"f{i}", "kind": "yield", "sentence": "s"} for i in range(3)]
    offs = [
        {"finding": f"f{i}", "by": "cfo", "reason": "r", "ends_at": at}
        for i, at in enumerate(["2026-10-20T00:00:00Z", "2026-11-01T00:00:00Z"])
    ]
    under = books(book(findings=findings, sign_offs=offs))
    told = conclusions(review_of([NOW], under=under, stale_days=3))
    assert told[-4:] == (
        "1 override has ended.",
        "1 override ends within 30 days.",
        "1 card rests on stale or undated measurements.",
        "2 findings of price book 1 without a sign-off that holds.",
    )


def test_it_names_subsidies_over_budget_and_what_none_covers() -> None:
    small = {"amount": "7.3", "per": "month"}  # 1.68 in a week
    under = books(book(card({"output_tokens": "1", "input_tokens": "0.175"}), series="made"))
    usage = [used({"output_tokens": 2 * MTOK, "input_tokens": 10 * MTOK})]
    over = policy(subsidy("launch", budget=small), subsidy("w", welcome_credits=True))
    told = conclusions(review_of(usage, under=under, policy=over))
    assert "1 subsidy runs over budget: launch." in told
    assert "Usage was charged 1.00 USD under its floors that no subsidy covers." in told
    every = policy(subsidy("launch", covers={}))
    assert not sentences(review_of(usage, under=under, policy=every), of="ubsid")


@pytest.mark.parametrize(
    "amount, code, text",
    [
        ("1234.567", "USD", "1,234.57"),
        ("-1234.567", "JPY", "-1,235"),
        ("0.001234567", "USD", "0.001235"),
        ("0", "USD", "0.00"),
        ("1", "USD", "1.00"),
    ],
)
def test_amounts_are_shortened_for_reading(amount: str, code: str, text: str) -> None:
    assert amount_text(Fraction(amount), unit=currency(code)) == text


def test_ratios_have_nine_digits() -> None:
    assert str(nine_digits(Fraction(1, 3))) == "0.333333333"
    assert nine_digits(None) is None


def test_counts_are_written_as_words_of_their_number() -> None:
    assert [count_text(n, one="rate", many="rates") for n in (0, 1, 2000)] == [
        "no rate",
        "1 rate",
        "2,000 rates",
    ]

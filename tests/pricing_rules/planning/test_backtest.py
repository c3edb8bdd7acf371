"""A backtest charges what rating charges, side by side, and its differences add up exactly."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.period import Period, parse_moment, parse_period
from pricing_rules.planning.backtest import (
    Comparison,
    Distribution,
    backtest_since_at,
    billing_months,
    distribution,
    over_all_time,
)
from pricing_rules.planning.served import Takings
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.usage.totals import Cell, UsageTotal
from tests.pricing_rules.planning.made_backtests import (
    MTOK,
    NOVEMBER,
    OCTOBER,
    books,
    costed_card,
    revenue,
    run_backtest,
    used,
)
from tests.pricing_rules.prices.made_books import book_json, in_force, read_book

LADDER = {
    "id": "in",
    "kind": "graduated",
    "bands": [{"up_to": "10000000", "rate": "2"}, {"rate": "1"}],
}


def test_the_same_usage_costs_what_each_book_says() -> None:
    # 3M in and 1M out: 3 * 1 + 1 * 4 = 7 before, 3 * 0.5 + 1 * 6 = 7.5 after.
    before = books(costed_card({"input_tokens": "1", "output_tokens": "4"}))
    after = books(costed_card({"input_tokens": "0.5", "output_tokens": "6"}), number=2)
    found = run_backtest(
        [used({"input_tokens": 3 * MTOK, "output_tokens": MTOK}, events=20)],
        after=after,
        before=before,
    )
    assert revenue(found) == (7, Fraction(15, 2))
    assert (found.total.events, found.total.change) == (20, Fraction(1, 2))
    assert found.total.change_share == Fraction(1, 14)
    assert found.accounts == {"acme": found.total}
    assert found.cards == {("m", "standard"): found.total}
    assert found.span == Period(start_at=OCTOBER.start_at, end_at=NOVEMBER.end_at)


def test_a_book_that_starts_later_is_tested_as_if_it_had_always_held() -> None:
    before = books(costed_card({"input_tokens": "1"}))
    after = books(
        costed_card({"input_tokens": "2"}), number=2, effective_from="2027-01-01T00:00:00Z"
    )
    usage = [used({"input_tokens": MTOK})]
    assert revenue(run_backtest(usage, after=after, before=before)) == (1, 2)


def test_in_a_series_the_first_book_holds_from_the_beginning_and_the_next_from_its_start() -> None:
    early = read_book(
        book_json(
            [costed_card({"input_tokens": "1"})], number=1, effective_from="2026-10-20T00:00:00Z"
        )
    )
    late = read_book(
        book_json(
            [costed_card({"input_tokens": "3"})], number=2, effective_from="2026-11-10T00:00:00Z"
        )
    )
    before = books(costed_card({"input_tokens": "5"}))
    usage = [
        used({"input_tokens": MTOK}, at=at)
        for at in ("2026-10-02T00:00:00Z", "2026-11-09T23:59:59.999999Z", "2026-11-10T00:00:00Z")
    ]
    # Two at 1 and one at 3; before, three at 5.
    assert revenue(run_backtest(usage, after=in_force(early, late), before=before)) == (15, 5)


def test_of_two_books_that_start_together_both_are_moved_to_the_beginning() -> None:
    first = read_book(book_json([costed_card({"input_tokens": "1"})], number=1))
    value = book_json([costed_card({"input_tokens": "2"})], number=2)
    second = read_book({**value, "supersedes": {"number": 1, "reason": "wrong"}})
    moved = over_all_time(in_force(first, second))
    assert {book.effective_from for book in moved.books} == {0}
    assert moved.at(0) == moved.books[1]  # the later number is in force


def test_ladders_start_anew_with_each_month() -> None:
    # 8M in October and 8M in November at 2 up to 10M: 16 each; in one period it would be
    # 10 * 2 + 6 * 1 = 26.
    plain = books(costed_card({"input_tokens": "1"}))
    laddered = books(costed_card({"input_tokens": {"ladder": LADDER}}), number=2)
    usage = [
        used({"input_tokens": 8 * MTOK}, at=at)
        for at in ("2026-10-31T23:59:59.999999Z", "2026-11-01T00:00:00Z")
    ]
    assert revenue(run_backtest(usage, after=laddered, before=plain)) == (16, 32)
    whole = (Period(start_at=OCTOBER.start_at, end_at=NOVEMBER.end_at),)
    assert revenue(run_backtest(usage, after=laddered, before=plain, months=whole)) == (16, 26)


def test_a_daily_allowance_that_began_before_the_month_is_used_up_by_it() -> None:
    # A day in Tokyo begins at 15:00 UTC. 6 of its 10 free tokens are used at 2026-10-31T20:00Z; of
    # 6 at 2026-11-01T01:00Z, the same day there, 4 are free and 2 are charged at 1.
    card = costed_card({"input_tokens": {"rate": "1", "per": 1}})
    allowance = {
        "id": "daily",
        "units": ["input_tokens"],
        "quantity": 10,
        "reset": "day",
        "zone": "Asia/Tokyo",
    }
    usage = [
        used({"input_tokens": 6}, at=at)
        for at in ("2026-10-31T20:00:00Z", "2026-11-01T01:00:00Z", "2026-11-01T15:00:00Z")
    ]
    found = run_backtest(
        usage, after=books(card, number=2, allowances=[allowance]), before=books(card)
    )
    assert revenue(found) == (18, 2)


def test_usage_before_the_months_uses_up_allowances_and_is_in_nothing_else() -> None:
    # As above, with November alone: the 6 of October are in no revenue, and 2 of 12 are charged.
    card = costed_card({"input_tokens": {"rate": "1", "per": 1}})
    daily = {"id": "d", "units": ["input_tokens"], "quantity": 10, "reset": "day"}
    after = books(card, number=2, allowances=[{**daily, "zone": "Asia/Tokyo"}])
    before = books(card, costed_card({"input_tokens": "1"}, model="n"))
    usage = [
        used({"input_tokens": 6}, at=at)
        for at in ("2026-10-31T20:00:00Z", "2026-11-01T01:00:00Z", "2026-11-01T15:00:00Z")
    ]
    usage.append(used({"input_tokens": 6}, at="2026-10-31T20:00:00Z", model="n"))
    months = (NOVEMBER,)
    since_at = backtest_since_at(after, before=before, months=months)
    assert since_at == parse_moment("2026-10-31T15:00:00Z")
    found = run_backtest(usage, after=after, before=before, months=months)
    assert revenue(found) == (12, 2)
    assert found.total.events == 2
    assert list(found.cards) == [("m", "standard")]
    assert [one.model for one in found.before.unmet] == ["n"]
    # A day in UTC starts with the month, so that there is nothing before it.
    utc = books(card, number=2, allowances=[daily])
    assert backtest_since_at(utc, before=before, months=months) == NOVEMBER.start_at


def test_windows_of_either_side_cut_the_usage_of_both() -> None:
    windows = {
        "night": {"times": [{"start_time": "22:00", "end_time": "06:00"}]},
    }
    night = {"rate": "1", "when": {"window": "night"}}
    after = books(
        costed_card({"input_tokens": "4", "input_tokens night": night}), number=2, windows=windows
    )
    before = books(costed_card({"input_tokens": "2"}))
    usage = [
        used({"input_tokens": MTOK}, at=at)
        for at in ("2026-10-02T12:00:00Z", "2026-10-02T23:00:00Z")
    ]
    assert revenue(run_backtest(usage, after=after, before=before)) == (4, 5)
    assert revenue(run_backtest(usage, after=before, before=after)) == (5, 4)


def test_a_ladder_is_not_walked_in_cells_that_only_the_other_side_cuts() -> None:
    # Input, then output of all 12 + 12: 10 at 4, 2 at 2 and 12 at 1 are 56. In the cells of day and
    # night one after the other, 4 outputs would come below the bound of 10.
    def ladder(low: str, high: str) -> dict[str, Any]:
        bands = [{"up_to": "10", "rate": low}, {"rate": high}]
        return {"per": 1, "ladder": {"id": "both", "kind": "graduated", "bands": bands}}

    rates = {"input_tokens": ladder("4", "2"), "output_tokens": ladder("10", "1")}
    night = {"night": {"times": [{"start_time": "22:00", "end_time": "06:00"}]}}
    free = {"rate": "0", "when": {"window": "night"}}
    cut = books(costed_card({"input_tokens": "0", "input_tokens night": free}), windows=night)
    usage = [
        used({"input_tokens": 6, "output_tokens": 6}, at=f"2026-10-05T{hour}:00:00Z")
        for hour in ("12", "23")
    ]
    after = books(costed_card(rates), number=2)
    assert run_backtest(usage, after=after, before=cut).total.after.revenue == 56


def test_usage_that_is_not_billable_is_in_nothing() -> None:
    side = books(costed_card({"input_tokens": "1"}))
    usage = [used({"input_tokens": MTOK}, outcome=o) for o in ("completed", "cancelled", "failed")]
    found = run_backtest(usage, after=side, before=side)
    assert (found.total.events, revenue(found)) == (2, (2, 2))


def test_unpriced_usage_is_kept_on_its_side_and_added_up_over_months() -> None:
    before = books(costed_card({"input_tokens": "1", "output_tokens": "1"}))
    after = books(costed_card({"input_tokens": "1"}), number=2)
    usage = [
        used({"output_tokens": 5}, at=at, events=2)
        for at in ("2026-10-02T00:00:00Z", "2026-11-02T00:00:00Z")
    ]
    found = run_backtest(usage, after=after, before=before)
    assert found.before.unpriced == ()
    (one,) = found.after.unpriced
    assert (one.unit, one.quantity, one.events) == ("output_tokens", 10, 4)
    assert one.reason == "book 2 has no rate for output_tokens under these conditions"


def test_sides_in_two_currencies_are_refused() -> None:
    yen = read_book({**book_json([costed_card({"input_tokens": "1"})]), "currency": "JPY"})
    with pytest.raises(DocumentError) as found:
        run_backtest([], after=in_force(yen), before=books(costed_card({"input_tokens": "1"})))
    assert str(found.value) == (
        "price books: one side is in JPY, the other in USD, and rating never converts; give books "
        "of one currency"
    )


@pytest.mark.parametrize(
    "span, starts",
    [
        ("2026-10-01/2026-11-01", ["2026-10-01"]),
        ("2026-10-15/2026-12-01", ["2026-10-15", "2026-11-01"]),
        ("2026-10-15/2026-10-16", ["2026-10-15"]),
        ("2026-10-31/2026-11-02", ["2026-10-31", "2026-11-01"]),
    ],
)
def test_months_tile_a_span_and_are_cut_off_at_its_ends(span: str, starts: list[str]) -> None:
    whole = parse_period(span, zone="UTC")
    months = billing_months(whole)
    assert [month.start_at for month in months] == [parse_moment(f"{s}T00:00:00Z") for s in starts]
    assert [month.end_at for month in months] == [
        *(month.start_at for month in months[1:]),
        whole.end_at,
    ]


def compared(before: int, after: int) -> Comparison:
    return Comparison(
        events=1,
        before=Takings(revenue=Fraction(before)),
        after=Takings(revenue=Fraction(after)),
    )


def test_the_distribution_is_of_shares_by_the_nearest_rank() -> None:
    # 100 accounts whose change is 1 % to 100 %: the 5th, 50th and 95th of them.
    found = distribution(compared(100, 100 + n) for n in range(100, 0, -1))
    percent = [Fraction(n, 100) for n in (1, 5, 50, 95, 100)]
    assert [found.least, found.p5, found.p50, found.p95, found.most] == percent
    assert (found.paying_more, found.paying_less, found.unchanged) == (100, 0, 0)
    # Of three, the nearest rank of 50 % is the second, of 95 % the third, of 5 % the first.
    three = distribution([compared(10, 5), compared(10, 10), compared(10, 40)])
    assert (three.p5, three.p50, three.p95) == (Fraction(-1, 2), Fraction(0), Fraction(3))
    assert (three.paying_more, three.paying_less, three.unchanged) == (1, 1, 1)


def test_accounts_that_paid_nothing_have_no_share() -> None:
    assert distribution([compared(0, 5), compared(0, 0)]) == Distribution(
        p5=None,
        p50=None,
        p95=None,
        least=None,
        most=None,
        paying_more=1,
        paying_less=0,
        unchanged=1,
        from_nothing=1,
    )


# Laws.

USAGE = st.lists(
    st.builds(
        used,
        st.dictionaries(
            st.sampled_from(["input_tokens", "cache_read_tokens", "output_tokens", "web_searches"]),
            st.integers(1, 12 * MTOK),
            min_size=1,
        ),
        account=st.sampled_from(["acme", "globex", "initech"]),
        model=st.sampled_from(["m", "n"]),
        at=st.sampled_from(
            ["2026-10-02T12:00:00Z", "2026-10-20T12:00:00Z", "2026-11-02T23:00:00Z"]
        ),
        size_tokens=st.sampled_from([0, 100, 101, 200, 201]),
        events=st.integers(1, 9),
    ),
    min_size=1,
    max_size=12,
)


def _book(rates: tuple[str, str, str], *, threshold: int, number: int) -> BooksInForce:
    """A ladder that both models share at rates of their own, a context step, a fee, a window."""
    shared = [
        {**LADDER, "bands": [{"up_to": "10000000", "rate": rate}, {"rate": rates[2]}]}
        for rate in rates[:2]
    ]
    over = {"rate": rates[1], "when": {"request_tokens_over": threshold}}
    cards = [
        costed_card(
            {
                "input_tokens": {"ladder": ladder},
                "output_tokens": rates[0],
                "output_tokens over": over,
                "output_tokens night": {"rate": rates[2], "when": {"window": "night"}},
                "requests": {"rate": rates[2], "per": 3},
            },
            model=model,
        )
        for model, ladder in zip(("m", "n"), shared, strict=True)
    ]
    times = [{"start_time": "22:00", "end_time": "06:00"}]
    return books(*cards, number=number, windows={"night": {"times": times}})


RATES = st.tuples(*(st.sampled_from(["0", "0.25", "1.3", "2", "7"]),) * 3)
OLD = st.builds(_book, RATES, threshold=st.sampled_from([100, 200]), number=st.just(1))
NEW = st.builds(_book, RATES, threshold=st.sampled_from([100, 200]), number=st.just(2))


@settings(max_examples=settings().max_examples // 2)
@given(usage=USAGE, after=NEW, before=OLD)
def test_differences_add_up_exactly(
    usage: list[Any], after: BooksInForce, before: BooksInForce
) -> None:
    found = run_backtest(usage, after=after, before=before)
    change = found.total.after.revenue - found.total.before.revenue
    assert sum(one.change for one in found.accounts.values()) == change == found.total.change
    assert sum(one.change for one in found.cards.values()) == change
    assert sum(one.events for one in found.accounts.values()) == found.total.events
    assert sum(one.events for one in found.cards.values()) == sum(u["events"] for u in usage)


@settings(max_examples=settings().max_examples // 2)
@given(usage=USAGE, after=NEW, before=OLD)
def test_a_side_charges_what_rating_alone_charges(
    usage: list[Any], after: BooksInForce, before: BooksInForce
) -> None:
    found = run_backtest(usage, after=after, before=before)
    for side, books_alone in ((found.before, before), (found.after, after)):
        amount, unpriced = Fraction(0), 0
        for month in (OCTOBER, NOVEMBER):
            grid = grid_for(books_alone, period=month)
            totals = [
                UsageTotal(
                    cell=Cell(
                        **one["cell"],
                        segment_start_at=grid.segment_start_at(one["at"]),
                        size_class_tokens=grid.size_class_tokens(one["size_tokens"]),
                        dimensions=(),
                        windows=grid.windows_at(one["at"]),
                    ),
                    events=one["events"],
                    leaves=one["leaves"],
                )
                for one in usage
                if one["at"] in month
            ]
            rated = rate_totals(totals, books=books_alone, grid=grid)
            amount += rated.total_exact
            unpriced += sum(one.quantity for one in rated.unpriced)
        assert sum((one.revenue for one in side.takings.values()), Fraction(0)) == amount
        assert sum(one.quantity for one in side.unpriced) == unpriced


@settings(max_examples=settings().max_examples // 4)
@given(usage=USAGE, side=OLD)
def test_a_book_against_itself_changes_nothing(usage: list[Any], side: BooksInForce) -> None:
    found = run_backtest(usage, after=side, before=side)
    assert found.before == found.after
    assert {one.change for one in found.accounts.values()} == {0}

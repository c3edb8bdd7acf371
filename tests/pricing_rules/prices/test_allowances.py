"""Shared allowances: free quantities of an account over models and units, in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.period import MICROSECONDS, Period, moment_text, parse_moment, parse_period
from pricing_rules.prices.explain import explain_band, explain_unit
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.prices.quote import compile_book
from pricing_rules.prices.rating import Rating, grid_for, rate_totals
from pricing_rules.usage.totals import Grid, UsageTotal, add_totals
from tests.pricing_rules.prices.made_books import (
    MTOK,
    Json,
    book_json,
    card_json,
    in_force,
    read_book,
    total,
)

# Gemini 3: 5,000 searches a month are free, over all its models together; then $14 a thousand.
SEARCH: Json = {"unit": "web_searches", "per": 1000, "rate": "14"}
SHARED: Json = {
    "id": "gemini-3-searches",
    "units": ["web_searches"],
    "models": ["pro", "flash"],
    "quantity": 5000,
    "reset": "month",
}


def book_of(*allowances: Json, number: int = 1, start: str = "2026-10-01") -> PriceBook:
    cards = [
        card_json([SEARCH, {"unit": "input_tokens", "rate": "2"}], model=model)
        for model in ("pro", "flash", "other")
    ]
    value = book_json(cards, number=number, effective_from=f"{start}T00:00:00Z")
    return read_book({**value, "allowances": list(allowances)})


def rated(
    book: PriceBook,
    used: Sequence[tuple[str, str, int]],
    *,
    unit: str = "web_searches",
    earlier: Sequence[tuple[str, str, int]] = (),
    account: str = "acme",
) -> Rating:
    """The rating of (moment, model, count)."""
    books = in_force(book)
    grid = grid_for(books, period=None)
    now, before = (
        [total({unit: n}, grid=grid, at=at, model=model, account=account) for at, model, n in some]
        for some in (used, earlier)
    )
    return rate_totals(now, books=books, grid=grid, earlier=before)


def bands(rating: Rating) -> list[tuple[str, str, int, Fraction | int]]:
    return [
        (charge.model, band.when, band.quantity, band.amount)
        for charge in rating.charges
        for band in charge.bands
    ]


@pytest.mark.parametrize(
    "searches, amount",
    [(4999, "0"), (5000, "0"), (5001, "0.014"), (6000, "14")],
)
def test_below_at_and_above_the_quantity(searches: int, amount: str) -> None:
    rating = rated(book_of(SHARED), [("2026-10-02T00:00:00Z", "pro", searches)])
    assert rating.total_exact == Fraction(amount)
    assert rating.charges[0].quantity == searches


def test_models_use_it_together_in_the_order_of_time() -> None:
    rating = rated(
        book_of(SHARED),
        [
            ("2026-11-02T00:00:00Z", "pro", 3000),  # November has its own
            ("2026-10-02T00:00:00Z", "pro", 3000),
            ("2026-10-01T00:00:00Z", "flash", 4000),
            ("2026-10-03T00:00:00Z", "other", 10),  # no model of the allowance
        ],
    )
    # In a month's segment the cells go in canonical order: flash 4,000, then 1,000 of pro's 3,000.
    assert bands(rating) == [
        ("flash", "allowance gemini-3-searches", 4000, 0),
        ("other", "", 10, Fraction("0.14")),
        ("pro", "", 2000, 28),  # 2,000 x 14 / 1,000
        ("pro", "allowance gemini-3-searches", 4000, 0),
    ]


def test_it_is_of_the_service_tiers_that_it_names() -> None:
    cards = [card_json([SEARCH], model="pro", service_tier=name) for name in ("batch", "standard")]
    value = {**book_json(cards), "allowances": [{**SHARED, "service_tiers": ["batch"]}]}
    books = in_force(read_book(value))
    grid = grid_for(books, period=None)
    one = total({"web_searches": 1000}, grid=grid, at="2026-10-02T00:00:00Z", model="pro")
    both = [
        replace(one, cell=replace(one.cell, service_tier=name)) for name in ("batch", "standard")
    ]
    rating = rate_totals(both, books=books, grid=grid)
    charged = {charge.service_tier: charge.amount for charge in rating.charges}
    assert charged == {"batch": Fraction(0), "standard": Fraction(14)}


def test_each_account_has_its_own() -> None:
    books = in_force(book_of(SHARED))
    grid = grid_for(books, period=None)
    totals = [
        total({"web_searches": 5000}, grid=grid, model="pro", account=account)
        for account in ("acme", "globex")
    ]
    assert rate_totals(totals, books=books, grid=grid).total_exact == 0


DAILY: Json = {**SHARED, "reset": "day", "quantity": 1500, "zone": "America/New_York"}


def test_a_daily_allowance_starts_anew_at_midnight_of_its_zone() -> None:
    # Midnight of the 2nd in New York is 04:00 UTC.
    used = [
        ("2026-10-02T03:59:59.999999Z", "pro", 2000),
        ("2026-10-02T04:00:00Z", "pro", 1000),
        ("2026-10-02T04:00:00.000001Z", "flash", 1000),
    ]
    assert bands(rated(book_of(DAILY), used)) == [
        ("flash", "allowance gemini-3-searches", 1000, 0),
        ("pro", "", 1000, 14),  # 500 of the first day, 500 of the second
        ("pro", "allowance gemini-3-searches", 2000, 0),
    ]


def test_without_a_reset_of_its_own_it_is_of_the_billing_period() -> None:
    per_period = {**SHARED, "reset": "billing_period"}
    used = [("2026-10-31T00:00:00Z", "pro", 3000), ("2026-11-01T00:00:00Z", "pro", 3000)]
    assert rated(book_of(per_period), used).total_exact == 14  # 1,000 x 14 / 1,000
    assert rated(book_of(SHARED), used).total_exact == 0


def test_usage_before_the_period_has_used_up_a_part_of_the_month() -> None:
    # The period starts on the 15th: what the first half of the month took is not free again.
    earlier = [("2026-10-10T00:00:00Z", "flash", 4500)]
    used = [("2026-10-15T00:00:00Z", "pro", 1000), ("2026-11-01T00:00:00Z", "pro", 1000)]
    rating = rated(book_of(SHARED), used, earlier=earlier)
    assert bands(rating) == [
        ("pro", "", 500, 7),
        ("pro", "allowance gemini-3-searches", 1500, 0),
    ]


def test_usage_before_the_period_and_before_every_book_uses_nothing() -> None:
    late = book_of(SHARED, start="2026-10-12")
    earlier = [("2026-10-10T00:00:00Z", "flash", 4500)]
    assert rated(late, [("2026-10-15T00:00:00Z", "pro", 5000)], earlier=earlier).total_exact == 0


def test_usage_before_the_period_takes_nothing_from_that_of_the_period() -> None:
    # Both cover searches. Of the 4,500 of before, the month has 500 left and the period all 3,000.
    period: Json = {"id": "period", "units": ["web_searches"], "quantity": 3000}
    earlier = [("2026-10-10T00:00:00Z", "flash", 4500)]
    used = [("2026-10-15T00:00:00Z", "pro", 4000)]
    for both in ([SHARED, period], [period, SHARED]):
        rating = rated(book_of(*both), used, earlier=earlier)
        assert bands(rating) == [
            ("pro", "", 500, 7),
            ("pro", "allowance gemini-3-searches", 500, 0),
            ("pro", "allowance period", 3000, 0),
        ]


@pytest.mark.parametrize(
    "reset, zone, since",
    [
        ("month", "UTC", "2026-10-01T00:00:00Z"),
        ("month", "Asia/Tokyo", "2026-09-30T15:00:00Z"),
        ("day", "Asia/Tokyo", "2026-10-14T15:00:00Z"),
        ("day", "UTC", "2026-10-15T00:00:00Z"),
        ("billing_period", "UTC", "2026-10-15T00:00:00Z"),
    ],
)
def test_what_bears_on_a_period_begins_with_the_day_or_month_it_starts_in(
    reset: str, zone: str, since: str
) -> None:
    books = in_force(book_of({**SHARED, "reset": reset, "zone": zone}))
    period = parse_period("2026-10-15/2026-11-15", zone="UTC")
    assert moment_text(books.allowances_since_at(period)) == since


def test_units_share_it_and_the_request_itself_can_be_free() -> None:
    rates: list[Json] = [
        {"unit": "input_tokens", "rate": "2"},
        {"unit": "output_tokens", "rate": "10"},
        {"unit": "requests", "per": 1, "rate": "0.01"},
    ]
    free: list[Json] = [
        {"id": "tokens", "units": ["input_tokens", "output_tokens"], "quantity": MTOK},
        {"id": "calls", "units": ["requests"], "quantity": 2},
    ]
    book = read_book({**book_json([card_json(rates)]), "allowances": free})
    books = in_force(book)
    grid = grid_for(books, period=None)
    counts = {"input_tokens": 600_000, "output_tokens": 600_000}
    rating = rate_totals([total(counts, grid=grid, events=3)], books=books, grid=grid)
    # In one cell units go by name: 600k of input are free and 400k of output; 200k x 10 / 1M = 2.
    assert {charge.unit: charge.amount for charge in rating.charges} == {
        "input_tokens": 0,
        "output_tokens": 2,
        "requests": Fraction("0.01"),  # the third
    }


def test_a_leaf_without_a_rate_of_its_own_counts_as_the_unit_whose_rate_it_takes() -> None:
    free: Json = {"id": "in", "units": ["input_tokens"], "quantity": 100}
    book = read_book(
        {**book_json([card_json([{"unit": "input_tokens", "rate": "1"}])]), "allowances": [free]}
    )
    books = in_force(book)
    grid = grid_for(books, period=None)
    totals = [total({"cache_read_tokens": 60, "input_tokens": 60}, grid=grid)]
    (charge,) = rate_totals(totals, books=books, grid=grid).charges
    assert [(band.when, band.quantity) for band in charge.bands] == [
        ("", 20),
        ("allowance in", 100),
    ]


def test_of_two_allowances_the_first_of_the_book_is_used_first() -> None:
    general: Json = {"id": "general", "units": ["web_searches"], "quantity": 100}
    for first, second in ((SHARED, general), (general, SHARED)):
        rating = rated(book_of(first, second), [("2026-10-02T00:00:00Z", "pro", 5060)])
        free = {when: quantity for _, when, quantity, _ in bands(rating)}
        names = [f"allowance {one['id']}" for one in (first, second)]
        taken = min(first["quantity"], 5060)
        assert [free[name] for name in names] == [taken, 5060 - taken]


def test_allowances_of_one_rate_begin_anew_in_one_zone() -> None:
    daily: Json = {"id": "daily", "units": ["web_searches"], "quantity": 10, "reset": "day"}
    tokyo = {**daily, "zone": "Asia/Tokyo"}
    with pytest.raises(DocumentError) as caught:
        book_of(SHARED, tokyo)
    assert "gemini-3-searches and daily both cover web_searches of pro" in caught.value.sentence
    assert "begin anew in UTC and in Asia/Tokyo; give them one zone" in caught.value.sentence
    for fine in (
        daily,  # one zone
        {**tokyo, "models": ["other"]},  # no rate of both
        {**daily, "reset": "billing_period"},  # it begins with the account's period
    ):
        assert len(book_of(SHARED, fine).allowances) == 2


def test_only_what_it_leaves_passes_through_a_ladder() -> None:
    steps = [{"up_to": 1000, "rate": "14"}, {"rate": "7"}]
    rate = {**SEARCH, "ladder": {"id": "s", "kind": "graduated", "bands": steps}}
    del rate["rate"]
    value = book_json([card_json([rate], model="pro")])
    book = read_book({**value, "allowances": [{**SHARED, "models": []}]})
    rating = rated(book, [("2026-10-02T00:00:00Z", "pro", 7000)])
    # 5,000 free, 1,000 at 14 and 1,000 at 7 a thousand
    assert rating.total_exact == 21


def test_a_later_book_goes_on_with_what_is_left_of_the_same_id() -> None:
    smaller = book_of({**SHARED, "quantity": 4000}, number=2, start="2026-10-15")
    larger = book_of({**SHARED, "quantity": 8000}, number=3, start="2026-10-20")
    none = book_of(number=4, start="2026-10-25")
    books = in_force(book_of(SHARED), smaller, larger, none)
    grid = grid_for(books, period=None)
    found = []
    totals: list[UsageTotal] = []
    before = Fraction(0)
    for day in (1, 15, 20, 25):
        moment = f"2026-10-{day:02}T00:00:00Z"
        totals.append(total({"web_searches": 4500}, grid=grid, at=moment, model="pro"))
        amount = rate_totals(totals, books=books, grid=grid).total_exact
        found.append(amount - before)
        before = amount
    # 4,500 of 5,000 free; nothing left of 4,000; 3,500 left of 8,000; then no allowance at all
    assert found == [0, 63, 14, 63]


def test_what_is_not_billable_and_what_has_no_rate_uses_nothing() -> None:
    books = in_force(book_of(SHARED))
    grid = grid_for(books, period=None)
    totals = [
        total({"web_searches": 4000}, grid=grid, model="pro", outcome="failed"),
        total({"web_searches": 4000}, grid=grid, model="unknown"),
        total({"web_searches": 5000}, grid=grid, model="pro"),
    ]
    rating = rate_totals(totals, books=books, grid=grid, earlier=totals[:2])
    assert rating.total_exact == 0
    assert [one.model for one in rating.unpriced] == ["unknown"]


def test_totals_without_the_days_of_an_allowance_are_stale() -> None:
    books = in_force(book_of(DAILY))
    one = total({"web_searches": 1}, grid=Grid(), model="pro")
    with pytest.raises(DocumentError, match="usage totals: are stale"):
        rate_totals([one], books=books, grid=Grid(instants_at=(books.books[0].effective_from,)))


def test_a_quote_is_what_a_request_costs_once_the_allowance_is_used_up() -> None:
    card = compile_book(book_of(SHARED)).card(model="pro", service_tier="standard", size_tokens=0)
    assert card.amount({"web_searches": 1}) == Fraction("0.014")


DAY = 86_400 * MICROSECONDS
USES = st.lists(
    st.tuples(st.integers(0, 70), st.sampled_from(["pro", "flash", "other"]), st.integers(0, 900)),
    max_size=12,
)


@given(uses=USES, allowance=st.sampled_from([SHARED, DAILY, {**SHARED, "reset": "billing_period"}]))
def test_splitting_usage_changes_nothing_and_no_more_than_the_quantity_is_free(
    uses: list[tuple[int, str, int]], allowance: Json
) -> None:
    # I9: each count whole, split in two, or added up to one total for each cell.
    start_at = parse_moment("2026-10-01T00:00:00Z")
    books = in_force(book_of({**allowance, "quantity": 1000}))
    grid = grid_for(books, period=None)

    def made(at: int, model: str, count: int) -> UsageTotal:
        return total({"web_searches": count}, grid=grid, at=moment_text(at), model=model)

    whole = [made(start_at + days * DAY, model, n) for days, model, n in uses]
    split = [
        made(start_at + days * DAY, model, part)
        for days, model, n in uses
        for part in (n // 3, n - n // 3)
    ]
    rating = rate_totals(whole, books=books, grid=grid)
    for other in (split, add_totals(whole), whole[::-1]):
        assert rate_totals(other, books=books, grid=grid).charges == rating.charges
    free = sum(quantity for _, when, quantity, _ in bands(rating) if when)
    covered = sum(n for _, model, n in uses if model != "other")
    periods = len({cut_start(grid, at=start_at + days * DAY) for days, _, _ in uses}) or 1
    assert free <= min(covered, 1000 * periods)
    if periods == 1:
        assert free == min(covered, 1000)


def cut_start(grid: Grid, *, at: int) -> int:
    """The day or month of a moment; the whole of time where nothing recurs."""
    return grid.segment_start_at(at) if grid.calendar_cuts else 0


def test_the_segments_of_a_span_are_those_of_the_calendar() -> None:
    grid = grid_for(in_force(book_of(DAILY)), period=None)
    span = Period(
        start_at=parse_moment("2026-10-24T12:00:00Z"), end_at=parse_moment("2026-11-03T12:00:00Z")
    )
    placed = Grid(instants_at=grid.over([span]).instants_at)
    for at in range(span.start_at, span.end_at, DAY // 16):
        assert placed.segment_start_at(at) == grid.segment_start_at(at)


IN_UTC: Json = {"id": "daily", "zone": "UTC"}


def test_a_walk_names_the_allowance_of_a_rate_and_of_a_free_band() -> None:
    book = book_of(SHARED, DAILY | {**IN_UTC, "models": [], "service_tiers": ["standard"]})
    unit = explain_unit(book, model="pro", service_tier="standard", unit="web_searches")
    assert [step.sentence for step in unit.rests_on if step.kind == "allowance"] == [
        "gemini-3-searches: 5,000 web_searches of pro, flash together are free in each month of "
        "UTC",
        "daily: 1,500 web_searches in standard together are free in each day of UTC",
    ]
    when = "allowance gemini-3-searches"
    band = explain_band(book, card=book.rate_cards[0], unit="web_searches", when=when)
    assert (band.kind, band.rests_on) == ("allowance", ())
    tokens = explain_unit(book, model="pro", service_tier="standard", unit="input_tokens")
    assert [step for step in tokens.rests_on if step.kind == "allowance"] == []

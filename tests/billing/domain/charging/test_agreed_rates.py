"""Which rates of a book the discounts of an agreement press under their floor."""

from __future__ import annotations

import json

import pytest

from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.discounts import agreed_rates_under_floor, in_force_until_at
from pricing_rules.document import load_yaml
from pricing_rules.money import exact_text
from pricing_rules.period import LAST_MOMENT_AT, moment_text, parse_moment
from pricing_rules.prices.price_book import BooksInForce, PriceBook, load_price_book
from tests.billing.operations.made_store import agreement_text
from tests.billing.operations.test_agreement import FLOORED
from tests.journeys.made_files import Json, book, card, rate_of


def _book(*rates: Json, **fields: Json) -> PriceBook:
    """A card with a floor of 3 per million on output tokens, and one without cost."""
    cards = ({**FLOORED, "rates": list(rates)}, card(rate_of("output_tokens", "1"), model="n"))
    value = book(*cards, **fields)
    return load_price_book(json.dumps(value).encode(), name="book.json")


def _agreement(*discounts: Json) -> Agreement:
    text = agreement_text(discounts=list(discounts))
    return load_yaml(Agreement, text.encode(), name="a.yaml")


def _discount(percent: str, **fields: Json) -> Json:
    return {"id": percent, "description": "Discount", "percent": percent, **fields}


def _found(price_book: PriceBook, *discounts: Json) -> list[str]:
    agreement = _agreement(*discounts)
    found = agreed_rates_under_floor(price_book, agreement=agreement)
    return [str(one.rate_after_discounts) for one in found]


def test_a_rate_that_no_discount_covers_is_not_named() -> None:
    # It was under its floor when it was published, and signed off then.
    under = _book(rate_of("output_tokens", "2"))
    assert _found(under) == []
    assert _found(under, _discount("10", units=["input_tokens"])) == []
    assert _found(under, _discount("10")) == ["9/5"]


def test_discounts_on_one_rate_add_up() -> None:
    # 4 less 10 % and 15 % is 3, the floor; less 16 % it is 2.96.
    four = _book(rate_of("output_tokens", "4"))
    assert _found(four, _discount("10"), _discount("15")) == []
    assert _found(four, _discount("10"), _discount("16")) == ["74/25"]


def test_the_rate_is_compared_per_million() -> None:
    # 0.004 per 1,000 is 4 per million.
    small = _book(rate_of("output_tokens", "0.004", per=1000))
    assert _found(small, _discount("50")) == ["2"]


def test_each_band_of_a_ladder_is_compared() -> None:
    bands: list[Json] = [
        {"up_to": "100", "rate": "6"},
        {"up_to": "200", "rate": "0.005", "per": 1000},
        {"rate": "0"},
    ]
    ladder = {"id": "l", "kind": "graduated", "bands": bands}
    # Half of 6 is 3, the floor; half of 5 is 2.50; half of nothing is nothing.
    assert _found(_book(rate_of("output_tokens", ladder=ladder)), _discount("50")) == ["5/2", "0"]


def test_equal_rates_are_named_once_and_units_without_a_floor_never() -> None:
    eu = rate_of("output_tokens", "4", when={"region": "eu"})
    rates = (rate_of("output_tokens", "4"), eu, rate_of("input_tokens", "1"))
    assert _found(_book(*rates), _discount("50")) == ["2"]


def test_a_rate_is_compared_at_the_lowest_that_multipliers_make_of_it() -> None:
    # 10 x 0.5 x 0.8 = 4, less 10 %: 3.60; the factors above 1 and of other units do not count.
    multipliers: list[Json] = [
        {"id": "flex", "factor": "0.5", "when": {"region": "idle"}},
        {"id": "far", "factor": "0.8", "when": {}, "units": ["output_tokens"]},
        {"id": "eu", "factor": "1.1", "when": {"region": "eu"}},
        {"id": "in", "factor": "0.1", "when": {}, "units": ["input_tokens"]},
    ]
    ten = _book(rate_of("output_tokens", "10"), multipliers=multipliers)
    assert _found(ten, _discount("25")) == []
    assert _found(ten, _discount("26")) == ["74/25"]  # 4 less 26 %
    bands: list[Json] = [{"up_to": "100", "rate": "10"}, {"rate": "5", "flat": "7"}]
    ladder = {"id": "l", "kind": "graduated", "bands": bands}
    steps = _book(rate_of("output_tokens", ladder=ladder), multipliers=multipliers)
    assert _found(steps, _discount("10")) == ["9/5"]  # 5 x 0.4 less 10 %


def test_factors_of_two_regions_never_press_together_nor_where_the_account_is_not_served() -> None:
    eu: Json = {"id": "eu", "factor": "0.8", "when": {"region": "eu"}}
    far: Json = {"id": "far", "factor": "0.7", "when": {"region": "far"}}
    ten = _book(rate_of("output_tokens", "10"), multipliers=[eu, far])
    # 10 x 0.7 less 50 % is 3.50, and 10 x 0.8 x 0.7 less 50 % would be 2.80.
    assert _found(ten, _discount("50")) == []
    assert _found(ten, _discount("60")) == ["14/5"]  # 7 less 60 %
    # Served in eu alone, 10 x 0.8 less 60 % is 3.20.
    assert _found_from(ten, _discount("60"), served_in={"regions": ["eu"]}) == []
    in_far = _found_from(ten, _discount("60"), served_in={"regions": ["eu", "far"]})
    assert [rate for rate, _, _ in in_far] == ["2.8"]


def _found_from(
    price_book: PriceBook, *discounts: Json, until: str = "2199-01-01T00:00:00Z", **fields: Json
) -> list[tuple[str, int, str]]:
    """Each rate under its floor: after discounts, from which month on, and from which moment."""
    text = agreement_text(discounts=list(discounts), **fields)
    agreement = load_yaml(Agreement, text.encode(), name="a.yaml")
    found = agreed_rates_under_floor(price_book, agreement=agreement, until_at=parse_moment(until))
    return [
        (exact_text(one.rate_after_discounts), one.month, moment_text(one.from_at)[:10])
        for one in found
    ]


def _ramped(percent: str, *steps: tuple[int, str]) -> Json:
    ramp = [{"from_month": month, "percent": later} for month, later in steps]
    return _discount(percent, ramp=ramp)


# The agreement is from September on, the book from October: the book begins in month 2.
FOUR = {"unit": "output_tokens", "rate": "4"}


@pytest.mark.parametrize(
    "percent, found",
    [
        ("24.99", []),  # 4 less 24.99 % is 3.0004, over the floor of 3
        ("25", []),  # 3, at the floor
        ("25.01", [("2.9996", 3, "2026-11-01")]),
    ],
    ids=["over", "at", "under"],
)
def test_a_later_month_is_held_to_the_floor_too(
    percent: str, found: list[tuple[str, int, str]]
) -> None:
    assert _found_from(_book(FOUR), _ramped("10", (3, percent))) == found


def test_every_month_is_gated_and_what_stays_is_named_once() -> None:
    price_book = _book(FOUR)
    # 50, 50, 25 (at the floor), 26 and 50 % again: three stretches begin under the floor.
    steps = [(4, "25"), (5, "26"), (6, "50")]
    assert _found_from(price_book, _ramped("50", *steps)) == [
        ("2", 2, "2026-10-01"),
        ("2.96", 5, "2027-01-01"),
        ("2", 6, "2027-02-01"),
    ]
    # Another discount that changes leaves what it does not cover as it was.
    other = _discount("1", units=["input_tokens"], ramp=[{"from_month": 3, "percent": "2"}])
    assert _found_from(price_book, _discount("50"), other) == [("2", 2, "2026-10-01")]


def test_months_before_the_book_and_from_its_end_on_do_not_count() -> None:
    price_book = _book(FOUR)
    assert _found_from(price_book, _ramped("50", (2, "10"))) == []  # under it in September alone
    late = _ramped("10", (5, "50"))
    assert _found_from(price_book, late) == [("2", 5, "2027-01-01")]
    assert _found_from(price_book, late, until="2027-01-01T00:00:00Z") == []
    assert len(_found_from(price_book, late, until="2027-01-01T00:00:00.000001Z")) == 1
    assert _found_from(price_book, _discount("50"), until="2026-10-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "steps, until, expected",
    [
        ([], "2199-01-01T00:00:00Z", [None]),
        # Over it by the ramp, though that goes under it again later, without an end.
        ([(3, "10")], "2199-01-01T00:00:00Z", ["2026-11-01"]),
        ([(3, "10"), (5, "50")], "2199-01-01T00:00:00Z", ["2026-11-01", None]),
        # Over by another book; by the ramp before that; and another rate, each until the next.
        ([], "2026-12-01T00:00:00Z", ["2026-12-01"]),
        ([(3, "10")], "2026-12-01T00:00:00Z", ["2026-11-01"]),
        ([(3, "40")], "2026-12-01T00:00:00Z", ["2026-11-01", "2026-12-01"]),
    ],
)
def test_what_is_under_its_floor_ends_with_the_ramp_or_with_the_book(
    steps: list[tuple[int, str]], until: str, expected: list[str | None]
) -> None:
    discount = _ramped("50", *steps) if steps else _discount("50")
    text = agreement_text(discounts=[discount])
    agreement = load_yaml(Agreement, text.encode(), name="a.yaml")
    until_at = LAST_MOMENT_AT if until.startswith("2199") else parse_moment(until)
    found = agreed_rates_under_floor(_book(FOUR), agreement=agreement, until_at=until_at)
    ends = [None if one.until_at is None else moment_text(one.until_at)[:10] for one in found]
    assert ends == expected


def test_the_sentence_names_the_rate_the_discounts_the_floor_and_since_when() -> None:
    text = agreement_text(discounts=[_discount("10"), _discount("20", ramp=[
        {"from_month": 4, "percent": "5"}])])  # fmt: skip
    agreement = load_yaml(Agreement, text.encode(), name="a.yaml")
    (found,) = agreed_rates_under_floor(_book(FOUR), agreement=agreement)
    assert found.sentence() == (
        "m in standard: output_tokens at 2.8 per million after discounts is under its floor of 3 "
        "(book 1): 4 less 10 % of 10 and 20 % of 20, from 2026-10-01T00:00:00Z on (month 2) until "
        "2026-12-01T00:00:00Z"
    )


REGIONS = (
    FOUR,
    rate_of("output_tokens", "5", when={"region": "eu"}),
    rate_of("output_tokens", "6", when={"region": "us"}),
    rate_of("output_tokens", "3.9", when={"request_tokens_over": 100}),
    rate_of("output_tokens", "4.9", when={"request_tokens_over": 100, "region": "eu"}),
)


@pytest.mark.parametrize(
    "served_in, percent, found",
    [
        (None, "30", ["2.8", "2.73"]),
        # In eu the rates are 5 and 4.90: less 30 % they are 3.50 and 3.43.
        ({"regions": ["eu"]}, "30", []),
        ({"regions": ["eu"]}, "40", ["2.94"]),  # 5 less 40 % is 3, at the floor
        # us has no rate of its own for larger requests: there it meets the 3.90.
        ({"regions": ["us"]}, "30", ["2.73"]),
        ({"regions": ["eu", "us"]}, "30", ["2.73"]),
        # Elsewhere no rate stands in the place of the plain ones.
        ({"regions": ["eu", "asia"]}, "30", ["2.8", "2.73"]),
        ({"service_tiers": ["standard"]}, "30", ["2.8", "2.73"]),
        ({"service_tiers": ["batch"]}, "30", []),
    ],
)
def test_only_rates_that_the_account_may_meet_where_it_is_served_are_gated(
    served_in: Json, percent: str, found: list[str]
) -> None:
    fields = {} if served_in is None else {"served_in": served_in}
    rates = _found_from(_book(*REGIONS), _discount(percent), **fields)
    assert [after for after, _, _ in rates] == found


def test_a_book_is_in_force_until_the_next_one() -> None:
    def numbered(number: int, start: str, **fields: Json) -> PriceBook:
        value = book(card(FOUR), number=number, effective_from=start, **fields)
        return load_price_book(json.dumps(value).encode(), name="book.json")

    first = numbered(1, "2026-10-01T00:00:00Z")
    instead = {"supersedes": {"number": 1, "reason": "a wrong rate"}}
    second = numbered(2, "2026-10-01T00:00:00Z", **instead)
    third = numbered(3, "2026-12-01T00:00:00Z")
    books = BooksInForce(books=(first, second, third))
    assert in_force_until_at(first, books=books) == first.effective_from  # never
    assert in_force_until_at(second, books=books) == third.effective_from
    assert in_force_until_at(third, books=books) == LAST_MOMENT_AT

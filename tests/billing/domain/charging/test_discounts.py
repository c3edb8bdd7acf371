"""What discounts take off, exactly, and which rates they press under their floor."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.charging.discounts import apply_discounts, rates_under_floor
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Charge
from tests.billing.domain.made_charges import (
    agreement,
    band,
    book,
    books,
    charge,
    costing,
    discount,
    floored,
)


def test_every_discount_is_taken_from_the_list_amounts_of_what_it_covers() -> None:
    charges = [costing("100", model="a"), costing("10", model="b"), costing("1", model="c")]
    agreed = agreement(
        {
            "discounts": [
                discount("50", {"models": ["c", "a"]}),
                discount("10"),
                discount("5", {"models": ["other"]}),
            ]
        }
    )
    found = apply_discounts(charges, agreement=agreed)
    # 50 % of 100 + 1 = 50.5; 10 % of 111 = 11.1, not of what the first discount left; nothing is
    # covered by the third.
    assert [(d.discount.id, d.covered, d.amount) for d in found] == [
        ("d50", (0, 2), Fraction(-101, 2)),
        ("d10", (0, 1, 2), Fraction(-111, 10)),
    ]


def test_without_discounts_or_charges_nothing_is_taken_off() -> None:
    assert apply_discounts([costing("1")], agreement=agreement()) == ()
    assert apply_discounts([], agreement=agreement({"discounts": [discount("10")]})) == ()


@given(
    quantities=st.lists(st.integers(0, 10**12), max_size=5),
    percents=st.lists(st.integers(1, 33), max_size=3, unique=True),
)
def test_discounts_never_exceed_the_charges_and_their_order_never_matters(
    quantities: list[int], percents: list[int]
) -> None:
    charges = [charge(band(q, rate="0.37", per=7)) for q in quantities]
    written = [discount(str(percent)) for percent in percents]
    there, back = (
        apply_discounts(charges, agreement=agreement({"discounts": order}))
        for order in (written, written[::-1])
    )
    assert {d.discount.id: d.amount for d in there} == {d.discount.id: d.amount for d in back}
    total = sum((c.amount for c in charges), Fraction(0))
    assert -total <= sum((d.amount for d in there), Fraction(0)) <= 0


def under(
    in_force: BooksInForce, *, charges: list[Charge], discounts: list[dict[str, Any]]
) -> list[str]:
    agreed = agreement({"discounts": discounts})
    found = rates_under_floor(charges, agreement=agreed, books=in_force)
    return [one.sentence() for one in found]


@pytest.mark.parametrize(
    "percent, findings",
    [
        ("9.99", []),  # 1 less 9.99 % = 0.9001, over the floor
        ("10", []),  # 0.9, at the floor
        (
            "10.01",
            [
                "m in standard: output_tokens at 0.8999 per million after discounts is under its "
                "floor of 0.9 (book 1)"
            ],
        ),
    ],
)
def test_a_rate_is_a_finding_where_the_discounts_press_it_under_its_floor(
    percent: str, findings: list[str]
) -> None:
    charges = [charge(band(1_000_000))]
    assert under(floored("0.9"), charges=charges, discounts=[discount(percent)]) == findings


def test_discounts_press_together_and_only_on_what_they_cover() -> None:
    charges = [charge(band(1_000_000))]
    both = [discount("6"), discount("5", {"units": ["output_tokens"]})]  # 0.89 under 0.9
    assert len(under(floored("0.9"), charges=charges, discounts=both)) == 1
    apart = [discount("6"), discount("5", {"units": ["input_tokens"]})]  # 0.94
    assert under(floored("0.9"), charges=charges, discounts=apart) == []


def test_a_rate_under_its_floor_is_named_with_its_condition_or_allowance() -> None:
    night = replace(band(5, rate="0.8"), when="window=night")
    free = replace(band(5, rate="0"), when="allowance trial")
    assert under(floored("0.9"), charges=[charge(night, free, night)], discounts=[]) == [
        "m in standard: output_tokens (window=night) at 0.8 per million after discounts is under "
        "its floor of 0.9 (book 1)",
        "m in standard: output_tokens (allowance trial) at 0 per million after discounts is under "
        "its floor of 0.9 (book 1)",
    ]


def test_a_rate_is_compared_per_million_whatever_its_per_and_is_found_once() -> None:
    # 0.0008 per 1,000 is 0.8 per million, twice, and 0.95 is over its floor.
    low = band(5, rate="0.0008", per=1000)
    charges = [charge(low, band(5, rate="0.95"), low), charge(low)]
    found = under(floored("0.9"), charges=charges, discounts=[])
    assert [sentence.split(" after ")[0] for sentence in found] == [
        "m in standard: output_tokens at 0.8 per million"
    ]


def test_each_rate_is_held_to_the_floor_of_its_own_book() -> None:
    second = {**book_fields("0.7"), "number": 2, "effective_from": "2026-10-15T00:00:00Z"}
    in_force = BooksInForce(books=(floored("0.9").books[0], book(second)))
    charges = [charge(band(1, rate="0.8"), band(1, rate="0.8", number=2))]
    found = under(in_force, charges=charges, discounts=[])
    assert len(found) == 1
    assert found[0].endswith("under its floor of 0.9 (book 1)")


def book_fields(floor: str) -> dict[str, Any]:
    dumped = floored(floor).books[0].model_dump(mode="json", by_alias=True, exclude_none=True)
    return {key: value for key, value in dumped.items() if key != "digest"}


def test_a_rate_without_a_floor_is_no_finding() -> None:
    free = charge(band(1, rate="0"))
    assert under(books(), charges=[free], discounts=[]) == []  # no measured cost
    assert under(floored("9", unit="input_tokens"), charges=[free], discounts=[]) == []
    elsewhere = charge(band(1, rate="0"), service_tier="batch")  # no card
    assert under(floored("9"), charges=[elsewhere], discounts=[]) == []

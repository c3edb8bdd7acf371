"""How figures of an invoice are written: amounts, quantities, rates, terms and line numbers.

Invariant: nothing is rounded; what is cut says so with an ellipsis.
"""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.documents.invoice_view import (
    MINUS,
    basis_text,
    exact_amount,
    grouped,
    line_ranges,
    money,
    payment_terms,
    quantity,
)
from pricing_rules.money import parse_exact


@given(minor=st.integers(-(10**20), 10**20), digits=st.integers(0, 4))
def test_an_amount_read_back_is_the_amount_owed(minor: int, digits: int) -> None:
    shown = money(minor, digits=digits).replace(MINUS, "-")
    assert Fraction(shown.replace(",", "")) * 10**digits == minor


@given(exact=st.fractions(max_denominator=10**15))
def test_an_exact_amount_is_cut_towards_zero_by_less_than_its_last_digit(exact: Fraction) -> None:
    shown = exact_amount(exact).replace(MINUS, "-").replace(",", "")
    read = Fraction(shown.removesuffix("…"))
    assert (read == exact) == (not shown.endswith("…"))
    assert 0 <= abs(exact) - abs(read) < Fraction(1, 10**12)


@pytest.mark.parametrize(
    "exact, shown",
    [
        ("30.86419725", "30.86419725"),
        ("1234.5", "1,234.5"),
        ("-3.086419725", "-3.086419725"),
        ("0.123456789012", "0.123456789012"),  # 12 digits: in full
        ("0.1234567890129", "0.123456789012…"),  # 13 digits: cut, not rounded
        ("2/3", "0.666666666666…"),
        ("-2/3", "-0.666666666666…"),
    ],
)
def test_exact_amounts_are_shown_in_full_or_cut_visibly(exact: str, shown: str) -> None:
    assert exact_amount(parse_exact(exact)) == shown.replace("-", MINUS)


@pytest.mark.parametrize(
    "minor, digits, shown",
    [
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (-5, 2, "-0.05"),
        (123456789, 2, "1,234,567.89"),
        (-1234, 0, "-1,234"),
        (1234567, 3, "1,234.567"),
    ],
)
def test_minor_units_are_shown_as_amounts(minor: int, digits: int, shown: str) -> None:
    assert money(minor, digits=digits) == shown.replace("-", MINUS)


def test_quantities_bases_terms_and_line_numbers_in_words() -> None:
    assert quantity(2500, scale=1000) == "2.5"
    assert quantity(10**15, scale=1) == "1,000,000,000,000,000"
    assert [basis_text(per) for per in (1, 1_000_000)] == ["each", "per million"]
    assert basis_text(1000) == "per\N{NO-BREAK SPACE}1,000"
    assert grouped("-1234.50") == f"{MINUS}1,234.50"
    assert [payment_terms(days) for days in (0, 1)] == [
        "Payable on receipt",
        "1 day from the date of the invoice",
    ]
    assert line_ranges([5, 1, 2, 3, 3]) == "lines 1–3, 5"
    assert line_ranges([4]) == "line 4"

"""Net and tax in minor units: rounded once, half away from zero, never losing a unit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.tax.tax import TaxedMinor, round_amount, tax_in_gross, tax_on_net
from pricing_rules.money import currency

RATES = st.decimals(0, 100, places=3)
MINOR = st.integers(-(10**15), 10**15)


@pytest.mark.parametrize(
    "exact, code, minor",
    [
        ("1.004999", "USD", 100),
        ("1.005", "USD", 101),  # a half goes away from zero
        ("-1.005", "USD", -101),
        ("1.00500001", "USD", 101),
        ("123.4", "JPY", 123),
        ("123.5", "JPY", 124),
        ("1.2344", "KWD", 1234),
        ("1.2345", "KWD", 1235),
    ],
)
def test_an_amount_is_rounded_to_its_minor_unit(exact: str, code: str, minor: int) -> None:
    assert round_amount(Fraction(exact), unit=currency(code)) == minor


@pytest.mark.parametrize(
    "net_minor, rate, tax_minor",
    [
        (1000, "19", 190),
        (2777, "19", 528),  # 527.63
        (50, "7", 4),  # 3.5, away from zero
        (49, "7", 3),  # 3.43
        (-50, "7", -4),
        (1000, "0", 0),
    ],
)
def test_tax_is_added_to_a_net(net_minor: int, rate: str, tax_minor: int) -> None:
    taxed = tax_on_net(net_minor, rate_percent=Decimal(rate))
    assert taxed == TaxedMinor(net_minor=net_minor, tax_minor=tax_minor)
    assert taxed.gross_minor == net_minor + tax_minor


@pytest.mark.parametrize(
    "gross_minor, rate, net_minor, tax_minor",
    [
        (1000, "19", 840, 160),  # 1000 * 19 / 119 = 159.66
        (119, "19", 100, 19),
        (21, "100", 10, 11),  # 10.5, away from zero
        (1000, "0", 1000, 0),
    ],
)
def test_tax_is_taken_out_of_a_gross(
    gross_minor: int, rate: str, net_minor: int, tax_minor: int
) -> None:
    taxed = tax_in_gross(gross_minor, rate_percent=Decimal(rate))
    assert (taxed.net_minor, taxed.tax_minor) == (net_minor, tax_minor)
    assert taxed.gross_minor == gross_minor


@given(net_minor=MINOR, rate=RATES)
def test_added_tax_is_within_half_a_unit_of_exact(net_minor: int, rate: Decimal) -> None:
    tax_minor = tax_on_net(net_minor, rate_percent=rate).tax_minor
    assert abs(tax_minor - net_minor * Fraction(rate) / 100) <= Fraction(1, 2)


@given(gross_minor=MINOR, rate=RATES)
def test_included_tax_is_within_half_a_unit_of_exact_and_the_gross_stays(
    gross_minor: int, rate: Decimal
) -> None:
    taxed = tax_in_gross(gross_minor, rate_percent=rate)
    assert taxed.gross_minor == gross_minor
    exact = taxed.net_minor * Fraction(rate) / 100
    # The tax on the net differs by the unit that was rounded, times 1 + rate.
    assert abs(taxed.tax_minor - exact) <= (1 + Fraction(rate) / 100) / 2

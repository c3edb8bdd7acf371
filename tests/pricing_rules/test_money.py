"""Money: texts of rates and amounts, currencies, the rounding rule and the shares of a total.

Invariant: faults 88 to 94 and 100 to 102 are tried on every text that becomes money.
"""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import Document, DocumentError, dump, load_json
from pricing_rules.money import (
    AmountText,
    CurrencyCode,
    RateText,
    allocate_minor,
    currency,
    decimal_text,
    exact_text,
    parse_amount,
    parse_exact,
    parse_rate,
    round_half_away,
    scaled_text,
)


class Priced(Document):
    """A document with each kind of money text."""

    rate: RateText = Decimal(0)
    amount: AmountText = Decimal(0)
    currency: CurrencyCode = "USD"


def read(value: dict[str, Any]) -> Priced:
    return load_json(Priced, json.dumps(value).encode(), name="f")


@pytest.mark.parametrize(
    "text", ["0", "0.25", "10", "0.000000075", "999999999999999", "0." + "1" * 24, "1.50", "0.0"]
)
def test_a_rate_is_a_plain_decimal_and_keeps_its_digits(text: str) -> None:
    found = read({"rate": text})
    assert found.rate == Decimal(text)
    assert dump(found)["rate"] == text


# Faults 88 to 94 for texts that become Decimals.
NO_DECIMALS = [
    *("", "-", ".", ".5", "5.", "+1", "00", "01", "1e3", "1E-6", "1e999999999", "1e-999999999"),
    *("0e999999999", "NaN", "sNaN", "Infinity", "-Infinity", "1_000", " 1 ", "1\n", "0x10"),
    *("1,000", "1.000,00", "1 000", "٣", "३", "\uff13", "½", "$1", "1/3", "--1", "1.-5"),
    *("9" * 31, "0." + "1" * 41),
]


@pytest.mark.parametrize("text", [*NO_DECIMALS, "-1", "-0", "1" * 16, "0." + "1" * 25])
def test_any_other_text_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match=r'must be a plain decimal such as "0.25", not "'):
        parse_rate(text)


@pytest.mark.parametrize(
    "value",
    [
        *(1, 1.5, True, None, ["1"], {"rate": "1"}),
        *map(Decimal, ["NaN", "sNaN", "Infinity", "1E+999999999", "1E-999999999", "0E+999999999"]),
    ],
)
def test_what_is_no_text_is_no_rate_and_no_amount(value: object) -> None:
    with pytest.raises(ValueError, match="must be a string in quotes such as"):
        parse_rate(value)
    with pytest.raises(ValueError, match="must be a string in quotes such as"):
        parse_amount(value)


def test_a_decimal_is_taken_as_the_text_that_it_is_written_as() -> None:
    assert str(parse_rate(Decimal("2.5E-7"))) == str(Decimal("0.00000025"))
    assert parse_amount(Decimal("-1.50")) == Decimal("-1.50")
    with pytest.raises(ValueError, match=r'must be a plain decimal such as "0.25", not "-1"'):
        parse_rate(Decimal(-1))


@pytest.mark.parametrize("text", ["0", "-1.50", "-0.01", "-10", "9" * 30, "-0." + "1" * 40])
def test_an_amount_may_be_negative(text: str) -> None:
    found = read({"amount": text})
    assert found.amount == Decimal(text)
    assert dump(found)["amount"] == text


@pytest.mark.parametrize("text", [*NO_DECIMALS, "-0", "-0.00", "-01"])
def test_any_other_text_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError, match=r'must be a plain decimal such as "-1.50", not "'):
        parse_amount(text)


def test_a_decimal_is_written_without_an_exponent() -> None:
    assert decimal_text(Decimal("2.5E-7")) == "0.00000025"
    assert decimal_text(Decimal("1E+3")) == "1000"
    assert decimal_text(Decimal("1.50")) == "1.50"


@pytest.mark.parametrize(
    "code, digits, per_major", [("USD", 2, 100), ("JPY", 0, 1), ("KWD", 3, 1000), ("CLF", 4, 10000)]
)
def test_a_currency_knows_its_minor_unit(code: str, digits: int, per_major: int) -> None:
    found = currency(code)
    assert (found.code, found.minor_digits, found.minor_per_major) == (code, digits, per_major)
    assert read({"currency": code}).currency == code


@pytest.mark.parametrize(
    "code", ["usd", "Usd", "XAU", "XXX", "US", "USDT", "840", "", "$", "\u0405D"]
)
def test_any_other_text_is_no_currency(code: str) -> None:
    sentence = f'"{code}" is not an ISO 4217 currency; write a code such as USD'
    with pytest.raises(DocumentError) as refused:
        currency(code)
    assert str(refused.value) == f"currency: {sentence}"
    with pytest.raises(DocumentError) as refused:
        read({"currency": code})
    assert str(refused.value) == f"f currency: {sentence}"


@pytest.mark.parametrize(
    "amount, text",
    [
        (Fraction(5, 4), "1.25"),
        (Fraction(1, 3), "1/3"),
        (Fraction(-7, 6), "-7/6"),
        (Fraction(0), "0"),
        (Fraction(-5), "-5"),
        (5, "5"),
        (Fraction(-1, 8), "-0.125"),
        (Fraction(3, 10**9), "0.000000003"),
        (Fraction(10**30), "1" + "0" * 30),
        (Fraction(1, 2**50), f"0.{5**50:050d}"),
    ],
)
def test_an_exact_amount_is_a_decimal_where_it_terminates(amount: Any, text: str) -> None:
    assert exact_text(amount) == text


@given(
    amount=st.fractions(max_denominator=10**9)
    | st.builds(Fraction, st.integers(), st.sampled_from([1, 2**60, 10**42, 5**30, 3 * 10**20]))
)
def test_an_exact_text_reads_back(amount: Fraction) -> None:
    assert parse_exact(exact_text(amount)) == amount


@pytest.mark.parametrize(
    "text", ["", "1/0", "1/-3", "0/3", "1.5/2", "1e3", " 1", "NaN", "1/3\n", "٣"]
)
def test_any_other_text_is_no_exact_amount(text: str) -> None:
    with pytest.raises(ValueError, match=r'must be a plain decimal or "n/d", not "'):
        parse_exact(text)


@pytest.mark.parametrize(
    "scaled, digits, text",
    [(5, 0, "5"), (-5, 0, "-5"), (50, 1, "5"), (5, 3, "0.005"), (-1250, 3, "-1.25"), (0, 4, "0")],
)
def test_a_scaled_integer_is_written_without_trailing_zeros(
    scaled: int, digits: int, text: str
) -> None:
    assert scaled_text(scaled, digits=digits) == text


@pytest.mark.parametrize(
    "exact, rounded",
    [
        ("0", 0),
        ("0.49", 0),
        ("0.5", 1),
        ("0.51", 1),
        ("1.49", 1),
        ("1.5", 2),
        ("2.5", 3),  # half to even would give 2
        ("-0.49", 0),
        ("-0.5", -1),
        ("-2.5", -3),
        ("7", 7),
        ("1/3", 0),
        ("2/3", 1),
    ],
)
def test_halves_are_rounded_away_from_zero(exact: str, rounded: int) -> None:
    assert round_half_away(Fraction(exact)) == rounded


@given(exact=st.fractions(max_denominator=1000))
def test_i6_a_rounded_amount_is_within_half_a_unit_and_symmetric(exact: Fraction) -> None:
    rounded = round_half_away(exact)
    assert abs(rounded - exact) <= Fraction(1, 2)
    assert round_half_away(-exact) == -rounded


@pytest.mark.parametrize(
    "exact, total_minor, shares",
    [
        (["0.5", "0.5"], 1, (1, 0)),  # a tie goes to the first
        (["0.4", "0.6"], 1, (0, 1)),
        (["1.2", "2.7", "3.1"], 7, (1, 3, 3)),
        (["-0.5", "1.5"], 1, (0, 1)),  # floors -1 and 1; the tie of .5 goes to the first
        (["5"], 5, (5,)),
        ([], 0, ()),
    ],
)
def test_leftover_units_go_to_the_largest_fractions(
    exact: list[str], total_minor: int, shares: tuple[int, ...]
) -> None:
    assert allocate_minor([Fraction(e) for e in exact], total_minor=total_minor) == shares


def test_a_thousand_lines_below_a_cent_lose_nothing() -> None:
    # 1,000 lines of 0.3 cents are 300 cents, and not 1,000 times nothing
    shares = allocate_minor([Fraction(3, 10)] * 1000, total_minor=300)
    assert sum(shares) == 300
    assert set(shares) == {0, 1}


@pytest.mark.parametrize("total_minor", [-1, 3])
def test_a_total_of_other_parts_is_refused(total_minor: int) -> None:
    with pytest.raises(ValueError, match=f"{total_minor} is not the rounded sum of these parts"):
        allocate_minor([Fraction("0.5"), Fraction("0.5")], total_minor=total_minor)


@given(exact=st.lists(st.fractions(max_denominator=50), max_size=12))
def test_shares_add_up_and_stay_within_a_unit(exact: list[Fraction]) -> None:
    total_minor = round_half_away(sum(exact, Fraction(0)))
    shares = allocate_minor(exact, total_minor=total_minor)
    assert sum(shares) == total_minor
    assert all(abs(share - part) < 1 for share, part in zip(shares, exact, strict=True))


@given(parts=st.lists(st.integers(0, 10**6), max_size=40))
def test_fault_102_a_million_tiny_lines_are_rounded_once(parts: list[int]) -> None:
    rate = Fraction("0.000000075")
    exact = [rate * part for part in parts]
    assert round_half_away(sum(exact, Fraction(0))) == round_half_away(rate * sum(parts))

"""Currencies, rates, exact amounts and the one rounding rule.

Invariant: a rate is a Decimal made from a string, an exact amount is a Fraction, money owed is an
integer of minor units. Nothing here is a float, and only the named rounding sites call
``round_half_away``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Annotated

import iso4217
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from pricing_rules.document import DocumentError

MAX_DIGITS, MAX_DECIMALS = 15, 24
"""How many digits a rate may have before and after its point."""

_RATE = re.compile(rf"(0|[1-9][0-9]{{0,{MAX_DIGITS - 1}}})(\.[0-9]{{1,{MAX_DECIMALS}}})?\Z")
_AMOUNT = re.compile(r"-?(0|[1-9][0-9]{0,29})(\.[0-9]{1,40})?\Z")
_EXACT = re.compile(r"-?(0|[1-9][0-9]{0,199})(\.[0-9]{1,199})?\Z")
_RATIO = re.compile(r"-?[1-9][0-9]{0,199}/[1-9][0-9]{0,199}\Z")

RATE_PATTERN = r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,24})?$"
"""How a rate is written: at most 15 digits before the point and 24 after it, no sign, no
exponent.
"""


def parse_rate(text: object) -> Decimal:
    """A rate from its text, or from a Decimal that could be written so; ValueError says what is
    wrong (a float, a sign, an exponent, NaN)."""
    text = _written(text)
    if not isinstance(text, str):
        raise ValueError(f'must be a string in quotes such as "0.25", not {text!r:.40}')
    if not _RATE.match(text):
        raise ValueError(f'must be a plain decimal such as "0.25", not "{text:.40}"')
    return Decimal(text)


def parse_amount(text: object) -> Decimal:
    """An amount from its text or a Decimal; it may be negative. ValueError says what is wrong."""
    text = _written(text)
    if not isinstance(text, str):
        raise ValueError(f'must be a string in quotes such as "-1.50", not {text!r:.40}')
    if not _AMOUNT.match(text) or (text.startswith("-") and not text.strip("-0.")):
        raise ValueError(f'must be a plain decimal such as "-1.50", not "{text:.40}"')
    return Decimal(text)


def _written(value: object) -> object:
    # A Decimal of a huge exponent stays one, and is refused: written out it has a billion digits.
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) <= 60:
        return decimal_text(value)
    return value


def decimal_text(value: Decimal) -> str:
    """A Decimal in plain digits, never with an exponent; its trailing zeros are kept."""
    return format(value, "f")


RateText = Annotated[
    Decimal,
    BeforeValidator(parse_rate),
    PlainSerializer(decimal_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": RATE_PATTERN}),
]
"""A non-negative Decimal that is a string in JSON and YAML."""

AmountText = Annotated[
    Decimal,
    BeforeValidator(parse_amount),
    PlainSerializer(decimal_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?(0|[1-9][0-9]{0,29})(\.[0-9]{1,40})?$"}),
]
"""A Decimal of either sign that is a string in JSON and YAML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Currency:
    """An ISO 4217 currency: its code and how many decimals its minor unit has (JPY 0, KWD 3)."""

    code: str
    minor_digits: int

    @property
    def minor_per_major(self) -> int:
        """Minor units in one major unit: 100 for USD, 1 for JPY."""
        return int(10**self.minor_digits)


def currency(code: str) -> Currency:
    """The currency of an upper-case ISO 4217 code; DocumentError for any other text."""
    try:
        found = iso4217.Currency(code)
    except ValueError:
        found = None
    if found is None or found.exponent is None:
        raise DocumentError(
            "currency", f'"{code:.20}" is not an ISO 4217 currency; write a code such as USD'
        )
    return Currency(code=code, minor_digits=int(found.exponent))


def _known_currency(code: str) -> str:
    try:
        return currency(code).code
    except DocumentError as error:
        raise ValueError(error.sentence) from None


CurrencyCode = Annotated[
    str,
    BeforeValidator(lambda code: _known_currency(str(code))),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"}),
]
"""An upper-case ISO 4217 code with a minor unit."""


def exact_text(amount: Fraction | int) -> str:
    """An exact amount as text: a decimal where it terminates, else ``n/d`` in lowest terms."""
    numerator, denominator = amount.numerator, amount.denominator
    if denominator == 1:
        return str(numerator)
    rest, twos, fives = denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return f"{numerator}/{denominator}"
    digits = max(twos, fives)
    return scaled_text(numerator * 10**digits // denominator, digits=digits)


def scaled_text(scaled: int, *, digits: int) -> str:
    """The integer ``scaled`` / 10**digits as a plain decimal without trailing zeros."""
    if digits == 0:
        return str(scaled)
    sign, scaled = ("-", -scaled) if scaled < 0 else ("", scaled)
    text = str(scaled).rjust(digits + 1, "0")
    whole, fraction = text[:-digits], text[-digits:].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def parse_exact(text: str) -> Fraction:
    """The inverse of ``exact_text``; ValueError for any other text."""
    if not _EXACT.match(text) and not _RATIO.match(text):
        raise ValueError(f'must be a plain decimal or "n/d", not "{text:.40}"')
    return Fraction(text)


def round_half_away(exact: Fraction) -> int:
    """The nearest integer, halves away from zero: 0.5 -> 1, -0.5 -> -1, 1.49 -> 1.

    Rounding happens at three named sites and nowhere else: the net per tax category of an invoice,
    the tax on it, and the units of a payment rail.
    """
    doubled = 2 * abs(exact.numerator) + exact.denominator
    rounded = doubled // (2 * exact.denominator)
    return rounded if exact >= 0 else -rounded


def allocate_minor(exact: Sequence[Fraction], *, total_minor: int) -> tuple[int, ...]:
    """Share ``total_minor`` over the parts: each is floored, leftover units go to the largest
    fractions.

    ``exact`` are the parts in minor units, and ``total_minor`` their sum, rounded; ties go by
    order, so the same parts give the same shares on every machine. Raises ValueError where the
    total is not within one unit of the sum per part, because it then belongs to other parts.
    """
    floors = [part.numerator // part.denominator for part in exact]
    leftover = total_minor - sum(floors)
    if not 0 <= leftover <= len(exact):
        raise ValueError(f"{total_minor} is not the rounded sum of these parts")
    by_fraction = sorted(range(len(exact)), key=lambda i: (floors[i] - exact[i], i))
    for i in by_fraction[:leftover]:
        floors[i] += 1
    return tuple(floors)


def to_read(exact: Fraction) -> Decimal:
    """A figure to 60 digits, to be shortened for the eye; never computed with, never kept."""
    return Context(prec=60).divide(Decimal(exact.numerator), Decimal(exact.denominator))


def amount_text(amount: Fraction, *, unit: Currency) -> str:
    """An amount to its minor unit, or to four digits where it is under 1 (display only)."""
    exact, digits = to_read(amount), unit.minor_digits
    if exact and abs(exact) < 1:
        digits = 3 - exact.adjusted()
    return f"{exact:,.{digits}f}"

"""Parts of JSON that others write: numbers, lists and objects, and what of them cannot be read.

Invariant: whatever stands in a file, a part of it is of the kind that was asked for, or an
``InexpressibleError`` says what it is instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from pricing_rules.document import JsonValue

NOT_A_PRICE = "not a price that a number can say"
UNREAD_PRICE = "a price that this import does not read"
UNREAD_TIME = "a time that this import does not read"

_NUMBER = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,2})?\Z")


class InexpressibleError(ValueError):
    """What a price book cannot say: ``reason`` is the kind of it, ``detail`` what it is here."""

    def __init__(self, reason: str, *, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def decimal_number(value: JsonValue) -> Fraction | None:
    """A number >= 0, as exactly as its text says it; None for everything else.

    A float is read by its shortest decimal: 1e-07 is one ten-millionth. So are texts of numbers.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = value if isinstance(value, str) else repr(value)
    return Fraction(text) if _NUMBER.match(text) else None


def price_number(value: JsonValue, *, name: str) -> Fraction:
    """A price; InexpressibleError for what is no number >= 0, with the name of its field."""
    found = decimal_number(value)
    if found is None:
        raise InexpressibleError(NOT_A_PRICE, detail=f"{name} is {shown(value)}")
    return found


def whole_number(value: JsonValue, *, name: str) -> int:
    """An integer >= 0 of at most 12 digits, also as a float; InexpressibleError for all else."""
    found = decimal_number(value)
    if found is None or found.denominator != 1 or found > 10**12 or isinstance(value, str):
        raise InexpressibleError(
            "not a whole number of tokens or searches", detail=f"{name} is {shown(value)}"
        )
    return int(found)


def object_part(value: JsonValue, *, name: str) -> Mapping[str, JsonValue]:
    """An object, empty where it is absent or null; InexpressibleError for all else."""
    if value is not None and not isinstance(value, dict):
        raise InexpressibleError(UNREAD_PRICE, detail=f"{name} is {shown(value)}, and no object")
    return value or {}


def list_part(value: JsonValue, *, name: str) -> list[JsonValue]:
    """A list, empty where it is absent or null; InexpressibleError for all else."""
    if value is not None and not isinstance(value, list):
        raise InexpressibleError(UNREAD_PRICE, detail=f"{name} is {shown(value)}, and no list")
    return value or []


def shown(value: JsonValue) -> str:
    """A value as a sentence shows it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

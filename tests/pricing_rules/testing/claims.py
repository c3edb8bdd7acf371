"""What tests of assertions share: what an assertion says, and books by hand to say it of.

Invariant: a claim is a call without arguments, so that its message is asked for in one place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pricing_rules.document import DocumentError
from pricing_rules.prices.price_book import PriceBook
from tests.pricing_rules.prices.made_books import (
    book_json,
    card_json,
    one_card_book,
    read_book,
)
from tests.pricing_rules.rules.made_documents import (
    made_rule,
)

Json = dict[str, Any]

OUTPUT = {"units": ["output_tokens"]}


def message(claim: Callable[[], None]) -> str:
    """What an assertion says that fails."""
    with pytest.raises(AssertionError) as caught:
        claim()
    return str(caught.value)


def refusal(claim: Callable[[], object]) -> str:
    """What an assertion says that cannot be made."""
    with pytest.raises(DocumentError) as caught:
        claim()
    return str(caught.value)


def plain(rate: str = "1", *, unit: str = "input_tokens", **when: Any) -> Json:
    """A rate of one unit."""
    return {"unit": unit, "rate": rate, **({"when": when} if when else {})}


def laddered(kind: str, *bands: Json, **settings: Any) -> PriceBook:
    """A book of one ladder of input tokens."""
    ladder = {"id": "l", "kind": kind, "bands": list(bands), **settings}
    return one_card_book([{"unit": "input_tokens", "ladder": ladder}])


def nano_step() -> Json:
    """Rates to nine decimals, so that they can lie at a floor."""
    step: Json = made_rule("fine", then={"action": "round_up_to", "step": "0.000000001"})
    return step


def book_of(number: int, *cards: Json) -> PriceBook:
    """A book of the series "public"."""
    return read_book(book_json(cards, number=number))


BEFORE = book_of(1, card_json([plain("10"), plain("0", unit="output_tokens")]))
"""A book by hand, without measured costs."""

"""Which rates of a book the discounts of an agreement press under their floor."""

from __future__ import annotations

import json

from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.discounts import agreed_rates_under_floor
from pricing_rules.document import load_yaml
from pricing_rules.prices.price_book import PriceBook, load_price_book
from tests.billing.operations.made_store import agreement_text
from tests.billing.operations.test_agreement import FLOORED
from tests.journeys.made_files import Json, book, card, rate_of


def _book(*rates: Json) -> PriceBook:
    """A card with a floor of 3 per million on output tokens, and one without cost."""
    value = book({**FLOORED, "rates": list(rates)}, card(rate_of("output_tokens", "1"), model="n"))
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

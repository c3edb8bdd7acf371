"""A rate that is a part of another one: the walk goes on there, and comes to an end.

Invariant: every rule that took a part of another rate is followed to that rate's own floor, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pricing_rules.prices.explain import Step, explain_unit
from pricing_rules.prices.price_book import PriceBook
from tests.pricing_rules.prices.made_books import book_json, card_json, read_book


def _rate(unit: str, rate: str, *, of: tuple[str, str] | None = None) -> dict[str, Any]:
    step = {"rule": "r", "action": "a", "after": rate, "why": "w"}
    related = {} if of is None else {"related_service_tier": of[0], "related_unit": of[1]}
    return {"unit": unit, "rate": rate, "steps": [{**step, **related}]}


def _book(*, standard_of: tuple[str, str] | None = None, batch_of: tuple[str, str]) -> PriceBook:
    standard = card_json([_rate("output_tokens", "4", of=standard_of)], service_tier="standard")
    batch = card_json([_rate("output_tokens", "2", of=batch_of)], service_tier="batch")
    return read_book(book_json([standard, batch]))


def _all(step: Step) -> Iterator[Step]:
    yield step
    for below in step.rests_on:
        yield from _all(below)


def _related(book: PriceBook) -> list[Step]:
    walk = explain_unit(book, model="m", service_tier="batch", unit="output_tokens")
    return [step for step in _all(walk) if step.kind == "related rate"]


def test_the_related_rate_stands_under_its_rule_with_its_own_floor() -> None:
    (related,) = _related(_book(batch_of=("standard", "output_tokens")))
    assert related.sentence == "m, standard, output_tokens: 4 per 1,000,000"
    assert [step.kind for step in related.rests_on] == ["rule", "cost"]


def test_rates_that_are_parts_of_one_another_are_each_walked_once() -> None:
    book = _book(standard_of=("batch", "output_tokens"), batch_of=("standard", "output_tokens"))
    (related,) = _related(book)
    assert related.sentence.startswith("m, standard, ")


@pytest.mark.parametrize("gone", [("priority", "output_tokens"), ("standard", "input_tokens")])
def test_a_rate_that_the_book_no_longer_has_ends_the_walk(gone: tuple[str, str]) -> None:
    assert _related(_book(batch_of=gone)) == []

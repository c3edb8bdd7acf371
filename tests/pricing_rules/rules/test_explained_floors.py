"""That every floor can be computed again from the sentences of `price explain` alone.

Figures are taken out of the walk, as a person would with a pencil; the book is read at the end
alone, for the floors that its rates were held against.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import pytest

from pricing_rules.cost.unit_cost import TOKEN_UNITS
from pricing_rules.document import dump, validate
from pricing_rules.prices.explain import Step, explain_unit
from pricing_rules.prices.price_book import PriceBook
from tests.pricing_rules.rules.made_documents import (
    card_of,
    figure,
    made_book,
    made_factory,
    made_points,
    made_service_tier,
    measured,
)
from tests.pricing_rules.rules.made_kinds import IDLE_USE, kinds, owned_factory

FLOOR = re.compile(
    r"(full|cash|short_run) floor (\S+) per Mtok = \((\S+) / (\S+) \+ (\S+)\) / \(1 - (\S+) - "
    r"(\S+)\)"
)
PER_TOKEN = re.compile(r"(\S+) us per input, (\S+) per cached and (\S+) per output token")
YEN = {"currency": "JPY", "per_usd": "151.2", "date": "2026-11-20", "source": "a bank"}
SHARE = {"revenue_share": figure("0.05")}


def below(step: Step, *, kind: str) -> Iterator[Step]:
    """The steps of one kind right under a step."""
    return (one for one in step.rests_on if one.kind == kind)


def number(step: Step, *, before: str) -> Fraction:
    """The number that stands before a word of the sentence."""
    found = re.search(rf"(\S+){before}", step.sentence)
    assert found, step.sentence
    return Fraction(found[1])


def unit_cost_again(step: Step, *, unit: str) -> Fraction:
    """Dollars: sum of weight x (its hour's parts) / 3600 x us per token, + what the model owes."""
    found = sum(
        (number(one, before=" USD per Mtok") for one in below(step, kind="cost per Mtok")),
        Fraction(0),
    )
    for hardware in below(step, kind="hardware"):
        weight = re.search(r"weight (\S+) ", hardware.sentence)
        hour = sum(number(part, before=" USD/h") for part in below(hardware, kind="hour"))
        per_token = PER_TOKEN.search(next(below(hardware, kind="shape fit")).sentence)
        assert weight
        assert per_token
        us = Fraction(per_token[1 + TOKEN_UNITS.index(unit)])
        found += Fraction(weight[1]) * hour / 3600 * us
    return found


def floor_again(step: Step, *, unit: str) -> tuple[str, Fraction]:
    """The kind of a floor and what it is, after every sum under it was computed again."""
    shown = FLOOR.fullmatch(step.sentence)
    assert shown, step.sentence
    floor, cost, utilization, variable, margin, share = map(Fraction, shown.groups()[1:])
    exchange = [one.sentence for one in below(step, kind="exchange rate")]
    per_usd = Fraction(exchange[0].split()[3]) if exchange else Fraction(1)
    again = unit_cost_again(next(below(step, kind="unit cost")), unit=unit) * per_usd
    assert float(cost) == pytest.approx(float(again), rel=2e-8)
    named = (number(one, before=" USD per Mtok") for one in below(step, kind="cost per Mtok"))
    assert variable == sum(named, Fraction(0)) * per_usd
    exact = (cost / utilization + variable) / (1 - margin - share)
    assert float(floor) == pytest.approx(float(exact), rel=1e-8)
    return shown[1], floor


def floors_of_walks(book: PriceBook, *, service_tier: str) -> Iterator[tuple[str, str, Fraction]]:
    """(unit, kind, floor that holds), each computed again, that of the slower one included."""
    for unit in TOKEN_UNITS:
        walk = explain_unit(book, model="m", service_tier=service_tier, unit=unit)
        step = next(below(walk, kind="floor"))
        kind, floor = floor_again(step, unit=unit)
        for raised in below(step, kind="running maximum"):
            own, slower = floor, next(below(raised, kind="floor"))
            _, floor = floor_again(slower, unit=unit)
            assert own < floor
        yield unit, kind, floor


@pytest.mark.parametrize("changed", [SHARE, {**SHARE, "currency": "JPY", "exchange": YEN}])
@pytest.mark.parametrize("name, kind", [("full", "full"), ("cash", "cash"), ("night", "short_run")])
def test_each_kind_of_floor_follows_from_its_walk(
    name: str, kind: str, changed: dict[str, Any]
) -> None:
    idle_use = {**IDLE_USE, "displaced_margin_usd_per_accelerator_hour": figure("0.34")}
    book = made_book(
        service_tiers=kinds(idle_use=idle_use), factory=owned_factory(), changed=changed
    )
    check(book, service_tier=name, kinds_of=[kind])


def raised_book() -> PriceBook:
    """A service tier of twice the promise, with a margin so low that the slower one raises it."""
    return made_book(
        factory=made_factory(
            usd_per_hour={"h100_sxm": "1.17", "b200_sxm": "1.73"}, variable="0.03"
        ),
        measurements=measured(
            (*made_points(), *made_points("b200_sxm", fast_share=0.9, first_row=10))
        ),
        service_tiers=[
            made_service_tier("standard", promise=60, margin="0.60"),
            made_service_tier("priority", promise=120, margin="0.05"),
        ],
    )


def test_a_floor_over_several_hardware_that_a_slower_service_tier_raised_follows_too() -> None:
    book = raised_book()
    assert all(one.raised for one in card_floors(book, service_tier="priority"))
    check(book, service_tier="standard", kinds_of=["full"])
    check(book, service_tier="priority", kinds_of=["full"])


def card_floors(book: PriceBook, *, service_tier: str) -> Sequence[Any]:
    cost = card_of(book, service_tier=service_tier).cost
    assert cost is not None
    return cost.floors


def check(book: PriceBook, *, service_tier: str, kinds_of: Sequence[str]) -> None:
    """The floors of the walks are those that rates were held against."""
    again = list(floors_of_walks(book, service_tier=service_tier))
    assert {kind for _, kind, _ in again} == set(kinds_of)
    assert [(unit, floor) for unit, _, floor in again] == [
        (one.unit, Fraction(one.floor)) for one in card_floors(book, service_tier=service_tier)
    ]


def test_a_floor_raised_by_a_card_that_is_gone_says_so_and_ends_there() -> None:
    document = dump(raised_book())
    document["rate_cards"] = [
        card for card in document["rate_cards"] if card["service_tier"] != "standard"
    ]
    book = validate(PriceBook, document, name="book.json", lines={})
    walk = explain_unit(book, model="m", service_tier="priority", unit="input_tokens")
    raised = next(below(next(below(walk, kind="floor")), kind="running maximum"))
    assert "the floor of standard, which is slower" in raised.sentence
    assert raised.rests_on == ()

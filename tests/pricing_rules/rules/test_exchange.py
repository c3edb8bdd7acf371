"""A book in another currency than the costs: floors converted at one dated rate, before the rules.

Invariant: the conversion is exact, stands in the book, and is refused where it is to another
currency.
"""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError, canonical_json, dump, load_json
from pricing_rules.money import decimal_text
from pricing_rules.prices.explain import Step, explain_unit
from pricing_rules.prices.price_book import PriceBook
from pricing_rules.rules.derivation import derive
from pricing_rules.rules.policy import load_policy
from tests.pricing_rules.rules.made_documents import (
    EFFECTIVE_FROM,
    INPUTS,
    card_of,
    entry_of,
    made_book,
    made_factory,
    made_points,
    made_policy,
    made_rule,
    made_service_tier,
    measured,
    policy_document,
    rate_of,
    set_to,
)

EXCHANGE = {"currency": "JPY", "per_usd": "151.20", "date": "2026-11-20", "source": "central bank"}
YEN: dict[str, Any] = {"currency": "JPY", "exchange": EXCHANGE}
OUTPUT = {"units": ["output_tokens"]}


def kinds(step: Step) -> list[str]:
    return [step.kind, *(kind for below in step.rests_on for kind in kinds(below))]


def test_floors_are_converted_before_the_rules_run() -> None:
    # .515873015 USD x 151.20 = 77.999999868 JPY; x 1.5 = 116.999999802, up to 117
    markup = made_rule("markup", then={"action": "markup", "share": "0.5"})
    book = made_book(rules=[markup], changed=YEN)
    assert (book.currency, rate_of(book, "output_tokens")) == ("JPY", "117")
    assert [
        (s.rule, str(s.before), str(s.after)) for s in entry_of(book, "output_tokens").steps
    ] == [
        ("floor", "None", "77.999999868"),
        ("markup", "77.999999868", "116.999999802"),
        ("round_up", "116.999999802", "117"),
    ]


def test_what_a_rule_sets_is_in_the_currency_of_the_book() -> None:
    book = made_book(rules=[set_to("78", when=OUTPUT)], changed=YEN)
    assert rate_of(book, "output_tokens") == "78"
    assert not book.findings
    under = made_book(rules=[set_to("77", when=OUTPUT)], changed=YEN)
    assert [finding.kind for finding in under.findings] == ["under_floor", "yield"]
    assert "77.999999868" in under.findings[0].sentence
    # 1,000 out at 77 JPY and 1,000 in at its floor, in dollars: 77/151.20 + .109126984
    assert "earns 618.3862" in under.findings[1].sentence


def test_cost_figures_per_million_are_converted_and_hours_are_not() -> None:
    costs = {}
    for name, changed in (("usd", {}), ("jpy", YEN)):
        cost = card_of(made_book(changed=changed, factory=made_factory(variable="0.05"))).cost
        assert cost is not None
        costs[name] = cost
    for usd, jpy in zip(costs["usd"].floors, costs["jpy"].floors, strict=True):
        assert jpy.unit_cost_per_mtok == usd.unit_cost_per_mtok * Decimal("151.20")
        assert jpy.variable_per_mtok == Decimal("7.56")  # .05 x 151.20
        assert jpy.floor == usd.floor * Decimal("151.20")
    assert costs["jpy"].hardware == costs["usd"].hardware


def test_a_raised_floor_is_named_in_the_currency_of_the_book() -> None:
    # Priority has the same points and a lower margin, so that its own floor is lower.
    book = made_book(
        service_tiers=[
            made_service_tier("standard", promise=60),
            made_service_tier("priority", promise=120, margin="0.10"),
        ],
        measurements=measured(made_points(fast_share=1.0)),
        changed=YEN,
    )
    (finding, *_) = [f for f in book.findings if f.id.endswith("priority/output_tokens")]
    cost = card_of(book, service_tier="priority").cost
    assert cost is not None
    floor = next(one for one in cost.floors if one.unit == "output_tokens")
    assert floor.raised is not None
    assert f"is {decimal_text(floor.floor)}, that of the slower" in finding.sentence
    assert f"its own is {decimal_text(floor.raised.own_floor)}" in finding.sentence
    walk = explain_unit(book, model="m", service_tier="priority", unit="output_tokens")
    (raised,) = (step for step in walk.rests_on[-1].rests_on if step.kind == "running maximum")
    assert raised.sentence == (
        f"raised from {decimal_text(floor.raised.own_floor)} to {decimal_text(floor.floor)}, the "
        "floor of standard, which is slower"
    )


def test_the_rate_stands_in_the_book_and_in_its_explanation() -> None:
    book = made_book(changed=YEN)
    assert book.exchange is not None
    assert dump(book)["exchange"] == EXCHANGE
    assert load_json(PriceBook, canonical_json(dump(book)), name="book.json") == book
    walk = explain_unit(book, model="m", service_tier="standard", unit="output_tokens")
    floor = next(step for step in walk.rests_on if step.kind == "floor")
    assert floor.rests_on[0] == Step(
        kind="exchange rate",
        sentence="1 USD = 151.20 JPY on 2026-11-20 (central bank)",
    )
    plain = explain_unit(made_book(), model="m", service_tier="standard", unit="output_tokens")
    assert "exchange rate" not in kinds(plain)
    assert "exchange" not in dump(made_book())


@pytest.mark.parametrize(
    "changed, where, sentence",
    [
        (
            {"currency": "EUR"},
            "policy.yaml:4 currency",
            "is EUR, but costs are in USD; give an exchange rate to EUR",
        ),
        (
            {"currency": "EUR", "exchange": EXCHANGE},
            "policy.yaml:38 exchange.currency",
            "is JPY, but the policy is in EUR; give the rate to EUR",
        ),
        (
            {"exchange": EXCHANGE},
            "policy.yaml:37 exchange",
            "is to JPY, but the policy is in USD; remove it",
        ),
        (
            {"exchange": {**EXCHANGE, "currency": "USD"}},
            "policy.yaml:37 exchange",
            "costs are in USD already; remove the exchange rate",
        ),
        (
            {"currency": "JPY", "exchange": {**EXCHANGE, "per_usd": "0"}},
            "policy.yaml:37 exchange",
            "per_usd must be above 0, not 0",
        ),
        (
            {"currency": "JPY", "exchange": {**EXCHANGE, "per_usd": "151.0000000001"}},
            "policy.yaml:37 exchange",
            "per_usd has more than 9 decimals: 151.0000000001; round it",
        ),
    ],
)
def test_a_rate_that_does_not_fit_the_currency_is_refused(
    changed: dict[str, Any], where: str, sentence: str
) -> None:
    text = json.dumps(policy_document(changed=changed), indent=1)
    with pytest.raises(DocumentError) as caught:
        load_policy(text.encode(), name="policy.yaml")
    assert (caught.value.where, caught.value.sentence) == (where, sentence)


def test_a_derivation_checks_the_currency_all_the_same() -> None:
    policy = made_policy().model_copy(update={"currency": "JPY"})
    with pytest.raises(DocumentError, match="policy currency: is JPY, but costs are in USD; give"):
        derive(
            made_factory(),
            policy=policy,
            measurements=measured(),
            number=1,
            effective_from=EFFECTIVE_FROM,
            inputs=INPUTS,
        )


def test_a_book_refuses_a_rate_to_another_currency() -> None:
    document = {**dump(made_book()), "exchange": EXCHANGE}
    with pytest.raises(
        DocumentError, match="rate is to JPY, and the book is in USD; give the rate"
    ):
        load_json(PriceBook, json.dumps(document).encode(), name="book.json")


@given(
    usd=st.decimals(0, 10_000, places=12),
    per_usd=st.decimals("0.000000001", 100_000, places=9),
)
def test_an_amount_is_converted_exactly(usd: Decimal, per_usd: Decimal) -> None:
    exchange = {**EXCHANGE, "per_usd": decimal_text(per_usd)}
    policy = made_policy(changed={"currency": "JPY", "exchange": exchange})
    assert Fraction(policy.converted(usd)) == Fraction(usd) * Fraction(per_usd)

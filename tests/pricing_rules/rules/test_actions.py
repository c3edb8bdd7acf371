"""Actions: what each makes of a rate, in exact sums."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pricing_rules.prices.conditions import When
from pricing_rules.rules.actions import (
    Action,
    LadderOfRates,
    Relate,
    chain_decimal,
    rounded_up,
    terminating,
)
from pricing_rules.rules.further_rates import ContextStep, DimensionRate, RegionRate, WindowRate

ACTION: TypeAdapter[Any] = TypeAdapter(Action)


def action(document: dict[str, Any]) -> Any:
    return ACTION.validate_json(json.dumps(document))


@pytest.mark.parametrize(
    "document, exact, text",
    [
        ({"action": "set", "rate": "3"}, "3", "set to 3"),
        # floor 2: 2 x 1.25 = 2.5; the rate of 5 plays no part
        ({"action": "markup", "share": "0.25"}, "2.5", "floor x (1 + 0.25)"),
        # floor 2: 2 / .8 = 2.5, of which .5 is a fifth
        ({"action": "margin", "share": "0.20"}, "2.5", "floor / (1 - 0.20)"),
        ({"action": "multiply", "factor": "0.9"}, "4.5", "x 0.9"),
        ({"action": "add", "per_mtok": "-1.5"}, "3.5", "add -1.5"),
        ({"action": "at_most", "rate": "4.99"}, "4.99", "at most 4.99"),
        ({"action": "at_most", "rate": "5"}, "5", "at most 5"),
        ({"action": "at_most", "rate": "5.01"}, "5", "at most 5.01"),
        ({"action": "at_least", "rate": "4.99"}, "5", "at least 4.99"),
        ({"action": "at_least", "rate": "5"}, "5", "at least 5"),
        ({"action": "at_least", "rate": "5.01"}, "5.01", "at least 5.01"),
        # floor 2: 2 x 2.4 = 4.8 under 5, 2 x 2.5 = 5, 2 x 2.6 = 5.2 over it
        ({"action": "at_least", "markup": "1.4"}, "5", "at least floor x (1 + 1.4)"),
        ({"action": "at_least", "markup": "1.5"}, "5", "at least floor x (1 + 1.5)"),
        ({"action": "at_least", "markup": "1.6"}, "5.2", "at least floor x (1 + 1.6)"),
        ({"action": "at_least", "markup": "0"}, "5", "at least floor x (1 + 0)"),
        ({"action": "round_up_to", "step": "0.3"}, "5.1", "up to a multiple of 0.3"),
        ({"action": "round_up_to", "step": "0.5"}, "5", "up to a multiple of 0.5"),
    ],
)
def test_an_action_makes_of_a_rate_of_5_over_a_floor_of_2(
    document: dict[str, str], exact: str, text: str
) -> None:
    found = action(document)
    assert found.exact(Fraction(5), floor=Fraction(2)) == Fraction(exact)
    assert found.text() == text


@pytest.mark.parametrize(
    "document, sentence",
    [
        ({"action": "set", "rate": 3}, "must be a string in quotes"),
        ({"action": "set", "rate": "-3"}, "must be a plain decimal"),
        ({"action": "margin", "share": "1"}, 'must be under 1, not "1"'),
        ({"action": "margin", "share": "20"}, 'write 20 % as "0.20"'),
        ({"action": "round_up_to", "step": "0"}, "must be above 0"),
        ({"action": "at_least"}, "a rate or a markup on the floor, one of them"),
        ({"action": "at_least", "rate": "1", "markup": "0"}, "one of them"),
        ({"action": "relate", "factor": "2"}, "to a unit or to a service_tier, one of them"),
        (
            {
                "action": "relate", "factor": "2",
                "unit": "input_tokens", "service_tier": "standard",
            },
            "one of them",
        ),
        ({"action": "relate", "factor": "2", "unit": "web_searches"}, "input_tokens"),
        ({"action": "context_step", "multiply": "2"}, "one of them"),
        (
            {
                "action": "context_step", "multiply": "2",
                "request_tokens_over": 1, "request_tokens_at_least": 2,
            },
            "one of them",
        ),
        ({"action": "discount", "share": "0.1"}, "does not match any of the expected tags"),
        (
            {"action": "ladder", "id": "l", "bands": [{"up_to": 1, "multiply": "1"}]},
            "leave the up_to of the last band out",
        ),
        (
            {"action": "ladder", "id": "l", "bands": [{"multiply": "1"}, {"multiply": "1"}]},
            "bands[0] is open but not the last",
        ),
        (
            {
                "action": "ladder", "id": "l",
                "bands": [
                    {"up_to": 5, "multiply": "1"}, {"up_to": 5, "multiply": "1"}, {"multiply": "1"},
                ],
            },
            "each up_to must lie above the one before",
        ),
    ],
)  # fmt: skip
def test_a_bad_action_is_refused(document: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        action(document)
    assert sentence in str(caught.value)


def test_actions_beside_other_rates_say_what_they_do() -> None:
    related = action({"action": "relate", "service_tier": "standard", "factor": "0.5"})
    assert isinstance(related, Relate)
    assert related.text() == "0.5 x the rate of standard"
    ladder = action(
        {
            "action": "ladder",
            "id": "volume",
            "bands": [{"up_to": 100, "multiply": "1"}, {"multiply": "0.9"}],
        }
    )
    assert isinstance(ladder, LadderOfRates)
    assert ladder.text() == "graduated ladder volume: x 1 up to 100, x 0.9 above"


def test_a_variant_adds_its_condition_once() -> None:
    over = action({"action": "context_step", "request_tokens_over": 8192, "multiply": "1.5"})
    region = action({"action": "region", "region": "eu", "multiply": "1.1"})
    dimension = action(
        {"action": "dimension", "name": "channel", "value": "partner", "multiply": "0.8"}
    )
    assert isinstance(over, ContextStep)
    assert isinstance(region, RegionRate)
    assert isinstance(dimension, DimensionRate)
    large = over.variant(When())
    assert large is not None
    here = region.variant(large)
    assert here is not None
    sold = dimension.variant(here)
    assert sold == When(region="eu", request_tokens_over=8192, dimensions={"channel": "partner"})
    assert sold is not None
    assert [one.variant(sold) for one in (over, region, dimension)] == [None, None, None]
    night = action({"action": "window", "window": "night", "multiply": "0.5"})
    assert isinstance(night, WindowRate)
    late = night.variant(sold)
    assert late == sold.model_copy(update={"window": "night"})
    assert late is not None
    assert night.variant(late) is None
    assert night.text() == "x 0.5 where window=night"
    # A window that is named already survives the context step.
    assert over.variant(When(window="night")) == When(window="night", request_tokens_over=8192)
    assert over.text() == "x 1.5 where request_tokens>8192"
    assert region.text() == "x 1.1 where region=eu"
    assert dimension.text() == "x 0.8 where channel=partner"
    # A condition that exists already survives the context step.
    assert over.variant(When(region="us")) == When(region="us", request_tokens_over=8192)


@given(
    st.fractions(min_value=0, max_value=10**6, max_denominator=10**6),
    st.sampled_from([Fraction(1, 1000), Fraction(1, 10**6), Fraction(1, 4), Fraction(3)]),
)
def test_rounding_up_never_goes_under_and_never_a_whole_step_over(
    rate: Fraction, step: Fraction
) -> None:
    rounded = rounded_up(rate, step=step)
    assert rate <= rounded < rate + step
    assert (rounded / step).denominator == 1


def test_a_rate_between_rules_keeps_18_decimals_rounded_up() -> None:
    assert chain_decimal(Fraction(1, 3)) == Decimal("0.333333333333333334")
    assert chain_decimal(Fraction(1, 8)) == Decimal("0.125")
    # 15 digits before the point and 18 after it are more than the 28 of decimal's own context.
    whole = Fraction("123456789012345.123456789012345678")
    assert str(chain_decimal(whole)) == "123456789012345.123456789012345678"
    with pytest.raises(ValueError, match="1/3 has no end as a decimal"):
        terminating(Fraction(1, 3))

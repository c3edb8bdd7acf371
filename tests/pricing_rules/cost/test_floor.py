"""Floors, the running maximum over service tiers, and the door through which floats leave."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.floor import (
    Floor,
    FloorKind,
    FloorTerms,
    ServiceTierFloor,
    floor_of,
    margin,
    markup,
    quantise,
    running_maximum,
)
from pricing_rules.document import DocumentError
from pricing_rules.money import decimal_text, parse_rate


def made_terms(
    utilization: str = "1", *, variable: str = "0", minimum_margin: str = "0", share: str = "0"
) -> FloorTerms:
    return FloorTerms(
        utilization=Decimal(utilization),
        variable_usd_per_mtok=Decimal(variable),
        minimum_margin=Decimal(minimum_margin),
        revenue_share=Decimal(share),
    )


def made_floor(usd_per_mtok: float, *, unit: str = "output_tokens") -> Floor:
    return floor_of(usd_per_mtok, unit=unit, kind="full", terms=made_terms())


def test_a_floor_is_cost_over_utilization_plus_variable_over_what_is_kept() -> None:
    # (.3/.6 + .01)/(1 - .2 - .05) = .51/.75 = .68; idle .5 - .3 = .2; margin .68 x .2 = .136;
    # share .68 x .05 = .034; .3 + .2 + .01 + .136 + .034 = .68
    terms = made_terms("0.6", variable="0.01", minimum_margin="0.2", share="0.05")
    floor = floor_of(0.3, unit="output_tokens", kind="full", terms=terms)
    assert floor.usd_per_mtok == Decimal("0.68")
    assert {part.name: part.usd_per_mtok for part in floor.parts} == {
        "unit_cost": Decimal("0.3"),
        "idle": Decimal("0.2"),
        "variable": Decimal("0.01"),
        "minimum_margin": Decimal("0.136"),
        "revenue_share": Decimal("0.034"),
    }


def test_at_full_use_without_margin_the_floor_is_the_unit_cost() -> None:
    assert made_floor(0.68).usd_per_mtok == Decimal("0.68")


shares = st.decimals("0", "0.45", places=4)


@given(
    cost=st.floats(0, 1e6),
    utilization=st.decimals("0.01", "1", places=4),
    variable=st.decimals("0", "100", places=6),
    minimum_margin=shares,
    share=shares,
)
def test_a_floor_follows_from_what_is_shown_and_its_parts_add_up(
    cost: float, utilization: Decimal, variable: Decimal, minimum_margin: Decimal, share: Decimal
) -> None:
    terms = FloorTerms(
        utilization=utilization,
        variable_usd_per_mtok=variable,
        minimum_margin=minimum_margin,
        revenue_share=share,
    )
    floor = floor_of(cost, unit="input_tokens", kind="full", terms=terms)
    shown = Fraction(floor.unit_cost_usd_per_mtok) / Fraction(utilization) + Fraction(variable)
    exact = shown / (1 - Fraction(minimum_margin) - Fraction(share))
    assert floor.usd_per_mtok == quantise(float(exact))
    assert float(sum(part.usd_per_mtok for part in floor.parts)) == pytest.approx(
        float(floor.usd_per_mtok), rel=2e-8
    )
    assert floor.usd_per_mtok >= floor.unit_cost_usd_per_mtok


@pytest.mark.parametrize("kind", ["cash", "short_run"])
def test_the_kinds_to_come_are_refused_by_name(kind: FloorKind) -> None:
    with pytest.raises(DocumentError, match=f"{kind} floors are not computed by this version"):
        floor_of(0.3, unit="output_tokens", kind=kind, terms=made_terms())


@pytest.mark.parametrize(
    "terms, where",
    [
        (made_terms("0"), "utilization"),
        (made_terms("-0.1"), "utilization"),
        (made_terms("1.01"), "utilization"),
        (made_terms(variable="-0.01"), "variable_usd_per_mtok"),
        (made_terms(minimum_margin="-0.01"), "minimum_margin"),
        (made_terms(share="-0.01"), "revenue_share"),
        (made_terms(minimum_margin="0.6", share="0.4"), "minimum_margin"),
        (made_terms(minimum_margin="0.6", share="0.5"), "minimum_margin"),
    ],
)
def test_terms_out_of_range_are_named(terms: FloorTerms, where: str) -> None:
    with pytest.raises(DocumentError) as error:
        floor_of(0.3, unit="output_tokens", kind="full", terms=terms)
    assert error.value.where == where


def test_a_margin_just_under_the_whole_rate_is_a_floor() -> None:
    # .3/(1 - .6 - .39) = 30
    terms = made_terms(minimum_margin="0.6", share="0.39")
    assert floor_of(0.3, unit="u", kind="full", terms=terms).usd_per_mtok == 30


@pytest.mark.parametrize("cost", [-0.01, float("nan"), float("inf")])
def test_a_cost_that_is_none_is_a_bug(cost: float) -> None:
    with pytest.raises(ValueError, match=r"below zero|not a number"):
        made_floor(cost)


@pytest.mark.parametrize(
    "value, text",
    [
        (0.1 + 0.2, "0.3"),
        (1 / 3, "0.333333333"),
        (2 / 3, "0.666666667"),
        (123456789.4, "123456789"),
        (1234567894.0, "1234567890"),
        (1000.0, "1000"),
        (1e-10 / 3, "0.0000000000333333333"),
        (0.0, "0"),
        (-0.0, "0"),
        (-1.5, "-1.5"),
    ],
)
def test_floats_leave_as_plain_decimals_of_nine_digits(value: float, text: str) -> None:
    assert decimal_text(quantise(value)) == text


@given(st.floats(1e-15, 1e14))
def test_what_leaves_is_a_rate_within_half_a_unit_of_the_ninth_digit(value: float) -> None:
    left = quantise(value)
    assert abs(Fraction(left) / Fraction(value) - 1) <= Fraction(5, 10**9)
    assert len(left.normalize().as_tuple().digits) <= 9
    assert parse_rate(decimal_text(left)) == left


@given(st.integers(-(10**9) + 1, 10**9 - 1), st.integers(-9, 6))
def test_what_has_nine_digits_leaves_unchanged(digits: int, exponent: int) -> None:
    exact = Decimal(digits).scaleb(exponent)
    assert quantise(float(exact)) == exact


def made_steps(*steps: tuple[str, float | None, float]) -> list[ServiceTierFloor]:
    return [
        ServiceTierFloor(service_tier=name, promised_tokens_per_s=promise, floor=made_floor(usd))
        for name, promise, usd in steps
    ]


def test_a_floor_never_falls_as_the_promise_rises_and_the_step_is_recorded() -> None:
    # priority is cheaper to make at 75 (.50) than standard at 50 (.60): it takes .60
    floors = made_steps(
        ("priority", 75, 0.50), ("batch", None, 0.40), ("standard", 50, 0.60), ("fast", 100, 0.70)
    )
    found = [
        (s.own.service_tier, str(s.usd_per_mtok), s.raised_by) for s in running_maximum(floors)
    ]
    assert found == [
        ("batch", "0.4", None),
        ("standard", "0.6", None),
        ("priority", "0.6", "standard"),
        ("fast", "0.7", None),
    ]


def test_an_equal_floor_stands_for_itself() -> None:
    found = running_maximum(made_steps(("batch", None, 0.40), ("standard", 50, 0.40)))
    assert [standing.raised_by for standing in found] == [None, None]


def test_floors_of_two_units_are_not_compared() -> None:
    steps = [
        ServiceTierFloor(
            service_tier="s", promised_tokens_per_s=50, floor=made_floor(0.1, unit=unit)
        )
        for unit in ("input_tokens", "output_tokens")
    ]
    with pytest.raises(ValueError, match="one unit"):
        running_maximum(steps)


@given(st.lists(st.tuples(st.floats(1, 300), st.floats(0, 100)), max_size=8))
def test_standing_floors_rise_and_are_never_under_the_own(
    steps: list[tuple[float, float]],
) -> None:
    found = running_maximum(made_steps(*((f"t{i}", x, y) for i, (x, y) in enumerate(steps))))
    standing = [one.usd_per_mtok for one in found]
    assert standing == sorted(standing)
    for one in found:
        assert one.usd_per_mtok >= one.own.floor.usd_per_mtok
        assert (one.raised_by is None) == (one.usd_per_mtok == one.own.floor.usd_per_mtok)


@pytest.mark.parametrize(
    "rate, cost, published",
    # G1: (1.35 - .226)/1.35 = .8326; G2: (5.40 - 2.955)/5.40 = .4528
    [
        pytest.param("1.35", "0.226", 0.83, id="G1"),
        pytest.param("5.40", "2.955", 0.45, id="G2"),
    ],
)
def test_published_margins_are_reproduced(rate: str, cost: str, published: float) -> None:
    found = margin(Decimal(rate), unit_cost_usd_per_mtok=Decimal(cost))
    assert float(found) == pytest.approx(published, abs=0.005)


def test_a_markup_is_on_the_cost_and_not_a_margin() -> None:
    # D3: 562,027/87,072 - 1 = 5.4547, published as 545 %; its margin is 84.5 %
    rate, cost = Decimal(562_027), Decimal(87_072)
    assert float(markup(rate, unit_cost_usd_per_mtok=cost)) == pytest.approx(5.45, abs=0.006)
    assert float(margin(rate, unit_cost_usd_per_mtok=cost)) == pytest.approx(0.845, abs=0.0005)

"""Floors, the running maximum over service tiers, and the door through which floats leave."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import fsum
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.accelerator_hour import AcceleratorHour, FloorKind, HourPart, PowerKw
from pricing_rules.cost.floor import (
    Floor,
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


def test_a_cash_floor_has_no_margin_and_a_short_run_floor_pays_for_its_own_seconds_alone() -> None:
    # full: (.3/.6 + .01)/(1 - .2 - .05) = .68; cash: .51/.95 = .536842
    # short_run: (.3 + .01)/.95 = .326316
    terms = made_terms("0.6", variable="0.01", minimum_margin="0.2", share="0.05")
    found = {
        kind: floor_of(0.3, unit="output_tokens", kind=kind, terms=terms)
        for kind in get_args(FloorKind)
    }
    assert {kind: str(floor.usd_per_mtok) for kind, floor in found.items()} == {
        "full": "0.68", "cash": "0.536842105", "short_run": "0.326315789",
    }  # fmt: skip
    cash, short_run = found["cash"].terms, found["short_run"].terms
    assert (str(cash.minimum_margin), str(cash.utilization)) == ("0", "0.6")
    assert (str(short_run.minimum_margin), str(short_run.utilization)) == ("0", "1")
    assert found["short_run"].parts[1].usd_per_mtok == 0


hour_parts = st.floats(0, 10)


@given(
    hour=st.tuples(hour_parts, hour_parts, hour_parts),
    idle_share=st.floats(0, 1),
    us_per_token=st.floats(0, 1e4),
    amortisation=st.floats(0, 5),
    terms=st.builds(
        FloorTerms,
        utilization=st.decimals("0.01", "1", places=4),
        variable_usd_per_mtok=st.decimals("0", "100", places=6),
        minimum_margin=shares,
        revenue_share=shares,
    ),
)
def test_with_nothing_displaced_short_run_is_at_most_cash_and_cash_at_most_full(
    hour: tuple[float, float, float],
    idle_share: float,
    us_per_token: float,
    amortisation: float,
    terms: FloorTerms,
) -> None:
    capital, electricity, staff = hour
    whole = AcceleratorHour(
        hardware="h",
        parts=tuple(
            HourPart(name=name, usd_per_hour=usd, source="made up")
            for name, usd in zip(
                ("accelerator", "electricity", "staff_software"), hour, strict=True
            )
        ),
        power=PowerKw(board_kw=None, it_kw=None, facility_kw=None),
        energy_over_idle=HourPart(
            name="energy_over_idle", usd_per_hour=electricity * (1 - idle_share), source="made up"
        ),
    )

    def floor(kind: FloorKind) -> Decimal:
        made = amortisation if kind == "full" else 0.0
        cost = whole.counted(kind).usd_per_hour / 3600 * us_per_token + made
        return floor_of(cost, unit="output_tokens", kind=kind, terms=terms).usd_per_mtok

    assert floor("short_run") <= floor("cash") <= floor("full")
    assert whole.counted("cash").usd_per_hour == fsum((electricity, staff))
    assert whole.usd_per_hour == fsum((capital, electricity, staff))


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


def test_equal_promises_do_not_raise_one_another() -> None:
    # Whatever their order, .30 and .50 at 50 stand beside each other; both raise .10 at 75 to .50.
    for first, second in ((0.30, 0.50), (0.50, 0.30)):
        found = running_maximum(made_steps(("a", 50, first), ("b", 50, second), ("fast", 75, 0.10)))
        assert [float(standing.usd_per_mtok) for standing in found] == [first, second, 0.50]
        assert [standing.raised_by is None for standing in found] == [True, True, False]


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
    for one in found:
        slower = [
            other.usd_per_mtok
            for other in found
            if (other.own.promised_tokens_per_s or 0) < (one.own.promised_tokens_per_s or 0)
        ]
        assert all(one.usd_per_mtok >= floor for floor in slower)
        assert one.usd_per_mtok >= one.own.floor.usd_per_mtok
        assert (one.raised_by is None) == (one.usd_per_mtok == one.own.floor.usd_per_mtok)


def test_a_margin_is_on_the_rate_and_a_markup_on_the_cost() -> None:
    # 1.00 over .80: a margin of .20 and a markup of .25
    rate, cost = Decimal("1.00"), Decimal("0.80")
    assert margin(rate, unit_cost_usd_per_mtok=cost) == Fraction(1, 5)
    assert markup(rate, unit_cost_usd_per_mtok=cost) == Fraction(1, 4)

"""The cost of an accelerator-hour: parts, depreciation, electricity, and what each floor counts."""

from __future__ import annotations

from decimal import Decimal
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.accelerator_hour import HourPart, accelerator_hour
from pricing_rules.cost.depreciation import capital_recovery_factor, economic_share
from pricing_rules.cost.factory import load_factory
from pricing_rules.document import DocumentError
from tests.pricing_rules.cost.made_factory import (
    FACTORY,
    FLAT,
    IDLE,
    NIGHT_AND_DAY,
    depreciated,
    economic,
    factory,
    hourly,
    parts_of,
)


def test_a_rented_hour_is_its_all_in_price_and_nothing_more() -> None:
    hour = accelerator_hour(factory(), hardware="h100_sxm")
    assert [(p.name, p.usd_per_hour, p.source) for p in hour.parts] == [
        ("all_in", 1.17, "a price table (2026-07-01)")
    ]
    assert hour.usd_per_hour == 1.17


def test_an_owned_hour_is_shown_part_by_part_and_adds_up() -> None:
    # 8,760 h x .95 = 8,322 available hours a year; straight line over 5 years:
    #   30,000/5/8,322 = .720980; 8,000/5/8,322 = .192261; 4,000/5/8,322 = .096131
    # 150 x 1.71 kW x 12/8,322 = .369863; 1.71 x 1.3 x .08 = .17784; .19/.95 = .2
    expected = {
        "accelerator": 0.720980,
        "system": 0.192261,
        "network_storage": 0.096131,
        "datacentre": 0.369863,
        "electricity": 0.177840,
        "staff_software": 0.2,
    }
    assert parts_of(factory(), hardware="b200_sxm") == pytest.approx(expected, abs=1e-6)
    hour = accelerator_hour(factory(), hardware="b200_sxm")
    assert hour.usd_per_hour == fsum(part.usd_per_hour for part in hour.parts)
    assert hour.usd_per_hour == pytest.approx(1.757075, abs=1e-5)
    assert hour.parts[4].source == "supplier (2026-01-01); meter (2026-06-01)"


def test_capital_recovery_adds_the_interest_on_what_is_left() -> None:
    # CRF(8 %, 5) = .08/(1 - 1.08^-5) = .250456; 30,000 x .250456/8,322 = .902872
    interest = '{value: "0.08", source: bank, source_date: "2026-01-01"}'
    found = factory(
        "{basis: straight}", new=f"{{basis: capital_recovery, interest_per_year: {interest}}}"
    )
    assert parts_of(found, hardware="b200_sxm")["accelerator"] == pytest.approx(0.902872, abs=1e-6)
    hour = accelerator_hour(found, hardware="b200_sxm")
    assert "bank (2026-01-01)" in hour.parts[0].source


def test_capital_recovery_without_interest_is_the_straight_line() -> None:
    assert capital_recovery_factor(0, years=4) == 0.25
    assert capital_recovery_factor(1e-12, years=4) == pytest.approx(0.25)


@given(r=st.floats(1e-6, 1), years=st.floats(0.5, 30))
def test_capital_recovery_pays_back_the_price_with_interest(r: float, years: float) -> None:
    # The present value of n yearly payments of CRF is 1: CRF (1 - (1+r)^-n)/r = 1
    factor = capital_recovery_factor(r, years=years)
    assert factor * (1 - (1 + r) ** -years) / r == pytest.approx(1, rel=1e-6)
    assert factor >= 1 / years


@pytest.mark.parametrize(
    "age, usd_per_hour",
    # First year: (.08 + .30)/(1 - (.70/1.08)^5) = .38/(1 - .114387) = .429081 of the price;
    # 30,000 x .429081/8,322 = 1.546795. Each later year .70 of the one before: a start, an
    # anniversary and the last year.
    [("0", 1.546795), ("0.99", 1.546795), ("1", 1.082756), ("4.5", 1.546795 * 0.7**4)],
)
def test_economic_depreciation_follows_the_value_of_what_is_made(
    age: str, usd_per_hour: float
) -> None:
    hour = accelerator_hour(depreciated(economic(age=age)), hardware="b200_sxm")
    assert hour.parts[0].usd_per_hour == pytest.approx(usd_per_hour, rel=1e-5)
    assert hour.parts[0].source == (
        "offer (2026-05-01); policy (2026-01-01); bank (2026-01-01); index (2026-01-01); "
        "ledger (2026-10-01); last year (2026-01-01)"
    )


def test_economic_depreciation_ends_with_the_life() -> None:
    with pytest.raises(DocumentError, match="its age of 5 years is its life of 5 or more"):
        depreciated(economic(age="5"))
    whole = FACTORY.decode().replace("{basis: straight}", f"{{{economic(age='0')}}}")
    broken = whole.replace('life_years: {value: "5"', 'life_years: {value: "5.5"')
    with pytest.raises(DocumentError, match=r"by whole years; life_years is 5\.5"):
        load_factory(broken.encode(), name="factory.yaml")


@given(
    r=st.floats(0, 1), d=st.one_of(st.just(0.0), st.floats(1e-6, 0.95)), years=st.integers(1, 20)
)
def test_economic_charges_pay_back_the_price_and_fall_with_it(
    r: float, d: float, years: int
) -> None:
    def share(age: int) -> float:
        return economic_share(r, decline_per_year=d, years=years, age_years=age)

    # Paid at the end of each year: sum of charge/(1+r)^(t+1) is the whole price.
    paid = fsum(share(t) / (1 + r) ** (t + 1) for t in range(years))
    assert paid == pytest.approx(1, rel=1e-6)
    assert all(share(t + 1) == pytest.approx(share(t) * (1 - d)) for t in range(years - 1))
    if d == 0:
        assert share(0) == pytest.approx(capital_recovery_factor(r, years=years), rel=1e-6)


@pytest.mark.parametrize("days", [1, 7])
def test_electricity_by_the_hour_counts_every_hour_alike_without_a_load(days: int) -> None:
    # A day of 24 hours or the same seven times: (8 x .04 + 16 x .10)/24 = .08, as flat
    hour = accelerator_hour(factory(FLAT, new=hourly(NIGHT_AND_DAY * days)), hardware="b200_sxm")
    assert hour.parts[4].usd_per_hour == pytest.approx(0.17784)
    assert hour.parts[4].source == "exchange (2026-10-01), every hour alike; meter (2026-06-01)"


def test_a_load_weighs_electricity_by_when_tokens_are_served() -> None:
    # Three times as much in each hour of the day as of the night:
    # (8 x 1 x .04 + 16 x 3 x .10)/(8 + 48) = 5.12/56 = .0914286; x 1.71 x 1.3 = .203246
    load = tuple(Decimal(w) for w in ["1"] * 8 + ["3"] * 16) * 7
    found = factory(FLAT, new=hourly(NIGHT_AND_DAY))
    hour = accelerator_hour(found, hardware="b200_sxm", load_by_hour=load)
    assert hour.parts[4].usd_per_hour == pytest.approx(5.12 / 56 * 1.71 * 1.3)
    assert "weighed by the load of the hour" in hour.parts[4].source
    night = tuple(Decimal(w) for w in ["1"] * 8 + ["0"] * 16) * 7
    cheap = accelerator_hour(found, hardware="b200_sxm", load_by_hour=night)
    assert cheap.parts[4].usd_per_hour == pytest.approx(0.04 * 1.71 * 1.3)


@pytest.mark.parametrize("load", [(Decimal(1),) * 24, (Decimal(0),) * 168])
def test_a_load_is_a_week_of_something(load: tuple[Decimal, ...]) -> None:
    with pytest.raises(ValueError, match="168 weights"):
        accelerator_hour(
            factory(FLAT, new=hourly(NIGHT_AND_DAY)), hardware="b200_sxm", load_by_hour=load
        )


def test_a_cash_hour_has_no_capital_and_a_short_run_hour_only_what_serving_adds() -> None:
    # short_run: (1.71 - .51) kW x 1.3 x .08 = .1248
    hour = accelerator_hour(factory("      pue:", new=IDLE), hardware="b200_sxm")
    assert hour.counted("full") == hour
    cash = hour.counted("cash")
    assert [part.name for part in cash.parts] == ["datacentre", "electricity", "staff_software"]
    assert cash.usd_per_hour == pytest.approx(0.369863 + 0.17784 + 0.2, abs=1e-6)
    displaced = HourPart(name="margin_displaced", usd_per_hour=0.05, source="rates")
    short = hour.counted("short_run", displaced=displaced)
    assert [(part.name, part.usd_per_hour) for part in short.parts] == [
        ("energy_over_idle", pytest.approx(0.1248)),
        ("margin_displaced", 0.05),
    ]
    assert short.parts[0].source == (
        "supplier (2026-01-01); meter (2026-06-01); meter (2026-06-02)"
    )
    assert hour.counted("short_run").usd_per_hour == pytest.approx(0.1248)
    with pytest.raises(ValueError, match="a cash floor displaces nothing"):
        hour.counted("cash", displaced=displaced)


def test_a_rented_hour_is_all_cash_and_its_energy_is_paid_for_busy_or_idle() -> None:
    hour = accelerator_hour(factory(), hardware="h100_sxm")
    assert hour.counted("cash").usd_per_hour == 1.17
    assert hour.counted("short_run").usd_per_hour == 0
    assert hour.counted("short_run").parts[0].source.startswith("inside the all-in price")


def test_a_short_run_hour_needs_the_idle_power() -> None:
    hour = accelerator_hour(factory(), hardware="b200_sxm")
    with pytest.raises(DocumentError, match=r"hardware b200_sxm: .* give its power an it_idle_kw"):
        hour.counted("short_run")


def test_power_keeps_its_three_denominators_apart() -> None:
    # facility = 1.71 x 1.3 = 2.223 kW; without a PUE or IT power there is none
    owned = accelerator_hour(factory(), hardware="b200_sxm").power
    assert (owned.board_kw, owned.it_kw) == (None, 1.71)
    assert owned.facility_kw == pytest.approx(2.223)
    rented = accelerator_hour(factory(), hardware="h100_sxm").power
    assert (rented.board_kw, rented.it_kw, rented.facility_kw) == (0.7, None, None)

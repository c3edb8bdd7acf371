"""The document factory.yaml and the cost of an accelerator-hour."""

from __future__ import annotations

from decimal import Decimal
from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.factory import (
    Factory,
    accelerator_hour,
    accelerators_within,
    capital_recovery_factor,
    load_factory,
)
from pricing_rules.document import DocumentError, dump, validate

FACTORY = b"""\
schema: tokenworks.factory/1
name: made up
hardware:
  h100_sxm:
    rented:
      all_in_usd_per_hour: {value: "1.17", source: a price table, source_date: "2026-07-01"}
    power:
      board_kw: {value: "0.7", source: data sheet, source_date: "2026-07-01"}
  b200_sxm:
    owned:
      accelerator_price_usd: {value: "30000", source: offer, source_date: "2026-05-01"}
      system_share_usd: {value: "8000", source: offer, source_date: "2026-05-01"}
      network_storage_share_usd: {value: "4000", source: offer, source_date: "2026-05-02"}
      life_years: {value: "5", source: policy, source_date: "2026-01-01"}
      depreciation: {basis: straight}
      datacentre_usd_per_kw_month: {value: "150", source: lease, source_date: "2026-01-01"}
      electricity_usd_per_kwh: {value: "0.08", source: supplier, source_date: "2026-01-01"}
      staff_software_usd_per_hour: {value: "0.19", source: budget, source_date: "2026-01-01"}
      availability: {value: "0.95", source: last year, source_date: "2026-01-01"}
    power:
      it_kw: {value: "1.71", source: meter, source_date: "2026-06-01"}
      pue: {value: "1.3", source: meter, source_date: "2026-06-01"}
pools:
  - name: main
    use: shared
    hardware: {h100_sxm: 64, b200_sxm: 16}
    models: [gpt-oss-120b]
    service_tiers: [batch, standard]
    utilization: {value: "0.55", source: last quarter, source_date: "2026-10-01"}
variable_usd_per_mtok:
  egress: {value: "0.001", source: supplier, source_date: "2026-10-01"}
  gateway: {value: "0.0025", source: budget, source_date: "2026-10-01"}
"""


def factory(old: str = "", *, new: str = "") -> Factory:
    """The factory above with one text replaced."""
    assert old in FACTORY.decode()
    return load_factory(FACTORY.decode().replace(old, new).encode(), name="factory.yaml")


def parts_of(found: Factory, hardware: str) -> dict[str, float]:
    hour = accelerator_hour(found, hardware=hardware)
    return {part.name: part.usd_per_hour for part in hour.parts}


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
    assert parts_of(factory(), "b200_sxm") == pytest.approx(expected, abs=1e-6)
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
    assert parts_of(found, "b200_sxm")["accelerator"] == pytest.approx(0.902872, abs=1e-6)
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


def test_power_keeps_its_three_denominators_apart() -> None:
    # facility = 1.71 x 1.3 = 2.223 kW; without a PUE or IT power there is none
    owned = accelerator_hour(factory(), hardware="b200_sxm").power
    assert (owned.board_kw, owned.it_kw) == (None, 1.71)
    assert owned.facility_kw == pytest.approx(2.223)
    rented = accelerator_hour(factory(), hardware="h100_sxm").power
    assert (rented.board_kw, rented.it_kw, rented.facility_kw) == (0.7, None, None)


@pytest.mark.parametrize(
    "site_kw, kw, accelerators",
    # case M: 1,000 kW / 1.37 kW = 729.9, whole ones only; 137 / 1.37 is exactly 100
    [("1000", "1.37", 729), ("136.99", "1.37", 99), ("137", "1.37", 100), ("137.01", "1.37", 100)],
)
def test_a_site_feeds_whole_accelerators(site_kw: str, kw: str, accelerators: int) -> None:
    found = accelerators_within(Decimal(site_kw), kw_per_accelerator=Decimal(kw))
    assert found == accelerators


def test_pools_and_variable_costs_are_read() -> None:
    found = factory()
    pool = found.pool("main")
    assert pool.hardware == {"h100_sxm": 64, "b200_sxm": 16}
    assert pool.utilization.source_text == "last quarter (2026-10-01)"
    assert found.variable_total_usd_per_mtok == Decimal("0.0035")
    with pytest.raises(DocumentError, match='no pool "other"; write one of main'):
        found.pool("other")
    with pytest.raises(DocumentError, match='no hardware "tpu"; write one of h100_sxm, b200_sxm'):
        accelerator_hour(found, hardware="tpu")


def test_a_factory_without_variable_costs_has_none() -> None:
    start = FACTORY.decode().index("variable_usd_per_mtok")
    found = load_factory(FACTORY[:start], name="factory.yaml")
    assert found.variable_total_usd_per_mtok == 0


def test_a_factory_written_out_and_read_again_is_the_same() -> None:
    again = validate(Factory, dump(factory()), name="factory.json", lines={})
    assert again == factory()


PRICE = '{value: "1.17", source: a price table, source_date: "2026-07-01"}'


@pytest.mark.parametrize(
    "old, new, where, sentence",
    [
        (
            "{basis: straight}",
            "{basis: economic}",
            "factory.yaml:15",
            "economic depreciation is not",
        ),
        ("{basis: straight}", "{basis: capital_recovery}", "factory.yaml:15", "interest_per_year"),
        (
            "{basis: straight}",
            f"{{basis: straight, interest_per_year: {PRICE}}}",
            "factory.yaml:15",
            "interest_per_year belongs to capital_recovery",
        ),
        (
            "electricity_usd_per_kwh:",
            "electricity_usd_per_kwh_by_hour:",
            "factory.yaml:17",
            "electricity by the hour is not computed by this version",
        ),
        ('value: "1.17"', "value: 1.17", "factory.yaml:6", "must be a string in quotes"),
        ('"0.55", source: last quarter,', '"0.55",', "factory.yaml:29", "missing field"),
        (', source_date: "2026-07-01"}\n  b200', "}\n  b200", "factory.yaml:8", "missing field"),
        ('value: "0.55"', 'value: "55"', "factory.yaml:29", "must be at most 1"),
        ('value: "0.55"', 'value: "0"', "factory.yaml:29", "must be above 0"),
        ('{value: "1.17"', '{value: "0"', "factory.yaml:6", "must be above 0"),
        ('value: "1.3"', 'value: "0.99"', "factory.yaml:22", "a PUE is at least 1"),
        ("b200_sxm: 16", "b300_sxm: 16", "factory.yaml:1", "hardware does not list"),
        ("b200_sxm: 16", "b200_sxm: 0", "factory.yaml:26", "greater than 0"),
        (f"rented:\n      all_in_usd_per_hour: {PRICE}\n    ", "", "factory.yaml:4", "exactly one"),
        ("      it_kw:", "      board_kw:", "factory.yaml:9", "its power needs it_kw and pue"),
        ("use: shared", "use: mixed", "factory.yaml:25", "'dedicated' or 'shared'"),
        ("factory/1", "factory/2", "factory.yaml:1", "tokenworks.factory/1"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    old: str, new: str, where: str, sentence: str
) -> None:
    with pytest.raises(DocumentError) as error:
        factory(old, new=new)
    assert error.value.where.split(" ")[0] == where
    assert sentence in error.value.sentence


def test_a_pool_stands_once() -> None:
    pool = FACTORY.decode()[FACTORY.decode().index("  - name: main") :].split("variable")[0]
    with pytest.raises(DocumentError, match='the pool "main" stands twice'):
        factory("pools:\n", new=f"pools:\n{pool}")


@pytest.mark.parametrize("edge", ["0.01", "1"])
def test_a_share_may_be_anything_up_to_one(edge: str) -> None:
    assert factory('value: "0.55"', new=f'value: "{edge}"').pool("main").utilization.value == (
        Decimal(edge)
    )


def test_an_owned_factory_may_have_a_pue_of_one() -> None:
    power = accelerator_hour(factory('value: "1.3"', new='value: "1"'), hardware="b200_sxm").power
    assert power.facility_kw == power.it_kw


def test_hardware_has_one_basis_only() -> None:
    with pytest.raises(DocumentError, match="exactly one"):
        factory("    owned:", new=f"    rented: {{all_in_usd_per_hour: {PRICE}}}\n    owned:")

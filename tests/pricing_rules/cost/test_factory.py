"""The document factory.yaml: what it holds, and what is wrong in one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from pricing_rules.cost.accelerator_hour import accelerator_hour
from pricing_rules.cost.factory import Factory, accelerators_within, load_factory
from pricing_rules.document import DocumentError, dump, validate
from tests.pricing_rules.cost.made_factory import (
    FACTORY,
    FLAT,
    LICENSED,
    MADE,
    NIGHT_AND_DAY,
    PRICE,
    economic_with_decline,
    factory,
    hourly,
)


def test_a_pool_may_state_its_load() -> None:
    load = 'load_by_hour: {values: ["1", ' + ", ".join(['"3"'] * 23) + "], source: meter, "
    found = factory(
        "    utilization:", new=f"    {load}source_date: 2026-10-01}}\n    utilization:"
    )
    stated = found.pool("main").load_by_hour
    assert stated is not None
    assert stated.source_text == "meter (2026-10-01)"
    assert stated.by_hour_of_week[24:26] == (Decimal(1), Decimal(3))


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
    variable = found.variable_of("gpt-oss-120b")
    assert {name: str(one.value) for name, one in variable.items()} == {
        "egress": "0.001", "gateway": "0.0025",
    }  # fmt: skip
    with pytest.raises(DocumentError, match='no pool "other"; write one of main'):
        found.pool("other")
    with pytest.raises(DocumentError, match='no hardware "tpu"; write one of h100_sxm, b200_sxm'):
        accelerator_hour(found, hardware="tpu")


def test_a_factory_without_variable_costs_has_none() -> None:
    start = FACTORY.decode().index("variable_usd_per_mtok")
    found = load_factory(FACTORY[:start], name="factory.yaml")
    assert found.variable_of("gpt-oss-120b") == {}
    assert found.amortisation_of("gpt-oss-120b") is None


@pytest.mark.parametrize(
    "costs, amortisation, licence",
    # 12,000,000 dollars over 40,000,000 Mtok are .30 per Mtok
    [
        (MADE, 0.30, None),
        (LICENSED, None, "0.02"),
        (f"{MADE}, {LICENSED}", 0.30, "0.02"),
    ],
)
def test_a_model_is_amortised_over_its_tokens_and_licensed_by_them(
    costs: str, amortisation: float | None, licence: str | None
) -> None:
    found = factory(
        "variable_usd_per_mtok:",
        new=f"models: {{gpt-oss-120b: {{{costs}}}}}\nvariable_usd_per_mtok:",
    )
    own = found.amortisation_of("gpt-oss-120b")
    assert (own and own.usd_per_mtok) == amortisation
    assert own is None or own.source == "budget (2026-02-01); forecast (2026-03-01)"
    variable = found.variable_of("gpt-oss-120b")
    assert (str(variable["licence"].value) if "licence" in variable else None) == licence
    assert "licence" not in found.variable_of("other")


def test_a_factory_written_out_and_read_again_is_the_same() -> None:
    again = validate(Factory, dump(factory()), name="factory.json", lines={})
    assert again == factory()


@pytest.mark.parametrize(
    "old, new, where, sentence",
    [
        (
            "{basis: straight}",
            "{basis: economic}",
            "factory.yaml:15",
            "interest_per_year belongs to capital_recovery and economic, and is needed there",
        ),
        (
            "{basis: straight}",
            f"{{basis: economic, interest_per_year: {PRICE}}}",
            "factory.yaml:15",
            "output_price_decline_per_year belongs to economic, and is needed there",
        ),
        (
            "{basis: straight}",
            economic_with_decline("1"),
            "factory.yaml:15",
            'must be under 1, not "1"; write a fall of 30 % as "0.30"',
        ),
        ("{basis: straight}", "{basis: capital_recovery}", "factory.yaml:15", "interest_per_year"),
        (
            "{basis: straight}",
            f"{{basis: straight, interest_per_year: {PRICE}}}",
            "factory.yaml:15",
            "interest_per_year belongs to capital_recovery",
        ),
        (
            FLAT,
            f"{FLAT}\n      {hourly(NIGHT_AND_DAY)}",
            "factory.yaml:10",
            "write exactly one of electricity_usd_per_kwh and electricity_usd_per_kwh_by_hour",
        ),
        (f"      {FLAT}\n", "", "factory.yaml:10", "write exactly one of electricity"),
        (FLAT, hourly(["0.1"] * 23), "factory.yaml:17", "has 23 hours; write 24 (a day) or 168"),
        (
            "    utilization:",
            "    load_by_hour: {values: [" + ", ".join(['"0"'] * 24) + "], source: s, "
            "source_date: 2026-10-01}\n    utilization:",
            "factory.yaml:29",
            "serves nothing in any hour",
        ),
        (
            "      it_kw:",
            '      it_idle_kw: {value: "1.72", source: s, source_date: 2026-01-01}\n      it_kw:',
            "factory.yaml:20",
            "it_idle_kw 1.72 must be at most it_kw, which is 1.71",
        ),
        (
            "board_kw",
            "it_idle_kw",
            "factory.yaml:7",
            "it_idle_kw 0.7 must be at most it_kw, which is none",
        ),
        (
            "variable_usd_per_mtok:",
            f"models: {{gpt-oss-120b: {{{MADE.split(', over')[0]}}}}}\nvariable_usd_per_mtok:",
            "factory.yaml:30",
            "cost_usd and over_mtok belong together; write both",
        ),
        (
            "variable_usd_per_mtok:",
            "models: {gpt-oss-120b: {}}\nvariable_usd_per_mtok:",
            "factory.yaml:30",
            "says no cost; write cost_usd and over_mtok, or licence_usd_per_mtok",
        ),
        (
            "variable_usd_per_mtok:\n  egress:",
            f"models: {{gpt-oss-120b: {{{LICENSED}}}}}\nvariable_usd_per_mtok:\n  licence:",
            "factory.yaml:1",
            '"licence" stands under variable_usd_per_mtok and under models; keep one',
        ),
        (
            "variable_usd_per_mtok:\n  egress:",
            f"models: {{M: {{{LICENSED}}}}}\nvariable_usd_per_mtok:\n  egress:",
            "factory.yaml:1",
            'models has costs of "M", which no pool serves, so no floor would count them',
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

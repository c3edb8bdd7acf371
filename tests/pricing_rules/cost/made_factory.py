"""A factory made up for the tests of the cost module: one rented accelerator and one owned.

Invariant: every figure is plain, so that sums show in the tests.
"""

from __future__ import annotations

from pricing_rules.cost.accelerator_hour import accelerator_hour
from pricing_rules.cost.factory import Factory, load_factory

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

MADE = (
    'cost_usd: {value: "12000000", source: budget, source_date: "2026-02-01"}, '
    'over_mtok: {value: "40000000", source: forecast, source_date: "2026-03-01"}'
)
LICENSED = 'licence_usd_per_mtok: {value: "0.02", source: agreement, source_date: "2026-02-01"}'


def factory(old: str = "", *, new: str = "") -> Factory:
    """The factory above with one text replaced."""
    assert old in FACTORY.decode()
    return load_factory(FACTORY.decode().replace(old, new).encode(), name="factory.yaml")


def parts_of(found: Factory, *, hardware: str) -> dict[str, float]:
    hour = accelerator_hour(found, hardware=hardware)
    return {part.name: part.usd_per_hour for part in hour.parts}


def depreciated(fields: str) -> Factory:
    return factory("{basis: straight}", new=f"{{{fields}}}")


def economic(*, age: str) -> str:
    return (
        'basis: economic, interest_per_year: {value: "0.08", source: bank, source_date: 2026-01-01}'
        ', output_price_decline_per_year: {value: "0.30", source: index, source_date: 2026-01-01}'
        f', age_years: {{value: "{age}", source: ledger, source_date: 2026-10-01}}'
    )


def hourly(values: list[str]) -> str:
    prices = ", ".join(f'"{value}"' for value in values)
    return (
        f"electricity_usd_per_kwh_by_hour: {{values: [{prices}], source: exchange, "
        "source_date: 2026-10-01}"
    )


FLAT = 'electricity_usd_per_kwh: {value: "0.08", source: supplier, source_date: "2026-01-01"}'
NIGHT_AND_DAY = ["0.04"] * 8 + ["0.10"] * 16
"""Eight hours at 4 cents, sixteen at 10: a mean of 8."""


IDLE = '      it_idle_kw: {value: "0.51", source: meter, source_date: "2026-06-02"}\n      pue:'


def economic_with_decline(value: str) -> str:
    return f"{{{economic(age='0')}}}".replace('"0.30"', f'"{value}"')


PRICE = '{value: "1.17", source: a price table, source_date: "2026-07-01"}'

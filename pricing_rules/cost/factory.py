"""What the factory pays: ``factory.yaml``, its hardware, pools, models and costs per Mtok.

Invariant: every figure has a source and a date, and what a floor needs of it is either stated or
refused by name, never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from pydantic import Field, PositiveInt, model_validator

from pricing_rules.cost.depreciation import Depreciation
from pricing_rules.cost.figures import (
    Figure,
    FiguresByHour,
    LoadByHour,
    PositiveFigure,
    PueFigure,
    ShareFigure,
)
from pricing_rules.document import Document, DocumentError, Name, load_yaml

LICENCE: Final = "licence"
"""What the licence of a model is called among its costs per million tokens."""


class Power(Document):
    """Power of one accelerator; ``it_kw`` is at the server, with its share of the host.

    ``it_idle_kw`` is by the same meter while it serves nothing: a short_run floor charges what
    serving draws over it.
    """

    board_kw: PositiveFigure | None = None
    it_kw: PositiveFigure | None = None
    it_idle_kw: PositiveFigure | None = None
    pue: PueFigure | None = None

    @model_validator(mode="after")
    def _idle_draws_less(self) -> Power:
        if self.it_idle_kw is None:
            return self
        if self.it_kw is None or self.it_idle_kw.value > self.it_kw.value:
            busy = "none" if self.it_kw is None else str(self.it_kw.value)
            raise ValueError(
                f"it_idle_kw {self.it_idle_kw.value} must be at most it_kw, which is {busy}"
            )
        return self


class Rented(Document):
    """An accelerator at an all-in price: power, colocation and staff of the landlord are inside."""

    all_in_usd_per_hour: PositiveFigure


class Owned(Document):
    """An accelerator that the factory bought; prices and hourly costs are per accelerator.

    ``system_share_usd``: its share of host, rack and cooling. ``datacentre_usd_per_kw_month`` is
    per IT kW. Electricity is flat or by hour, one of the two. ``availability``: the share of hours
    in which it can serve, which carries the cost of all.
    """

    accelerator_price_usd: Figure
    system_share_usd: Figure
    network_storage_share_usd: Figure
    life_years: PositiveFigure
    depreciation: Depreciation
    datacentre_usd_per_kw_month: Figure
    electricity_usd_per_kwh: Figure | None = None
    electricity_usd_per_kwh_by_hour: FiguresByHour | None = None
    staff_software_usd_per_hour: Figure
    availability: ShareFigure

    @model_validator(mode="after")
    def _computable(self) -> Owned:
        if (self.electricity_usd_per_kwh is None) == (self.electricity_usd_per_kwh_by_hour is None):
            raise ValueError(
                "electricity is flat or by the hour; write exactly one of electricity_usd_per_kwh "
                "and electricity_usd_per_kwh_by_hour"
            )
        age, life = self.depreciation.age_years, self.life_years.value
        if age is not None and life % 1:
            raise ValueError(
                f"economic depreciation is by whole years; life_years is {life}, write it whole"
            )
        if age is not None and age.value >= life:
            raise ValueError(
                f"its age of {age.value} years is its life of {life} or more, by which its price "
                "is recovered; state a longer life, or prices of 0"
            )
        return self


class Hardware(Document):
    """One kind of accelerator: rented or owned, and its power (needed where it is owned)."""

    rented: Rented | None = None
    owned: Owned | None = None
    power: Power = Power()

    @model_validator(mode="after")
    def _one_basis(self) -> Hardware:
        if (self.rented is None) == (self.owned is None):
            raise ValueError("is either rented or owned; write exactly one of the two")
        if self.owned and (self.power.it_kw is None or self.power.pue is None):
            raise ValueError("is owned, so its power needs it_kw and pue")
        return self


class Pool(Document):
    """Accelerators that serve together: how many of which hardware, which models, service tiers.

    ``utilization`` is the share of their available time that is sold, with its own source.
    ``load_by_hour`` weighs electricity that is priced by the hour: a token pays for the hour in
    which it is served. Without one a usage mix weighs it, and without that all hours are alike.
    """

    name: Name
    use: Literal["dedicated", "shared"]
    hardware: dict[Name, PositiveInt] = Field(min_length=1)
    models: tuple[Name, ...] = Field(min_length=1)
    service_tiers: tuple[Name, ...] = Field(min_length=1)
    utilization: ShareFigure
    load_by_hour: LoadByHour | None = None


class ModelCost(Document):
    """What a model costs beside the accelerators: what it cost to make, or a licence, or both.

    ``cost_usd`` is spread over ``over_mtok``: the million tokens of every kind that would be served
    in its life at 100 % busy. Like an accelerator it is paid for in idle hours too, so it goes into
    K and is divided by the utilization. ``licence_usd_per_mtok`` is owed on what is served alone,
    so it goes into v.
    """

    cost_usd: PositiveFigure | None = None
    over_mtok: PositiveFigure | None = None
    licence_usd_per_mtok: Figure | None = None

    @model_validator(mode="after")
    def _says_something(self) -> ModelCost:
        if (self.cost_usd is None) != (self.over_mtok is None):
            raise ValueError("cost_usd and over_mtok belong together; write both")
        if self.cost_usd is None and self.licence_usd_per_mtok is None:
            raise ValueError("says no cost; write cost_usd and over_mtok, or licence_usd_per_mtok")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Amortisation:
    """What a million tokens owe to the making of their model at 100 % busy, and its sources."""

    usd_per_mtok: float
    source: str


class Factory(Document):
    """``factory.yaml``: hardware by the name that measurements give it, pools, and costs per Mtok.

    ``variable_usd_per_mtok`` is what a million tokens cost beside the accelerators (licence,
    egress, gateway), by name; all of it counts on every unit. ``models``: what single models cost
    beside that, by the name that measurements and pools give them. Money is in US dollars.
    """

    schema_: Literal["tokenworks.factory/1"] = Field(alias="schema")
    name: Name
    hardware: dict[Name, Hardware] = Field(min_length=1)
    pools: tuple[Pool, ...] = Field(min_length=1)
    variable_usd_per_mtok: dict[Name, Figure] = Field(default_factory=dict)
    models: dict[Name, ModelCost] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _pools_fit(self) -> Factory:
        names = [pool.name for pool in self.pools]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f'the pool "{twice}" stands twice; rename one')
        for pool in self.pools:
            for hardware in pool.hardware:
                if hardware not in self.hardware:
                    raise ValueError(
                        f'the pool "{pool.name}" holds "{hardware}", which hardware does not list'
                    )
        served = {model for pool in self.pools for model in pool.models}
        for model in self.models:
            if model not in served:
                raise ValueError(
                    f'models has costs of "{model}", which no pool serves, so no floor would count '
                    "them; write its name as the pools do"
                )
        if LICENCE in self.variable_usd_per_mtok and any(
            model.licence_usd_per_mtok for model in self.models.values()
        ):
            raise ValueError(
                f'"{LICENCE}" stands under variable_usd_per_mtok and under models; keep one'
            )
        return self

    def pool(self, name: str) -> Pool:
        """The pool of that name; DocumentError where there is none."""
        for pool in self.pools:
            if pool.name == name:
                return pool
        listed = ", ".join(pool.name for pool in self.pools)
        raise DocumentError("pools", f'there is no pool "{name}"; write one of {listed}')

    def variable_of(self, model: str) -> dict[str, Figure]:
        """Dollars per million tokens of a model beside the accelerators, by name: v of the floor is
        their sum.
        """
        found = self.models.get(model)
        licence = found.licence_usd_per_mtok if found else None
        return {**self.variable_usd_per_mtok, **({LICENCE: licence} if licence else {})}

    def amortisation_of(self, model: str) -> Amortisation | None:
        """What a million tokens of a model owe to its making, at 100 % busy; None without one."""
        found = self.models.get(model)
        if found is None or found.cost_usd is None or found.over_mtok is None:
            return None
        return Amortisation(
            usd_per_mtok=float(found.cost_usd.value) / float(found.over_mtok.value),
            source="; ".join(
                dict.fromkeys(figure.source_text for figure in (found.cost_usd, found.over_mtok))
            ),
        )


def load_factory(data: bytes, *, name: str) -> Factory:
    """Read ``factory.yaml``; DocumentError names the line and path of what is wrong."""
    return load_yaml(Factory, data, name=name)


def accelerators_within(site_kw: Decimal, *, kw_per_accelerator: Decimal) -> int:
    """How many accelerators a site feeds: whole ones only, both powers by the same denominator."""
    return Fraction(site_kw) // Fraction(kw_per_accelerator)

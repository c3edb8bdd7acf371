"""What the factory pays: ``factory.yaml``, and from it the cost of an accelerator-hour by parts.

Invariant: every figure has a source and a date, and the parts of an hour add up to its total. What
this version cannot compute (economic depreciation, electricity by the hour) is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from math import expm1, fsum, log1p
from typing import Final, Literal

from pydantic import Field, JsonValue, PositiveInt, field_validator, model_validator

from pricing_rules.document import Document, DocumentError, Name, Text, load_yaml
from pricing_rules.money import RateText

HOURS_PER_YEAR: Final = 8760
MONTHS_PER_YEAR: Final = 12


class Figure(Document):
    """A number, where it comes from and of when; the field that holds it names its unit."""

    value: RateText
    source: Text
    source_date: date

    @property
    def source_text(self) -> str:
        """The source and its date in one text."""
        return f"{self.source} ({self.source_date.isoformat()})"


class PositiveFigure(Figure):
    """A figure above zero."""

    @field_validator("value")
    @classmethod
    def _positive(cls, value: Decimal) -> Decimal:
        if value <= 0:
            raise ValueError(f'must be above 0, not "{value}"')
        return value


class ShareFigure(PositiveFigure):
    """A figure above zero and at most one, such as availability or utilization."""

    @field_validator("value")
    @classmethod
    def _share(cls, value: Decimal) -> Decimal:
        if value > 1:
            raise ValueError(f'must be at most 1, not "{value}"; write 60 % as "0.6"')
        return value


class PueFigure(Figure):
    """Facility power over IT power, at least one."""

    @field_validator("value")
    @classmethod
    def _at_least_one(cls, value: Decimal) -> Decimal:
        if value < 1:
            raise ValueError(f'a PUE is at least 1, not "{value}"')
        return value


class Power(Document):
    """Power of one accelerator; ``it_kw`` is at the server, with its share of the host."""

    board_kw: PositiveFigure | None = None
    it_kw: PositiveFigure | None = None
    pue: PueFigure | None = None


class Rented(Document):
    """An accelerator at an all-in price: power, colocation and staff of the landlord are inside."""

    all_in_usd_per_hour: PositiveFigure


class Depreciation(Document):
    """How a price becomes a yearly cost: ``straight`` over its life, or with interest on the rest.

    ``capital_recovery`` multiplies the price by r / (1 - (1 + r)^-years) a year.
    """

    basis: Literal["straight", "capital_recovery", "economic"]
    interest_per_year: Figure | None = None

    @model_validator(mode="after")
    def _computable(self) -> Depreciation:
        if self.basis == "economic":
            raise ValueError(
                "economic depreciation is not computed by this version; "
                "write straight or capital_recovery"
            )
        if (self.basis == "capital_recovery") != (self.interest_per_year is not None):
            raise ValueError("interest_per_year belongs to capital_recovery, and is needed there")
        return self


class Owned(Document):
    """An accelerator that the factory bought; prices and hourly costs are per accelerator.

    ``system_share_usd``: its share of host, rack and cooling. ``datacentre_usd_per_kw_month`` is
    per IT kW. ``electricity_usd_per_kwh_by_hour`` is refused so far. ``availability``: the share of
    hours in which it can serve, which carries the cost of all.
    """

    accelerator_price_usd: Figure
    system_share_usd: Figure
    network_storage_share_usd: Figure
    life_years: PositiveFigure
    depreciation: Depreciation
    datacentre_usd_per_kw_month: Figure
    electricity_usd_per_kwh_by_hour: JsonValue = None
    electricity_usd_per_kwh: Figure
    staff_software_usd_per_hour: Figure
    availability: ShareFigure

    @field_validator("electricity_usd_per_kwh_by_hour")
    @classmethod
    def _flat(cls, value: JsonValue) -> None:
        raise ValueError(
            "electricity by the hour is not computed by this version; "
            "state one electricity_usd_per_kwh"
        )


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
    """

    name: Name
    use: Literal["dedicated", "shared"]
    hardware: dict[Name, PositiveInt] = Field(min_length=1)
    models: tuple[Name, ...] = Field(min_length=1)
    service_tiers: tuple[Name, ...] = Field(min_length=1)
    utilization: ShareFigure


class Factory(Document):
    """``factory.yaml``: hardware by the name that measurements give it, pools, and costs per Mtok.

    ``variable_usd_per_mtok`` is what a million tokens cost beside the accelerators (licence,
    egress, gateway), by name; all of it counts on every unit. Money is in US dollars.
    """

    schema_: Literal["tokenworks.factory/1"] = Field(alias="schema")
    name: Name
    hardware: dict[Name, Hardware] = Field(min_length=1)
    pools: tuple[Pool, ...] = Field(min_length=1)
    variable_usd_per_mtok: dict[Name, Figure] = Field(default_factory=dict)

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
        return self

    def pool(self, name: str) -> Pool:
        """The pool of that name; DocumentError where there is none."""
        for pool in self.pools:
            if pool.name == name:
                return pool
        listed = ", ".join(pool.name for pool in self.pools)
        raise DocumentError("pools", f'there is no pool "{name}"; write one of {listed}')

    @property
    def variable_total_usd_per_mtok(self) -> Decimal:
        """The sum of ``variable_usd_per_mtok``: v of the floor."""
        return sum((figure.value for figure in self.variable_usd_per_mtok.values()), Decimal(0))


def load_factory(data: bytes, *, name: str) -> Factory:
    """Read ``factory.yaml``; DocumentError names the line and path of what is wrong."""
    return load_yaml(Factory, data, name=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class HourPart:
    """One part of the cost of an accelerator-hour, and the sources of the figures in it."""

    name: str
    usd_per_hour: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerKw:
    """Power of one accelerator by three denominators, never mixed; None where it is not known."""

    board_kw: float | None
    it_kw: float | None
    facility_kw: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorHour:
    """What one available hour of one accelerator costs, and its power."""

    hardware: str
    parts: tuple[HourPart, ...]
    power: PowerKw

    @property
    def usd_per_hour(self) -> float:
        """The sum of the parts."""
        return fsum(part.usd_per_hour for part in self.parts)


def accelerator_hour(factory: Factory, *, hardware: str) -> AcceleratorHour:
    """The cost of one available hour of one accelerator of ``hardware``.

    Rented: the all-in price. Owned: [prices x CRF + datacentre + staff and software] /
    availability, a year having 8,760 hours, + IT kW x PUE x $/kWh (economics of token factories:
    capital recovery factor CRF(r, n) = r / (1 - (1 + r)^-n), 1/n at r = 0). DocumentError for
    unknown hardware.
    """
    if hardware not in factory.hardware:
        listed = ", ".join(factory.hardware)
        raise DocumentError("hardware", f'there is no hardware "{hardware}"; write one of {listed}')
    found = factory.hardware[hardware]
    if found.rented:
        price = found.rented.all_in_usd_per_hour
        parts: tuple[HourPart, ...] = (
            HourPart(name="all_in", usd_per_hour=float(price.value), source=price.source_text),
        )
    else:
        parts = _owned_parts(found)
    return AcceleratorHour(hardware=hardware, parts=parts, power=_power(found.power))


def capital_recovery_factor(interest_per_year: float, *, years: float) -> float:
    """CRF(r, n) = r / (1 - (1 + r)^-n): the yearly share of a price; 1/n at r = 0."""
    if interest_per_year == 0:
        return 1 / years
    return -interest_per_year / expm1(-years * log1p(interest_per_year))


def accelerators_within(site_kw: Decimal, *, kw_per_accelerator: Decimal) -> int:
    """How many accelerators a site feeds: whole ones only, both powers by the same denominator."""
    return Fraction(site_kw) // Fraction(kw_per_accelerator)


def _owned_parts(hardware: Hardware) -> tuple[HourPart, ...]:
    owned, it_kw, pue = hardware.owned, hardware.power.it_kw, hardware.power.pue
    assert owned, "checked by Hardware"
    assert it_kw, "checked by Hardware"
    assert pue, "checked by Hardware"
    interest = owned.depreciation.interest_per_year
    interest_per_year = float(interest.value) if interest else 0.0
    per_year = capital_recovery_factor(interest_per_year, years=float(owned.life_years.value))
    available_hours = HOURS_PER_YEAR * float(owned.availability.value)
    per_hour = per_year / available_hours
    wear = (owned.life_years, *((interest,) if interest else ()), owned.availability)
    shares = (
        ("accelerator", owned.accelerator_price_usd),
        ("system", owned.system_share_usd),
        ("network_storage", owned.network_storage_share_usd),
    )
    capital = tuple(
        _part(name, usd_per_hour=float(price.value) * per_hour, figures=(price, *wear))
        for name, price in shares
    )
    kw = float(it_kw.value)
    room, staff, energy = (
        owned.datacentre_usd_per_kw_month,
        owned.staff_software_usd_per_hour,
        owned.electricity_usd_per_kwh,
    )
    return (
        *capital,
        _part(
            "datacentre",
            usd_per_hour=float(room.value) * kw * MONTHS_PER_YEAR / available_hours,
            figures=(room, it_kw, owned.availability),
        ),
        _part(
            "electricity",
            usd_per_hour=kw * float(pue.value) * float(energy.value),
            figures=(energy, it_kw, pue),
        ),
        _part(
            "staff_software",
            usd_per_hour=float(staff.value) / float(owned.availability.value),
            figures=(staff, owned.availability),
        ),
    )


def _part(name: str, *, usd_per_hour: float, figures: tuple[Figure, ...]) -> HourPart:
    sources = dict.fromkeys(figure.source_text for figure in figures)
    return HourPart(name=name, usd_per_hour=usd_per_hour, source="; ".join(sources))


def _power(power: Power) -> PowerKw:
    it_kw = float(power.it_kw.value) if power.it_kw else None
    return PowerKw(
        board_kw=float(power.board_kw.value) if power.board_kw else None,
        it_kw=it_kw,
        facility_kw=it_kw * float(power.pue.value) if it_kw and power.pue else None,
    )

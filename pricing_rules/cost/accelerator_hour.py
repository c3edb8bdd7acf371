"""What one available hour of one accelerator costs, part by part, and which parts a floor counts.

Invariant: the parts of an hour add up to its total, each with the sources of the figures in it; a
floor of a kind counts a part whole or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import fsum
from typing import Final, Literal, assert_never

from pricing_rules.cost.factory import Factory, Hardware, Owned, Power
from pricing_rules.cost.figures import Figure, FiguresByHour
from pricing_rules.document import DocumentError

HOURS_PER_YEAR: Final = 8760
MONTHS_PER_YEAR: Final = 12

FloorKind = Literal["full", "cash", "short_run"]
"""What a floor counts: everything; what is paid out; what serving on idle accelerators adds."""

CAPITAL_PARTS: Final = ("accelerator", "system", "network_storage")
"""The parts of an hour that are the price of what was bought: no cash leaves for them any more."""


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
    """What one available hour of one accelerator costs, and its power.

    ``energy_over_idle`` is what an hour of serving adds to one of idling; None where the idle power
    is not known.
    """

    hardware: str
    parts: tuple[HourPart, ...]
    power: PowerKw
    energy_over_idle: HourPart | None = None

    @property
    def usd_per_hour(self) -> float:
        """The sum of the parts."""
        return fsum(part.usd_per_hour for part in self.parts)

    def counted(self, kind: FloorKind, *, displaced: HourPart | None = None) -> AcceleratorHour:
        """The hour with the parts that a floor of ``kind`` counts.

        ``full``: all. ``cash``: all but capital. ``short_run``: the energy of busy over idle, and
        ``displaced``, the margin that an hour of it keeps others from earning. DocumentError where
        that energy is not known; ValueError for ``displaced`` in another kind.
        """
        if displaced is not None and kind != "short_run":
            raise ValueError(f"a {kind} floor displaces nothing")
        match kind:
            case "full":
                return self
            case "cash":
                paid = tuple(part for part in self.parts if part.name not in CAPITAL_PARTS)
                return replace(self, parts=paid)
            case "short_run":
                if self.energy_over_idle is None:
                    raise DocumentError(
                        f"hardware {self.hardware}",
                        "a short_run floor needs what serving draws over idling; "
                        "give its power an it_idle_kw",
                    )
                added = (self.energy_over_idle, *((displaced,) if displaced else ()))
                return replace(self, parts=added)
            case _:
                assert_never(kind)


def accelerator_hour(
    factory: Factory, *, hardware: str, load_by_hour: Sequence[Decimal] | None = None
) -> AcceleratorHour:
    """The cost of one available hour of one accelerator of ``hardware``.

    Rented: the all-in price. Owned: [prices x yearly share + datacentre + staff and software] /
    availability, a year having 8,760 hours, + IT kW x PUE x $/kWh (economics of token factories;
    the yearly share is that of the depreciation). ``load_by_hour``: 168 weights from Monday 00:00
    UTC, by which a price of electricity by the hour is averaged; None: every hour counts alike.
    DocumentError for unknown hardware; ValueError for a load that is not 168 hours of something.
    """
    if hardware not in factory.hardware:
        listed = ", ".join(factory.hardware)
        raise DocumentError("hardware", f'there is no hardware "{hardware}"; write one of {listed}')
    found = factory.hardware[hardware]
    power = _power(found.power)
    if found.owned is None:
        assert found.rented, "checked by Hardware"
        price = found.rented.all_in_usd_per_hour
        return AcceleratorHour(
            hardware=hardware,
            parts=(
                HourPart(name="all_in", usd_per_hour=float(price.value), source=price.source_text),
            ),
            power=power,
            energy_over_idle=HourPart(
                name="energy_over_idle",
                usd_per_hour=0.0,
                source=f"inside the all-in price, which is owed busy or idle: {price.source_text}",
            ),
        )
    usd_per_kwh, source = _electricity(found.owned, load_by_hour=load_by_hour)
    return AcceleratorHour(
        hardware=hardware,
        parts=_owned_parts(found, owned=found.owned, usd_per_kwh=usd_per_kwh, source=source),
        power=power,
        energy_over_idle=_energy_over_idle(found.power, usd_per_kwh=usd_per_kwh, source=source),
    )


def mean_by_load(prices: FiguresByHour, *, load_by_hour: Sequence[Decimal] | None) -> float:
    """The mean of hourly prices, each hour weighted by what is served in it (None: all alike).

    Raises ValueError for a load that has not 168 hours, or serves nothing.
    """
    by_hour = [float(value) for value in prices.by_hour_of_week]
    weights = [1.0] * len(by_hour) if load_by_hour is None else [float(w) for w in load_by_hour]
    if len(weights) != len(by_hour) or not fsum(weights) > 0:
        raise ValueError("a load is 168 weights from Monday 00:00 UTC, of which one is above 0")
    return fsum(p * w for p, w in zip(by_hour, weights, strict=True)) / fsum(weights)


def _electricity(owned: Owned, *, load_by_hour: Sequence[Decimal] | None) -> tuple[float, str]:
    """Dollars per kWh, and where they come from."""
    hourly = owned.electricity_usd_per_kwh_by_hour
    if hourly is not None:
        weighed = "every hour alike" if load_by_hour is None else "weighed by the load of the hour"
        price = mean_by_load(hourly, load_by_hour=load_by_hour)
        return price, f"{hourly.source_text}, {weighed}"
    assert owned.electricity_usd_per_kwh, "checked by Owned"
    flat = owned.electricity_usd_per_kwh
    return float(flat.value), flat.source_text


def _energy_over_idle(power: Power, *, usd_per_kwh: float, source: str) -> HourPart | None:
    if power.it_idle_kw is None:
        return None
    assert power.it_kw, "checked by Power"
    assert power.pue, "checked by Hardware"
    over_kw = float(power.it_kw.value) - float(power.it_idle_kw.value)
    return HourPart(
        name="energy_over_idle",
        usd_per_hour=over_kw * float(power.pue.value) * usd_per_kwh,
        source=_sources(source, figures=(power.it_kw, power.it_idle_kw, power.pue)),
    )


def _owned_parts(
    hardware: Hardware, *, owned: Owned, usd_per_kwh: float, source: str
) -> tuple[HourPart, ...]:
    it_kw, pue = hardware.power.it_kw, hardware.power.pue
    assert it_kw, "checked by Hardware"
    assert pue, "checked by Hardware"
    per_year = owned.depreciation.yearly_share(life_years=float(owned.life_years.value))
    available_hours = HOURS_PER_YEAR * float(owned.availability.value)
    per_hour = per_year / available_hours
    wear = (owned.life_years, *owned.depreciation.figures, owned.availability)
    prices = (owned.accelerator_price_usd, owned.system_share_usd, owned.network_storage_share_usd)
    kw = float(it_kw.value)
    room, staff = owned.datacentre_usd_per_kw_month, owned.staff_software_usd_per_hour
    return (
        *(
            _part(name, usd_per_hour=float(price.value) * per_hour, figures=(price, *wear))
            for name, price in zip(CAPITAL_PARTS, prices, strict=True)
        ),
        _part(
            "datacentre",
            usd_per_hour=float(room.value) * kw * MONTHS_PER_YEAR / available_hours,
            figures=(room, it_kw, owned.availability),
        ),
        HourPart(
            name="electricity",
            usd_per_hour=kw * float(pue.value) * usd_per_kwh,
            source=_sources(source, figures=(it_kw, pue)),
        ),
        _part(
            "staff_software",
            usd_per_hour=float(staff.value) / float(owned.availability.value),
            figures=(staff, owned.availability),
        ),
    )


def _part(name: str, *, usd_per_hour: float, figures: tuple[Figure, ...]) -> HourPart:
    first, *others = figures
    source = _sources(first.source_text, figures=others)
    return HourPart(name=name, usd_per_hour=usd_per_hour, source=source)


def _sources(first: str, *, figures: Sequence[Figure]) -> str:
    return "; ".join(dict.fromkeys((first, *(figure.source_text for figure in figures))))


def _power(power: Power) -> PowerKw:
    it_kw = float(power.it_kw.value) if power.it_kw else None
    return PowerKw(
        board_kw=float(power.board_kw.value) if power.board_kw else None,
        it_kw=it_kw,
        facility_kw=it_kw * float(power.pue.value) if it_kw and power.pue else None,
    )

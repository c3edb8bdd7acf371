"""How the price of hardware becomes a yearly charge: straight, capital recovery, economic.

Invariant: over the life, the charges have the price as their present value at the stated interest.
"""

from __future__ import annotations

from math import expm1, log1p
from typing import Literal

from pydantic import model_validator

from pricing_rules.cost.figures import DeclineFigure, Figure
from pricing_rules.document import Document


class Depreciation(Document):
    """How a price becomes a yearly charge over its life of n years.

    ``straight``: 1/n of it each year. ``capital_recovery``: equal charges with interest r on what
    is left, r / (1 - (1 + r)^-n). ``economic``: the charge follows the value of what the hardware
    makes, which falls by ``output_price_decline_per_year`` d, so year t pays (1 - d)^t of the
    first; ``age_years`` says in which year the hardware is (0 up to 1: its first).
    """

    basis: Literal["straight", "capital_recovery", "economic"]
    interest_per_year: Figure | None = None
    output_price_decline_per_year: DeclineFigure | None = None
    age_years: Figure | None = None

    @model_validator(mode="after")
    def _complete(self) -> Depreciation:
        if (self.basis == "straight") != (self.interest_per_year is None):
            raise ValueError(
                "interest_per_year belongs to capital_recovery and economic, and is needed there"
            )
        for name, value in (
            ("output_price_decline_per_year", self.output_price_decline_per_year),
            ("age_years", self.age_years),
        ):
            if (self.basis == "economic") != (value is not None):
                raise ValueError(f"{name} belongs to economic, and is needed there")
        return self

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures that the charge rests on beside the life."""
        stated = (self.interest_per_year, self.output_price_decline_per_year, self.age_years)
        return tuple(figure for figure in stated if figure is not None)

    def yearly_share(self, *, life_years: float) -> float:
        """The share of the price that the present year of the hardware is charged with."""
        if self.output_price_decline_per_year is not None and self.age_years is not None:
            return economic_share(
                float(self.interest_per_year.value) if self.interest_per_year else 0.0,
                decline_per_year=float(self.output_price_decline_per_year.value),
                years=life_years,
                age_years=float(self.age_years.value),
            )
        interest_per_year = float(self.interest_per_year.value) if self.interest_per_year else 0.0
        return capital_recovery_factor(interest_per_year, years=life_years)


def capital_recovery_factor(interest_per_year: float, *, years: float) -> float:
    """CRF(r, n) = r / (1 - (1 + r)^-n): the yearly share of a price; 1/n at r = 0."""
    if interest_per_year == 0:
        return 1 / years
    return -interest_per_year / expm1(-years * log1p(interest_per_year))


def economic_share(
    interest_per_year: float, *, decline_per_year: float, years: float, age_years: float
) -> float:
    """The tilted annuity: (r + d) / (1 - ((1 - d) / (1 + r))^n) x (1 - d)^t, t whole years of age.

    Where the price of what an asset makes falls at a constant rate d, the charge that follows it is
    the tilted annuity, by which regulators of telecommunications compute economic depreciation.
    Paid at the end of each year, the n charges have a present value of 1 at r. With d = 0 it is the
    capital recovery factor; with r = d = 0 the straight line.
    """
    ratio_log = log1p(-decline_per_year) - log1p(interest_per_year)
    first = (
        1 / years
        if ratio_log == 0
        else -(interest_per_year + decline_per_year) / expm1(years * ratio_log)
    )
    return first * (1 - decline_per_year) ** int(age_years)

"""Net and tax of one tax category in minor units.

Invariant: these are the only places of the money half where an exact amount becomes money owed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from pricing_rules.money import Currency, round_half_away


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxedMinor:
    """Net and tax in minor units; what is owed is their sum."""

    net_minor: int
    tax_minor: int

    @property
    def gross_minor(self) -> int:
        """Net and tax together."""
        return self.net_minor + self.tax_minor


def round_amount(exact: Fraction, *, unit: Currency) -> int:
    """Rounding site 1: the exact amount of one tax category (major units) in minor units.

    It is the net where prices exclude tax and the gross where they include it.
    """
    return round_half_away(exact * unit.minor_per_major)


def tax_on_net(net_minor: int, *, rate_percent: Decimal) -> TaxedMinor:
    """Rounding site 2: the tax on a rounded net amount."""
    tax = round_half_away(Fraction(net_minor) * Fraction(rate_percent) / 100)
    return TaxedMinor(net_minor=net_minor, tax_minor=tax)


def tax_in_gross(gross_minor: int, *, rate_percent: Decimal) -> TaxedMinor:
    """Rounding site 2 for inclusive prices: the tax taken out of a rounded gross amount.

    1,000 at 19 % holds 1000 * 19 / 119 = 159.66..., so 160 tax and 840 net.
    """
    rate = Fraction(rate_percent)
    tax = round_half_away(gross_minor * rate / (100 + rate))
    return TaxedMinor(net_minor=gross_minor - tax, tax_minor=tax)

"""Ecosystem reliance: how much of a service rests on one hardware vendor, and what its loss does.

Invariant: shares are of request capacity at the promise and add up to 1; "without" is a derivation
of floors anew from what is left, never an estimate.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import fsum
from typing import Final

from pricing_rules.cost.factory import Factory, Pool
from pricing_rules.cost.measurement import OperatingPoint
from pricing_rules.cost.unit_cost import TOKEN_UNITS, TokenUnit
from pricing_rules.document import DocumentError
from pricing_rules.rules.floors import CardFloors, floors_of
from pricing_rules.rules.policy import Policy

HHI_OF_ONE: Final = 10_000
"""The index where one vendor has all: shares in percent, squared and added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorShare:
    """One vendor's share of the request capacity."""

    vendor: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliance:
    """Shares by vendor, largest first, and their Herfindahl-Hirschman index (0 to 10,000)."""

    shares: tuple[VendorShare, ...]
    hhi: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorWithout:
    """A floor with and without a vendor; ``after_usd_per_mtok`` is None where none is left."""

    unit: TokenUnit
    before_usd_per_mtok: Decimal
    after_usd_per_mtok: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardWithout:
    """One model in one service tier without a vendor.

    ``is_kept``: whether some hardware is still measured to keep the promise. ``capacity_left``: the
    share of the requests/s at the reference shape that is left.
    """

    model: str
    service_tier: str
    is_kept: bool
    capacity_left: float
    floors: tuple[FloorWithout, ...]


def vendor_of(hardware: str, *, vendors: Mapping[str, str]) -> str:
    """The vendor of a hardware; DocumentError where ``vendors`` does not list it."""
    if hardware not in vendors:
        raise DocumentError(
            "vendors",
            f'no efficiency document says who makes "{hardware}"; write it there under vendors, as '
            f"in {hardware}: NVIDIA",
        )
    return vendors[hardware]


def reliance(card: CardFloors, *, vendors: Mapping[str, str]) -> Reliance:
    """Shares of a card's request capacity by vendor, and their concentration.

    HHI = sum of squared percentages (Herfindahl-Hirschman): 10,000 is one vendor alone, 5,000 two
    of one size. DocumentError for hardware without a vendor.
    """
    shares: dict[str, list[float]] = {}
    for member in card.cost.hardware:
        vendor = vendor_of(member.hardware, vendors=vendors)
        shares.setdefault(vendor, []).append(member.share_of_capacity)
    summed = [VendorShare(vendor=name, share=fsum(parts)) for name, parts in shares.items()]
    return Reliance(
        shares=tuple(sorted(summed, key=lambda one: (-one.share, one.vendor))),
        hhi=HHI_OF_ONE * fsum(one.share**2 for one in summed),
    )


def without_vendor(
    factory: Factory,
    *,
    policy: Policy,
    points: Sequence[OperatingPoint],
    cards: Iterable[CardFloors],
    vendors: Mapping[str, str],
    vendor: str,
) -> tuple[CardWithout, ...]:
    """Floors derived again without a vendor's hardware, beside those of ``cards``.

    Its accelerators leave their pools and its measurements count for nothing. DocumentError for
    hardware of a pool without a vendor, and for a vendor that makes none of it.
    """
    used = {hardware for pool in factory.pools for hardware in pool.hardware}
    lost = {name for name in used if vendor_of(name, vendors=vendors) == vendor}
    if not lost:
        listed = ", ".join(sorted({vendors[name] for name in used}))
        raise DocumentError(
            "--without", f'no hardware of a pool is by "{vendor}"; write one of {listed}'
        )
    left, _ = floors_of(
        factory.model_copy(update={"pools": tuple(_without(p, lost=lost) for p in factory.pools)}),
        policy=policy,
        points=[point for point in points if point.setup.hardware not in lost],
    )
    after = {(card.model.name, card.service_tier.name): card for card in left}
    return tuple(
        _compared(card, after=after.get((card.model.name, card.service_tier.name)))
        for card in cards
    )


def _without(pool: Pool, *, lost: set[str]) -> Pool:
    kept = {name: number for name, number in pool.hardware.items() if name not in lost}
    # A pool of that vendor alone keeps its list: without measurements none of it serves.
    return pool.model_copy(update={"hardware": kept}) if kept else pool


def _compared(card: CardFloors, *, after: CardFloors | None) -> CardWithout:
    return CardWithout(
        model=card.model.name,
        service_tier=card.service_tier.name,
        is_kept=after is not None,
        capacity_left=(after.cost.requests_per_s / card.cost.requests_per_s) if after else 0.0,
        floors=tuple(
            FloorWithout(
                unit=unit,
                before_usd_per_mtok=card.floors[unit].usd_per_mtok,
                after_usd_per_mtok=after.floors[unit].usd_per_mtok if after else None,
            )
            for unit in TOKEN_UNITS
        ),
    )

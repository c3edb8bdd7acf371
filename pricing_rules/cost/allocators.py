"""The allocators that others use, by name: how one pool's cost is split over the tokens it served.

Floors do not come from them (they come from the shape fit); they are here to compare.

Invariant: what an allocation gives each class times its tokens adds up to the cost of the pool, for
every allocator but ``full_charge``, which may be shown and is refused for pricing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pricing_rules.document import DocumentError

AllocatorName = Literal[
    "full_charge",
    "role_based",
    "output_equivalent",
    "price_ratio",
    "time_fraction",
    "weighted_service",
    "cached_read",
]

TokenClass = Literal["input_tokens", "cache_read_tokens", "output_tokens"]

OUTPUT_EQUIVALENT_INPUT: Final = 0.25
"""What an input token weighs beside an output token of 1: alpha of the SemiAnalysis TCO feed."""

PRICE_RATIO_OUTPUT: Final = 3.0
"""What output costs beside input of 1: the price ratio of NVIDIA's DLI notebook on TCO."""

WEIGHTED_SERVICE_OUTPUT: Final = 2.0
"""What an output token weighs beside input of 1: VTC, arXiv 2401.00588 (weights not verified)."""

CACHED_READ_SHARE: Final = 0.05
"""What a cached token costs of a fresh one: AshitaOrbis/inference-margins, commit d16da8b."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedMix:
    """What a pool served in some time and what it cost in that time; million tokens, US dollars."""

    fresh_input_mtok: float
    cache_read_mtok: float
    output_mtok: float
    pool_usd: float

    def __post_init__(self) -> None:
        """Refuse what serves nothing, or less."""
        served = (self.fresh_input_mtok, self.cache_read_mtok, self.output_mtok)
        if min(*served, self.pool_usd) < 0 or not sum(served) > 0:
            raise ValueError(f"a mix has tokens and none below zero: {served}, {self.pool_usd} USD")


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocationBasis:
    """What an allocator knows beside the mix; None where it was not measured.

    ``prefill_accelerator_share``: the prefill pool's share of all accelerators (disaggregated).
    ``prefill_time_share``: prefill's share of the busy time. ``cached_share``: what a cached token
    weighs of a fresh one, from 0 (hits free) to 1 (as fresh), for all but ``cached_read``.
    """

    prefill_accelerator_share: float | None = None
    prefill_time_share: float | None = None
    cached_share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Dollars per million tokens of each class by one allocator."""

    allocator: AllocatorName
    usd_per_mtok: Mapping[TokenClass, float]
    adds_up: bool

    def usd_of(self, mix: ServedMix) -> float:
        """What the classes of a mix cost together by this allocation."""
        return (
            self.usd_per_mtok["input_tokens"] * mix.fresh_input_mtok
            + self.usd_per_mtok["cache_read_tokens"] * mix.cache_read_mtok
            + self.usd_per_mtok["output_tokens"] * mix.output_mtok
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAllocation:
    """An allocator that cannot split a mix, and why."""

    allocator: AllocatorName
    reason: str


ALLOCATORS: Final[tuple[AllocatorName, ...]] = (
    "full_charge", "role_based", "output_equivalent", "price_ratio", "time_fraction",
    "weighted_service", "cached_read",
)  # fmt: skip


def compare_allocators(
    mix: ServedMix, *, basis: AllocationBasis
) -> tuple[Allocation | NoAllocation, ...]:
    """Every allocator on one mix, in the order of ``ALLOCATORS``."""
    return tuple(allocate(name, mix=mix, basis=basis) for name in ALLOCATORS)


def allocate(
    allocator: AllocatorName, *, mix: ServedMix, basis: AllocationBasis
) -> Allocation | NoAllocation:
    """Split what a mix cost over its classes.

    ``full_charge``: input and output each carry the whole cost, so that it counts twice.
    ``role_based``: the prefill pool over input, the decode pool over output. ``time_fraction``: the
    same by the busy time. ``output_equivalent`` (.25 : 1), ``price_ratio`` (1 : 3) and
    ``weighted_service`` (1 : 2): by weights of an input and an output token. ``cached_read``:
    output-equivalent with a cached token at 5 % of a fresh one. Sources: economics of token
    factories, allocating one accelerator-hour.
    """
    match allocator:
        case "role_based":
            return _by_share(
                allocator,
                mix=mix,
                input_share=basis.prefill_accelerator_share,
                missing="prefill and decode accelerators were not counted apart",
                cached_share=basis.cached_share,
            )
        case "time_fraction":
            return _by_share(
                allocator,
                mix=mix,
                input_share=basis.prefill_time_share,
                missing="prefill and decode were not timed apart",
                cached_share=basis.cached_share,
            )
        case "full_charge":
            return _full_charge(mix, cached_share=basis.cached_share)
        case _:
            input_weight, output_weight, cached_share = {
                "output_equivalent": (OUTPUT_EQUIVALENT_INPUT, 1.0, basis.cached_share),
                "price_ratio": (1.0, PRICE_RATIO_OUTPUT, basis.cached_share),
                "weighted_service": (1.0, WEIGHTED_SERVICE_OUTPUT, basis.cached_share),
                "cached_read": (OUTPUT_EQUIVALENT_INPUT, 1.0, CACHED_READ_SHARE),
            }[allocator]
            return _by_weight(
                allocator,
                mix=mix,
                input_weight=input_weight,
                output_weight=output_weight,
                cached_share=cached_share,
            )


def allocation_for_pricing(
    allocator: AllocatorName, *, mix: ServedMix, basis: AllocationBasis
) -> Allocation:
    """An allocation that rates may start from. DocumentError for one that does not add up, and for
    one that cannot split the mix.
    """
    found = allocate(allocator, mix=mix, basis=basis)
    if isinstance(found, NoAllocation):
        raise DocumentError(f"allocator {allocator}", f"cannot split this mix: {found.reason}")
    if not found.adds_up:
        raise DocumentError(
            f"allocator {allocator}",
            "charges the same hour twice, so nothing is priced from it; take one that adds up",
        )
    return found


def _input_mtok(mix: ServedMix, *, cached_share: float) -> float:
    return mix.fresh_input_mtok + cached_share * mix.cache_read_mtok


def _allocation(
    allocator: AllocatorName, *, fresh: float, cached_share: float, output: float
) -> Allocation:
    return Allocation(
        allocator=allocator,
        usd_per_mtok={
            "input_tokens": fresh,
            "cache_read_tokens": fresh * cached_share,
            "output_tokens": output,
        },
        adds_up=allocator != "full_charge",
    )


def _full_charge(mix: ServedMix, *, cached_share: float) -> Allocation | NoAllocation:
    counted_mtok = _input_mtok(mix, cached_share=cached_share)
    if not (counted_mtok > 0 and mix.output_mtok > 0):
        return NoAllocation(allocator="full_charge", reason="it needs both input and output")
    return _allocation(
        "full_charge",
        fresh=mix.pool_usd / counted_mtok,
        cached_share=cached_share,
        output=mix.pool_usd / mix.output_mtok,
    )


def _by_share(
    allocator: AllocatorName,
    *,
    mix: ServedMix,
    input_share: float | None,
    missing: str,
    cached_share: float,
) -> Allocation | NoAllocation:
    if input_share is None:
        return NoAllocation(allocator=allocator, reason=missing)
    if not 0 <= input_share <= 1:
        raise ValueError(f"a share of {input_share} is not between 0 and 1")
    counted_mtok = _input_mtok(mix, cached_share=cached_share)
    for name, share, mtok in (
        ("input", input_share, counted_mtok),
        ("output", 1 - input_share, mix.output_mtok),
    ):
        if share > 0 and not mtok > 0:
            reason = f"no {name} is there to carry its share of the cost"
            return NoAllocation(allocator=allocator, reason=reason)
    return _allocation(
        allocator,
        fresh=input_share * mix.pool_usd / counted_mtok if counted_mtok > 0 else 0.0,
        cached_share=cached_share,
        output=(1 - input_share) * mix.pool_usd / mix.output_mtok if mix.output_mtok > 0 else 0.0,
    )


def _by_weight(
    allocator: AllocatorName,
    *,
    mix: ServedMix,
    input_weight: float,
    output_weight: float,
    cached_share: float,
) -> Allocation | NoAllocation:
    weighed_mtok = (
        input_weight * _input_mtok(mix, cached_share=cached_share) + output_weight * mix.output_mtok
    )
    if not weighed_mtok > 0:
        return NoAllocation(allocator=allocator, reason="all of its tokens weigh nothing")
    usd_per_weight = mix.pool_usd / weighed_mtok
    return _allocation(
        allocator,
        fresh=input_weight * usd_per_weight,
        cached_share=cached_share,
        output=output_weight * usd_per_weight,
    )

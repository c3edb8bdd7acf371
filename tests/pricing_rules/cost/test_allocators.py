"""The allocators by name: sums on one mix, and that what they split adds up."""

from __future__ import annotations

from math import fsum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.allocators import (
    ALLOCATORS,
    Allocation,
    AllocationBasis,
    AllocatorName,
    NoAllocation,
    ServedMix,
    allocate,
    allocation_for_pricing,
    compare_allocators,
)
from pricing_rules.document import DocumentError
from tests.pricing_rules.cost.made_points import made_fit

# 600 Mtok of fresh input, 400 cached, 500 out, for $1,000; half of the accelerators prefill, a
# third of the time.
MIX = ServedMix(fresh_input_mtok=600, cache_read_mtok=400, output_mtok=500, pool_usd=1000)
BASIS = AllocationBasis(prefill_accelerator_share=0.5, prefill_time_share=1 / 3)


def split(
    name: AllocatorName, *, mix: ServedMix = MIX, basis: AllocationBasis = BASIS
) -> Allocation:
    found = allocate(name, mix=mix, basis=basis)
    assert isinstance(found, Allocation)
    return found


@pytest.mark.parametrize(
    "name, fresh, cached, output",
    [
        # 1,000/1,000 in and 1,000/500 out: the hour twice
        ("full_charge", 1.0, 1.0, 2.0),
        # 500/1,000 and 500/500
        ("role_based", 0.5, 0.5, 1.0),
        # .25 x 1,000 + 500 = 750 weights: 1.3333 each; in .3333, out 1.3333
        ("output_equivalent", 1 / 3, 1 / 3, 4 / 3),
        # 1,000 + 3 x 500 = 2,500: .40 in, 1.20 out
        ("price_ratio", 0.40, 0.40, 1.20),
        # 333.33/1,000 and 666.67/500
        ("time_fraction", 1 / 3, 1 / 3, 4 / 3),
        # 1,000 + 2 x 500 = 2,000: .50 in, 1.00 out
        ("weighted_service", 0.50, 0.50, 1.00),
        # .25 x (600 + .05 x 400) + 500 = 655: 1.526718 each; in .381679, cached .0190840
        ("cached_read", 0.25 * 1000 / 655, 0.0125 * 1000 / 655, 1000 / 655),
    ],
)
def test_each_allocator_splits_the_mix_its_own_way(
    name: AllocatorName, fresh: float, cached: float, output: float
) -> None:
    found = split(name)
    assert found.usd_per_mtok == pytest.approx(
        {"input_tokens": fresh, "cache_read_tokens": cached, "output_tokens": output}
    )
    assert found.usd_of(MIX) == pytest.approx(2000 if name == "full_charge" else 1000)


def test_cached_tokens_weigh_what_is_stated() -> None:
    # Hits free: 500/600 on fresh input; at a tenth: 500/(600 + 40), cached a tenth of it
    free = split("role_based", basis=AllocationBasis(prefill_accelerator_share=0.5, cached_share=0))
    assert free.usd_per_mtok["input_tokens"] == pytest.approx(500 / 600)
    assert free.usd_per_mtok["cache_read_tokens"] == 0
    tenth = AllocationBasis(prefill_accelerator_share=0.5, cached_share=0.1)
    found = split("role_based", basis=tenth)
    assert found.usd_per_mtok["cache_read_tokens"] == pytest.approx(50 / 640)
    assert found.usd_of(MIX) == pytest.approx(1000)


def test_all_allocators_are_compared_on_one_mix() -> None:
    found = compare_allocators(MIX, basis=BASIS)
    assert tuple(one.allocator for one in found) == ALLOCATORS
    assert [one.allocator for one in found if isinstance(one, Allocation) and not one.adds_up] == [
        "full_charge"
    ]
    unmeasured = compare_allocators(MIX, basis=AllocationBasis())
    assert {one.allocator: one.reason for one in unmeasured if isinstance(one, NoAllocation)} == {
        "role_based": "prefill and decode accelerators were not counted apart",
        "time_fraction": "prefill and decode were not timed apart",
    }


def test_what_does_not_add_up_is_shown_and_never_priced_from() -> None:
    assert allocation_for_pricing("output_equivalent", mix=MIX, basis=BASIS).adds_up
    with pytest.raises(DocumentError, match="allocator full_charge: charges the same hour twice"):
        allocation_for_pricing("full_charge", mix=MIX, basis=BASIS)
    with pytest.raises(DocumentError, match="allocator role_based: cannot split this mix"):
        allocation_for_pricing("role_based", mix=MIX, basis=AllocationBasis())


@pytest.mark.parametrize(
    "name, fresh, output, prefill_share, reason",
    [
        ("role_based", 0, 500, 0.5, "no input is there to carry its share of the cost"),
        ("role_based", 600, 0, 0.5, "no output is there to carry its share of the cost"),
        ("full_charge", 0, 500, 0.5, "it needs both input and output"),
        ("full_charge", 600, 0, 0.5, "it needs both input and output"),
        # With hits free, only cached input is left, and it weighs nothing
        ("output_equivalent", 0, 0, 0.5, "all of its tokens weigh nothing"),
    ],
)
def test_a_mix_that_an_allocator_cannot_split_has_its_reason(
    name: AllocatorName, fresh: float, output: float, prefill_share: float, reason: str
) -> None:
    mix = ServedMix(fresh_input_mtok=fresh, cache_read_mtok=9, output_mtok=output, pool_usd=1)
    basis = AllocationBasis(prefill_accelerator_share=prefill_share, cached_share=0)
    assert allocate(name, mix=mix, basis=basis) == NoAllocation(allocator=name, reason=reason)


@pytest.mark.parametrize("share, fresh, output", [(0.0, 0.0, 2.0), (1.0, 1 / 0.6, 0.0)])
def test_a_role_may_be_all_of_the_pool(share: float, fresh: float, output: float) -> None:
    # All decode: 1,000/500 out, and no input is needed; all prefill: 1,000/600 in, and no output
    mix = ServedMix(
        fresh_input_mtok=0 if share == 0 else 600,
        cache_read_mtok=0,
        output_mtok=500 if share == 0 else 0,
        pool_usd=1000,
    )
    found = split("role_based", mix=mix, basis=AllocationBasis(prefill_accelerator_share=share))
    assert found.usd_per_mtok["input_tokens"] == pytest.approx(fresh)
    assert found.usd_per_mtok["output_tokens"] == pytest.approx(output)


@pytest.mark.parametrize("share", [-0.01, 1.01])
def test_a_share_out_of_range_is_a_bug(share: float) -> None:
    with pytest.raises(ValueError, match="not between 0 and 1"):
        allocate("role_based", mix=MIX, basis=AllocationBasis(prefill_accelerator_share=share))


@pytest.mark.parametrize("tokens", [(0, 0, 0), (-1, 1, 1), (1, -1, 1), (1, 1, -1)])
def test_a_mix_serves_something_and_nothing_less_than_nothing(
    tokens: tuple[float, float, float],
) -> None:
    fresh, cached, output = tokens
    with pytest.raises(ValueError, match="none below zero"):
        ServedMix(fresh_input_mtok=fresh, cache_read_mtok=cached, output_mtok=output, pool_usd=1)
    with pytest.raises(ValueError, match="none below zero"):
        ServedMix(fresh_input_mtok=1, cache_read_mtok=1, output_mtok=1, pool_usd=-1)


mtok = st.floats(0.001, 1e6)
share = st.floats(0, 1)


@given(
    mix=st.builds(
        ServedMix, fresh_input_mtok=mtok, cache_read_mtok=mtok, output_mtok=mtok, pool_usd=mtok
    ),
    basis=st.builds(
        AllocationBasis,
        prefill_accelerator_share=share,
        prefill_time_share=share,
        cached_share=share,
    ),
)
def test_what_an_allocator_splits_adds_up_to_the_cost_of_the_pool(
    mix: ServedMix, basis: AllocationBasis
) -> None:
    for found in compare_allocators(mix, basis=basis):
        assert isinstance(found, Allocation)
        twice = found.allocator == "full_charge"
        assert found.usd_of(mix) == pytest.approx((2 if twice else 1) * mix.pool_usd)
        assert found.adds_up is not twice


seconds = st.floats(0.1, 20)


@given(g=st.tuples(seconds, seconds, seconds), counts=st.tuples(*[st.integers(1, 1000)] * 3))
def test_the_fit_adds_up_to_its_printed_residual_and_the_cover_never_under(
    g: tuple[float, float, float], counts: tuple[int, int, int]
) -> None:
    shapes = ((1000, 1000), (8000, 1000), (1000, 8000))
    fit = made_fit([(i, o, s) for (i, o), s in zip(shapes, g, strict=True)])
    served = {
        (one.reading.shape.input_tokens, one.reading.shape.output_tokens): one for one in fit.shapes
    }
    for shape, count in zip(shapes, counts, strict=True):
        one = served[shape]
        made = {
            "fit": fit.fit.a_us_per_input_token * shape[0]
            + fit.fit.b_us_per_output_token * shape[1],
            "cover": fit.cover.a_us_per_input_token * shape[0]
            + fit.cover.b_us_per_output_token * shape[1],
        }
        took_us = one.accelerator_s_per_request * 1e6 * count
        assert made["fit"] * count == pytest.approx(took_us * (1 + one.residual_fit))
        assert made["cover"] * count >= took_us * (1 - 1e-9)
    total = fsum(
        served[shape].fitted_accelerator_s_per_request * count
        for shape, count in zip(shapes, counts, strict=True)
    )
    took = fsum(
        served[shape].accelerator_s_per_request * count
        for shape, count in zip(shapes, counts, strict=True)
    )
    if fit.used == "cover":
        assert total >= took * (1 - 1e-9)
    else:
        assert total >= took * 0.95

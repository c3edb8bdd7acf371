"""What a newcomer to a shared pool is charged with."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.cost.joining_charge import joining_charge
from pricing_rules.cost.unit_cost import usd_per_mtok


def test_a_newcomer_that_costs_the_others_nothing_is_free() -> None:
    charge = joining_charge(
        100.0,
        others_alone_tokens_per_s=1000,
        others_beside_tokens_per_s=1000,
        newcomer_tokens_per_s=10,
    )
    assert (charge.usd_per_hour, charge.newcomer_usd_per_mtok) == (0, 0)


@given(
    pool_usd_per_hour=st.floats(0.01, 1e6),
    alone=st.floats(1, 1e6),
    kept=st.floats(0.001, 1),
    own=st.floats(0.1, 1e6),
)
def test_the_others_cost_what_they_cost_alone_and_both_what_the_pool_costs(
    pool_usd_per_hour: float, alone: float, kept: float, own: float
) -> None:
    charge = joining_charge(
        pool_usd_per_hour,
        others_alone_tokens_per_s=alone,
        others_beside_tokens_per_s=alone * kept,
        newcomer_tokens_per_s=own,
    )
    assert charge.usd_per_hour + charge.others_usd_per_hour == pytest.approx(pool_usd_per_hour)
    before = usd_per_mtok(pool_usd_per_hour, tokens_per_s=alone)
    assert charge.others_usd_per_mtok == pytest.approx(before, rel=1e-6)
    both = (charge.others_usd_per_mtok * alone * kept + charge.newcomer_usd_per_mtok * own) * 0.0036
    assert both == pytest.approx(pool_usd_per_hour, rel=1e-6)


@pytest.mark.parametrize(
    "alone, beside, own, match",
    [
        (0, 0, 1, "serves nothing"),
        (1, 0, 1, "serves nothing"),
        (1, 1, 0, "serves nothing"),
        (1000, 1001, 10, "measure both at the same promises"),
    ],
)
def test_throughputs_that_cannot_be_are_refused(
    alone: float, beside: float, own: float, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        joining_charge(
            1.0,
            others_alone_tokens_per_s=alone,
            others_beside_tokens_per_s=beside,
            newcomer_tokens_per_s=own,
        )

"""The four effects on the cost of a token add up to its change, whatever the two periods are."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError
from pricing_rules.planning.variance import EFFECTS, LineUse, PeriodCost, cost_variance
from tests.pricing_rules.planning.made_reviews import row

positive = st.integers(1, 10**6).map(lambda n: Fraction(n, 3600))
lines = st.dictionaries(
    st.sampled_from("abcd"),
    st.builds(LineUse, tokens=st.integers(1, 10**9), used_hours=positive),
    min_size=1,
)
periods = st.builds(PeriodCost, spend=positive, available_hours=positive, lines=lines)


def period(*lines: tuple[str, int, int], spend: int = 100, hours: int = 100) -> PeriodCost:
    """A period of lines (name, tokens, used hours)."""
    return PeriodCost(
        spend=Fraction(spend),
        available_hours=Fraction(hours),
        lines={
            name: LineUse(tokens=tokens, used_hours=Fraction(used)) for name, tokens, used in lines
        },
    )


@given(periods, periods)
def test_the_effects_add_up_to_the_change_exactly(before: PeriodCost, after: PeriodCost) -> None:
    found = cost_variance(before, after=after)
    assert sum(getattr(found, name) for name in EFFECTS) == found.change
    assert found.after - found.before == found.change
    assert found.before * before.tokens == before.spend
    assert found.after * after.tokens == after.spend


@given(periods)
def test_a_period_differs_from_itself_in_nothing(same: PeriodCost) -> None:
    found = cost_variance(same, after=same)
    assert [getattr(found, name) for name in EFFECTS] == [0, 0, 0, 0]


@given(periods, st.integers(2, 9))
def test_dearer_hours_alone_are_spend_alone(before: PeriodCost, factor: int) -> None:
    after = PeriodCost(
        spend=before.spend * factor, available_hours=before.available_hours, lines=before.lines
    )
    found = cost_variance(before, after=after)
    assert found.spend == found.change == found.before * (factor - 1)


@given(periods, st.integers(2, 9))
def test_more_of_the_same_usage_is_utilization_alone(before: PeriodCost, factor: int) -> None:
    more = {
        key: LineUse(tokens=line.tokens * factor, used_hours=line.used_hours * factor)
        for key, line in before.lines.items()
    }
    found = cost_variance(
        before,
        after=PeriodCost(spend=before.spend, available_hours=before.available_hours, lines=more),
    )
    assert found.utilization == found.change
    assert row(found.spend, found.mix, found.efficiency) == (0, 0, 0)


def test_the_factors_are_replaced_in_the_stated_order() -> None:
    # Before: 100 over 100 hours, 40 of them used for 10 a (2 h each) and 20 b (1 h each): 100/30.
    # After: 150 over 100 hours, 60 used for 20 a (2 h) and 10 b (now 2 h): 150/30 = 5.
    before = period(("a", 10, 20), ("b", 20, 20))
    after = period(("a", 20, 40), ("b", 10, 20), spend=150)
    found = cost_variance(before, after=after)
    assert row(found.before, found.after) == (Fraction(10, 3), 5)
    # Spend: (1.5 - 1) x 100/40 x 40/30.
    assert found.spend == Fraction(5, 3)
    # Utilization: 1.5 x (100/60 - 100/40) x 40/30.
    assert found.utilization == Fraction(-5, 3)
    # Mix: 20 a and 10 b at the old hours are 50: 1.5 x 100/60 x (50/30 - 40/30).
    assert found.mix == Fraction(5, 6)
    # Efficiency: 1.5 x 100/60 x (60/30 - 50/30).
    assert found.efficiency == Fraction(5, 6)


def test_a_line_that_comes_or_goes_is_mix_and_never_efficiency() -> None:
    came = cost_variance(period(("a", 10, 20)), after=period(("a", 10, 20), ("b", 5, 30)))
    assert came.efficiency == 0
    assert came.mix != 0
    went = cost_variance(period(("a", 10, 20), ("b", 5, 30)), after=period(("a", 10, 20)))
    assert went.efficiency == 0
    idle = cost_variance(
        period(("a", 10, 20), ("b", 0, 0)), after=period(("a", 9, 18), ("b", 1, 9))
    )
    assert idle.efficiency == 0


@pytest.mark.parametrize(
    "nothing",
    [period(), period(("a", 0, 0)), period(("a", 5, 0)), period(("a", 5, 1), hours=0)],
    ids=["no lines", "no tokens", "no time", "no hours"],
)
def test_a_period_without_use_is_not_compared(nothing: PeriodCost) -> None:
    something = period(("a", 5, 1))
    with pytest.raises(DocumentError, match="the period before: served no tokens"):
        cost_variance(nothing, after=something)
    with pytest.raises(DocumentError, match="the period reviewed: served no tokens"):
        cost_variance(something, after=nothing)

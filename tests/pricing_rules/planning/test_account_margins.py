"""The margin of accounts and its effects: they add up, and name what a person would name."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing_rules.planning.account_margins import (
    EFFECT_KINDS,
    AccountMargin,
    AccountMargins,
    account_margins,
)
from pricing_rules.planning.cause import Cause, cause_of
from pricing_rules.planning.unit_takings import UnitKey, UnitTakings, period_takings
from tests.pricing_rules.planning.made_reviews import (
    MTOK,
    Json,
    book,
    books,
    card,
    period_of,
    used,
)

amounts = st.integers(0, 60).map(lambda n: Fraction(n, 7))
takings = st.builds(UnitTakings, costed_revenue=amounts, taken_off=amounts, cost_exact=amounts)
units = st.dictionaries(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["m", "n"]),
        st.sampled_from(["batch", "standard"]),
        st.sampled_from(["input_tokens", "output_tokens", "requests"]),
    ),
    takings,
    max_size=8,
)


@given(units)
def test_the_effects_add_up_to_what_an_account_brings_over_the_average(
    found: dict[UnitKey, UnitTakings],
) -> None:
    margins = account_margins(found)
    total = margins.takings
    average = total.costed_revenue / total.cost_exact if total.cost_exact else Fraction(0)
    for one in margins.accounts:
        brings = one.takings.costed_revenue - one.takings.cost_exact * average
        assert sum(effect.amount for effect in one.effects) == brings
        assert all(effect.amount for effect in one.effects)
    # Over all accounts each kind adds up to nothing, and accounts and units to the whole.
    for kind in EFFECT_KINDS if total.cost_exact else ():
        assert sum(one.of_kind(kind) for one in margins.accounts) == 0
    for field in ("costed_revenue", "taken_off", "cost_exact", "margin"):
        whole = getattr(total, field)
        assert sum(getattr(one.takings, field) for one in margins.accounts) == whole
        assert sum(getattr(one, field) for one in margins.units.values()) == whole


def _account(name: str, *, revenue: int, cost: int) -> dict[UnitKey, UnitTakings]:
    key = (name, "m", "standard", "output_tokens")
    return {key: UnitTakings(costed_revenue=Fraction(revenue), cost_exact=Fraction(cost))}


def test_losses_come_first_by_amount_then_what_earns_by_share() -> None:
    margins = account_margins(
        {
            **_account("earns 50 %", revenue=2, cost=1),
            **_account("earns 10 % of much", revenue=1000, cost=900),
            **_account("loses 1 of 1", revenue=1, cost=2),
            **_account("loses 5 of 100", revenue=100, cost=105),
            **_account("at its cost", revenue=7, cost=7),
            **_account("free", revenue=0, cost=3),
            **_account("nothing", revenue=0, cost=0),
        }
    )
    assert [one.account for one in margins.accounts] == [
        "loses 5 of 100",
        "free",
        "loses 1 of 1",
        "at its cost",
        "earns 10 % of much",
        "earns 50 %",
    ]


def _caused(
    *usage: Json, cards: tuple[Json, ...] = (), off: dict[UnitKey, Fraction] | None = None,
    **fields: Any,
) -> tuple[AccountMargins, dict[str, Cause]]:  # fmt: skip
    under = books(book(*cards, **fields))
    found = period_of(usage, under=under, off_shares=off)
    margins = account_margins(
        period_takings(
            found.totals, charges=found.charges, books=under, off_shares=found.off_shares
        ).units
    )
    return margins, {
        one.account: cause_of(one, among=margins, charges=found.charges) for one in margins.accounts
    }


IN_AND_OUT = {"input_tokens": 8 * MTOK, "output_tokens": 2 * MTOK}


def test_long_output_is_a_cause() -> None:
    # Input at 0.5 costs 0.22 a million, output at 2.1 costs 2.02: reasoning loses the mark-up.
    margins, causes = _caused(
        used(IN_AND_OUT, account="chat", events=9),
        used({"input_tokens": MTOK, "output_tokens": 8 * MTOK}, account="reasoner"),
        cards=(card({"input_tokens": "0.5", "output_tokens": "2.1"}),),
    )
    assert margins.accounts[0].account == "reasoner"
    assert causes["reasoner"].kind == "unit_share"
    # 8 x 2.02 = 16.16 of 16.38; all: 20.2 of 22.18. Output lists for 2.1 / 2.02.
    assert causes["reasoner"].sentence == (
        "98.66 % of its cost on m in standard is output_tokens (91.07 % over all accounts), which "
        "list for 1.04 times their cost where the whole card lists for 1.15 times"
    )
    assert causes["reasoner"].amount == margins.accounts[0].of_kind("units") < 0
    assert causes["chat"].kind == "none"


def test_cached_input_is_a_cause() -> None:
    _, causes = _caused(
        used(IN_AND_OUT, account="chat"),
        used({"cache_read_tokens": 99 * MTOK, "output_tokens": MTOK}, account="rag"),
        cards=(card({"input_tokens": "0.5", "cache_read_tokens": "0.03", "output_tokens": "4"}),),
    )
    # 99M at 0.03 cost 0.04.
    assert causes["rag"].kind == "unit_share"
    assert "is cache_read_tokens" in causes["rag"].sentence


def test_discounts_are_a_cause() -> None:
    keys: list[UnitKey] = [("big", "m", "standard", unit) for unit in IN_AND_OUT]
    margins, causes = _caused(
        used(IN_AND_OUT, account="small"),
        used(IN_AND_OUT, account="big"),
        off=dict.fromkeys(keys, Fraction(6, 10)),
    )
    # Each lists for 4 + 8 = 12 and costs 1.76 + 4.04 = 5.8; big pays 4.8.
    assert margins.accounts[0].takings.margin == Fraction(-1)
    assert causes["big"] == Cause(
        kind="discounts",
        amount=Fraction(-36, 10),
        sentence="discounts take 60.00 % off what its usage lists for; all accounts together get "
        "30.00 %",
    )


def test_the_rates_of_a_window_are_a_cause() -> None:
    night = {"night": {"zone": "UTC", "times": [{"start_time": "00:00", "end_time": "06:00"}]}}
    cheap = {"unit": "output_tokens", "rate": "1", "when": {"window": "night"}}
    _, causes = _caused(
        used({"output_tokens": 3 * MTOK}, account="day"),
        used({"output_tokens": MTOK}, account="owl"),
        used({"output_tokens": 3 * MTOK}, account="owl", at="2026-10-20T03:00:00Z"),
        cards=(card(extra=[cheap]),),
        windows=night,
    )
    # Owl: 4 + 3 = 7 over 8.08. All: 19 over 14.14.
    assert causes["owl"].kind == "rates"
    assert causes["owl"].sentence == (
        "output_tokens of m in standard list for 0.87 times their cost, where those of all "
        "accounts list for 1.34 times; 75.00 % of them at 1 per million (window=night)"
    )


def test_usage_without_a_rate_is_a_cause() -> None:
    night = {"night": {"zone": "UTC", "times": [{"start_time": "00:00", "end_time": "06:00"}]}}
    only = {"output_tokens": {"rate": "4", "when": {"window": "night"}}}
    _, causes = _caused(
        used({"output_tokens": MTOK}, account="day"),
        used({"output_tokens": MTOK}, account="owl", at="2026-10-20T03:00:00Z"),
        cards=(card(only),),
        windows=night,
    )
    # Unpriced by day: 4 over 4.04 in all.
    assert causes["day"].sentence == (
        "output_tokens of m in standard list for 0.00 times their cost, where those of all "
        "accounts list for 0.99 times"
    )


def test_a_cheap_card_is_a_cause() -> None:
    _, causes = _caused(
        used({"output_tokens": 2 * MTOK}, account="cheap", model="n"),
        used({"output_tokens": 8 * MTOK}, account="dear"),
        cards=(card(), card({"output_tokens": "2"}, model="n")),
    )
    # n: 4 over 4.04; m: 32 over 16.16; all: 36 over 20.2.
    assert causes["cheap"].kind == "card_mix"
    assert causes["cheap"].sentence == (
        "100.00 % of its cost is on n in standard (20.00 % over all accounts), which lists for "
        "0.99 times its cost where everything lists for 1.78 times"
    )


def test_a_fee_that_an_account_pays_less_of_is_a_cause() -> None:
    fee = {"unit": "requests", "rate": "1000000"}
    _, causes = _caused(
        used({"output_tokens": MTOK}, account="few", events=1),
        used({"output_tokens": MTOK}, account="many", events=9),
        cards=(card({"output_tokens": "4"}, extra=[fee]),),
    )
    # 1 and 9 of fees over 2.02 each; all: 10 over 4.04.
    assert causes["few"].sentence == (
        "requests of m in standard bring 49.50 % of its cost, and 247.52 % of that of all accounts"
    )


def test_where_all_meet_rates_under_cost_the_level_is_the_cause() -> None:
    _, causes = _caused(
        used({"output_tokens": MTOK, "input_tokens": MTOK}),
        cards=(card({"output_tokens": "1", "input_tokens": "0.5"}),),
    )
    # 1 / 2.02 and 0.5 / 0.22.
    assert causes["acme"] == Cause(
        kind="rate_level",
        amount=Fraction(-102, 100),
        sentence="it meets the rates that all meet: output_tokens of m in standard bring 0.50 "
        "times their cost",
    )


@pytest.mark.parametrize("off, kind", [("0.009", "none"), ("0.01", "none"), ("0.011", "discounts")])
def test_a_cause_takes_more_than_a_hundredth_of_the_cost(off: str, kind: str) -> None:
    # Two accounts of one cost, listed at it: a discount takes off half of its share below average.
    share = Fraction(off) * 2
    one, other = (
        ("a", "m", "standard", "output_tokens"),
        ("b", "m", "standard", "output_tokens"),
    )
    margins = account_margins(
        {
            one: UnitTakings(
                costed_revenue=100 * (1 - share), taken_off=100 * share, cost_exact=Fraction(100)
            ),
            other: UnitTakings(costed_revenue=Fraction(100), cost_exact=Fraction(100)),
        }
    )
    (found,) = (account for account in margins.accounts if account.account == "a")
    cause = found.cause
    assert (cause.kind if cause else "none") == kind


def test_an_account_of_nothing_has_no_cause() -> None:
    bare = AccountMargin(account="a", takings=UnitTakings(), units={}, effects=())
    assert bare.cause is None
    among = AccountMargins(accounts=(bare,), takings=UnitTakings(), units=defaultdict(UnitTakings))
    assert cause_of(bare, among=among, charges=()).kind == "none"

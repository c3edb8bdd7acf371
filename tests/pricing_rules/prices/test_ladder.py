"""Ladders: each kind below, at and above its bounds, each setting, and the laws of all of them.

Invariant: sums stand in the comments, and the laws are checked against a count unit by unit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pricing_rules.document import DocumentError, dump, load_json
from pricing_rules.prices.ladder import Ladder, Rungs
from tests.pricing_rules.prices.made_books import ladder, ladders, quantities

TEN = [{"up_to": 10, "rate": "2", "flat": "5"}, {"rate": "1", "flat": "3"}]


def cost(found: Ladder, quantity: str, *, per: int = 1) -> Fraction:
    return found.rungs(per=per).cost(Fraction(quantity))


@pytest.mark.parametrize(
    "kind, quantity, amount",
    [
        ("graduated", "9", 23),  # 9 * 2 + 5
        ("graduated", "10", 25),  # 10 * 2 + 5
        ("graduated", "11", 29),  # 10 * 2 + 5 + 1 * 1 + 3
        ("volume", "9", 23),  # 9 * 2 + 5
        ("volume", "10", 25),  # 10 * 2 + 5
        ("volume", "11", 14),  # 11 * 1 + 3: all of it in the second band
        ("percentage", "9", Fraction("5.18")),  # 9 * 2 % + 5
        ("percentage", "10", Fraction("5.2")),  # 10 * 2 % + 5
        ("percentage", "11", Fraction("8.21")),  # 5.2 + 1 * 1 % + 3
    ],
)
def test_each_kind_below_at_and_above_its_bound(kind: str, quantity: str, amount: Any) -> None:
    assert cost(ladder(kind, bands=TEN), quantity) == amount


@pytest.mark.parametrize(
    "quantity, amount",
    [
        ("0", 0),
        ("1", 2),  # one begun package of 5
        ("5", 2),
        ("6", 4),
        ("10", 4),
        ("11", 5),  # 2 packages below, 1 of the second band
    ],
)
def test_a_package_that_is_begun_is_charged(quantity: str, amount: int) -> None:
    found = ladder("package", bands=[{"up_to": 10, "rate": "2"}, {"rate": "1"}])
    assert cost(found, quantity, per=5) == amount


@pytest.mark.parametrize("quantity, amount", [("4", 0), ("5", 2), ("9", 2), ("10", 4)])
def test_packages_rounded_down_charge_only_full_ones(quantity: str, amount: int) -> None:
    found = ladder("package", bands=[{"rate": "2"}], settings={"package_rounding": "down"})
    assert cost(found, quantity, per=5) == amount


def test_a_volume_ladder_can_sell_whole_packages() -> None:
    bands = [{"up_to": 10, "rate": "2", "per": 4}, {"rate": "1", "per": 6}]
    found = ladder("volume", bands=bands, settings={"whole_packages": True})
    assert cost(found, "9") == 6  # 3 packages of 4 at 2
    assert cost(found, "13") == 3  # 3 packages of 6 at 1


def test_a_standard_ladder_is_one_rate() -> None:
    assert cost(ladder("standard", bands=[{"rate": "3"}]), "1.5", per=2) == Fraction(9, 4)


@pytest.mark.parametrize(
    "kind, bounds, amount",
    [
        ("volume", "inclusive", 25),  # 10 * 2 + 5
        ("volume", "exclusive", 13),  # 10 * 1 + 3
        ("graduated", "inclusive", 25),  # 10 * 2 + 5
        ("graduated", "exclusive", 28),  # the second band is entered: its flat 3 is due
    ],
)
def test_the_bound_itself_belongs_where_the_setting_says(
    kind: str, bounds: str, amount: int
) -> None:
    assert cost(ladder(kind, bands=TEN, settings={"bounds": bounds}), "10") == amount


@pytest.mark.parametrize("kind", ["graduated", "volume", "percentage", "package"])
def test_no_usage_owes_a_flat_amount_only_where_the_setting_says(kind: str) -> None:
    assert cost(ladder(kind, bands=TEN), "0") == 0
    assert cost(ladder(kind, bands=TEN, settings={"flat_at_zero": True}), "0") == 5


def test_a_band_charges_no_more_than_its_cap_flat_included() -> None:
    bands = [{"up_to": 10, "rate": "2", "flat": "5", "cap": "12"}, {"rate": "1"}]
    found = ladder("graduated", bands=bands)
    assert cost(found, "3") == 11  # 3 * 2 + 5
    assert cost(found, "4") == 12  # 13 without the cap
    assert cost(found, "20") == 22  # 12 + 10 * 1


@pytest.mark.parametrize("kind", ["graduated", "volume"])
def test_usage_past_a_bounded_last_band_is_refused(kind: str) -> None:
    rungs = ladder(kind, bands=[{"up_to": 10, "rate": "2"}]).rungs(per=1)
    assert rungs.cost(Fraction(9)) == 18
    assert rungs.cost(Fraction(10)) == 20
    with pytest.raises(LookupError, match="11 lies past the last band, which ends at 10"):
        rungs.cost(Fraction(11))


def test_past_an_exclusive_bound_a_volume_ladder_has_no_band() -> None:
    bands = [{"up_to": 10, "rate": "2"}]
    rungs = ladder("volume", bands=bands, settings={"bounds": "exclusive"}).rungs(per=1)
    assert rungs.cost(Fraction(9)) == 18
    with pytest.raises(LookupError, match="10 lies past the last band"):
        rungs.between(Fraction(0), end=Fraction(1), total=Fraction(10))
    assert [rungs.covered(Fraction(q)) for q in (9, 10, 11)] == [9, 0, 0]


@pytest.mark.parametrize("kind, amount", [("graduated", 31), ("volume", 15)])
def test_an_extended_last_band_goes_on(kind: str, amount: int) -> None:
    bands = [{"up_to": 10, "rate": "2"}, {"up_to": 20, "rate": "1"}]
    found = ladder(kind, bands=bands, settings={"past_last_band": "extend"})
    # graduated at 21: 10 * 2 + 11 * 1 = 31; volume at 15: 15 * 1, and past the end as well
    assert cost(found, "21" if kind == "graduated" else "15") == amount
    assert found.rungs(per=1).limit is None


def test_volume_past_an_extended_last_band_takes_its_rate() -> None:
    bands = [{"up_to": 10, "rate": "2"}, {"up_to": 20, "rate": "1"}]
    assert cost(ladder("volume", bands=bands, settings={"past_last_band": "extend"}), "21") == 21


def test_a_segment_shows_the_bands_that_it_moves_through() -> None:
    rungs = ladder("graduated", bands=TEN).rungs(per=1)
    parts = rungs.between(Fraction(8), end=Fraction(12), total=Fraction(12))
    # 2 more in the first band; 2 in the second with its flat amount of 3
    assert [p.quantity for p in parts] == [2, 2]
    assert [p.flat for p in parts] == [0, 3]
    assert [p.amount for p in parts] == [4, 5]


def test_a_correction_takes_whole_bands_back() -> None:
    rungs = ladder("graduated", bands=TEN).rungs(per=1)
    parts = rungs.between(Fraction(12), end=Fraction(8), total=Fraction(8))
    assert [p.quantity for p in parts] == [-2, -2]
    assert [p.amount for p in parts] == [-4, -5]


def test_segments_of_a_volume_ladder_take_the_band_of_the_total() -> None:
    rungs = ladder("volume", bands=TEN).rungs(per=1)
    first = rungs.between(Fraction(0), end=Fraction(8), total=Fraction(12))
    second = rungs.between(Fraction(8), end=Fraction(12), total=Fraction(12))
    assert [p.quantity for p in (*first, *second)] == [8, 4]
    assert [p.amount for p in (*first, *second)] == [11, 4]  # 8 * 1 + 3, 4 * 1


@pytest.mark.parametrize(
    "bands, sentence",
    [
        (
            [{"up_to": 10}, {"from": 11}],
            "gap between bands: bands[1] starts at 11, the one before ends at 10",
        ),
        (
            [{"up_to": 10}, {"from": 9}],
            "overlapping bands: bands[1] starts at 9, the one before ends at 10",
        ),
        (
            [{"from": 1}],
            "gap between bands: bands[0] starts at 1, the one before ends at 0",
        ),
        (
            [{"up_to": 10}, {"up_to": 10}, {}],
            "overlapping bands: bands[1] ends at 10, where 10 is already reached",
        ),
        ([{"up_to": 0}, {}], "overlapping bands: bands[0] ends at 0, where 0 is already reached"),
        ([{}, {"up_to": 10}], "bands[0] is open but not the last; give it an up_to"),
    ],
)
def test_bands_with_a_gap_or_an_overlap_are_refused(bands: Sequence[Any], sentence: str) -> None:
    with pytest.raises(DocumentError) as refused:
        ladder("graduated", bands=bands)
    assert str(refused.value) == f"ladder: {sentence}"


@pytest.mark.parametrize(
    "kind, bands, settings, sentence",
    [
        ("standard", [{"up_to": 10}], {}, "a standard ladder has one open band"),
        ("standard", [{"up_to": 10}, {}], {}, "a standard ladder has one open band"),
        ("graduated", [{}], {"whole_packages": True}, "whole_packages is for volume ladders"),
        ("volume", [{}], {"package_rounding": "down"}, "package_rounding is for ladders that sell"),
        ("percentage", [{"per": 10}], {}, "a percentage ladder is per 100"),
        ("graduated", [], {}, "must hold at least 1"),
        ("graduated", [{"up_to": 1.5}, {}], {}, 'must be a whole number or a string such as "2.5"'),
        ("graduated", [{"up_to": True}, {}], {}, "must be a whole number or a string"),
        ("graduated", [{"up_to": -1}, {}], {}, "must be a whole number or a string"),
        ("graduated", [{"up_to": 10**15}, {}], {}, "must be a whole number or a string"),
        ("graduated", [{"up_to": "1e3"}, {}], {}, 'must be a plain decimal such as "0.25"'),
        ("graduated", [{"rate": 0.5}], {}, "must be a string in quotes"),
        ("graduated", [{"rate": "-1"}], {}, "must be a plain decimal"),
        ("graduated", [{"per": 0}], {}, "greater than or equal to 1"),
        ("tiered", [{}], {}, "input should be"),
    ],
)
def test_a_ladder_that_cannot_be_meant_is_refused(
    kind: str, bands: Sequence[Any], settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(DocumentError, match="ladder") as refused:
        ladder(kind, bands=bands, settings=settings)
    assert sentence in str(refused.value)


def test_bounds_are_decimals_and_a_written_lower_bound_is_checked() -> None:
    bands = [{"from": 0, "up_to": "2.5", "rate": "2"}, {"from": "2.50", "rate": "1"}]
    assert cost(ladder("graduated", bands=bands), "3") == Fraction("5.5")  # 2.5 * 2 + 0.5


@given(found=ladders())
def test_a_ladder_reads_back_what_it_writes(found: Ladder) -> None:
    assert load_json(Ladder, json.dumps(dump(found)).encode(), name="ladder") == found


def by_unit(found: Ladder, *, quantity: int, per: int) -> Fraction:
    """A graduated cost counted unit by unit: each at the rate of the band in which it lies."""
    amount = Fraction(0)
    entered = set()
    for unit in range(1, quantity + 1):
        i = next(i for i, b in enumerate(found.bands) if b.up_to is None or unit <= b.up_to)
        entered.add(i)
        amount += Fraction(found.bands[i].rate) / (found.bands[i].per or per)
    return amount + sum(Fraction(found.bands[i].flat) for i in entered)


@given(
    widths=st.lists(st.integers(1, 12), max_size=3),
    rates=st.lists(st.sampled_from(["0", "0.5", "2", "1.25"]), min_size=4, max_size=4),
    flats=st.lists(st.sampled_from(["0", "3"]), min_size=4, max_size=4),
    quantity=st.integers(0, 50),
)
def test_i7_graduated_is_the_sum_over_units_of_their_marginal_rate(
    widths: list[int], rates: list[str], flats: list[str], quantity: int
) -> None:
    bounds = [sum(widths[: i + 1]) for i in range(len(widths))]
    bands = [
        {"up_to": bound, "rate": rate, "flat": flat}
        for bound, rate, flat in zip([*bounds, None], rates, flats, strict=False)
    ]
    found = ladder("graduated", bands=bands)
    assert found.rungs(per=3).cost(Fraction(quantity)) == by_unit(found, quantity=quantity, per=3)


@given(data=st.data(), found=ladders())
def test_i8_more_usage_never_costs_less_except_in_a_volume_ladder(
    data: st.DataObject, found: Ladder
) -> None:
    rungs = found.rungs(per=7)
    assume(not rungs.volume)
    less, more = sorted(data.draw(st.tuples(quantities(found), quantities(found))))
    assume(rungs.covered(Fraction(more)) == more)
    assert rungs.cost(Fraction(less)) <= rungs.cost(Fraction(more))


def walked(rungs: Rungs, parts: Sequence[int]) -> Fraction:
    """The sum of the segments of a quantity that comes in parts."""
    total, position, amount = Fraction(sum(parts)), Fraction(0), Fraction(0)
    for part in parts:
        found = rungs.between(position, end=position + part, total=total)
        amount += sum(band.amount for band in found)
        position += part
    return amount


@given(data=st.data(), found=ladders())
def test_i9_any_split_of_a_quantity_costs_the_same(data: st.DataObject, found: Ladder) -> None:
    parts = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    rungs, whole = found.rungs(per=7), Fraction(sum(parts))
    assume(rungs.covered(whole) == whole)
    assert walked(rungs, parts) == rungs.cost(whole)


@given(data=st.data(), found=ladders())
def test_the_bands_of_a_quantity_add_up_to_it(data: st.DataObject, found: Ladder) -> None:
    rungs, quantity = found.rungs(per=7), Fraction(data.draw(quantities(found)))
    covered = rungs.covered(quantity)
    assert 0 <= covered <= quantity
    if covered == quantity:
        parts = rungs.bands(quantity)
        assert sum(part.quantity for part in parts) == quantity
        assert sum(part.amount for part in parts) == rungs.cost(quantity)
        assert all(isinstance(part.rate, Decimal) for part in parts)
    else:
        with pytest.raises(LookupError, match="past the last band"):
            rungs.cost(quantity)

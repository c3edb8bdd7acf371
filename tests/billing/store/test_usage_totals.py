"""Totals add up in integers, are refused beyond 64 bits, and are rebuilt for one account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.store import usage_totals
from billing.store.faults import StoreOverflowError
from billing.store.grid import AccountGrid, account_grid
from billing.store.rows import json_text
from billing.store.store import Store, StoreError
from billing.store.usage_totals import (
    DamagedTotalError,
    accounts_with_totals,
    add_totals,
    read_all_totals,
    read_segments,
    read_totals,
    replace_totals,
)
from pricing_rules.period import Period
from pricing_rules.usage import totals as pure
from pricing_rules.usage.totals import UsageTotal
from tests.billing.store.made_rows import damage, total

MAX = 2**63 - 1
MIN = -(2**63)


def add(store: Store, *, totals: Sequence[UsageTotal]) -> None:
    """Add in one transaction."""
    with store.write() as connection:
        add_totals(connection, totals=totals)


def stored(store: Store, *, account: str = "acme") -> tuple[UsageTotal, ...]:
    """All totals of an account."""
    with store.read() as connection:
        return read_all_totals(connection, account=account)


def test_totals_of_one_cell_add_up(store: Store) -> None:
    add(store, totals=[total(events=2, leaves={"input_tokens": 10})])
    add(store, totals=[total(events=3, leaves={"input_tokens": 5, "output_tokens": 7})])
    # 2 + 3 events, 10 + 5 input tokens, 0 + 7 output tokens.
    assert stored(store) == (total(events=5, leaves={"input_tokens": 15, "output_tokens": 7}),)


def test_equal_cells_of_one_call_add_up(store: Store) -> None:
    add(store, totals=[total(events=1), total(events=1)])
    assert stored(store) == (total(events=2, leaves={"input_tokens": 20}),)


def test_a_cell_without_tokens_still_has_its_events(store: Store) -> None:
    add(store, totals=[total(events=4, leaves={"input_tokens": 0})])
    assert stored(store) == (total(events=4, leaves={}),)


def test_a_cell_without_events_and_tokens_makes_no_row(store: Store) -> None:
    add(store, totals=[total(events=0, leaves={"input_tokens": 0})])
    with store.read() as connection:
        assert accounts_with_totals(connection) == ()


@pytest.mark.parametrize(
    "other",
    [
        total(epoch=2),
        total(segment_start_at=1),
        total(size_class_tokens=200_001),
        total(model="n"),
        total(dimensions=(("team", "a"),)),
        total(dimensions=(("team", "ä"), ("zone", ""))),
        total(windows=("night@1",)),
        total(windows=('it\'s "day"@2', "night@1")),
    ],
)
def test_cells_that_differ_in_one_part_stay_apart(store: Store, other: UsageTotal) -> None:
    add(store, totals=[other, total()])
    assert stored(store) == tuple(sorted([other, total()], key=lambda t: t.cell))


def test_the_largest_sum_is_kept_and_one_more_is_refused(store: Store) -> None:
    add(store, totals=[total(leaves={"input_tokens": MAX - 1})])
    add(store, totals=[total(leaves={"input_tokens": 1})])
    assert stored(store)[0].leaves == {"input_tokens": MAX}
    with pytest.raises(StoreError, match="beyond 64 bits; nothing was stored"):
        add(store, totals=[total(account="aaa"), total(leaves={"input_tokens": 1})])
    with pytest.raises(StoreError, match="beyond 64 bits"):
        add(store, totals=[total(leaves={"input_tokens": MAX})])
    assert stored(store) == (total(events=2, leaves={"input_tokens": MAX}),)
    assert stored(store, account="aaa") == ()  # it was in the transaction that was refused


@pytest.mark.parametrize(
    "fits, beyond",
    [
        (total(leaves={"input_tokens": MAX}), total(leaves={"input_tokens": MAX + 1})),
        (total(leaves={"input_tokens": MIN}), total(leaves={"input_tokens": MIN - 1})),
        (total(events=MAX), total(events=MAX + 1)),
        (total(events=MIN), total(events=MIN - 1)),
        (total(), total(leaves={"input_tokens": 2**70})),
    ],
)
def test_a_count_beyond_64_bits_is_refused(
    store: Store, fits: UsageTotal, beyond: UsageTotal
) -> None:
    with pytest.raises(StoreError, match="beyond 64 bits"):
        add(store, totals=[beyond])
    add(store, totals=[fits])
    assert stored(store) == (fits,)


@pytest.mark.parametrize(
    "much, more",
    [
        (total(events=MAX), total(events=1)),
        (total(events=MIN), total(events=-1)),
        (total(leaves={"input_tokens": MIN}), total(leaves={"input_tokens": -1})),
        # One is beyond, and the other of the cell would fit.
        (
            total(leaves={"input_tokens": 5, "output_tokens": MAX}),
            total(leaves={"input_tokens": 5, "output_tokens": 1}),
        ),
    ],
)
def test_a_sum_beyond_64_bits_is_refused(store: Store, much: UsageTotal, more: UsageTotal) -> None:
    add(store, totals=[much])
    with pytest.raises(StoreOverflowError, match="beyond 64 bits; nothing was stored"):
        add(store, totals=[more])
    assert stored(store) == (much,)
    with pytest.raises(StoreOverflowError, match="beyond 64 bits"):
        add(store, totals=[much, more])  # they are of one cell, and come together


def test_more_cells_than_go_at_once_are_added_each_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_totals, "_ROWS_AT_ONCE", 2)
    cells = tuple(total(segment_start_at=n, events=n + 1) for n in range(5))
    add(store, totals=cells)
    assert stored(store) == cells


def test_totals_are_read_by_period_and_epoch(store: Store) -> None:
    cells = [
        total(segment_start_at=99),
        total(segment_start_at=100),
        total(segment_start_at=199),
        total(segment_start_at=200),
        total(segment_start_at=100, epoch=2),
        total(segment_start_at=100, account="globex"),
    ]
    add(store, totals=cells)
    period = Period(start_at=100, end_at=200)
    with store.read() as connection:
        first = read_totals(connection, account="acme", period=period, through_epoch=1)
        both = read_totals(connection, account="acme", period=period, through_epoch=2)
        assert accounts_with_totals(connection) == ("acme", "globex")
    assert first == (cells[1], cells[2])
    assert both == (cells[1], cells[2], cells[4])


def test_what_was_taken_away_is_negative_in_its_epoch(store: Store) -> None:
    add(store, totals=[total(events=2, leaves={"input_tokens": 10})])
    away = total(events=-1, leaves={"input_tokens": -4}, epoch=2)
    add(store, totals=[away])
    assert stored(store) == (total(events=2, leaves={"input_tokens": 10}), away)


def test_what_was_taken_away_whole_is_no_total(store: Store) -> None:
    add(store, totals=[total(events=1), total(events=1, model="n", leaves={"input_tokens": 3})])
    add(store, totals=[pure.negative(total(events=1))])
    # As many events, and fewer tokens.
    add(store, totals=[total(events=0, model="n", leaves={"input_tokens": -2})])
    assert stored(store) == (total(events=1, model="n", leaves={"input_tokens": 1}),)


def test_segments_say_how_many_events_they_have(store: Store) -> None:
    cells = [
        total(events=3),
        total(events=2, model="n"),
        total(events=-4, epoch=2),
        total(events=0, epoch=3, leaves={"input_tokens": 1}),
        total(events=1, segment_start_at=50),
        pure.negative(total(events=1, segment_start_at=50)),
        total(events=7, account="globex"),
    ]
    add(store, totals=cells)
    with store.read() as connection:
        found = read_segments(connection, account="acme", through_epoch=3)
        first = read_segments(connection, account="acme", through_epoch=1)
    # All of the segment from 50 on was taken away: nobody used anything there.
    assert [(one.segment_start_at, one.epoch, one.outcome, one.events) for one in found] == [
        (0, 1, "completed", 5),
        (0, 2, "completed", -4),
        (0, 3, "completed", 0),
    ]
    assert [(one.epoch, one.events) for one in first] == [(1, 5)]


def test_replaced_totals_are_those_of_one_account_alone(store: Store) -> None:
    add(store, totals=[total(), total(segment_start_at=50), total(account="globex")])
    with store.write() as connection:
        replace_totals(
            connection,
            account="acme",
            totals=[total(segment_start_at=70)],
            grid_version=3,
            agreement_version=2,
        )
        built = account_grid(connection, account="acme")
    assert built == AccountGrid(account="acme", grid_version=3, agreement_version=2)
    assert stored(store) == (total(segment_start_at=70),)
    assert stored(store, account="globex") == (total(account="globex"),)


def test_totals_of_another_account_are_not_put_in_its_place(store: Store) -> None:
    with pytest.raises(ValueError, match="globex"), store.write() as connection:
        replace_totals(
            connection,
            account="acme",
            totals=[total(account="globex")],
            grid_version=1,
            agreement_version=1,
        )


@pytest.mark.parametrize(
    "column, text",
    [
        ("leaves", "no JSON"),
        ("leaves", '[["input_tokens",10]]'),
        ("leaves", '{"input_tokens": 10}'),
        ("leaves", '{"output_tokens":1,"input_tokens":10}'),
        ("leaves", '{"input_tokens":4,"input_tokens":6}'),
        ("leaves", '{"input_tokens":10.0}'),
        ("leaves", '{"input_tokens":"10"}'),
        ("leaves", '{"input_tokens":0}'),
        ("leaves", '{"requests":1}'),
        ("leaves", '{"inputs":10}'),
        ("dimensions", '{"b":"1","a":"1"}'),
        ("dimensions", '{"a":1}'),
        ("windows", '["a", "b"]'),
        ("windows", "{}"),
    ],
)
def test_a_row_that_nobody_wrote_so_is_named(store: Store, column: str, text: str) -> None:
    add(store, totals=[total(), total(account="b", epoch=2, segment_start_at=1_000_000)])
    damage(store, f"UPDATE usage_totals SET {column} = '{text}' WHERE account = 'b'")
    with pytest.raises(DamagedTotalError) as caught:
        stored(store, account="b")
    assert str(caught.value) == (
        "account b, epoch 2, segment from 1970-01-01T00:00:01Z, m in standard: its total is not "
        "written as this program writes it; run tokenworks grid rebuild --account b"
    )
    assert stored(store) == (total(),)


def test_a_damaged_row_is_named_also_where_its_segment_lies_beyond_all_years(store: Store) -> None:
    add(store, totals=[total()])
    damage(store, "UPDATE usage_totals SET leaves = '[]', segment_start_at = 4611686018427387904")
    with pytest.raises(
        DamagedTotalError, match="4,611,686,018,427,387,904 microseconds since 1970"
    ):
        stored(store)


UNITS = ("cache_write_1h_tokens", "cache_write_tokens", "input_audio_tokens", "input_tokens")
TOTALS = st.builds(
    total,
    events=st.integers(-5, 5),
    leaves=st.dictionaries(st.sampled_from(UNITS), st.integers(-9, 9)),
    epoch=st.integers(1, 2),
    segment_start_at=st.integers(0, 1),
    model=st.sampled_from(["m", "n"]),
    dimensions=st.sampled_from([(), (("a", 'it\'s "x"'),), (("a", "x"), ("ä", "\U0001f600"))]),
)


class UndoneError(Exception):
    """Raised at the end of a transaction of which nothing shall stay."""


def test_the_store_adds_as_the_pure_sum_does(store: Store) -> None:
    @given(parts=st.lists(st.lists(TOTALS, max_size=6), max_size=4))
    def holds(parts: list[list[UsageTotal]]) -> None:
        added = pure.add_totals(t for part in parts for t in part)
        with suppress(UndoneError), store.write() as connection:
            for part in parts:
                add_totals(connection, totals=part)
            found = read_all_totals(connection, account="acme")
            texts = connection.exec_driver_sql("SELECT leaves FROM usage_totals").scalars().all()
            raise UndoneError
        # A cell without events and leaves is none.
        assert found == tuple(t for t in added if t.events or t.leaves)
        # The database writes JSON as we do: keys in order, no blanks, no zeros.
        kept = Counter(json_text(t.leaves) for t in found)
        assert Counter(texts) - kept == Counter({"{}": len(texts) - len(found)})

    holds()

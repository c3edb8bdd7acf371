"""Sums over stored events are the same on every database, and exact beyond 64 bits."""

from __future__ import annotations

import pytest

from billing.store.corrections import (
    append_correction,
    append_steps,
    find_events,
    last_step_seq,
)
from billing.store.events import append_events, last_event_seq
from billing.store.store import Store
from billing.store.usage_sums import UsageSum, read_usage_sums
from pricing_rules.period import Period
from tests.billing.store.made_rows import correction, event, ingest, step

PERIOD = Period(start_at=0, end_at=1_000)


def sums(
    store: Store,
    *,
    step: int | None = 100,
    labels: tuple[str, ...] = (),
    through_seq: int | None = None,
    through_step_seq: int | None = None,
    after: tuple[int | str, ...] | None = None,
    limit: int = 100,
    period: Period = PERIOD,
) -> list[tuple[int | str, ...]]:
    with store.read() as connection:
        newest, newest_step = last_event_seq(connection), last_step_seq(connection)
        found = read_usage_sums(
            connection,
            account="acme",
            period=period,
            step_microseconds=step,
            labels=labels,
            through_seq=newest if through_seq is None else through_seq,
            through_step_seq=newest_step if through_step_seq is None else through_step_seq,
            after=after,
            limit=limit,
        )
    return [(*one.key, one.count) for one in found]


@pytest.fixture
def filled(store: Store) -> Store:
    rows = [
        event("e1", occurred_at=99, units={"input_tokens": 3}, dimensions={"team": "Z"}),
        event("e2", occurred_at=100, units={"input_tokens": 4, "output_tokens": 5}),
        event("e3", occurred_at=199, units={}, dimensions={"team": "a", 'o"dd': "x"}),
        event("e4", occurred_at=999, units={"input_tokens": 1}),
        event("e5", occurred_at=1_000, units={"input_tokens": 100}),
        event("e6", occurred_at=100, units={"input_tokens": 100}, account="other"),
    ]
    assert len(ingest(store, rows=rows)) == 6
    return store


def test_steps_are_half_open_and_in_order_of_time_and_unit(filled: Store) -> None:
    assert sums(filled) == [
        (0, "input_tokens", 3),
        (0, "requests", 1),
        (100, "input_tokens", 4),
        (100, "output_tokens", 5),
        (100, "requests", 2),
        (900, "input_tokens", 1),
        (900, "requests", 1),
    ]
    assert sums(filled, step=None) == [
        (0, "input_tokens", 8),
        (0, "output_tokens", 5),
        (0, "requests", 4),
    ]
    assert sums(filled, period=Period(start_at=100, end_at=101)) == [
        (100, "input_tokens", 4),
        (100, "output_tokens", 5),
        (100, "requests", 1),
    ]


def test_labels_are_compared_byte_for_byte_and_what_is_not_named_comes_first(
    filled: Store,
) -> None:
    assert sums(filled, step=None, labels=("model", "dimensions.team")) == [
        (0, "m", "", "input_tokens", 5),
        (0, "m", "", "output_tokens", 5),
        (0, "m", "", "requests", 2),
        (0, "m", "Z", "input_tokens", 3),
        (0, "m", "Z", "requests", 1),
        (0, "m", "a", "requests", 1),
    ]
    assert (0, "x", "requests", 1) in sums(filled, step=None, labels=('dimensions.o"dd',))


@pytest.mark.parametrize("step", [100, None])
@pytest.mark.parametrize("labels", [(), ("region", "outcome"), ("dimensions.team",)])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_put_together_are_the_whole(
    filled: Store, step: int | None, labels: tuple[str, ...], limit: int
) -> None:
    whole = sums(filled, step=step, labels=labels)
    found: list[tuple[int | str, ...]] = []
    while page := sums(
        filled,
        step=step,
        labels=labels,
        limit=limit,
        after=found[-1][:-1] if found else None,
    ):
        found += page
    assert found == whole


def test_events_after_the_one_that_is_named_are_not_in_it(filled: Store) -> None:
    with filled.read() as connection:
        seq = last_event_seq(connection)
    before = sums(filled)
    ingest(filled, rows=[event("e7", occurred_at=100, units={"input_tokens": 7})])
    assert sums(filled, through_seq=seq) == before
    assert (100, "input_tokens", 11) in sums(filled)  # 4 + 7
    assert sums(filled, through_seq=0) == []


def test_a_voided_event_is_in_no_sum_up_to_a_step_that_restores_it(filled: Store) -> None:
    before = sums(filled)
    with filled.write() as connection:
        (e2,) = find_events(connection, owner="provider", keys=[("gw", "e2")]).values()
        for name, number in (("cor_1", 1), ("cor_2", 2)):
            append_correction(connection, correction=correction(name))
            append_steps(connection, steps=[step(e2.seq, number=number, of=name)])
        last = last_step_seq(connection)
    assert sums(filled) == sums(filled, through_step_seq=last) == before
    # Up to its first step, e2 is void: of the step from 100 on only e3 is left, without tokens.
    left = sums(filled, through_step_seq=last - 1)
    assert [one for one in left if one[0] == 100] == [(100, "requests", 1)]
    assert sums(filled, through_step_seq=last - 2) == before


def test_a_sum_beyond_64_bits_is_exact(store: Store) -> None:
    # Two of 2^63 - 1 are more than a column holds; the bits above and below 2^32 are summed apart.
    most = 2**63 - 1
    rows = [event(f"e{n}", units={"input_tokens": most}) for n in range(2)]
    with store.write() as connection:
        append_events(connection, owner="provider", rows=rows, epoch=1, received_at=1)
    assert sums(store, step=None)[0] == (0, "input_tokens", 2 * most)


def test_an_empty_store_has_no_last_event(store: Store) -> None:
    with store.read() as connection:
        assert (last_event_seq(connection), last_step_seq(connection)) == (0, 0)
    assert sums(store) == []
    assert UsageSum(start_at=1, labels=("m",), unit="requests", count=2).key == (1, "m", "requests")

"""After a group of several requests the writer waits while more come in, and no longer; who sends
alone is not kept waiting.

Sleeping is played: what comes in meanwhile is submitted in the place of each sleep.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import count

import pytest

from billing.operations import writer as writer_module
from billing.operations.writer import GATHER_LOOK_S, GATHER_LOOKS, Writer
from billing.store.store import Store
from tests.billing.api.made_service import sent
from tests.billing.operations.made_ingest import own_store
from tests.billing.operations.test_writer import Told, held, request_of, running


class Sleeping:
    """Time in which so many requests of one event come in with each sleep, and then none."""

    perf_counter = staticmethod(time.perf_counter)

    def __init__(self, coming: Sequence[int]) -> None:
        self.coming = list(coming)
        self.slept_s: list[float] = []
        self.numbers = count(100)
        self.writer: Writer | None = None

    def sleep(self, seconds: float) -> None:
        assert self.writer is not None
        self.slept_s.append(seconds)
        for _ in range(self.coming.pop(0) if self.coming else 0):
            self.writer.submit(request_of(sent(next(self.numbers))))


def groups_of(store: Store, *, sleeping: Sleeping) -> tuple[Writer, Told]:
    """A writer that settled one request, then two together, then those that came in with one."""
    with running(store) as (writer, told), held() as gate:
        sleeping.writer = writer
        writer.submit(request_of(sent(0)))
        gate.shut()
        writer.submit(request_of(sent(1)))
        writer.submit(request_of(sent(2)))
        gate.open()
        told.wait_for(3)
        assert sleeping.slept_s == []  # the first came alone
        writer.submit(request_of(sent(3)))
        told.wait_for(4)
        sleeping.coming.clear()
    return writer, told


@pytest.mark.parametrize(
    "coming, looks",
    [
        ([], 2),  # 1 waits, and then no more
        ([0], 2),
        ([3], 2),  # 4 wait, and then no more
        ([3, 1], 3),  # 4, 5, and then no more
        ([1, 0, 1], 2),  # what comes after that is not waited for, though it is in the group
        ([1] * (GATHER_LOOKS - 2), GATHER_LOOKS - 1),
        ([1] * (GATHER_LOOKS - 1), GATHER_LOOKS),
        ([1] * GATHER_LOOKS, GATHER_LOOKS),
        ([1] * (GATHER_LOOKS + 1), GATHER_LOOKS),
    ],
)
def test_it_looks_until_no_more_come_and_so_often_at_most(
    coming: list[int], looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeping = Sleeping(coming)
    monkeypatch.setattr(writer_module, "time", sleeping)
    with own_store() as (_, store):
        writer, told = groups_of(store, sleeping=sleeping)
    assert sleeping.slept_s == [GATHER_LOOK_S] * looks
    came = sum(coming[:looks])
    assert [len(group) for group in told.groups] == [1, 2, 1 + came]
    assert writer.waiting == 0


@pytest.mark.parametrize(
    "at_once, looks, groups",
    [
        (3, 1, [3]),
        (4, 4, [4, 1]),  # two looks for each group
        (5, 2, [5]),
        (6, 3, [5]),
    ],
)
def test_it_looks_no_longer_once_a_transaction_is_full(
    at_once: int, looks: int, groups: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 1 + 2 wait at the first look, 5 at the second, and no more at the third.
    sleeping = Sleeping([2, 2])
    monkeypatch.setattr(writer_module, "time", sleeping)
    monkeypatch.setattr(writer_module, "EVENTS_AT_ONCE", at_once)
    with own_store() as (_, store):
        _, told = groups_of(store, sleeping=sleeping)
    assert sleeping.slept_s == [GATHER_LOOK_S] * looks
    assert [len(group) for group in told.groups] == [1, 2, *groups]


def test_who_sends_alone_is_not_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    sleeping = Sleeping([])
    monkeypatch.setattr(writer_module, "time", sleeping)
    with own_store() as (_, store), running(store) as (writer, told):
        for number in range(5):
            writer.submit(request_of(sent(number)))
            told.wait_for(number + 1)
    assert [len(group) for group in told.groups] == [1] * 5
    assert sleeping.slept_s == []

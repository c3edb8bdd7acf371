"""The writer settles many requests with one commit, each with its own verdicts, and loses none."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from billing.operations.submitted import submission
from billing.operations.verify import verify
from billing.operations.writer import (
    EVENTS_AT_ONCE,
    Settled,
    Submission,
    Unread,
    Writer,
    WriterFullError,
    WriterStoppedError,
)
from billing.store.events import read_events
from billing.store.points import hooked
from billing.store.store import Store, StoreBusyError
from billing.store.usage_totals import read_all_totals
from pricing_rules.document import DocumentError
from tests.billing.api.made_service import lines, sent
from tests.billing.operations.made_ingest import NOW_AT, facts, own_store

Json = Any


def request_of(*events: Json, name: str = "r", account: str = "") -> Submission:
    return submission(lines(events), form="lines", request=name, account=account, now_at=NOW_AT)


class Told:
    """What a writer announced, group by group."""

    def __init__(self) -> None:
        self.groups: list[list[Settled]] = []
        self.changed = threading.Condition()

    def announce(self, group: Sequence[Settled]) -> None:
        with self.changed:
            self.groups.append(list(group))
            self.changed.notify_all()

    def wait_for(self, count: int) -> list[Settled]:
        """All that was settled, once it is so many."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.settled) >= count, timeout=30)
            return self.settled

    @property
    def settled(self) -> list[Settled]:
        return [one for group in self.groups for one in group]


@contextmanager
def running(store: Store, *, waiting_events: int = 10**6) -> Iterator[tuple[Writer, Told]]:
    told = Told()
    writer = Writer(
        store=store, clock=lambda: NOW_AT, announce=told.announce, waiting_events=waiting_events
    )
    writer.start()
    try:
        yield writer, told
    finally:
        writer.stop()


class Gate:
    """Holds the first transaction: ``shut`` waits until it began, ``open`` lets it go on."""

    def __init__(self) -> None:
        self._began, self._release = threading.Event(), threading.Event()

    def shut(self) -> None:
        assert self._began.wait(30)

    def open(self) -> None:
        self._release.set()

    def hold(self, name: str) -> None:
        if name == "write.begun" and not self._began.is_set():
            self._began.set()
            assert self._release.wait(30)


@contextmanager
def held() -> Iterator[Gate]:
    """A gate before the first transaction."""
    gate = Gate()
    with hooked(gate.hold):
        yield gate


def kinds(settled: Settled) -> list[str]:
    return [one.kind for one in settled.verdicts]


def test_what_waits_while_a_group_is_committed_is_the_next_group() -> None:
    with own_store() as (folder, store), running(store) as (writer, told):
        with held() as gate:
            writer.submit(request_of(sent(0), name="first"))
            gate.shut()
            others = [request_of(sent(n), sent(n), 5, name=f"r{n}") for n in range(1, 11)]
            for request in others:
                writer.submit(request)
            gate.open()
            settled = told.wait_for(11)
        assert [len(group) for group in told.groups] == [1, 10]
        assert [one.submission.request for one in settled] == [
            "first", *(f"r{n}" for n in range(1, 11)),
        ]  # fmt: skip
        for one in settled[1:]:
            assert sorted(kinds(one)) == ["accepted", "duplicate"]
        # Ten requests of 2 events and 1 that is none, and the first: 31 = 11 + 10 + 0 + 10
        deliveries = facts(folder / "store.db", tables=["deliveries"])["deliveries"]
        assert [sum(row[place] for row in deliveries) for place in range(3, 8)] == [
            31,
            11,
            10,
            0,
            10,
        ]
        assert len(deliveries) == len(told.groups)
        assert verify(store).holds


def test_of_two_requests_of_one_group_the_verdicts_are_those_of_one_request() -> None:
    with own_store() as (_, store), running(store) as (writer, told):
        with held() as gate:
            writer.submit(request_of(sent(0)))
            gate.shut()
            later = sent(1, 11, time="2026-10-03T00:00:00Z")
            for event in (later, sent(1, 10), sent(1, 10)):
                writer.submit(request_of(event))
            gate.open()
            _, late_one, *same = list(told.wait_for(4))
        assert kinds(late_one) == ["conflict"]  # it came first, but happened later
        assert sorted(kinds(same[0]) + kinds(same[1])) == ["accepted", "duplicate"]
        assert verify(store).holds


def test_a_group_has_no_more_events_than_a_transaction_should() -> None:
    with own_store() as (_, store), running(store) as (writer, told):
        with held() as gate:
            writer.submit(request_of(sent(0)))
            gate.shut()
            half = EVENTS_AT_ONCE // 2
            for number in range(3):
                events = [sent(number * half + n) for n in range(1, half + 1)]
                writer.submit(request_of(*events))
            gate.open()
            told.wait_for(4)
        sums = [sum(one.submission.received for one in group) for group in told.groups]
        # A group is full once it has so many: two requests of half as many, then the third.
        assert sums == [1, 2 * half, half]


def test_requests_of_an_account_and_of_the_provider_share_a_commit_but_no_identity() -> None:
    with own_store() as (_, store), running(store) as (writer, told):
        with held() as gate:
            writer.submit(request_of(sent(0)))
            gate.shut()
            writer.submit(request_of(sent(1, 10), account="a"))
            writer.submit(request_of(sent(1, 11)))
            gate.open()
            settled = told.wait_for(3)
        assert [kinds(one) for one in settled] == [["accepted"]] * 3
        assert verify(store).holds


def test_one_that_fails_is_alone_and_the_others_are_stored() -> None:
    with own_store() as (_, store), running(store) as (writer, told):
        with held() as gate, capture_logs() as log:
            writer.submit(request_of(sent(0)))
            gate.shut()
            writer.submit(request_of(sent(1, account="b")))
            writer.submit(_broken(request_of(sent(2, account="c"))))
            writer.submit(request_of(sent(3, account="d")))
            gate.open()
            settled = told.wait_for(4)
        errors = {one.submission.events[0].id: type(one.error).__name__ for one in settled}
        assert errors == {
            "e0": "NoneType",
            "e1": "NoneType",
            "e2": "IntegrityError",
            "e3": "NoneType",
        }
        assert [one["event"] for one in log] == ["not_stored"]
        assert verify(store).holds


def _broken(one: Submission) -> Submission:
    """A submission with an event that intake would never let through: its outcome is empty."""
    events = [msgspec.structs.replace(event, outcome="") for event in one.events]
    return msgspec.structs.replace(one, events=events)


def test_where_the_store_is_busy_all_of_the_group_fail_at_once() -> None:
    with own_store() as (_, store), running(store) as (writer, told):
        tried = 0

        def fail(name: str) -> None:
            nonlocal tried
            if name == "write.begun":
                tried += 1
                raise StoreBusyError(store.where, "is in use")

        with hooked(fail):
            writer.submit(request_of(sent(1)))
            (settled,) = told.wait_for(1)
        assert (tried, type(settled.error)) == (1, StoreBusyError)
        assert writer.running
        writer.submit(request_of(sent(1)))
        assert kinds(told.wait_for(2)[1]) == ["accepted"]


def test_a_writer_that_stops_settles_what_it_took_and_takes_no_more() -> None:
    with own_store() as (_, store):
        with running(store) as (writer, told):
            for number in range(50):
                writer.submit(request_of(sent(number)))
        assert [kinds(one) for one in told.settled] == [["accepted"]] * 50
        assert not writer.running
        with pytest.raises(WriterStoppedError, match="is stopping"):
            writer.submit(request_of(sent(99)))


@pytest.mark.parametrize("more, taken", [(1, True), (2, True), (3, False)])
def test_a_writer_takes_so_many_events_to_wait(more: int, taken: bool) -> None:
    with (
        own_store() as (_, store),
        running(store, waiting_events=4) as (writer, told),
        held() as gate,
    ):
        writer.submit(request_of(sent(0), 5))  # what is refused waits, too
        events = request_of(*(sent(n) for n in range(1, more + 1)))
        if taken:
            writer.submit(events)
        else:
            with pytest.raises(WriterFullError, match="2 events wait"):
                writer.submit(events)
        gate.open()
        told.wait_for(1 + taken)


def test_a_request_larger_than_what_may_wait_is_taken_where_nothing_waits() -> None:
    with own_store() as (_, store), running(store, waiting_events=1) as (writer, told):
        writer.submit(request_of(*(sent(n) for n in range(5))))
        assert kinds(told.wait_for(1)[0]) == ["accepted"] * 5


def test_who_cannot_be_told_ends_no_writer() -> None:
    with own_store() as (_, store):

        def announce(group: Sequence[Settled]) -> None:
            raise RuntimeError("the loop is closed")

        writer = Writer(store=store, clock=lambda: NOW_AT, announce=announce, waiting_events=9)
        with capture_logs() as log:
            writer.start()
            writer.submit(request_of(sent(1)))
            writer.submit(request_of(sent(2)))
            writer.stop()
        assert {one["event"] for one in log} == {"not_announced"}
        assert verify(store).holds


def _unread(event: Json, *, name: str) -> Unread:
    return Unread(request=name, read=lambda: request_of(event, name=name))


def _fail() -> Submission:
    raise DocumentError("body", "is not JSON")


def test_what_the_writer_reads_itself_is_settled_as_what_was_read_before() -> None:
    with own_store() as (_, store), running(store) as (writer, told):
        with held() as gate:
            writer.submit(request_of(sent(0)))
            gate.shut()
            asked: list[Submission | Unread] = [
                _unread(sent(1), name="first"),
                request_of(sent(1), sent(2)),
                _unread(5, name="none"),
                Unread(request="broken", read=_fail),
                _unread(sent(3), name="last"),
            ]
            for one in asked:
                writer.submit(one)
            gate.open()
            _, *settled = told.wait_for(6)
        found = {one.asked: one for one in settled}
        assert set(found) == set(asked)
        first, both, none, broken, last = (found[one] for one in asked)
        # e1 came twice in one commit: one of the two is it, the other a duplicate.
        assert sorted(kinds(first) + kinds(both)) == ["accepted", "accepted", "duplicate"]
        assert (kinds(none), len(none.submission.refused)) == ([], 1)
        assert (str(broken.error), broken.submission.received) == ("body: is not JSON", 0)
        assert kinds(last) == ["accepted"]
        assert verify(store).holds
        assert writer.waiting == 0


def test_where_none_of_a_group_can_be_read_nothing_is_committed() -> None:
    with own_store() as (folder, store), running(store) as (writer, told):
        writer.submit(Unread(request="broken", read=_fail))
        (settled,) = told.wait_for(1)
        assert type(settled.error) is DocumentError
        assert not facts(folder / "store.db", tables=["deliveries"])["deliveries"]
        writer.submit(_unread(sent(1), name="next"))
        assert kinds(told.wait_for(2)[1]) == ["accepted"]


def _timeless(number: int, tokens: int = 10) -> Json:
    """An event that states no moment."""
    made = sent(number, tokens)
    del made["time"]
    return made


def test_an_event_without_a_moment_happened_when_its_group_came_in() -> None:
    # It was read at NOW_AT; its group came in a second later, and is sent again a day after that.
    moments = iter([NOW_AT + 1_000_000, NOW_AT + 86_401_000_000, NOW_AT + 86_401_000_000])
    with own_store() as (_, store):
        told = Told()
        writer = Writer(
            store=store, clock=lambda: next(moments), announce=told.announce, waiting_events=10
        )
        writer.start()
        for number, events in enumerate(
            ([_timeless(1)], [_timeless(1), _timeless(1, 11)], [sent(1)]), start=1
        ):
            writer.submit(request_of(*events))
            told.wait_for(number)
        writer.stop()
        # Sent again it is the same, whatever the clock says; with a moment it is another event.
        assert [kinds(one) for one in told.settled] == [
            ["accepted"],
            ["duplicate", "conflict"],
            ["conflict"],
        ]
        with store.read() as connection:
            (stored,) = read_events(connection, account="a")
            (total,) = read_all_totals(connection, account="a")
        assert (stored.occurred_at, stored.timed_by) == (NOW_AT + 1_000_000, "receipt")
        assert stored.received_at == stored.occurred_at
        assert (total.events, dict(total.leaves)) == (1, {"input_tokens": 10})
        assert verify(store).holds

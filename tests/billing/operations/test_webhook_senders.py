"""Several senders, and senders that stop or are killed: each message arrives, in its order
(faults 12, 18, 36).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url
from structlog.testing import capture_logs

from billing.operations.webhook_sending import (
    LEASE_S,
    OF_ENDPOINT,
    SENDERS,
    Begun,
    begin_due,
    settle,
    webhook_backlog,
)
from billing.store.points import hooked
from billing.store.store import Store, StoreBusyError, open_store
from billing.webhooks.posting import Outcome
from billing.webhooks.retries import MOST_TRIES
from tests.billing.operations.made_ingest import NOW_AT, own_store
from tests.billing.operations.made_webhooks import (
    SECOND,
    Clock,
    Script,
    Sent,
    announced,
    epochs,
    made,
    sendings,
    states,
)
from tests.billing.store.postgresql_server import Server
from tests.billing.webhooks.receiver import receiving
from tests.house.tree import REPOSITORY

DAY = 86_400


def begun(store: Store, *, now_at: int = NOW_AT) -> tuple[Begun, ...]:
    return begin_due(store, now_at=now_at, limit=SENDERS, busy={})


def test_a_sender_that_was_stopped_for_longer_than_its_time_takes_no_state_back(
    store: Store,
) -> None:
    endpoint = made(store, "http://127.0.0.1:9999/")
    announced(store, 1, 2)
    (stopped,) = begun(store)
    assert begun(store, now_at=NOW_AT + LEASE_S * SECOND - 1) == ()
    (other,) = begun(store, now_at=NOW_AT + LEASE_S * SECOND)
    assert other.sending.message == stopped.sending.message
    done = Outcome(status=200)
    assert settle(store, begun=other, outcome=done, drawn=0.0, now_at=NOW_AT) == "delivered"
    for late in (Outcome(error="it did not answer in time"), Outcome(status=410), done):
        assert settle(store, begun=stopped, outcome=late, drawn=0.0, now_at=NOW_AT) == "overtaken"
    assert states(store, endpoint) == ["delivered", "pending"]


def test_a_sender_gives_up_long_before_another_begins() -> None:
    with own_store() as (_, store):
        made(store, "http://127.0.0.1:9999/")
        announced(store, 1)
        before_s = time.monotonic()
        (one,) = begun(store)
        assert before_s + LEASE_S - 5 <= one.until_s <= time.monotonic() + LEASE_S - 5


def test_two_senders_at_once_send_each_message_once(store: Store, store_place: str | Path) -> None:
    with receiving() as receiver:
        made(store, receiver.url())
        for subject in range(6):
            announced(store, *range(subject * 10, subject * 10 + 5), subject=f"s{subject}")
        found: list[Counter[str]] = []

        def drain() -> None:
            with open_store(store_place) as own:
                found.append(Counter(Sent(store=own).drain()))

        threads = [threading.Thread(target=drain) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        Sent(store=store).drain()
    assert len(receiver.messages) == len(set(receiver.messages)) == 30
    for subject in range(6):
        own = [epoch for epoch in epochs(receiver) if epoch // 10 == subject]
        assert own == sorted(own)


def test_of_two_senders_that_are_told_gone_at_once_neither_waits_for_the_other(
    server: Server, database: str
) -> None:
    # The endpoint is locked before the message. Else the first would retire it and wait for the
    # second's message, and the second would wait to retire it, until the database ends one.
    name = make_url(database).database
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND wait_event_type = 'Lock'"
    )
    answered, reached = threading.Barrier(2, timeout=30), Counter[str]()

    def meet(point: str) -> None:
        reached[point] += 1
        if point == "webhook.answered":
            answered.wait()
        if point == "webhook.retired":  # the first one; the second must wait for it by now
            until(lambda: server.run(waiting) == [(1,)])

    def send() -> None:
        with open_store(database) as own:
            Sent(store=own).drain()

    with open_store(database) as store, receiving(lambda taken: 410) as receiver, hooked(meet):
        endpoint = made(store, receiver.url())
        first, second = (threading.Thread(target=send) for _ in range(2))
        announced(store, 1, subject="s1")
        first.start()
        until(lambda: len(receiver.taken) == 1)
        announced(store, 2, subject="s2")
        second.start()
        first.join()
        second.join()
        assert states(store, endpoint) == ["given_up", "given_up"]
    # Each attempt was settled at its first try.
    assert (reached["webhook.attempt_settled"], reached["webhook.retired"]) == (2, 1)


def test_an_endpoint_that_hangs_keeps_no_other_waiting() -> None:
    with own_store() as (_, store):
        endpoints = {made(store, f"http://127.0.0.1:9999/{n}").endpoint.endpoint for n in range(2)}
        for subject in range(20):
            announced(store, subject, subject=f"s{subject}")
        busy: Counter[str] = Counter()
        for _ in range(3):  # of the 40 that are due, while none of those that were begun ends
            for one in begin_due(store, now_at=NOW_AT, limit=SENDERS, busy=busy):
                busy[one.sending.endpoint] += 1
        assert busy == Counter(dict.fromkeys(endpoints, OF_ENDPOINT))
        assert begin_due(store, now_at=NOW_AT, limit=1, busy={})


CHILD = """
import signal, sys, threading
from ipaddress import ip_network
from billing.operations.webhook_sending import WebhookSender
from billing.store.points import hooked
from billing.store.store import open_store
from billing.webhooks.addresses import Reach
from billing.webhooks.posting import Poster

LOCAL = Reach(schemes=("http",), networks=(ip_network("127.0.0.0/8"),))

def end(point):
    if point == sys.argv[2]:
        # To this thread: it goes not one step further.
        signal.pthread_kill(threading.get_ident(), signal.Signals[sys.argv[4]])

with open_store(sys.argv[1]) as store, hooked(end):
    clock = lambda: int(sys.argv[3])
    WebhookSender(
        store=store, poster=Poster(reach=LOCAL), clock=clock, tell=print
    ).drain()
"""


@contextmanager
def sending_until(
    point: str, *, place: str | Path, signal_name: str
) -> Iterator[subprocess.Popen[str]]:
    """A process that sends what is due, and gets a signal when it reaches a point."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(place), point, str(NOW_AT), signal_name],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("point, came_in", [("webhook.attempt_begun", 1), ("webhook.answered", 2)])
def test_a_sender_that_is_killed_sends_again_with_the_same_id(
    store_path: Path, point: str, came_in: int
) -> None:
    with open_store(store_path) as store, receiving() as receiver:
        endpoint = made(store, receiver.url())
        announced(store, 1, 2)
        with sending_until(point, place=store_path, signal_name="SIGKILL") as killed:
            assert killed.wait() == -9
        sent = Sent(store=store, clock=Clock(NOW_AT + LEASE_S * SECOND))
        assert sent.drain() == Counter(delivered=2)
        assert epochs(receiver) == [1] * came_in + [2]
        assert len(set(receiver.messages)) == 2
        assert states(store, endpoint) == ["delivered", "delivered"]


def test_a_process_that_is_stopped_past_its_time_settles_nothing_when_it_goes_on(
    store: Store, store_place: str | Path
) -> None:
    with receiving() as receiver:
        endpoint = made(store, receiver.url())
        announced(store, 1, 2)
        with sending_until("webhook.answered", place=store_place, signal_name="SIGSTOP") as stopped:
            os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
            assert Sent(store=store).drain() == Counter()  # it is still the other's
            later = Clock(NOW_AT + LEASE_S * SECOND)
            assert Sent(store=store, clock=later).drain() == Counter(delivered=2)
            settled = sendings(store, endpoint)
            stopped.send_signal(signal.SIGCONT)
            said, _ = stopped.communicate()
        assert stopped.returncode == 0
        assert "became='overtaken'" in said
        assert said.count("became=") == 1
        assert sendings(store, endpoint) == settled
        assert [one.attempts for one in settled] == [2, 1]
        assert epochs(receiver) == [1, 1, 2]


@pytest.mark.parametrize(
    "error, noted",
    [
        (StoreBusyError("store", "is in use by another; try again"), "is in use by another"),
        (RuntimeError("a fault of ours"), "a fault of ours"),
    ],
)
def test_the_thread_of_a_service_goes_on_where_the_store_cannot(
    error: Exception, noted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.operations.webhook_sending.POLL_S", 0.01)
    failing = {"webhook.attempt_begun": 1, "webhook.answered": 1}

    def fail(point: str) -> None:
        if failing.get(point):
            failing[point] -= 1
            raise error

    with own_store() as (_, store), receiving() as receiver, capture_logs() as log:
        endpoint = made(store, receiver.url())
        announced(store, 1)
        sent = Sent(store=store)
        sender = sent.sender([])
        sender.stop()  # before it began there is nothing to wait for
        sender = sent.sender([])
        with hooked(fail):
            sender.start()
            until(lambda: len(log) >= 2)  # not begun at first, then begun and not settled
            sent.clock.move(LEASE_S)
            until(lambda: states(store, endpoint) == ["delivered"])
            sender.stop()
    assert len(receiver.messages) == 2
    assert [one["event"] for one in log] == ["not_begun", "not_settled"]
    assert noted in str(log[-1])


def until(done: Callable[[], bool]) -> None:
    """Wait for the threads of a sender."""
    for _ in range(2_000):
        if done():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come to be in ten seconds")


# The law.


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    answers=st.lists(st.sampled_from([204, 204, 500, 404, 302]), max_size=60),
    subjects=st.lists(st.integers(0, 2), min_size=1, max_size=8),
)
def test_whatever_fails_each_subject_arrives_in_order_without_gaps_but_what_is_given_up(
    answers: list[int], subjects: list[int]
) -> None:
    with own_store() as (_, store), receiving(Script(list(answers))) as receiver:
        endpoint = made(store, receiver.url())
        for epoch, subject in enumerate(subjects):
            announced(store, epoch, subject=f"s{subject}")
        sent = Sent(store=store)
        for _ in range(12 * len(subjects)):
            sent.drain()
            if webhook_backlog(store).pending == 0:
                break
            sent.clock.move(DAY)
        found = sendings(store, endpoint)
        assert {one.state for one in found} <= {"delivered", "given_up"}
        for subject in set(subjects):
            own = [one for one in found if one.message.subject == f"s{subject}"]
            names = [one.message.message for one in own]
            # Each comes in some times in a row, in the order of the subject.
            told = [name for name in receiver.messages if name in names]
            assert told == [one.message.message for one in own for _ in range(one.attempts)]
            for one in own:
                gave_up = one.attempts == MOST_TRIES and one.status != 204
                assert (one.state == "given_up") == gave_up

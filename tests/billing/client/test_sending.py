"""Sending: whatever a service or the way to it does, each event ends stored once or set aside.

Invariant: the servers and wires that misbehave here are real ones.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from billing.client.delivery import LONGEST_ASKED_S, Delivery, TryLaterError
from tests.billing.client.made_client import made_client, record
from tests.billing.client.made_network import (
    PROBLEM,
    Answer,
    MadeService,
    made_service,
    problem,
    wire,
)

Json = Any

NOT_OURS = Answer(status=200, body=b"<html>welcome</html>")
FEWER = Answer(status=200, body=b'{"events": []}')
OTHERS = Answer(
    status=200, body=b'{"events": [{"verdict": "accepted", "source": "gw", "id": "e9"}]}'
)
ELSEWHERE = Answer(
    status=200, body=b'{"events": [{"verdict": "accepted", "source": "theirs", "id": "e1"}]}'
)
REFUSED = Answer(
    status=200, body=b'{"events": [{"verdict": "rejected", "source": "gw", "id": "e9"}]}'
)
UNKNOWN = Answer(status=200, body=b'{"events": [{"verdict": "lost", "source": "gw", "id": "e1"}]}')
SHORT = Answer(status=200, body=b"{}", headers={"content-length": "100"})


@pytest.fixture
def service() -> Iterator[MadeService]:
    with made_service() as made:
        yield made


def ids(service: MadeService) -> list[str]:
    """The ids that a service has stored, sorted."""
    return sorted(event_id for _, event_id in service.stored)


def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds; ten seconds are for a machine that is busy."""
    deadline_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.parametrize(
    "answer",
    [
        problem(503),
        problem(500),
        problem(429),
        problem(408),
        Answer(status=502, body=b"<html>bad gateway</html>"),
        NOT_OURS,
        FEWER,
        OTHERS,
        ELSEWHERE,
        REFUSED,
        UNKNOWN,
        SHORT,
        problem(401),
        problem(403),
        problem(404),
        Answer(status=302, headers={"location": "https://elsewhere.example/"}),
        Answer(status=400, body=b"<html>this port speaks https</html>"),
    ],
    ids=lambda one: f"{one.status} {one.body[:9].decode()}",
)
def test_after_any_answer_that_names_no_event_the_batch_is_sent_again(
    tmp_path: Path, service: MadeService, answer: Answer
) -> None:
    service.answers = [answer, answer]
    with made_client(tmp_path, url=service.url) as client:
        record(client, 1)
        assert client.flush(timeout_s=10)
        counters = client.counters
        assert (counters.accepted, counters.refused) == (1, 0)
        assert (counters.deliveries, counters.retries) == (3, 2)
    assert ids(service) == ["e1"]


def test_an_answer_that_is_late_is_none(tmp_path: Path, service: MadeService) -> None:
    late = Answer(status=200, wait_s=0.6)
    service.answers = [late, late]
    with made_client(tmp_path, url=service.url, answer_timeout_s=0.3) as client:
        record(client, 1)
        assert client.flush(timeout_s=10)
        counters = client.counters
        # On a machine that is busy more of them may be late: then it was stored all the same.
        assert counters.accepted + counters.duplicate == 1
        assert counters.retries >= 2
    assert ids(service) == ["e1"]


def test_an_answer_that_comes_byte_by_byte_has_no_more_time_than_another() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n")
                for _ in range(200):  # four seconds
                    connection.sendall(b" ")
                    time.sleep(0.02)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        delivery = Delivery(url=f"http://127.0.0.1:{port}", key="k", answer_timeout_s=0.2)
        with pytest.raises(TryLaterError, match="its answer does not end"):
            delivery.post([b"{}"])
        thread.join(10)
        assert not thread.is_alive()  # the connection was given up, too


def test_a_service_that_is_not_there_gets_the_events_when_it_is(tmp_path: Path) -> None:
    with made_client(tmp_path) as client:
        record(client, 1)
        until(lambda: client.counters.retries >= 2)
        assert not client.flush(timeout_s=0)
    with made_service() as service, made_client(tmp_path, url=service.url) as client:
        record(client, 2)
        assert client.flush(timeout_s=10)
        assert ids(service) == ["e1", "e2"]


def test_a_connection_that_is_cut_after_the_service_stored_doubles_nothing(
    tmp_path: Path, service: MadeService
) -> None:
    with wire(service.port) as between, made_client(tmp_path, url=between.url) as client:
        between.cuts = 3
        for number in range(5):
            record(client, number)
        assert client.flush(timeout_s=10)
        assert between.cut == 3
        counters = client.counters
        # Stored with the first delivery, whose answer was lost: later ones find duplicates.
        assert counters.duplicate > 0
        assert counters.accepted + counters.duplicate == 5
    assert ids(service) == ["e0", "e1", "e2", "e3", "e4"]


def test_a_service_that_says_how_long_to_wait_is_left_alone_for_so_long(
    tmp_path: Path, service: MadeService
) -> None:
    service.answers = [problem(429, retry_after="1")]
    with made_client(tmp_path, url=service.url) as client:
        record(client, 1)
        until(lambda: len(service.asked) == 2)
        first, second = service.asked
        assert second - first >= 1  # longest_wait_s is 0.1


def test_a_sender_that_was_told_to_wait_stops_when_it_is_told_to(
    tmp_path: Path, service: MadeService
) -> None:
    service.rule = lambda texts: problem(503, retry_after="3600")
    with made_client(tmp_path, url=service.url) as client:
        record(client, 1)
        until(lambda: client.counters.retries == 1)
        client._sender.stop(timeout_s=10)
        assert not client._sender._runs()
        assert client.pending() == 1


def asked_s(service: MadeService, text: str) -> float:
    """How long a client waits that is told so."""
    service.answers = [problem(503, retry_after=text)]
    delivery = Delivery(url=service.url, key="k", answer_timeout_s=9)
    with pytest.raises(TryLaterError) as raised:
        delivery.post([b"{}"])
    return raised.value.asked_s


def test_retry_after_is_seconds_or_a_date_within_bounds(service: MadeService) -> None:
    assert asked_s(service, "7") == 7
    assert asked_s(service, "0") == 0
    assert asked_s(service, str(10**30)) == LONGEST_ASKED_S
    assert asked_s(service, "soon") == 0
    assert asked_s(service, "-5") == 0
    in_a_minute = datetime.now(UTC) + timedelta(seconds=60)
    assert 50 < asked_s(service, format_datetime(in_a_minute, usegmt=True)) <= 60
    assert 50 < asked_s(service, format_datetime(in_a_minute.replace(tzinfo=None))) <= 60
    assert asked_s(service, "Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert asked_s(service, "Fri, 01 Jan 2100 00:00:00 GMT") == LONGEST_ASKED_S


def test_an_answer_that_does_not_end_is_given_up(tmp_path: Path, service: MadeService) -> None:
    service.answers = [Answer(status=200, body=b" " * (65 * 2**20))]
    with made_client(tmp_path, url=service.url) as client:
        record(client, 1)
        assert client.flush(timeout_s=10)
        assert client.counters.retries == 1
    assert ids(service) == ["e1"]


def test_a_wrong_key_is_told_loudly_and_nothing_is_lost(
    tmp_path: Path, service: MadeService, caplog: pytest.LogCaptureFixture
) -> None:
    service.answers = [problem(401)]
    with made_client(tmp_path, url=service.url, key="tw_secret") as client:
        record(client, 1)
        assert client.flush(timeout_s=10)
    (said,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert "answered 401: no; nothing is sent until that is mended" in said.getMessage()
    assert "secret" not in caplog.text


def test_refused_events_are_set_aside_with_the_reason_and_hold_up_no_other(
    tmp_path: Path, service: MadeService
) -> None:
    with made_client(tmp_path, url=service.url, linger_s=60) as client:
        record(client, 1)
        assert client.flush(timeout_s=10)
        record(client, 1, count=11)  # another content under the same id
        record(client, 2)
        assert client.flush(timeout_s=10)
        assert (client.counters.accepted, client.counters.refused) == (2, 1)
        (refused,) = client.refused()
        assert (json.loads(refused.text)["id"], refused.verdict) == ("e1", "conflict")
        assert refused.recorded_at <= refused.refused_at
        # Sent anew it is a conflict again, until what stands in the service is mended.
        assert client.retry_refused() == 1
        assert client.flush(timeout_s=10)
        assert len(client.refused()) == 1
        del service.stored["gw", "e1"]
        client.retry_refused()
        assert client.flush(timeout_s=10)
        assert (client.refused(), client.pending()) == ((), 0)
    assert ids(service) == ["e1", "e2"]


@pytest.mark.parametrize("status", [200, 207, 400, 409])
def test_what_is_said_of_each_event_counts_whatever_is_said_of_all(
    tmp_path: Path, service: MadeService, status: int
) -> None:
    service.rule = lambda texts: replace(service.taken(texts), status=status)
    with made_client(tmp_path, url=service.url, linger_s=60) as client:
        record(client, 1)
        record(client, 1, count=11)  # another content under the same id
        assert client.flush(timeout_s=10)
        counters = client.counters
        assert (counters.accepted, counters.refused, counters.retries) == (1, 1, 0)


def test_a_body_that_is_refused_for_one_event_is_divided_until_that_is_alone(
    tmp_path: Path, service: MadeService
) -> None:
    service.rule = lambda texts: problem(400) if any(b'"e5"' in one for one in texts) else None
    with made_client(tmp_path, url=service.url, linger_s=60) as client:
        for number in range(8):
            record(client, number)
        assert client.flush(timeout_s=10)
        (refused,) = client.refused()
        assert json.loads(refused.text)["id"] == "e5"
        assert refused.reason.endswith("/v1/events answered 400: no")
    assert ids(service) == ["e0", "e1", "e2", "e3", "e4", "e6", "e7"]
    # 0-7, then 0-3 taken, 4-7, 4-5, 4 taken, 5 set aside, 6-7 taken
    assert service.batches == [8, 4, 4, 2, 1, 1, 2]


def test_a_body_that_is_too_large_is_halved_and_the_next_are_no_larger(
    tmp_path: Path, service: MadeService
) -> None:
    service.rule = lambda texts: problem(413) if len(texts) > 3 else None
    with made_client(tmp_path, url=service.url, linger_s=60, batch_events=8) as client:
        for number in range(16):
            record(client, number)
        assert client.flush(timeout_s=10)
        assert client.refused() == ()
    assert len(ids(service)) == 16
    # At most two were tried that are too large: of 8, and of 4.
    assert sum(size > 3 for size in service.batches) <= 3
    assert service.batches[-1] <= 2


def test_one_event_that_is_too_large_by_itself_is_set_aside(
    tmp_path: Path, service: MadeService
) -> None:
    service.rule = lambda texts: problem(413) if sum(map(len, texts)) > 2_000 else None
    with made_client(tmp_path, url=service.url, linger_s=60) as client:
        record(client, 1)
        record(client, 2, attributes={f"a{n}": "x" * 100 for n in range(30)})
        record(client, 3)
        assert client.flush(timeout_s=10)
        (refused,) = client.refused()
        assert json.loads(refused.text)["id"] == "e2"
        record(client, 4)
        record(client, 5)
        assert client.flush(timeout_s=10)
    assert ids(service) == ["e1", "e3", "e4", "e5"]
    assert service.batches[-1] == 2  # the others come in many again


def test_batches_end_at_their_events_and_at_their_bytes(
    tmp_path: Path, service: MadeService
) -> None:
    with made_client(tmp_path, url=service.url, linger_s=60, batch_events=4) as client:
        record(client, 0)
        size = client._spool.next_batch(through_seq=9, max_events=1, max_bytes=1)[0].text
        for number in range(1, 10):
            record(client, number)
        assert client.flush(timeout_s=10)
    assert sum(service.batches) == 10
    assert max(service.batches) <= 4
    service.batches.clear()
    three = 3 * (len(size) + 1)
    with made_client(tmp_path, url=service.url, linger_s=60, batch_bytes=three) as client:
        for number in range(10):
            record(client, number)  # of the same length each
        assert client.flush(timeout_s=10)
    assert service.batches == [3, 3, 3, 1]


def test_a_full_batch_does_not_wait(tmp_path: Path, service: MadeService) -> None:
    with made_client(tmp_path, url=service.url, linger_s=600, batch_events=5) as client:
        for number in range(4):
            record(client, number)
        assert service.batches == []
        record(client, 4)
        until(lambda: service.batches == [5])


def test_an_event_alone_waits_no_longer_than_it_lingers(
    tmp_path: Path, service: MadeService
) -> None:
    with made_client(tmp_path, url=service.url, linger_s=0.05) as client:
        record(client, 1)
        until(lambda: ids(service) == ["e1"])


def test_a_problem_of_all_events_is_read_event_by_event(
    tmp_path: Path, service: MadeService
) -> None:
    verdict = {"verdict": "rejected", "pointer": "/time", "reason": "lies too far ahead"}
    body = {
        "type": f"{PROBLEM}events-refused",
        "detail": "no event was stored",
        "events": [verdict],
    }
    service.answers = [Answer(status=400, body=json.dumps(body).encode())]
    with made_client(tmp_path, url=service.url) as client:
        record(client, 1)
        assert client.flush(timeout_s=10)
        (refused,) = client.refused()
        assert (refused.pointer, refused.reason) == ("/time", "lies too far ahead")

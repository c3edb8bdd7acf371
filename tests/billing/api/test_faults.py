"""Whatever is sent has an answer of ours, and what cannot be stored is never called stored (I43,
I46; faults 19, 20, 37, 106 to 113).
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from billing.api import server
from billing.operations.verify import verify
from billing.store.points import hooked
from billing.store.store import StoreBusyError, StoreStoppedError
from pricing_rules.document import DocumentError
from tests.billing.api.made_service import (
    BATCH,
    EVENT,
    LINES,
    Made,
    lines,
    made_service,
    sent,
    verdicts,
)
from tests.billing.intake.test_event_request import nearly_events, text_of
from tests.billing.operations.made_ingest import usage_facts

Json = Any

PROBLEM = {"type", "title", "status", "detail", "request_id"}


def check_answer(answer: Any) -> None:
    """An answer is a document of ours, or a problem that is none of our faults."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.json()) >= PROBLEM
    assert answer.headers["x-request-id"]


def test_no_body_is_answered_with_a_fault_of_ours(made: Made) -> None:
    bodies = st.one_of(
        st.binary(max_size=200),
        nearly_events().map(text_of),
        st.lists(nearly_events(), max_size=3).map(text_of),
        st.lists(nearly_events().map(text_of), max_size=3).map(b"\n".join),
    )

    @settings(max_examples=150)
    @given(body=bodies, form=st.sampled_from([EVENT, BATCH, LINES]))
    def each(body: bytes, form: str) -> None:
        check_answer(made.post(body, form=form))

    each()
    assert verify(made.store).holds


def test_no_question_is_answered_with_a_fault_of_ours(made: Made) -> None:
    made.post(sent(1))
    word = st.text(max_size=12)

    @settings(max_examples=100)
    @given(
        account=st.text(min_size=1, max_size=12).filter(lambda text: text not in (".", "..")),
        query=st.dictionaries(
            st.sampled_from(["start_at", "end_at", "step", "by", "limit", "cursor", "x"]), word
        ),
    )
    def each(account: str, query: dict[str, str]) -> None:
        path = f"/v1/accounts/{quote(account.encode('utf-8', 'replace'), safe='')}/usage"
        month = {"start_at": "2026-10-01T00:00:00Z", "end_at": "2026-11-01T00:00:00Z"}
        texts = {name: text.encode("utf-8", "replace").decode() for name, text in query.items()}
        check_answer(made.get(path, **{**month, **texts}))

    each()


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("PUT", "/v1/events", 405),
        ("DELETE", "/v1/events", 405),
        ("TRACE", "/v1/events", 405),
        ("POST", "/v1/events/", 404),
        ("POST", "/v1/accounts/a/usage", 405),
        ("GET", "/", 404),
        ("GET", "/docs", 404),
        ("GET", "/v1/accounts//usage", 404),
        ("GET", "/v1/accounts/a%00b/usage?start_at=x&end_at=y", 400),
    ],
)
def test_what_is_no_route_is_a_problem(made: Made, method: str, path: str, status: int) -> None:
    answer = made.client.request(method, path, headers={"authorization": f"Bearer {made.operator}"})
    assert answer.status_code == status
    check_answer(answer)


@contextmanager
def failing(error: Exception, *, at: str = "write.uncommitted") -> Iterator[None]:
    """The store fails at a point."""

    def fail(name: str) -> None:
        if name == at:
            raise error

    with hooked(fail):
        yield


def test_a_full_disk_is_said_and_nothing_is_called_stored(made: Made) -> None:
    assert made.post(sent(0)).status_code == 200
    before = usage_facts(made.file)
    events = [sent(n, dimensions={"note": f"{n}" * 40}) for n in range(1, 2_000)]
    with closing(sqlite3.connect(made.file)) as raw:
        (pages,) = raw.execute("PRAGMA page_count").fetchone()
    # Every connection of the pool is told that there is no more room than this.
    with limited(made, pages=pages + 2):
        answer = made.post(lines(events), form=LINES)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["detail"] == "the disk is full; make room and run it again"
        assert usage_facts(made.file) == before
        assert made.get("/readyz").status_code == 200
    again = made.post(lines(events), form=LINES)  # room was made
    assert (again.status_code, again.json()["accepted"]) == (200, 1_999)
    assert verify(made.store).holds


@contextmanager
def limited(made: Made, *, pages: int) -> Iterator[None]:
    def limit(connection: Any) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    event.listen(made.store.engine, "begin", limit)
    try:
        yield
    finally:
        event.remove(made.store.engine, "begin", limit)
        event.listen(
            made.store.engine,
            "begin",
            lambda connection: connection.exec_driver_sql("PRAGMA max_page_count=4294967294"),
        )


def test_after_the_disk_failed_once_nothing_is_stored_and_the_service_is_not_ready(
    made: Made,
) -> None:
    made.post(sent(1))
    before = usage_facts(made.file)
    made.store.stopped = StoreStoppedError(made.store.where, "the disk failed")
    for number in (1, 2):
        answer = made.post(sent(number))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    ready = made.get("/readyz")
    assert (ready.status_code, ready.json()["type"]) == (503, "urn:tokenworks:problem:unavailable")
    assert made.get("/healthz").status_code == 200
    assert usage_facts(made.file) == before


def test_a_service_whose_writer_has_ended_is_not_ready_although_the_store_is(made: Made) -> None:
    made.service.writer.stop()
    ready = made.get("/readyz")
    assert (ready.status_code, ready.headers["retry-after"]) == (503, "1")
    assert made.get("/v1/accounts").status_code == 200


def test_a_store_that_another_process_holds_is_busy_and_not_a_fault_of_ours(made: Made) -> None:
    with failing(StoreBusyError(made.store.where, "is in use"), at="write.begun"):
        answer = made.post(sent(1))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert made.store.where not in answer.text
    assert verdicts(made.post(sent(1))) == ["accepted"]


def test_a_bug_of_ours_is_said_without_what_it_was(made: Made, log: list[Json]) -> None:
    with failing(ZeroDivisionError("secret")):
        answer = made.post(sent(1))
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:tokenworks:problem:bug"
    assert "secret" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert [one["event"] for one in log if one["log_level"] == "error"] == ["not_stored", "bug"]
    assert verdicts(made.post(sent(1))) == ["accepted"]


@pytest.mark.parametrize(
    "number, status", [(errno.EMFILE, 503), (errno.ENFILE, 503), (errno.EACCES, 500)]
)
def test_a_process_that_has_no_file_left_says_that_it_cannot_now(
    made: Made, number: int, status: int
) -> None:
    with failing(OSError(number, "as the system says it")):
        answer = made.post(sent(1))
    assert (answer.status_code, answer.headers.get("retry-after")) == (
        status,
        "1" if status == 503 else None,
    )
    assert verdicts(made.post(sent(1))) == ["accepted"]


def test_while_too_many_events_wait_no_more_are_taken() -> None:
    with made_service(waiting_events=2) as made:
        held, release = threading.Event(), threading.Event()

        def hold(name: str) -> None:
            if name == "write.begun":
                held.set()
                assert release.wait(30)

        found: list[int] = []
        # One more than may wait: a request is taken where nothing waits, however large.
        first = threading.Thread(
            target=lambda: found.append(
                made.post([sent(n) for n in range(3)], form=BATCH).status_code
            )
        )
        with hooked(hold):
            first.start()
            assert held.wait(30)
            refused = made.post(sent(9))
            release.set()
            first.join()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "3 events wait" in refused.json()["detail"]
        assert found == [200]
        assert verdicts(made.post(sent(9))) == ["accepted"]


def test_an_answer_that_takes_too_long_is_given_up_and_the_retry_is_a_duplicate() -> None:
    with made_service(request_timeout_s=1) as made:
        release, numbers = threading.Event(), count()

        def hold(name: str) -> None:
            if name == "write.begun" and next(numbers) == 0:
                assert release.wait(30)

        with hooked(hold):
            answer = made.post(sent(1))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            release.set()
            assert verdicts(made.post(sent(1))) == ["duplicate"]


def test_an_event_that_the_store_cannot_take_takes_no_other_down(made: Made) -> None:
    # Sums beyond 64 bits are refused by the store (fault 95), and to try again is in vain; the
    # neighbour is stored all the same.
    assert made.post(sent(1)).status_code == 200
    with closing(sqlite3.connect(made.file)) as raw:
        raw.execute("UPDATE usage_totals SET leaves = '{\"input_tokens\":9223372036854775807}'")
        raw.commit()
    found: dict[str, httpx2.Response] = {}
    held, release = threading.Event(), threading.Event()

    def hold(name: str) -> None:
        if name == "write.begun" and not held.is_set():
            held.set()
            assert release.wait(30)

    def post(account: str) -> None:
        found[account] = made.post(sent(5, account=account, source=account))

    with hooked(hold):
        threads = [threading.Thread(target=post, args=[name]) for name in ("z", "a", "b")]
        threads[0].start()
        assert held.wait(30)
        for one in threads[1:]:
            one.start()
        while made.service.writer.waiting < 3:
            pass
        release.set()
        for one in threads:
            one.join()
    assert {name: one.status_code for name, one in found.items()} == {"z": 200, "a": 422, "b": 200}
    refused = found["a"]
    assert refused.json()["type"] == "urn:tokenworks:problem:total-too-large"
    assert "retry-after" not in refused.headers


def test_the_port_that_is_taken_is_named() -> None:
    with (
        server.listening(host="127.0.0.1", port=0) as taken,
        pytest.raises(DocumentError, match="cannot be listened on"),
    ):
        server.listening(host="127.0.0.1", port=taken.getsockname()[1])
    with pytest.raises(DocumentError, match="cannot be listened on"):
        server.listening(host="no such host", port=0)

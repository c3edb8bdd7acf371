"""``POST /v1/events``: each event has its own verdict, and what is accepted is stored once."""

from __future__ import annotations

import gzip
import json
import threading
from itertools import count, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.operations.verify import verify
from billing.store.events import read_events
from tests.billing.api.made_service import (
    BATCH,
    EVENT,
    LINES,
    Made,
    lines,
    sent,
    verdicts,
)
from tests.billing.operations.made_ingest import facts, usage_facts

Json = Any


def test_an_event_is_accepted_once_and_then_a_duplicate(made: Made) -> None:
    first = made.post(sent(1))
    assert (first.status_code, first.json()) == (
        200,
        {
            "received": 1,
            "accepted": 1,
            "duplicate": 0,
            "conflict": 0,
            "rejected": 0,
            "events": [{"verdict": "accepted", "source": "gw", "id": "e1"}],
        },
    )
    again = made.post(sent(1))
    assert again.status_code == 200
    assert again.json()["events"] == [
        {
            "verdict": "duplicate",
            "source": "gw",
            "id": "e1",
            "first_received_at": "2026-11-02T08:00:00Z",
        }
    ]
    with made.store.read() as connection:
        (stored,) = read_events(connection, account="a")
    assert (stored.id, stored.units, stored.owner) == ("e1", {"input_tokens": 10}, "provider")
    assert verify(made.store).holds


def test_another_content_under_an_id_is_a_conflict_and_changes_nothing(made: Made) -> None:
    made.post(sent(1, 10))
    before = usage_facts(made.file)
    other = made.post(sent(1, 11))
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    problem = other.json()
    assert problem["type"] == "urn:tokenworks:problem:conflict"
    assert verdicts(other) == ["conflict"]
    assert usage_facts(made.file) == before
    refusals = facts(made.file, tables=["refusals"])["refusals"]
    assert [row[2] for row in refusals] == ["conflict"]


@pytest.mark.parametrize(
    "form, body",
    [
        (EVENT, json.dumps(sent(1)).encode()),
        (EVENT + "; charset=utf-8", json.dumps(sent(1), indent=2).encode()),
        (BATCH, json.dumps([sent(1)]).encode()),
        (LINES, lines([sent(1)])),
        (LINES, lines([sent(1)]) + b"\n"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("path", ["/v1/events", "/api/v1/events"])
def test_every_form_holds_the_same_event(
    made: Made, form: str, body: bytes, packed: bool, path: str
) -> None:
    headers = {"content-encoding": "gzip"} if packed else {}
    answer = made.post(
        gzip.compress(body) if packed else body, form=form, headers=headers, path=path
    )
    assert (answer.status_code, verdicts(answer)) == (200, ["accepted"])
    assert verdicts(made.post(sent(1))) == ["duplicate"]


def test_a_batch_with_refused_events_keeps_the_others(made: Made) -> None:
    wrong = sent(2)
    wrong["data"]["units"] = {"input_tokens": -1}
    late = sent(3, time="2026-11-02T08:15:00.000001Z")  # 15 minutes and 1 us after it came in
    last = sent(4, time="2026-11-02T08:15:00Z")
    answer = made.post([sent(1), wrong, 3, late, last, sent(1)], form=BATCH)
    assert answer.status_code == 207
    found = answer.json()
    assert verdicts(answer) == [
        "accepted", "rejected", "rejected", "rejected", "accepted", "duplicate",
    ]  # fmt: skip
    # received 6 = 2 accepted + 1 duplicate + 0 conflicts + 3 rejected
    assert (found["received"], found["accepted"], found["duplicate"]) == (6, 2, 1)
    assert (found["conflict"], found["rejected"]) == (0, 3)
    refused = [(one.get("id", ""), one.get("pointer")) for one in found["events"][1:4]]
    assert refused == [("e2", "/data/units"), ("", None), ("e3", "/time")]
    assert verify(made.store).holds


def test_where_no_event_is_stored_the_answer_is_a_problem(made: Made) -> None:
    answer = made.post([{"id": "x"}, {}], form=BATCH)
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:tokenworks:problem:events-refused"
    assert verdicts(answer) == ["rejected", "rejected"]
    assert verify(made.store).holds  # they were received all the same


def test_events_that_differ_in_attributes_alone_are_one(made: Made) -> None:
    assert verdicts(made.post(sent(1, attributes={"trace": "a"}))) == ["accepted"]
    assert verdicts(made.post(sent(1, attributes={"trace": "b"}))) == ["duplicate"]
    assert verdicts(made.post(sent(1))) == ["duplicate"]


def test_a_problem_says_where_the_first_event_is_wrong(made: Made) -> None:
    wrong = {**sent(1), "data": {**sent(1)["data"], "outcome": "won"}}
    detail = made.post([wrong, sent(2, time="soon")], form=BATCH).json()["detail"]
    assert detail.startswith("no event was stored; the first: /data/outcome input should be")


def test_a_blank_line_is_no_event_and_is_named_as_such(made: Made) -> None:
    answer = made.post(lines([sent(1)]) + b"\n \r\n" + lines([sent(2)]), form=LINES)
    assert verdicts(answer) == ["accepted", "rejected", "accepted"]
    assert answer.json()["events"][1]["reason"] == "is blank; leave it out"


@pytest.mark.parametrize(
    "form, body, status, said",
    [
        (EVENT, b"", 400, "is empty"),
        (BATCH, b"[]", 400, "is empty"),
        (BATCH, b"{}", 400, "must be a JSON array"),
        (BATCH, b"[1,", 400, "is not JSON"),
        (BATCH, b"[" * 100_000, 400, "nested too deeply"),
        (BATCH, b'["\xff"]', 400, ""),
        (LINES, b"\xef\xbb\xbf{}", 400, "byte order mark"),
        (LINES, b"1\n" * 10_001, 413, "10,001 events; send at most 10,000"),
        (BATCH, b"[" + b"1," * 10_000 + b"1]", 413, "10,001 events; send at most 10,000"),
        (BATCH, b"[" + b"1," * 700_000 + b"1]", 413, "too many events"),
        (EVENT, b" " * (16 * 2**20 + 1), 413, "16,777,216 bytes"),
        ("text/plain", b"{}", 415, "Content-Type must be"),
        (EVENT + "; charset=latin-1", b"{}", 415, "in UTF-8"),
        ("", b"{}", 415, "Content-Type must be"),
    ],
)
def test_a_body_that_is_none_is_refused_with_a_problem(
    made: Made, form: str, body: bytes, status: int, said: str
) -> None:
    answer = made.post(body, form=form)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert said in answer.json()["detail"]


def test_ten_thousand_events_are_one_request(made: Made) -> None:
    events = [sent(number, account=f"a{number % 7}") for number in range(10_000)]
    answer = made.post(lines(events), form=LINES)
    assert (answer.status_code, answer.json()["accepted"]) == (200, 10_000)
    assert verify(made.store).holds


PACKED = gzip.compress(json.dumps(sent(1)).encode(), mtime=0)


@pytest.mark.parametrize(
    "body, encoding, status",
    [
        (gzip.compress(b" " * (16 * 2**20 + 1), mtime=0), "gzip", 413),  # 16 MiB in 16 kB
        (PACKED, "gzip", 200),
        (PACKED[:-3], "gzip", 400),
        (PACKED + b"more", "gzip", 400),
        (PACKED + PACKED, "gzip", 400),
        (b"no gzip", "gzip", 400),
        (b"{}", "br", 415),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "gzip, gzip", 415),
    ],
)
def test_a_packed_body_is_unpacked_within_bounds(
    made: Made, body: bytes, encoding: str, status: int
) -> None:
    answer = made.post(body, headers={"content-encoding": encoding})
    assert answer.status_code == status


def test_verdicts_do_not_depend_on_the_place_in_the_request(made: Made) -> None:
    # Of two contents under one id the earlier moment stands, wherever it is in the batch (I13).
    found = []
    for number, order in enumerate(permutations(range(4))):
        own = {"source": f"gw{number}", "account": f"a{number}"}
        late = "2026-10-03T00:00:00Z"
        events = [sent(1, 10, **own), sent(1, 10, **own), sent(1, 11, time=late, **own)]
        events.append(sent(2, 1, **own))
        answer = made.post([events[place] for place in order], form=BATCH)
        given = dict(zip(order, verdicts(answer), strict=True))
        assert sorted([given[0], given[1]]) == ["accepted", "duplicate"]
        assert (given[2], given[3]) == ("conflict", "accepted")
        found.append(made.usage(own["account"]).json()["data"])
    assert found == [found[0]] * 24
    assert [one["count"] for one in found[0]] == [11, 2]  # 10 + 1 tokens of 2 events


EVENTS = st.lists(
    st.builds(
        lambda number, tokens, account: sent(number, tokens, account=account),
        st.integers(1, 4),
        st.integers(0, 3),
        st.sampled_from("ab"),
    ),
    min_size=1,
    max_size=8,
)


def test_every_request_is_counted_and_totals_are_those_of_the_events(made: Made) -> None:
    example = count()

    @settings(max_examples=40)
    @given(requests=st.lists(EVENTS, min_size=1, max_size=4))
    def each(requests: list[list[Json]]) -> None:
        source = f"gw{next(example)}"
        for events in requests:
            answer = made.post([{**one, "source": source} for one in events], form=BATCH).json()
            kinds = ("accepted", "duplicate", "conflict", "rejected")
            assert answer["received"] == len(events) == sum(answer[kind] for kind in kinds)

    each()
    report = verify(made.store)
    assert report.holds, report


def test_fifty_requests_at_once_with_one_event_store_it_once(made: Made) -> None:
    found: list[str] = []

    def post() -> None:
        found.extend(verdicts(made.post(sent(1))))

    threads = [threading.Thread(target=post) for _ in range(50)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(found) == ["accepted", *["duplicate"] * 49]
    assert verify(made.store).holds


def test_a_request_keeps_the_id_that_its_sender_gave(made: Made) -> None:
    answer = made.post(sent(1), headers={"x-request-id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    odd = made.post(sent(1, 11), headers={"x-request-id": "a b"})
    assert odd.headers["x-request-id"] == odd.json()["request_id"] != "a b"

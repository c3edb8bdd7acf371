"""Stored events and accounts over HTTP: pages are complete under ties and inserts (I47), and an
account sees its own (I44).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from billing.settings import Settings
from billing.store.agreements import append_agreement
from billing.store.corrections import append_correction, append_steps
from billing.store.store import Store
from pricing_rules.period import moment_text, parse_moment
from tests.billing.api.made_service import BATCH, Made, sent, served
from tests.billing.store.made_rows import agreement, correction, step

Json = Any

START_AT = parse_moment("2026-10-02T00:00:00Z")


def pages(made: Made, path: str, *, limit: int, key: str | None = None, **query: str) -> list[Json]:
    """The rows of all pages of a list."""
    found: list[Json] = []
    cursor: dict[str, str] = {}
    while True:
        answer = made.get(path, key=key, limit=str(limit), **query, **cursor)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["data"]
        if page["cursor"] is None:
            return found
        assert len(page["data"]) == limit
        cursor = {"cursor": page["cursor"]}


def ids(rows: Sequence[Json]) -> list[str]:
    return [row["id"] for row in rows]


def test_an_event_is_shown_as_it_is_stored(store: Store) -> None:
    with served(store, settings=Settings()) as made:
        event = sent(1, region="eu", dimensions={"team": "x"}, outcome="cancelled")
        event["data"]["units"] = {
            "input_tokens": 10,
            "cache_read_tokens": 4,
            "audio_seconds": "2.5",
        }
        made.post(event)
        (shown,) = pages(made, "/v1/events", limit=10, account="a")
        # 10 reported input tokens hold 4 cached ones: leaves are 6 and 4; 2.5 s are 2,500 ms.
        assert shown == {
            "source": "gw",
            "id": "e1",
            "owner": "provider",
            "account": "a",
            "occurred_at": "2026-10-02T12:00:00Z",
            "timed_by": "event",
            "received_at": "2026-11-02T08:00:00Z",
            "epoch": 1,
            "model": "m",
            "service_tier": "standard",
            "region": "eu",
            "request_tokens": 10,
            "outcome": "cancelled",
            "dimensions": {"team": "x"},
            "units": {"input_tokens": 6, "cache_read_tokens": 4, "audio_seconds": 2500},
            "void": False,
        }


def test_a_voided_event_says_so_until_it_is_restored(store: Store) -> None:
    with served(store, settings=Settings()) as made:
        made.post([sent(n) for n in range(3)], form=BATCH)
        for number, voids in ((1, [True, False, False]), (2, [False, False, False])):
            with store.write() as connection:
                append_correction(connection, correction=correction(f"cor_{number}", account="a"))
                first = step(1, number=number, account="a", of=f"cor_{number}")
                append_steps(connection, steps=[first])
            shown = pages(made, "/v1/events", limit=2, account="a")
            assert [one["void"] for one in shown] == voids
            named = made.get("/v1/events", account="a", source="gw", id="e0").json()["data"]
            assert [one["void"] for one in named] == voids[:1]


def test_pages_put_together_are_the_events_whatever_ties_and_comes_in(store: Store) -> None:
    example = count()
    offsets = st.lists(st.integers(0, 3), max_size=12)
    with served(store, settings=Settings()) as made:

        @examples(max_examples=15, deadline=None)
        @given(before=offsets, later=offsets, limit=st.sampled_from([1, 2, 5]))
        def each(before: list[int], later: list[int], limit: int) -> None:
            account = f"account {next(example)}"
            numbers = count()

            def post(drawn: list[int]) -> list[tuple[int, int]]:
                """Events with few moments, so that many tie; gives (moment, number)."""
                placed = [(hours, next(numbers)) for hours in drawn]
                events = [
                    sent(
                        number,
                        time=moment_text(START_AT + hours * 3_600_000_000),
                        account=account,
                        source=account,
                    )
                    for hours, number in placed
                ]
                if events:
                    assert made.post(events, form=BATCH).json()["accepted"] == len(events)
                return placed

            # Within a batch events are numbered in order of their ids, not of their places.
            stored = sorted(post(before), key=lambda one: (one[0], f"e{one[1]}"))
            answer = made.get("/v1/events", account=account, limit=str(limit)).json()
            post(later)
            found, cursor = answer["data"], answer["cursor"]
            while cursor is not None:
                page = made.get(
                    "/v1/events", account=account, limit=str(limit), cursor=cursor
                ).json()
                found, cursor = found + page["data"], page["cursor"]
            assert ids(found) == [f"e{number}" for _, number in stored]

        each()


def test_a_period_is_half_open(made: Made) -> None:
    times = ["11:59:59.999999", "12:00:00", "12:29:59.999999", "12:30:00"]
    made.post([sent(n, time=f"2026-10-02T{at}Z") for n, at in enumerate(times)], form=BATCH)
    period = {"start_at": "2026-10-02T12:00:00Z", "end_at": "2026-10-02T12:30:00Z"}
    assert ids(pages(made, "/v1/events", limit=10, account="a", **period)) == ["e1", "e2"]
    assert ids(pages(made, "/v1/events", limit=1, account="a", **period)) == ["e1", "e2"]


def test_an_event_is_found_by_its_source_and_id_the_providers_and_the_accounts_own(
    made: Made,
) -> None:
    own = made.key("ingest", account="a")
    made.post(sent(1))
    made.post(sent(1, 7), key=own)
    made.post(sent(1, 3, account="b", source="other"))
    found = made.get("/v1/events", account="a", source="gw", id="e1").json()
    assert [(one["owner"], one["units"]) for one in found["data"]] == [
        ("provider", {"input_tokens": 10}),
        ("account", {"input_tokens": 7}),
    ]
    assert found["cursor"] is None
    for query in ({"source": "gw", "id": "e2"}, {"source": "other", "id": "e1"}):
        assert made.get("/v1/events", account="a", **query).json()["data"] == []


@pytest.mark.parametrize(
    "query, said",
    [
        ({}, "query account: is missing"),
        ({"account": ""}, "query account"),
        ({"account": "a", "source": "gw"}, "id: an event is named by its source and its id"),
        ({"account": "a", "id": "e1"}, "source: an event is named by its source and its id"),
        ({"account": "a", "start_at": "2026-10-01T00:00:00Z"}, "end_at: a period has a start"),
        ({"account": "a", "end_at": "2026-10-01T00:00:00Z"}, "start_at: a period has a start"),
        (
            {"account": "a", "start_at": "2026-10-01T00:00:00Z", "end_at": "2026-10-01T00:00:00Z"},
            "end_at: must lie after start_at",
        ),
        ({"account": "a", "start_at": "2026-10-01"}, "query start_at: must be a moment"),
        ({"account": "a", "source": "gw", "id": "e1", "cursor": "x"}, "leave out times and cursor"),
        ({"account": "a", "cursor": "x"}, "cursor: is not one that we gave"),
        ({"account": "a", "limit": "1001"}, "from 1 to 1000"),
        ({"account": "a", "owner": "b"}, "query owner: is not known"),
    ],
)
def test_a_question_that_is_none_is_refused(made: Made, query: dict[str, str], said: str) -> None:
    answer = made.get("/v1/events", **query)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


def test_a_cursor_of_another_account_or_period_is_refused(made: Made) -> None:
    made.post([sent(n, account=a) for n in range(3) for a in "ab"], form=BATCH)
    cursor = made.get("/v1/events", account="a", limit="1").json()["cursor"]
    period = {"start_at": "2026-10-01T00:00:00Z", "end_at": "2026-11-01T00:00:00Z"}
    for query in ({"account": "b"}, {"account": "a", **period}):
        answer = made.get("/v1/events", cursor=cursor, **query)
        assert (answer.status_code, answer.json()["detail"]) == (
            400,
            "cursor: belongs to another question; ask that one, or start anew",
        )


def test_an_account_sees_its_own_events_and_of_another_what_it_sees_of_none(made: Made) -> None:
    made.post([sent(n, account=a) for n, a in enumerate("ab")], form=BATCH)
    key = made.key("account", account="a")
    assert ids(pages(made, "/v1/events", limit=9, key=key, account="a")) == ["e0"]
    for query in ({}, {"source": "gw", "id": "e1"}, {"cursor": "x"}):
        answers = [
            made.get("/v1/events", key=key, account=account, **query) for account in ("b", "none")
        ]
        assert [one.status_code for one in answers] == [404, 404]
    # Its own account, an id that is another's: as one that is nobody's.
    named = [
        made.get("/v1/events", key=key, account="a", source="gw", id=event_id).content
        for event_id in ("e1", "e9")
    ]
    assert named[0] == named[1]


def test_accounts_have_usage_an_agreement_or_a_key(store: Store) -> None:
    with served(store, settings=Settings()) as made:
        at = ["2026-10-02T12:00:00Z", "2026-10-03T12:00:00Z", "2026-10-01T12:00:00Z"]
        made.post([sent(n, account="used", time=time) for n, time in enumerate(at)], form=BATCH)
        made.key("account", account="keyed")
        with store.write() as connection:
            for version in (1, 2):
                append_agreement(connection, agreement=agreement(account="agreed", version=version))
        rows = [
            ("agreed", 2, None, None),
            ("keyed", None, None, None),
            ("used", None, "2026-10-01T12:00:00Z", "2026-10-03T12:00:00Z"),
        ]
        names = ("account", "agreement_version", "first_occurred_at", "last_occurred_at")
        documents = [dict(zip(names, row, strict=True)) for row in rows]
        for limit in (1, 2, 3, 4):
            assert pages(made, "/v1/accounts", limit=limit) == documents
        for document in documents:
            assert made.get(f"/v1/accounts/{document['account']}").json() == document
            assert made.usage(str(document["account"])).status_code == 200
        assert made.get("/v1/accounts/nobody").status_code == 404
        assert made.usage("nobody").status_code == 404


def test_an_account_sees_itself_and_of_another_what_it_sees_of_none(made: Made) -> None:
    made.post(sent(1, account="b"))
    key = made.key("account", account="a")
    assert made.get("/v1/accounts/a", key=key).json()["account"] == "a"
    answers = [
        made.client.get(
            f"/v1/accounts/{name}",
            headers={"authorization": f"Bearer {key}", "x-request-id": "same"},
        )
        for name in ("b", "nobody")
    ]
    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert dict(answers[0].headers) == dict(answers[1].headers)


def test_pages_of_accounts_are_in_order_of_bytes_and_lose_none_to_new_ones(made: Made) -> None:
    names = ["B", "a", "a b", "b", "ä", "z"]
    made.post([sent(n, account=name) for n, name in enumerate(names)], form=BATCH)
    first = made.get("/v1/accounts", limit="3").json()
    made.post([sent(9, account="0"), sent(10, account="c")], form=BATCH)
    rest = made.get("/v1/accounts", limit="9", cursor=first["cursor"]).json()
    found = [one["account"] for one in first["data"] + rest["data"]]
    # "0" lies before the page that was read, "c" after it.
    assert found == ["B", "a", "a b", "b", "c", "z", "ä"]

"""What an attacker with a key of an account tries (faults 116 to 124).

Elsewhere: who may do what (fault 120) and which routes there are (124) in test_authorization.py,
keys in part, revoked, in a query string or in the log (117) in test_access.py and test_keys.py,
addresses of webhooks (122) with their rooms; nothing here is bought or granted (121, 125).
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from http import HTTPStatus
from typing import Any

import pytest

from billing.api.service import AT_ONCE, READERS
from billing.operations.idempotency import Answer, Command, answered
from billing.store.store import Store
from tests.billing.api.made_service import BATCH, Made, made_service, sent, verdicts
from tests.billing.operations.made_ingest import NOW_AT

Json = Any

OCTOBER = {"start_at": "2026-10-01T00:00:00Z", "end_at": "2026-11-01T00:00:00Z"}


def test_fault_116_a_cursor_of_another_account_opens_nothing(made: Made) -> None:
    events = [sent(n, account=name, source=name) for n in range(4) for name in "ab"]
    assert made.post(events, form=BATCH).json()["accepted"] == 8
    key = made.key("account", account="a")
    cursor = made.get("/v1/events", account="b", limit="1").json()["cursor"]
    forged = json.loads(base64.urlsafe_b64decode(cursor))
    own = json.loads(
        base64.urlsafe_b64decode(made.get("/v1/events", account="a", limit="1").json()["cursor"])
    )
    assert made.get("/v1/events", key=key, account="a", cursor=cursor).status_code == 400
    # The question of one and the place of the other: what is read is still one's own.
    mixed = base64.urlsafe_b64encode(json.dumps([own[0], forged[1]]).encode()).decode()
    page = made.get("/v1/events", key=key, account="a", cursor=mixed).json()
    assert {one["account"] for one in page["data"]} <= {"a"}
    usage = made.usage("b", limit="1").json()["cursor"]
    assert made.usage("a", key=key, cursor=usage).status_code == 400


def test_fault_116_an_idempotency_key_of_another_owner_tells_nothing(store: Store) -> None:
    def command(owner: str) -> Command:
        return Command(owner=owner, target="POST /x", idempotency_key="k", digest="sha256:1")

    def work(said: str) -> Answer:
        return Answer(status=HTTPStatus.OK, document={"said": said})

    found = []
    for owner in ("provider", "account:a", "account:b", "account:a"):
        with store.write() as connection:
            one = answered(
                connection,
                command=command(owner),
                work=lambda owner=owner: work(owner),  # type: ignore[misc]
                now_at=NOW_AT,
            )
        found.append((json.loads(one.text)["said"], one.replayed))
    assert found == [
        ("provider", False),
        ("account:a", False),
        ("account:b", False),
        ("account:a", True),
    ]


@pytest.mark.parametrize(
    "name",
    [
        "account",
        "tenant_id",
        "status",
        "amount_due",
        "paid",
        "role",
        "created_at",
        "epoch",
        "owner",
    ],
)
def test_fault_118_fields_that_are_not_the_senders_are_refused(made: Made, name: str) -> None:
    event = sent(1)
    for place, body in (("/", {**event, name: "b"}), ("/data/", _within(event, name))):
        answer = made.post(body)
        assert answer.status_code == 400
        assert answer.json()["events"][0]["pointer"] == place + name
    assert verdicts(made.post(event)) == ["accepted"]


def _within(event: Json, name: str) -> Json:
    return {**event, "data": {**event["data"], name: "b"}}


def test_fault_118_the_account_of_a_key_is_not_chosen_by_header_or_query(made: Made) -> None:
    key = made.key("ingest", account="a")
    answer = made.post(sent(1, account="b"), key=key, path="/v1/events?account=b&subject=b")
    assert answer.status_code == 400
    assert made.get("/v1/events", account="b").json()["data"] == []


def test_fault_119_questions_without_end_keep_no_event_waiting() -> None:
    with made_service() as made:
        release = threading.Event()
        begun = threading.Semaphore(0)

        def slow() -> None:
            begun.release()
            assert release.wait(30)

        async def flood() -> list[BaseException | None]:
            return await asyncio.gather(
                *(made.service.reading(slow) for _ in range(AT_ONCE + 5)), return_exceptions=True
            )

        portal = made.client.portal
        assert portal is not None
        asked = portal.start_task_soon(flood)
        for _ in range(READERS):
            assert begun.acquire(timeout=30)
        # All threads that read are taken, and as many questions wait as may.
        refused = made.usage("a")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert verdicts(made.post(sent(1))) == ["accepted"]
        assert made.command("/v1/keys", {"scope": "ingest", "name": "x"}).status_code == 201
        release.set()
        found = asked.result(timeout=30)
        assert [type(one).__name__ for one in found if one is not None] == ["Problem"] * 5
        assert made.usage("a").status_code == 200


@pytest.mark.parametrize(
    "path, query", [("/v1/keys", {}), ("/v1/accounts", {}), ("/v1/events", {"account": "a"})]
)
@pytest.mark.parametrize("limit", ["1000000", "1001", "-1", "0", "1e3", "null", ""])
def test_fault_119_no_page_is_larger_than_its_bound(
    made: Made, path: str, query: dict[str, str], limit: str
) -> None:
    answer = made.get(path, limit=limit, **query)
    assert (answer.status_code, answer.json()["parameter"]) == (400, "limit")


def test_fault_123_an_answer_says_nothing_of_what_serves_it(made: Made) -> None:
    for path in ("/healthz", "/nowhere", "/v1/keys"):
        answer = made.client.get(path)
        assert not {"server", "x-powered-by"} & set(answer.headers)
        assert answer.headers["cache-control"] == "no-store"
        for word in (
            "Traceback",
            "starlette",
            "fastapi",
            "uvicorn",
            ".py",
            "sqlite",
            str(made.file),
        ):
            assert word not in answer.text

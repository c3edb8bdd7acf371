"""Webhook endpoints over HTTP: made, listed, rotated, retired; messages listed and sent again; and
the service sends what is due (I45, faults 117, 119, 122).
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

import pytest

from billing.operations.announcement import announce
from billing.operations.epoch import seal_epoch
from billing.settings import Settings
from billing.store.store import Store
from billing.webhooks.messages import KINDS, message_data
from tests.billing.api.made_service import Made, made_service, sent, served
from tests.billing.operations.made_ingest import NOW_AT
from tests.billing.webhooks.receiver import receiving

Json = Any

PATH = "/v1/webhook-endpoints"
LOCAL = {"webhook_http": "allowed", "webhook_networks": "127.0.0.0/8"}
BODY = {"url": "https://example.com/hooks", "kinds": ["epoch.sealed", "invoice.finalized"]}


def new(made: Made, **fields: Json) -> Json:
    answer = made.command(PATH, {**BODY, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def until(done: Any) -> None:
    """Wait for the threads of the service."""
    for _ in range(1_000):
        if done():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come to be in ten seconds")


def test_an_endpoint_is_made_shown_rotated_and_retired(store: Store) -> None:
    with served(store, settings=Settings()) as made:
        found = new(made)
        secret = found.pop("secret")
        assert secret.startswith("whsec_")
        assert found == {
            "endpoint": found["endpoint"],
            "url": "https://example.com/hooks",
            "kinds": ["epoch.sealed", "invoice.finalized"],
            "account": None,
            "made_at": "2026-11-02T08:00:00Z",
            "retired_at": None,
            "retired_because": None,
        }
        one = f"{PATH}/{found['endpoint']}"
        assert made.get(one).json() == found
        assert made.get(PATH).json() == {"data": [found], "cursor": None}
        rotated = made.command(f"{one}/rotate-secret", {"former_seconds": 60}).json()
        assert rotated.pop("secret") not in (None, secret)
        assert rotated == found
        retired = made.command(f"{one}/retire", {"reason": "moved"}).json()
        moment = "2026-11-02T08:00:00Z"
        assert retired == {**found, "retired_at": moment, "retired_because": "moved"}
        assert made.command(f"{one}/rotate-secret", {}).status_code == 400


def test_sent_again_with_its_idempotency_key_a_request_makes_nothing_and_shows_no_secret(
    made: Made,
) -> None:
    headers = {"idempotency-key": "k1"}
    first = made.command(PATH, BODY, headers=headers).json()
    again = made.command(PATH, BODY, headers=headers).json()
    assert again == {**first, "secret": None}
    assert len(made.get(PATH).json()["data"]) == 1


@pytest.mark.parametrize(
    "fields, pointer, said",
    [
        ({"url": "https://127.0.0.1/"}, "/url", "not of the public internet"),
        ({"url": "https://[::ffff:127.0.0.1]/"}, "/url", "not of the public internet"),
        ({"url": "https://2130706433/"}, "/url", "is no name of a host"),
        ({"url": "http://example.com/"}, "/url", "must begin with https"),
        ({"url": "https://a:b@example.com/"}, "/url", "without a login"),
        ({"url": "file:///etc/passwd"}, "/url", "must be a plain URL"),
        ({"kinds": []}, "/kinds", "at least 1"),
        ({"kinds": ["invoice.paid"]}, "/kinds/0", "'epoch.sealed'"),
        ({"kinds": ["epoch.sealed"], "account": "a"}, "/kinds/0", "is about no account"),
        ({"account": ""}, "/account", "at least 1"),
        ({"secret": "whsec_mine"}, "/secret", "unknown field"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused_with_its_place(
    made: Made, fields: Json, pointer: str, said: str
) -> None:
    answer = made.command(PATH, {**BODY, **fields})
    assert (answer.status_code, answer.json()["pointer"]) == (400, pointer)
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("name", ["whe_" + "0" * 24, "x", "%00"])
def test_what_was_never_made_is_not_found(made: Made, name: str) -> None:
    found = {
        made.get(f"{PATH}/{name}").status_code,
        made.get(f"{PATH}/{name}/messages").status_code,
        made.command(f"{PATH}/{name}/retire", {"reason": "x"}).status_code,
        made.command(f"{PATH}/{name}/messages/msg_1/send-again", {}).status_code,
    }
    assert found == ({400} if name == "%00" else {404})


@pytest.mark.parametrize("scope", ["ingest", "account"])
def test_endpoints_are_for_operators_alone(made: Made, scope: Any) -> None:
    key = made.key(scope, account="a")
    for path in (PATH, f"{PATH}/whe_1", f"{PATH}/whe_1/messages"):
        assert made.get(path, key=key).status_code == 403
    assert made.command(PATH, BODY, key=key).status_code == 403


def test_the_service_sends_what_comes_to_be_and_tells_what_became_of_it(
    log: list[MutableMapping[str, Any]],
) -> None:
    answers = [503]
    with (
        receiving(lambda taken: answers.pop() if answers else 204) as receiver,
        made_service(**LOCAL) as made,
    ):
        endpoint = new(made, url=receiver.url())
        secret = endpoint["secret"]
        one = f"{PATH}/{endpoint['endpoint']}"
        made.post(sent(1))
        seal_epoch(made.store, by="dana", now_at=NOW_AT)

        def message() -> Json:
            (found,) = made.get(f"{one}/messages").json()["data"]
            return found

        until(lambda: message()["status"] == 503)
        waiting = message()
        assert waiting["state"] == "pending"
        assert waiting["next_at"].startswith("2026-11-02T08:00:05")  # 5 s, and less than one more
        assert waiting["error"] == "it answered 503"
        text = made.get("/metrics").text
        assert 'tokenworks_webhook_attempts_total{became="failed"} 1.0' in text
        assert "tokenworks_webhook_pending_messages 1.0" in text
        assert "tokenworks_webhook_oldest_pending_seconds 0.0" in text

        again = made.command(f"{one}/messages/{waiting['message']}/send-again", {})
        assert again.json()["next_at"] == "2026-11-02T08:00:00Z"
        until(lambda: message()["state"] == "delivered")
        assert message() == {
            "message": receiver.messages[0],
            "kind": "epoch.sealed",
            "account": None,
            "subject": "epochs",
            "data": {"epoch": 1, "sealed_at": "2026-11-02T08:00:00Z"},
            "recorded_at": "2026-11-02T08:00:00Z",
            "state": "delivered",
            "attempts": 2,
            "next_at": None,
            "status": 204,
            "error": None,
            "settled_at": "2026-11-02T08:00:00Z",
        }
        until(lambda: 'became="delivered"} 1.0' in made.get("/metrics").text)
        assert made.get(f"{one}/messages", state="pending").json()["data"] == []
        assert "tokenworks_webhook_pending_messages 0.0" in made.get("/metrics").text
    assert len(set(receiver.messages)) == 1
    assert receiver.taken[1].verified(secret, now_at=NOW_AT)["data"]["epoch"] == 1
    noted = str(log)
    assert "webhook_attempted" in noted
    for hidden in (secret, receiver.url(), '"sealed_at"'):
        assert hidden not in noted


def test_a_service_without_a_receiver_keeps_its_messages(made: Made) -> None:
    # example.com is never asked: nothing is due before the clock has come to it.
    endpoint = new(made)
    with made.store.write() as connection:
        for n in range(3):
            announce(
                connection,
                kind="epoch.sealed",
                account="",
                subject="epochs",
                data={"epoch": n, "sealed_at": "2026-11-02T08:00:00Z"},
                now_at=NOW_AT + 1_000_000,
            )
    messages = f"{PATH}/{endpoint['endpoint']}/messages"
    page = made.get(messages, limit="2").json()
    rest = made.get(messages, limit="2", cursor=page["cursor"]).json()
    assert [one["data"]["epoch"] for one in page["data"] + rest["data"]] == [0, 1, 2]
    assert rest["cursor"] is None
    assert made.get(messages, state="lost").status_code == 400


def test_every_kind_of_message_is_published_with_its_schema(made: Made) -> None:
    document = made.client.get("/openapi.json").json()
    assert set(document["webhooks"]) == set(KINDS)
    for kind, form in KINDS.items():
        operation = document["webhooks"][kind]["post"]
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        assert body["properties"]["type"] == {"const": kind}
        reference = body["properties"]["data"]["$ref"]
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
        assert set(schema["properties"]) == set(form.model_fields)
        names = {one["name"] for one in operation["parameters"]}
        assert names == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    sealed = {"epoch": 1, "sealed_at": "2026-11-02T08:00:00Z"}
    assert message_data("epoch.sealed", data=sealed) == sealed

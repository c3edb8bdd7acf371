"""Commands: with an idempotency key one effect and one answer, whatever is sent again, at once or
after a restart (I15).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from billing.operations.api_key import check_api_key
from billing.settings import Settings
from billing.store.audit import read_audit
from billing.store.faults import StoreBusyError
from billing.store.points import hooked
from billing.store.store import Store
from tests.billing.api.made_service import Made, made_service, served
from tests.billing.operations.made_ingest import NOW_AT, facts

Json = Any

KEY = {"scope": "ingest", "name": "gateway"}


@pytest.fixture
def on(store: Store) -> Iterator[Made]:
    """A service on each kind of database."""
    with served(store, settings=Settings(key_fresh_s=0)) as made:
        yield made


def keys_made(made: Made) -> int:
    """How many keys there are, but for the operator's that the service began with."""
    with made.store.read() as connection:
        return sum(one.command == "key make" for one in read_audit(connection, limit=1_000)) - 1


def told(answer: httpx2.Response) -> Json:
    """A problem without its request id."""
    return {name: value for name, value in answer.json().items() if name != "request_id"}


def test_sent_again_with_its_key_a_command_is_answered_the_same_and_does_nothing(on: Made) -> None:
    body = {"reason": "lost"}
    prefix = on.key("ingest")[:13]
    first = on.command(f"/v1/keys/{prefix}/revoke", body, once="a")
    again = on.command(f"/v1/keys/{prefix}/revoke", body, once="a")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"


def test_without_a_key_it_is_done_each_time(on: Made) -> None:
    answers = [on.command("/v1/keys", KEY) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 201]
    assert answers[0].json()["prefix"] != answers[1].json()["prefix"]
    assert keys_made(on) == 2


def test_a_secret_is_in_the_first_answer_alone_and_nowhere_in_the_store(on: Made) -> None:
    first = on.command("/v1/keys", KEY, once="a").json()
    again = on.command("/v1/keys", KEY, once="a")
    assert again.json() == {**first, "key": None}
    assert again.status_code == 201
    assert keys_made(on) == 1
    assert check_api_key(on.store, text=first["key"], now_at=NOW_AT) is not None
    secret = first["key"][14:]
    where = on.store.engine.url if on.store.engine.dialect.name == "postgresql" else on.store.where
    kept = str(facts(str(where) if isinstance(where, str) else rendered(where), tables=KEPT))
    assert first["prefix"] in kept
    assert secret not in kept


KEPT = ("command_answers", "api_keys", "audit")


def rendered(url: Any) -> str:
    return str(url.set(drivername="postgresql").render_as_string(hide_password=False))


def test_the_same_key_with_another_request_is_refused_and_does_nothing(on: Made) -> None:
    assert on.command("/v1/keys", KEY, once="a").status_code == 201
    other = on.command("/v1/keys", {**KEY, "name": "other"}, once="a")
    assert other.status_code == 422
    assert told(other) == {
        "type": "urn:tokenworks:problem:idempotency-key-used",
        "title": "Unprocessable Entity",
        "status": 422,
        "detail": "Idempotency-Key: was used for another request before; take a new one for this",
    }
    assert keys_made(on) == 1


def test_the_same_request_may_be_spelled_in_another_way(made: Made) -> None:
    spelled = b' {"name" : "gate\\u0077ay", "account": null, "scope":"ingest"}\n'
    first = made.command("/v1/keys", KEY, once="a")
    again = made.command("/v1/keys", spelled, once="a")
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["prefix"] == first.json()["prefix"]


def test_a_key_is_of_its_owner_and_of_its_path(made: Made) -> None:
    # Two operators are one owner, the provider; two paths are two commands.
    other = made.key("operator")
    first = made.command("/v1/keys", KEY, once="a").json()["prefix"]
    assert made.command("/v1/keys", KEY, once="a", key=other).json()["prefix"] == first
    for prefix in (first, made.key("ingest")[:13]):
        answer = made.command(f"/v1/keys/{prefix}/revoke", {"reason": "lost"}, once="a")
        assert (answer.status_code, answer.json()["prefix"]) == (200, prefix)
        assert "idempotent-replayed" not in answer.headers


def test_what_was_refused_keeps_no_answer_and_its_key_may_be_used_again(on: Made) -> None:
    refused = on.command("/v1/keys", {"scope": "account", "name": "x"}, once="a")
    assert (refused.status_code, refused.json()["pointer"]) == (400, "/account")
    assert on.command("/v1/keys", {"scope": "none"}, once="a").status_code == 400
    mended = on.command("/v1/keys", {"scope": "account", "name": "x", "account": "a"}, once="a")
    assert (mended.status_code, keys_made(on)) == (201, 1)
    unknown = [
        on.command("/v1/keys/tw_0000000000/revoke", {"reason": "lost"}, once="a") for _ in range(2)
    ]
    assert [one.status_code for one in unknown] == [404, 404]
    assert "idempotent-replayed" not in unknown[1].headers


def test_a_key_survives_a_restart_of_the_service(store: Store) -> None:
    with served(store, settings=Settings()) as made:
        first = made.command("/v1/keys", KEY, once="a").json()
    with served(store, settings=Settings()) as made:
        again = made.command("/v1/keys", KEY, once="a")
    assert again.json() == {**first, "key": None}


def test_a_command_that_fails_after_its_effect_has_neither_effect_nor_answer(on: Made) -> None:
    for point in ("api_key.appended", "command_answer.appended", "write.uncommitted"):
        with failing(at=point):
            assert on.command("/v1/keys", KEY, once="a").status_code == 503
        assert keys_made(on) == 0
    done = on.command("/v1/keys", KEY, once="a")
    assert (done.status_code, keys_made(on)) == (201, 1)
    assert "idempotent-replayed" not in done.headers


def test_a_command_whose_answer_was_lost_after_the_commit_is_answered_again(on: Made) -> None:
    with failing(at="write.committed"):
        assert on.command("/v1/keys", KEY, once="a").status_code == 503
    again = on.command("/v1/keys", KEY, once="a")
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert keys_made(on) == 1


@contextmanager
def failing(*, at: str) -> Iterator[None]:
    """The store is busy at a point, once."""
    failed: list[str] = []

    def fail(name: str) -> None:
        if name == at and not failed:
            failed.append(name)
            raise StoreBusyError("store", "is in use")

    with hooked(fail):
        yield
    assert failed


def test_one_key_at_once_has_one_effect(on: Made) -> None:
    answers: list[httpx2.Response] = []

    def send() -> None:
        answers.append(on.command("/v1/keys", KEY, once="a"))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert {one.status_code for one in answers} == {201}
    assert len({one.json()["prefix"] for one in answers}) == 1
    assert sum(one.json()["key"] is not None for one in answers) == 1
    assert sum("idempotent-replayed" in one.headers for one in answers) == 7
    assert keys_made(on) == 1


def test_revoked_by_two_at_once_a_key_is_revoked_once(on: Made) -> None:
    prefix = on.key("ingest")[:13]
    answers: list[httpx2.Response] = []

    def send(number: int) -> None:
        answers.append(
            on.command(f"/v1/keys/{prefix}/revoke", {"reason": "lost"}, once=f"{number}")
        )

    threads = [threading.Thread(target=send, args=[number]) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert [one.status_code for one in answers] == [200] * 4
    with on.store.read() as connection:
        audit = read_audit(connection, limit=100)
    assert sum(one.command == "key revoke" for one in audit) == 1


@pytest.mark.parametrize("size, status", [(0, 400), (1, 201), (254, 201), (255, 201), (256, 400)])
def test_a_key_has_1_to_255_characters(made: Made, size: int, status: int) -> None:
    assert made.command("/v1/keys", KEY, once="k" * size).status_code == status


@pytest.mark.parametrize("once", ["a b", "a\tb", "\x7f", "é", "\u0661", "a\x01"])
def test_a_key_is_visible_ascii(made: Made, once: str) -> None:
    headers = {b"idempotency-key": once.encode()}
    answer = made.command("/v1/keys", KEY, headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, keys_made(made)) == (400, 0)
    assert "1 to 255 visible ASCII" in answer.json()["detail"]


def test_two_keys_in_one_request_are_refused(made: Made) -> None:
    headers = [
        ("authorization", f"Bearer {made.operator}"),
        ("content-type", "application/json"),
        ("idempotency-key", "a"),
        ("idempotency-key", "b"),
    ]
    answer = made.client.post("/v1/keys", content=json.dumps(KEY).encode(), headers=headers)
    assert (answer.status_code, keys_made(made)) == (400, 0)


@pytest.mark.parametrize(
    "media_type, status",
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ('Application/JSON; charset="UTF-8"', 201),
        ("application/json; charset=utf-16", 415),
        ("text/plain", 415),
        ("multipart/form-data; boundary=x", 415),
        ("", 415),
    ],
)
def test_a_command_is_json_in_utf_8(made: Made, media_type: str, status: int) -> None:
    answer = made.command("/v1/keys", KEY, headers={"content-type": media_type})
    assert answer.status_code == status


@pytest.mark.parametrize(
    "body, said",
    [
        (b"", "body: is empty; send a JSON object"),
        (b" \n", "body: is empty; send a JSON object"),
        (b"{", "body:1:2: this is not JSON"),
        (b"[]", "body: input should be an object"),
        (b"\xff", "is not UTF-8"),
        (b'{"scope":"ingest","scope":"operator","name":"x"}', "stands twice"),
        (b'{"scope":"ingest","name":"x","prefix":"tw_0"}', "unknown field"),
        (b'{"scope":"ingest","name":"x\\u0000"}', "invisible character"),
        (b'{"scope":"ingest","name":"\\ud800"}', "lone surrogate"),
        (b'{"scope":"ingest","name":"x","requests_per_s":true}', "whole number"),
        (b'{"scope":"ingest","name":"x","requests_per_s":1.0}', "whole number"),
        (b'{"scope":"ingest","name":"x","requests_per_s":1e999}', "out of range"),
        (b'{"scope":"ingest","name":"x","requests_per_s":0}', "greater than or equal to 1"),
        (b"[" * 100_000, "nested deeper"),
    ],
)
def test_a_body_that_is_none_is_one_sentence(made: Made, body: bytes, said: str) -> None:
    answer = made.command("/v1/keys", body)
    assert (answer.status_code, keys_made(made)) == (400, 0)
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("size, status", [(1_023, 201), (1_024, 201), (1_025, 413)])
def test_a_service_that_takes_smaller_bodies_takes_no_larger_commands(
    size: int, status: int
) -> None:
    with made_service(max_body_bytes=1_024) as made:
        answer = made.command("/v1/keys", json_of(KEY).ljust(size))
    assert answer.status_code == status, answer.text


def test_no_body_of_a_command_is_a_fault_of_ours() -> None:
    names = st.sampled_from(["scope", "name", "account", "expires_at", "requests_per_s", "x"])
    values = st.one_of(
        st.sampled_from(["ingest", "operator", "account", "a", "", "2027-01-01T00:00:00Z"]),
        st.text(max_size=5),
        st.integers(),
        st.none(),
        st.booleans(),
        st.floats(),
    )
    bodies = st.one_of(st.binary(max_size=100), st.dictionaries(names, values).map(json_of))
    with made_service() as made:

        @examples(max_examples=100)
        @given(body=bodies)
        def each(body: bytes) -> None:
            answer = made.command("/v1/keys", body)
            assert answer.status_code in (201, 400), answer.text

        each()


def json_of(value: Json) -> bytes:
    return json.dumps(value).encode()

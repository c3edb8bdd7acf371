"""API keys over HTTP: made once, listed without secrets, revoked, and each with its own limit
(I45, faults 117, 119).
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from billing.api import access
from billing.operations.api_key import MOST_REQUESTS_PER_S, make_api_key
from billing.settings import Settings
from billing.store.store import Store
from tests.billing.api.made_service import Made, made_service, sent, served
from tests.billing.operations.made_ingest import NOW_AT

Json = Any

FIELDS = {"prefix", "scope", "account", "name", "made_at", "expires_at", "requests_per_s"}


def test_a_key_that_is_made_over_http_is_let_in_and_does_what_its_scope_says(store: Store) -> None:
    with served(store, settings=Settings(key_fresh_s=0)) as made:
        body = {
            "scope": "account",
            "account": "a",
            "name": "dashboard",
            "expires_at": "2026-12-01T00:00:00+00:00",
            "requests_per_s": 7,
        }
        answer = made.command("/v1/keys", body)
        assert answer.status_code == 201
        key = answer.json()
        assert key["key"].startswith(key["prefix"] + "_")
        assert {name: key[name] for name in body} == {**body, "expires_at": "2026-12-01T00:00:00Z"}
        assert (key["made_at"], key["revoked_at"]) == ("2026-11-02T08:00:00Z", None)
        assert made.usage("a", key=key["key"]).status_code == 200
        assert made.get("/v1/keys", key=key["key"]).status_code == 403
        revoked = made.command(f"/v1/keys/{key['prefix']}/revoke", {"reason": "lost"})
        assert revoked.json()["revoked_at"] == "2026-11-02T08:00:00Z"
        assert made.usage("a", key=key["key"]).status_code == 401


def test_a_monitors_key_reads_the_metrics_and_nothing_else(store: Store) -> None:
    with served(store, settings=Settings()) as made:
        made.post(sent(1))
        answer = made.command("/v1/keys", {"scope": "monitor", "name": "prometheus"})
        assert (answer.status_code, answer.json()["account"]) == (201, None)
        key = answer.json()["key"]
        assert "tokenworks_events_total" in made.get("/metrics", key=key).text
        for path in ("/v1/keys", "/v1/accounts", "/v1/accounts/a", "/v1/corrections"):
            refused = made.get(path, key=key)
            assert refused.status_code == 403
            assert "a key of scope monitor may not do this" in refused.json()["detail"]
        assert made.post(sent(2), key=key).status_code == 403
        listed = {one["scope"] for one in made.get("/v1/keys").json()["data"]}
        assert listed == {"operator", "monitor"}


@pytest.mark.parametrize(
    "body, pointer, said",
    [
        ({"scope": "account", "name": "x"}, "/account", "a key of scope account belongs to one"),
        ({"scope": "operator", "name": "x", "account": "a"}, "/account", "belongs to no account"),
        ({"scope": "monitor", "name": "x", "account": "a"}, "/account", "belongs to no account"),
        (
            {"scope": "ingest", "name": "x", "expires_at": "2026-11-02T08:00:00Z"},
            "/expires_at",
            "2026-11-02T08:00:00Z has passed",
        ),
        ({"scope": "ingest", "name": "x", "expires_at": "soon"}, "/expires_at", "must be a moment"),
        ({"scope": "ingest"}, "/name", "missing field"),
        ({"scope": "root", "name": "x"}, "/scope", "'operator', 'ingest', 'account' or 'monitor'"),
        (
            {"scope": "ingest", "name": "x", "requests_per_s": MOST_REQUESTS_PER_S + 1},
            "/requests_per_s",
            "less than or equal to",
        ),
    ],
)
def test_a_key_that_cannot_be_is_refused_with_its_place(
    made: Made, body: Json, pointer: str, said: str
) -> None:
    answer = made.command("/v1/keys", body)
    assert (answer.status_code, answer.json()["pointer"]) == (400, pointer)
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    "field, value",
    [
        ("prefix", "tw_0000000000"),
        ("digest", "0" * 64),
        ("made_at", "2020-01-01T00:00:00Z"),
        ("by", "somebody"),
        ("revoked_at", None),
        ("key", "tw_0000000000_x"),
        ("role", "operator"),
    ],
)
def test_fields_that_are_not_the_callers_are_refused(made: Made, field: str, value: Json) -> None:
    # Fault 118: nobody chooses the secret of a key, or who made it.
    answer = made.command("/v1/keys", {"scope": "ingest", "name": "x", field: value})
    assert (answer.status_code, answer.json()["pointer"]) == (400, f"/{field}")
    assert len(made.get("/v1/keys").json()["data"]) == 1


def test_keys_are_listed_in_pages_without_secrets(made: Made) -> None:
    # All are made at one moment: their order is that of their prefixes.
    texts = [made.operator, *(made.key("ingest") for _ in range(6))]
    for limit in (1, 2, 3, 7, 8):
        found: list[Json] = []
        query: dict[str, str] = {}
        while True:
            page = made.get("/v1/keys", limit=str(limit), **query).json()
            found += page["data"]
            if page["cursor"] is None:
                break
            assert len(page["data"]) == limit
            query = {"cursor": page["cursor"]}
        assert [one["prefix"] for one in found] == sorted(text[:13] for text in texts)
        assert set(found[0]) == FIELDS | {"revoked_at"}
        assert not [text for text in texts if text[14:] in str(found)]


def test_keys_that_are_made_between_pages_take_none_away(made: Made) -> None:
    before = {text[:13] for text in (made.operator, *(made.key("ingest") for _ in range(5)))}
    first = made.get("/v1/keys", limit="3").json()
    for number in range(5):
        make_api_key(
            made.store,
            scope="ingest",
            account="",
            name="later",
            expires_at=None,
            by="me",
            now_at=NOW_AT + number,
        )
    rest = made.get("/v1/keys", cursor=first["cursor"]).json()
    found = [one["prefix"] for one in first["data"] + rest["data"]]
    assert len(set(found)) == len(found)
    assert before <= set(found)


@pytest.mark.parametrize("cursor", ["x", "é", "W10=", "WyJrZXlzIixbMSwieFx1MDAwMCJdXQ=="])
def test_a_forged_cursor_is_refused(made: Made, cursor: str) -> None:
    answer = made.get("/v1/keys", cursor=cursor)
    assert (answer.status_code, answer.json()["detail"]) == (
        400,
        "cursor: is not one that we gave; start without one",
    )


@pytest.mark.parametrize(
    "prefix", ["tw_0", "tw_000000000g", "TW_0000000000", "tw_00000000000", "'"]
)
def test_what_is_no_prefix_is_refused(made: Made, prefix: str) -> None:
    answer = made.command(f"/v1/keys/{prefix}/revoke", {"reason": "lost"})
    assert answer.status_code == 400


def test_the_audit_names_the_key_that_made_and_revoked(made: Made) -> None:
    prefix = made.command("/v1/keys", {"scope": "ingest", "name": "x"}).json()["prefix"]
    made.command(f"/v1/keys/{prefix}/revoke", {"reason": "lost"})
    with made.store.read() as connection:
        rows = connection.exec_driver_sql('SELECT command, subject, "by" FROM audit').all()
    sender = f"test ({made.operator[:13]})"
    assert [tuple(row) for row in rows[1:]] == [
        ("key make", prefix, sender),
        ("key revoke", prefix, sender),
    ]


def test_no_key_and_no_idempotency_key_is_in_the_log(
    made: Made, log: list[MutableMapping[str, Any]]
) -> None:
    # Fault 117: neither a key that is let in, nor one that is not, nor one in the query string.
    wrong = "tw_0000000000_" + "s" * 43
    secret = made.command("/v1/keys", {"scope": "ingest", "name": "x"}, once="idem-secret").json()
    made.get("/metrics", key=wrong)
    made.client.get("/v1/keys", params={"key": wrong})
    made.post(sent(1), key=secret["key"])
    made.post(b"{", key=secret["key"])
    noted = str(log)
    assert len(log) == 5
    for text in (wrong, secret["key"], made.operator, secret["prefix"], "idem-secret"):
        assert text not in noted


@pytest.mark.parametrize(
    "key",
    [
        "tw_" + "a" * 70_000,
        "tw_0000000000_" + "é" * 43,
        "tw_0000000000_\u0661",
        "a b",
        "\x00",
        "\xff",
    ],
    ids=["too long", "accents", "digits", "a space", "a NUL", "a byte"],
)
def test_what_is_no_key_at_all_is_not_let_in(made: Made, key: str) -> None:
    headers = {b"authorization": b"Bearer " + key.encode()}
    assert made.client.get("/metrics", headers=headers).status_code == 401


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


def test_each_key_has_its_own_limit_and_starves_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(access, "time", clock)
    with made_service(requests_per_s=5) as made:
        few = made.command(
            "/v1/keys", {"scope": "operator", "name": "few", "requests_per_s": 2}
        ).json()["key"]
        clock.now_s += 10  # what is saved up is a second's worth at most

        def statuses(key: str | None, count: int) -> list[int]:
            return [made.get("/v1/keys", key=key).status_code for _ in range(count)]

        assert statuses(few, 4) == [200, 200, 429, 429]  # its own 2, not the service's 5
        assert statuses(None, 6) == [200] * 5 + [429]
        refused = made.get("/v1/keys", key=few)
        assert refused.headers["retry-after"] == "1"
        assert "may send 2 requests a second" in refused.json()["detail"]
        clock.now_s += 0.49  # 0.98 of a request
        assert statuses(few, 1) == [429]
        clock.now_s += 0.02  # 1.02
        assert statuses(few, 2) == [200, 429]
        clock.now_s += 1  # what Retry-After said
        assert statuses(few, 3) == [200, 200, 429]


def test_what_a_key_may_not_do_counts_too(made: Made) -> None:
    key = made.command("/v1/keys", {"scope": "ingest", "name": "few", "requests_per_s": 1}).json()[
        "key"
    ]
    found = [made.get("/metrics", key=key).status_code for _ in range(20)]
    assert found[0] == 403
    assert 429 in found

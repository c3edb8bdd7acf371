"""Access: a key is let in exactly while it is in force, and an account sees itself alone (I44,
faults 116, 117, 119). What each may do is in test_authorization.py.
"""

from __future__ import annotations

import pytest

from billing.operations.api_key import check_api_key, revoke_api_key
from billing.settings import Settings
from tests.billing.api.made_service import BATCH, Made, made_service, sent, served, verdicts
from tests.billing.operations.made_ingest import NOW_AT, facts, own_store


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic {key}",
        "{key}",
        "Bearer {prefix}",
        "Bearer {prefix}_",
        "Bearer {key}x",
        "Bearer {cut}",
        "Bearer {cut}!",
        "Bearer tw_0000000000_{secret}",
        "Bearer {prefix}_' OR '1'='1",
        "Bearer {prefix}_' OR '1'='1' --aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "Bearer \u0661",
    ],
)
def test_what_is_not_the_whole_key_is_not_let_in(made: Made, authorization: str) -> None:
    key = made.operator
    given = authorization.format(
        key=key, prefix=key[:13], cut=key[:-1], secret=key.partition("_")[2].partition("_")[2]
    )
    answer = made.client.get("/metrics", headers={b"authorization": given.encode()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == "urn:tokenworks:problem:unauthorized"


def test_a_key_in_the_query_string_is_not_looked_at(made: Made) -> None:
    assert made.client.get("/metrics", params={"key": made.operator}).status_code == 401


def test_a_key_is_let_in_until_it_expires() -> None:
    moment = [NOW_AT]
    with own_store() as (_, store):
        settings = Settings(key_fresh_s=3_600)
        with served(store, settings=settings, clock=lambda: moment[0]) as made:
            key = made.key("operator", expires_at=NOW_AT + 2)
            for after, status in ((0, 200), (1, 200), (2, 401), (3, 401)):
                moment[0] = NOW_AT + after
                assert made.get("/metrics", key=key).status_code == status


@pytest.mark.parametrize("fresh_s, status", [(0, 401), (3_600, 200)])
def test_a_revoked_key_is_let_in_no_longer_than_keys_are_remembered(
    fresh_s: int, status: int
) -> None:
    with made_service(key_fresh_s=fresh_s) as made:
        key = made.key("operator")
        assert made.get("/metrics", key=key).status_code == 200
        revoke_api_key(made.store, prefix=key[:13], reason="lost", by="me", now_at=NOW_AT)
        assert made.get("/metrics", key=key).status_code == status
        assert check_api_key(made.store, text=key, now_at=NOW_AT) is None


def test_of_a_key_only_the_digest_is_stored(made: Made) -> None:
    stored = str(facts(made.file, tables=["api_keys", "audit"]))
    secret = made.operator[14:]
    assert made.operator[:13] in stored
    assert secret not in stored
    assert len(secret) == 43  # 256 bits in base64


def test_another_account_is_answered_like_one_that_does_not_exist(made: Made) -> None:
    made.post([sent(1, account="a"), sent(2, account="b")], form=BATCH)
    key = made.key("account", account="a")
    assert len(made.usage("a", key=key).json()["data"]) == 2
    answers = [made.usage(account, key=key) for account in ("b", "nobody", "A", "a ")]
    for answer in answers[:3]:
        told = {name: v for name, v in answer.json().items() if name != "request_id"}
        assert told == {
            "type": "urn:tokenworks:problem:not-found",
            "title": "Not Found",
            "status": 404,
            "detail": "there is nothing here that you may see",
        }
    assert answers[3].status_code == 400  # no account has such a name


def test_a_key_of_an_account_sends_its_own_events_under_identities_of_its_own(made: Made) -> None:
    key = made.key("ingest", account="a")
    mixed = made.post([sent(1, account="a"), sent(2, account="b")], form=BATCH, key=key)
    assert verdicts(mixed) == ["accepted", "rejected"]
    assert mixed.json()["events"][1]["pointer"] == "/subject"
    # The provider's gateway uses the same source and id: another identity (fault 47).
    assert verdicts(made.post(sent(1, account="a"))) == ["accepted"]
    assert verdicts(made.post(sent(1, account="a"), key=key)) == ["duplicate"]
    owners = [row[0] for row in facts(made.file, tables=["event_ids"])["event_ids"]]
    assert owners == ["account:a", "provider"]


def test_a_key_that_sends_too_often_is_told_when_to_come_back() -> None:
    with made_service(requests_per_s=3) as made:
        other = made.key("operator")
        found = [made.get("/metrics") for _ in range(5)]
        assert [one.status_code for one in found[:3]] == [200, 200, 200]
        assert {one.status_code for one in found} == {200, 429}
        (refused, *_) = [one for one in found if one.status_code == 429]
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["type"] == "urn:tokenworks:problem:too-many-requests"
        assert made.get("/metrics", key=other).status_code == 200

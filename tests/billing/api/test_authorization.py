"""The authorization matrix: on each published route each key does what the table of scopes says,
and nothing else is a route (I44, I45; faults 113, 116, 120, 124).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from billing.api.access import SCOPES
from billing.store.api_keys import Scope
from tests.billing.api.made_service import BATCH, Made, made_service, sent

Json = Any

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "DEBUG")

VALUES: Mapping[str, str] = {
    "account": "a",
    "prefix": "tw_0000000000",
    "start_at": "2026-10-01T00:00:00Z",
    "end_at": "2026-11-01T00:00:00Z",
}
"""What stands for a parameter that a route needs."""

UNKNOWN = "11111111111111111111111111111111"
"""What stands for the name of a thing that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A published route and method, and what it needs."""

    method: str
    path: str
    scopes: tuple[Scope, ...]
    parameters: tuple[Json, ...]
    body: tuple[str, ...]

    @property
    def about_account(self) -> bool:
        """Whether its path or query names an account."""
        return any(one["name"] == "account" for one in self.parameters)

    def ask(
        self, made: Made, *, key: str | None, account: str = "a", unknown: str = UNKNOWN
    ) -> httpx2.Response:
        """Send it, with all that it needs but a body that says nothing."""
        where = self.path
        query: dict[str, str] = {}
        for one in self.parameters:
            name = one["name"]
            value = account if name == "account" else VALUES.get(name, unknown)
            if one["in"] == "path":
                where = where.replace(f"{{{name}}}", quote(value, safe=""))
            elif one["in"] == "query" and (one.get("required") or name == "account"):
                query[name] = value
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        headers |= {"x-request-id": "same"}
        if self.body:
            headers |= {"content-type": self.body[0]}
        return made.client.request(
            self.method, where, params=query, headers=headers, content=b"{}" if self.body else b""
        )


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    with made_service() as one:
        events = [sent(n, account=account) for n, account in enumerate("ab")]
        assert one.post(events, form=BATCH).json()["accepted"] == 2
        yield one


@pytest.fixture(scope="module")
def operations(made: Made) -> list[Operation]:
    document = made.client.get("/openapi.json").json()
    found = [
        Operation(
            method=method.upper(),
            path=path,
            scopes=tuple(operation["x-scopes"]),
            parameters=tuple(operation.get("parameters", [])),
            body=tuple(operation.get("requestBody", {}).get("content", {})),
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(found) == len(SCOPES)
    return found


def test_each_key_does_what_the_table_says_on_every_published_route(
    made: Made, operations: list[Operation]
) -> None:
    keys: dict[tuple[Scope, str], str] = {
        ("operator", ""): made.operator,
        ("ingest", ""): made.key("ingest"),
        ("ingest", "a"): made.key("ingest", account="a"),
        ("account", "a"): made.key("account", account="a"),
        ("account", "b"): made.key("account", account="b"),
        ("monitor", ""): made.key("monitor"),
    }
    wrong: list[object] = []
    for one in operations:
        assert one.scopes == tuple(SCOPES[one.method, one.path])
        without = one.ask(made, key=None).status_code
        if (without == 401) != bool(one.scopes):
            wrong.append((one.method, one.path, "no key", without))
        for (scope, account), key in keys.items():
            status = one.ask(made, key=key).status_code
            if not as_the_table_says(one, scope=scope, account=account, status=status):
                wrong.append((one.method, one.path, scope, account, status))
    assert wrong == []


def as_the_table_says(one: Operation, *, scope: Scope, account: str, status: int) -> bool:
    """Whether a key of a scope and an account may be answered this about the account a."""
    if one.scopes and scope not in one.scopes:
        return status == 403
    if one.scopes and one.about_account and account == "b":
        return status == 404
    names_what_is_not_there = "{" in one.path.replace("{account}", "")
    return status not in (401, 403, 405) and (status != 404 or names_what_is_not_there)


def test_who_has_no_key_is_told_nothing_of_what_else_is_wrong(
    made: Made, operations: list[Operation]
) -> None:
    for one in operations:
        if one.scopes:
            where = one.path.replace("{", "%00").replace("}", "")
            answer = made.client.request(one.method, where, params={"x": "1", "limit": "x"})
            assert answer.status_code == 401, one.path


def test_of_another_account_a_key_is_told_what_it_is_told_of_none(
    made: Made, operations: list[Operation]
) -> None:
    key = made.key("account", account="a")
    about = [one for one in operations if "account" in one.scopes and one.about_account]
    assert len(about) >= 4
    for one in about:
        other, none = (one.ask(made, key=key, account=name) for name in ("b", "nobody"))
        assert other.status_code == 404, one.path
        assert (other.content, dict(other.headers)) == (none.content, dict(none.headers))


def test_of_an_account_that_is_not_there_an_operator_is_told_so_on_each_route(
    made: Made, operations: list[Operation]
) -> None:
    of_accounts = [one for one in operations if one.path.startswith("/v1/accounts/{account}")]
    assert len(of_accounts) >= 2
    answers = [one.ask(made, key=made.operator, account="nobody") for one in of_accounts]
    assert {one.status_code for one in answers} == {404}
    assert len({one.content for one in answers}) == 1


def test_no_other_method_is_answered(made: Made, operations: list[Operation]) -> None:
    published = {(one.method, one.path) for one in operations}
    for path in {one.path for one in operations}:
        where = path.replace("{", "").replace("}", "")
        for method in METHODS:
            if (method, path) in published:
                continue
            answer = made.client.request(
                method, where, headers={"authorization": f"Bearer {made.operator}"}
            )
            assert answer.status_code == 405, (method, path)
            assert answer.json()["type"] == "urn:tokenworks:problem:method-not-allowed"
            (allowed,) = answer.headers.get_list("allow")
            assert set(allowed.split(", ")) - {"HEAD"} == {
                one.method for one in operations if one.path == path
            }


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v1", "/v2/events", "/docs", "/redoc", "/admin", "/debug", "/.env", "/v1/events/"),
        *("/v1/Events", "//v1/events", "/v1/events/batch", "/v1/keys/tw_0000000000"),
        *("/v1/accounts/a/usage/", "/v1/accounts/a/events", "/V1/keys"),
        *("/openapi.yaml", "/swagger.json", "/v1/keys;/v1/events", "/v1/accounts/a/keys"),
    ],
)
def test_what_is_not_published_is_not_there(made: Made, path: str) -> None:
    for method in ("GET", "POST"):
        answer = made.client.request(
            method, path, headers={"authorization": f"Bearer {made.operator}"}
        )
        assert answer.status_code == 404, (method, path)
        assert answer.json()["type"] == "urn:tokenworks:problem:not-found"


@pytest.mark.parametrize(
    "name", ["x-http-method-override", "x-method-override", "x-http-method", "_method"]
)
def test_a_header_does_not_change_the_method(made: Made, name: str) -> None:
    key = made.key("account", account="a")
    headers = {"authorization": f"Bearer {key}", name: "POST"}
    query = {"account": "a", "_method": "POST"}
    plain = made.get("/v1/events", key=key, account="a")
    del query["_method"]
    answer = made.client.get("/v1/events", headers=headers, params=query)
    assert (answer.status_code, answer.content) == (200, plain.content)
    # Nor the other way round.
    posted = made.client.post("/v1/events", headers={**headers, name: "GET"}, params=query)
    assert posted.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "b"},
        {"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1"},
        {"x-original-url": "/v1/keys", "x-rewrite-url": "/v1/keys"},
        {"x-account": "b", "x-scope": "operator", "x-user": "admin"},
        {"cookie": "key=1"},
    ],
)
def test_no_other_header_gives_rights(made: Made, headers: dict[str, str]) -> None:
    key = made.key("account", account="a")
    given = {"authorization": f"Bearer {key}", **headers}
    assert made.client.get("/v1/keys", headers=given).status_code == 403
    assert made.client.get("/v1/accounts/b", headers=given).status_code == 404
    assert made.client.get("/v1/keys", headers=headers).status_code == 401

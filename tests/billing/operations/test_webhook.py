"""Endpoints are made, given new secrets and retired; each step has its audit, none its secret."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import pytest

from billing.operations.not_found import NotFoundError
from billing.operations.webhook import (
    MOST_FORMER_S,
    endpoint_page,
    find_endpoint,
    make_endpoint,
    reach_of,
    retire_endpoint,
    rotate_secret,
    send_again,
    sending_page,
)
from billing.settings import Settings, read_settings
from billing.store.audit import read_audit
from billing.store.store import Connection, Store
from billing.store.webhooks import read_secrets
from billing.webhooks.addresses import Reach
from pricing_rules.document import DocumentError
from tests.billing.operations.made_ingest import NOW_AT
from tests.billing.operations.made_webhooks import ALL_KINDS, announced, made, sendings

URL = "https://example.com/hooks"


def refused(store: Store, work: Callable[[Connection], object]) -> DocumentError:
    with pytest.raises(DocumentError) as caught, store.write() as connection:
        work(connection)
    return caught.value


def test_a_secret_is_256_random_bits_as_standard_webhooks_writes_them(store: Store) -> None:
    one, other = made(store, URL), made(store, URL)
    for found in (one, other):
        assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", found.secret)
        assert len(base64.b64decode(found.secret.removeprefix("whsec_"))) == 32
        assert re.fullmatch(r"whe_[0-9a-f]{24}", found.endpoint.endpoint)
    assert one.secret != other.secret
    with store.read() as connection:
        (kept,) = read_secrets(connection, endpoint=one.endpoint.endpoint)
    assert kept.secret == one.secret  # readable, because messages are signed with it


@pytest.mark.parametrize(
    "url, asked, path, said",
    [
        (URL, ((), ""), ("kinds",), "is empty"),
        (URL, (("invoice.paid",), ""), ("kinds", 0), '"invoice.paid" is none of epoch.sealed,'),
        (URL, (("epoch.sealed",) * 2, ""), ("kinds", 1), "is given twice"),
        (URL, (("invoice.finalized", "epoch.sealed"), "a"), ("kinds", 1), "is about no account"),
        ("http://example.com/", (("epoch.sealed",), ""), ("url",), "must begin with https"),
        ("https://127.0.0.1/", (("epoch.sealed",), ""), ("url",), "not of the public internet"),
    ],
)
def test_what_an_endpoint_may_not_be_is_said(
    store: Store, url: str, asked: tuple[tuple[str, ...], str], path: object, said: str
) -> None:
    error = refused(
        store,
        lambda connection: make_endpoint(
            connection,
            url=url,
            kinds=asked[0],
            account=asked[1],
            reach=Reach(),
            by="dana",
            now_at=NOW_AT,
        ),
    )
    assert error.path == path
    assert said in error.sentence
    with store.read() as connection:
        assert endpoint_page(connection, limit=10, cursor=None).rows == ()


def test_every_kind_about_accounts_may_be_asked_for_one(store: Store) -> None:
    kinds = [kind for kind in ALL_KINDS if kind not in ("epoch.sealed", "price_book.published")]
    found = made(store, URL, kinds=kinds, account="acme")
    assert found.endpoint.kinds == (
        '["agreement.accepted","backfill.applied","event.corrected","invoice.finalized"]'
    )


def test_an_endpoint_is_retired_once(store: Store) -> None:
    name = made(store, URL).endpoint.endpoint

    def retire(connection: Connection, *, reason: str, now_at: int = NOW_AT) -> object:
        return retire_endpoint(
            connection, endpoint=name, reason=reason, by="dana", now_at=now_at
        ).reason

    assert "is empty" in refused(store, lambda one: retire(one, reason=" ")).sentence
    with store.write() as connection:
        assert retire(connection, reason="moved") == "moved"
    with store.write() as connection:
        assert retire(connection, reason="again", now_at=NOW_AT + 1) == "moved"
    rotated = refused(
        store,
        lambda one: rotate_secret(one, endpoint=name, former_s=0, by="dana", now_at=NOW_AT),
    )
    assert rotated.sentence == "was retired; make another one"


@pytest.mark.parametrize(
    "former_s, taken", [(-1, False), (0, True), (MOST_FORMER_S, True), (MOST_FORMER_S + 1, False)]
)
def test_former_secrets_sign_for_a_month_at_most(store: Store, former_s: int, taken: bool) -> None:
    name = made(store, URL).endpoint.endpoint

    def rotate(connection: Connection) -> object:
        return rotate_secret(connection, endpoint=name, former_s=former_s, by="dana", now_at=NOW_AT)

    if taken:
        with store.write() as connection:
            rotate(connection)
    else:
        assert refused(store, rotate).path == ("former_seconds",)
    with store.read() as connection:
        numbers = [one.number for one in read_secrets(connection, endpoint=name)]
    assert numbers == ([2, 1] if taken else [1])


def test_what_was_never_made_is_not_found(store: Store) -> None:
    name = made(store, URL).endpoint.endpoint
    announced(store, 1)
    works: list[Callable[[Connection], object]] = [
        lambda one: find_endpoint(one, endpoint="whe_none"),
        lambda one: retire_endpoint(one, endpoint="whe_none", reason="x", by="d", now_at=NOW_AT),
        lambda one: rotate_secret(one, endpoint="whe_none", former_s=0, by="d", now_at=NOW_AT),
        lambda one: sending_page(one, endpoint="whe_none", state=None, limit=1, cursor=None),
        lambda one: send_again(one, endpoint="whe_none", message="m", by="d", now_at=NOW_AT),
        lambda one: send_again(one, endpoint=name, message="msg_none", by="d", now_at=NOW_AT),
    ]
    for work in works:
        assert isinstance(refused(store, work), NotFoundError)


def test_a_message_of_another_endpoint_is_not_sent_again(store: Store) -> None:
    one, other = made(store, URL, kinds=["epoch.sealed"]), made(store, URL, kinds=ALL_KINDS[1:])
    announced(store, 1)
    (found,) = sendings(store, one)
    error = refused(
        store,
        lambda connection: send_again(
            connection,
            endpoint=other.endpoint.endpoint,
            message=found.message.message,
            by="dana",
            now_at=NOW_AT,
        ),
    )
    assert isinstance(error, NotFoundError)


def test_pages_of_endpoints_and_messages_hold_each_once(store: Store) -> None:
    names = [made(store, URL, now_at=NOW_AT + n // 2).endpoint.endpoint for n in range(5)]
    announced(store, *range(5))
    with store.read() as connection:
        found: list[str] = []
        cursor = None
        while True:
            page = endpoint_page(connection, limit=2, cursor=cursor)
            assert len(page.rows) <= 2
            found += [one.endpoint.endpoint for one in page.rows]
            if (cursor := page.cursor) is None:
                break
        assert sorted(found) == sorted(names)
        told: list[str] = []
        while True:
            sent = sending_page(
                connection, endpoint=names[0], state="pending", limit=2, cursor=cursor
            )
            told += [one.message.message for one in sent.rows]
            if (cursor := sent.cursor) is None:
                break
            last = cursor
        assert len(set(told)) == 5
        with pytest.raises(DocumentError, match="belongs to another question"):
            sending_page(connection, endpoint=names[0], state=None, limit=2, cursor=last)
        with pytest.raises(DocumentError, match="is not one that we gave"):
            endpoint_page(connection, limit=2, cursor="nonsense")


def test_the_audit_says_who_did_what_and_holds_no_secret(store: Store) -> None:
    found = made(store, URL, kinds=["epoch.sealed"])
    name = found.endpoint.endpoint
    with store.write() as connection:
        announced_to = rotate_secret(
            connection, endpoint=name, former_s=60, by="dana", now_at=NOW_AT
        )
        retire_endpoint(connection, endpoint=name, reason="moved", by="dana", now_at=NOW_AT)
    with store.read() as connection:
        entries = read_audit(connection, limit=10)
    assert [(one.command, one.subject, one.by) for one in entries] == [
        ("webhook add", name, "dana"),
        ("webhook rotate", name, "dana"),
        ("webhook retire", name, "dana"),
    ]
    for secret in (found.secret, announced_to.secret):
        assert all(secret not in one.detail for one in entries)


def test_how_far_messages_go_is_a_setting() -> None:
    assert reach_of(Settings()) == Reach()
    environment = {
        "TOKENWORKS_WEBHOOK_HTTP": "allowed",
        "TOKENWORKS_WEBHOOK_NETWORKS": "10.1.0.0/16, fd00::/8",
    }
    reach = reach_of(read_settings(environment))
    assert reach.schemes == ("https", "http")
    assert [str(one) for one in reach.networks] == ["10.1.0.0/16", "fd00::/8"]


@pytest.mark.parametrize("text", ["10.1.0.1/16", "10.1.0.0/33", "all", "10"])
def test_a_network_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_settings({"TOKENWORKS_WEBHOOK_NETWORKS": text})
    assert caught.value.where == "TOKENWORKS_WEBHOOK_NETWORKS"

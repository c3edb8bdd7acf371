"""API keys: made once, shown once, and let in exactly while they are in force."""

from __future__ import annotations

import re

import pytest

from billing.operations.api_key import (
    MadeKey,
    check_api_key,
    list_api_keys,
    make_api_key,
    revoke_api_key,
)
from billing.store.api_keys import Scope
from billing.store.audit import read_audit
from billing.store.store import Store
from pricing_rules.document import DocumentError

NOW_AT = 1_000


def made(
    store: Store, *, scope: Scope = "operator", account: str = "", expires_at: int | None = None
) -> str:
    return make_api_key(
        store,
        scope=scope,
        account=account,
        name="gateway",
        expires_at=expires_at,
        by="dana",
        now_at=NOW_AT,
    ).text


def test_a_key_has_a_prefix_that_is_shown_and_256_bits_that_are_not(store: Store) -> None:
    text = made(store)
    assert re.fullmatch(r"tw_[0-9a-f]{10}_[A-Za-z0-9_-]{43}", text)  # 43 x 6 bits >= 256
    assert made(store) != text
    listed = list_api_keys(store)
    assert len(listed) == 2
    assert text[:13] in {one.key.prefix for one in listed}
    assert text[14:] not in repr(listed)
    found = check_api_key(store, text=text, now_at=NOW_AT)
    assert found is not None
    assert (found.prefix, found.scope, found.account) == (text[:13], "operator", "")


@pytest.mark.parametrize("after, let_in", [(0, True), (1, True), (2, False), (3, False)])
def test_a_key_is_in_force_until_it_expires(store: Store, after: int, let_in: bool) -> None:
    text = made(store, expires_at=NOW_AT + 2)
    assert (check_api_key(store, text=text, now_at=NOW_AT + after) is not None) == let_in


def test_a_revoked_key_stays_as_it_was_revoked_first(store: Store) -> None:
    text = made(store)
    prefix = text[:13]
    first = revoke_api_key(store, prefix=prefix, reason="lost", by="dana", now_at=NOW_AT + 1)
    again = revoke_api_key(store, prefix=prefix, reason="again", by="eve", now_at=NOW_AT + 2)
    assert first == again
    assert first.revoked_at == NOW_AT + 1
    assert check_api_key(store, text=text, now_at=NOW_AT + 3) is None
    with store.read() as connection:
        audit = read_audit(connection, limit=9)
    assert [(one.command, one.subject, one.by) for one in audit] == [
        ("key make", prefix, "dana"),
        ("key revoke", prefix, "dana"),
    ]


def test_another_secret_behind_a_known_prefix_is_not_let_in(store: Store) -> None:
    text, other = made(store), made(store)
    assert check_api_key(store, text=text[:13] + other[13:], now_at=NOW_AT) is None


@pytest.mark.parametrize(
    "scope, account, said",
    [
        ("account", "", "account: a key of scope account belongs to one; name it"),
        ("operator", "a", "account: a key of scope operator belongs to no account; leave it out"),
        ("monitor", "a", "account: a key of scope monitor belongs to no account; leave it out"),
    ],
)
def test_a_scope_without_its_account_is_refused(
    store: Store, scope: Scope, account: str, said: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        made(store, scope=scope, account=account)
    assert str(caught.value) == said
    assert list_api_keys(store) == ()


@pytest.mark.parametrize("expires_at", [NOW_AT - 1, NOW_AT])
def test_a_key_that_has_expired_already_is_not_made(store: Store, expires_at: int) -> None:
    with pytest.raises(DocumentError, match=r"^expires_at: 1970-01-01T00:00:00.*Z has passed"):
        made(store, expires_at=expires_at)


def test_what_is_not_said_is_asked_for(store: Store) -> None:
    prefix = made(store)[:13]
    with pytest.raises(DocumentError, match=r"^reason: is empty"):
        revoke_api_key(store, prefix=prefix, reason=" ", by="dana", now_at=NOW_AT)
    with pytest.raises(DocumentError, match="key tw_x: was never made"):
        revoke_api_key(store, prefix="tw_x", reason="lost", by="dana", now_at=NOW_AT)
    with pytest.raises(DocumentError, match=r"^name: is empty"):
        make_api_key(
            store, scope="ingest", account="", name="", expires_at=None, by="me", now_at=NOW_AT
        )


@pytest.mark.parametrize(
    "requests_per_s, taken", [(0, False), (1, True), (10_000_000, True), (10_000_001, False)]
)
def test_a_key_may_have_a_limit_of_its_own(store: Store, requests_per_s: int, taken: bool) -> None:
    def make() -> MadeKey:
        return make_api_key(
            store,
            scope="operator",
            account="",
            name="few",
            expires_at=None,
            requests_per_s=requests_per_s,
            by="dana",
            now_at=NOW_AT,
        )

    if not taken:
        with pytest.raises(DocumentError, match=r"^requests_per_s: must be from 1 to 10,000,000"):
            make()
        return
    checked = check_api_key(store, text=make().text, now_at=NOW_AT)
    assert checked is not None
    assert checked.requests_per_s == requests_per_s
    assert list_api_keys(store)[0].key.requests_per_s == requests_per_s

"""What is due, who begins an attempt, and who settles it, on both kinds of database."""

from __future__ import annotations

import pytest

from billing.store.store import Store
from billing.store.webhooks import (
    Backlog,
    Retirement,
    Sending,
    append_endpoint,
    append_message,
    append_retirement,
    append_secret,
    begin_attempt,
    read_backlog,
    read_due,
    read_endpoint,
    read_endpoints,
    read_secrets,
    read_sending,
    read_sendings,
    send_anew,
    settle_attempt,
    wanting,
)
from tests.billing.store.made_webhooks import endpoint, message, secret

A, B = "whe_1", "whe_2"


def add(
    store: Store, *names: str, subject: str = "epochs", to: tuple[str, ...] = (A,), at: int = 2_000
) -> None:
    """Messages about a subject, pending at endpoints."""
    with store.write() as connection:
        for name in names:
            append_message(
                connection, message=message(name, subject=subject, recorded_at=at), endpoints=to
            )


def due(store: Store, *, now_at: int = 5_000, limit: int = 10, of_endpoint: int = 10) -> list[str]:
    """The messages that are due, as ENDPOINT/MESSAGE."""
    with store.read() as connection:
        found = read_due(connection, now_at=now_at, limit=limit, of_endpoint=of_endpoint)
    return [f"{one.endpoint}/{one.message.message}" for one in found]


def sending(store: Store, name: str = "m1", *, at: str = A) -> Sending:
    """A message at an endpoint, as it stands."""
    with store.read() as connection:
        found = read_sending(connection, endpoint=at, message=name)
    assert found is not None
    return found


def begin(store: Store, one: Sending, *, until_at: int = 9_000) -> bool:
    with store.write() as connection:
        return begin_attempt(connection, sending=one, until_at=until_at)


def settled(store: Store, one: Sending, *, state: str, at: int = 6_000) -> bool:
    with store.write() as connection:
        return settle_attempt(
            connection,
            sending=one,
            state=state,  # type: ignore[arg-type]
            status=None,
            error="",
            at=at,
        )


@pytest.fixture(autouse=True)
def endpoints(store: Store) -> None:
    with store.write() as connection:
        append_endpoint(connection, endpoint=endpoint(A))
        append_endpoint(connection, endpoint=endpoint(B, made_at=2_000))


def test_of_a_subject_only_the_oldest_pending_message_is_due(store: Store) -> None:
    add(store, "m1", "m2")
    add(store, "m3", subject="invoices/acme")
    assert due(store) == ["whe_1/m1", "whe_1/m3"]
    first = sending(store)
    assert begin(store, first)
    assert due(store) == ["whe_1/m3"]  # m2 waits for what becomes of m1
    assert settled(store, sending(store), state="pending", at=7_000)
    assert due(store, now_at=6_999) == ["whe_1/m3"]
    assert due(store, now_at=7_000) == ["whe_1/m3", "whe_1/m1"]
    assert begin(store, sending(store))
    assert settled(store, sending(store), state="delivered")
    assert due(store) == ["whe_1/m2", "whe_1/m3"]


@pytest.mark.parametrize("state", ["delivered", "given_up"])
def test_what_is_delivered_or_given_up_keeps_the_next_one_waiting_no_more(
    store: Store, state: str
) -> None:
    add(store, "m1", "m2", to=(A, B))
    begin(store, sending(store))
    settled(store, sending(store), state=state)
    assert due(store) == ["whe_2/m1", "whe_1/m2"]


@pytest.mark.parametrize(
    "now_at, found", [(1_999, []), (2_000, ["whe_1/m1"]), (2_001, ["whe_1/m1"])]
)
def test_a_message_is_due_from_its_moment_on(store: Store, now_at: int, found: list[str]) -> None:
    add(store, "m1")
    assert due(store, now_at=now_at) == found


def test_no_endpoint_takes_the_place_of_the_others(store: Store) -> None:
    for n in range(5):
        add(store, f"m{n}", subject=f"s{n}")
    add(store, "m9", to=(B,), at=3_000)
    assert due(store, of_endpoint=2) == ["whe_1/m0", "whe_1/m1", "whe_2/m9"]
    assert due(store, of_endpoint=2, limit=2) == ["whe_1/m0", "whe_1/m1"]


def test_an_attempt_is_begun_by_one(store: Store) -> None:
    add(store, "m1")
    seen = sending(store)
    assert begin(store, seen)
    assert not begin(store, seen)
    found = sending(store)
    assert (found.attempts, found.tries, found.next_at) == (1, 1, 9_000)


def test_until_it_ends_no_other_is_due_and_then_one_is(store: Store) -> None:
    add(store, "m1")
    begin(store, sending(store))
    assert due(store, now_at=8_999) == []
    assert due(store, now_at=9_000) == ["whe_1/m1"]


@pytest.mark.parametrize("state", ["pending", "delivered", "given_up"])
def test_an_attempt_that_was_overtaken_settles_nothing(store: Store, state: str) -> None:
    add(store, "m1")
    begin(store, sending(store))
    first = sending(store)  # its process is stopped here, for longer than its time
    begin(store, first)
    second = sending(store)
    assert not settled(store, first, state=state)
    assert sending(store) == second
    assert settled(store, second, state="delivered")
    assert not settled(store, first, state=state)
    assert not settled(store, second, state=state)
    assert sending(store).state == "delivered"


def test_a_message_that_is_asked_for_anew_is_pending_with_all_its_tries(store: Store) -> None:
    add(store, "m1", "m2")
    begin(store, sending(store))
    first = sending(store)
    settled(store, first, state="given_up")
    with store.write() as connection:
        send_anew(connection, sending=first, now_at=7_000)
    found = sending(store)
    assert (found.state, found.attempts, found.tries, found.settled_at) == ("pending", 1, 0, None)
    assert due(store, now_at=7_000) == ["whe_1/m1"]  # m2 waits again
    assert begin(store, found)
    # The number of an attempt is never used twice: the first one settles nothing still.
    assert not settled(store, first, state="delivered")


def test_what_is_pending_at_a_retired_endpoint_is_given_up(store: Store) -> None:
    add(store, "m1", to=(A, B))
    with store.write() as connection:
        append_retirement(
            connection,
            retirement=Retirement(endpoint=A, reason="moved", by="dana", retired_at=4_000),
        )
    assert due(store) == ["whe_2/m1"]
    assert (sending(store).state, sending(store).settled_at) == ("given_up", 4_000)
    with store.read() as connection:
        assert wanting(connection, kind="epoch.sealed", account="") == (B,)
        found = read_endpoint(connection, endpoint=A)
    assert found is not None
    assert (found.retired_at, found.reason) == (4_000, "moved")


def test_an_endpoint_of_an_account_wants_its_own_messages_alone(store: Store) -> None:
    kinds = '["invoice.finalized"]'
    with store.write() as connection:
        append_endpoint(connection, endpoint=endpoint("whe_3", account="acme", kinds=kinds))
        append_endpoint(connection, endpoint=endpoint("whe_4", kinds=kinds))
    with store.read() as connection:
        finalized = "invoice.finalized"
        assert wanting(connection, kind=finalized, account="acme") == ("whe_3", "whe_4")
        assert wanting(connection, kind=finalized, account="acm") == ("whe_4",)
        assert wanting(connection, kind="epoch.sealed", account="") == (A, B)
        assert wanting(connection, kind="agreement.accepted", account="acme") == ()


def test_the_backlog_is_what_is_pending_and_since_when(store: Store) -> None:
    with store.read() as connection:
        assert read_backlog(connection) == Backlog(pending=0, oldest_at=None)
    add(store, "m1", at=2_000)
    add(store, "m2", to=(A, B), at=3_000)
    with store.read() as connection:
        assert read_backlog(connection) == Backlog(pending=3, oldest_at=2_000)
    begin(store, sending(store))
    settled(store, sending(store), state="delivered")
    with store.read() as connection:
        assert read_backlog(connection) == Backlog(pending=2, oldest_at=3_000)


def test_messages_of_an_endpoint_are_read_in_their_order_in_parts(store: Store) -> None:
    add(store, "m2", "m1", "m3")
    add(store, "m4", to=(B,))
    begin(store, sending(store, "m1"))
    settled(store, sending(store, "m1"), state="given_up")
    with store.read() as connection:

        def read(**asked: object) -> list[str]:
            values = {"endpoint": A, "state": None, "after": None, "limit": 10, **asked}
            found = read_sendings(connection, **values)  # type: ignore[arg-type]
            return [one.message.message for one in found]

        assert read() == ["m2", "m1", "m3"]
        assert read(limit=2) == ["m2", "m1"]
        assert read(after=sending(store, "m1").message_seq) == ["m3"]
        assert read(state="pending") == ["m2", "m3"]
        assert read(state="given_up") == ["m1"]
        assert read_sending(connection, endpoint=B, message="m1") is None


def test_endpoints_and_secrets_are_read_in_their_order(store: Store) -> None:
    with store.write() as connection:
        append_endpoint(connection, endpoint=endpoint("whe_0", made_at=2_000))
        for number in (1, 2):
            append_secret(connection, secret=secret(number))
    with store.read() as connection:
        names = [one.endpoint.endpoint for one in read_endpoints(connection)]
        assert names == [A, "whe_0", B]
        after = [
            one.endpoint.endpoint for one in read_endpoints(connection, after=(2_000, "whe_0"))
        ]
        assert after == [B]
        assert len(read_endpoints(connection, limit=2)) == 2
        assert [one.number for one in read_secrets(connection, endpoint=A)] == [2, 1]
        assert read_secrets(connection, endpoint=B) == ()
        assert read_endpoint(connection, endpoint="whe_9") is None

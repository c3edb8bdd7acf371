"""Messages arrive at least once, in the order of their subject, signed, until a receiver gives up
(faults 12, 113).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from billing.operations.webhook import (
    retire_endpoint,
    rotate_secret,
    send_again,
    signing_secrets,
)
from billing.operations.webhook_sending import webhook_backlog
from billing.store.audit import read_audit
from billing.store.store import Store
from billing.store.webhooks import append_message, read_endpoint
from billing.webhooks.retries import PAUSES_S
from tests.billing.operations.made_ingest import NOW_AT
from tests.billing.operations.made_webhooks import (
    SECOND,
    Script,
    Sent,
    announced,
    epochs,
    made,
    sendings,
    states,
)
from tests.billing.store.made_webhooks import message, secret
from tests.billing.webhooks.receiver import Taken, receiving

DAY = 86_400


def test_a_message_arrives_once_with_what_was_announced(store: Store) -> None:
    with receiving() as receiver:
        endpoint = made(store, receiver.url())
        announced(store, 7)
        sent = Sent(store=store)
        assert sent.drain() == Counter(delivered=1)
        assert sent.drain() == Counter()
    (taken,) = receiver.taken
    assert taken.text == (
        '{"data":{"epoch":7,"sealed_at":"2026-11-02T08:00:00Z"},'
        '"timestamp":"2026-11-02T08:00:00Z","type":"epoch.sealed"}'
    )
    assert taken.verified(endpoint.secret, now_at=NOW_AT)["type"] == "epoch.sealed"
    (found,) = sendings(store, endpoint)
    assert (found.state, found.attempts, found.status, found.error) == ("delivered", 1, 204, "")
    assert found.message.message == taken.message


def test_each_endpoint_gets_it_with_its_own_secret(store: Store) -> None:
    with receiving() as one, receiving() as other:
        first, second = made(store, one.url()), made(store, other.url())
        announced(store, 1)
        assert Sent(store=store).drain() == Counter(delivered=2)
    assert one.messages == other.messages
    assert one.taken[0].verified(first.secret, now_at=NOW_AT)
    assert other.taken[0].verified(second.secret, now_at=NOW_AT)
    assert first.secret != second.secret


def test_an_endpoint_gets_what_happens_after_it_was_made(store: Store) -> None:
    with receiving() as receiver:
        announced(store, 1)
        endpoint = made(store, receiver.url())
        announced(store, 2)
        Sent(store=store).drain()
    assert epochs(receiver) == [2]
    assert states(store, endpoint) == ["delivered"]


def test_it_is_tried_ten_times_over_three_days_with_one_id_and_then_given_up(
    store: Store,
) -> None:
    with receiving(lambda taken: 500) as receiver:
        endpoint = made(store, receiver.url())
        announced(store, 1, 2)
        sent = Sent(store=store)
        assert sent.drain() == Counter(failed=1)
        for tries, pause_s in enumerate(PAUSES_S, start=2):
            sent.clock.move(pause_s - 0.000001)
            assert sent.drain() == Counter()  # not due yet
            sent.clock.move(0.000001)
            last = tries == 10
            # The second message waits for the first; then its own tries begin.
            assert sent.drain() == (Counter(given_up=1, failed=1) if last else Counter(failed=1))
        assert states(store, endpoint) == ["given_up", "pending"]
    assert epochs(receiver) == [1] * 10 + [2]
    assert len(set(receiver.messages)) == 2
    moments = [int(one.headers["webhook-timestamp"]) for one in receiver.taken]
    assert [b - a for a, b in pairwise(moments)] == [*PAUSES_S, 0]
    assert {one.text for one in receiver.taken[:10]} == {receiver.taken[0].text}
    (found, _) = sendings(store, endpoint)
    assert (found.attempts, found.status, found.error) == (10, 500, "it answered 500")


def test_a_later_message_of_the_subject_waits_and_others_do_not(store: Store) -> None:
    busy = [503]

    def answer(taken: Taken) -> int:
        return busy.pop() if busy and taken.body["data"]["epoch"] == 1 else 204

    with receiving(answer) as receiver:
        made(store, receiver.url())
        announced(store, 1, 2)
        announced(store, 10, subject="others")
        sent = Sent(store=store)
        assert sent.drain() == Counter(failed=1, delivered=1)
        assert sorted(epochs(receiver)) == [1, 10]
        sent.clock.move(5)
        assert sent.drain() == Counter(delivered=2)
    assert epochs(receiver)[2:] == [1, 2]


@pytest.mark.parametrize("asked, due_after_s", [("3", 5), ("60", 60), ("999999", DAY)])
def test_a_receiver_says_when_it_wants_it_again(store: Store, asked: str, due_after_s: int) -> None:
    with receiving(Script([(429, {"retry-after": asked})])) as receiver:
        endpoint = made(store, receiver.url())
        announced(store, 1)
        sent = Sent(store=store)
        sent.drain()
        (found,) = sendings(store, endpoint)
        assert found.next_at == NOW_AT + due_after_s * SECOND
        sent.clock.move(due_after_s)
        assert sent.drain() == Counter(delivered=1)


def test_an_endpoint_that_is_gone_is_retired_and_gets_nothing_more(store: Store) -> None:
    with receiving(lambda taken: 410) as receiver:
        endpoint = made(store, receiver.url())
        announced(store, 1, 2)
        announced(store, 3, subject="others")
        assert Sent(store=store).drain()["given_up"] >= 1
        announced(store, 4)
        assert Sent(store=store).drain() == Counter()
    assert states(store, endpoint) == ["given_up"] * 3
    assert 1 <= len(receiver.taken) <= 2  # two subjects may be under way at once
    with store.read() as connection:
        found = read_endpoint(connection, endpoint=endpoint.endpoint.endpoint)
        (audit,) = [
            one for one in read_audit(connection, limit=100) if one.command == "webhook retire"
        ]
    assert found is not None
    assert (found.reason, found.retired_at) == ("it answered 410 Gone", NOW_AT)
    assert audit.by == "tokenworks"


def test_an_endpoint_that_was_retired_meanwhile_gets_nothing(store: Store) -> None:
    with receiving() as receiver:
        endpoint = made(store, receiver.url())
        announced(store, 1)
        with store.write() as connection:
            retire_endpoint(
                connection,
                endpoint=endpoint.endpoint.endpoint,
                reason="moved",
                by="dana",
                now_at=NOW_AT,
            )
        assert Sent(store=store).drain() == Counter()
    assert receiver.taken == []
    assert webhook_backlog(store).pending == 0


def test_what_was_announced_while_its_endpoint_was_retired_is_given_up(store: Store) -> None:
    # The fact read who wants to know of it just before the retirement, and was stored just after.
    with receiving() as receiver:
        endpoint = made(store, receiver.url())
        other = made(store, receiver.url("/other"))
        name = endpoint.endpoint.endpoint
        with store.write() as connection:
            retire_endpoint(connection, endpoint=name, reason="moved", by="dana", now_at=NOW_AT)
            late = replace(message(), recorded_at=NOW_AT)
            append_message(connection, message=late, endpoints=[name, other.endpoint.endpoint])
        assert Sent(store=store).drain() == Counter(delivered=1)
    assert [one.path for one in receiver.taken] == ["/other"]
    assert states(store, endpoint) == ["given_up"]


def test_a_message_is_sent_again_with_its_id_when_it_is_asked_for(store: Store) -> None:
    with receiving(Script([204, 500])) as receiver:
        endpoint = made(store, receiver.url())
        announced(store, 1)
        sent = Sent(store=store)
        sent.drain()
        (name,) = receiver.messages
        with store.write() as connection:
            asked = send_again(
                connection,
                endpoint=endpoint.endpoint.endpoint,
                message=name,
                by="dana",
                now_at=NOW_AT,
            )
        assert (asked.state, asked.tries) == ("pending", 0)
        assert sent.drain() == Counter(failed=1)
        sent.clock.move(5)
        assert sent.drain() == Counter(delivered=1)
    assert receiver.messages == [name] * 3
    (found,) = sendings(store, endpoint)
    assert (found.attempts, found.tries) == (3, 2)


def test_while_a_secret_rotates_both_sign_and_after_it_the_new_one_alone(store: Store) -> None:
    with receiving() as receiver:
        old = made(store, receiver.url())
        name = old.endpoint.endpoint
        with store.write() as connection:
            new = rotate_secret(connection, endpoint=name, former_s=60, by="dana", now_at=NOW_AT)
        sent = Sent(store=store)
        for epoch in (1, 2, 3):
            announced(store, epoch, now_at=sent.clock.now_at)
            sent.drain()
            sent.clock.move(59.999999 if epoch == 1 else 0.000001)
        lost = rotated(store, name, former_s=0, now_at=sent.clock.now_at)
        announced(store, 4, now_at=sent.clock.now_at)
        sent.drain()
    signed = [len(one.headers["webhook-signature"].split()) for one in receiver.taken]
    assert signed == [2, 2, 1, 1]  # at once, just below a minute, at a minute; nothing before lost
    assert receiver.taken[1].verified(old.secret, now_at=NOW_AT + 60 * SECOND)
    assert receiver.taken[2].verified(new.secret, now_at=NOW_AT + 60 * SECOND)
    assert receiver.taken[3].verified(lost, now_at=sent.clock.now_at)


def rotated(store: Store, name: str, *, former_s: int, now_at: int) -> str:
    with store.write() as connection:
        return rotate_secret(
            connection, endpoint=name, former_s=former_s, by="dana", now_at=now_at
        ).secret


def test_no_secret_signs_longer_than_each_rotation_after_it_allows() -> None:
    known = [
        secret(3, former_until_at=50),
        secret(2, former_until_at=100),
        secret(1),
    ]
    assert [len(signing_secrets(known, now_at=at)) for at in (49, 50, 99, 100)] == [3, 1, 1, 1]
    known[0] = secret(3, former_until_at=200)
    assert [len(signing_secrets(known, now_at=at)) for at in (99, 100, 199, 200)] == [3, 2, 2, 1]

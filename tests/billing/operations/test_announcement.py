"""What comes to be is announced in its own transaction, to those who want it, and once."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from billing.operations.announcement import announce
from billing.operations.epoch import seal_epoch
from billing.store.price_books import read_price_books
from billing.store.store import Connection, Store
from billing.store.whole import read_all_invoices
from billing.webhooks.messages import KINDS, OF_ACCOUNTS, Kind, message_data
from pricing_rules.document import DocumentError, dump, load_json
from tests.billing.operations.made_backfill import backfilled, inputs, reverted
from tests.billing.operations.made_corrections import (
    amend,
    correct,
    take_back,
    take_in,
    usage,
    void,
)
from tests.billing.operations.made_ingest import NOW_AT
from tests.billing.operations.made_store import (
    IN_NOVEMBER_AT,
    PLAIN,
    accept,
    closed,
    deliver,
    invoices,
    publish,
    row_counts,
)
from tests.billing.operations.made_webhooks import ALL_KINDS, announced, made, sendings
from tests.journeys.made_files import event

URL = "https://example.com/hooks"


def told(store: Store, endpoint: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """Kind, subject and data of the messages of an endpoint; each has the schema of its kind."""
    found = []
    for one in sendings(store, endpoint):
        form = KINDS[one.message.kind]
        data = dump(load_json(form, one.message.data.encode(), name="message"))
        found.append((one.message.kind, one.message.subject, data))
    return found


def test_from_price_book_to_invoice_each_step_is_told_in_order(
    store: Store, tmp_path: Path
) -> None:
    endpoint = made(store, URL)
    book = publish(store, PLAIN).book
    agreement = accept(store, tmp_path)
    deliver(store, tmp_path, [event(1, {"input_tokens": 8_000_000})])
    closed(store)
    (invoice,) = invoices(store)
    with store.read() as connection:
        (stored,) = read_price_books(connection, series="s")
        (row,) = read_all_invoices(connection)
    month = {"start_at": "2026-10-01T00:00:00Z", "end_at": "2026-11-01T00:00:00Z"}
    assert told(store, endpoint) == [
        (
            "price_book.published",
            "price_books/s",
            {
                "series": "s",
                "number": 1,
                "currency": "USD",
                "effective_from": dump(book)["effective_from"],
                "published_at": "2026-09-01T00:00:00Z",
                "digest": stored.digest,
            },
        ),
        (
            "agreement.accepted",
            "agreements/a",
            {
                "account": "a",
                "version": 1,
                "effective_from": "2026-09-01T00:00:00Z",
                "digest": agreement.digest,
            },
        ),
        ("epoch.sealed", "epochs", {"epoch": 1, "sealed_at": "2026-11-02T00:00:00Z"}),
        (
            "invoice.finalized",
            "invoices/a",
            {
                "account": "a",
                "issuer": "Example Tokens",
                "number": invoice.number,
                **month,
                "through_epoch": 1,
                "currency": "USD",
                "total_minor": 1_600,  # 8M at 2 per million
                "digest": row.digest,
            },
        ),
    ]
    # Done again, nothing comes to be and nothing is told.
    before = row_counts(store)
    publish(store, PLAIN)
    accept(store, tmp_path)
    closed(store)
    after = row_counts(store)
    assert {name for name in after if after[name] != before[name]} <= {"audit"}


def test_corrections_and_backfills_of_an_account_are_one_subject(store: Store) -> None:
    endpoint = made(store, URL, kinds=["event.corrected", "backfill.applied"], account="a")
    take_in(store, usage("x1"), usage("x2"), usage("y1", account="b"))
    first, second, refused = correct(
        store, void("x1"), amend("x2", usage("x3", 20)), void("unknown")
    )
    correct(store, void("y1"))
    take_back(store, str(first.correction))
    backfilled(store, [inputs(1), inputs(2)])
    reverted(store)
    assert refused.verdict == "rejected"
    found = told(store, endpoint)
    assert {subject for _, subject, _ in found} == {"usage/a"}
    seen = [
        (kind, data.get("correction_kind"), data.get("reverts"), data.get("backfill"))
        for kind, _, data in found
    ]
    assert seen == [
        ("event.corrected", "void", None, None),
        ("event.corrected", "amend", None, None),
        ("event.corrected", "reversal", first.correction, None),
        ("backfill.applied", None, None, "bf_1"),
        ("event.corrected", "reversal", "bf_1", None),
    ]
    assert [data["correction"] for _, _, data in found[:2]] == [
        first.correction,
        second.correction,
    ]


def test_an_endpoint_of_an_account_is_told_of_it_alone(store: Store, tmp_path: Path) -> None:
    own = made(store, URL, kinds=OF_ACCOUNTS, account="b")
    others = made(store, URL, kinds=["agreement.accepted"])
    publish(store, PLAIN)
    for account in ("a", "b"):
        accept(store, tmp_path, account=account)
    assert [data["account"] for _, _, data in told(store, own)] == ["b"]
    assert [data["account"] for _, _, data in told(store, others)] == ["a", "b"]


def test_where_nobody_wants_it_nothing_is_stored(store: Store) -> None:
    made(store, URL, kinds=["invoice.finalized"])
    announced(store, 1)
    counts = row_counts(store)
    assert (counts["webhook_messages"], counts["webhook_sendings"]) == (0, 0)


def test_what_does_not_come_to_be_is_not_told(store: Store) -> None:
    endpoint = made(store, URL)

    def undone(connection: Connection) -> None:
        announce(
            connection,
            kind="epoch.sealed",
            account="",
            subject="epochs",
            data={"epoch": 1, "sealed_at": "2026-11-02T00:00:00Z"},
            now_at=NOW_AT,
        )
        raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        store.beside(undone)
    seal_epoch(store, by="dana", now_at=IN_NOVEMBER_AT)
    seal_epoch(store, by="dana", now_at=IN_NOVEMBER_AT + 1)  # nothing came: nothing is sealed
    assert [data["epoch"] for _, _, data in told(store, endpoint)] == [1]


def test_a_message_that_is_not_of_its_kind_is_a_bug() -> None:
    with pytest.raises(DocumentError, match="sealed_at"):
        message_data("epoch.sealed", data={"epoch": 1})
    with pytest.raises(DocumentError, match="unknown field"):
        message_data("epoch.sealed", data={"epoch": 1, "sealed_at": "2026-11-02T00:00:00Z", "x": 1})
    with pytest.raises(KeyError):
        message_data("epoch.opened", data={})


def test_the_kinds_are_those_that_an_endpoint_may_ask_for() -> None:
    assert set(get_args(Kind)) == set(KINDS) == set(ALL_KINDS)


def test_messages_of_a_subject_are_numbered_in_the_order_of_their_commits(
    store: Store, database: str
) -> None:
    endpoint = made(store, URL)
    first_is_in, second_began = threading.Event(), threading.Event()
    ended: list[int] = []

    def sealed(connection: Connection, epoch: int) -> None:
        announce(
            connection,
            kind="epoch.sealed",
            account="",
            subject="epochs",
            data={"epoch": epoch, "sealed_at": "2026-11-02T00:00:00Z"},
            now_at=NOW_AT,
        )

    def first(connection: Connection) -> None:
        sealed(connection, 1)
        first_is_in.set()
        assert second_began.wait(10)
        time.sleep(0.2)  # long enough for the second to be numbered, were it not made to wait
        ended.append(1)

    def second(connection: Connection) -> None:
        assert first_is_in.wait(10)
        second_began.set()
        sealed(connection, 2)
        ended.append(2)

    threads = [threading.Thread(target=store.beside, args=(one,)) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended == [1, 2]
    assert [data["epoch"] for _, _, data in told(store, endpoint)] == [1, 2]

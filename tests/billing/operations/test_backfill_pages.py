"""Pages of backfills show each once, whatever the clocks said when they were opened."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from billing.operations.backfill import ShownBackfill, backfill_page, open_backfill
from billing.operations.cursor import Page
from billing.store.store import Connection, Store
from pricing_rules.document import DocumentError
from tests.billing.operations.made_backfill import OCTOBER
from tests.billing.operations.made_ingest import NOW_AT


def open_one(connection: Connection, name: str, *, now_at: int, account: str = "a") -> None:
    open_backfill(
        connection, backfill=name, account=account, period=OCTOBER, reason="r", by="dana",
        now_at=now_at,
    )  # fmt: skip


def page(store: Store, *, cursor: str | None, limit: int = 2) -> Page[ShownBackfill]:
    return backfill_page(store, account="a", limit=limit, cursor=cursor)


def names(found: Page[ShownBackfill]) -> list[str]:
    return [one.backfill.backfill for one in found.rows]


def test_backfills_that_are_opened_meanwhile_are_on_later_pages(store: Store) -> None:
    with store.write() as connection:
        for name in ("bf_5", "bf_4", "bf_3"):  # one moment, and names that go down
            open_one(connection, name, now_at=NOW_AT)
    first = page(store, cursor=None)
    with store.write() as connection:
        open_one(connection, "bf_2", now_at=NOW_AT)
        open_one(connection, "bf_1", now_at=NOW_AT - 1)  # the clock went back
    second = page(store, cursor=first.cursor)
    third = page(store, cursor=second.cursor)
    assert [names(one) for one in (first, second, third)] == [
        ["bf_5", "bf_4"],
        ["bf_3", "bf_2"],
        ["bf_1"],
    ]
    assert third.cursor is None


def test_one_that_is_opened_beside_another_is_not_seen_before_it(store: Store) -> None:
    with ThreadPoolExecutor(1) as pool:

        def both(connection: Connection) -> Future[None]:
            open_one(connection, "bf_1", now_at=NOW_AT)
            second = pool.submit(store.beside, lambda other: open_one(other, "bf_2", now_at=NOW_AT))
            wait([second], timeout=0.3)  # it has come as far as it can
            # A reader who saw bf_2 now would go on after it, and never see bf_1.
            assert names(page(store, cursor=None)) == []
            return second

        store.beside(both).result()
    assert names(page(store, cursor=None)) == ["bf_1", "bf_2"]


def test_a_page_is_of_an_account_that_has_a_name(store: Store) -> None:
    with pytest.raises(DocumentError, match="account: string should have at most 200 characters"):
        backfill_page(store, account="a" * 201, limit=1, cursor=None)

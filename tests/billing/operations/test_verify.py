"""Verifying a store: it adds up after the operations, and each planted damage is named.

The damage is planted on a copy, past the triggers and the keys, as a person with an editor would.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from billing.operations.grid import rebuild
from billing.operations.stored_invoice import show_stored
from billing.operations.verify import VerifyReport, verify
from billing.store.store import Store, open_store
from pricing_rules.document import DocumentError, bytes_digest
from tests.billing.operations.made_store import (
    IN_DECEMBER_AT,
    IN_NOVEMBER_AT,
    accept,
    closed,
    deliver,
    ladder_books,
    publish,
)
from tests.journeys.made_files import event

M = 1_000_000


@pytest.fixture
def billed(store: Store, store_path: Path, tmp_path: Path) -> Path:
    """Two accounts and two months: three invoices, one of them with a correction."""
    for value in ladder_books():
        publish(store, value)
    for account in "ab":
        accept(store, tmp_path, account=account)
    first = event(1, {"input_tokens": 8 * M})
    again = {**first, "account": "b"}  # the same identity: a conflict
    usage = [first, event(2, {"input_tokens": 5 * M}, account="b"), again, {**first, "id": "e3"}]
    deliver(store, tmp_path, usage)
    closed(store)
    late = [
        event(4, {"input_tokens": 3 * M}),
        event(5, {"input_tokens": M}, time="2026-11-03T00:00:00Z"),
    ]
    deliver(store, tmp_path, late, now_at=IN_NOVEMBER_AT + 5 * 86_400 * M)
    closed(store, "2026-11", now_at=IN_DECEMBER_AT)
    store.close()
    return store_path


def _verified(path: Path) -> VerifyReport:
    with open_store(path) as store:
        return verify(store)


@contextmanager
def _editor(path: Path) -> Iterator[sqlite3.Connection]:
    """The file with its triggers dropped and its keys and checks off."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("PRAGMA ignore_check_constraints=ON")
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
    for (name,) in triggers.fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    yield connection
    connection.commit()
    connection.close()


def test_a_store_adds_up_with_its_numbers(billed: Path) -> None:
    report = _verified(billed)
    found = {one.name: one.text() for one in report.verified.equations}
    assert report.holds
    # 6 rows came in, one of them a conflict.
    assert found["received"] == ("received 6 = accepted 5 + duplicate 0 + conflict 1 + rejected 0")
    assert found["accepted"] == "accepted 5 = events 5"
    assert found["states"] == (
        "accepted 5 = billed 5 + unbilled 0 + unpriced 0 + not billable 0 + waived 0 + voided 0"
    )
    # a: 16M + 3M late + 1M in November; b: 5M.
    assert found["lines"] == "lines 25,000,000 = totals 25,000,000"
    assert found["documents"] == "digests 3 = invoices 3"
    assert found["audit"] == "invoices finalized 3 = invoices 3"
    assert found["numbers of INV, Example Tokens"] == "invoices 3 = numbers taken 3"


def test_an_empty_store_adds_up(store: Store) -> None:
    assert verify(store).holds


def test_usage_that_is_not_closed_is_unbilled(store: Store, tmp_path: Path) -> None:
    for value in ladder_books():
        publish(store, value)
    accept(store, tmp_path)
    units = {"input_tokens": M}
    # Of another model, so in another cell: the events of one cell share its state.
    unpriced = event(2, units, model="n")
    before = event(3, units, time="2026-08-01T00:00:00Z")
    deliver(store, tmp_path, [event(1, units), unpriced, before, event(4, units, account="x")])
    report = verify(store)
    (states,) = (one for one in report.verified.equations if one.name == "states")
    # Before the agreement, and without one, there is nobody to bill.
    assert (dict(states.right)["unbilled"], dict(states.right)["unpriced"]) == (3, 1)
    assert report.holds


def test_stale_totals_are_no_damage(store: Store, tmp_path: Path) -> None:
    first, second = ladder_books()
    publish(store, first)
    accept(store, tmp_path)
    late = event(2, {"input_tokens": M}, time="2026-10-20T00:00:00Z")
    deliver(store, tmp_path, [event(1, {"input_tokens": M}), late])
    publish(
        store, {**second, "supersedes": {"number": 1, "reason": "x"}}, published_at=IN_DECEMBER_AT
    )
    assert verify(store).holds


Plant = Callable[[sqlite3.Connection], object]


def _sql(*statements: str) -> Plant:
    return lambda connection: [connection.execute(one) for one in statements]


def _payer_renamed(connection: sqlite3.Connection) -> None:
    (document,) = connection.execute("SELECT document FROM invoices WHERE number = 1").fetchone()
    edited = document.replace("a Inc.", "b Inc.")
    connection.execute(
        "UPDATE invoices SET document = ?, digest = ? WHERE number = 1",
        (edited, bytes_digest(edited.encode())),
    )


DAMAGES: dict[str, tuple[Plant, str, str]] = {
    "a total that is off by one": (
        _sql(
            "UPDATE usage_totals SET leaves = '{\"input_tokens\":5000001}' WHERE account = 'b'",
        ),
        "total",
        "account b, input_tokens",
    ),
    "a number of events that is off by one": (
        _sql("UPDATE usage_totals SET events = events - 1 WHERE account = 'b'"),
        "total",
        "account b, requests",
    ),
    "a missing event": (
        _sql("DELETE FROM events WHERE id = 'e2'"),
        "missing_event",
        "event gw/e2",
    ),
    "an extra event": (
        _sql(
            "INSERT INTO events SELECT 99, owner, source, 'ghost', account, occurred_at, timed_by, "
            "model, service_tier, region, request_tokens, outcome, dimensions, units, epoch, "
            "received_at FROM events WHERE id = 'e1'"
        ),
        "extra_event",
        "event gw/ghost",
    ),
    "a doubled line": (
        _sql(
            "INSERT INTO invoice_lines SELECT issuer, series, number, 2, kind, period_start_at, "
            "model, service_tier, unit, quantity, amount_exact, amount_minor FROM invoice_lines "
            "WHERE number = 1"
        ),
        "line_extra",
        "invoice INV-2026-000001, line 2",
    ),
    "an edited document": (
        _sql("UPDATE invoices SET document = replace(document, 'a Inc.', 'b Inc.')"),
        "document_changed",
        "invoice INV-2026-000001",
    ),
    "a gap in the numbers": (
        _sql("UPDATE invoices SET number = 7 WHERE number = 2"),
        "number_gap",
        "series INV of Example Tokens",
    ),
    "a transaction that does not balance": (
        _sql(
            "UPDATE ledger_entries SET amount_minor = amount_minor + 1 WHERE ledger_account = "
            "'receivable:b'"
        ),
        "transaction_unbalanced",
        "transaction invoice:Example Tokens:INV-2026-000002",
    ),
    "a transaction that is missing": (
        _sql(
            "DELETE FROM ledger_transactions WHERE number = 3",
            "DELETE FROM ledger_entries WHERE transaction_id LIKE '%000003'",
        ),
        "transaction_missing",
        "transaction invoice:Example Tokens:INV-2026-000003",
    ),
    "a transaction that lost its head": (
        _sql("DELETE FROM ledger_transactions WHERE number = 3"),
        "transaction_missing",
        "transaction invoice:Example Tokens:INV-2026-000003",
    ),
    "an invoice that says another epoch": (
        _sql("UPDATE invoices SET through_epoch = 1 WHERE number = 3"),
        "cover",
        "invoice INV-2026-000003",
    ),
    "a delivery that counted wrong": (
        _sql("UPDATE deliveries SET accepted = accepted + 1 WHERE received = 4"),
        "delivery_counter",
        "delivery sha256:",
    ),
    "a delivery that counted an event too many, twice": (
        _sql(
            "UPDATE deliveries SET accepted = accepted + 1, received = received + 1 "
            "WHERE received = 4"
        ),
        "delivery_counter",
        "deliveries",
    ),
    "totals in another segment": (
        _sql("UPDATE usage_totals SET segment_start_at = 5 WHERE account = 'b'"),
        "total",
        "account b, epoch 1, segment from 1970-01-01T00:00:00.000005Z, m in standard",
    ),
    "an event of another account": (
        _sql("UPDATE event_ids SET account = 'a' WHERE id = 'e2'"),
        "changed_event",
        "event gw/e2",
    ),
    "a version of the grid that is gone": (
        _sql("DELETE FROM grid_versions WHERE version = 2"),
        "total",
        "account b",
    ),
    "totals of which nothing says how they were cut": (
        _sql("DELETE FROM account_grids WHERE account = 'b'"),
        "total",
        "account b",
    ),
    "the last invoice removed without a trace in numbers or ledger": (
        _sql(
            "DELETE FROM ledger_entries WHERE transaction_id LIKE '%000003'",
            "DELETE FROM ledger_transactions WHERE number = 3",
            "DELETE FROM invoice_lines WHERE number = 3",
            "DELETE FROM invoices WHERE number = 3",
            "UPDATE number_series SET next_number = 3",
        ),
        "audit",
        "invoice INV-2026-000003",
    ),
    "an edited document with a digest to match": (
        _payer_renamed,
        "audit",
        "invoice INV-2026-000001",
    ),
    "a changed price book": (
        _sql("""UPDATE price_books SET document = replace(document, '"0.90"', '"0.91"')"""),
        "document_changed",
        "price book s number 2",
    ),
    "a changed agreement": (
        _sql("UPDATE agreements SET document = replace(document, 'a Inc.', 'c Inc.')"),
        "document_changed",
        "agreement of a, version 1",
    ),
}


@pytest.mark.parametrize("planted", DAMAGES)
def test_planted_damage_is_named(billed: Path, planted: str) -> None:
    plant, kind, where = DAMAGES[planted]
    with _editor(billed) as connection:
        plant(connection)
    report = _verified(billed)
    assert not report.holds
    found = [(one.kind, one.where) for one in report.verified.damage]
    assert [one for one in found if one[0] == kind and one[1].startswith(where)], found


@pytest.mark.parametrize(
    "edit",
    [
        "leaves = '{'",
        "leaves = replace(leaves, ':', ': ')",
        "leaves = replace(leaves, 'input_tokens', 'inputs')",
        "leaves = replace(leaves, 'input_tokens', 'requests')",
        "dimensions = '[]'",
    ],
)
def test_a_total_that_nobody_wrote_so_is_the_one_damage_until_it_is_rebuilt(
    billed: Path, edit: str
) -> None:
    with _editor(billed) as connection:
        connection.execute(f"UPDATE usage_totals SET {edit} WHERE account = 'b'")
    (found,) = _verified(billed).verified.damage
    assert (found.kind, found.where) == (
        "total",
        "account b, epoch 1, segment from 2026-10-01T00:00:00Z, m in standard",
    )
    assert found.sentence == (
        "its total is not written as this program writes it; "
        "run tokenworks grid rebuild --account b"
    )
    with open_store(billed) as store:
        rebuild(store, accounts=["b"], by="dana", now_at=IN_DECEMBER_AT)
        assert verify(store).holds


def test_a_total_that_nobody_wrote_so_blocks_its_account_alone(
    billed: Path, tmp_path: Path
) -> None:
    at = IN_DECEMBER_AT + 86_400 * M
    with open_store(billed) as store:
        late = [event(10 + i, {"input_tokens": M}, account=a) for i, a in enumerate("ab")]
        deliver(store, tmp_path, late, now_at=at)
    with _editor(billed) as connection:
        connection.execute("UPDATE usage_totals SET leaves = '[]' WHERE account = 'a'")
    with open_store(billed) as store:
        first, second = closed(store, "2026-11", now_at=at).periods
    assert first.state == "blocked"
    assert "run tokenworks grid rebuild --account a" in first.blocked_by[0]
    assert (second.account, second.state) == ("b", "invoiced")


def test_a_changed_invoice_is_refused_by_name(billed: Path) -> None:
    with _editor(billed) as connection:
        connection.execute("UPDATE invoices SET document = replace(document, '2230', '1230')")
        connection.execute("UPDATE invoices SET document = replace(document, 'a Inc.', 'b Inc.')")
    with open_store(billed) as store, pytest.raises(DocumentError) as caught:
        show_stored(store, number="INV-2026-000001", issuer=None)
    assert caught.value.where == "invoice INV-2026-000001"


def test_a_changed_invoice_blocks_its_account_alone(billed: Path, tmp_path: Path) -> None:
    with _editor(billed) as connection:
        connection.execute("UPDATE invoices SET document = replace(document, 'a Inc.', 'c Inc.')")
    at = IN_DECEMBER_AT + 86_400 * M
    with open_store(billed) as store:
        # Late usage of October: what was invoiced for it must be read.
        late = [event(10 + i, {"input_tokens": M}, account=a) for i, a in enumerate("ab")]
        deliver(store, tmp_path, late, now_at=at)
        first, second = closed(store, "2026-11", now_at=at).periods
    assert first.state == "blocked"
    assert first.blocked_by[0].startswith("invoice INV-2026-000001: was changed after")
    assert (second.account, second.state) == ("b", "invoiced")

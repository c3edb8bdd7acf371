"""Invoices: numbers without gaps (I25), lines, pages (I47), and the ledger (I30, I31)."""

from __future__ import annotations

import pytest

from billing.store.invoices import (
    BilledLine,
    InvoiceNumber,
    append_invoice,
    list_invoices,
    read_account_invoices,
    read_billed_lines,
    read_invoice,
    read_invoice_lines,
    take_number,
)
from billing.store.ledger import (
    LedgerBalance,
    LedgerEntry,
    LedgerTransaction,
    append_transaction,
    read_balances,
    read_entries,
    read_invoice_transactions,
    read_transaction,
)
from billing.store.store import Connection, Store
from tests.billing.store.made_rows import invoice, line, post


def number(connection: Connection, *, series: str = "2026") -> int:
    """The next number of a series of ours."""
    return take_number(connection, issuer="us", series=series)


def test_numbers_follow_one_another_in_each_series(store: Store) -> None:
    with store.write() as connection:
        assert [number(connection) for _ in range(3)] == [1, 2, 3]
        assert number(connection, series="2027") == 1
        assert take_number(connection, issuer="them", series="2026") == 1
        assert number(connection) == 4


def test_a_number_that_was_rolled_back_is_taken_again(store: Store) -> None:
    with store.write() as connection:
        assert number(connection) == 1
    taken = []
    with pytest.raises(ZeroDivisionError), store.write() as connection:
        taken.append(number(connection) // (number(connection) - 3))  # 2 // (3 - 3)
    assert not taken
    with store.write() as connection:
        assert number(connection) == 2


def test_an_invoice_comes_back_with_its_lines_in_order(store: Store) -> None:
    lines = [line(number=1), line(number=2, amount_exact="1/3", quantity=-3)]
    with store.write() as connection:
        append_invoice(connection, invoice=invoice(total_minor=-5), lines=lines[::-1])
        found = read_invoice(connection, issuer="us", series="2026", number=1)
        assert found == invoice(total_minor=-5)
        assert read_invoice_lines(connection, issuer="us", series="2026", number=1) == tuple(lines)
        assert read_invoice(connection, issuer="us", series="2026", number=2) is None


def test_all_that_was_billed_for_a_period_is_found_on_later_invoices_too(store: Store) -> None:
    # Invoice 1 bills the period at 0 with 22.30, invoice 2 bills that at 1,000 and corrects 0 by
    # 3.20; the invoice of another account is not theirs.
    correction = line(number=2, amount_exact="3.20", quantity=3)
    with store.write() as connection:
        append_invoice(
            connection,
            invoice=invoice(number=2, period_start_at=1_000, through_epoch=2),
            lines=[line(period_start_at=1_000), correction],
        )
        append_invoice(connection, invoice=invoice(number=1), lines=[line()])
        append_invoice(connection, invoice=invoice(number=3, account="globex"), lines=[line()])
        billed = read_billed_lines(connection, account="acme", period_start_at=0)
        assert [one.number for one in read_account_invoices(connection, account="acme")] == [1, 2]
    assert [(one.number, one.line, one.amount_exact) for one in billed] == [
        (1, 1, "22.30"),
        (2, 2, "3.20"),
    ]
    assert billed[1] == BilledLine(
        issuer="us",
        series="2026",
        number=2,
        line=2,
        kind="usage",
        period_start_at=0,
        model="m",
        service_tier="standard",
        unit="input_tokens",
        quantity=3,
        amount_exact="3.20",
        amount_minor=2_230,
    )


def test_pages_of_invoices_are_the_whole_without_overlap(store: Store) -> None:
    made = [
        invoice(number=n, series=series, period_start_at=n * 1_000, account=account)
        for series, account in (("a", "acme"), ("b", "globex"))
        for n in (1, 2, 3)
    ]
    with store.write() as connection:
        for one in reversed(made):
            append_invoice(connection, invoice=one, lines=[])
    pages: list[tuple[object, ...]] = []
    after: InvoiceNumber | None = None
    while not pages or pages[-1]:
        with store.read() as connection:
            page = list_invoices(connection, limit=2, after=after)
        pages.append(page)
        if page:
            last = page[-1]
            after = InvoiceNumber(issuer=last.issuer, series=last.series, number=last.number)
    assert [len(page) for page in pages] == [2, 2, 2, 0]
    assert [one for page in pages for one in page] == made
    with store.read() as connection:
        assert list_invoices(connection, limit=9, account="globex") == tuple(made[3:])


def test_a_posting_comes_back_with_its_entries(store: Store) -> None:
    transaction = LedgerTransaction(
        id="invoice us 2026 1",
        kind="invoice",
        issuer="us",
        series="2026",
        number=1,
        currency="USD",
        posted_at=5_000,
    )
    entries = (
        LedgerEntry(ledger_account="receivable:acme", amount_minor=2_654),
        LedgerEntry(ledger_account="revenue:usage", amount_minor=-2_230),
        LedgerEntry(ledger_account="tax:standard", amount_minor=-424),
    )  # 2,654 - 2,230 - 424 = 0
    with store.write() as connection:
        append_invoice(connection, invoice=invoice(), lines=[])
        append_transaction(connection, transaction=transaction, entries=entries)
        assert read_transaction(connection, transaction_id=transaction.id) == transaction
        assert read_entries(connection, transaction_id=transaction.id) == entries
        found = read_invoice_transactions(connection, issuer="us", series="2026", number=1)
        assert found == (transaction,)
        assert read_transaction(connection, transaction_id="none") is None


@pytest.mark.parametrize("amounts", [(), (1,), (5, -4), (2**63, -1)])
def test_entries_that_do_not_sum_to_zero_are_a_bug(store: Store, amounts: tuple[int, ...]) -> None:
    transaction = LedgerTransaction(
        id="t", kind="k", issuer=None, series=None, number=None, currency="USD", posted_at=1
    )
    entries = [LedgerEntry(ledger_account="a", amount_minor=amount) for amount in amounts]
    with pytest.raises(ValueError, match="must sum to zero"), store.write() as connection:
        append_transaction(connection, transaction=transaction, entries=entries)


def test_balances_are_the_sums_of_the_entries(store: Store) -> None:
    with store.write() as connection:
        post(connection, name="t1", amount_minor=100)
        post(connection, name="t2", amount_minor=-30)
        assert read_balances(connection) == (
            LedgerBalance(ledger_account="receivable:acme", currency="USD", amount_minor=70),
            LedgerBalance(ledger_account="revenue:usage", currency="USD", amount_minor=-70),
        )

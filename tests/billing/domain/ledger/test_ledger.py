"""The ledger: what an invoice posts, and balances as sums of entries.

Invariant: I30 (each transaction sums to zero in its currency) and I31 (a balance is a fold).
"""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.invoice.finalizing import as_draft
from billing.domain.ledger.ledger import (
    LedgerEntry,
    LedgerTransaction,
    balances,
    invoice_postings,
    receivable,
)
from tests.billing.domain.made_charges import TAX_19, agreement, books
from tests.billing.domain.made_invoices import ISSUED_AT, NOVEMBER, issued, used

TAXED = agreement({"tax": TAX_19})


def entries(transaction: LedgerTransaction | None) -> list[tuple[str, int]]:
    assert transaction is not None
    return [(entry.ledger_account, entry.amount_minor) for entry in transaction.entries]


def transaction(*amounts: tuple[str, int], currency: str = "USD") -> LedgerTransaction:
    return LedgerTransaction(
        id="t",
        kind="invoice",
        currency=currency,
        posted_at=ISSUED_AT,
        entries=tuple(
            LedgerEntry(ledger_account=name, amount_minor=minor) for name, minor in amounts
        ),
    )


def test_an_invoice_is_owed_and_earned_and_its_tax_is_owed_on() -> None:
    # 3.00 and 19 %, .57
    posted = invoice_postings(issued([used(3_000_000)], books=books(), agreed=TAXED))
    assert posted is not None
    assert (posted.id, posted.kind, posted.currency, posted.posted_at) == (
        "invoice:Northern Tokens GmbH:INV-000001", "invoice", "USD", ISSUED_AT,
    )  # fmt: skip
    assert entries(posted) == [
        ("receivable:acme", 357),
        ("revenue:usage", -300),
        ("tax:S", -57),
    ]


def test_an_entry_of_nothing_is_left_out() -> None:
    posted = invoice_postings(issued([used(3_000_000)], books=books()))
    assert entries(posted) == [("receivable:acme", 300), ("revenue:usage", -300)]


def test_an_invoice_over_nothing_posts_nothing() -> None:
    assert invoice_postings(issued([], books=books())) is None


def test_a_negative_invoice_posts_with_other_signs() -> None:
    # 3.00 was charged and 1.00 is due: -2.00 and -.38
    first = issued([used(3_000_000)], books=books(), agreed=TAXED)
    credit = issued(
        [used(1_000_000)], books=books(), invoices=[first], agreed=TAXED, period=NOVEMBER
    )
    assert entries(invoice_postings(credit)) == [
        ("receivable:acme", -238),
        ("revenue:usage", 200),
        ("tax:S", 38),
    ]


def test_taxes_of_one_category_at_two_rates_are_one_entry() -> None:
    # A late 1.00 of October at 19 % and 1.00 of November at 7 %: .19 + .07
    seven = agreement({"tax": {"category": "S", "rate_percent": "7"}})
    first = issued([used(1_000_000)], books=books(), agreed=TAXED)
    totals = [used(2_000_000), used(1_000_000, at=NOVEMBER.start_at)]
    second = issued(
        totals, books=books(), invoices=[first], agreed=seven, earlier=TAXED, period=NOVEMBER
    )
    assert entries(invoice_postings(second)) == [
        ("receivable:acme", 226),
        ("revenue:usage", -200),
        ("tax:S", -26),
    ]


def test_a_preview_posts_nothing() -> None:
    with pytest.raises(ValueError, match="a preview posts nothing"):
        invoice_postings(as_draft(issued([used(1)], books=books())))


@pytest.mark.parametrize("over", [-1, 1])
def test_entries_that_do_not_sum_to_zero_are_refused(over: int) -> None:
    with pytest.raises(ValueError, match=f"the entries of t must sum to zero, not to {over}"):
        transaction(("a", 5), ("b", -5 + over))


def test_a_transaction_without_entries_is_refused() -> None:
    with pytest.raises(ValueError, match="the entries of t must sum to zero"):
        transaction()


AMOUNTS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(-(10**12), 10**12)), max_size=5
)


@given(posted=st.lists(st.tuples(AMOUNTS, st.sampled_from(["USD", "JPY"])), max_size=6))
def test_a_balance_is_the_sum_of_all_entries_at_every_prefix(
    posted: list[tuple[list[tuple[str, int]], str]],
) -> None:
    transactions: list[LedgerTransaction] = []
    sums: Counter[tuple[str, str]] = Counter()
    for amounts, code in posted:
        closing = ("closing", -sum(minor for _, minor in amounts))
        transactions.append(transaction(*amounts, closing, currency=code))
        for name, minor in (*amounts, closing):
            sums[name, code] += minor
        found = balances(transactions)
        assert found == dict(sums)
        assert list(found) == sorted(found)
        for one in ("USD", "JPY"):
            assert sum(minor for (_, code_), minor in found.items() if code_ == one) == 0


def test_what_an_account_owes_is_the_sum_of_its_invoices() -> None:
    invoices = [issued([used(3_000_000)], books=books(), agreed=TAXED)]
    totals = [used(3_000_000), used(1_000_000, epoch=2)]
    invoices.append(issued(totals, books=books(), invoices=invoices, agreed=TAXED, period=NOVEMBER))
    found = balances(posted for one in invoices if (posted := invoice_postings(one)) is not None)
    assert found[receivable("acme"), "USD"] == sum(one.total_minor for one in invoices) == 476

"""Transactions of the ledger, and the postings of an invoice.

Invariant: each transaction is in one currency and sums to zero (I30); what an account owes is the
sum of its entries, computed and never kept (I31).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from billing.domain.invoice.invoice import Invoice

INVOICE = "invoice"
"""The kind of the transactions that post invoices."""

REVENUE = "revenue:usage"
"""The ledger account of what is earned from usage, net of tax."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """What is moved on one ledger account: a debit is positive, a credit negative."""

    ledger_account: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTransaction:
    """One posting: entries of one currency that sum to zero; ValueError for others, or for none."""

    id: str
    kind: str
    currency: str
    posted_at: int
    entries: tuple[LedgerEntry, ...]

    def __post_init__(self) -> None:
        over = sum(entry.amount_minor for entry in self.entries)
        if over != 0 or not self.entries:
            raise ValueError(f"the entries of {self.id} must sum to zero, not to {over}")


def receivable(account: str) -> str:
    """The ledger account of what an account owes."""
    return f"receivable:{account}"


def invoice_transaction_id(invoice: Invoice) -> str:
    """The id of the one transaction that posts a final invoice: its issuer and number."""
    return f"invoice:{invoice.issuer.name}:{invoice.number}"


def invoice_postings(invoice: Invoice) -> LedgerTransaction | None:
    """What a final invoice posts when it is issued; None where all its amounts are zero.

    The account owes the total; the net is revenue, and the tax is owed by category. A negative
    invoice posts the same with other signs. ValueError for a preview.
    """
    if invoice.issued_at is None:
        raise ValueError("a preview posts nothing")
    amounts = {receivable(invoice.account): invoice.total_minor, REVENUE: -invoice.net_minor}
    for tax in invoice.taxes:
        name = f"tax:{tax.category}"
        amounts[name] = amounts.get(name, 0) - tax.tax_minor
    entries = tuple(
        LedgerEntry(ledger_account=name, amount_minor=minor)
        for name, minor in amounts.items()
        if minor
    )
    if not entries:
        return None
    return LedgerTransaction(
        id=invoice_transaction_id(invoice),
        kind=INVOICE,
        currency=invoice.currency,
        posted_at=invoice.issued_at,
        entries=entries,
    )


def balances(transactions: Iterable[LedgerTransaction]) -> dict[tuple[str, str], int]:
    """The balance of each (ledger account, currency) that was posted to, in minor units."""
    found: dict[tuple[str, str], int] = {}
    for transaction in transactions:
        for entry in transaction.entries:
            key = (entry.ledger_account, transaction.currency)
            found[key] = found.get(key, 0) + entry.amount_minor
    return dict(sorted(found.items()))

"""Equations of the ledger: every transaction sums to zero, and every invoice is posted once.

Invariant: what accounts owe by the ledger is what their invoices say, by account and currency.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from billing.domain.invoice.invoice import Invoice
from billing.domain.ledger.ledger import INVOICE, LedgerEntry, invoice_postings, receivable
from billing.domain.verification.equations import (
    Damage,
    Equation,
    Verified,
    compare,
    stored_moment_text,
    together,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedTransaction:
    """A transaction of the ledger as it is stored, whether or not it sums to zero.

    ``invoice``: the invoice that it names, called as its transaction is: ``invoice:ISSUER:NUMBER``.
    """

    id: str
    kind: str
    invoice: str | None
    currency: str
    posted_at: int
    entries: tuple[LedgerEntry, ...]


def transactions_sum_to_zero(transactions: Iterable[PostedTransaction]) -> Verified:
    """debits = credits in each transaction, and in each currency over all."""
    debited: dict[str, int] = {}
    credited: dict[str, int] = {}
    found: list[Damage] = []
    for transaction in transactions:
        amounts = [entry.amount_minor for entry in transaction.entries]
        debit, credit = sum(a for a in amounts if a > 0), -sum(a for a in amounts if a < 0)
        code = transaction.currency
        debited[code] = debited.get(code, 0) + debit
        credited[code] = credited.get(code, 0) + credit
        if debit != credit:
            found.append(
                Damage(
                    kind="transaction_unbalanced",
                    where=f"transaction {transaction.id}",
                    sentence=f"debits {debit:,} are not credits {credit:,}",
                )
            )
    equations = tuple(
        Equation(
            name=f"ledger in {code}",
            left=(("debits", debited[code]),),
            right=(("credits", credited[code]),),
        )
        for code in sorted(debited)
    )
    return Verified(equations=equations, damage=tuple(found))


def ledger_equals_invoices(
    transactions: Iterable[PostedTransaction], *, invoices: Iterable[Invoice]
) -> Verified:
    """Every final invoice is posted as it must be, nothing else is posted, and what each account
    was charged by the ledger is the sum of its invoices, by currency.
    """
    stored, charged = tuple(transactions), tuple(invoices)
    due: dict[str, PostedTransaction] = {}
    owed: dict[str, dict[str, int]] = {}
    for invoice in charged:
        totals = owed.setdefault(invoice.currency, {})
        name = receivable(invoice.account)
        totals[name] = totals.get(name, 0) + invoice.total_minor
        posting = invoice_postings(invoice)
        if posting is not None:
            due[posting.id] = PostedTransaction(
                id=posting.id,
                kind=posting.kind,
                invoice=posting.id,
                currency=posting.currency,
                posted_at=posting.posted_at,
                entries=posting.entries,
            )
    posted = {one.id: one for one in stored if one.kind == INVOICE}
    by_ledger: dict[str, dict[str, int]] = {}
    for one in posted.values():
        balances = by_ledger.setdefault(one.currency, {})
        for entry in one.entries:
            if entry.ledger_account.startswith(receivable("")):
                before = balances.get(entry.ledger_account, 0)
                balances[entry.ledger_account] = before + entry.amount_minor
    per_currency = (
        compare(
            by_ledger.get(code, {}),
            right=owed.get(code, {}),
            name=f"receivable in {code}",
            labels=("ledger", "invoices"),
            kind="ledger",
            where=partial("{1} in {0}".format, code),
        )
        for code in sorted({*by_ledger, *owed})
    )
    damage = (
        *_posting_damage(due, posted=posted),
        *(_of_unknown_kind(one) for one in stored if one.kind != INVOICE),
    )
    return together((*per_currency, Verified(damage=damage)))


def _of_unknown_kind(transaction: PostedTransaction) -> Damage:
    return Damage(
        kind="transaction_extra",
        where=f"transaction {transaction.id}",
        sentence=f'is of the kind "{transaction.kind}", which nothing posts',
    )


def _posting_damage(
    due: Mapping[str, PostedTransaction], *, posted: Mapping[str, PostedTransaction]
) -> Iterator[Damage]:
    for name in sorted({*due, *posted}):
        where = f"transaction {name}"
        if name not in posted:
            sentence = "the invoice is not posted"
            yield Damage(kind="transaction_missing", where=where, sentence=sentence)
        elif name not in due:
            sentence = "is posted for no invoice"
            yield Damage(kind="transaction_extra", where=where, sentence=sentence)
        elif _moved(due[name]) != _moved(posted[name]):
            sentence = (
                f"posts {_moved_text(posted[name])}, and its invoice {_moved_text(due[name])}"
            )
            yield Damage(kind="transaction_changed", where=where, sentence=sentence)
        elif posted[name].posted_at != due[name].posted_at:
            sentence = (
                f"was posted at {stored_moment_text(posted[name].posted_at)}, and its invoice "
                f"issued at {stored_moment_text(due[name].posted_at)}"
            )
            yield Damage(kind="transaction_changed", where=where, sentence=sentence)
        elif posted[name].invoice != name:
            sentence = f"is that of an invoice, and names {posted[name].invoice or 'none'}"
            yield Damage(kind="transaction_changed", where=where, sentence=sentence)


def _moved(transaction: PostedTransaction) -> tuple[str, list[tuple[str, int]]]:
    entries = sorted((entry.ledger_account, entry.amount_minor) for entry in transaction.entries)
    return transaction.currency, entries


def _moved_text(transaction: PostedTransaction) -> str:
    code, entries = _moved(transaction)
    moved = ", ".join(f"{name} {minor:,}" for name, minor in entries)
    return f"{moved or 'nothing'} in {code}"

"""The ledger: transactions and their entries, appended.

Invariant: the entries of a transaction sum to zero (I30), and nothing posted is ever edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from billing.store.points import reach
from billing.store.rows import append_record, append_rows, read_records, select_records, whole_sum
from billing.store.tables import LEDGER_ENTRIES, LEDGER_TRANSACTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerTransaction:
    """One posting, in one currency. It names its invoice, or none: then all three are None."""

    id: str
    kind: str
    issuer: str | None
    series: str | None
    number: int | None
    currency: str
    posted_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """What a transaction moves on one ledger account: a debit is positive, a credit negative."""

    ledger_account: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerBalance:
    """The sum of all entries of a ledger account in one currency."""

    ledger_account: str
    currency: str
    amount_minor: int


def append_transaction(
    connection: Connection, *, transaction: LedgerTransaction, entries: Sequence[LedgerEntry]
) -> None:
    """Post a transaction. ValueError where its entries do not sum to zero, or there are none."""
    if not entries or sum(entry.amount_minor for entry in entries) != 0:
        raise ValueError(f"the entries of {transaction.id} must sum to zero")
    append_record(connection, table=LEDGER_TRANSACTIONS, record=transaction)
    reach("ledger.transaction_appended")
    append_rows(
        connection,
        table=LEDGER_ENTRIES,
        names=("transaction_id", "entry", "ledger_account", "amount_minor"),
        rows=[
            (transaction.id, entry, posted.ledger_account, posted.amount_minor)
            for entry, posted in enumerate(entries, start=1)
        ],
    )
    reach("ledger.entries_appended")


def read_transaction(connection: Connection, *, transaction_id: str) -> LedgerTransaction | None:
    """One transaction; None where none was posted under this id."""
    query = select_records(LedgerTransaction, table=LEDGER_TRANSACTIONS).where(
        LEDGER_TRANSACTIONS.c.id == transaction_id
    )
    return next(iter(read_records(connection, query=query, record=LedgerTransaction)), None)


def read_invoice_transactions(
    connection: Connection, *, issuer: str, series: str, number: int
) -> tuple[LedgerTransaction, ...]:
    """The transactions that name an invoice, by id."""
    columns = LEDGER_TRANSACTIONS.c
    query = select_records(LedgerTransaction, table=LEDGER_TRANSACTIONS).where(
        columns.issuer == issuer, columns.series == series, columns.number == number
    )
    return read_records(connection, query=query.order_by(columns.id), record=LedgerTransaction)


def read_entries(connection: Connection, *, transaction_id: str) -> tuple[LedgerEntry, ...]:
    """The entries of a transaction, in their order."""
    query = select_records(LedgerEntry, table=LEDGER_ENTRIES).where(
        LEDGER_ENTRIES.c.transaction_id == transaction_id
    )
    query = query.order_by(LEDGER_ENTRIES.c.entry)
    return read_records(connection, query=query, record=LedgerEntry)


def read_balances(connection: Connection) -> tuple[LedgerBalance, ...]:
    """The balance of every ledger account and currency, folded from all entries (I31)."""
    key = (LEDGER_ENTRIES.c.ledger_account, LEDGER_TRANSACTIONS.c.currency)
    query = (
        select(*key, whole_sum(LEDGER_ENTRIES.c.amount_minor))
        .join(LEDGER_TRANSACTIONS)
        .group_by(*key)
        .order_by(*key)
    )
    return read_records(connection, query=query, record=LedgerBalance)

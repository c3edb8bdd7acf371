"""Verifying what was recorded beside usage: seals, corrections, invoices, ledger and documents.

Invariant: as in ``billing.operations.verify``: it reads in the transaction that it is given, and
mends nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from billing.domain.invoice.invoice import Invoice
from billing.domain.ledger.ledger import LedgerEntry
from billing.domain.verification.corrections import corrections_as_recorded
from billing.domain.verification.epochs import SealedEpoch, epochs_as_sealed
from billing.domain.verification.equations import Damage, Verified, together
from billing.domain.verification.invoices import (
    AuditedClose,
    InvoiceRow,
    audited_as_recorded,
    covers_in_order,
    numbers_gapless,
)
from billing.domain.verification.ledger import (
    PostedTransaction,
    ledger_equals_invoices,
    transactions_sum_to_zero,
)
from billing.domain.verification.usage import EventContent, contents_as_taken
from billing.operations.applied_backfill import BACKFILL_APPLIED, BACKFILL_REVERTED
from billing.operations.correction_record import CORRECTED, REVERTED
from billing.operations.invoice_number import text_of
from billing.operations.new_events import stored_digest
from billing.store.agreements import accounts_with_agreements, read_agreements
from billing.store.invoices import StoredInvoice
from billing.store.ledger import LedgerTransaction
from billing.store.price_books import read_price_books
from billing.store.store import Connection
from billing.store.whole import (
    last_epochs,
    read_all_audit,
    read_all_entries,
    read_all_epochs,
    read_all_number_series,
    read_all_transactions,
    read_contents,
)
from billing.store.whole_corrections import (
    added_by_backfills,
    events_named,
    events_with_lost_steps,
    step_counts,
    steps_unlike_their_parents,
)
from pricing_rules.document import bytes_digest
from pricing_rules.period import parse_moment


def records_hold(
    connection: Connection,
    *,
    stored: Sequence[StoredInvoice],
    rows: Sequence[InvoiceRow],
    invoices: Sequence[Invoice],
) -> Verified:
    """Everything but usage and what is billed of it. ``stored``: every invoice; ``rows``: the same
    with their lines; ``invoices``: those of their documents that can be read.
    """
    posted, lost = _posted(connection, stored=stored)
    return together(
        (
            _epochs(connection),
            _corrections(connection),
            audited_as_recorded(_closes(connection), rows=rows),
            covers_in_order(invoices),
            _numbers(connection, stored=stored),
            transactions_sum_to_zero(posted),
            ledger_equals_invoices(posted, invoices=invoices),
            lost,
            _kept_documents(connection),
        )
    )


def contents_hold(connection: Connection) -> Verified:
    """What is stored of each event is the content that took its id."""
    return contents_as_taken(
        EventContent(f"{one.source}/{one.id}", one.payload_digest, stored_digest(one))
        for one in read_contents(connection)
    )


def _epochs(connection: Connection) -> Verified:
    recorded: dict[int, SealedEpoch] = {}
    for entry in read_all_audit(connection, command="seal"):
        try:
            epoch = int(entry.subject)
            sealed_at = parse_moment(str(entry.detail.get("sealed_at")))
        except ValueError:  # a row that was edited records no seal
            continue
        recorded[epoch] = SealedEpoch(epoch=epoch, sealed_at=sealed_at)
    return epochs_as_sealed(
        (
            SealedEpoch(epoch=epoch, sealed_at=sealed_at)
            for epoch, sealed_at in read_all_epochs(connection)
        ),
        recorded=recorded.values(),
        last_used=last_epochs(connection),
    )


def _corrections(connection: Connection) -> Verified:
    audited: set[str] = set()
    for command in (CORRECTED, REVERTED, BACKFILL_APPLIED, BACKFILL_REVERTED):
        for entry in read_all_audit(connection, command=command):
            named = entry.detail.get("corrections")
            if isinstance(named, list):  # else it was edited, and names none
                audited.update(name for name in named if isinstance(name, str))
    return corrections_as_recorded(
        odd_steps=steps_unlike_their_parents(connection),
        lost_steps=events_with_lost_steps(connection),
        counted=step_counts(connection),
        named=events_named(connection),
        added=added_by_backfills(connection),
        audited=audited,
    )


def _closes(connection: Connection) -> Iterator[AuditedClose]:
    for entry in read_all_audit(connection, command="close"):
        yield AuditedClose(
            account=entry.subject,
            number=str(entry.detail.get("number")),
            digest=str(entry.detail.get("digest")),
        )


def _numbers(connection: Connection, *, stored: Sequence[StoredInvoice]) -> Verified:
    numbers: dict[tuple[str, str], list[int]] = {}
    for one in stored:
        numbers.setdefault((one.issuer, one.series), []).append(one.number)
    counters = {
        (one.issuer, one.series): one.next_number for one in read_all_number_series(connection)
    }
    return numbers_gapless(numbers, next_numbers=counters)


def _posted(
    connection: Connection, *, stored: Sequence[StoredInvoice]
) -> tuple[tuple[PostedTransaction, ...], Verified]:
    """The transactions with their entries, and the entries that have lost theirs."""
    names = {
        (one.issuer, one.series, one.number): f"invoice:{one.issuer}:{text_of(one)}"
        for one in stored
    }
    entries: dict[str, list[LedgerEntry]] = {}
    for entry in read_all_entries(connection):
        moved = LedgerEntry(ledger_account=entry.ledger_account, amount_minor=entry.amount_minor)
        entries.setdefault(entry.transaction_id, []).append(moved)
    posted = tuple(
        PostedTransaction(
            id=one.id,
            kind=one.kind,
            invoice=_invoice_named(one, names=names),
            currency=one.currency,
            posted_at=one.posted_at,
            entries=tuple(entries.pop(one.id, ())),
        )
        for one in read_all_transactions(connection)
    )
    lost = tuple(
        Damage(
            kind="transaction_missing",
            where=f"transaction {name}",
            sentence=f"has {len(some)} entries and is not there itself",
        )
        for name, some in sorted(entries.items())
    )
    return posted, Verified(damage=lost)


def _invoice_named(
    transaction: LedgerTransaction, *, names: Mapping[tuple[str, str, int], str]
) -> str | None:
    """The invoice that a transaction names, also where there is none such."""
    if transaction.issuer is None or transaction.series is None or transaction.number is None:
        return None
    key = (transaction.issuer, transaction.series, transaction.number)
    return names.get(key, "number {2} of the series {1} of {0}, which is not there".format(*key))


def _kept_documents(connection: Connection) -> Verified:
    """Price books and agreements are the bytes that their digests are of."""
    kept = [
        (f"price book {one.series} number {one.number}", one.document, one.digest)
        for one in read_price_books(connection)
    ]
    for account in accounts_with_agreements(connection):
        kept += (
            (f"agreement of {account}, version {one.version}", one.document, one.digest)
            for one in read_agreements(connection, account=account)
        )
    return Verified(
        damage=tuple(
            Damage(
                kind="document_changed",
                where=where,
                sentence=f"the document is not the one that was recorded as {digest}",
            )
            for where, document, digest in kept
            if bytes_digest(document.encode()) != digest
        )
    )

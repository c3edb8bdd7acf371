"""Storing a finalized invoice: its number, document, lines, ledger entries and audit, at once.

Invariant: all of it is written in the transaction that the caller holds, so that there is no number
without an invoice, no invoice without its lines and entries (I25, I42).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from billing.domain.invoice.finalizing import Waiver, finalize
from billing.domain.invoice.invoice import Invoice, InvoiceLine
from billing.domain.ledger.ledger import invoice_postings
from billing.operations.announcement import announce
from billing.operations.invoice_number import number_text
from billing.store.audit import append_audit
from billing.store.invoices import StoredInvoice, StoredLine, append_invoice, take_number
from billing.store.ledger import LedgerEntry, LedgerTransaction, append_transaction
from billing.store.points import reach
from billing.store.store import Connection
from pricing_rules.document import bytes_digest, canonical_json, dump
from pricing_rules.money import exact_text
from pricing_rules.period import Period, moment_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """In which number series invoices are issued, when, and by whom."""

    series: str
    issued_at: int
    by: str


def finalize_draft(
    connection: Connection,
    *,
    draft: Invoice,
    issue: Issue,
    through_epoch: int,
    corrected: Sequence[Period],
    waivers: Collection[Waiver],
) -> StoredInvoice:
    """Finalize a draft in a transaction that writes, and give the invoice as it is stored."""
    issuer = draft.issuer.name
    number = take_number(connection, issuer=issuer, series=issue.series)
    invoice = finalize(
        draft,
        number=number_text(issue.series, number=number, issued_at=issue.issued_at),
        issued_at=issue.issued_at,
        through_epoch=through_epoch,
        corrected=corrected,
        waivers=waivers,
    )
    document = canonical_json(dump(invoice))
    stored = StoredInvoice(
        issuer=issuer,
        series=issue.series,
        number=number,
        account=invoice.account,
        period_start_at=invoice.period.start_at,
        period_end_at=invoice.period.end_at,
        through_epoch=through_epoch,
        currency=invoice.currency,
        total_minor=invoice.total_minor,
        digest=bytes_digest(document),
        document=document.decode(),
        finalized_at=issue.issued_at,
    )
    reach("close.account_documented")
    append_invoice(connection, invoice=stored, lines=line_rows(invoice))
    _post(connection, invoice=invoice, stored=stored)
    append_audit(
        connection,
        command="close",
        subject=invoice.account,
        by=issue.by,
        detail={
            "number": invoice.number,
            "digest": stored.digest,
            "through_epoch": through_epoch,
            "total_minor": invoice.total_minor,
        },
        recorded_at=issue.issued_at,
    )
    announce(
        connection,
        kind="invoice.finalized",
        account=invoice.account,
        subject=f"invoices/{invoice.account}",
        data={
            "account": invoice.account,
            "issuer": issuer,
            "number": invoice.number,
            "start_at": moment_text(invoice.period.start_at),
            "end_at": moment_text(invoice.period.end_at),
            "through_epoch": through_epoch,
            "currency": invoice.currency,
            "total_minor": invoice.total_minor,
            "digest": stored.digest,
        },
        now_at=issue.issued_at,
    )
    return stored


def line_rows(invoice: Invoice) -> tuple[StoredLine, ...]:
    """The lines of an invoice as they stand in the table of lines."""
    return tuple(_row(line, own_start_at=invoice.period.start_at) for line in invoice.lines)


def _row(line: InvoiceLine, *, own_start_at: int) -> StoredLine:
    usage = None if line.kind == "discount" or line.model is None else line
    return StoredLine(
        line=line.line,
        kind=line.kind,
        period_start_at=line.period.start_at if line.kind == "correction" else own_start_at,
        model=(usage.model or "") if usage else "",
        service_tier=(usage.service_tier or "") if usage else "",
        unit=(usage.unit or "") if usage else "",
        quantity=(usage.quantity or 0) if usage else 0,
        amount_exact=exact_text(line.amount_exact),
        amount_minor=line.amount_minor,
    )


def _post(connection: Connection, *, invoice: Invoice, stored: StoredInvoice) -> None:
    posted = invoice_postings(invoice)
    if posted is None:  # an invoice over nothing owes nothing
        return
    append_transaction(
        connection,
        transaction=LedgerTransaction(
            id=posted.id,
            kind=posted.kind,
            issuer=stored.issuer,
            series=stored.series,
            number=stored.number,
            currency=posted.currency,
            posted_at=posted.posted_at,
        ),
        entries=[
            LedgerEntry(ledger_account=one.ledger_account, amount_minor=one.amount_minor)
            for one in posted.entries
        ],
    )

"""Equations of invoices: documents, their rows, what they cover and bill, and their numbers.

Invariant: a finalized invoice is the bytes that were recorded, bills each quantity once, and has
the next number of its series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from billing.domain.invoice.due import charge_text
from billing.domain.invoice.invoice import Cover, Invoice
from billing.domain.invoice.invoiced import LineKey, quantity_of, usage_period
from billing.domain.verification.equations import Damage, DamageKind, Equation, Verified, compare
from pricing_rules.document import DocumentError, bytes_digest, load_json
from pricing_rules.money import exact_text
from pricing_rules.period import moment_text
from pricing_rules.prices.rating import Rating

Billed = tuple[str, int, str, str, str]
"""An account, the start of a billing period, and a unit of a model in a service tier."""

Series = tuple[str, str]
"""An issuer and one of its number series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRow:
    """A line as its row has it. Texts are "" and quantities 0 where a line has none.

    ``period_start_at`` is that of the usage.
    """

    line: int
    kind: str
    period_start_at: int
    model: str
    service_tier: str
    unit: str
    quantity: int
    amount_exact: str
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceRow:
    """A final invoice as its row has it, with the canonical JSON of its document."""

    name: str
    issuer: str
    account: str
    period_start_at: int
    period_end_at: int
    through_epoch: int
    currency: str
    total_minor: int
    finalized_at: int
    digest: str
    document: str
    lines: tuple[LineRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadInvoices:
    """What was found of the documents, and those that could be read, as they stand."""

    verified: Verified
    invoices: tuple[Invoice, ...]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class AuditedClose:
    """What the audit says of an invoice that was finalized."""

    account: str
    number: str
    digest: str


def line_rows(invoice: Invoice) -> tuple[LineRow, ...]:
    """The rows that the lines of an invoice have."""
    rows: list[LineRow] = []
    for line in invoice.lines:
        key = LineKey.of(line)
        rows.append(
            LineRow(
                line=line.line,
                kind=line.kind,
                period_start_at=usage_period(line, invoice=invoice).start_at,
                model=key.model,
                service_tier=key.service_tier,
                unit=key.unit,
                quantity=quantity_of(line),
                amount_exact=exact_text(line.amount_exact),
                amount_minor=line.amount_minor,
            )
        )
    return tuple(rows)


def documents_as_recorded(rows: Iterable[InvoiceRow], *, sealed_epoch: int) -> ReadInvoices:
    """Every document has its recorded digest, says what its row and its line rows say, and covers
    sealed epochs only (``sealed_epoch`` is the last one).
    """
    invoices: list[Invoice] = []
    found: list[Damage] = []
    digests = recorded = in_documents = in_rows = 0
    for row in rows:
        recorded += 1
        where = f"invoice {row.name}"
        if bytes_digest(row.document.encode()) == row.digest:
            digests += 1
        else:
            sentence = f"the document is not the one that was recorded as {row.digest}"
            found.append(Damage(kind="document_changed", where=where, sentence=sentence))
        try:
            invoice = load_json(Invoice, row.document.encode(), name=where)
        except DocumentError as error:
            sentence = f"the document cannot be read: {error}"
            found.append(Damage(kind="document_changed", where=where, sentence=sentence))
            continue
        invoices.append(invoice)
        in_documents += len(invoice.lines)
        in_rows += len(row.lines)
        found += _row_damage(row, invoice=invoice, where=where)
        found += _line_damage(row.lines, invoice=invoice, where=where)
        if row.through_epoch > sealed_epoch:
            sentence = f"covers through epoch {row.through_epoch}, which is not sealed"
            found.append(Damage(kind="cover", where=where, sentence=sentence))
    equations = (
        Equation(name="documents", left=(("digests", digests),), right=(("invoices", recorded),)),
        Equation(
            name="document lines",
            left=(("lines of documents", in_documents),),
            right=(("line rows", in_rows),),
        ),
    )
    verified = Verified(equations=equations, damage=tuple(found))
    return ReadInvoices(verified=verified, invoices=tuple(invoices))


def _row_damage(row: InvoiceRow, *, invoice: Invoice, where: str) -> Iterator[Damage]:
    kinds: dict[str, tuple[DamageKind, object, object]] = {
        "number": ("document_row", row.name, invoice.number),
        "issuer": ("document_row", row.issuer, invoice.issuer.name),
        "account": ("document_row", row.account, invoice.account),
        "period_start_at": ("cover", row.period_start_at, invoice.period.start_at),
        "period_end_at": ("cover", row.period_end_at, invoice.period.end_at),
        "through_epoch": ("cover", row.through_epoch, invoice.through_epoch),
        "currency": ("document_row", row.currency, invoice.currency),
        "total_minor": ("document_row", row.total_minor, invoice.total_minor),
        "finalized_at": ("document_row", row.finalized_at, invoice.issued_at),
    }
    for name, (kind, recorded, written) in kinds.items():
        if recorded != written:
            sentence = f"{name} is {recorded} in its row and {written} in its document"
            yield Damage(kind=kind, where=where, sentence=sentence)


def _line_damage(rows: Iterable[LineRow], *, invoice: Invoice, where: str) -> Iterator[Damage]:
    written = {row.line: row for row in line_rows(invoice)}
    stored = {row.line: row for row in rows}
    for line in sorted({*written, *stored}):
        at = f"{where}, line {line}"
        if line not in stored:
            yield Damage(kind="line_missing", where=at, sentence="has no row")
        elif line not in written:
            row = stored[line]
            sentence = f"a row of {row.amount_minor:,} minor units is not in the document"
            yield Damage(kind="line_extra", where=at, sentence=sentence)
        elif written[line] != stored[line]:
            sentence = f"the row says {stored[line]}, the document {written[line]}"
            yield Damage(kind="line_changed", where=at, sentence=sentence)


def covers_in_order(invoices: Iterable[Invoice]) -> Verified:
    """The covers of each account tile: of two that share usage, both are of one period, and a later
    invoice covers it through no earlier epoch. ``invoices`` in the order in which they were issued.
    """
    found: list[Damage] = []
    seen: dict[str, dict[int, Cover]] = {}
    for invoice in invoices:
        known = seen.setdefault(invoice.account, {})
        for cover in invoice.covers or ():
            where = f"invoice {invoice.number}, {moment_text(cover.start_at)}"
            for other in known.values():
                if other.start_at < cover.end_at and cover.start_at < other.end_at:
                    if (other.start_at, other.end_at) != (cover.start_at, cover.end_at):
                        sentence = f"overlaps the period from {moment_text(other.start_at)}"
                        found.append(Damage(kind="cover", where=where, sentence=sentence))
                    elif other.through_epoch > cover.through_epoch:
                        sentence = (
                            f"covers through epoch {cover.through_epoch}, and an invoice before "
                            f"it through {other.through_epoch}"
                        )
                        found.append(Damage(kind="cover", where=where, sentence=sentence))
            known[cover.start_at] = cover
    return Verified(damage=tuple(found))


def audited_as_recorded(closes: Iterable[AuditedClose], *, rows: Iterable[InvoiceRow]) -> Verified:
    """Every invoice is one whose finalizing was recorded, with the digest that it had then, and
    none of those is gone: the last of a series leaves no gap in its numbers.
    """
    recorded = Counter(closes)
    kept = Counter(
        AuditedClose(account=row.account, number=row.name, digest=row.digest) for row in rows
    )
    found = [
        Damage(kind="audit", where=f"invoice {one.number}", sentence=sentence)
        for some, sentence in (
            (recorded - kept, "was finalized with the digest {}, and is not there"),
            (kept - recorded, "has the digest {}, and nobody recorded that it was finalized"),
        )
        for one, sentence in ((one, sentence.format(one.digest)) for one in sorted(some))
    ]
    equation = Equation(
        name="audit",
        left=(("invoices finalized", recorded.total()),),
        right=(("invoices", kept.total()),),
    )
    return Verified(equations=(equation,), damage=tuple(found))


def billed_quantities(invoices: Iterable[Invoice]) -> dict[Billed, int]:
    """What the lines of invoices bill, corrections among them, by the period of the usage."""
    found: dict[Billed, int] = {}
    for invoice in invoices:
        for line in invoice.lines:
            key = LineKey.of(line)
            if not key.discount_id and key.unit:
                start_at = usage_period(line, invoice=invoice).start_at
                billed = (invoice.account, start_at, key.model, key.service_tier, key.unit)
                found[billed] = found.get(billed, 0) + quantity_of(line)
    return found


def rated_quantities(rating: Rating, *, period_start_at: int) -> dict[Billed, int]:
    """What the charges of one billing period bill, rated from its totals through what is covered
    by invoices.
    """
    return {
        (charge.account, period_start_at, charge.model, charge.service_tier, charge.unit): (
            charge.quantity
        )
        for charge in rating.charges
    }


def lines_equal_totals(lines: Mapping[Billed, int], *, rated: Mapping[Billed, int]) -> Verified:
    """lines = totals: what invoices bill of each period is what its totals through the covered
    epoch hold, by the unit that has the rate.
    """
    return compare(
        lines,
        right=rated,
        name="lines",
        labels=("lines", "totals"),
        kind="quantity",
        where=_billed_text,
    )


def _billed_text(key: Billed) -> str:
    account, start_at, model, service_tier, unit = key
    charge = charge_text(model=model, service_tier=service_tier, unit=unit)
    return f"account {account}, period from {moment_text(start_at)}, {charge}"


def numbers_gapless(
    numbers: Mapping[Series, Collection[int]], *, next_numbers: Mapping[Series, int]
) -> Verified:
    """The numbers of each series are 1, 2, ... up to before its counter, each once.

    ``next_numbers``: the counters; a series without one has taken none.
    """
    equations: list[Equation] = []
    found: list[Damage] = []
    for series in sorted({*numbers, *next_numbers}):
        given = sorted(numbers.get(series, ()))
        taken = next_numbers.get(series, 1) - 1
        equations.append(
            Equation(
                name=f"numbers of {series[1]}, {series[0]}",
                left=(("invoices", len(given)),),
                right=(("numbers taken", taken),),
            )
        )
        where = f"series {series[1]} of {series[0]}"
        there = set(given)
        # Not all: the counter of an edited row may stand anywhere.
        missing = list(islice((n for n in range(1, taken + 1) if n not in there), 11))
        if missing:
            named = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
            found.append(Damage(kind="number_gap", where=where, sentence=f"lacks number {named}"))
        beyond = [number for number in given if not 1 <= number <= taken]
        if beyond:
            sentence = f"has number {beyond[-1]}, and its counter stands at {taken + 1}"
            found.append(Damage(kind="number_counter", where=where, sentence=sentence))
    return Verified(equations=tuple(equations), damage=tuple(found))

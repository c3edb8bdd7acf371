"""Verifying a store: counting everything twice, and saying where the counts differ.

Invariant: all of it is read in one transaction, nothing is mended, and every difference is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from billing.domain.invoice.invoice import Invoice
from billing.domain.verification.amounts import lines_equal_rating, taxes_as_computed
from billing.domain.verification.equations import Verified, together
from billing.domain.verification.invoices import (
    InvoiceRow,
    LineRow,
    billed_quantities,
    documents_as_recorded,
    lines_equal_totals,
)
from billing.domain.verification.marks import Mark, nothing_went_back
from billing.domain.verification.report import VerifyDocument
from billing.domain.verification.usage import (
    DeliveryCounts,
    deliveries_add_up,
    events_have_ids,
    events_have_one_state,
    totals_equal_events,
)
from billing.operations.files import read_file
from billing.operations.invoice_number import text_of
from billing.operations.verify_records import contents_hold, records_hold
from billing.operations.verify_usage import AccountChecked, UsageChecker
from billing.store.agreements import accounts_with_agreements
from billing.store.epochs import current_epoch
from billing.store.invoices import BilledLine, StoredInvoice
from billing.store.marks import LastRow, last_rows, read_row
from billing.store.store import Connection, Store
from billing.store.usage_totals import accounts_with_totals
from billing.store.whole import (
    EventIdentity,
    accounts_with_events,
    count_all_events,
    count_identities,
    count_refusals,
    events_without_identity,
    identities_of_other_events,
    identities_without_event,
    read_all_deliveries,
    read_all_invoices,
    read_all_lines,
)
from billing.store.whole_corrections import count_voided
from pricing_rules.document import DocumentError, JsonValue, dump, load_json


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """The equations of a store with their numbers, all damage, and how far the store has come."""

    verified: Verified
    marks: tuple[Mark, ...]

    @property
    def holds(self) -> bool:
        """Whether every equation holds and nothing is damaged."""
        return self.verified.holds

    def as_json(self) -> dict[str, JsonValue]:
        """The report as the document ``tokenworks.verify/1``."""
        return {
            "schema": "tokenworks.verify/1",
            "holds": self.holds,
            "equations": [
                {
                    "name": one.name,
                    "holds": one.holds,
                    "text": one.text(),
                    "left": dict(one.left),
                    "right": dict(one.right),
                }
                for one in self.verified.equations
            ],
            "damage": [
                {"kind": one.kind, "where": one.where, "sentence": one.sentence}
                for one in self.verified.damage
            ],
            "marks": [dump(one) for one in self.marks],
        }


def read_marks(path: Path) -> tuple[Mark, ...]:
    """How far a store had come when it was verified, from the report in JSON.

    DocumentError where the file holds no report, or one that has no marks.
    """
    data = read_file(path)
    try:
        return load_json(VerifyDocument, data, name=str(path)).marks
    except DocumentError as error:
        raise DocumentError(
            error.where, f"is not what verify printed as JSON: {error.sentence}"
        ) from None


def verify(
    store: Store,
    *,
    earlier: Sequence[Mark] = (),
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Check a whole store: deliveries, events, totals, invoices, numbers and ledger.

    Each account's usage is summed anew from its events, and what its invoices bill is rated anew.
    ``earlier``: the marks of an earlier report of this store; what went back since is damage.
    ``progress`` is called with how many accounts are done, and of how many.
    """
    with store.read() as connection:
        marks = tuple(map(_mark, last_rows(connection)))
        stored = read_all_invoices(connection)
        rows = tuple(_invoice_rows(connection, stored=stored))
        documents = documents_as_recorded(rows, sealed_epoch=current_epoch(connection) - 1)
        invoices = documents.invoices
        usage = _usage(connection, invoices=invoices, progress=progress)
        checks = (
            _deliveries(connection),
            contents_hold(connection),
            usage,
            documents.verified,
            records_hold(connection, stored=stored, rows=rows, invoices=invoices),
            nothing_went_back(
                earlier,
                now=marks,
                there=tuple(_marks_there(connection, earlier=earlier)),
            ),
        )
    return VerifyReport(verified=together(checks), marks=marks)


def _marks_there(connection: Connection, *, earlier: Sequence[Mark]) -> Iterator[Mark]:
    """What has the numbers of earlier marks now."""
    for one in earlier:
        row = read_row(
            connection, of=one.of, issuer=one.issuer, series=one.series, number=one.number
        )
        if row is not None:
            yield _mark(row)


def _mark(row: LastRow) -> Mark:
    return Mark(
        of=row.of, issuer=row.issuer, series=row.series, number=row.number, digest=row.digest
    )


def _deliveries(connection: Connection) -> Verified:
    events = count_all_events(connection)
    refused = count_refusals(connection)
    deliveries = [
        DeliveryCounts(
            name=one.delivery,
            received=one.received,
            accepted=one.accepted,
            duplicate=one.duplicate,
            conflict=one.conflict,
            rejected=one.rejected,
            refused=refused.get(one.delivery, {}),
        )
        for one in read_all_deliveries(connection)
    ]
    return together(
        (
            deliveries_add_up(deliveries, events=events),
            events_have_ids(
                ids=count_identities(connection),
                events=events,
                missing=map(_event_text, identities_without_event(connection)),
                extra=map(_event_text, events_without_identity(connection)),
                changed=map(_event_text, identities_of_other_events(connection)),
            ),
        )
    )


def _usage(
    connection: Connection,
    *,
    invoices: Sequence[Invoice],
    progress: Callable[[int, int], None] | None,
) -> Verified:
    by_account: dict[str, list[Invoice]] = {}
    for invoice in invoices:
        by_account.setdefault(invoice.account, []).append(invoice)
    accounts = sorted(
        {
            *accounts_with_events(connection),
            *accounts_with_totals(connection),
            *accounts_with_agreements(connection),
            *by_account,
        }
    )
    checker = UsageChecker(connection=connection)
    checked: list[AccountChecked] = []
    for done, account in enumerate(accounts, start=1):
        checked.append(checker.check(account, invoices=by_account.get(account, ())))
        if progress is not None:
            progress(done, len(accounts))
    states = {
        state: sum(one.states.get(state, 0) for one in checked)
        for state in dict.fromkeys(state for one in checked for state in one.states)
    }
    states["voided"] = count_voided(connection)
    periods = [period for one in checked for period in one.periods]
    return together(
        (
            events_have_one_state(states, accepted=count_all_events(connection)),
            totals_equal_events(
                {key: n for one in checked for key, n in one.totals.items()},
                events={key: n for one in checked for key, n in one.events.items()},
            ),
            lines_equal_totals(
                billed_quantities(invoices),
                rated={key: n for one in checked for key, n in one.rated.items()},
            ),
            lines_equal_rating(invoices, rated=periods),
            taxes_as_computed(invoices, rated=periods),
            Verified(damage=tuple(damage for one in checked for damage in one.damage)),
        )
    )


def _invoice_rows(
    connection: Connection, *, stored: Sequence[StoredInvoice]
) -> Iterator[InvoiceRow]:
    """Every invoice in the order in which they were issued, with its line rows."""
    lines: dict[tuple[str, str, int], list[LineRow]] = {}
    for line in read_all_lines(connection):
        lines.setdefault((line.issuer, line.series, line.number), []).append(_line_row(line))
    for one in sorted(stored, key=lambda o: (o.through_epoch, o.finalized_at, o.number)):
        yield InvoiceRow(
            name=text_of(one),
            issuer=one.issuer,
            account=one.account,
            period_start_at=one.period_start_at,
            period_end_at=one.period_end_at,
            through_epoch=one.through_epoch,
            currency=one.currency,
            total_minor=one.total_minor,
            finalized_at=one.finalized_at,
            digest=one.digest,
            document=one.document,
            lines=tuple(lines.get((one.issuer, one.series, one.number), ())),
        )


def _line_row(line: BilledLine) -> LineRow:
    return LineRow(
        line=line.line,
        kind=line.kind,
        period_start_at=line.period_start_at,
        model=line.model,
        service_tier=line.service_tier,
        unit=line.unit,
        quantity=line.quantity,
        amount_exact=line.amount_exact,
        amount_minor=line.amount_minor,
    )


def _event_text(identity: EventIdentity) -> str:
    return f"{identity.source}/{identity.id}"

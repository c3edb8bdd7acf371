"""What is due from one account for one billing period, gathered from a store.

Invariant: due = everything of a period that is known through an epoch, rated under the books known
then, less what invoices charged for it before; nothing is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from billing.domain.agreement.agreement import Agreement
from billing.domain.agreement.billing_periods import AgreedPeriod, billing_period_at
from billing.domain.charging.elsewhere import served_elsewhere
from billing.domain.invoice.corrections import Correction, corrections_for
from billing.domain.invoice.draft import draft_invoice
from billing.domain.invoice.invoice import Invoice
from billing.domain.invoice.invoiced import invoiced_for
from billing.operations.account_usage import AccountUsage
from billing.operations.stored_book import books_known
from billing.operations.stored_invoice import read_checked
from billing.store.epochs import epoch_sealed_at
from billing.store.invoices import StoredInvoice, read_account_invoices
from billing.store.store import Connection
from billing.store.usage_totals import SegmentUse
from pricing_rules.document import DocumentError
from pricing_rules.money import currency
from pricing_rules.period import Period, moment_text, parse_moment
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Rating, rate_totals
from pricing_rules.usage.totals import BILLABLE_OUTCOMES


@dataclass(frozen=True, slots=True, kw_only=True)
class Horizon:
    """How far a close sees: usage through an epoch, books and agreements known at a moment."""

    through_epoch: int
    known_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """A period that was invoiced, and the epoch through which."""

    period: Period
    through_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DueInvoice:
    """What is due: ``draft`` is the invoice as it would be, None where nothing is.

    ``before``: the period was invoiced before. ``corrected``: the earlier periods that were
    compared with their invoices. ``open_usage``: the starts of earlier periods that have billable
    usage and no invoice; 0 for usage from before the first agreement.
    """

    draft: Invoice | None
    before: bool
    corrected: tuple[Period, ...]
    open_usage: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class KnownBooks:
    """The books of each series as they were known at a moment, each read once.

    Use one only inside one command: books that are stored later are not seen.
    """

    as_of: int
    _found: dict[str, BooksInForce | None] = field(default_factory=dict)
    _published: dict[int, int] = field(default_factory=dict)

    def of(self, series: str, *, connection: Connection) -> BooksInForce | None:
        """The books of a series; None where none was known."""
        if series not in self._found:
            self._found[series] = books_known(connection, series=series, as_of=self.as_of)
        return self._found[series]

    def changed(self, series: str, *, connection: Connection, covered: Covered) -> bool:
        """Whether a book became known after a period was invoiced that may price its usage."""
        epoch = covered.through_epoch
        if epoch not in self._published:
            sealed_at = epoch_sealed_at(connection, epoch=epoch)
            if sealed_at is None:
                raise AssertionError(f"epoch {epoch} was billed and never sealed")
            self._published[epoch] = sealed_at
        books = self.of(series, connection=connection)
        return books is not None and any(
            (book.published_at or 0) > self._published[epoch]
            and book.effective_from < covered.period.end_at
            for book in books.books
        )


def due_of(
    connection: Connection,
    *,
    agreed: AgreedPeriod,
    versions: Sequence[Agreement],
    horizon: Horizon,
    books: KnownBooks,
    usage: AccountUsage,
) -> DueInvoice:
    """What the account of ``agreed`` owes for its period, with the corrections of earlier ones.

    ``usage``: that of the account. DocumentError where no book of its series is known, and where an
    invoice of the account was changed in the store.
    """
    account, period = agreed.agreement.account, agreed.period
    stored = read_account_invoices(connection, account=account)
    covers = covered_periods(stored)
    used = usage.segments(through_epoch=horizon.through_epoch)
    before = period.start_at in covers
    rate = _Rater(connection=connection, horizon=horizon, books=books, usage=usage)
    corrections = _corrections(
        rate,
        stored=stored,
        covers=[one for at, one in sorted(covers.items()) if at <= period.start_at],
        versions=versions,
        used=used,
        issuer=agreed.agreement.issuer.name,
    )
    has_own = not before and any(one.segment_start_at in period for one in used)
    draft = None
    if has_own or corrections:
        known = rate.books_of(agreed)
        rated = (
            rate.rated(agreed)
            if has_own
            else _Rated(rating=Rating(currency=currency(known.currency), charges=(), unpriced=()))
        )
        draft = draft_invoice(
            rated.rating,
            agreement=agreed.agreement,
            books=known,
            period=period,
            corrections=corrections,
            elsewhere=rated.elsewhere,
        )
    return DueInvoice(
        draft=draft if draft is not None and (draft.lines or draft.unpriced) else None,
        before=before,
        corrected=tuple(one.period for one in corrections),
        open_usage=_open_usage(used, versions=versions, covers=covers, period=period),
    )


def covered_periods(stored: Sequence[StoredInvoice]) -> dict[int, Covered]:
    """The periods that invoices of one account bill or correct, by start, with the last epoch."""
    found: dict[int, Covered] = {}
    for one in stored:
        for cover in _read_covers(one.document).covers:
            start_at = parse_moment(cover.start_at)
            before = found.get(start_at)
            if before is None or before.through_epoch < cover.through_epoch:
                period = Period(start_at=start_at, end_at=parse_moment(cover.end_at))
                found[start_at] = Covered(period=period, through_epoch=cover.through_epoch)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rated:
    """The charges of a period, and the findings on where its usage was served."""

    rating: Rating
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rater:
    """Rates periods of one account."""

    connection: Connection
    horizon: Horizon
    books: KnownBooks
    usage: AccountUsage

    def books_of(self, agreed: AgreedPeriod) -> BooksInForce:
        series = agreed.agreement.series
        known = self.books.of(series, connection=self.connection)
        if known is None:
            raise DocumentError(
                f"account {agreed.agreement.account}",
                f"follows the series {series}, of which no price book was known at "
                f"{moment_text(self.horizon.known_at)}; load one",
            )
        return known

    def rated(self, agreed: AgreedPeriod) -> _Rated:
        books = self.books_of(agreed)
        found = self.usage.totals(
            agreed.period,
            through_epoch=self.horizon.through_epoch,
            since_at=books.allowances_since_at(agreed.period),
        )
        return _Rated(
            rating=rate_totals(found.totals, books=books, grid=found.grid, earlier=found.earlier),
            elsewhere=served_elsewhere(found.totals, agreement=agreed.agreement),
        )

    def since_at(self, agreed: AgreedPeriod) -> int:
        """From when on usage bears on the charges of a period."""
        return self.books_of(agreed).allowances_since_at(agreed.period)


def _corrections(
    rate: _Rater,
    *,
    stored: Sequence[StoredInvoice],
    covers: Sequence[Covered],
    versions: Sequence[Agreement],
    used: Sequence[SegmentUse],
    issuer: str,
) -> tuple[Correction, ...]:
    """The corrections of invoiced periods of which more or other is known now, for an invoice of
    ``issuer``.
    """
    found: list[Correction] = []
    invoices: tuple[Invoice, ...] = ()
    for covered in covers:
        agreed = billing_period_at(versions, moment_at=covered.period.start_at)
        if agreed is None or agreed.period != covered.period:
            raise AssertionError(f"an invoiced period is not one of the agreement: {covered}")
        # Late usage of the days before a period may have used up an allowance of its first month.
        since_at = rate.since_at(agreed)
        late = any(
            since_at <= one.segment_start_at < covered.period.end_at
            and one.epoch > covered.through_epoch
            for one in used
        )
        if not late and not rate.books.changed(
            agreed.agreement.series, connection=rate.connection, covered=covered
        ):
            continue
        invoices = invoices or tuple(read_checked(one) for one in stored)
        invoiced = invoiced_for(covered.period, invoices=invoices)
        if invoiced is None:
            raise AssertionError(f"a covered period has no invoice: {covered}")
        rated = rate.rated(agreed)
        correction = corrections_for(
            rated.rating,
            agreement=agreed.agreement,
            books=rate.books_of(agreed),
            period=covered.period,
            invoiced=invoiced,
            issuer=issuer,
        )
        findings = (*correction.findings, *rated.elsewhere)
        found.append(replace(correction, findings=findings))
    return tuple(found)


def _open_usage(
    used: Sequence[SegmentUse],
    *,
    versions: Sequence[Agreement],
    covers: dict[int, Covered],
    period: Period,
) -> tuple[int, ...]:
    events: dict[int, int] = {}
    for one in used:
        if one.segment_start_at >= period.start_at or not BILLABLE_OUTCOMES[one.outcome]:
            continue
        agreed = billing_period_at(versions, moment_at=one.segment_start_at)
        start_at = agreed.period.start_at if agreed else 0
        if start_at not in covers:
            events[start_at] = events.get(start_at, 0) + one.events
    # Usage that was taken away whole is none.
    return tuple(start_at for start_at, number in sorted(events.items()) if number)


class _Cover(msgspec.Struct):
    start_at: str
    end_at: str
    through_epoch: int


class _Covers(msgspec.Struct):
    """The part of an invoice that says what it covers; the rest is not read."""

    covers: tuple[_Cover, ...]


_read_covers = msgspec.json.Decoder(_Covers).decode

"""A pricing review from files: usage of two periods, books, market, factory, policy, agreements.

Invariant: the digests are those of the bytes that were read, and each row that is not counted is
named with its file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from billing.domain.agreement.agreement import Agreement
from billing.domain.charging.agreed_discounts import agreed_off
from billing.domain.charging.backtest_report import RefusedInFile
from billing.domain.charging.pricing_review import PricingReviewReport, ReviewInput
from billing.domain.charging.report import EventCounts
from billing.engines.duckdb_totals import Totals, run_totals
from billing.engines.event_runs import run_span
from billing.operations.files import read_file, refuse_other, write_file
from billing.operations.usage_files import RefusedUsage, UsedFile, one_usage
from pricing_rules.cost.factory import Factory
from pricing_rules.document import DocumentError, bytes_digest, load_yaml
from pricing_rules.period import Period
from pricing_rules.planning.attention import DAY_MICROSECONDS
from pricing_rules.planning.pool_use import PoolHours, pools_of_book, pools_of_factory
from pricing_rules.prices.price_book import BooksInForce, PriceBook, load_price_book
from pricing_rules.prices.rating import grid_for, rate_totals
from pricing_rules.usage.totals import Grid, UsageTotal, not_billable_events

if TYPE_CHECKING:
    from pricing_rules.planning.review import UsedPeriod

_WEEK = 7 * DAY_MICROSECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewFiles:
    """The files of a review. ``before_usage``: none means the period before in ``usage``;
    ``before_factory``: None means that the factory was the same.
    """

    usage: Sequence[Path]
    before_usage: Sequence[Path] = ()
    price_books: Sequence[Path]
    previous_book: Path | None = None
    markets: Sequence[Path] = ()
    factory: Path | None = None
    before_factory: Path | None = None
    policy: Path | None = None
    agreements: Sequence[Path] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """Usage of some files in the cells of the books' grid, and what became of its rows."""

    periods: tuple[Period, ...]
    grid: Grid
    totals: Totals
    files: tuple[UsedFile, ...]
    refused: tuple[RefusedUsage, ...]


@dataclass(slots=True)
class _Inputs:
    """The documents that were read, each with its digest."""

    listed: list[ReviewInput] = field(default_factory=list)

    def read(self, path: Path, *, role: str) -> bytes:
        data = read_file(path)
        self.add(role, name=path.name, sha256=bytes_digest(data))
        return data

    def add(self, role: str, *, name: str, sha256: str) -> None:
        value = {"role": role, "name": name, "sha256": sha256}
        self.listed.append(ReviewInput.model_validate(value))

    def with_usage(
        self, files: Sequence[UsedFile], *, before: Sequence[UsedFile]
    ) -> tuple[ReviewInput, ...]:
        """All of them, and the usage files."""
        for role, used in (("usage", files), ("usage before", before)):
            for file in used:
                self.add(role, name=file.name, sha256=f"sha256:{file.sha256}")
        return tuple(self.listed)


def review_pricing(
    files: ReviewFiles, *, period: Period | None, at: int, stale_days: int
) -> PricingReviewReport:
    """The review of a period, by default the last seven days of the usage, whole days in UTC.

    ``at``: the moment of the review, from which ages and ends are counted. DocumentError where a
    file is none, where nothing was used in the period, and where documents do not belong together.
    """
    # They bring CEL and SciPy, which those who only ask for help need not wait for.
    from billing.domain.charging.pricing_review_figures import report_review
    from pricing_rules.planning.review import pricing_review
    from pricing_rules.rules.market import load_market
    from pricing_rules.rules.policy import load_policy

    if files.before_factory and not files.factory:
        raise DocumentError("--before-factory", "needs --factory beside it, to compare with")
    inputs = _Inputs()
    books, previous = _books(files, inputs=inputs)
    markets = [
        load_market(inputs.read(path, role="market"), name=path.name) for path in files.markets
    ]
    policy = (
        load_policy(inputs.read(files.policy, role="policy"), name=files.policy.name)
        if files.policy
        else None
    )
    agreements = [
        load_yaml(Agreement, inputs.read(path, role="agreement"), name=path.name)
        for path in files.agreements
    ]
    factory = _factory(files.factory, inputs=inputs, role="factory")
    before_factory = _factory(files.before_factory, inputs=inputs, role="factory before")
    read, other = _read_both(files, books=books, period=period)
    reviewed_period = read.periods[0]
    used, findings = _used_period(
        read, period=reviewed_period, books=books, agreements=agreements, factory=factory
    )
    if not used.charges and not used.unpriced:
        names = ", ".join(file.name for file in read.files)
        raise DocumentError(names, f"holds no billable event in {reviewed_period.text()}")
    before, _ = _used_period(
        other,
        period=other.periods[-1],
        books=books,
        agreements=agreements,
        factory=before_factory or factory,
    )
    review = pricing_review(
        used,
        before=before,
        books=books,
        previous=previous,
        markets=markets,
        policy=policy,
        at=at,
        stale_days=stale_days,
    )
    return report_review(
        review,
        findings=findings,
        stale_days=stale_days,
        events=_events(read, inside=used.totals),
        inputs=inputs.with_usage(read.files, before=other.files if other is not read else ()),
        refused=tuple(
            RefusedInFile(file=one.file, row=one.row, reason=one.reason)
            for one in (*read.refused, *(other.refused if other is not read else ()))
        ),
    )


def _read_both(
    files: ReviewFiles, *, books: BooksInForce, period: Period | None
) -> tuple[_Read, _Read]:
    """The usage of the period and that of the period before: the same where one set of files holds
    both.
    """
    read = _read(
        files.usage,
        books=books,
        periods=lambda span: _with_before(period or _last_week(span), files=files),
    )
    if not files.before_usage:
        return read, read
    other = _read(
        files.before_usage,
        books=books,
        periods=lambda span: (_last_before(span, period=read.periods[0]),),
    )
    return read, other


def _with_before(period: Period, *, files: ReviewFiles) -> tuple[Period, ...]:
    """The period, and the one before it where the same files hold that."""
    return (period,) if files.before_usage else (period, _before(period))


def write_page(report: PricingReviewReport, *, path: Path) -> None:
    """Write a review as one page of HTML.

    DocumentError where something else than a page stands at ``path``.
    """
    from billing.documents.review_page import render_review

    refuse_other(path, begins=b"<!doctype html>")
    write_file(path, data=render_review(report))


def _books(files: ReviewFiles, *, inputs: _Inputs) -> tuple[BooksInForce, PriceBook | None]:
    """The books, and the one before the newest: the one that is named, or of those that are given.

    The book that is named before is in force before the others, as a series has it.
    """
    given = [
        load_price_book(inputs.read(path, role="price book"), name=path.name)
        for path in files.price_books
    ]
    if files.previous_book is None:
        ordered = sorted(given, key=lambda book: (book.effective_from, book.number))
        return BooksInForce(books=tuple(given)), ordered[-2] if len(ordered) > 1 else None
    path = files.previous_book
    previous = load_price_book(inputs.read(path, role="previous book"), name=path.name)
    return BooksInForce(books=(previous, *given)), previous


def _factory(path: Path | None, *, inputs: _Inputs, role: str) -> Factory | None:
    from pricing_rules.cost.factory import load_factory

    return None if path is None else load_factory(inputs.read(path, role=role), name=path.name)


def _read(
    paths: Sequence[Path],
    *,
    books: BooksInForce,
    periods: Callable[[Period], tuple[Period, ...]],
) -> _Read:
    """The usage of periods that are chosen by its span, and before them what their allowances need;
    the first is the last one in time.
    """
    with one_usage(paths, trace=None) as found:
        names = ", ".join(file.name for file in found.files)
        span = run_span(found.run)
        if span is None:
            nothing = run_totals(found.run, grid=Grid(), period=None)
            found.refuse_nothing(nothing.accepted, verdicts=nothing.verdicts)
            raise DocumentError(names, "holds no usage event: there is nothing to review")
        chosen = periods(span)
        since_at = min(books.allowances_since_at(one) for one in chosen)
        whole = Period(start_at=since_at, end_at=chosen[0].end_at)
        grid = grid_for(books, period=whole)
        bounds = {at for one in chosen for at in (one.start_at, one.end_at)}
        grid = replace(grid, instants_at=tuple(sorted({*grid.instants_at, *bounds})))
        totals = run_totals(found.run, grid=grid, period=whole)
        found.refuse_nothing(totals.accepted, verdicts=totals.verdicts)
        return _Read(
            periods=chosen,
            grid=grid,
            totals=totals,
            files=found.files,
            refused=found.refused(totals.verdicts),
        )


def _last_week(span: Period) -> Period:
    """The seven whole days in UTC up to the last event."""
    end_at = -(-span.end_at // DAY_MICROSECONDS) * DAY_MICROSECONDS
    return Period(start_at=end_at - _WEEK, end_at=end_at)


def _before(period: Period) -> Period:
    """The period before, as long as this one."""
    length = period.end_at - period.start_at
    return Period(start_at=period.start_at - length, end_at=period.start_at)


def _last_before(span: Period, *, period: Period) -> Period:
    """As long a period of other usage: the last one that ends by the start of this one."""
    end_at = min(period.start_at, -(-span.end_at // DAY_MICROSECONDS) * DAY_MICROSECONDS)
    return Period(start_at=end_at - (period.end_at - period.start_at), end_at=end_at)


def _used_period(
    read: _Read,
    *,
    period: Period,
    books: BooksInForce,
    agreements: Sequence[Agreement],
    factory: Factory | None,
) -> tuple[UsedPeriod, tuple[str, ...]]:
    """A period as it was used and charged, and what agreements say of it."""
    from pricing_rules.planning.review import UsedPeriod

    since_at = books.allowances_since_at(period)
    inside = [one for one in read.totals.totals if one.cell.segment_start_at in period]
    earlier = [
        one for one in read.totals.totals if since_at <= one.cell.segment_start_at < period.start_at
    ]
    rating = rate_totals(inside, books=books, grid=read.grid, earlier=earlier)
    agreed = agreed_off(
        rating.charges, totals=inside, agreements=agreements, books=books, period=period
    )
    used = UsedPeriod(
        period=period,
        totals=inside,
        charges=rating.charges,
        unpriced=rating.unpriced,
        off_shares=agreed.shares,
        pools=_pools(books.at(period.end_at - 1), factory=factory, period=period),
    )
    return used, agreed.findings


def _pools(
    book: PriceBook | None, *, factory: Factory | None, period: Period
) -> tuple[PoolHours, ...]:
    """The pools by the factory, else by the book in force; none where there is no book."""
    if book is None:
        return ()
    if factory is None:
        return pools_of_book(book, period=period)
    per_usd = Fraction(book.exchange.per_usd) if book.exchange else Fraction(1)
    return pools_of_factory(factory, period=period, per_usd=per_usd)


def _events(read: _Read, *, inside: Sequence[UsageTotal]) -> EventCounts:
    totals = read.totals
    counted, reviewed = (sum(one.events for one in some) for some in (totals.totals, inside))
    return EventCounts(
        received=totals.received,
        accepted=totals.accepted,
        duplicate=totals.duplicate,
        conflict=totals.conflict,
        rejected=totals.rejected,
        outside_period=totals.outside_period + counted - reviewed,
        not_billable=not_billable_events(inside),
    )

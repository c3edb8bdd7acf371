"""Rating a usage file under price books.

Invariant: totals come from the engine, charges from the pure core; here they only meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from billing.domain.charging.report import EventCounts, RatingReport, RefusedRow, report_rating
from billing.engines.duckdb_totals import Totals
from billing.operations.price_book import read_books
from billing.operations.usage import read_totals
from pricing_rules.period import Period
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.prices.rating import Rating, grid_for, rate_totals
from pricing_rules.usage.totals import not_billable_events


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedFile:
    """A usage file under its books: what was read, and what it is charged."""

    books: BooksInForce
    totals: Totals
    rating: Rating


def rate_file(usage: Path, *, books: BooksInForce, period: Period | None) -> RatedFile:
    """The charges of every account of a usage file, exactly.

    Usage of the file before the period is outside of it, and still uses up what allowances of a
    day or a month that began before it have left.
    """
    if period is None or books.allowances_since_at(period) == period.start_at:
        grid = grid_for(books, period=period)
        totals = read_totals(usage, grid=grid, period=period)
        rating = rate_totals(totals.totals, books=books, grid=grid)
        return RatedFile(books=books, totals=totals, rating=rating)
    since = Period(start_at=books.allowances_since_at(period), end_at=period.end_at)
    grid = grid_for(books, period=since)
    grid = replace(grid, instants_at=tuple(sorted({*grid.instants_at, period.start_at})))
    found = read_totals(usage, grid=grid, period=since)
    earlier = [t for t in found.totals if t.cell.segment_start_at < period.start_at]
    now = tuple(t for t in found.totals if t.cell.segment_start_at >= period.start_at)
    outside = found.outside_period + sum(total.events for total in earlier)
    return RatedFile(
        books=books,
        totals=replace(found, totals=now, outside_period=outside),
        rating=rate_totals(now, books=books, grid=grid, earlier=earlier),
    )


def rate(usage: Path, *, price_books: Sequence[Path], period: Period | None) -> RatingReport:
    """The rating of a usage file as a document."""
    rated = rate_file(usage, books=read_books(price_books), period=period)
    totals = rated.totals
    return report_rating(
        rated.rating,
        books=rated.books,
        period=period.text() if period else None,
        events=EventCounts(
            received=totals.received,
            accepted=totals.accepted,
            duplicate=totals.duplicate,
            conflict=totals.conflict,
            rejected=totals.rejected,
            outside_period=totals.outside_period,
            not_billable=not_billable_events(totals.totals),
        ),
        refused=tuple(RefusedRow(row=v.row, reason=v.reason) for v in totals.verdicts),
    )

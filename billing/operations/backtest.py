"""A backtest of price books over past usage: gather, rate both sides, judge the gates.

Invariant: the events are read once for both sides, and the digests are those of the bytes that were
read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from billing.domain.charging.backtest_report import (
    BacktestReport,
    RefusedInFile,
    UsageUsed,
    report_backtest,
)
from billing.domain.charging.report import EventCounts
from billing.engines.duckdb_totals import run_totals
from billing.engines.event_runs import run_span
from billing.operations.files import read_file, refuse_other, write_file
from billing.operations.price_book import read_books
from billing.operations.usage_file import Trace
from billing.operations.usage_files import UsedFile, one_usage
from billing.operations.usage_mix import read_mix
from pricing_rules.document import DocumentError
from pricing_rules.period import Period
from pricing_rules.planning.backtest import (
    backtest,
    backtest_grid,
    backtest_since_at,
    billing_months,
)
from pricing_rules.planning.gates import Gate, judge, parse_gates
from pricing_rules.planning.mix_totals import mix_totals, mixes_span
from pricing_rules.prices.price_book import BooksInForce
from pricing_rules.usage.totals import Grid, UsageTotal, not_billable_events


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The books that are compared, and what must hold."""

    after: BooksInForce
    before: BooksInForce
    gates: tuple[Gate, ...]


def read_sides(
    price_books: Sequence[Path], *, against: Sequence[Path], fail_if: Sequence[str]
) -> Sides:
    """The books ``price_books`` and those that they are tested against, with the gates.

    DocumentError where a book or a gate is none.
    """
    gates = parse_gates(fail_if)
    return Sides(after=read_books(price_books), before=read_books(against), gates=gates)


def backtest_files(
    usage: Sequence[Path], *, sides: Sides, period: Period | None, trace: Trace | None
) -> BacktestReport:
    """The backtest of the usage of files.

    ``period``: only the usage in it; None: all, from the first event to the last. Usage of before
    the period uses up allowances, as in ``rate_file``. DocumentError
    where a file is none, where the sides do not share a currency, and where no usage is left.
    """
    with one_usage(usage, trace=trace) as found:
        names = ", ".join(file.name for file in found.files)
        span = period or run_span(found.run)
        if span is None:
            nothing = run_totals(found.run, grid=Grid(), period=None)
            found.refuse_nothing(nothing.accepted, verdicts=nothing.verdicts)
            raise DocumentError(names, "holds no usage event: there is nothing to rate")
        months = billing_months(span)
        grid = backtest_grid(sides.after, before=sides.before, months=months)
        since_at = backtest_since_at(sides.after, before=sides.before, months=months)
        read = Period(start_at=since_at, end_at=span.end_at)
        totals = run_totals(found.run, grid=grid, period=read)
        found.refuse_nothing(totals.accepted, verdicts=totals.verdicts)
        refused = found.refused(totals.verdicts)
    inside = [one for one in totals.totals if one.cell.segment_start_at >= span.start_at]
    counted = sum(total.events for total in inside)
    return _report(
        totals.totals,
        sides=sides,
        months=months,
        files=found.files,
        events=EventCounts(
            received=totals.received,
            accepted=totals.accepted,
            duplicate=totals.duplicate,
            conflict=totals.conflict,
            rejected=totals.rejected,
            outside_period=totals.accepted - counted,
            not_billable=not_billable_events(inside),
        ),
        refused=tuple(
            RefusedInFile(file=one.file, row=one.row, reason=one.reason) for one in refused
        ),
    )


def backtest_mixes(paths: Sequence[Path], *, sides: Sides) -> BacktestReport:
    """The backtest of usage mixes, without their events.

    DocumentError as in ``backtest_files``, and where a rate depends on what a mix does not hold.
    """
    mixes = [read_mix(path) for path in paths]
    months = billing_months(mixes_span(mixes))
    grid = backtest_grid(sides.after, before=sides.before, months=months)
    totals = mix_totals(mixes, sides=(sides.before, sides.after), months=months, grid=grid)
    events = sum(mix.events for mix in mixes)
    return _report(
        totals,
        sides=sides,
        months=months,
        files=tuple(
            UsedFile(name=path.name, sha256=hashlib.sha256(read_file(path)).hexdigest())
            for path in paths
        ),
        events=EventCounts(
            received=events,
            accepted=events,
            duplicate=0,
            conflict=0,
            rejected=0,
            outside_period=0,
            not_billable=0,
        ),
        refused=(),
    )


def _report(
    totals: Sequence[UsageTotal],
    *,
    sides: Sides,
    months: Sequence[Period],
    files: Sequence[UsedFile],
    events: EventCounts,
    refused: tuple[RefusedInFile, ...],
) -> BacktestReport:
    tested = backtest(totals, after=sides.after, before=sides.before, months=months)
    if not tested.total.events:
        names = ", ".join(file.name for file in files)
        raise DocumentError(names, f"holds no billable event in {tested.span.text()}")
    return report_backtest(
        tested,
        before=sides.before,
        after=sides.after,
        usage=tuple(UsageUsed(name=file.name, sha256=file.sha256) for file in files),
        events=events,
        refused=refused,
        gates=[judge(gate, found=tested) for gate in sides.gates],
    )


def write_page(report: BacktestReport, *, path: Path) -> None:
    """Write a backtest as one page of HTML.

    DocumentError where something else than a page stands at ``path``.
    """
    from billing.documents.backtest_page import render_backtest

    refuse_other(path, begins=b"<!doctype html>")
    write_file(path, data=render_backtest(report))

"""``tokenworks backtest``: past usage under new price books and old ones, with gates for CI.

Invariant: JSON is the document ``tokenworks.backtest/1``; exit code 1 means that a gate tripped or
that rows are refused, each named.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click

from billing.cli.garbage import rare_collections
from billing.cli.offline import (
    price_books_option,
    print_refused_usage,
    usage_period_option,
    usages_option,
)
from billing.cli.output import format_option, print_rows, say
from billing.cli.stored import progress
from billing.cli.trace import described_trace, trace_options
from billing.domain.charging.backtest_report import BacktestReport, ComparisonRecord
from billing.operations.backtest import backtest_files, backtest_mixes, read_sides, write_page
from pricing_rules.document import DocumentError, dump
from pricing_rules.money import exact_text
from pricing_rules.period import Period
from pricing_rules.planning.gates import GATE_EXAMPLES, percent_text

COLUMNS = (
    "part",
    "account",
    "model",
    "service_tier",
    "events",
    "before",
    "after",
    "change",
    "change_percent",
    "margin_before",
    "margin_after",
)

_SHOWN = 10
"""Accounts that a table shows of those that pay more, and of those that pay less."""


@click.command("backtest")
@price_books_option
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    help="The price book that it is compared with; repeat it for a series.",
)
@usages_option
@usage_period_option
@trace_options
@click.option(
    "--mix",
    "mixes",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A usage mix in place of --usage, where no rate needs more than it holds; repeatable.",
)
@click.option(
    "--fail-if",
    multiple=True,
    metavar="GATE",
    help=f"Exit with 1 beyond a limit: {', '.join(GATE_EXAMPLES)}. Repeatable.",
)
@click.option("--report", type=click.Path(path_type=Path), help="Also one page of HTML.")
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    price_books: tuple[Path, ...],
    against: tuple[Path, ...],
    usages: tuple[Path, ...],
    period: Period | None,
    trace: Literal["azure", "mooncake"] | None,
    starting_at: str | None,
    accounts: tuple[str, ...],
    models: tuple[str, ...],
    service_tiers: tuple[str, ...],
    mixes: tuple[Path, ...],
    fail_if: tuple[str, ...],
    report: Path | None,
    shape: str,
) -> None:
    """Run the same past usage under a new price book and an old one, as if each had always held.

    It shows revenue, cost and margin by account and rate card, who pays more and less, floors that
    are not reached, unpriced usage and unused rates. Ladders, and allowances of the billing period,
    start anew with each calendar month in UTC. Rates are those of the books: no agreement is
    looked at.

    Example: tokenworks backtest --price-book book-2.json --against book-1.json
    --usage october.parquet --fail-if account-rises=25% --fail-if floor-breaches=0
    --report backtest.html
    """
    assigned = described_trace(
        trace,
        starting_at=starting_at,
        accounts=accounts,
        models=models,
        service_tiers=service_tiers,
    )
    sides = read_sides(price_books, against=against, fail_if=fail_if)
    if mixes and (usages or period or assigned):
        raise DocumentError("--mix", "stands alone: it is in place of --usage and its options")
    with rare_collections(), progress("backtest"):
        found = (
            backtest_mixes(mixes, sides=sides)
            if mixes
            else backtest_files(usages, sides=sides, period=period, trace=assigned)
        )
    if report is not None:
        write_page(found, path=report)
    rows = _rows(found, shown=_SHOWN if shape == "table" else len(found.accounts))
    print_rows(rows, columns=COLUMNS, shape=shape, document=dump(found), title="Backtest")
    if shape == "table":
        _summary(found)
    for gate in found.gates:
        say(f"gate {gate.gate} {'TRIPS' if gate.trips else 'holds'}: {gate.sentence}")
    if report is not None:
        say(f"wrote {report}")
    print_refused_usage([(one.file, one.row, one.reason) for one in found.refused])
    ctx.exit(1 if found.refused or found.tripped else 0)


def _rows(found: BacktestReport, *, shown: int) -> list[dict[str, object]]:
    """The total, the rate cards, and the accounts with the largest changes, rises first."""
    by_change = sorted(found.accounts, key=lambda one: -one.change)
    if shown < len(by_change):
        rises = [one for one in by_change if one.change > 0][:shown]
        falls = [one for one in by_change if one.change < 0][-shown:]
        by_change = [*rises, *falls]
    return [
        {"part": "total", **_figures(found.total)},
        *(
            {
                "part": "rate card",
                "model": card.model,
                "service_tier": card.service_tier,
                **_figures(card),
            }
            for card in found.rate_cards
        ),
        *(
            {"part": "account", "account": account.account, **_figures(account)}
            for account in by_change
        ),
    ]


def _figures(one: ComparisonRecord) -> dict[str, object]:
    return {
        "events": one.events,
        "before": exact_text(one.before.revenue),
        "after": exact_text(one.after.revenue),
        "change": exact_text(one.change),
        "change_percent": percent_text(one.change_share),
        "margin_before": percent_text(one.before.margin_share),
        "margin_after": percent_text(one.after.margin_share),
    }


def _summary(found: BacktestReport) -> None:
    events, changes = found.events, found.distribution
    say(
        f"{events.received:,} rows: {events.accepted:,} accepted, {events.duplicate:,} duplicate, "
        f"{events.conflict:,} conflict, {events.rejected:,} rejected; of the accepted "
        f"{events.outside_period:,} outside the period, {events.not_billable:,} not billable"
    )
    say(
        f"{len(found.accounts):,} accounts: {changes.paying_more:,} pay more, "
        f"{changes.paying_less:,} less, {changes.unchanged:,} the same; changes at p5, p50, p95: "
        f"{', '.join(percent_text(share) for share in (changes.p5, changes.p50, changes.p95))}"
    )
    for name, side in (("before", found.before), ("after", found.after)):
        say(
            f"{name}: {len(side.floor_breaches):,} floor breaches, {len(side.unpriced):,} unpriced "
            f"counts, {len(side.unused_rates):,} rates that no usage meets"
        )
        _name(
            name,
            [
                f"{one.account} on {one.model} in {one.service_tier}: revenue "
                f"{exact_text(one.revenue)} under the floor {exact_text(one.floor)}"
                for one in side.floor_breaches
            ],
        )
        _name(
            name,
            [
                f"{one.account}: unpriced {one.quantity:,} {one.unit} of {one.model} in "
                f"{one.service_tier}: {one.reason}"
                for one in side.unpriced
            ],
        )


def _name(side: str, sentences: Sequence[str]) -> None:
    for sentence in sentences[:_SHOWN]:
        say(f"{side}: {sentence}")
    if len(sentences) > _SHOWN:
        say(f"{side}: {len(sentences) - _SHOWN:,} more (--format json names all)")

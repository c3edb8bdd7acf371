"""``tokenworks pricing review``: the weekly pack of a pricing lead, as one page and as data.

Invariant: JSON is the document ``tokenworks.pricing-review/1``; exit code 1 means that rows are
refused, each named, and the page is written whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import click

from billing.cli.clock import now_at
from billing.cli.garbage import rare_collections
from billing.cli.offline import (
    price_books_option,
    print_refused_usage,
    usage_period,
    usages_option,
)
from billing.cli.output import format_option, print_rows, readable, say
from billing.domain.charging.pricing_review import PricingReviewReport, RateFigures
from billing.operations.pricing_review import ReviewFiles, review_pricing, write_page
from pricing_rules.document import dump
from pricing_rules.money import decimal_text, exact_text, to_read
from pricing_rules.period import Period
from pricing_rules.planning.gates import percent_text

COLUMNS = ("part", "about", "figure", "value", "unit", "says")

_ROWS = 10
"""Rows of each part that a table shows; CSV and JSON have all."""

_PATH = click.Path(path_type=Path)


def _reviewed_at(ctx: click.Context, param: click.Parameter, value: str | None) -> int:
    try:
        return now_at(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from None


@click.group("pricing")
def command() -> None:
    """Review what prices did."""


@command.command("review")
@price_books_option
@usages_option
@click.option(
    "--period",
    callback=lambda ctx, param, value: None if value is None else usage_period(value),
    metavar="PERIOD",
    help="A month such as 2026-10 (UTC), or START/END, half-open. Without it: the last seven days "
    "of the usage.",
)
@click.option(
    "--before-usage",
    type=_PATH,
    multiple=True,
    help="Usage of the period before, where --usage does not hold it; repeatable.",
)
@click.option("--previous-book", type=_PATH, help="The price book before, to compare rates with.")
@click.option(
    "--market", "markets", type=_PATH, multiple=True, help="A market snapshot; repeatable."
)
@click.option("--factory", type=_PATH, help="factory.yaml: accelerators, power, cost of hours.")
@click.option(
    "--before-factory", type=_PATH, help="factory.yaml of the period before, where it was another."
)
@click.option("--policy", type=_PATH, help="policy.yaml: subsidies and their budgets.")
@click.option(
    "--agreement",
    "agreements",
    type=_PATH,
    multiple=True,
    help="agreement.yaml of an account, for its discounts; repeatable.",
)
@click.option(
    "--at",
    "at",
    metavar="MOMENT",
    callback=_reviewed_at,
    help="The moment of the review, such as 2026-11-02T08:00:00Z. Without it: the clock.",
)
@click.option(
    "--stale-days",
    type=click.IntRange(min=0, max=36_500),
    default=90,
    show_default=True,
    help="Measurements older than so many days are stale.",
)
@click.option("--out", type=_PATH, help="Also one page of HTML.")
@format_option
@click.pass_context
def review(
    ctx: click.Context,
    *,
    price_books: tuple[Path, ...],
    usages: tuple[Path, ...],
    period: Period | None,
    before_usage: tuple[Path, ...],
    previous_book: Path | None,
    markets: tuple[Path, ...],
    factory: Path | None,
    before_factory: Path | None,
    policy: Path | None,
    agreements: tuple[Path, ...],
    at: int,
    stale_days: int,
    out: Path | None,
    shape: str,
) -> None:
    """Review a week: rates, pools, the worst accounts and why, and the change of cost.

    It shows the room of each rate over its floor and under the market, the utilization at which
    pools and cards break even, revenue per accelerator-hour and MWh, the twenty worst accounts by
    margin with the cause, why a token costs more or less than the week before, subsidies,
    overrides that end, stale measurements and open findings.

    Example: tokenworks pricing review --price-book book-7.json --usage october.parquet
    --factory factory.yaml --market market.json --agreement acme.yaml --out review.html
    """
    with rare_collections():
        found = review_pricing(
            ReviewFiles(
                usage=usages,
                before_usage=before_usage,
                price_books=price_books,
                previous_book=previous_book,
                markets=markets,
                factory=factory,
                before_factory=before_factory,
                policy=policy,
                agreements=agreements,
            ),
            period=period,
            at=at,
            stale_days=stale_days,
        )
    if out is not None:
        write_page(found, path=out)
    rows = review_rows(found)
    print_rows(
        _first(rows) if shape == "table" else rows,
        columns=COLUMNS,
        shape=shape,
        document=dump(found),
        title=f"Pricing review of {found.period}",
    )
    if shape == "table":
        for sentence in found.conclusions:
            say(sentence)
    if out is not None:
        say(f"wrote {out}")
    print_refused_usage([(one.file, one.row, one.reason) for one in found.refused])
    ctx.exit(1 if found.refused else 0)


def review_rows(found: PricingReviewReport) -> list[dict[str, object]]:
    """The review as rows of one figure each, with a sentence beside it."""
    money = found.currency
    per_mtok = f"{money} per million"
    return [
        _row("total", "all accounts", "margin", exact_text(found.total.margin), money, ""),
        *(
            _row(
                "rate",
                "/".join((one.model, one.service_tier, one.unit))
                + (f" when {one.when}" if one.when else ""),
                "room over the floor",
                "" if one.room is None else exact_text(one.room),
                per_mtok,
                _rate_says(one),
            )
            for one in found.rates
        ),
        *(
            _row(
                "pool",
                one.pool,
                "utilization",
                decimal_text(one.utilization),
                "share",
                f"breaks even at {_share(one.break_even_utilization)}, stated "
                f"{_share(one.stated_utilization)}; {decimal_text(one.revenue_per_hour)} {money} "
                f"per accelerator-hour, its hours leave {exact_text(one.result)} {money}",
            )
            for one in found.pools
        ),
        *(
            _row(
                "rate card",
                f"{one.model}/{one.service_tier}",
                "margin",
                exact_text(one.margin),
                money,
                f"breaks even at {_share(one.break_even_utilization)}, stated "
                f"{_share(one.stated_utilization)}",
            )
            for one in found.rate_cards
        ),
        *(
            _row("account", one.account, "margin", exact_text(one.margin), money, one.cause)
            for one in found.accounts
        ),
        *_variance_rows(found),
        *_attention_rows(found),
    ]


def _variance_rows(found: PricingReviewReport) -> Iterator[dict[str, object]]:
    per_mtok = f"{found.currency} per million tokens"
    for one in found.variance:
        about = one.pool or "all pools"
        if one.reason is not None:
            yield _row("variance", about, "change", "", per_mtok, one.reason)
            continue
        for name in ("change", "spend", "utilization", "mix", "efficiency"):
            yield _row("variance", about, name, exact_text(getattr(one, name)), per_mtok, "")


def _attention_rows(found: PricingReviewReport) -> Iterator[dict[str, object]]:
    for subsidy in found.subsidies:
        paid = "" if subsidy.paid is None else exact_text(subsidy.paid)
        says = f"budget {exact_text(subsidy.budget)}, until {subsidy.ends_at}"
        yield _row("subsidy", subsidy.id, "paid", paid, found.currency, says)
    for override in found.overrides:
        state = "ended" if override.has_ended else "ends"
        says = f"by {override.by}: {override.reason}"
        yield _row("override", override.finding, state, override.ends_at, "", says)
    for stale in found.stale:
        age = "" if stale.age_days is None else stale.age_days
        about = f"{stale.model}/{stale.service_tier}"
        says = f"measured {stale.oldest_date}" if stale.oldest_date else "without a date"
        yield _row("stale measurement", about, "age", age, "days", says)
    for finding in found.findings:
        yield _row("finding", finding.found_in, "", "", "", finding.sentence)
    for usage in found.unpriced:
        quantity = exact_text(Fraction(usage.quantity, usage.scale))
        about = f"{usage.account}/{usage.model}/{usage.service_tier}"
        yield _row("unpriced", about, "quantity", quantity, usage.unit, usage.reason)


def _rate_says(one: RateFigures) -> str:
    if one.floor is None:
        says = f"rate {exact_text(one.rate)}, no floor"
    else:
        says = (
            f"rate {exact_text(one.rate)}, {one.floor_kind} floor {decimal_text(one.floor)}; "
            f"breaks even at {_share(one.break_even_utilization)}, stated "
            f"{_share(one.stated_utilization)}"
        )
    if one.lowest_offer is not None:
        says += f"; lowest offer {exact_text(one.lowest_offer)} ({one.lowest_offer_by})"
    return says


def _share(share: Decimal | None) -> str:
    return percent_text(None if share is None else Fraction(share))


def _row(*cells: object) -> dict[str, object]:
    """A row of cells in the order of the columns."""
    return dict(zip(COLUMNS, cells, strict=True))


def _first(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """The first rows of each part, exact values shortened for the eye."""
    shown: list[dict[str, object]] = []
    for part in dict.fromkeys(row["part"] for row in rows):
        own = [row for row in rows if row["part"] == part]
        shown += ({**row, "value": _short(row["value"])} for row in own[:_ROWS])
        if len(own) > _ROWS:
            more = f"{len(own) - _ROWS:,} more (--format json or csv names all)"
            shown.append(_row(part, "", "", "", "", more))
    return shown


def _short(value: object) -> object:
    text = str(value)
    try:
        return text if len(text) <= 12 else readable(to_read(Fraction(text)))
    except ValueError:
        return text

"""``tokenworks price compare`` and ``price market``: a book beside what others ask.

Invariant: a model or a mapped name without an offer is named; a comparison writes nothing.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_rows, printable, say
from billing.cli.stored import moment_option
from billing.operations.market import GENAI_PRICES, compare_book, snapshot_market
from pricing_rules.document import dump
from pricing_rules.money import decimal_text

if TYPE_CHECKING:
    from pricing_rules.planning.market_comparison import RateBesideMarket

COMPARE_COLUMNS = (
    "model", "service_tier", "unit", "when", "up_to", "rate", "standing", "offers", "lowest",
    "lowest_by", "median", "highest", "highest_by", "against_lowest_percent",
    "against_median_percent", "against_highest_percent", "floor", "rate_over_floor_percent",
    "floor_over", "floor_against_lowest_percent", "floor_against_median_percent", "unit_cost",
    "unit_cost_for_lowest", "unit_cost_for_median", "floor_raised_by",
)  # fmt: skip
TABLE_COLUMNS = (
    "rate_of", "when", "rate", "over_floor_%", "lowest", "lowest_by", "median", "highest", "offers",
    "to_median_%", "standing", "floor_over",
)  # fmt: skip
MARKET_COLUMNS = ("model", "unit", "offers", "lowest", "highest")

_NAMES = click.option(
    "--names",
    type=click.Path(path_type=Path),
    help="names.yaml (tokenworks.market-names/1): further names of the models of the market.",
)
_AT = moment_option("--at", about="The moment whose prices count. Without it: now.")


@click.command("compare")
@click.argument("book", type=click.Path(path_type=Path))
@click.option(
    "--market",
    required=True,
    metavar="genai-prices|PATH",
    help="The data of the installed package genai-prices, or a snapshot of `price market`.",
)
@_NAMES
@_AT
@now_option
@format_option
def compare(
    *, book: Path, market: str, names: Path | None, at: int | None, now_at: int, shape: str
) -> None:
    """Hold each rate of a book, and its floor, against what others ask for the same model.

    The market is what the standard service tier of others asks for a plain request. A model is
    another's where the last parts of both names are the same, or where --names says so. Rates are
    compared before multipliers and discounts; a rate of larger requests has no offer. Where a floor
    is over an offer, the unit cost is named that would meet it.

    Example: tokenworks price compare book-1.json --market genai-prices --names names.yaml
    """
    if market != GENAI_PRICES and at is not None:
        raise click.UsageError("a snapshot has a date of its own; leave --at out")
    found = compare_book(book, market=market, at=now_at if at is None else at, names=names)
    columns: tuple[str, ...] = COMPARE_COLUMNS
    rows = [_row(one) for one in found.rates]
    if shape == "table":
        columns = TABLE_COLUMNS
        rows = [_table_row(one) for one in found.rates if one.offers is not None]
    title = f"{book.name} beside {Path(market).name}, {found.market['currency']} per million"
    print_rows(rows, columns=columns, shape=shape, document=found.as_json(), title=title)
    if shape == "table":
        for sentence in dict.fromkeys(s for one in found.rates if (s := _needed(one))):
            say(sentence)
        counts = Counter(one.standing for one in found.rates)
        say(f"market: {found.market['source']}")
        counted = (f"{number} {standing}" for standing, number in counts.most_common())
        say(f"rates: {', '.join(counted)}")
    _say_unmatched(found.unmatched, unused=found.unused)


@click.command("market")
@click.option(
    "--from",
    "source",
    type=click.Choice([GENAI_PRICES]),
    required=True,
    help="Whose data: genai-prices is the installed package.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="Only this model, under exactly this name; repeatable. Without it: all that are offered.",
)
@_NAMES
@_AT
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The snapshot.")
@now_option
@format_option
@click.pass_context
def market(
    ctx: click.Context,
    *,
    source: str,
    models: tuple[str, ...],
    names: Path | None,
    at: int | None,
    out: Path,
    now_at: int,
    shape: str,
) -> None:
    """Write a dated snapshot of the market, which the rules of a policy can anchor rates to.

    It says which version of which data it was made of. Exit code 1 where a --model has no offer.

    Example: tokenworks price market --from genai-prices --model gpt-oss-120b --out market.json
    """
    found = snapshot_market(
        at=now_at if at is None else at, models=list(models) or None, names=names, out=out
    )
    assert found.ours.market is not None, "without an offer nothing was written"
    offers: dict[tuple[str, str], list[Decimal]] = {}
    for one in found.ours.market.rates:
        offers.setdefault((one.model, one.unit), []).append(one.per_mtok)
    rows: list[dict[str, object]] = [
        {
            "model": model,
            "unit": unit,
            "offers": len(asked),
            "lowest": decimal_text(min(asked)),
            "highest": decimal_text(max(asked)),
        }
        for (model, unit), asked in offers.items()
    ]
    document = dump(found.ours.market)
    print_rows(rows, columns=MARKET_COLUMNS, shape=shape, document=document, title=out.name)
    for entry in found.refused:
        say(printable(f"left out: {entry.entry}: {entry.sentence()}"))
    if found.left_out:
        say(f"left out: {len(found.left_out)} rates that no million of their unit has")
    _say_unmatched(found.ours.unmatched, unused=found.ours.unused)
    say(f"wrote {out}: {found.ours.market.source}")
    ctx.exit(1 if found.ours.unmatched else 0)


def _say_unmatched(unmatched: tuple[str, ...], *, unused: tuple[str, ...]) -> None:
    for name in unmatched:
        say(printable(f"no offer of {name}; map its names with --names"))
    for name in unused:
        say(printable(f"no offer is called {name}, which --names names; check its spelling"))


def _row(one: RateBesideMarket) -> dict[str, object]:
    row: dict[str, object] = {
        "model": one.model,
        "service_tier": one.service_tier,
        "unit": one.unit,
        "when": one.when,
        "up_to": one.up_to,
        "rate": one.rate,
        "standing": one.standing,
        "against_lowest_percent": one.against_lowest_percent,
        "against_median_percent": one.against_median_percent,
        "against_highest_percent": one.against_highest_percent,
    }
    if one.offers is not None:
        row |= {
            "offers": one.offers.count,
            "lowest": one.offers.lowest,
            "lowest_by": "; ".join(one.offers.lowest_by),
            "median": one.offers.median,
            "highest": one.offers.highest,
            "highest_by": "; ".join(one.offers.highest_by),
        }
    if one.floor is not None:
        row |= {
            "floor": one.floor.floor,
            "rate_over_floor_percent": one.floor.rate_over_percent,
            "floor_over": one.floor.over,
            "floor_against_lowest_percent": one.floor.against_lowest_percent,
            "floor_against_median_percent": one.floor.against_median_percent,
            "unit_cost": one.floor.unit_cost,
            "unit_cost_for_lowest": one.floor.unit_cost_for_lowest,
            "unit_cost_for_median": one.floor.unit_cost_for_median,
            "floor_raised_by": one.floor.raised_by,
        }
    return row


def _table_row(one: RateBesideMarket) -> dict[str, object]:
    up_to = f"up to {one.up_to}" if one.up_to else ""
    row = _row(one)
    by = one.offers.lowest_by if one.offers else ("",)
    return {
        **{name: "" if value is None else value for name, value in row.items()},
        "rate_of": f"{one.model} {one.service_tier} {one.unit}",
        "when": " ".join(filter(None, (one.when, up_to))),
        "lowest_by": by[0] if len(by) == 1 else f"{by[0]} +{len(by) - 1}",
        "over_floor_%": _one_decimal(one.floor.rate_over_percent if one.floor else None),
        "to_median_%": _one_decimal(one.against_median_percent),
        "standing": one.standing.replace("every offer", "all").replace(" the offers", ""),
        "floor_over": one.floor.over.replace("the ", "")
        .replace("every", "all")
        .replace(" offer", "")
        if one.floor
        else "",
    }


def _one_decimal(percent: str | None) -> str:
    whole, _, decimals = (percent or "").partition(".")
    return f"{whole}.{decimals[:1] or '0'}" if percent else ""


def _needed(one: RateBesideMarket) -> str:
    """Where a floor is over an offer: what the unit cost is, and what would meet the market."""
    if one.floor is None or not one.floor.over:
        return ""
    held = f", held by {one.floor.raised_by}" if one.floor.raised_by else ""
    needed = [
        f"{cost} for the {word}" if cost != "none" else f"none would do for the {word}"
        for word, cost in (
            ("lowest offer", one.floor.unit_cost_for_lowest),
            (
                "median",
                one.floor.unit_cost_for_median if one.floor.over != "the lowest offer" else None,
            ),
        )
        if cost is not None
    ]
    return (
        f"{one.model}/{one.service_tier}/{one.unit}: the floor {one.floor.floor}{held} is over "
        f"{one.floor.over}; the unit cost is {one.floor.unit_cost}, needed: {', '.join(needed)}"
    )

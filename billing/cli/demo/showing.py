"""What the demo shows of a price book and of a walk: the part that fits on a screen.

Invariant: nothing is computed here; every figure stands in the book or in the walk.
"""

from __future__ import annotations

import click

from billing.cli.output import print_table
from pricing_rules.prices.explain import Step, plain
from pricing_rules.prices.price_book import PriceBook


def show_hardware(book: PriceBook) -> None:
    """What a token takes on each hardware, in the standard service tier."""
    rows = [
        {
            "model": card.model,
            "hardware": one.hardware,
            "USD_per_hour": plain(one.usd_per_hour),
            "us_per_input_token": plain(one.us_per_input_token),
            "us_per_output_token": plain(one.us_per_output_token),
            "fit": one.fit,
            "share_of_capacity": plain(one.share_of_capacity),
            "measured_rows": sum(len(p.source.rows) for s in one.shapes for p in s.points),
        }
        for card in book.rate_cards
        if card.cost is not None and card.service_tier == "standard"
        for one in card.cost.hardware
    ]
    if rows:
        print_table(rows, columns=tuple(rows[0]), title="What a token takes at 50 tokens/s a user")


def show_findings(book: PriceBook) -> None:
    """How many findings of each kind a candidate has, and one of each."""
    kinds = sorted({finding.kind for finding in book.findings})
    click.echo(f"{len(book.findings)} findings, which publishing asks a person to sign off:")
    for kind in kinds:
        first = next(finding for finding in book.findings if finding.kind == kind)
        count = sum(finding.kind == kind for finding in book.findings)
        click.echo(f"  {count:2} {kind}, such as: {first.sentence}")


def show_rates(book: PriceBook) -> None:
    """Floors and rates of the book where no condition holds; of a ladder, its first band."""
    rows = []
    for card in book.rate_cards:
        floors = {f.unit: plain(f.floor) for f in card.cost.floors} if card.cost else {}
        row = {"model": card.model, "service_tier": card.service_tier}
        for entry in card.rates:
            if entry.when.text():
                continue
            first = entry.rate if entry.ladder is None else entry.ladder.bands[0].rate
            ladder = "" if entry.ladder is None else " (ladder)"
            unit = entry.unit.removesuffix("_tokens")
            row[unit] = "" if first is None else plain(first) + ladder
            row[f"{unit}_floor"] = floors.get(entry.unit, "cost: none")
        rows.append(row)
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    title = f"{book.series} number {book.number}: {book.currency} per million tokens"
    print_table(rows, columns=columns, title=title)


def show_first_branch(step: Step, *, depth: int = 0) -> None:
    """The walk along one branch: the deepest way down, its siblings only counted."""
    click.echo(f"{'  ' * depth}{step.kind}: {step.sentence}")
    if not step.rests_on:
        return
    deepest = max(step.rests_on, key=_depth)
    for below in step.rests_on:
        if below is deepest:
            show_first_branch(below, depth=depth + 1)
        elif step.kind == "rate":
            click.echo(f"{'  ' * (depth + 1)}{below.kind}: {below.sentence}")
    hidden = len(step.rests_on) - 1
    if hidden and step.kind != "rate":
        click.echo(f"{'  ' * (depth + 1)}({hidden} more beside it)")


def _depth(step: Step) -> int:
    return 1 + max((_depth(below) for below in step.rests_on), default=0)

"""``tokenworks price rederive``: what a new measurement does to the book in force.

Invariant: it writes a candidate, never a published book, and ends with 1 where a rate of the book
in force lies under its new floor, each named.
"""

from __future__ import annotations

from pathlib import Path

import click

from billing.cli.output import format_option, print_rows, say
from billing.cli.price_review import markets_option, mixes_option
from billing.cli.stored import moment_option
from billing.operations.price_book import write_candidate
from billing.operations.rederive import derive_anew

COLUMNS = (
    "model", "service_tier", "unit", "before", "after", "change_percent", "because",
)  # fmt: skip


@click.command("rederive")
@click.option(
    "--book", type=click.Path(path_type=Path), required=True, help="The book in force: its series."
)
@click.option("--factory", type=click.Path(path_type=Path), required=True, help="factory.yaml")
@click.option("--policy", type=click.Path(path_type=Path), required=True, help="policy.yaml")
@click.option(
    "--measurements",
    multiple=True,
    required=True,
    help="As for `price derive`: all that count now, the new ones among them; repeatable.",
)
@click.option("--number", type=click.IntRange(min=1), required=True, help="Number in its series.")
@moment_option(
    "--effective-from", about="When the candidate takes effect; RFC 3339 moment.  [required]"
)
@mixes_option
@markets_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The candidate book.")
@format_option
@click.pass_context
def rederive(
    ctx: click.Context,
    *,
    book: Path,
    factory: Path,
    policy: Path,
    measurements: tuple[str, ...],
    number: int,
    effective_from: int | None,
    mixes: tuple[Path, ...],
    markets: tuple[Path, ...],
    out: Path,
    shape: str,
) -> None:
    """Derive a candidate after a new measurement: which floors move, and what is now under them.

    Exit code 1 where a rate of the book in force lies under its new floor and no subsidy pays for
    it, or where its floor is lost because no hardware keeps the promise any more.

    Example: tokenworks price rederive --book book-1.json --factory factory.yaml
    --policy policy.yaml --measurements new.jsonl --number 2
    --effective-from 2027-01-01T00:00:00Z --out candidate-2.json
    """
    if effective_from is None:
        raise click.UsageError("Missing option '--effective-from'.", ctx=ctx)
    found = derive_anew(
        book,
        factory=factory,
        policy=policy,
        measurements=measurements,
        number=number,
        effective_from=effective_from,
        mixes=mixes,
        markets=markets,
    )
    write_candidate(found.candidate, path=out)
    rows: list[dict[str, object]] = [
        {
            "model": move.model,
            "service_tier": move.service_tier,
            "unit": move.unit,
            "before": move.before or "none",
            "after": move.after or "none",
            "change_percent": move.change_percent or "",
            "because": "; ".join(cause.sentence for cause in move.causes),
        }
        for move in found.between.moves
    ]
    title = f"floors of {book.name} -> {out.name}, {found.candidate.currency} per million"
    print_rows(rows, columns=COLUMNS, shape=shape, document=found.as_json(), title=title)
    for under in found.between.under:
        say(f"{'subsidised' if under.paid_by else 'under its floor'}: {under.sentence()}")
    if shape == "table":
        for finding in found.candidate.findings:
            say(f"finding {finding.id}: {finding.sentence}")
    say(
        f"wrote {out}: {len(rows)} floors moved, {len(found.between.diff.rates)} rates would "
        f"change, {len(found.between.breaches)} rates are under their floors now"
    )
    ctx.exit(1 if found.between.breaches else 0)

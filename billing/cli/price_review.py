"""``tokenworks price diff`` and ``price check``: what a price change does, before it is published.

Invariant: a review writes nothing; ``check`` ends with 1 where it found something, and names each.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from billing.cli.clock import now_option
from billing.cli.output import format_option, print_rows, say
from billing.operations.price_review import DerivedFrom, check_policy, review_books
from pricing_rules.period import parse_moment

DIFF_COLUMNS = (
    "model", "service_tier", "unit", "when", "before", "after", "change_percent", "because",
)  # fmt: skip
CHECK_COLUMNS = ("where", "kind", "sentence")

mixes_option = click.option(
    "--usage-mix",
    "mixes",
    type=click.Path(path_type=Path),
    multiple=True,
    help="What accounts were served, from `usage mix`; repeatable.",
)

markets_option = click.option(
    "--market",
    "markets",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A market snapshot that rules anchor to; repeatable.",
)


@click.command("diff")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@format_option
def diff(*, old: Path, new: Path, shape: str) -> None:
    """Show each rate that differs between two books, and the rule, floor or measurement why.

    Example: tokenworks price diff book-1.json candidate-2.json --format csv
    """
    reviewed = review_books(old, new=new)
    numbered: dict[str, int] = {}
    rows: list[dict[str, object]] = []
    for change in reviewed.diff.rates:
        sentences = [cause.sentence for cause in change.causes]
        numbers = [numbered.setdefault(text, len(numbered) + 1) for text in sentences]
        rows.append(
            {
                **{name: value for name, value in asdict(change).items() if name != "causes"},
                "before": change.before or "none",
                "after": change.after or "none",
                # One cause moves many rates: a table names it by number, and says it once.
                "because": " ".join(map(str, numbers))
                if shape == "table"
                else "; ".join(sentences),
            }
        )
    title = f"{old.name} -> {new.name}"
    document = reviewed.as_json()
    print_rows(rows, columns=DIFF_COLUMNS, shape=shape, document=document, title=title)
    if shape == "table":
        causes = [{"because": number, "sentence": text} for text, number in numbered.items()]
        print_rows(causes, columns=("because", "sentence"), shape=shape, document=None)
        for one in reviewed.diff.documents:
            before, after = one.before_sha256 or "none", one.after_sha256 or "none"
            say(f"{one.role} {one.name}: {before} -> {after}")
        say(f"{len(rows)} rates differ, {reviewed.diff.unchanged} do not")


def _moment(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else parse_moment(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from None


@click.command("check")
@click.argument("policy", type=click.Path(path_type=Path))
@click.option("--factory", type=click.Path(path_type=Path), help="factory.yaml")
@click.option(
    "--measurements", multiple=True, help="As for `price derive`: then rates are checked too."
)
@click.option(
    "--previous", type=click.Path(path_type=Path), help="The book before, for the largest change."
)
@mixes_option
@markets_option
@click.option("--effective-from", callback=_moment, help="As for `price derive`. Without it: now.")
@now_option
@format_option
def check(
    *,
    policy: Path,
    factory: Path | None,
    measurements: tuple[str, ...],
    previous: Path | None,
    mixes: tuple[Path, ...],
    markets: tuple[Path, ...],
    effective_from: int | None,
    now_at: int,
    shape: str,
) -> int:
    """Check a policy: rules without an effect, ambiguous matches, and with a factory and
    measurements its rates too: floors, guard rails, the order of service tiers, unequal rates.

    Example: tokenworks price check policy.yaml --factory factory.yaml --measurements aiconfigurator
    """
    derived_from: DerivedFrom | None = None
    if factory is not None and measurements:
        derived_from = DerivedFrom(
            factory=factory,
            measurements=measurements,
            mixes=mixes,
            markets=markets,
            previous=previous,
        )
    elif factory or measurements or previous or mixes or markets:
        raise click.UsageError("rates are checked with both --factory and --measurements")
    found = check_policy(
        policy,
        effective_from=now_at if effective_from is None else effective_from,
        derived_from=derived_from,
    )
    rows = [asdict(one) for one in found]
    document = {
        "policy": policy.name,
        "checked": "rules" if derived_from is None else "rules and rates",
        "findings": rows,
    }
    print_rows(rows, columns=CHECK_COLUMNS, shape=shape, document=document, title=policy.name)
    if shape == "table":
        say(f"{len(rows)} findings in {policy.name} ({document['checked']})")
    return 1 if rows else 0

"""``tokenworks verify``: whether a store adds up, with the numbers.

Invariant: exit code 0 only where every equation holds, and the mass balance where it is asked for;
each damage is a line of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import click

from billing.cli.output import format_option, print_rows, say
from billing.cli.stored import opened, progress, store_option
from billing.operations.mass_balance import mass_balance
from billing.operations.measurement import Scrapes
from billing.operations.verify import read_marks, verify
from pricing_rules.document import DocumentError, JsonValue
from pricing_rules.money import parse_amount
from pricing_rules.period import parse_moment

COLUMNS = ("equation", "holds", "numbers")


def _produced(
    ctx: click.Context, param: click.Parameter, value: Sequence[str]
) -> tuple[Scrapes, ...]:
    """Texts such as MOMENT=FILE as scrapes in order of time, those of one moment together."""
    found: dict[int, list[Path]] = {}
    for text in value:
        moment, equals, path = text.partition("=")
        try:
            if not equals or not path:
                raise ValueError(f'must be MOMENT=FILE, not "{text:.80}"')
            found.setdefault(parse_moment(moment), []).append(Path(path))
        except ValueError as error:
            raise click.BadParameter(str(error), ctx=ctx, param=param) from None
    return tuple(
        Scrapes(paths=tuple(paths), scraped_at=moment_at)
        for moment_at, paths in sorted(found.items())
    )


def _models(ctx: click.Context, param: click.Parameter, value: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for text in value:
        theirs, _, ours = text.partition("=")
        if not theirs or not ours:
            raise click.BadParameter(
                f'must be ENGINE_NAME=OUR_NAME, not "{text:.80}"', ctx=ctx, param=param
            )
        found[theirs] = ours
    return found


def _percent(ctx: click.Context, param: click.Parameter, value: str) -> Decimal:
    try:
        percent = parse_amount(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=ctx, param=param) from None
    if not 0 <= percent <= 100:
        raise click.BadParameter("must lie between 0 and 100", ctx=ctx, param=param)
    return percent


@click.command("verify")
@store_option
@click.option(
    "--produced",
    multiple=True,
    callback=_produced,
    metavar="MOMENT=FILE",
    help="Compare events with what vLLM or SGLang says it produced: a scrape of its /metrics and "
    "when it was made. Two moments or more; with several servers, each at every moment and in the "
    "same order.",
)
@click.option(
    "--model",
    multiple=True,
    callback=_models,
    metavar="ENGINE_NAME=OUR_NAME",
    help="With --produced: what we call a model of an engine; repeatable.",
)
@click.option(
    "--allowed-loss-percent",
    default="0.5",
    show_default=True,
    callback=_percent,
    help="With --produced: the difference that is no finding.",
)
@click.option(
    "--previous",
    type=click.Path(path_type=Path),
    help="What an earlier verify of this store printed with --format json: the store is damaged "
    "where it went back since, as an older backup would.",
)
@format_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    store: str,
    produced: tuple[Scrapes, ...],
    model: Mapping[str, str],
    allowed_loss_percent: Decimal,
    previous: Path | None,
    shape: str,
) -> None:
    """Check a whole store: deliveries, events, totals, invoices, numbers and ledger.

    It changes nothing. It exits with 1 where anything is damaged, and names each damage; with
    --produced also where tokens were lost or came from nowhere. Keep what it prints as JSON, and
    give it as --previous after a restore, before anything is written.

    Example: tokenworks verify --store billing.db --produced 2026-10-01T00:00:00Z=first.txt
    --produced 2026-10-02T00:00:00Z=second.txt --model openai/gpt-oss-120b=gpt-oss-120b
    """
    if model and not produced:
        raise DocumentError("--model", "says nothing without --produced")
    earlier = () if previous is None else read_marks(previous)
    with opened(store) as found:
        compared = None
        if produced:  # first: it is quick to refuse a file
            compared = mass_balance(
                found, scrapes=produced, names=model, allowed_loss_percent=allowed_loss_percent
            )
        with progress("verify") as show:
            report = verify(found, earlier=earlier, progress=show)
    document: dict[str, JsonValue] = dict(report.as_json())
    rows: list[Mapping[str, object]] = [
        {"equation": one.name, "holds": one.holds, "numbers": one.text()}
        for one in report.verified.equations
    ]
    holds = report.holds
    if compared is not None:
        holds = holds and compared.holds
        document |= {"holds": holds, "mass_balance": compared.as_json()}
        rows += (
            {"equation": f"{one.model} {one.unit}", "holds": one.holds, "numbers": one.text()}
            for one in compared.rows
        )
    print_rows(rows, columns=COLUMNS, shape=shape, document=document, title="Equations")
    for damage in report.verified.damage:
        say(f"tokenworks: {damage.kind}: {damage.where}: {damage.sentence}")
    for sentence in compared.sentences() if compared else ():
        say(f"tokenworks: mass balance: {sentence}")
    if shape == "table":
        count = len(report.verified.damage)
        if compared is not None:
            count += sum(not one.holds for one in compared.rows)
        say("everything adds up" if holds else f"{count:,} damages")
    ctx.exit(0 if holds else 1)

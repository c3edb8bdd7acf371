"""``tokenworks demo``: hardware measurements become prices, and usage becomes invoices, in one go.

Invariant: every step is what the command of the same name does, on files that stay behind, so that
a reader can change one of them and run that step again.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import click

from billing.cli.demo.generated_usage import generated_trace
from billing.cli.output import print_table
from billing.documents import render_invoice
from billing.domain.charging.report import RatingReport
from billing.intake.azure_trace import Assignment, read_azure_trace
from billing.operations.files import read_file, write_file
from billing.operations.invoice import preview_invoice
from billing.operations.price_book import (
    AICONFIGURATOR,
    SignOffPattern,
    book_bytes,
    derive_book,
    publish_book,
)
from billing.operations.rating import rate
from billing.operations.usage import write_events
from pricing_rules.document import DocumentError, canonical_json, dump
from pricing_rules.money import exact_text, scaled_text
from pricing_rules.period import MICROSECONDS, moment_text, parse_moment
from pricing_rules.prices.explain import Step, plain
from pricing_rules.prices.price_book import PriceBook

ASSIGNMENT = Assignment(
    accounts=(("acme", 5), ("globex", 3), ("initech", 2)),
    models=(("gpt-oss-120b", 5), ("MiniMax-M2.5", 3), ("Llama-3.1-70B", 2)),
    service_tiers=(("standard", 6), ("batch", 3), ("priority", 1)),
)
"""Who is said to have sent the requests of a trace, with weights; see ``Assignment`` for how."""

DOCUMENTS = ("factory.yaml", "policy.yaml", "acme.yaml", "globex.yaml", "initech.yaml")
DAYS_US = 24 * 3600 * MICROSECONDS
GENERATED_EVENTS = 20_000
SEED = 20261125


@click.command("demo")
@click.option(
    "--usage",
    type=click.Path(path_type=Path),
    help="An Azure LLM inference trace (CSV). Without it a small generated trace is used.",
)
@click.option(
    "--starting-at",
    default="2026-12-01T00:00:00Z",
    show_default=True,
    help="When the first request of the trace happens.",
)
@click.option(
    "--measurements",
    default=AICONFIGURATOR,
    show_default=True,
    help="A silicon_sample.csv, or the one of the installed package aiconfigurator-core.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo-out"),
    show_default=True,
    help="The folder in which every document of the demo is left.",
)
def command(*, usage: Path | None, starting_at: str, measurements: str, out: Path) -> None:
    """From measured hardware to a price book, and from usage to explained invoices.

    Example: tokenworks demo --usage AzureLLMInferenceTrace_conv_2023.csv
    """
    try:
        starts_at = parse_moment(starting_at)
    except ValueError as error:
        raise DocumentError("--starting-at", str(error)) from None
    for name in DOCUMENTS:
        found = resources.files("billing.cli.demo").joinpath(name)
        write_file(out / name, data=found.read_bytes())
    book = _prices(out, measurements=measurements, effective_from=starts_at)
    _usage(out, usage=usage, starts_at=starts_at)
    _charges(out)
    period = f"{moment_text(starts_at)}/{moment_text(starts_at + 31 * DAYS_US)}"
    _invoices(out, period=period)
    click.echo(f"\nEvery document is in {out}/; book {book.number} is {book.digest}.")
    click.echo("Change policy.yaml there and run any of the commands above again.")


def _prices(out: Path, *, measurements: str, effective_from: int) -> PriceBook:
    _heading(
        "1. Measured hardware -> unit cost -> floor -> rules -> price book",
        command=f"price derive --factory {out}/factory.yaml --policy {out}/policy.yaml "
        f"--measurements {measurements} --number 1 "
        f"--effective-from {moment_text(effective_from)} --out {out}/candidate.json",
    )
    candidate = derive_book(
        out / "factory.yaml",
        policy=out / "policy.yaml",
        measurements=measurements,
        number=1,
        effective_from=effective_from,
    )
    write_file(out / "candidate.json", data=book_bytes(candidate))
    _show_hardware(candidate)
    _show_rates(candidate)
    kinds = sorted({finding.kind for finding in candidate.findings})
    click.echo(f"{len(candidate.findings)} findings, which publishing asks a person to sign off:")
    for kind in kinds:
        first = next(finding for finding in candidate.findings if finding.kind == kind)
        count = sum(finding.kind == kind for finding in candidate.findings)
        click.echo(f"  {count:2} {kind}, such as: {first.sentence}")
    patterns = [
        SignOffPattern(pattern=f"{kind}:*", by="demo", reason="seen in the demo", ends_at=None)
        for kind in kinds
    ]
    published = publish_book(
        out / "candidate.json",
        published_at=effective_from - DAYS_US,
        patterns=patterns,
        previous=None,
        supersedes=None,
    )
    write_file(out / "book-1.json", data=book_bytes(published))
    click.echo(f"published as {out}/book-1.json, {published.digest}")
    return published


def _show_hardware(book: PriceBook) -> None:
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
    print_table(rows, columns=tuple(rows[0]), title="What a token takes at 50 tokens/s per user")


def _show_rates(book: PriceBook) -> None:
    rows = []
    for card in book.rate_cards:
        floors = {f.unit: plain(f.floor) for f in card.cost.floors} if card.cost else {}
        for entry in card.rates:
            if entry.when.text():
                continue
            first = entry.rate if entry.ladder is None else entry.ladder.bands[0].rate
            rows.append(
                {
                    "model": card.model,
                    "service_tier": card.service_tier,
                    "unit": entry.unit,
                    "floor": floors[entry.unit],
                    "rate": "" if first is None else plain(first),
                    "ladder": entry.ladder.id if entry.ladder else "",
                }
            )
    print_table(rows, columns=tuple(rows[0]), title="Floors and rates, USD per million")


def _usage(out: Path, *, usage: Path | None, starts_at: int) -> None:
    if usage is None:
        trace = out / "trace.csv"
        write_file(trace, data=generated_trace(seed=SEED, events=GENERATED_EVENTS))
        told = f"generated, seed {SEED}, with the means of the Azure traces of 2023"
    else:
        trace, told = usage, "an Azure LLM inference trace"
    data = read_file(trace)
    table, verdicts = read_azure_trace(
        data, name=trace.name, starting_at=starts_at, assignment=ASSIGNMENT
    )
    write_events(table, path=out / "usage.parquet")
    _heading("2. Usage", command="")
    click.echo(f"{trace} ({told}): {table.num_rows:,} events, {len(verdicts)} rows refused")
    click.echo(f"accounts, models and service tiers are assigned by a hash; {out}/usage.parquet")


def _charges(out: Path) -> None:
    _heading(
        "3. Usage totals x price book -> exact charges",
        command=f"rate --price-book {out}/book-1.json --usage {out}/usage.parquet --format json",
    )
    report = rate(out / "usage.parquet", price_books=[out / "book-1.json"], period=None)
    write_file(out / "rating.json", data=canonical_json(dump(report)) + b"\n")
    _show_charges(report)


def _show_charges(report: RatingReport) -> None:
    rows = [
        {
            "account": account.account,
            "charges": len(account.charges),
            "tokens": sum(charge.quantity for charge in account.charges),
            "unpriced": len(account.unpriced),
            "exact": exact_text(account.total_exact),
            "owed_minor": account.total_minor,
        }
        for account in report.accounts
    ]
    print_table(rows, columns=("account", "charges", "tokens", "unpriced", "exact", "owed_minor"))
    click.echo(f"all accounts: {exact_text(report.total_exact)} {report.currency}")


def _invoices(out: Path, *, period: str) -> None:
    _heading(
        "4. Charges -> invoices",
        command=f"invoice preview --agreement {out}/acme.yaml --price-book {out}/book-1.json "
        f"--usage {out}/usage.parquet --period {period} --pdf {out}/acme.pdf",
    )
    walk: Step | None = None
    for account, _ in ASSIGNMENT.accounts:
        preview = preview_invoice(
            out / f"{account}.yaml",
            price_books=[out / "book-1.json"],
            usage=out / "usage.parquet",
            period=period,
        )
        invoice = preview.invoice
        write_file(out / f"{account}.pdf", data=render_invoice(invoice))
        write_file(out / f"{account}.json", data=canonical_json(dump(invoice)) + b"\n")
        total = scaled_text(invoice.total_minor, digits=invoice.minor_digits)
        click.echo(
            f"{account}: {len(invoice.lines)} lines, total {total} {invoice.currency}, "
            f"{len(invoice.findings)} findings; {out}/{account}.pdf"
        )
        for finding in invoice.findings[:2]:
            click.echo(f"  finding: {finding}")
        walk = walk or preview.explain(1)
    _heading(
        "5. Line 1 of acme, walked back to the rows that it was measured in",
        command=f"invoice preview --agreement {out}/acme.yaml --price-book {out}/book-1.json "
        f"--usage {out}/usage.parquet --period {period} --explain 1",
    )
    if walk is not None:
        _show_first_branch(walk)


def _show_first_branch(step: Step, *, depth: int = 0) -> None:
    """The walk along one branch: the deepest way down, its siblings only counted."""
    text = step.sentence if len(step.sentence) <= 150 else step.sentence[:147] + "..."
    click.echo(f"{'  ' * depth}{step.kind}: {text}")
    if not step.rests_on:
        return
    deepest = max(step.rests_on, key=_depth)
    for below in step.rests_on:
        if below is deepest:
            _show_first_branch(below, depth=depth + 1)
        elif step.kind == "rate":
            click.echo(f"{'  ' * (depth + 1)}{below.kind}: {below.sentence}")
    hidden = len(step.rests_on) - 1
    if hidden and step.kind != "rate":
        click.echo(f"{'  ' * (depth + 1)}({hidden} more beside it)")


def _depth(step: Step) -> int:
    return 1 + max((_depth(below) for below in step.rests_on), default=0)


def _heading(title: str, *, command: str) -> None:
    click.echo(f"\n== {title}")
    if command:
        click.echo(f"$ tokenworks {command}")
